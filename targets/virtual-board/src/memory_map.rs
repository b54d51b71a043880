//! The board's address map, as firmware and debugger see it.

use std::ops::Range;

/// Boot flash: the machine's first SSRAM, kept in `boot.bin` while power is off.
pub const BOOT_FLASH: Range<u32> = 0x0000_0000..0x0040_0000;
/// RAM, lost when power goes off.
pub const RAM: Range<u32> = 0x2000_0000..0x2040_0000;
/// Non-volatile memory, mapped from `nvm.bin`.
pub const NVM: Range<u32> = 0x2100_0000..0x2200_0000;
/// Word in NVM that locks the debug port unless it is erased.
pub const LOCK_WORD: u32 = 0x21FF_F000;
/// What an erased byte reads as.
pub const ERASED: u8 = 0xFF;

/// The page of board registers (block RAM that the board fills).
pub const REGISTER_PAGE: u32 = 0x0100_0000;
/// Offset of the button word in the page.
pub const BUTTON: u32 = REGISTER_PAGE + 0x04;
/// Scratch code for reaching special registers, at the very end of the block RAM.
pub(crate) const SCRATCH: u32 = 0x0100_3FF0;
/// FPGAIO's LED register.
pub const LEDS: u32 = 0x4002_8000;

/// Private peripheral bus: core debug registers, NVIC, ROM table.
pub(crate) const PPB: Range<u32> = 0xE000_0000..0xE010_0000;

const MAPPED: [Range<u32>; 7] = [
    0x0000_0000..0x0080_0000,
    0x0100_0000..0x0101_0000,
    0x2000_0000..0x2080_0000,
    NVM,
    0x4000_0000..0x4003_0000,
    0x4020_0000..0x4030_0000,
    PPB,
];

/// Whether the whole access goes to something that is there. An access to a hole
/// is a bus fault on a real chip; the emulator would read zeros.
pub(crate) fn is_mapped(address: u32, len: usize) -> bool {
    let Some(end) = u64::try_from(len).ok().map(|len| u64::from(address) + len) else {
        return false;
    };
    MAPPED
        .iter()
        .any(|range| range.contains(&address) && end <= u64::from(range.end))
}

/// Whether the core can fetch instructions there.
pub(crate) fn is_executable(address: u32) -> bool {
    address < 0x4000_0000 && is_mapped(address, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0x0000_0000, 4, true)]
    #[case(0x007F_FFFC, 4, true)]
    #[case(0x007F_FFFC, 8, false)]
    #[case(0x0200_0000, 4, false)]
    #[case(0x21FF_FFFF, 1, true)]
    #[case(0x21FF_FFFF, 2, false)]
    #[case(0xFFFF_FFFC, 4, false)]
    #[case(0xE000_EDF0, 4, true)]
    fn holes_are_not_mapped(#[case] address: u32, #[case] len: usize, #[case] mapped: bool) {
        assert_eq!(is_mapped(address, len), mapped);
    }

    #[test]
    fn an_erased_vector_is_not_executable() {
        assert!(!is_executable(0xFFFF_FFFE));
        assert!(is_executable(0x2100_0100));
        assert!(!is_executable(0x4000_0000));
    }
}
