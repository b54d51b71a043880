//! USB devices, as the kernel shows them (Documentation/ABI/stable/sysfs-bus-usb).

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A device that is plugged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsbDevice {
    /// Where it is plugged in: `1-1.4`.
    pub place: String,
    /// Vendor.
    pub vendor: u16,
    /// Product.
    pub product: u16,
    /// Serial number, if it has one.
    pub serial: Option<String>,
    /// Manufacturer and product, in its own words.
    pub name: String,
    /// The file that programs open, below `dev`.
    pub node: PathBuf,
    /// How many ports it has: more than none for hubs.
    pub ports: u16,
}

/// All that are plugged in. `root` is that of the file system.
pub fn usb_devices(root: &Path) -> Vec<UsbDevice> {
    let folder = root.join("sys/bus/usb/devices");
    let mut devices: Vec<UsbDevice> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let place = entry.file_name().into_string().ok()?;
            read(root, &entry.path(), place)
        })
        .collect();
    devices.sort_unstable_by(|a, b| a.place.cmp(&b.place));
    devices
}

impl UsbDevice {
    /// Hub and port that it is plugged into; `None` for a root hub.
    pub fn plugged_into(&self) -> Option<(String, &str)> {
        if let Some((hub, port)) = self.place.rsplit_once('.') {
            return Some((hub.to_owned(), port));
        }
        let (bus, port) = self.place.split_once('-')?;
        Some((format!("usb{bus}"), port))
    }
}

/// `None` for what is no device but an interface of one.
fn read(root: &Path, folder: &Path, place: String) -> Option<UsbDevice> {
    let attribute = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let number = |name| u16::from_str_radix(&attribute(name)?, 16).ok();
    let count = |name| attribute(name)?.parse::<u16>().ok();
    let (bus, device) = (count("busnum")?, count("devnum")?);
    let words: Vec<String> = [attribute("manufacturer"), attribute("product")]
        .into_iter()
        .flatten()
        .collect();
    Some(UsbDevice {
        place,
        vendor: number("idVendor")?,
        product: number("idProduct")?,
        serial: attribute("serial").filter(|serial| !serial.is_empty()),
        name: words.join(" "),
        node: root.join(format!("dev/bus/usb/{bus:03}/{device:03}")),
        ports: count("maxchild").unwrap_or(0),
    })
}
