//! Debug port (SW-DP) and the registers of the access ports behind it.

pub(crate) const DPIDR: u32 = 0x2BA0_1477;
/// AHB-AP of a Cortex-M3.
pub(crate) const MEM_AP_IDR: u32 = 0x2477_0011;
/// Control access port as on nRF52 parts.
pub(crate) const CTRL_AP_IDR: u32 = 0x0288_0000;

const POWER_REQUESTS: u32 = 1 << 28 | 1 << 30;
const STICKY_ERROR: u32 = 1 << 5;
const OVERRUN_DETECT: u32 = 1;
const DEVICE_ENABLED: u32 = 1 << 6;
const CSW_WRITABLE: u32 = 0x7F00_0037;

/// Registers of the access ports, by bank and address.
pub(crate) mod ap {
    pub(crate) const CSW: u8 = 0x00;
    pub(crate) const TAR: u8 = 0x04;
    pub(crate) const DRW: u8 = 0x0C;
    pub(crate) const BD0: u8 = 0x10;
    pub(crate) const BD3: u8 = 0x1C;
    pub(crate) const BASE: u8 = 0xF8;
    pub(crate) const IDR: u8 = 0xFC;
    pub(crate) const CTRL_RESET: u8 = 0x00;
    pub(crate) const CTRL_ERASE_ALL: u8 = 0x04;
    pub(crate) const CTRL_PROTECT_STATUS: u8 = 0x0C;
}

/// The debug port's own state; gone with the power.
#[derive(Debug, Default)]
pub(crate) struct DebugPort {
    control: u32,
    select: u32,
    pub(crate) read_buffer: u32,
    sticky_error: bool,
    csw: u32,
    pub(crate) tar: u32,
}

impl DebugPort {
    pub(crate) fn read(&mut self, address: u8) -> u32 {
        match address & 0xC {
            0x0 => DPIDR,
            0x4 if self.select & 0xF != 0 => 0,
            0x4 => {
                let acknowledged = (self.control & POWER_REQUESTS) << 1;
                let error = if self.sticky_error { STICKY_ERROR } else { 0 };
                self.control | acknowledged | error
            }
            _ => self.read_buffer,
        }
    }

    pub(crate) fn write(&mut self, address: u8, value: u32) {
        match address & 0xC {
            // ABORT: STKERRCLR, or DAPABORT.
            0x0 if value & 0b101 != 0 => self.sticky_error = false,
            0x4 if self.select & 0xF == 0 => {
                self.control = value & (POWER_REQUESTS | OVERRUN_DETECT | 0xF00);
            }
            0x8 => self.select = value,
            _ => {}
        }
    }

    /// An access port refused; as probes do, they report it and clear it.
    pub(crate) fn fault(&mut self) {
        self.sticky_error = true;
    }

    pub(crate) fn is_faulted(&self) -> bool {
        self.sticky_error
    }

    pub(crate) fn line_reset(&mut self) {
        self.select = 0;
    }

    /// Access port and the upper part of the register address, for accesses by wire.
    pub(crate) fn selected(&self) -> (u8, u8) {
        ((self.select >> 24) as u8, (self.select & 0xF0) as u8)
    }

    pub(crate) fn csw(&self, locked: bool) -> u32 {
        self.csw & CSW_WRITABLE | if locked { 0 } else { DEVICE_ENABLED }
    }

    pub(crate) fn write_csw(&mut self, value: u32) {
        self.csw = value;
    }

    /// Bytes per access through DRW, and whether TAR moves on.
    pub(crate) fn transfer(&self) -> (usize, bool) {
        let size = match self.csw & 0b111 {
            0 => 1,
            1 => 2,
            _ => 4,
        };
        (size, self.csw & 0x30 == 0x10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_up_is_acknowledged_and_errors_stick_until_aborted() {
        let mut port = DebugPort::default();
        assert_eq!(port.read(0x4), 0);
        port.write(0x4, 0x5000_0F00);
        assert_eq!(port.read(0x4), 0xF000_0F00);
        port.fault();
        assert_eq!(port.read(0x4) & STICKY_ERROR, STICKY_ERROR);
        port.write(0x0, 0x1E);
        assert_eq!(port.read(0x4) & STICKY_ERROR, 0);
        assert_eq!(port.csw(true) & DEVICE_ENABLED, 0);
    }
}
