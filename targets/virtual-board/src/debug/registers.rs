//! Core debug registers of ARMv7-M: their state and their bits.

use super::fpb::Fpb;

pub(crate) const DFSR: u32 = 0xE000_ED30;
pub(crate) const AIRCR: u32 = 0xE000_ED0C;
pub(crate) const ICSR: u32 = 0xE000_ED04;
pub(crate) const DHCSR: u32 = 0xE000_EDF0;
pub(crate) const DCRSR: u32 = 0xE000_EDF4;
pub(crate) const DCRDR: u32 = 0xE000_EDF8;
pub(crate) const DEMCR: u32 = 0xE000_EDFC;
pub(crate) const DWT_CTRL: u32 = 0xE000_1000;

/// No comparators, no trace, no cycle counter: the emulator has none of them.
pub(crate) const DWT_CTRL_VALUE: u32 = 0x0F00_0000;
pub(crate) const VC_CORERESET: u32 = 1;

/// Bits of DFSR: why the core entered debug state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Halted = 1 << 0,
    Breakpoint = 1 << 1,
    VectorCatch = 1 << 3,
}

/// What a write to DHCSR asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Nothing to do.
    Nothing,
    Halt,
    Step,
    Run,
}

/// State that a power-on clears and a reset does not, but for what
/// [`CoreDebug::reset`] says.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // they are bits of registers
pub(crate) struct CoreDebug {
    pub(crate) debug_enabled: bool,
    pub(crate) halted: bool,
    pub(crate) locked_up: bool,
    step: bool,
    mask_interrupts: bool,
    reset_seen: bool,
    pub(crate) dcrdr: u32,
    pub(crate) demcr: u32,
    dfsr: u32,
    pub(crate) fpb: Fpb,
}

impl CoreDebug {
    /// The core comes out of reset; returns whether it is to halt there.
    pub(crate) fn reset(&mut self) -> bool {
        self.reset_seen = true;
        self.step = false;
        self.locked_up = false;
        self.halted = self.debug_enabled && self.demcr & VC_CORERESET != 0;
        if self.halted {
            self.dfsr |= Cause::VectorCatch as u32;
        }
        self.halted
    }

    /// The core has entered debug state.
    pub(crate) fn enter(&mut self, cause: Cause) {
        self.halted = true;
        self.locked_up = false;
        self.dfsr |= cause as u32;
    }

    /// Reading DHCSR also clears its sticky bits.
    pub(crate) fn read_dhcsr(&mut self) -> u32 {
        let bit = |set: bool, n: u32| u32::from(set) << n;
        bit(std::mem::take(&mut self.reset_seen), 25)
            | bit(!self.halted && !self.locked_up, 24)
            | bit(self.locked_up, 19)
            | bit(self.halted, 17)
            | bit(true, 16)
            | bit(self.mask_interrupts, 3)
            | bit(self.step, 2)
            | bit(self.halted, 1)
            | bit(self.debug_enabled, 0)
    }

    pub(crate) fn write_dhcsr(&mut self, value: u32) -> Control {
        const KEY: u32 = 0xA05F;
        if value >> 16 != KEY {
            return Control::Nothing;
        }
        let bit = |n: u32| value >> n & 1 == 1;
        self.debug_enabled = bit(0);
        self.mask_interrupts = bit(0) && bit(3);
        self.step = bit(0) && bit(2);
        let halt = bit(0) && bit(1);
        match (halt, self.halted) {
            (true, false) => Control::Halt,
            (false, true) if self.step => Control::Step,
            (false, true) => Control::Run,
            _ => Control::Nothing,
        }
    }

    pub(crate) fn dfsr(&self) -> u32 {
        self.dfsr
    }

    /// Bits are cleared by writing ones.
    pub(crate) fn write_dfsr(&mut self, value: u32) {
        self.dfsr &= !value;
    }
}

/// Which core register a value of DCRSR.REGSEL means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Register {
    /// By its number in the emulator's gdbstub.
    Plain(u8),
    /// By its number in MRS and MSR.
    Special(u8),
    /// CONTROL, FAULTMASK, BASEPRI and PRIMASK in one word, from the top.
    Packed,
}

/// The special registers of [`Register::Packed`], from the lowest byte up.
pub(crate) const PACKED: [u8; 4] = [16, 17, 19, 20];

impl Register {
    pub(crate) fn selected_by(dcrsr: u32) -> Option<Self> {
        match dcrsr & 0x7F {
            n @ 0..=15 => Some(Register::Plain(n as u8)),
            16 => Some(Register::Plain(25)),
            17 => Some(Register::Special(8)),
            18 => Some(Register::Special(9)),
            20 => Some(Register::Packed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_key(0x0000_0003, false, Control::Nothing)]
    #[case::enable_only(0xA05F_0001, false, Control::Nothing)]
    #[case::halt(0xA05F_0003, false, Control::Halt)]
    #[case::halt_without_enable(0xA05F_0002, false, Control::Nothing)]
    #[case::stay(0xA05F_0003, true, Control::Nothing)]
    #[case::step(0xA05F_000D, true, Control::Step)]
    #[case::run(0xA05F_0001, true, Control::Run)]
    #[case::leave(0xA05F_0000, true, Control::Run)]
    fn dhcsr_controls_the_core(
        #[case] value: u32,
        #[case] halted: bool,
        #[case] expected: Control,
    ) {
        let mut core = CoreDebug {
            halted,
            ..CoreDebug::default()
        };
        assert_eq!(core.write_dhcsr(value), expected);
    }

    #[test]
    fn reset_is_seen_once_and_caught_only_when_asked() {
        let mut core = CoreDebug::default();
        core.write_dhcsr(0xA05F_0001);
        assert!(!core.reset());
        assert_eq!(core.read_dhcsr() >> 25, 1);
        assert_eq!(core.read_dhcsr() >> 25, 0);
        core.demcr = VC_CORERESET;
        assert!(core.reset());
        assert_eq!(core.dfsr(), Cause::VectorCatch as u32);
        core.write_dfsr(0x1F);
        assert_eq!(core.dfsr(), 0);
    }
}
