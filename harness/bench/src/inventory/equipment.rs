//! The equipment around a device.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use provebench_network::NetworkPort;
use schemars::JsonSchema;
use serde::Deserialize;

use super::SwitchConfig;

/// The equipment around a board. What is absent is a capability that the bench lacks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wiring {
    /// Debug probe.
    pub probe: Option<ProbeConfig>,
    /// Serial console.
    pub console: Option<ConsoleConfig>,
    /// Mains or supply switch.
    pub power: Option<SwitchConfig>,
    /// What its network socket is plugged into.
    pub network: Option<NetworkPort>,
    /// What takes the carrier from its network cable.
    pub carrier: Option<SwitchConfig>,
    /// What presses buttons, by the name of the button.
    pub actuators: BTreeMap<String, SwitchConfig>,
}

impl Wiring {
    /// Everything that switches something.
    pub fn switches(&self) -> impl Iterator<Item = &SwitchConfig> {
        let single = self.power.iter().chain(&self.carrier);
        single.chain(self.actuators.values())
    }
}

/// A debug probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// probe-rs' selector: `VID:PID` or `VID:PID:SERIAL`.
    pub selector: String,
    /// Wire protocol.
    pub protocol: Protocol,
    /// Clock in kHz; the probe's own choice unless given.
    pub speed_khz: Option<u32>,
}

/// Wire protocol between probe and chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Serial wire debug.
    #[default]
    Swd,
    /// JTAG.
    Jtag,
}

/// A serial console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// Where it is.
    pub port: ConsolePort,
    /// Bits per second.
    pub baud: u32,
}

/// Where a serial port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsolePort {
    /// At this machine; best a path that stays the same: `/dev/serial/by-id/...`.
    Serial(PathBuf),
    /// Behind a TCP server that passes bytes as they are; `HOST:PORT`.
    Socket(String),
    /// Behind a terminal server that speaks RFC 2217; `HOST:PORT`.
    Rfc2217(String),
    /// In the DUT's memory, reached by its debug probe: SEGGER's Real-Time Transfer.
    Rtt(RttPort),
}

/// A channel of Real-Time Transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttPort {
    /// Address of the control block (symbol `_SEGGER_RTT`); looked for in all of RAM unless given.
    pub address: Option<u64>,
    /// Number of the channel, up and down.
    pub channel: u8,
}

/// Makes a port of `HOST:PORT`.
type MakePort = fn(String) -> ConsolePort;

impl RttPort {
    /// What follows the scheme: `[ADDRESS][?channel=N]`.
    fn parse(text: &str) -> Result<Self, String> {
        let (address, channel) = match text.split_once("?channel=") {
            Some((address, channel)) => (address, channel),
            None => (text, "0"),
        };
        let channel = channel.parse();
        let channel = channel.map_err(|_| "its channel is not a number up to 255".to_owned())?;
        let address = match address {
            "" => None,
            hex => {
                let digits = hex.strip_prefix("0x").unwrap_or(hex);
                let address = u64::from_str_radix(digits, 16);
                let no_address =
                    |_| "what follows is not an address in hex, as in rtt://0x20000400".to_owned();
                Some(address.map_err(no_address)?)
            }
        };
        Ok(Self { address, channel })
    }
}

impl fmt::Display for RttPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ConsolePort::RTT)?;
        if let Some(address) = self.address {
            write!(f, "{address:#010x}")?;
        }
        if self.channel > 0 {
            write!(f, "?channel={}", self.channel)?;
        }
        Ok(())
    }
}

impl ConsolePort {
    /// What the URL of RTT begins with.
    pub(super) const RTT: &str = "rtt://";

    /// What a text in `devices.toml` means, paths being relative to `dir`.
    ///
    /// # Errors
    /// Why a URL is none.
    pub(super) fn parse(text: &Path, dir: &Path) -> Result<Self, String> {
        let Some(url) = text.to_str().filter(|text| text.contains("://")) else {
            return Ok(Self::Serial(dir.join(text)));
        };
        if let Some(rest) = url.strip_prefix(Self::RTT) {
            return RttPort::parse(rest).map(Self::Rtt);
        }
        // As users of pySerial know them.
        let (server, make): (_, MakePort) = if let Some(server) = url.strip_prefix("socket://") {
            (server, Self::Socket)
        } else if let Some(server) = url.strip_prefix("rfc2217://") {
            (server, Self::Rfc2217)
        } else {
            return Err("it starts with none of `socket://`, `rfc2217://` and `rtt://`".into());
        };
        // With an unknown scheme, nothing but the authority is looked at more closely.
        let parsed = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
        if parsed.host_str().is_none_or(str::is_empty) || parsed.port().is_none() {
            return Err("it has no HOST:PORT".into());
        }
        if server.contains(['/', '?', '#', '@']) {
            return Err("there is more than HOST:PORT".into());
        }
        Ok(make(server.to_owned()))
    }
}

impl fmt::Display for ConsolePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(path) => write!(f, "{}", path.display()),
            Self::Socket(server) => write!(f, "socket://{server}"),
            Self::Rfc2217(server) => write!(f, "rfc2217://{server}"),
            Self::Rtt(port) => write!(f, "{port}"),
        }
    }
}
