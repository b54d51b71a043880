//! A device of this bench: a DUT and how it is wired.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provebench_network::NetworkPort;
use provebench_record::event::DeviceInfo;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Capability;

use super::{Image, InventoryError, Segment, SwitchConfig, Target, check, image};

/// One DUT of this bench.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name, unique on this bench.
    pub name: String,
    /// The product that it is one of.
    pub target: Arc<Target>,
    /// Words to choose devices by.
    pub tags: Vec<String>,
    /// The image set of the target that it is programmed with.
    pub images: String,
    /// What is printed on the product: serial number, password, ...
    pub label: BTreeMap<String, String>,
    /// What the product's driver needs to know of this device.
    pub options: BTreeMap<String, String>,
    /// How the bench reaches it.
    pub attachment: Attachment,
}

impl Device {
    /// What the bench of this device can do, in the words of a test case's `needs`; known without touching it.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let wiring = match &self.attachment {
            Attachment::Real(wiring) => wiring,
            // What `targets/virtual-board` has around it.
            Attachment::Virtual(_) => {
                let mut all = BTreeSet::from([
                    Capability::Probe,
                    Capability::Console,
                    Capability::Power,
                    Capability::PowerCutAtWrite,
                    Capability::Press("reset".into()),
                ]);
                if self.target.network.is_some() {
                    all.extend([Capability::Net, Capability::Services]);
                }
                return all;
            }
        };
        Capability::of_wiring(wiring, self).collect()
    }

    /// The images that the device is programmed with or that test cases use on it, by name.
    pub fn image_set(&self) -> &BTreeMap<String, Image> {
        static NONE: BTreeMap<String, Image> = BTreeMap::new();
        // Which sets there are was checked when the inventory was read; only a target without any has not this one.
        self.target.images.get(&self.images).unwrap_or(&NONE)
    }

    /// Whether it is only there to be compared with: nothing is wired to it.
    pub fn is_label_only(&self) -> bool {
        matches!(&self.attachment, Attachment::Real(wiring) if *wiring == Wiring::default())
    }

    /// An image of the device's set, by its name.
    pub fn image(&self, name: &str) -> Result<&Image, InventoryError> {
        let set = self.image_set();
        set.get(name).ok_or_else(|| {
            let what = format!(
                "image in set `{}` of target `{}`",
                self.images, self.target.name
            );
            check::unknown(&what, name, set.keys().map(String::as_str)).into()
        })
    }

    /// What switches its power and presses its buttons.
    pub fn switches(&self) -> impl Iterator<Item = &SwitchConfig> {
        let wiring = match &self.attachment {
            Attachment::Real(wiring) => Some(wiring),
            Attachment::Virtual(_) => None,
        };
        let switches = wiring.map(|wiring| wiring.power.iter().chain(wiring.actuators.values()));
        switches.into_iter().flatten()
    }

    /// Whether all images of the device's set are there, are what they are said to be, and fit the chip.
    pub fn check_images(&self) -> Result<(), InventoryError> {
        image::check_all(self.image_set().values())
    }

    /// What of the images goes into the device, by image: checked as by [`check_images`](Self::check_images), and the very
    /// bytes that were checked. All that belong into the device unless some are given.
    pub fn firmware(
        &self,
        images: Option<&[&Image]>,
    ) -> Result<Vec<(String, Vec<Segment>)>, InventoryError> {
        match images {
            Some(images) => image::firmware(images),
            None => image::firmware(&self.flashed()),
        }
    }

    /// The images that belong into the device.
    pub fn flashed(&self) -> Vec<&Image> {
        let images = self.image_set().values();
        images.filter(|image| image.flash).collect()
    }
}

/// How the bench reaches a DUT.
#[derive(Clone, Debug)]
pub enum Attachment {
    /// A virtual board, which the harness starts and stops.
    Virtual(VirtualBoard),
    /// A real board on real equipment.
    Real(Wiring),
}

/// A virtual board to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualBoard {
    /// The machine that it emulates.
    pub board: String,
    /// Where its non-volatile memory is kept; a temporary folder unless given.
    pub dir: Option<PathBuf>,
    /// The program that stands for the board; found beside the harness unless given.
    pub program: Option<PathBuf>,
}

/// The equipment around a real board. What is absent is a capability that the bench lacks.
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
    /// What presses buttons, by the name of the button.
    pub actuators: BTreeMap<String, SwitchConfig>,
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

impl From<&Device> for DeviceInfo {
    fn from(device: &Device) -> Self {
        Self {
            name: device.name.clone(),
            target: device.target.name.clone(),
            model: device.target.model.clone(),
            images: device.images.clone(),
            digests: BTreeMap::new(),
            has_siblings: false,
        }
    }
}
