//! CoreSight identification: the ROM table and the components that it lists.
//! The emulator has none of this; values are those of a Cortex-M3.

const ROM_TABLE: u32 = 0xE00F_F000;
const SCS: u32 = 0xE000_E000;
const DWT: u32 = 0xE000_1000;
const FPB: u32 = 0xE000_2000;

/// What the MEM-AP's BASE register reads: the table's address, ADIv5 format, present.
pub(crate) const BASE: u32 = ROM_TABLE | 0b11;

/// The value of an identification register or table entry, if there is one.
pub(crate) fn read(address: u32) -> Option<u32> {
    let page = address & 0xFFFF_F000;
    let offset = address & 0xFFF;
    if page == ROM_TABLE && offset < 0xFCC {
        let listed = [SCS, DWT, FPB];
        let entry = listed.get((offset / 4) as usize);
        return Some(entry.map_or(0, |component| component.wrapping_sub(ROM_TABLE) | 0b11));
    }
    // Peripheral id 0..3, then component class.
    let (id, class) = match page {
        ROM_TABLE => ([0xC3, 0xB4, 0x0B, 0x00], 0x10),
        SCS => ([0x00, 0xB0, 0x0B, 0x00], 0xE0),
        DWT => ([0x02, 0xB0, 0x3B, 0x00], 0xE0),
        FPB => ([0x03, 0xB0, 0x2B, 0x00], 0xE0),
        _ => return None,
    };
    match offset {
        0xFD0 => Some(0x04),
        0xFCC | 0xFD4 | 0xFD8 | 0xFDC => Some(0),
        0xFE0..=0xFEC => Some(id[((offset - 0xFE0) / 4) as usize]),
        0xFF0 => Some(0x0D),
        0xFF4 => Some(class),
        0xFF8 => Some(0x05),
        0xFFC => Some(0xB1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_the_components_and_ends() {
        assert_eq!(read(ROM_TABLE), Some(0xFFF0_F003));
        assert_eq!(read(ROM_TABLE + 4), Some(0xFFF0_2003));
        assert_eq!(read(ROM_TABLE + 8), Some(0xFFF0_3003));
        assert_eq!(read(ROM_TABLE + 12), Some(0));
        assert_eq!(read(SCS + 0xFF4), Some(0xE0));
        assert_eq!(read(SCS + 0xD00), None);
    }
}
