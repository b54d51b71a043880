//! Whether this user may open what the bench has: device nodes, before anything is opened.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, Gid, Group, Uid, User, access};
use probe_rs::probe::DebugProbeSelector;

use super::Findings;
use provebench_bench::{
    inventory::{ConsolePort, ProbeConfig, SwitchConfig, Wiring},
    usb::{is_in_network, usb_devices},
};

const RULES: &str = "`provebench doctor --udev-rules | sudo tee /etc/udev/rules.d/69-provebench.rules`, then `sudo udevadm \
    control --reload && sudo udevadm trigger`, lets users at this machine and groups plugdev and dialout open it";

/// Looks at every file that the equipment of a device is opened by. `root` is that of the file system.
pub(super) fn look(findings: &mut Findings, root: &Path, wiring: &Wiring) {
    if let Some(probe) = &wiring.probe {
        of_probe(findings, root, probe);
    }
    if let Some(console) = &wiring.console
        && let ConsolePort::Serial(path) = &console.port
    {
        if wiring.power.is_some() && !path.exists() {
            findings.note(
                format!("console: there is no {}", path.display()),
                "one inside the board is there only while it has power; else plug it in, or correct devices.toml",
            );
        } else {
            of_port(findings, "console", path);
        }
    }
    let power = wiring
        .power
        .iter()
        .map(|switch| ("power".to_owned(), switch));
    let carrier = wiring.carrier.iter();
    let carrier = carrier.map(|switch| ("carrier".to_owned(), switch));
    let actuators = wiring.actuators.iter();
    let actuators = actuators.map(|(name, switch)| (format!("button {name}"), switch));
    for (what, switch) in power.chain(carrier).chain(actuators) {
        of_switch(findings, root, &what, switch);
    }
}

fn of_probe(findings: &mut Findings, root: &Path, probe: &ProbeConfig) {
    // Selectors were checked when devices.toml was read.
    let Ok(selector) = probe.selector.parse::<DebugProbeSelector>() else {
        return;
    };
    if is_in_network(&selector) {
        return;
    }
    let plugged_in = usb_devices(root);
    let of_kind: Vec<_> = plugged_in
        .iter()
        .filter(|device| {
            (device.vendor, device.product) == (selector.vendor_id, selector.product_id)
        })
        .collect();
    let matching: Vec<_> = of_kind
        .iter()
        .filter(|device| device.is_probe(&selector))
        .collect();
    let what = format!("debug probe {}", probe.selector);
    match matching[..] {
        [] => {
            let others: Vec<String> = of_kind
                .iter()
                .map(|device| {
                    let serial = device.probe_serial().unwrap_or_else(|| "none".into());
                    format!("{serial} ({})", device.place)
                })
                .collect();
            let remedy = if others.is_empty() {
                "plug it in; `provebench devices scan` lists what is".to_owned()
            } else {
                format!(
                    "correct its serial number in devices.toml; those of that kind here have: {}",
                    others.join(", ")
                )
            };
            findings.wrong(format!("{what} is not plugged in"), remedy);
        }
        [device] => of_node(findings, &what, &device.node),
        [..] => {
            let places: Vec<&str> = matching.iter().map(|device| &*device.place).collect();
            findings.wrong(
                format!(
                    "{what} may be any of {}, plugged in at {}",
                    matching.len(),
                    places.join(", ")
                ),
                "give its serial number: VID:PID:SERIAL; clones that share one can't be on one bench",
            );
        }
    }
}

fn of_switch(findings: &mut Findings, root: &Path, what: &str, switch: &SwitchConfig) {
    if let Some(port) = switch.serial_port() {
        return of_port(findings, what, port);
    }
    match switch {
        SwitchConfig::Gpio(config) => of_node(findings, what, &config.chip),
        SwitchConfig::UsbHub(config) => {
            let file = config
                .folder(&root.join("sys/bus/usb/devices"))
                .join("disable");
            of_node(findings, &format!("{what}, {}", switch.output()), &file);
        }
        _ => {}
    }
}

fn of_port(findings: &mut Findings, what: &str, port: &Path) {
    match fs::metadata(port) {
        Ok(port) if port.file_type().is_char_device() => {}
        Ok(_) => {
            return findings.wrong(
                format!("{what}: {} is not a serial port", port.display()),
                "correct the port in devices.toml; `provebench devices scan` lists those that there are",
            );
        }
        Err(error) => return missing(findings, what, port, &error),
    }
    of_node(findings, what, port);
}

fn of_node(findings: &mut Findings, what: &str, path: &Path) {
    // Links are followed: whose the link is does not matter.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let metadata = match fs::metadata(&real) {
        Ok(metadata) => metadata,
        Err(error) => return missing(findings, what, path, &error),
    };
    if access(&real, AccessFlags::R_OK | AccessFlags::W_OK).is_ok() {
        return findings.good(format!("{what}: you may open {}", path.display()));
    }
    let user = User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(metadata.gid()))
        .ok()
        .flatten();
    let user = user.map_or_else(|| metadata.uid().to_string(), |user| user.name);
    let group = group.map_or_else(|| metadata.gid().to_string(), |group| group.name);
    let mode = metadata.mode() & 0o777;
    // A group that has what is missing is joined; else rules have to give it to one.
    let remedy = if mode & 0o060 == 0o060 && group != "root" {
        format!("`sudo usermod -aG {group} $USER`, and log in again; or {RULES}")
    } else {
        RULES.to_owned()
    };
    findings.wrong(
        format!(
            "{what}: you may not open {}, which belongs to {user}:{group} (mode {mode:03o})",
            path.display()
        ),
        remedy,
    );
}

fn missing(findings: &mut Findings, what: &str, path: &Path, error: &io::Error) {
    let path = path.display();
    let what = match error.kind() {
        io::ErrorKind::NotFound => format!("{what}: there is no {path}"),
        _ => format!("{what}: {path} can't be looked at: {error}"),
    };
    findings.wrong(
        what,
        "plug it in, or correct devices.toml; `provebench devices scan` lists what is there",
    );
}

/// The file system of this machine.
pub(super) fn root() -> PathBuf {
    "/".into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;
    use crate::doctor::Level;
    use provebench_bench::inventory::{ConsoleConfig, GpioConfig, Protocol, UsbHubConfig};
    use provebench_testing::usb::plug_in_a_j_link;

    /// A machine with two probes of a kind and a hub.
    #[fixture]
    fn root() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (place, device, serial) in [("1-1", 4, "0001"), ("1-2", 5, "0002")] {
            plug_in_a_j_link(root.path(), place, device, serial);
            write(&format!("dev/bus/usb/001/00{device}"), "");
        }
        write("sys/bus/usb/devices/1-1:1.0/bInterfaceClass", "ff\n");
        write("sys/bus/usb/devices/1-3:1.0/1-3-port2/disable", "0\n");
        root
    }

    fn look_at(root: &TempDir, wiring: &Wiring) -> (Level, String) {
        let mut findings = Findings::default();
        look(&mut findings, root.path(), wiring);
        let [finding] = &findings.0[..] else {
            panic!("{findings:?}")
        };
        let remedy = finding.remedy.clone().unwrap_or_default();
        (finding.level, format!("{} | {remedy}", finding.what))
    }

    fn probe(selector: &str) -> Wiring {
        Wiring {
            probe: Some(ProbeConfig {
                selector: selector.into(),
                protocol: Protocol::Swd,
                speed_khz: None,
            }),
            ..Wiring::default()
        }
    }

    #[rstest]
    #[case::there("1366:1015:0002", Level::Good, "you may open")]
    #[case::not_that_one("1366:1015:0003", Level::Wrong, "0001 (1-1), 0002 (1-2)")]
    #[case::not_that_kind("0483:374b:0001", Level::Wrong, "is not plugged in | plug it in")]
    #[case::one_of_two("1366:1015", Level::Wrong, "any of 2, plugged in at 1-1, 1-2")]
    fn a_probe_is_looked_for(
        root: TempDir,
        #[case] selector: &str,
        #[case] level: Level,
        #[case] says: &str,
    ) {
        let (found, text) = look_at(&root, &probe(selector));
        assert_eq!(found, level, "{text}");
        assert!(text.contains(says), "{text}");
    }

    #[rstest]
    fn a_probe_in_the_network_has_no_file(root: TempDir) {
        let mut findings = Findings::default();
        look(
            &mut findings,
            root.path(),
            &probe("1d50:6018:127.0.0.1:4242"),
        );
        assert_eq!(findings, Findings::default());
    }

    fn console(path: PathBuf) -> Wiring {
        Wiring {
            console: Some(ConsoleConfig {
                port: ConsolePort::Serial(path),
                baud: 9600,
            }),
            ..Wiring::default()
        }
    }

    #[rstest]
    #[case::none("dev/ttyUSB0", "there is no")]
    #[case::file("sys/bus/usb/devices/1-1/serial", "is not a serial port")]
    fn a_port_that_is_none_is_told(root: TempDir, #[case] path: &str, #[case] says: &str) {
        let (level, text) = look_at(&root, &console(root.path().join(path)));
        assert_eq!(level, Level::Wrong);
        assert!(
            text.contains(says) && text.contains("devices scan"),
            "{text}"
        );
    }

    fn button(switch: SwitchConfig) -> Wiring {
        Wiring {
            actuators: BTreeMap::from([("reset".into(), switch)]),
            ..Wiring::default()
        }
    }

    #[rstest]
    #[case::there(2, Level::Good)]
    #[case::not_there(3, Level::Wrong)]
    fn a_port_of_a_hub_is_its_file(root: TempDir, #[case] port: u8, #[case] level: Level) {
        let hub = UsbHubConfig {
            hub: "1-3".into(),
            port: port.try_into().unwrap(),
        };
        let (found, text) = look_at(&root, &button(SwitchConfig::UsbHub(hub)));
        assert_eq!(found, level, "{text}");
        assert!(text.contains(&format!("1-3-port{port}/disable")), "{text}");
    }

    #[rstest]
    fn a_gpio_chip_is_its_file(root: TempDir) {
        let gpio = GpioConfig {
            chip: root.path().join("dev/gpiochip9"),
            line: 1,
            active_low: false,
        };
        let (level, text) = look_at(&root, &button(SwitchConfig::Gpio(gpio)));
        assert_eq!(level, Level::Wrong);
        assert!(text.contains("gpiochip9"), "{text}");
    }
}
