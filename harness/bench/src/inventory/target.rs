//! A target: a product model, what it is made of and what its supplier says of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Place;
use super::image::Ground;
use crate::confine::Roots;
use provebench_network::{Addressing, services::ServiceSpec};
use provebench_standard::{CaseId, Ics, Ixit};

/// A product model.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name, which is that of its folder.
    pub name: String,
    /// The folder that describes it.
    pub dir: PathBuf,
    /// Model designation, as on the product.
    pub model: String,
    /// The chip, by probe-rs' name, of products that a debug probe is wired to.
    pub chip: Option<String>,
    /// probe-rs' description of the chip (YAML), where it has none built in.
    pub chip_description: Option<PathBuf>,
    /// The command that builds the images, from the root of the repository.
    pub build: Option<String>,
    /// More facts about the product, for the driver and the test cases.
    pub product: BTreeMap<String, String>,
    /// The options that devices may have, each with the values that it may have, and what is told of them; no values: any
    /// text.
    pub options: BTreeMap<String, BTreeMap<String, OptionValue>>,
    /// Parts of the firmware, each with the test cases, test groups or clauses that a change in it can affect.
    pub components: BTreeMap<String, Vec<String>>,
    /// Memory regions by role. They do not overlap.
    pub memory: Vec<MemoryRegion>,
    /// Image sets by name, each with its images by name.
    pub images: BTreeMap<String, BTreeMap<String, Image>>,
    /// The script that drives the product.
    pub driver: PathBuf,
    /// What the supplier claims.
    pub ics: Ics,
    /// How the supplier does it.
    pub ixit: Ixit,
    /// How long the product may take.
    pub timing: Timing,
    /// Registers that tell the chip from others; all must read as they say before anything is programmed.
    pub identity: Vec<IdentityRegister>,
    /// How read-out protection is read and cleared.
    pub debug_port: Option<DebugPort>,
    /// How the console speaks.
    pub console: ConsoleDialect,
    /// The product's network, if it has one.
    pub network: Option<TargetNetwork>,
    /// Where files may be read from on its behalf.
    pub roots: Roots,
}

impl Target {
    /// The image set that a device is programmed with unless it says otherwise.
    pub const DEFAULT_IMAGES: &str = "release";

    /// Where assessors' answers about the product are kept, if there are any.
    pub fn attestations(&self) -> PathBuf {
        self.dir.join("attestations.toml")
    }

    /// Whether a change in a component can affect what a test case shows: if it says so, or if no component does. Not
    /// if the target has no such component.
    pub fn affects(&self, component: &str, case: &CaseId) -> bool {
        let names = |words: &Vec<String>| words.iter().any(|word| case.is_within(word));
        match self.components.get(component) {
            None => false,
            Some(words) => names(words) || !self.components.values().any(names),
        }
    }

    /// The services of its network by name.
    pub fn services(&self) -> impl Iterator<Item = (&str, &ServiceSpec)> {
        let services = self.network.iter().flat_map(|network| &network.services);
        services.map(|(name, service)| (name.as_str(), service))
    }

    /// A memory region, by its name.
    pub fn region(&self, name: &str) -> Option<&MemoryRegion> {
        self.memory.iter().find(|region| region.name == name)
    }
}

/// What a file tells of a value of an option; nothing, if `target.toml` lists the value itself.
pub type OptionValue = serde_json::Map<String, serde_json::Value>;

/// A range of the chip's address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// Its name, unique in the target.
    pub name: String,
    /// What it holds.
    pub role: MemoryRole,
    /// Its addresses.
    pub range: Range<u64>,
}

/// What a memory region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryRole {
    /// Program code.
    Code,
    /// Other non-volatile memory.
    Nvm,
    /// Data of the user, which a factory reset must remove.
    UserData,
    /// What the factory writes for each device: identity, keys.
    Personalisation,
}

/// A file that is programmed or that test cases use.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name in its set.
    pub name: String,
    /// The file. Whether it exists and what is in it is checked when it is read: it may have to be built first.
    pub path: PathBuf,
    /// What is in the file.
    pub format: ImageFormat,
    /// Where it goes; known from the file itself unless `bin`.
    pub address: Option<u64>,
    /// Part of bringing the DUT to a known state; others are only used by test cases.
    pub flash: bool,
    /// Where the file may be.
    pub(super) roots: Roots,
    pub(super) ground: Arc<Ground>,
    pub(super) build: Option<String>,
    pub(super) place: Place,
    /// SHA-256 of what was read first.
    pub(super) seen: Arc<OnceLock<[u8; 32]>>,
}

/// Format of an image file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFormat {
    /// Bytes as they go into memory.
    #[default]
    Bin,
    /// ELF.
    Elf,
    /// Intel HEX.
    Hex,
}

/// How long the product may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From power-on or reset until it serves.
    pub boot: Duration,
    /// For a factory reset, until it serves again.
    pub reset: Duration,
    /// For installing an update.
    pub update: Duration,
}

/// How the console speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleDialect {
    /// Bits per second, unless the device says otherwise.
    pub baud: u32,
}

/// A network of the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetNetwork {
    /// Its name.
    pub name: String,
    /// Who has which address.
    pub addressing: Addressing,
    /// What the product finds there, by name.
    pub services: BTreeMap<String, ServiceSpec>,
}

/// A register that tells the chip from others, such as DBGMCU_IDCODE of an STM32.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityRegister {
    /// Address of the 32-bit register, as the debug probe sees it, such as 0xE004_2000.
    pub address: u64,
    /// The bits that count; all (0xFFFF_FFFF) unless given.
    #[serde(default = "all_bits")]
    pub mask: u32,
    /// What these bits read as.
    pub value: u32,
}

const fn all_bits() -> u32 {
    u32::MAX
}

impl IdentityRegister {
    /// Whether the register of the right chip may read so.
    pub const fn is(&self, read: u32) -> bool {
        read & self.mask == self.value
    }
}

/// How read-out protection is read and cleared: registers of an access port that works while the chip is locked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DebugPort {
    /// Number of the access port that has the registers.
    pub control_ap: u8,
    /// What the access port's identification register (IDR, 0xFC) reads as: checked before anything is written to it.
    pub idr: Option<u32>,
    /// Tells whether the chip is locked.
    pub status: StatusRegister,
    /// Erases everything, which unlocks.
    pub erase: EraseRegister,
    /// Resets the chip, so that it sees that it is unlocked.
    pub reset: Option<ResetRegister>,
}

/// The register that tells whether the chip is locked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusRegister {
    /// Address in the access port.
    pub register: u8,
    /// What it reads as when the chip is open; else it is locked.
    pub open: u32,
}

/// The register that erases the chip.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseRegister {
    /// Address in the access port.
    pub register: u8,
    /// What is written to start.
    pub value: u32,
    /// Address of the register that is not zero while the chip erases.
    pub busy_register: Option<u8>,
}

/// The register that resets the chip.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRegister {
    /// Address in the access port.
    pub register: u8,
    /// What is written to hold the chip in reset.
    pub assert: u32,
    /// What is written to let it go.
    pub release: u32,
}
