//! Whose fault it is when a serial port vanishes.

use std::{fs, path::Path};

use crate::{inventory::ConsolePort, usb::usb_devices};

/// Who makes a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The bench, with power of its own: a terminal server, a port of this machine.
    Bench,
    /// An adapter at a USB port, or the debug probe. It may be soldered onto the DUT's board, and lose power together
    /// with it.
    Adapter,
    /// Maybe the DUT itself, which then comes and goes as it likes: a USB device that is a modem to the system. Adapters
    /// of that kind can't be told apart from it.
    Dut,
}

impl Whose {
    /// Of a port that is there. `probe` is the debug probe's selector; `root` is that of the file system.
    pub(super) fn of(port: &ConsolePort, probe: Option<&str>, root: &Path) -> Self {
        match port {
            ConsolePort::Socket(_) | ConsolePort::Rfc2217(_) => Self::Bench,
            ConsolePort::Rtt(_) => Self::Adapter,
            ConsolePort::Serial(path) => of_serial(path, probe, root).unwrap_or(Self::Bench),
        }
    }
}

/// `None` if it is not at a USB port.
fn of_serial(path: &Path, probe: Option<&str>, root: &Path) -> Option<Whose> {
    let node = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = node.file_name()?;
    let interface = root.join("sys/class/tty").join(name).join("device");
    let interface = fs::canonicalize(interface).ok()?;
    let device = interface
        .ancestors()
        .find(|folder| folder.join("idVendor").exists())?;
    let driver = fs::canonicalize(interface.join("driver")).ok();
    let is_modem = driver.is_some_and(|driver| driver.ends_with("cdc_acm"));
    let is_probe = || {
        let selector = probe?.parse().ok()?;
        let place = device.file_name()?.to_str()?;
        let devices = usb_devices(root);
        let known = devices.iter().find(|known| known.place == place)?;
        known.is_probe(&selector).then_some(())
    };
    if is_modem && is_probe().is_none() {
        Some(Whose::Dut)
    } else {
        Some(Whose::Adapter)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;
    use provebench_testing::usb::plug_in_a_j_link;

    #[rstest]
    #[case::adapter("ftdi_sio", None, Whose::Adapter)]
    #[case::of_the_dut("cdc_acm", None, Whose::Dut)]
    #[case::of_another_probe("cdc_acm", Some("1366:1015:0002"), Whose::Dut)]
    #[case::of_the_probe("cdc_acm", Some("1366:1015:0001"), Whose::Adapter)]
    fn the_system_tells_whose_a_usb_port_is(
        #[case] driver: &str,
        #[case] probe: Option<&str>,
        #[case] whose: Whose,
    ) {
        let root = TempDir::new().unwrap();
        plug_in_a_j_link(root.path(), "1-1", 4, "0001");
        let sys = root.path().join("sys");
        let interface = sys.join("bus/usb/devices/1-1/1-1:1.0");
        let (driver, tty) = (
            sys.join("bus/usb/drivers").join(driver),
            sys.join("class/tty/ttyX0"),
        );
        for folder in [&interface, &driver, &tty] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(&driver, interface.join("driver")).unwrap();
        symlink(&interface, tty.join("device")).unwrap();
        let port = ConsolePort::Serial("/dev/ttyX0".into());
        assert_eq!(Whose::of(&port, probe, root.path()), whose);
    }

    #[rstest]
    #[case::server(ConsolePort::Socket("10.0.0.1:4001".into()))]
    #[case::pseudo_terminal(ConsolePort::Serial("/dev/pts/0".into()))]
    fn other_ports_are_the_benchs(#[case] port: ConsolePort) {
        assert_eq!(Whose::of(&port, None, Path::new("/")), Whose::Bench);
    }
}
