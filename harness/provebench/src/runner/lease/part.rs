//! What a board is told by, whatever name an inventory has for it: its probe, its console, its network, and the outputs
//! that switch its power and hold its buttons; what a program provides, by what its provider says.
//!
//! Inventories need not agree on what belongs to a board: one has its probe, another only its console. So all parts
//! that are there are leased.

use std::{
    collections::BTreeMap,
    path::{self, Path, PathBuf},
};

use probe_rs::probe::DebugProbeSelector;

use provebench_bench::LeasedBy;
use provebench_bench::inventory::{ConsolePort, Device, SwitchConfig, Wiring};
use provebench_network::NetworkPort;

/// Between the name of a kind and what tells its members apart; neither paths nor network interfaces have it.
const WITHIN: char = '\n';

/// Chips of FTDI's, by vendor and product: each of so many channels is a probe, and an interface of the same device.
const CHANNELS: [(u16, u16, u8); 2] = [(0x0403, 0x6010, 2), (0x0403, 0x6011, 4)];

/// What is leased of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockKey {
    /// The same for all users of this host.
    pub(super) name: String,
    /// Only named together with something more exact, so that others may do so too.
    pub(super) is_shared: bool,
}

impl LockKey {
    pub(super) fn alone(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_shared: false,
        }
    }

    /// What names of the members begin with, if this is a kind.
    pub(super) fn members(&self) -> String {
        format!("{}{WITHIN}", self.name)
    }
}

/// The parts of a board, at least one. In an order that is the same for all: who has one waits only for later ones, so
/// no two can wait for each other.
pub(super) fn parts(device: &Device) -> Vec<LockKey> {
    let mut parts = match device.provider.leased_by(&device.name) {
        LeasedBy::Equipment(wiring) => wired(wiring),
        LeasedBy::Folder(kind, folder) => at(kind, folder),
        LeasedBy::Text(text) => vec![LockKey::alone(text)],
    };
    if parts.is_empty() {
        parts.push(LockKey::alone(format!("name {}", device.name)));
    }
    in_order(parts)
}

/// Each once: a path may lead to itself. What is shared and had alone is had alone, or the board would wait for itself.
pub(super) fn in_order(parts: impl IntoIterator<Item = LockKey>) -> Vec<LockKey> {
    let mut by_name = BTreeMap::new();
    for LockKey { name, is_shared } in parts {
        *by_name.entry(name).or_insert(true) &= is_shared;
    }
    let parts = by_name.into_iter();
    parts
        .map(|(name, is_shared)| LockKey { name, is_shared })
        .collect()
}

/// Those of equipment that was provided, in the same order.
pub(super) fn provided(wiring: &Wiring) -> Vec<LockKey> {
    in_order(wired(wiring))
}

fn wired(wiring: &Wiring) -> Vec<LockKey> {
    let mut parts = Vec::new();
    parts.extend(wiring.probe.iter().flat_map(|p| probe(&p.selector)));
    parts.extend(wiring.console.iter().flat_map(|c| console(&c.port)));
    parts.extend(wiring.network.iter().flat_map(network));
    parts.extend(wiring.switches().flat_map(switch));
    parts
}

/// A selector without a serial number may mean any probe of its kind, and one without an interface any of the probe's:
/// it needs all of them for itself. Which probes are plugged in is not asked: those on a board that is switched off are
/// not, and come back in the middle of a run.
fn probe(selector: &str) -> Vec<LockKey> {
    let Ok(selector) = selector.parse::<DebugProbeSelector>() else {
        // What is no selector can't be in an inventory.
        return vec![LockKey::alone(format!("probe {selector}"))];
    };
    let kind = format!(
        "probe {:04x}:{:04x}",
        selector.vendor_id, selector.product_id
    );
    let ids = (selector.vendor_id, selector.product_id);
    let channels = CHANNELS.iter().find(|(vid, pid, _)| (*vid, *pid) == ids);
    if let Some((_, _, number)) = channels {
        // As many kinds of probes: two channels are never the same probe, whichever chips they are of.
        let any = 0..*number;
        let which = match selector.interface {
            Some(one) if any.contains(&one) => one..one + 1,
            _ => any,
        };
        let serial = selector.serial_number;
        return which
            .flat_map(|channel| one_of(format!("{kind}-{channel}"), serial.clone()))
            .collect();
    }
    match (selector.serial_number, selector.interface) {
        (None, _) => one_of(kind, []),
        (Some(serial), None) => one_of(kind, [serial]),
        (Some(serial), Some(interface)) => one_of(kind, [serial, interface.to_string()]),
    }
}

fn console(port: &ConsolePort) -> Vec<LockKey> {
    match port {
        ConsolePort::Serial(path) => at("console", path),
        // A part of the probe, and the text is the same for many boards.
        ConsolePort::Rtt(_) => Vec::new(),
        ConsolePort::Socket(_) | ConsolePort::Rfc2217(_) => {
            vec![LockKey::alone(format!("console {port}").to_lowercase())]
        }
    }
}

/// Without a VLAN, all of them.
fn network(port: &NetworkPort) -> Vec<LockKey> {
    let interface = format!("network {}", port.interface);
    one_of(interface, port.vlan.map(|vlan| vlan.to_string()))
}

/// An output by the equipment as it is written and by what that is found to be, as in [`at`].
fn switch(switch: &SwitchConfig) -> Vec<LockKey> {
    if switch.is_probe() {
        // A part of the probe.
        return Vec::new();
    }
    let name = |switch: SwitchConfig| {
        let supply = switch.supply();
        let says_which = supply.as_ref().is_none_or(|(_, says_which)| *says_which);
        let output = says_which.then(|| switch.output());
        match (switch.serial_port(), supply) {
            // Outputs may share a port, but not with a console.
            (Some(port), _) => one_of(format!("console {}", port.display()), output),
            (None, Some((supply, _))) => one_of(format!("switch {supply}"), output),
            (None, None) => one_of(format!("switch {}", switch.output()), []),
        }
    };
    [switch.absolute(), switch.canonical()]
        .into_iter()
        .flat_map(name)
        .collect()
}

/// What each of `exactly` tells is one of what the name before it may mean. The last is had alone; the others are
/// shared, so that nobody can have all that they may mean.
fn one_of(mut name: String, exactly: impl IntoIterator<Item = String>) -> Vec<LockKey> {
    let mut parts = Vec::new();
    for word in exactly {
        let member = format!("{name}{WITHIN}{word}");
        parts.push(LockKey {
            name,
            is_shared: true,
        });
        name = member;
    }
    parts.push(LockKey::alone(name));
    parts
}

/// By the path as it is written and by where it leads: links such as those in /dev/serial/by-id lead to the same port,
/// and nowhere while the board is switched off, if its port is on the board.
fn at(kind: &str, path: &Path) -> Vec<LockKey> {
    let written = path::absolute(path).ok();
    let leads_to = path.canonicalize().ok();
    let named = |path: PathBuf| LockKey::alone(format!("{kind} {}", path.display()));
    written.into_iter().chain(leads_to).map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;
    use provebench_bench::inventory::{ConsoleConfig, ProbeConfig, Protocol, RttPort};

    /// Whether two can't have both at the same time.
    fn exclude(one: &[LockKey], other: &[LockKey]) -> bool {
        one.iter().any(|part| {
            let mut same = other.iter().filter(|other| other.name == part.name);
            same.any(|other| !(part.is_shared && other.is_shared))
        })
    }

    fn with(selector: Option<&str>, port: Option<ConsolePort>) -> Wiring {
        Wiring {
            probe: selector.map(|selector| ProbeConfig {
                selector: selector.into(),
                protocol: Protocol::Swd,
                speed_khz: None,
            }),
            console: port.map(|port| ConsoleConfig {
                port,
                baud: 115_200,
            }),
            ..Wiring::default()
        }
    }

    #[rstest]
    #[case::leading_zero("d28:204", "0d28:0204", true)]
    #[case::capitals("0D28:0204:x", "0d28:0204:x", true)]
    #[case::any_of_the_kind("1366:1015", "1366:1015:000123456789", true)]
    #[case::any_interface("0403:6010:a", "0403:6010-1:a", true)]
    #[case::any_serial("0403:6010-1", "0403:6010:a", true)]
    #[case::neither_serial("0403:6010-1", "0403:6010", true)]
    #[case::same("0403:6010-1:a", "403:6010-01:a", true)]
    #[case::other_probe("1366:1015:1", "1366:1015:2", false)]
    #[case::begins_alike("1366:1015:1", "1366:1015:12", false)]
    #[case::other_interface("0403:6010-0:a", "0403:6010-1:a", false)]
    #[case::other_kind("1366:1015", "1366:1016", false)]
    #[case::other_channel("0403:6010-0", "0403:6010-1", false)]
    #[case::other_channel_of_four("0403:6011-2", "0403:6011-3", false)]
    #[case::other_channel_of_one("0403:6010-0", "0403:6010-1:a", false)]
    #[case::same_channel_of_one("0403:6010-0", "0403:6010-0:a", true)]
    #[case::same_channel_of_none("0403:6010-0", "0403:6010-0:", true)]
    #[case::no_such_channel("0403:6010-1", "0403:6010-2", true)]
    #[case::channels_or_not("1366:1015-0", "1366:1015-1", true)]
    fn a_probe_is_the_same_however_it_is_selected(
        #[case] one: &str,
        #[case] other: &str,
        #[case] is_same: bool,
    ) {
        assert_eq!(exclude(&probe(one), &probe(other)), is_same);
        assert_eq!(exclude(&probe(other), &probe(one)), is_same);
        assert!(exclude(&probe(one), &probe(one)));
    }

    #[rstest]
    #[case::all_of_it("eth1", None, "eth1", Some(5), true)]
    #[case::same("eth1", Some(5), "eth1", Some(5), true)]
    #[case::other_vlan("eth1", Some(5), "eth1", Some(6), false)]
    #[case::other("eth1", None, "eth10", None, false)]
    fn a_network_is_an_interface_or_a_vlan_of_it(
        #[case] one: &str,
        #[case] one_vlan: Option<u16>,
        #[case] other: &str,
        #[case] other_vlan: Option<u16>,
        #[case] is_same: bool,
    ) {
        let port = |interface: &str, vlan| NetworkPort {
            interface: interface.into(),
            vlan,
        };
        let (one, other) = (port(one, one_vlan), port(other, other_vlan));
        assert_eq!(exclude(&network(&one), &network(&other)), is_same);
    }

    #[test]
    fn a_part_in_common_is_enough() {
        let port = || Some(ConsolePort::Serial("/dev/ttyACM0".into()));
        let whole = wired(&with(Some("1366:1015:1"), port()));
        assert!(exclude(&whole, &wired(&with(None, port()))));
        assert!(exclude(&whole, &wired(&with(Some("1366:1015"), None))));
    }

    #[test]
    fn rtt_is_no_part_of_its_own() {
        let port = RttPort {
            address: None,
            channel: 0,
        };
        let port = || Some(ConsolePort::Rtt(port));
        let boards = ["1366:1015:1", "1366:1015:2"].map(|probe| wired(&with(Some(probe), port())));
        assert!(!exclude(&boards[0], &boards[1]));
    }

    fn switch_of(text: &str) -> SwitchConfig {
        toml::from_str(&text.replace(", ", "\n")).unwrap()
    }

    #[rstest]
    #[case::address(
        r#"driver = "shelly", url = "http://a:b@Plug.lab:80/", output = 0"#,
        r#"driver = "shelly", url = "http://plug.lab""#,
        true
    )]
    #[case::relay(
        r#"driver = "tasmota", url = "http://10.0.0.5""#,
        r#"driver = "tasmota", url = "http://10.0.0.5", relay = 2"#,
        false
    )]
    #[case::rights(
        r#"driver = "apc-pdu", host = "PDU", outlet = 3, community = "a""#,
        r#"driver = "apc-pdu", host = "pdu", outlet = 3, udp_port = 161"#,
        true
    )]
    #[case::outlet(
        r#"driver = "apc-pdu", host = "pdu", outlet = 3"#,
        r#"driver = "apc-pdu", host = "pdu", outlet = 13"#,
        false
    )]
    #[case::other_pdu(
        r#"driver = "apc-pdu", host = "pdu", outlet = 3"#,
        r#"driver = "apc-pdu", host = "pdu", outlet = 3, udp_port = 1161"#,
        false
    )]
    #[case::ipv6(
        r#"driver = "scpi", host = "FE80:0::1""#,
        r#"driver = "scpi", host = "fe80::1", voltage = 5.0"#,
        true
    )]
    #[case::channel(
        r#"driver = "scpi", host = "supply", channel = 1"#,
        r#"driver = "scpi", host = "supply", channel = 2"#,
        false
    )]
    #[case::door(
        r#"driver = "tasmota-mqtt", broker = "mqtt://Lab:1883", topic = "t""#,
        r#"driver = "tasmota-mqtt", broker = "mqtts://a:b@lab", topic = "t", relay = 1"#,
        true
    )]
    #[case::endpoint(
        r#"driver = "zigbee2mqtt", broker = "mqtt://lab", name = "t", endpoint = "l1""#,
        r#"driver = "zigbee2mqtt", broker = "mqtt://lab", name = "t", endpoint = "l2""#,
        false
    )]
    #[case::hub(
        r#"driver = "usb-hub", hub = "1-1.4", port = 2"#,
        r#"driver = "usb-hub", hub = "1-1.4", port = 3"#,
        false
    )]
    #[case::whole_supply(
        r#"driver = "scpi", host = "supply""#,
        r#"driver = "scpi", host = "SUPPLY", channel = 2"#,
        true
    )]
    #[case::whole_supply_at_a_port(
        r#"driver = "scpi", port = "/dev/x""#,
        r#"driver = "scpi", port = "/dev/x", channel = 2"#,
        true
    )]
    #[case::supply_at_a_port(
        r#"driver = "scpi", port = "/dev/x", channel = 1"#,
        r#"driver = "scpi", port = "/dev/x", channel = 2"#,
        false
    )]
    #[case::level(
        r#"driver = "gpio", line = 17"#,
        r#"driver = "gpio", line = 17, chip = "/dev/./gpiochip0", active_low = true"#,
        true
    )]
    #[case::line(
        r#"driver = "gpio", line = 17"#,
        r#"driver = "gpio", line = 18"#,
        false
    )]
    #[case::command(
        r#"driver = "command", on = ["x","1"], off = ["y","1"]"#,
        r#"driver = "command", on = ["x","1"], off = ["z","1"], timeout = 5"#,
        true
    )]
    #[case::other_command(
        r#"driver = "command", on = ["x","1"], off = ["y","1"]"#,
        r#"driver = "command", on = ["x","2"], off = ["y","1"]"#,
        false
    )]
    #[case::other_driver(
        r#"driver = "tasmota", url = "http://10.0.0.5""#,
        r#"driver = "shelly", url = "http://10.0.0.5", output = 1"#,
        false
    )]
    fn an_output_is_the_same_however_it_is_written(
        #[case] one: &str,
        #[case] other: &str,
        #[case] is_same: bool,
    ) {
        let (one, other) = (switch(&switch_of(one)), switch(&switch_of(other)));
        assert_eq!(exclude(&one, &other), is_same, "{one:?} {other:?}");
        assert!(exclude(&one, &one));
    }

    /// Relays share their board's port; a console does not share it.
    #[test]
    fn relays_at_a_port_are_told_apart_also_through_a_link() {
        let dev = tempfile::tempdir().unwrap();
        let (port, link) = (dev.path().join("ttyUSB0"), dev.path().join("by-id"));
        std::fs::write(&port, "").unwrap();
        symlink(&port, &link).unwrap();
        let relay = |path: &Path, relay: u8| {
            let path = path.display();
            switch(&switch_of(&format!(
                r#"driver = "lcus", port = "{path}", relay = {relay}"#
            )))
        };
        assert!(exclude(&relay(&port, 1), &relay(&link, 1)));
        assert!(!exclude(&relay(&port, 1), &relay(&link, 2)));
        let console = console(&ConsolePort::Serial(link));
        assert!(exclude(&console, &relay(&port, 1)));
    }

    /// Its program is named relative to the inventory, which may be named relative to where a run begins.
    #[test]
    fn a_command_is_the_same_from_any_folder() {
        let command = |program: &str| {
            let text = format!(r#"driver = "command", on = ["{program}"], off = ["x"]"#);
            switch(&switch_of(&text))
        };
        let here = std::env::current_dir().unwrap();
        let from_elsewhere = here.join("plug").display().to_string();
        assert!(exclude(&command("./plug"), &command(&from_elsewhere)));
        assert!(!exclude(&command("./plug"), &command("plug")));
        // A program that has several names may go by them.
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| {
            let link = dir.path().join(name);
            symlink("/bin/true", &link).unwrap();
            command(&link.display().to_string())
        });
        assert!(!exclude(&one, &other));
    }

    #[test]
    fn nrst_is_no_part_of_its_own() {
        assert_eq!(switch(&switch_of(r#"driver = "probe""#)), []);
    }

    /// A board that has both would wait for itself.
    #[test]
    fn what_is_had_alone_is_not_shared_too() {
        let shared = LockKey {
            is_shared: true,
            ..LockKey::alone("console")
        };
        let alone = [LockKey::alone("console")];
        assert_eq!(in_order([shared.clone(), LockKey::alone("console")]), alone);
        assert_eq!(in_order([LockKey::alone("console"), shared]), alone);
    }

    #[test]
    fn a_power_switch_in_common_is_enough() {
        let board = |console: &str, outlet: u8| {
            let text = format!(r#"driver = "apc-pdu", host = "pdu", outlet = {outlet}"#);
            wired(&Wiring {
                power: Some(switch_of(&text)),
                ..with(None, Some(ConsolePort::Serial(console.into())))
            })
        };
        assert!(exclude(&board("/dev/a", 1), &board("/dev/b", 1)));
        assert!(!exclude(&board("/dev/a", 1), &board("/dev/b", 2)));
    }

    /// The port may be on the board, and gone while that is switched off.
    #[test]
    fn a_console_is_the_same_while_it_is_away() {
        let dev = tempfile::tempdir().unwrap();
        let (port, link) = (dev.path().join("ttyACM0"), dev.path().join("by-id"));
        symlink(&port, &link).unwrap();
        let parts = |path: &Path| console(&ConsolePort::Serial(path.into()));
        let away = [parts(&port), parts(&link)];
        std::fs::write(&port, "").unwrap();
        assert!(exclude(&parts(&port), &parts(&link)));
        for away in away {
            assert!(exclude(&parts(&link), &away));
        }
    }
}
