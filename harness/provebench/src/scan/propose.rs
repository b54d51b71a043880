//! A `devices.toml` to be filled in.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{Found, FoundProbe, SerialPort, ports::is_ch340};
use provebench_record::text::one_line;

/// The second port of a Black Magic Probe is the UART; the first speaks GDB's protocol.
const BLACK_MAGIC: (u16, u16) = (0x1d50, 0x6018);

/// A `devices.toml` that uses what was found: a device for each probe, with the serial port that the probe has, and one
/// for each serial port that is no probe's. `targets` are those that there are.
///
/// It is right as soon as target and label are filled in; what else could be used stands in comments.
pub fn propose(found: &Found, targets: &[String]) -> String {
    let mut text = String::from(
        "# What is plugged into this machine, proposed by `provebench devices scan`.\n\
         # Fill in `target` and `label`, name the devices, delete what is none; then `provebench check` and\n\
         # `provebench doctor`. docs/bench.md has more on each line.\n",
    );
    let mut free = found.ports.clone();
    let mut number = 0;
    for probe in &found.probes {
        number += 1;
        let clones = found
            .probes
            .iter()
            .filter(|other| other.selector() == probe.selector());
        begin(&mut text, number, targets);
        if clones.count() > 1 {
            text += "# Another probe has the same numbers: which one is taken is chance. Use one of them on another machine.\n";
        }
        let _ = writeln!(
            text,
            "probe = {{ selector = {} }} # {}",
            quoted(&probe.selector()),
            comment(&probe.name)
        );
        if let Some(port) = take_port_of(probe, &mut free) {
            console(&mut text, &port);
        } else {
            text += "# console = { port = \"rtt://\" } # or a serial port, below\n";
        }
        equipment(&mut text, found);
    }
    // An adapter is somebody's console, a CH340 may also be a relay board.
    for port in &free {
        number += 1;
        begin(&mut text, number, targets);
        console(&mut text, port);
        equipment(&mut text, found);
    }
    if number == 0 {
        text += "\n# There is neither a debug probe nor a serial port. A virtual board needs none:\n#\n";
        let mut example = String::new();
        begin(&mut example, 1, targets);
        example += "virtual = { board = \"mps2-an385\" }\n";
        for line in example.trim_start().lines() {
            let _ = writeln!(text, "# {line}");
        }
    }
    others(&mut text, found);
    text
}

fn begin(text: &mut String, number: usize, targets: &[String]) {
    let only = match targets {
        [only] => only.as_str(),
        _ => "",
    };
    let known: Vec<String> = targets.iter().map(|target| comment(target)).collect();
    let _ = write!(
        text,
        "\n[[device]]\nname = \"device-{number}\"\ntarget = {} # a folder in targets: {}\n\
         label = {{ serial = \"\", password = \"\" }} # as printed on it\n",
        quoted(only),
        known.join(", ")
    );
}

fn console(text: &mut String, port: &SerialPort) {
    let mut about = port.device.clone();
    if let Some((vendor, product)) = port.usb {
        let _ = write!(about, ", USB {vendor:04x}:{product:04x}");
        if is_ch340(vendor, product) {
            about +=
                "; if it is a relay board: power = { driver = \"lcus\", port = ..., relay = 1 }";
        }
    }
    let _ = writeln!(
        text,
        "console = {{ port = {} }} # {}",
        path(&port.path),
        comment(&about)
    );
}

/// What nobody can tell which device it belongs to.
fn equipment(text: &mut String, found: &Found) {
    for (interface, reason) in &found.interfaces {
        if reason.is_none() {
            let interface = quoted(interface);
            let _ = writeln!(text, "# network = {{ interface = {interface} }}");
        }
    }
    *text += "# power = { driver = ... } # what switches its supply\n";
    if !found.probes.is_empty() {
        *text += "# actuators.reset = { driver = \"probe\" } # if nRST of the probe is wired\n";
    }
}

/// The probe's own serial port is in the same USB device.
fn take_port_of(probe: &FoundProbe, free: &mut Vec<SerialPort>) -> Option<SerialPort> {
    let kind = (probe.vendor, probe.product);
    let is_its = |port: &SerialPort| port.usb == Some(kind) && port.serial == probe.serial;
    let mut its: Vec<usize> = (0..free.len()).filter(|at| is_its(&free[*at])).collect();
    // Sorted by name, so by interface.
    let chosen = match (kind, &its[..]) {
        (BLACK_MAGIC, [_, second, ..]) => *second,
        (_, [first, ..]) => *first,
        (_, []) => return None,
    };
    let port = free[chosen].clone();
    its.reverse();
    for at in its {
        free.remove(at);
    }
    Some(port)
}

fn others(text: &mut String, found: &Found) {
    let refused: Vec<_> = found
        .interfaces
        .iter()
        .filter_map(|(interface, reason)| Some((interface, reason.as_ref()?)))
        .collect();
    if !refused.is_empty() {
        text.push_str("\n# Network interfaces that can't be a device's:\n");
        for (interface, reason) in refused {
            let _ = writeln!(text, "#   {}: {}", comment(interface), comment(reason));
        }
    }
    if !found.gpio_chips.is_empty() {
        text.push_str("\n# GPIO chips (`gpioinfo` lists their lines), for power and actuators:\n");
        for (chip, about) in &found.gpio_chips {
            let _ = writeln!(
                text,
                "# {{ driver = \"gpio\", chip = {}, line = 0 }} # {}",
                path(chip),
                comment(about)
            );
        }
    }
    hubs(text, found);
}

fn hubs(text: &mut String, found: &Found) {
    let mut plugged_in: BTreeMap<(String, &str), String> = BTreeMap::new();
    for device in found.usb.iter().filter(|device| device.ports == 0) {
        if let Some(socket) = device.plugged_into() {
            let name = format!(
                "{:04x}:{:04x} {}",
                device.vendor, device.product, device.name
            );
            plugged_in.insert(socket, name);
        }
    }
    if plugged_in.is_empty() {
        return;
    }
    text.push_str(
        "\n# USB ports with something plugged in, for devices that they feed (`uhubctl` tells which hubs switch power):\n",
    );
    for ((hub, port), name) in plugged_in {
        let _ = writeln!(
            text,
            "# power = {{ driver = \"usb-hub\", hub = {}, port = {} }} # feeds {}",
            quoted(&hub),
            comment(port),
            comment(&name)
        );
    }
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Whatever USB devices call themselves: it stays on its line.
fn comment(text: &str) -> String {
    one_line(text, 120)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::super::ports::{serial_ports, tests::machine};
    use super::*;
    use provebench_bench::inventory::{ConsolePort, Inventory};
    use provebench_bench::usb::usb_devices;

    fn jlink() -> FoundProbe {
        FoundProbe {
            vendor: 0x1366,
            product: 0x1015,
            serial: Some("000123456789".into()),
            name: "J-Link\n[[device]]".into(),
        }
    }

    fn found(machine: &TempDir) -> Found {
        Found {
            probes: vec![jlink()],
            ports: serial_ports(machine.path()),
            interfaces: vec![
                ("enp1s0".into(), Some("this machine's default route".into())),
                ("enp3s0".into(), None),
            ],
            gpio_chips: vec![("/dev/gpiochip0".into(), "pinctrl, 54 lines".into())],
            usb: usb_devices(machine.path()),
        }
    }

    /// The inventory that somebody makes of it who fills in what is asked for.
    fn filled_in(text: &str) -> Inventory {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("devices.toml");
        let text = text
            .replace("target = \"\"", "target = \"reference-sensor\"")
            .replace(
                "serial = \"\", password = \"\"",
                "serial = \"PB1\", password = \"x\"",
            );
        fs::write(&file, &text).unwrap();
        Inventory::load_allowing(&file, &repository.join("targets"), &[repository.to_owned()])
            .unwrap_or_else(|error| panic!("{error:?} in {text}"))
    }

    #[rstest]
    fn what_is_proposed_is_right_once_it_is_filled_in(machine: TempDir) {
        let text = propose(
            &found(&machine),
            &["reference-sensor".into(), "other".into()],
        );
        let inventory = filled_in(&text);
        let consoles: Vec<_> = inventory
            .devices
            .iter()
            .map(|device| {
                let wiring = device.provider.wiring().unwrap();
                let console = wiring.console.as_ref().unwrap();
                let ConsolePort::Serial(path) = &console.port else {
                    panic!("{console:?}")
                };
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (wiring.probe.clone().map(|probe| probe.selector), name)
            })
            .collect();
        let jlink = Some("1366:1015:000123456789".to_owned());
        assert_eq!(consoles.len(), 4, "{text}");
        assert!(
            consoles.contains(&(jlink, "usb-SEGGER_J-Link_000123456789-if00".into())),
            "{consoles:?}"
        );
        assert!(consoles.contains(&(None, "ttyS0".into())), "{consoles:?}");
        for words in [
            "# network = { interface = \"enp3s0\" }",
            "#   enp1s0: this machine's default route",
            "chip = \"/dev/gpiochip0\", line = 0 } # pinctrl, 54 lines",
            "hub = \"1-1\", port = 2 } # feeds 1a86:7523",
            "if it is a relay board",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(
            !text.contains("# network = { interface = \"enp1s0\" }"),
            "{text}"
        );
    }

    /// What stands in comments is as right as the rest.
    #[rstest]
    fn what_is_commented_out_can_be_used(machine: TempDir) {
        let found = Found {
            ports: Vec::new(),
            ..found(&machine)
        };
        let text = propose(&found, &["reference-sensor".into()])
            .replace("# network =", "network =")
            .replace("# console =", "console =")
            .replace("# actuators.reset =", "actuators.reset =")
            .replace("# power = { driver = ... }", "# power");
        let text = text.replacen("# power = { driver = \"usb-hub\"", "POWER", 1);
        let power = text.lines().find(|line| line.starts_with("POWER")).unwrap();
        let power = power.replace("POWER", "power = { driver = \"usb-hub\"");
        let text = text.replace("label =", &format!("{power}\nlabel ="));
        let text = text.lines().filter(|line| !line.starts_with("POWER"));
        let inventory = filled_in(&text.collect::<Vec<_>>().join("\n"));
        let words = inventory.devices[0].capabilities();
        for word in ["probe", "console", "power", "press.reset", "net"] {
            assert!(
                words.contains(&word.parse().unwrap()),
                "{word} in {words:?}"
            );
        }
    }

    #[rstest]
    fn of_a_black_magic_probe_the_second_port_is_the_console() {
        let port = |n: u8| SerialPort {
            path: format!("/dev/serial/by-id/usb-Black_Magic-if0{n}").into(),
            device: format!("ttyACM{n}"),
            usb: Some(BLACK_MAGIC),
            serial: Some("7BAD".into()),
            place: Some("1-2".into()),
        };
        let found = Found {
            probes: vec![FoundProbe {
                vendor: BLACK_MAGIC.0,
                product: BLACK_MAGIC.1,
                serial: Some("7BAD".into()),
                name: "Black Magic Probe".into(),
            }],
            ports: vec![port(0), port(2)],
            ..Found::default()
        };
        let text = propose(&found, &["reference-sensor".into()]);
        assert_eq!(filled_in(&text).devices.len(), 1);
        assert!(text.contains("Black_Magic-if02\" }"), "{text}");
    }

    #[rstest]
    fn clones_are_told() {
        let found = Found {
            probes: vec![jlink(), jlink()],
            ..Found::default()
        };
        let text = propose(&found, &[]);
        assert_eq!(
            text.matches("Another probe has the same numbers").count(),
            2
        );
    }

    #[test]
    fn where_nothing_is_there_is_a_virtual_board() {
        let text = propose(&Found::default(), &["reference-sensor".into()]);
        assert_eq!(
            toml::from_str::<toml::Table>(&text).unwrap(),
            toml::Table::new()
        );
        let example = text.split("needs none:\n#\n").nth(1).unwrap();
        let lines = example.lines().map(|line| line.strip_prefix("# ").unwrap());
        let inventory = filled_in(&lines.collect::<Vec<_>>().join("\n"));
        assert_eq!(inventory.devices[0].provider.kind(), Some("virtual"));
    }
}
