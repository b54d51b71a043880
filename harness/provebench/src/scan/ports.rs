//! Serial ports, by names that stay the same when cables are moved or the machine starts anew.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Of a UART that there may be or not, as PCs have them: nothing is there (`PORT_UNKNOWN`).
const NO_UART: &str = "0";

/// A serial port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SerialPort {
    /// The best of its names.
    pub path: PathBuf,
    /// What the kernel calls it: `ttyUSB0`.
    pub device: String,
    /// Vendor and product of the USB device that it is in.
    pub usb: Option<(u16, u16)>,
    /// Serial number of the USB device.
    pub serial: Option<String>,
    /// Where the USB device is plugged in.
    pub place: Option<String>,
}

/// A USB adapter without a serial number of its own, also used by relay boards.
pub(super) const fn is_ch340(vendor: u16, product: u16) -> bool {
    vendor == 0x1a86 && matches!(product, 0x7522 | 0x7523 | 0x5523)
}

/// All that have hardware behind them. `root` is that of the file system.
pub(super) fn serial_ports(root: &Path) -> Vec<SerialPort> {
    let by_id = links(&root.join("dev/serial/by-id"));
    let by_path = links(&root.join("dev/serial/by-path"));
    let mut ports: Vec<SerialPort> = fs::read_dir(root.join("sys/class/tty"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let device = entry.file_name().into_string().ok()?;
            // Terminals of the kernel's own have none.
            let hardware = entry.path().join("device").canonicalize().ok()?;
            let kind = fs::read_to_string(entry.path().join("type"));
            if kind.is_ok_and(|kind| kind.trim() == NO_UART) {
                return None;
            }
            let mut port = SerialPort {
                path: root.join("dev").join(&device),
                device: device.clone(),
                ..SerialPort::default()
            };
            port.describe(&hardware);
            // Adapters without a serial number take each other's name by-id.
            let names = if port.serial.is_some() {
                [&by_id, &by_path]
            } else {
                [&by_path, &by_id]
            };
            let stable = names.iter().find_map(|names| names.get(&device));
            port.path = stable.cloned().unwrap_or(port.path);
            Some(port)
        })
        .collect();
    ports.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    ports
}

impl SerialPort {
    /// From the USB device that it is in, if it is in one.
    fn describe(&mut self, hardware: &Path) {
        let text = |folder: &Path, name: &str| {
            let text = fs::read_to_string(folder.join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let number = |folder: &Path, name| u16::from_str_radix(&text(folder, name)?, 16).ok();
        for folder in hardware.ancestors() {
            let (Some(vendor), Some(product)) =
                (number(folder, "idVendor"), number(folder, "idProduct"))
            else {
                continue;
            };
            self.usb = Some((vendor, product));
            self.serial = text(folder, "serial");
            let place = folder.file_name().and_then(|name| name.to_str());
            self.place = place.map(str::to_owned);
            return;
        }
    }
}

/// Links to devices, by the device's name. Of several, the last by name, so that it is always the same one.
fn links(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut links: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    links.sort();
    links
        .into_iter()
        .filter_map(|link| {
            let target = fs::read_link(&link).ok()?;
            Some((target.file_name()?.to_str()?.to_owned(), link))
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;

    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;

    /// A machine as sysfs and udev show it: a J-Link with a port, two CH340 of the same name, a UART, a phantom.
    #[fixture]
    pub(in crate::scan) fn machine() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let link = |from: &str, to: &str| {
            let path = root.path().join(from);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let to = match to.strip_prefix('/') {
                Some(to) => root.path().join(to),
                None => to.into(),
            };
            symlink(to, path).unwrap();
        };
        let bus = "sys/devices/pci/usb1";
        for (place, kind, serial, ports) in [
            ("1-1", "1d6b:0002", None, "4"),
            ("1-1.1", "1366:1015", Some("000123456789"), "0"),
            ("1-1.2", "1a86:7523", None, "0"),
            ("1-1.3", "1a86:7523", None, "0"),
        ] {
            let (vendor, product) = kind.split_once(':').unwrap();
            let number = &place[place.len() - 1..];
            for (name, text) in [
                ("idVendor", vendor),
                ("idProduct", product),
                ("serial", serial.unwrap_or("")),
                ("busnum", "1"),
                ("devnum", number),
                ("maxchild", ports),
            ] {
                write(&format!("{bus}/{place}/{name}"), &format!("{text}\n"));
            }
            link(
                &format!("sys/bus/usb/devices/{place}"),
                &format!("/{bus}/{place}"),
            );
        }
        for (tty, place) in [
            ("ttyACM0", "1-1.1"),
            ("ttyUSB0", "1-1.2"),
            ("ttyUSB1", "1-1.3"),
        ] {
            let interface = format!("{bus}/{place}/{place}:1.0");
            write(&format!("{interface}/bInterfaceNumber"), "00\n");
            link(
                &format!("sys/class/tty/{tty}/device"),
                &format!("/{interface}"),
            );
            let name = format!("dev/serial/by-path/pci-usb-0:{}:1.0-port0", &place[2..]);
            link(&name, &format!("../../{tty}"));
        }
        link(
            "dev/serial/by-id/usb-SEGGER_J-Link_000123456789-if00",
            "../../ttyACM0",
        );
        link(
            "dev/serial/by-id/usb-1a86_USB_Serial-if00-port0",
            "../../ttyUSB1",
        );
        for (tty, kind) in [("ttyS0", "4"), ("ttyS1", "0")] {
            write(&format!("sys/class/tty/{tty}/type"), &format!("{kind}\n"));
            write("sys/devices/platform/serial8250/driver", "");
            link(
                &format!("sys/class/tty/{tty}/device"),
                "/sys/devices/platform/serial8250",
            );
        }
        write("sys/class/tty/tty0/dev", "4:0\n");
        root
    }

    #[rstest]
    fn ports_have_the_name_that_stays(machine: TempDir) {
        let ports = serial_ports(machine.path());
        let found: Vec<(String, &str, Option<&str>)> = ports
            .iter()
            .map(|port| {
                let path = port.path.strip_prefix(machine.path()).unwrap();
                (
                    path.display().to_string(),
                    &*port.device,
                    port.place.as_deref(),
                )
            })
            .collect();
        let expected = [
            (
                "dev/serial/by-id/usb-SEGGER_J-Link_000123456789-if00",
                "ttyACM0",
                Some("1-1.1"),
            ),
            // The name by-id of one of these two would be the other's tomorrow.
            (
                "dev/serial/by-path/pci-usb-0:1.2:1.0-port0",
                "ttyUSB0",
                Some("1-1.2"),
            ),
            (
                "dev/serial/by-path/pci-usb-0:1.3:1.0-port0",
                "ttyUSB1",
                Some("1-1.3"),
            ),
            ("dev/ttyS0", "ttyS0", None),
        ];
        let mut expected = expected.map(|(path, tty, place)| (path.to_owned(), tty, place));
        expected.sort();
        assert_eq!(found, expected);
    }
}
