//! The shapes of `devices.toml` and `target.toml`, with the place of everything that is checked later.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{
    DebugPort, FolderMode, IdentityRegister, ImageFormat, LogLimit, MemoryRole, Protocol,
    SwitchConfig, Target,
};

/// The devices of this bench.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DevicesFile {
    /// Folders, relative to this file, whose files targets may name, besides those in their own folders: images that are
    /// built elsewhere, say. What comes with a change of a target can't read anything else of this machine.
    #[serde(default)]
    pub(super) allow_paths: Vec<PathBuf>,
    /// Who may read what runs keep: the mode of their folders, `0700` unless given. Comes before the first device.
    pub(super) runs_mode: Option<FolderMode>,
    /// How large `console.log` and `steps.jsonl` of an attempt at a test case may become, each; `64 MiB` unless given. The
    /// log of a device's console in the whole run may have 16 times that. Comes before the first device.
    pub(super) log_limit: Option<LogLimit>,
    /// One DUT each.
    #[serde(default)]
    #[schemars(with = "Vec<DeviceEntry>")]
    pub(super) device: Vec<Spanned<DeviceEntry>>,
}

/// One DUT: `virtual`, with a `provider`, or with the equipment that it is wired to. One with a label only takes no part
/// in runs, but others are compared with it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceEntry {
    /// Its name, unique on this bench.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// The product that it is one of: a folder in the targets folder.
    #[schemars(with = "String")]
    pub(super) target: Spanned<String>,
    /// Words to choose devices by.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// The image set of the target that it is programmed with; `release` unless given.
    #[schemars(with = "Option<String>")]
    pub(super) images: Option<Spanned<String>>,
    /// What is printed on the product, as it came from the factory: serial number, password, ...
    #[serde(default)]
    pub(super) label: BTreeMap<String, String>,
    /// What the product's driver needs to know of this device; `[options]` in target.toml says what there is.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) options: BTreeMap<Spanned<String>, Spanned<String>>,
    /// A program that provides the equipment for as long as the device is used.
    #[schemars(with = "Option<ProviderEntry>")]
    pub(super) provider: Option<Spanned<ProviderEntry>>,
    /// A virtual board, started and stopped by the harness.
    #[serde(rename = "virtual")]
    #[schemars(with = "Option<VirtualEntry>")]
    pub(super) virtual_board: Option<Spanned<VirtualEntry>>,
    /// The debug probe that it is wired to.
    #[schemars(with = "Option<ProbeEntry>")]
    pub(super) probe: Option<Spanned<ProbeEntry>>,
    /// The serial port that its console is wired to.
    #[schemars(with = "Option<ConsoleEntry>")]
    pub(super) console: Option<Spanned<ConsoleEntry>>,
    /// What switches its power.
    #[schemars(with = "Option<SwitchConfig>")]
    pub(super) power: Option<Spanned<SwitchConfig>>,
    /// The network interface of this machine that its network socket is plugged into.
    #[schemars(with = "Option<NetworkEntry>")]
    pub(super) network: Option<Spanned<NetworkEntry>>,
    /// What takes the carrier from its network cable, for the product to notice, where the interface can't.
    #[schemars(with = "Option<SwitchConfig>")]
    pub(super) carrier: Option<Spanned<SwitchConfig>>,
    /// What holds its buttons, by the name of the button.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SwitchConfig>")]
    pub(super) actuators: BTreeMap<Spanned<String>, Spanned<SwitchConfig>>,
}

/// What a `provider` prints, as one line of JSON, when the equipment is ready.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProvidedFile {
    /// How the device is wired.
    pub(super) wiring: WiringEntry,
    /// Equipment and device are there only while they are provided, as an emulator is: nobody else can have them, or minds
    /// when power is switched.
    #[serde(default)]
    pub(super) ends_with_lease: bool,
    /// Whatever else the program has to say, to others.
    #[serde(default, rename = "about")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(super) _about: toml::Table,
}

/// How a device is wired, in the words of devices.toml. Paths are relative to that.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WiringEntry {
    /// The debug probe.
    #[schemars(with = "Option<ProbeEntry>")]
    pub(super) probe: Option<Spanned<ProbeEntry>>,
    /// The serial port of its console.
    #[schemars(with = "Option<ConsoleEntry>")]
    pub(super) console: Option<Spanned<ConsoleEntry>>,
    /// What switches its power.
    #[schemars(with = "Option<SwitchConfig>")]
    pub(super) power: Option<Spanned<SwitchConfig>>,
    /// The network interface of this machine that is the DUT's; none where its cable is the socket that the program got.
    #[schemars(with = "Option<NetworkEntry>")]
    pub(super) network: Option<Spanned<NetworkEntry>>,
    /// What takes the carrier from its network cable, for the product to notice.
    #[schemars(with = "Option<SwitchConfig>")]
    pub(super) carrier: Option<Spanned<SwitchConfig>>,
    /// What holds its buttons, by the name of the button.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SwitchConfig>")]
    pub(super) actuators: BTreeMap<Spanned<String>, Spanned<SwitchConfig>>,
}

/// A device's equipment, wherever that was said.
#[derive(Clone, Copy)]
pub(super) struct Wires<'e> {
    pub(super) probe: Option<&'e Spanned<ProbeEntry>>,
    pub(super) console: Option<&'e Spanned<ConsoleEntry>>,
    pub(super) power: Option<&'e Spanned<SwitchConfig>>,
    pub(super) network: Option<&'e Spanned<NetworkEntry>>,
    pub(super) carrier: Option<&'e Spanned<SwitchConfig>>,
    pub(super) actuators: &'e BTreeMap<Spanned<String>, Spanned<SwitchConfig>>,
}

macro_rules! wires {
    ($($entry:ty),+) => {$(
        impl $entry {
            /// The equipment in it.
            pub(super) fn wires(&self) -> Wires<'_> {
                Wires {
                    probe: self.probe.as_ref(),
                    console: self.console.as_ref(),
                    power: self.power.as_ref(),
                    network: self.network.as_ref(),
                    carrier: self.carrier.as_ref(),
                    actuators: &self.actuators,
                }
            }
        }
    )+};
}
wires!(DeviceEntry, WiringEntry);

impl Wires<'_> {
    /// The keys that are there, each with its place.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static str, std::ops::Range<usize>)> {
        let button = self.actuators.keys().next();
        [
            ("probe", self.probe.map(Spanned::span)),
            ("console", self.console.map(Spanned::span)),
            ("power", self.power.map(Spanned::span)),
            ("network", self.network.map(Spanned::span)),
            ("carrier", self.carrier.map(Spanned::span)),
            ("actuators", button.map(Spanned::span)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

/// A program that provides the equipment of a device: it prints how that is wired as one line of JSON (`provebench schema
/// wiring`), and runs until its standard input ends.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderEntry {
    /// The program, then its arguments. No shell is involved. A program without `/` is looked for in PATH, others relative
    /// to this file. PROVEBENCH_DEVICE is the device's name.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub(super) command: Spanned<Vec<String>>,
    /// What a bench with this equipment can do, in the words of a test case's `needs`: `probe`, `console`, `power`,
    /// `power.cut_at_write`, `power.current`, `net`, `press.NAME`. So it is known without starting the program.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) provides: Vec<Spanned<String>>,
    /// The DUT's network cable is a datagram socket of raw Ethernet frames without checksum, which the program inherits;
    /// PROVEBENCH_CABLE is its number.
    #[serde(default)]
    pub(super) cable: bool,
    /// How long the program may take until it is ready, in seconds, up to 120; 20 unless given.
    #[schemars(with = "Option<f64>")]
    pub(super) timeout: Option<Spanned<f64>>,
}

/// A virtual board.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VirtualEntry {
    /// The machine that it emulates: `mps2-an385`.
    #[schemars(with = "String")]
    pub(super) board: Spanned<String>,
    /// Where its non-volatile memory is kept, relative to this file; a temporary folder unless given.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) dir: Option<Spanned<PathBuf>>,
    /// The program that stands for the board, relative to this file; found beside the harness unless given.
    pub(super) program: Option<PathBuf>,
}

/// A debug probe.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProbeEntry {
    /// `VID:PID` or `VID:PID:SERIAL`, in hex.
    #[schemars(with = "String")]
    pub(super) selector: Spanned<String>,
    /// Wire protocol; `swd` unless given.
    #[serde(default)]
    pub(super) protocol: Protocol,
    /// Clock in kHz; the probe's own choice unless given.
    pub(super) speed_khz: Option<NonZeroU32>,
}

/// A serial port.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsoleEntry {
    /// Path of the port, best a stable one: `/dev/serial/by-id/...`; of one behind a terminal server
    /// `rfc2217://HOST:PORT`, or `socket://HOST:PORT` if that passes bytes as they are; `rtt://` for RTT through the
    /// debug probe, `rtt://0x20000400` with the address of the control block.
    #[schemars(with = "PathBuf")]
    pub(super) port: Spanned<PathBuf>,
    /// Bits per second; as in target.toml unless given.
    pub(super) baud: Option<NonZeroU32>,
}

/// A network interface, the DUT's alone while a run lasts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkEntry {
    /// Its name, as `ip -br link` shows it: an Ethernet card, a TAP, a veth.
    #[schemars(with = "String", length(min = 1, max = 15))]
    pub(super) interface: Spanned<String>,
    /// The VLAN that the DUT's switch port is in; then only that VLAN of the interface is the DUT's.
    #[schemars(with = "Option<u16>", range(min = 1, max = 4094))]
    pub(super) vlan: Option<Spanned<u16>>,
}

/// The values that an option may have.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a list of values, or { from = \"FILE\" }"
)]
pub(super) enum OptionEntry {
    /// These.
    Values(Vec<String>),
    /// Those that a file describes, for whoever else reads it.
    Described(DescribedOption),
}

/// A TOML file with a table for each value: `[[OPTION]]`, with the value as its `name`. Drivers get all of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribedOption {
    /// The file, relative to this one.
    pub(super) from: PathBuf,
}

/// A product model. Paths are relative to this file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetFile {
    #[schemars(with = "TargetEntry")]
    pub(super) target: Spanned<TargetEntry>,
    /// More facts about the product, for the driver and the test cases.
    #[serde(default)]
    pub(super) product: BTreeMap<String, String>,
    /// The options that devices may have, each with the values that it may have; none listed: any text.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, OptionEntry>")]
    pub(super) options: BTreeMap<String, Spanned<OptionEntry>>,
    /// Parts of the firmware by name, each with the test cases (`5.3-2-2`), test groups (`5.3-2`) or clauses (`5.3`) that
    /// a change in it can affect. What no component names is affected by all. For `provebench run --changed-only`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub(super) components: BTreeMap<String, Vec<Spanned<String>>>,
    /// Memory regions by role. They do not overlap.
    #[serde(default)]
    #[schemars(with = "Vec<MemoryEntry>")]
    pub(super) memory: Vec<Spanned<MemoryEntry>>,
    /// Image sets by name, each with its images by name. A device has set `release` unless it says otherwise.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, ImageEntry>>")]
    pub(super) images: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, ImageEntry>>,
    /// How long the product may take.
    #[serde(default)]
    pub(super) timing: TimingEntry,
    /// Registers that tell the chip from others that its probe could be wired to by mistake: all must read as they say,
    /// or nothing is programmed.
    #[serde(default)]
    #[schemars(with = "Vec<IdentityRegister>")]
    pub(super) identity: Vec<Spanned<IdentityRegister>>,
    /// How read-out protection is read and cleared; unsupported unless given.
    pub(super) debug_port: Option<DebugPort>,
    /// How the console speaks.
    #[serde(default)]
    pub(super) console: DialectEntry,
    /// The product's networks by name, of which a bench makes one so far: `[networks.lan]`. The product has none unless given.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, TargetNetworkEntry>")]
    pub(super) networks: BTreeMap<Spanned<String>, TargetNetworkEntry>,
    /// What the product connects to, by the names that test cases, driver and IXIT use. There are `dhcp`, `router`, `dns`,
    /// `ntp`, `mqtt`, `update` (`http`) and `crl` without being listed, under no host name that the product knows.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ServiceEntry>")]
    pub(super) services: BTreeMap<Spanned<String>, ServiceEntry>,
}

/// A network of the product, in which the bench is the gateway.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetNetworkEntry {
    /// The bench's IPv4 address, the gateway; 10.77.0.1 unless given.
    pub(super) gateway: Option<Ipv4Addr>,
    /// Bits of the network's prefix; 24 unless given.
    #[schemars(range(min = 8, max = 30))]
    pub(super) prefix: Option<u8>,
    /// How many addresses are leased at the same time, those after the gateway's; 1 unless given. More are for what is on
    /// the network beside the product.
    #[schemars(range(min = 1, max = 253))]
    pub(super) leases: Option<u8>,
    /// The bench's IPv6 address, the gateway of a /64, or false for a network without IPv6; fd77::1 unless given.
    pub(super) ipv6: Option<Ipv6Entry>,
}

/// An address, or none.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`ipv6` has to be an IPv6 address, or false")]
pub(super) enum Ipv6Entry {
    Address(Ipv6Addr),
    Is(bool),
}

/// A service that the bench has for the product.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceEntry {
    /// `mqtt`, `http`, `ntp`, `dhcp`, `router`, `dns` or `crl`.
    #[schemars(with = "String")]
    pub(super) kind: Spanned<String>,
    /// The network that it is in; the only one unless given.
    #[schemars(with = "Option<String>")]
    pub(super) network: Option<Spanned<String>>,
    /// The name that the product knows it by, which is that of its certificate.
    pub(super) host: Option<String>,
    /// The names that the product knows it by, where it has several.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// Its port, with TLS where it speaks TLS; the usual one of its kind unless given.
    pub(super) port: Option<NonZeroU16>,
    /// Its port without TLS, which is closed until a test case opens it; the usual one of its kind unless given.
    pub(super) plain_port: Option<NonZeroU16>,
}

/// What the product is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetEntry {
    /// Its name, which is that of this folder.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// Model designation, as on the product.
    pub(super) model: String,
    /// The chip, by probe-rs' name; for products that a debug probe is wired to.
    #[schemars(with = "Option<String>")]
    pub(super) chip: Option<Spanned<String>>,
    /// probe-rs' description of the chip (YAML), where it has none built in.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) chip_description: Option<Spanned<PathBuf>>,
    /// The command that builds the images, from the root of the repository.
    pub(super) build: Option<String>,
    /// The script that drives the product; `driver.star` unless given.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) driver: Option<Spanned<PathBuf>>,
    /// What the supplier claims; `ics.toml` unless given.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) ics: Option<Spanned<PathBuf>>,
    /// How the supplier does it; `ixit.toml` unless given.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) ixit: Option<Spanned<PathBuf>>,
}

/// A range of the chip's address space.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryEntry {
    /// Its name, unique in the target.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// What it holds.
    pub(super) role: MemoryRole,
    /// Its first address, such as 0x0800_0000.
    pub(super) start: u64,
    /// Its size in bytes, such as 0x4_0000.
    pub(super) size: u64,
}

/// A file that is programmed or that test cases use.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageEntry {
    /// The file.
    #[schemars(with = "PathBuf")]
    pub(super) path: Spanned<PathBuf>,
    /// What is in it; `bin` unless given.
    #[serde(default)]
    pub(super) format: ImageFormat,
    /// Where it goes in the chip's memory, such as 0x0800_0000; only for `bin`, the others say it themselves.
    #[schemars(with = "Option<u64>")]
    pub(super) address: Option<Spanned<u64>>,
    /// Part of bringing the DUT to a known state. Others are only used by test cases.
    #[serde(default)]
    pub(super) flash: bool,
}

/// How long the product may take, in seconds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimingEntry {
    /// From power-on or reset until it serves.
    #[schemars(with = "f64")]
    pub(super) boot: Spanned<f64>,
    /// For a factory reset, until it serves again.
    #[schemars(with = "f64")]
    pub(super) reset: Spanned<f64>,
    /// For installing an update.
    #[schemars(with = "f64")]
    pub(super) update: Spanned<f64>,
}

impl Default for TimingEntry {
    fn default() -> Self {
        Self {
            boot: Spanned::new(0..0, 5.0),
            reset: Spanned::new(0..0, 10.0),
            update: Spanned::new(0..0, 60.0),
        }
    }
}

/// How the console speaks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DialectEntry {
    /// Bits per second, unless the device says otherwise.
    pub(super) baud: NonZeroU32,
}

impl Default for DialectEntry {
    fn default() -> Self {
        Self {
            baud: NonZeroU32::new(115_200).expect("not zero"),
        }
    }
}

impl TargetEntry {
    pub(super) const DRIVER: &str = "driver.star";
    pub(super) const ICS: &str = "ics.toml";
    pub(super) const IXIT: &str = "ixit.toml";
}

impl DeviceEntry {
    /// The image set and where it is asked for: the target's name stands for the default.
    pub(super) fn image_set(&self) -> (&str, std::ops::Range<usize>) {
        match &self.images {
            Some(set) => (set.get_ref(), set.span()),
            None => (Target::DEFAULT_IMAGES, self.target.span()),
        }
    }
}
