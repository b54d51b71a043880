//! What can be wrong in the files of the inventory, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::contents::ImageFlaw;
use super::suggest::like;

/// What can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProblemKind {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Not TOML, or not of the shape that the file must have.
    #[error("{message}")]
    Malformed {
        /// What the parser says.
        message: String,
        /// The key that was probably meant.
        meant: Option<String>,
        /// `provebench schema` prints the file's JSON Schema under this name.
        schema: &'static str,
    },
    /// There is nothing to test on.
    #[error("there is no device in {}", path.display())]
    NoDevices {
        /// The inventory.
        path: PathBuf,
    },
    /// Names are used in file names and on the command line.
    #[error("`{name}` can't be the name of {what}")]
    BadName {
        /// What has the name, with its article.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two things have the same name.
    #[error("two {what}s are called `{name}`")]
    Duplicate {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A name that nothing has.
    #[error("no {what} is called `{name}`")]
    Unknown {
        /// What was looked for.
        what: String,
        /// The name.
        name: String,
        /// The names that there are, those most like it first.
        known: Vec<String>,
    },
    /// No such network can be made.
    #[error("there can be no network `{network}`: {reason}")]
    Network {
        /// Its name.
        network: String,
        /// Why not.
        reason: String,
    },
    /// The bench can't have such a service.
    #[error("there can be no service `{service}`: {reason}")]
    Service {
        /// Its name.
        service: String,
        /// Why not.
        reason: String,
    },
    /// A value that is not among those allowed.
    #[error("option `{option}` can't be `{value}` for target `{target}`")]
    OptionValue {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// The target that declares the option.
        target: String,
        /// The values that there are, those most like it first.
        known: Vec<String>,
    },
    /// One piece of equipment for two devices.
    #[error("devices `{first}` and `{second}` use the same {what}, {which}")]
    Shared {
        /// What kind of equipment.
        what: Equipment,
        /// Which one.
        which: String,
        /// The device that names it first.
        first: String,
        /// The device that names it, too.
        second: String,
    },
    /// One output of a switch, or one port, for two purposes.
    #[error("device `{device}` uses {which} for two things")]
    SharedWithin {
        /// What kind of equipment.
        what: Equipment,
        /// Which one.
        which: String,
        /// The device.
        device: String,
    },
    /// A device that nothing can be done with.
    #[error("device `{device}` has no equipment, no label, and no provider")]
    NotWired {
        /// The device.
        device: String,
    },
    /// A provider brings its own equipment.
    #[error("device `{device}` has `{provider}`, and still has `{key}`")]
    ProvidedAndReal {
        /// The device.
        device: String,
        /// The key that names the provider.
        provider: &'static str,
        /// What it has of its own.
        key: &'static str,
    },
    /// Not a selector of a probe.
    #[error("`{selector}` is not a probe selector")]
    Selector {
        /// The text.
        selector: String,
    },
    /// Not a URL of a plug.
    #[error("`{url}` is not the URL of a plug: {reason}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a URL of a serial port.
    #[error("`{url}` is not where a serial port is: {reason}")]
    ConsoleUrl {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a name that a network interface can have.
    #[error("`{name}` can't be the name of a network interface")]
    Interface {
        /// The text.
        name: String,
    },
    /// Not a VLAN.
    #[error("there is no VLAN {number}")]
    Vlan {
        /// The number.
        number: u16,
    },
    /// Something about a provider's settings that can't be.
    #[error("the provider of `{device}`: {what}")]
    Provider {
        /// The device.
        device: String,
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Something about a driver's settings that can't be.
    #[error("driver `{driver}`: {what}")]
    Driver {
        /// The driver.
        driver: &'static str,
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A target's name is that of its folder, so that devices.toml finds it.
    #[error("the target in folder `{folder}` calls itself `{name}`")]
    TargetName {
        /// The name.
        name: String,
        /// The folder's name.
        folder: String,
    },
    /// A part of a debug probe, and no probe.
    #[error("device `{device}` has no debug probe that this could be a part of")]
    NoProbe {
        /// The device.
        device: String,
    },
    /// A debug probe has to know what it is wired to.
    #[error("device `{device}` has a debug probe, and target `{target}` names no chip")]
    NoChip {
        /// The device.
        device: String,
        /// Its target.
        target: String,
    },
    /// A description of chips, and no name of one.
    #[error("`chip_description` describes chips, and there is no `chip`")]
    ChipUnnamed,
    /// A register that can't tell one chip from another.
    #[error("the identity register at {address:#x} tells nothing: {reason}")]
    Identity {
        /// Its address.
        address: u64,
        /// Why not.
        reason: &'static str,
    },
    /// A region of no size, or beyond the address space.
    #[error("memory region `{region}` of {size:#x} bytes at {start:#x} is {}", if *size == 0 { "empty" } else { "beyond the address space" })]
    RegionRange {
        /// The region.
        region: String,
        /// Its first address.
        start: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// Two regions have addresses in common.
    #[error("memory regions `{first}` and `{second}` overlap from {:#x} up to {:#x}", common.start, common.end)]
    Overlap {
        /// The region that is named first.
        first: String,
        /// The other one.
        second: String,
        /// What they have in common.
        common: Range<u64>,
    },
    /// Raw bytes do not say where they go.
    #[error("image `{image}` is to be programmed, but has no address")]
    NoAddress {
        /// The image.
        image: String,
    },
    /// The file itself says where it goes.
    #[error("image `{image}` has an address, but its file says where it goes")]
    NeedlessAddress {
        /// The image.
        image: String,
    },
    /// An image where nothing can be programmed.
    #[error("image `{image}` goes to {address:#x}, which is {what}")]
    AddressOutside {
        /// The image.
        image: String,
        /// The first address that is wrong.
        address: u64,
        /// What is there.
        what: String,
        /// The regions that there are, for people.
        regions: String,
    },
    /// An image that can't be what it is said to be.
    #[error("image `{image}` {flaw}: {}", path.display())]
    BadImage {
        /// The image.
        image: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Box<ImageFlaw>,
    },
    /// Two images for one address.
    #[error("images `{first}` and `{second}` both go to {:#x}..{:#x}", common.start, common.end)]
    ImagesOverlap {
        /// The image that goes there, too.
        first: String,
        /// The image.
        second: String,
        /// What they have in common.
        common: Range<u64>,
    },
    /// What was tested is not what is there now.
    #[error("image `{image}` has changed since it was read first: {}", path.display())]
    ImageChanged {
        /// The image.
        image: String,
        /// Its file.
        path: PathBuf,
    },
    /// An image that does not fit.
    #[error(
        "image `{image}` of {size:#x} bytes at {address:#x} reaches beyond region `{region}`, which ends at {end:#x}"
    )]
    TooLarge {
        /// The image.
        image: String,
        /// Its size in bytes.
        size: u64,
        /// Where it goes.
        address: u64,
        /// The region.
        region: String,
        /// Where that ends.
        end: u64,
    },
    /// Images that are not there, or can't be read.
    #[error("{} {}: {}", subject(images), absence(source), path.display())]
    ImagesMissing {
        /// The images.
        images: Vec<String>,
        /// Where the first of them should be.
        path: PathBuf,
        /// The command that builds them, if the target says so.
        build: Option<String>,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// A duration that can't be.
    #[error("{} s is not a valid duration in seconds", provebench_record::text::number(*seconds))]
    Duration {
        /// The number.
        seconds: f64,
    },
    /// A chip description that probe-rs does not take.
    #[error("{} is not a chip description for probe-rs: {message}", path.display())]
    ChipDescription {
        /// The file.
        path: PathBuf,
        /// What probe-rs says.
        message: String,
    },
}

/// Equipment that one device has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equipment {
    /// Debug probe.
    Probe,
    /// Serial port.
    Console,
    /// Output of a plug, relay board, supply, ...
    Switch,
    /// Folder of a virtual board's memory.
    Folder,
    /// Network interface, or a VLAN of one.
    Interface,
}

impl fmt::Display for Equipment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Console => "console port",
            Self::Switch => "switch",
            Self::Folder => "folder",
            Self::Interface => "network interface",
        })
    }
}

impl ProblemKind {
    /// What stands at the marked place.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Unreadable { .. } => "named here".into(),
            Self::Malformed { .. } | Self::Driver { .. } | Self::Provider { .. } => "here".into(),
            Self::NoDevices { .. } => "no [[device]]".into(),
            Self::BadName { .. } => "not a name".into(),
            Self::Duplicate { .. } => "the same name again".into(),
            Self::Unknown { .. } | Self::OptionValue { .. } => "not known".into(),
            Self::Shared { second, .. } => format!("used by `{second}`, too"),
            Self::SharedWithin { .. } => "used here, too".into(),
            Self::NotWired { .. } => "no way to reach it".into(),
            Self::ProvidedAndReal { .. } => "its provider brings its own".into(),
            Self::Selector { .. } => "not VID:PID[:SERIAL]".into(),
            Self::Url { .. } | Self::ConsoleUrl { .. } => "not a URL".into(),
            Self::Interface { .. } => "not an interface".into(),
            Self::Vlan { .. } => "not a VLAN".into(),
            Self::TargetName { folder, .. } => format!("should be `{folder}`"),
            Self::NoProbe { .. } => "needs a probe".into(),
            Self::NoChip { .. } => "wired to what?".into(),
            Self::ChipUnnamed => "of which the product has which?".into(),
            Self::Identity { .. } => "always wrong, or always right".into(),
            Self::RegionRange { .. } => "no such range".into(),
            Self::Overlap { .. } => "overlaps".into(),
            Self::NoAddress { .. } => "no address".into(),
            Self::NeedlessAddress { .. } => "has no effect".into(),
            Self::AddressOutside { .. } => "in no such region".into(),
            Self::TooLarge { .. } => "does not fit".into(),
            Self::ImagesMissing { .. }
            | Self::ChipDescription { .. }
            | Self::BadImage { .. }
            | Self::ImageChanged { .. } => "this file".into(),
            Self::ImagesOverlap { .. } => "goes there, too".into(),
            Self::Duration { .. } => "not a time".into(),
            Self::Network { .. } | Self::Service { .. } => "this one".into(),
        }
    }

    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
                "save it as UTF-8".into()
            }
            Self::Unreadable { remedy, .. }
            | Self::Driver { remedy, .. }
            | Self::Provider { remedy, .. } => (*remedy).into(),
            Self::Malformed {
                meant: Some(meant), ..
            } => format!("did you mean `{meant}`?"),
            Self::Malformed { schema, .. } => {
                format!("`provebench schema {schema}` prints what the file may hold")
            }
            Self::NoDevices { .. } => {
                "add a [[device]] with its name and target; a virtual one needs \
                no hardware: virtual = { board = \"mps2-an385\" }"
                    .into()
            }
            Self::BadName { .. } => {
                "use letters, digits, `-`, `_` and `.`, a letter or digit first".into()
            }
            Self::Duplicate { what, .. } => format!("give each {what} a name of its own"),
            Self::Unknown { what, name, known } => suggestion(what, name, known),
            Self::OptionValue {
                option,
                value,
                known,
                ..
            } => suggestion(&format!("value of `{option}`"), value, known),
            Self::Shared {
                what: Equipment::Probe,
                ..
            } => "give each device a probe of its own; probes of \
                one kind are told apart by serial number: VID:PID:SERIAL"
                .into(),
            Self::Shared {
                what: Equipment::Switch,
                ..
            }
            | Self::SharedWithin {
                what: Equipment::Switch | Equipment::Probe | Equipment::Folder | Equipment::Interface,
                ..
            } => "switching it would reach both: wire each to an output of its own".into(),
            Self::SharedWithin {
                what: Equipment::Console,
                ..
            } => "the console and the switch need a port each".into(),
            Self::Shared {
                what: Equipment::Interface,
                ..
            } => "two devices on one network would see each other: give each an interface of its own, \
                or each a VLAN of its own on the same one"
                .into(),
            Self::Shared { what, .. } => format!("give each device a {what} of its own"),
            Self::NotWired { .. } => {
                "add what it is wired to: `console = { ... }`, `network = { ... }`, `power = { ... }`, `probe = { ... }`; \
                or `virtual = { board = \"mps2-an385\" }`; or its `label`, if it is only there to be compared with"
                    .into()
            }
            Self::ProvidedAndReal { key, provider, .. } => {
                format!("remove `{key}`, or `{provider}` if nothing provides its equipment")
            }
            Self::Selector { .. } => {
                "write VID:PID or VID:PID:SERIAL in hex, as in `1366:1015:000123456789`; \
                `lsusb -v` shows all three"
                    .into()
            }
            Self::Url { .. } => "write http://HOST or http://HOST:PORT".into(),
            Self::ConsoleUrl { .. } => {
                "write a path, rfc2217://HOST:PORT, socket://HOST:PORT for a server that passes bytes as they are, or rtt:// \
                 for RTT through the debug probe"
                    .into()
            }
            Self::Network { .. } => {
                "`gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, \"Networks and services\""
                    .into()
            }
            Self::Service { .. } => {
                "docs/targets.md, \"Networks and services\", has what can be said of a service".into()
            }
            Self::Interface { .. } => {
                "`ip -br link` lists the interfaces of this machine; a VLAN of one is written \
                { interface = \"enp3s0\", vlan = 42 }"
                    .into()
            }
            Self::Vlan { .. } => "give a number from 1 to 4094".into(),
            Self::TargetName { name, folder } => {
                format!("write name = \"{folder}\", or rename the folder to `{name}`")
            }
            Self::NoChip { .. } => {
                "add `chip = \"...\"` to [target] in target.toml, by probe-rs' name, or leave the probe out".into()
            }
            Self::ChipUnnamed => {
                "add `chip = \"...\"`, by its name in the description".into()
            }
            Self::NoProbe { .. } => {
                "add `probe = { selector = ... }` to the device, or use other equipment".into()
            }
            Self::Identity { .. } => {
                "give `address` of a 32-bit register, `mask` with the bits that count, and `value` as \
                they read, as in the chip's manual"
                    .into()
            }
            Self::RegionRange { .. } => {
                "give `start` and `size` in bytes, as in the chip's memory map".into()
            }
            Self::Overlap { .. } => {
                "split the larger region, so that each address has one role".into()
            }
            Self::NoAddress { .. } => {
                "add `address = 0x...`, or `flash = false` if only test cases use it".into()
            }
            Self::NeedlessAddress { .. } => {
                "remove `address`, or `format` if the file holds raw bytes".into()
            }
            Self::AddressOutside { regions, .. } => format!("the target's regions are: {regions}"),
            Self::BadImage { flaw, .. } => flaw.remedy(),
            Self::ImagesOverlap { .. } => {
                "leave one of them out (flash = false), or correct where it goes".into()
            }
            Self::ImageChanged { .. } => {
                "don't build while it is tested: the results would be of two firmwares; run it again".into()
            }
            Self::TooLarge { .. } => {
                "build a smaller image, or correct the address or the region".into()
            }
            Self::ImagesMissing { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
                "`path` is relative to target.toml".into()
            }
            Self::ImagesMissing {
                images,
                build: Some(build),
                ..
            } => {
                let it = if images.len() == 1 { "it" } else { "them" };
                format!("build {it} with `{build}`, from the root of the repository")
            }
            Self::ImagesMissing { build: None, .. } => {
                "build it, or correct `path` (relative to target.toml)".into()
            }
            Self::Duration { .. } => "write seconds as a positive number, such as 2.5".into(),
            Self::ChipDescription { .. } => {
                "make one with probe-rs' target-gen, or leave `chip_description` \
                out for chips that probe-rs knows"
                    .into()
            }
        }
    }
}

/// "Did you mean", if one is like it; else all that there are, as far as people would read.
fn suggestion(what: &str, name: &str, known: &[String]) -> String {
    const MOST: usize = 12;
    match known {
        [] => format!("there is no {what} at all"),
        [first, ..] if like(name, first) => format!("did you mean `{first}`?"),
        _ if known.len() <= MOST => {
            format!("there is {}", quoted(known))
        }
        _ => format!("there are {}, but none is like it", known.len()),
    }
}

/// How images are that can't be read.
fn absence(why: &std::io::Error) -> &'static str {
    match why.kind() {
        std::io::ErrorKind::NotFound => "not there",
        _ => "not to be read",
    }
}

fn subject(images: &[String]) -> String {
    match images {
        [only] => format!("image `{only}` is"),
        several => format!("images {} are", quoted(several)),
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
