//! USB devices, as the kernel shows them (Documentation/ABI/stable/sysfs-bus-usb).

use std::{
    fs,
    path::{Path, PathBuf},
};

use probe_rs::probe::DebugProbeSelector;

/// STMicroelectronics.
const ST: u16 = 0x0483;
/// Shorter serial numbers of ST-Links are no text, and probe-rs has them in hexadecimal.
const ST_LINK_SERIAL: usize = 24;
/// Black Magic probes, which can be reached over the network.
const BLACK_MAGIC: (u16, u16) = (0x1d50, 0x6018);

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

/// Whether the probe is reached over the network: `VID:PID:ADDRESS:PORT`.
pub fn is_in_network(selector: &DebugProbeSelector) -> bool {
    let serial = selector.serial_number.as_deref();
    (selector.vendor_id, selector.product_id) == BLACK_MAGIC
        && serial.is_some_and(|serial| serial.contains(':'))
}

impl UsbDevice {
    /// Whether probe-rs may take it for the probe that is meant.
    pub fn is_probe(&self, selector: &DebugProbeSelector) -> bool {
        (self.vendor, self.product) == (selector.vendor_id, selector.product_id)
            && selector
                .serial_number
                .as_ref()
                .is_none_or(|wanted| self.probe_serial().unwrap_or_default() == *wanted)
    }

    /// Its serial number as probe-rs has it.
    pub fn probe_serial(&self) -> Option<String> {
        let serial = self.serial.as_ref()?;
        if self.vendor != ST || serial.len() >= ST_LINK_SERIAL {
            return Some(serial.clone());
        }
        Some(hex::encode_upper(serial))
    }

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
        // No more than the kernel added: some serial numbers are no text.
        Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    };
    let number = |name| u16::from_str_radix(attribute(name)?.trim(), 16).ok();
    let count = |name| attribute(name)?.trim().parse::<u16>().ok();
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::j_link(0x1366, Some("000123"), "1366:1015:000123", true)]
    #[case::any_of_the_kind(0x1366, Some("000123"), "1366:1015", true)]
    #[case::another(0x1366, Some("000123"), "1366:1015:000124", false)]
    #[case::without_number(0x1366, None, "1366:1015:000124", false)]
    #[case::st_link_v2(0x0483, Some("?\u{6}Q"), "0483:1015:3F0651", true)]
    #[case::st_link_v2_1(
        0x0483,
        Some("066BFF555052836687031442"),
        "0483:1015:066BFF555052836687031442",
        true
    )]
    fn a_probe_is_known_by_what_probe_rs_calls_it(
        #[case] vendor: u16,
        #[case] serial: Option<&str>,
        #[case] selector: &str,
        #[case] is_it: bool,
    ) {
        let device = UsbDevice {
            vendor,
            product: 0x1015,
            serial: serial.map(str::to_owned),
            ..UsbDevice::default()
        };
        assert_eq!(device.is_probe(&selector.parse().unwrap()), is_it);
    }

    #[rstest]
    #[case::black_magic("1d50:6018:192.168.1.9:2022", true)]
    #[case::espressif("303a:1001:7C:DF:A1:00:11:22", false)]
    fn only_one_kind_is_in_the_network(#[case] selector: &str, #[case] is_it: bool) {
        assert_eq!(is_in_network(&selector.parse().unwrap()), is_it);
    }
}
