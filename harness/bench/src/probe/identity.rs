//! What the chip says it is, and whether that is the chip we were told to expect.

use std::fmt::{self, Write as _};

use probe_rs::{
    CoreType, MemoryInterface,
    architecture::arm::{
        ArmError, FullyQualifiedApAddress, dp::DPIDR, dp::DpAccess, memory::Component,
    },
};
use serde::Serialize;

use super::{
    ProbeError,
    worker::{Worker, core_error, memory_error},
};
use crate::inventory::IdentityRegister;

/// Arm itself as the maker of a chip: what a ROM table says that the real maker left as it was.
const ARM: (u8, u8) = (4, 0x3B);

/// Where a Cortex-M keeps its CPUID.
const CPUID: u64 = 0xE000_ED00;

/// Read from the chip, before anything is written to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChipIdentity {
    /// Identification register of the debug port.
    pub dpidr: u32,
    /// Manufacturer as in the ROM table: JEP106 continuation and identity code.
    pub manufacturer: Option<(u8, u8)>,
    /// Part number as in the ROM table.
    pub part: Option<u16>,
    /// CPUID of a Cortex-M core.
    pub cpuid: Option<u32>,
    /// The registers that `target.toml` names, by address, and what they read.
    pub registers: Vec<(u64, u32)>,
    /// Something was compared that tells it from other chips of its maker with the same core.
    pub is_told_apart: bool,
}

impl fmt::Display for ChipIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a chip with DPIDR {:#010x}", self.dpidr)?;
        if let Some((cc, id)) = self.manufacturer {
            write!(f, ", manufacturer {cc:#04x}/{id:#04x}")?;
        }
        if let Some(part) = self.part {
            write!(f, ", part {part:#05x}")?;
        }
        if let Some(cpuid) = self.cpuid {
            write!(f, ", CPUID {cpuid:#010x}")?;
        }
        for (address, value) in &self.registers {
            write!(f, ", {value:#010x} at {address:#010x}")?;
        }
        Ok(())
    }
}

/// What the chip's description says.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    manufacturer: Option<(u8, u8)>,
    part: Option<u16>,
    core: CoreType,
    registers: Vec<IdentityRegister>,
}

impl Expected {
    /// For people who look for the right board.
    fn describe(&self, chip: &str) -> String {
        let mut text = chip.to_owned();
        for IdentityRegister {
            address,
            mask,
            value,
        } in &self.registers
        {
            let _ = write!(text, ", {value:#010x} at {address:#010x}");
            if *mask != u32::MAX {
                let _ = write!(text, " (of the bits {mask:#010x})");
            }
        }
        text
    }

    /// Only what both sides state can contradict; what `target.toml` names must be there.
    fn matches(&self, found: &ChipIdentity) -> bool {
        fn agree<T: PartialEq>(expected: Option<T>, found: Option<T>) -> bool {
            expected
                .zip(found)
                .is_none_or(|(expected, found)| expected == found)
        }
        let core = found.cpuid.and_then(core_type);
        let (manufacturer, part) = self.of_rom_table(found);
        agree(self.manufacturer, manufacturer)
            && agree(self.part, part)
            && agree(core.is_some().then_some(self.core), core)
            && self.registers.iter().all(|register| {
                let mut found = found.registers.iter();
                let found = found.find(|(address, _)| *address == register.address);
                found.is_some_and(|(_, value)| register.is(*value))
            })
    }
}

impl Expected {
    /// What a chip's ROM table says of the chip. One that is Arm's says something of the core only.
    fn of_rom_table(&self, found: &ChipIdentity) -> (Option<(u8, u8)>, Option<u16>) {
        if found.manufacturer == Some(ARM) && self.manufacturer != Some(ARM) {
            return (None, None);
        }
        (found.manufacturer, found.part)
    }

    fn tells_apart(&self, found: &ChipIdentity) -> bool {
        let (_, part) = self.of_rom_table(found);
        !self.registers.is_empty() || (self.part.is_some() && part.is_some())
    }
}

impl Worker {
    pub(super) fn identity(&mut self) -> Result<ChipIdentity, ProbeError> {
        let is_cortex_m = self
            .target()?
            .cores
            .first()
            .is_some_and(|core| core.core_type.is_cortex_m());
        let debug_port = self.debug_port()?;
        let registers = self.setup.identity.clone();
        self.with_session(|session| {
            let mut identity = ChipIdentity {
                dpidr: 0,
                manufacturer: None,
                part: None,
                cpuid: None,
                registers: Vec::new(),
                is_told_apart: false,
            };
            if let Ok(interface) = session.get_arm_interface() {
                let fail = |source| ProbeError::DebugPort {
                    action: "reading the chip's identity",
                    source: Box::new(source),
                };
                identity.dpidr = interface
                    .read_dp_register::<DPIDR>(debug_port)
                    .map_err(fail)?
                    .into();
                let ports = interface.access_ports(debug_port).map_err(fail)?;
                if let Some((manufacturer, part)) = ports
                    .iter()
                    .find_map(|port| rom_table(interface, port).ok()?)
                {
                    identity.manufacturer = Some(manufacturer);
                    identity.part = Some(part);
                }
            }
            if is_cortex_m {
                let mut core = session.core(0).map_err(core_error("access to the core"))?;
                identity.cpuid = Some(
                    core.read_word_32(CPUID)
                        .map_err(core_error("reading CPUID"))?,
                );
            }
            if !registers.is_empty() {
                let mut core = session.core(0).map_err(core_error("access to the core"))?;
                for IdentityRegister { address, .. } in &registers {
                    let value = core
                        .read_word_32(*address)
                        .map_err(memory_error("read", *address, 4))?;
                    identity.registers.push((*address, value));
                }
            }
            Ok(identity)
        })
    }

    /// Refuses to go on when the chip is another one than `target.toml` says.
    pub(super) fn check_identity(&mut self) -> Result<ChipIdentity, ProbeError> {
        let expected = self.expected_identity()?;
        let mut found = self.identity()?;
        if expected.matches(&found) {
            found.is_told_apart = expected.tells_apart(&found);
            return Ok(found);
        }
        Err(ProbeError::WrongChip {
            selector: self.setup.probe.selector.clone(),
            expected: expected.describe(&self.setup.chip),
            found: found.to_string(),
        })
    }

    fn expected_identity(&mut self) -> Result<Expected, ProbeError> {
        let target = self.target()?;
        let core = target.default_core().core_type;
        let name = target.name.clone();
        let registry = self.registry()?;
        let described = registry.families().iter().find_map(|family| {
            let chip = family
                .variants()
                .iter()
                .find(|chip| chip.name.eq_ignore_ascii_case(&name))?;
            Some((
                family.manufacturer.map(|code| (code.cc, code.id)),
                chip.part,
            ))
        });
        let (manufacturer, part) = described.unwrap_or_default();
        Ok(Expected {
            manufacturer,
            part,
            core,
            registers: self.setup.identity.clone(),
        })
    }
}

type Designer = ((u8, u8), u16);

fn rom_table(
    interface: &mut dyn probe_rs::architecture::arm::ArmDebugInterface,
    port: &FullyQualifiedApAddress,
) -> Result<Option<Designer>, ArmError> {
    let mut memory = interface.memory_interface(port)?;
    let base = memory.base_address()?;
    let Component::Class1RomTable(id, _) = Component::try_parse(&mut *memory, base)? else {
        return Ok(None);
    };
    let peripheral = id.peripheral_id();
    Ok(peripheral
        .jep106()
        .map(|code| ((code.cc, code.id), peripheral.part())))
}

/// The core's type by the part number in its CPUID, for Arm's own cores.
fn core_type(cpuid: u32) -> Option<CoreType> {
    if cpuid >> 24 != 0x41 {
        return None;
    }
    match (cpuid >> 4) & 0xFFF {
        0xC20 | 0xC21 | 0xC60 => Some(CoreType::Armv6m),
        0xC23 => Some(CoreType::Armv7m),
        0xC24 | 0xC27 => Some(CoreType::Armv7em),
        0xD20 | 0xD21 | 0xD22 | 0xD23 | 0xD31 => Some(CoreType::Armv8m),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn found(
        manufacturer: Option<(u8, u8)>,
        part: Option<u16>,
        cpuid: Option<u32>,
    ) -> ChipIdentity {
        ChipIdentity {
            dpidr: 0x2BA0_1477,
            manufacturer,
            part,
            cpuid,
            registers: Vec::new(),
            is_told_apart: false,
        }
    }

    #[rstest]
    #[case::same(found(Some((2, 0x44)), Some(6), Some(0x410F_C241)), true)]
    #[case::chip_says_nothing(found(None, None, None), true)]
    #[case::other_manufacturer(found(Some((0, 0x20)), Some(6), Some(0x410F_C241)), false)]
    #[case::other_part(found(Some((2, 0x44)), Some(8), Some(0x410F_C241)), false)]
    #[case::other_core(found(Some((2, 0x44)), Some(6), Some(0x412F_C231)), false)]
    #[case::core_of_unknown_maker(found(Some((2, 0x44)), Some(6), Some(0x6310_0000)), true)]
    #[case::rom_table_as_arm_made_it(found(Some(ARM), Some(0x4C4), Some(0x410F_C241)), true)]
    #[case::rom_table_as_arm_made_it_of_other_core(
        found(Some(ARM), Some(0x4C4), Some(0x412F_C231)),
        false
    )]
    fn another_chip_is_recognised(#[case] found: ChipIdentity, #[case] same: bool) {
        let expected = Expected {
            manufacturer: Some((2, 0x44)),
            part: Some(6),
            core: CoreType::Armv7em,
            registers: Vec::new(),
        };
        assert_eq!(expected.matches(&found), same);
    }

    /// What only one side states was not compared.
    #[rstest]
    #[case::part(Some(6), found(Some((2, 0x44)), Some(6), None), true)]
    #[case::no_part_described(None, found(Some((2, 0x44)), Some(6), None), false)]
    #[case::no_part_found(Some(6), found(Some((2, 0x44)), None, None), false)]
    #[case::part_of_arm(Some(6), found(Some(ARM), Some(6), None), false)]
    fn what_was_compared_tells_it_apart(
        #[case] part: Option<u16>,
        #[case] found: ChipIdentity,
        #[case] is_told_apart: bool,
    ) {
        let expected = Expected {
            manufacturer: Some((2, 0x44)),
            part,
            core: CoreType::Armv7em,
            registers: Vec::new(),
        };
        assert_eq!(expected.tells_apart(&found), is_told_apart);
    }

    #[rstest]
    #[case::whole(u32::MAX, 0x1001_6413, true)]
    #[case::masked(0xFFF, 0x413, true)]
    #[case::other_revision(u32::MAX, 0x1000_6413, false)]
    #[case::other_chip(0xFFF, 0x419, false)]
    fn a_register_of_the_target_decides(#[case] mask: u32, #[case] value: u32, #[case] same: bool) {
        const IDCODE: u64 = 0xE004_2000;
        let expected = Expected {
            manufacturer: None,
            part: None,
            core: CoreType::Armv7em,
            registers: vec![IdentityRegister {
                address: IDCODE,
                mask,
                value,
            }],
        };
        let mut found = found(None, None, Some(0x410F_C241));
        assert!(!expected.matches(&found), "not read");
        found.registers = vec![(IDCODE, 0x1001_6413)];
        assert_eq!(expected.matches(&found), same);
        let text = expected.describe("STM32F407VG");
        assert!(text.contains("at 0xe0042000"), "{text}");
    }
}
