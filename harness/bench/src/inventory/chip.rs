//! What probe-rs knows of the chip.

use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use probe_rs::CoreType;
use probe_rs::config::{MemoryRegion, Registry, RegistryError};

use super::error::Problem;
use super::file::TargetEntry;
use super::problem::ProblemKind;
use super::source::{self, Source, unreadable};
use super::suggest;
use crate::confine::Roots;

/// A chip, as far as images have to fit it.
#[derive(Debug)]
pub(super) struct Chip {
    pub(super) name: String,
    /// Its processors' kinds, each once.
    pub(super) cores: Vec<CoreType>,
    /// Where it can be programmed.
    pub(super) nvm: Vec<Range<u64>>,
    /// What forgets when power is gone.
    pub(super) ram: Vec<Range<u64>>,
}

impl Chip {
    fn new(target: &probe_rs::Target) -> Self {
        let mut cores: Vec<CoreType> = Vec::new();
        for core in &target.cores {
            if !cores.contains(&core.core_type) {
                cores.push(core.core_type);
            }
        }
        let regions = target.memory_map.iter();
        let nvm = regions.clone().filter_map(MemoryRegion::as_nvm_region);
        let ram = regions.filter_map(MemoryRegion::as_ram_region);
        Self {
            name: target.name.clone(),
            cores,
            nvm: nvm.map(|region| region.range.clone()).collect(),
            ram: ram.map(|region| region.range.clone()).collect(),
        }
    }

    /// The kinds of its processors.
    pub(super) fn cores_in_words(&self) -> String {
        let words = self.cores.iter().map(|core| match core {
            CoreType::Armv6m => "Armv6-M",
            CoreType::Armv7a => "Armv7-A",
            CoreType::Armv7r => "Armv7-R",
            CoreType::Armv7m => "Armv7-M",
            CoreType::Armv7em => "Armv7E-M",
            CoreType::Armv8a => "Armv8-A",
            CoreType::Armv8m => "Armv8-M",
            CoreType::Riscv => "RISC-V of 32 bits",
            CoreType::Riscv64 => "RISC-V of 64 bits",
            CoreType::Xtensa => "Xtensa",
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// All chips that probe-rs knows: some thousands, which are not to be unpacked for each target.
static BUILT_IN: LazyLock<Registry> = LazyLock::new(Registry::from_builtin_families);

/// The target's chip, if it has one, or what is wrong with it.
pub(super) fn find(
    source: &Source,
    entry: &TargetEntry,
    description: Option<&Path>,
    roots: &Roots,
) -> Result<Option<Chip>, Problem> {
    let chip = match (&entry.chip, &entry.chip_description) {
        (Some(chip), _) => chip,
        (None, None) => return Ok(None),
        (None, Some(named)) => {
            return Err(source.problem(ProblemKind::ChipUnnamed, named.span()));
        }
    };
    let described;
    let registry: &Registry = match (description, &entry.chip_description) {
        (Some(path), Some(named)) => {
            let text = match source::text(path, Some(roots)) {
                Ok(text) => text,
                Err(err) => {
                    let remedy = "correct `chip_description` (relative to target.toml), or leave it out for chips \
                        that probe-rs knows";
                    return Err(unreadable(path, err, remedy, Some(source.at(named.span()))));
                }
            };
            let mut registry = Registry::new();
            if let Err(err) = registry.add_target_family_from_yaml(&text) {
                let kind = ProblemKind::ChipDescription {
                    path: path.to_owned(),
                    message: for_people(&err),
                };
                return Err(source.problem(kind, named.span()));
            }
            described = registry;
            &described
        }
        _ => &BUILT_IN,
    };
    let name = chip.get_ref();
    if let Ok(target) = registry.get_target_by_name(name) {
        return Ok(Some(Chip::new(&target)));
    }
    let chips = registry
        .families()
        .iter()
        .flat_map(|family| &family.variants)
        .map(|chip| chip.name.as_str());
    let kind = ProblemKind::Unknown {
        what: "chip".into(),
        name: name.clone(),
        known: suggest::by_likeness(name, chips),
    };
    Err(source.problem(kind, chip.span()))
}

/// probe-rs' own words only say what it was doing; what is wrong is in the causes.
fn for_people(err: &RegistryError) -> String {
    let causes = std::iter::successors(std::error::Error::source(err), |&cause| cause.source());
    causes
        .last()
        .map_or_else(|| err.to_string(), ToString::to_string)
}
