//! What switches power or holds a button: one struct for each driver, as `devices.toml` has it.

use std::io;
use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::ops::Range;
use std::path::{self, Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Problem;
use super::masked::PARAMETERS;
use super::problem::ProblemKind;
use super::source::Source;

mod apc;
mod command;
mod http;
mod lcus;
mod local;
mod mqtt;
mod probe;
mod scpi;

pub use apc::{ApcPduConfig, SnmpAuth, SnmpPrivacy, SnmpUser, SnmpVersion};
pub use command::CommandConfig;
pub use http::{ShellyConfig, TasmotaConfig};
pub use lcus::LcusConfig;
pub use local::{GpioConfig, UsbHubConfig};
pub use mqtt::{TasmotaMqttConfig, Zigbee2mqttConfig};
pub use probe::ProbeResetConfig;
pub use scpi::ScpiConfig;

/// A switch: what it is, and where.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum SwitchConfig {
    /// A plug or relay board with Tasmota firmware, by HTTP.
    Tasmota(TasmotaConfig),
    /// A Shelly plug or relay of any generation, by HTTP.
    Shelly(ShellyConfig),
    /// Whatever else has a program that switches it.
    Command(CommandConfig),
    /// A relay of a USB relay board of the LCUS kind.
    Lcus(LcusConfig),
    /// An output of a supply that speaks SCPI.
    Scpi(ScpiConfig),
    /// A plug or relay board with Tasmota firmware, through an MQTT broker.
    TasmotaMqtt(TasmotaMqttConfig),
    /// A plug that zigbee2mqtt reaches.
    Zigbee2mqtt(Zigbee2mqttConfig),
    /// An outlet of a switched rack PDU of APC, by SNMP.
    ApcPdu(ApcPduConfig),
    /// A port of a USB hub that switches the power of each.
    UsbHub(UsbHubConfig),
    /// A line of a GPIO chip of this computer.
    Gpio(GpioConfig),
    /// The reset line (nRST) of the device's debug probe; for actuators.
    Probe(ProbeResetConfig),
}

/// What a switch is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Power,
    Carrier,
    Actuator,
}

/// What each driver's settings can tell.
trait Settings {
    /// Which output of which equipment, so that no two things are wired to one: the same for all ways to write a host.
    fn output(&self) -> String;

    /// What is wrong with them.
    fn check(&self, role: Role) -> Result<(), ProblemKind>;

    /// What nobody but the equipment is to see: passwords, communities.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes paths relative to `dir` absolute.
    fn rebase(&mut self, _dir: &Path) {}
}

/// The settings of whatever driver it is, borrowed as the switch is.
macro_rules! settings {
    ($switch:expr) => {
        match $switch {
            SwitchConfig::Tasmota(config) => config,
            SwitchConfig::Shelly(config) => config,
            SwitchConfig::Command(config) => config,
            SwitchConfig::Lcus(config) => config,
            SwitchConfig::Scpi(config) => config,
            SwitchConfig::TasmotaMqtt(config) => config,
            SwitchConfig::Zigbee2mqtt(config) => config,
            SwitchConfig::ApcPdu(config) => config,
            SwitchConfig::UsbHub(config) => config,
            SwitchConfig::Gpio(config) => config,
            SwitchConfig::Probe(config) => config,
        }
    };
}

impl SwitchConfig {
    /// Whether power can be cut at a write of the DUT to its memory.
    pub const fn can_cut_at_write(&self) -> bool {
        matches!(
            self,
            Self::Tasmota(TasmotaConfig {
                cut_at_write: true,
                ..
            })
        )
    }

    /// Whether it measures what the DUT draws.
    pub const fn can_measure(&self) -> bool {
        matches!(self, Self::Scpi(_))
    }

    /// What nobody but the equipment is to see: passwords, communities.
    pub fn secrets(&self) -> Vec<String> {
        self.settings().secrets()
    }

    /// Which output of which equipment, so that no two things are wired to one.
    pub fn output(&self) -> String {
        self.settings().output()
    }

    /// The supply that it is an output of, and whether it says which: without `channel`, it is the one that was selected
    /// last, by whomever.
    pub fn supply(&self) -> Option<(String, bool)> {
        match self {
            Self::Scpi(config) => Some((config.supply(), config.channel.is_some())),
            _ => None,
        }
    }

    /// Whether it is a line of the device's own debug probe.
    pub const fn is_probe(&self) -> bool {
        matches!(self, Self::Probe(_))
    }

    /// The serial port that it is at.
    pub fn serial_port(&self) -> Option<&Path> {
        match self {
            Self::Lcus(config) => Some(&config.port),
            Self::Scpi(config) => config.port.as_deref(),
            _ => None,
        }
    }

    /// With paths that mean the same in every folder.
    #[must_use]
    pub fn absolute(&self) -> Self {
        let mut switch = self.clone();
        switch.replace_paths(|path| path::absolute(path));
        switch
    }

    /// The same for all ways to write what is here now: /dev/serial/by-id/... and others lead to the same port.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut switch = self.absolute();
        switch.replace_paths(Path::canonicalize);
        if let Self::UsbHub(config) = &mut switch {
            *config = config.first_half(Path::new(UsbHubConfig::DEVICES));
        }
        switch
    }

    /// Those for which there is no `other` stay.
    fn replace_paths(&mut self, other: impl Fn(&Path) -> io::Result<PathBuf>) {
        let path = match self {
            Self::Lcus(config) => Some(&mut config.port),
            Self::Scpi(config) => config.port.as_mut(),
            Self::Gpio(config) => Some(&mut config.chip),
            Self::Command(config) => return config.replace_folder(other),
            _ => None,
        };
        if let Some(path) = path
            && let Ok(other) = other(path)
        {
            *path = other;
        }
    }

    /// As the driver needs it: checked, with paths relative to `dir`.
    pub(super) fn resolve(
        &self,
        dir: &Path,
        role: Role,
        source: &Source,
        span: &Range<usize>,
    ) -> Result<Self, Problem> {
        self.settings()
            .check(role)
            .map_err(|kind| source.problem(kind, span.clone()))?;
        let mut resolved = self.clone();
        resolved.settings_mut().rebase(dir);
        Ok(resolved)
    }

    fn settings(&self) -> &dyn Settings {
        settings!(self)
    }

    fn settings_mut(&mut self) -> &mut dyn Settings {
        settings!(self)
    }
}

/// The number of an output, unless given.
fn first() -> NonZeroU8 {
    NonZeroU8::MIN
}

/// Bits per second of a serial port, unless given.
fn slow() -> NonZeroU32 {
    const { NonZeroU32::new(9600).unwrap() }
}

/// Passwords and tokens in a URL: before the host, or as parameters.
fn secrets_of_url(url: &str) -> Vec<String> {
    let Ok(url) = reqwest::Url::parse(url) else {
        return Vec::new();
    };
    let password = url.password().map(|text| {
        let text = percent_encoding::percent_decode_str(text);
        text.decode_utf8_lossy().into_owned()
    });
    let parameters = url.query_pairs().filter_map(|(name, value)| {
        let name = name.to_lowercase();
        let is_secret = PARAMETERS.iter().any(|part| name.contains(part));
        is_secret.then(|| value.into_owned())
    });
    password.into_iter().chain(parameters).collect()
}

/// Whether it can be a name or address in the network.
fn is_host(host: &str) -> bool {
    !host.is_empty() && !host.contains(['/', ' '])
}

/// A host, the same for all ways to write its name or address.
fn same_host(host: &str) -> String {
    let address = host.parse::<IpAddr>();
    address.map_or_else(|_| host.to_lowercase(), |address| address.to_string())
}

fn problem(driver: &'static str, what: impl Into<String>, remedy: &'static str) -> ProblemKind {
    ProblemKind::Driver {
        driver,
        what: what.into(),
        remedy,
    }
}
