//! `devices.toml` and `target.toml`, parsed into validated types.

mod check;
mod chip;
mod contents;
mod device;
mod equipment;
mod error;
mod file;
mod image;
mod load;
mod load_target;
mod load_wiring;
mod log_limit;
mod masked;
mod mode;
mod networks;
mod problem;
mod schema;
mod source;
mod suggest;
mod switch;
mod target;
mod wiring;

pub use contents::{ImageFlaw, Looks, Segment};
pub use device::Device;
pub use equipment::{ConsoleConfig, ConsolePort, ProbeConfig, Protocol, RttPort, Wiring};
pub use error::{InventoryError, Problem};
pub(crate) use load_wiring::wiring_printed;
pub use log_limit::LogLimit;
pub use masked::PUBLIC_FIELDS;
pub use mode::FolderMode;
pub use problem::{Equipment, ProblemKind};
pub use schema::{SchemaKind, schema};
pub use switch::{
    ApcPduConfig, CommandConfig, GpioConfig, LcusConfig, ProbeResetConfig, ScpiConfig,
    ShellyConfig, SnmpAuth, SnmpPrivacy, SnmpUser, SnmpVersion, SwitchConfig, TasmotaConfig,
    TasmotaMqttConfig, UsbHubConfig, Zigbee2mqttConfig,
};
pub use target::{
    ConsoleDialect, DebugPort, EraseRegister, IdentityRegister, Image, ImageFormat, MemoryRegion,
    MemoryRole, OptionValue, ResetRegister, StatusRegister, Target, TargetNetwork, Timing,
};

use std::path::PathBuf;
use std::time::Duration;

/// Longest time that anybody waits for anything: a year. What is longer is a mistake.
pub const LONGEST: Duration = Duration::from_hours(365 * 24);

/// What this bench has.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The devices, in the order of the file.
    pub devices: Vec<Device>,
    /// The file that says so.
    pub path: PathBuf,
    /// Folders whose files targets may name, besides those in their own folders.
    pub allowed: Vec<PathBuf>,
    /// Who may read what runs keep, where that is said.
    pub runs_mode: Option<FolderMode>,
    /// How large logs may become.
    pub log_limit: LogLimit,
}
