//! What is plugged into this machine, and a `devices.toml` that uses it.

mod ports;
mod propose;

use std::path::{Path, PathBuf};

use probe_rs::probe::list::Lister;

pub use ports::SerialPort;
pub use propose::propose;

use provebench_bench::usb::{UsbDevice, usb_devices};
use provebench_network::{NetworkPort, check_port};

/// All that could be wired to a DUT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Debug probes.
    pub probes: Vec<FoundProbe>,
    /// Serial ports.
    pub ports: Vec<SerialPort>,
    /// Ethernet cards, by name, each with the reason why it can't be a DUT's.
    pub interfaces: Vec<(String, Option<String>)>,
    /// GPIO chips, with what is known about them.
    pub gpio_chips: Vec<(PathBuf, String)>,
    /// All on USB, hubs among them.
    pub usb: Vec<UsbDevice>,
}

/// A debug probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProbe {
    /// Vendor.
    pub vendor: u16,
    /// Product.
    pub product: u16,
    /// Serial number, if it has one.
    pub serial: Option<String>,
    /// What it calls itself.
    pub name: String,
}

impl FoundProbe {
    /// As `devices.toml` has it.
    pub fn selector(&self) -> String {
        let kind = format!("{:04x}:{:04x}", self.vendor, self.product);
        match &self.serial {
            Some(serial) => format!("{kind}:{serial}"),
            None => kind,
        }
    }
}

impl Found {
    /// Looks at this machine. Opens nothing but GPIO chips, to ask for their names. Blocks.
    pub fn here() -> Self {
        let root = Path::new("/");
        let usb = usb_devices(root);
        Self {
            probes: probes(&usb),
            ports: ports::serial_ports(root),
            interfaces: interfaces(root),
            gpio_chips: gpio_chips(),
            usb,
        }
    }
}

fn probes(usb: &[UsbDevice]) -> Vec<FoundProbe> {
    let listed = Lister::new()
        .list_all()
        .into_iter()
        .map(|probe| FoundProbe {
            vendor: probe.vendor_id,
            product: probe.product_id,
            serial: probe.serial_number.filter(|serial| !serial.is_empty()),
            name: probe.identifier,
        });
    one_for_each_device(usb, listed)
}

/// The probes among what probe-rs lists, of which some are listed once for each of their interfaces. Clones that share a
/// serial number stay.
fn one_for_each_device(
    usb: &[UsbDevice],
    listed: impl Iterator<Item = FoundProbe>,
) -> Vec<FoundProbe> {
    let mut probes: Vec<FoundProbe> = Vec::new();
    let listed = listed
        // probe-rs takes every CH340 for the boot loader of SiFli's chips.
        .filter(|probe| !ports::is_ch340(probe.vendor, probe.product))
        // Probes are on USB.
        .filter(|probe| {
            usb.iter()
                .any(|device| (device.vendor, device.product) == (probe.vendor, probe.product))
        });
    for probe in listed {
        let same = |known: &&FoundProbe| known.selector() == probe.selector();
        let is_there = |device: &&UsbDevice| {
            (device.vendor, device.product) == (probe.vendor, probe.product)
                && device.probe_serial() == probe.serial
        };
        let devices = usb.iter().filter(is_there).count().max(1);
        if probes.iter().filter(same).count() < devices {
            probes.push(probe);
        }
    }
    probes
}

/// Ethernet cards: what has hardware behind it.
fn interfaces(root: &Path) -> Vec<(String, Option<String>)> {
    let folder = root.join("sys/class/net");
    let mut interfaces: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let path = entry.path();
            path.join("device").exists() && !path.join("wireless").exists()
        })
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|interface| {
            let port = NetworkPort {
                interface: interface.clone(),
                vlan: None,
            };
            let reason = check_port(&port).err().map(|error| error.to_string());
            (interface, reason)
        })
        .collect();
    interfaces.sort();
    interfaces
}

fn gpio_chips() -> Vec<(PathBuf, String)> {
    let chips = gpiocdev::chip::chips().unwrap_or_default();
    let about = |path: PathBuf| {
        let info = gpiocdev::Chip::from_path(&path).and_then(|chip| chip.info());
        let about = match info {
            Ok(info) => format!("{}, {} lines", info.label, info.num_lines),
            Err(error) => error.to_string(),
        };
        (path, about)
    };
    chips.into_iter().map(about).collect()
}
