//! Flash patch and breakpoint unit, revision 2: breakpoints at any address.

use std::collections::BTreeSet;

const COMPARATORS: usize = 6;
const FP_CTRL: u32 = 0xE000_2000;
const FP_REMAP: u32 = 0xE000_2004;
const FP_COMP0: u32 = 0xE000_2008;
const FP_COMP_END: u32 = FP_COMP0 + 4 * COMPARATORS as u32;

#[derive(Debug, Default)]
pub(crate) struct Fpb {
    enabled: bool,
    comparators: [u32; COMPARATORS],
}

impl Fpb {
    pub(crate) fn read(&self, address: u32) -> Option<u32> {
        match address {
            FP_CTRL => Some(1 << 28 | (COMPARATORS as u32) << 4 | u32::from(self.enabled)),
            FP_REMAP => Some(0),
            FP_COMP0..FP_COMP_END => Some(self.comparators[index(address)]),
            _ => None,
        }
    }

    /// Returns whether the address is one of this unit's.
    pub(crate) fn write(&mut self, address: u32, value: u32) -> bool {
        match address {
            // Without its key bit the write is ignored.
            FP_CTRL if value & 0b10 == 0 => true,
            FP_CTRL => {
                self.enabled = value & 1 == 1;
                true
            }
            FP_REMAP => true,
            FP_COMP0..FP_COMP_END => {
                self.comparators[index(address)] = value;
                true
            }
            _ => false,
        }
    }

    /// Addresses at which the core is to stop.
    pub(crate) fn breakpoints(&self) -> BTreeSet<u32> {
        self.comparators
            .iter()
            .filter(|&&comparator| self.enabled && comparator & 1 == 1)
            .map(|comparator| comparator & !1)
            .collect()
    }
}

fn index(address: u32) -> usize {
    ((address - FP_COMP0) / 4) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparators_count_only_while_the_unit_is_enabled() {
        let mut fpb = Fpb::default();
        assert!(fpb.write(FP_COMP0 + 4, 0x2100_0201));
        assert_eq!(fpb.breakpoints(), BTreeSet::new());
        assert!(fpb.write(FP_CTRL, 0b01));
        assert_eq!(fpb.breakpoints(), BTreeSet::new(), "the key was missing");
        assert!(fpb.write(FP_CTRL, 0b11));
        assert_eq!(fpb.breakpoints(), BTreeSet::from([0x2100_0200]));
        assert_eq!(fpb.read(FP_CTRL), Some(0x1000_0061));
        assert!(!fpb.write(FP_COMP_END, 1));
    }
}
