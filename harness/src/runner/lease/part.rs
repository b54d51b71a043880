//! What a board is told by, whatever name an inventory has for it: its probe, its console and its network; a virtual one
//! by where its memory is.
//!
//! Inventories need not agree on what belongs to a board: one has its probe, another only its console. So all parts
//! that are there are leased.

use std::{
    collections::BTreeSet,
    path::{self, Path, PathBuf},
};

use probe_rs::probe::DebugProbeSelector;

use crate::bench::memory_of;
use crate::inventory::{Attachment, ConsolePort, Device, NetworkPort, Wiring};

/// Between the name of a kind and what tells its members apart; neither paths nor network interfaces have it.
const WITHIN: char = '\n';

/// What is leased of a board.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// The same for all users of this host.
    pub(super) name: String,
    /// Only named together with something more exact, so that others may do so too.
    pub(super) is_shared: bool,
}

impl Part {
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
pub(super) fn parts(device: &Device) -> Vec<Part> {
    let mut parts = match &device.attachment {
        Attachment::Virtual(board) => at("virtual", &memory_of(&device.name, board)),
        Attachment::Real(wiring) => wired(wiring),
    };
    if parts.is_empty() {
        parts.push(Part::alone(format!("name {}", device.name)));
    }
    in_order(parts)
}

/// Each once: a path may lead to itself.
pub(super) fn in_order(parts: impl IntoIterator<Item = Part>) -> Vec<Part> {
    parts
        .into_iter()
        .collect::<BTreeSet<Part>>()
        .into_iter()
        .collect()
}

fn wired(wiring: &Wiring) -> Vec<Part> {
    let mut parts = Vec::new();
    parts.extend(wiring.probe.iter().flat_map(|p| probe(&p.selector)));
    parts.extend(wiring.console.iter().flat_map(|c| console(&c.port)));
    parts.extend(wiring.network.iter().flat_map(network));
    parts
}

/// A selector without a serial number may mean any probe of its kind, and one without an interface any of the probe's:
/// it needs all of them for itself. Which probes are plugged in is not asked: those on a board that is switched off are
/// not, and come back in the middle of a run.
fn probe(selector: &str) -> Vec<Part> {
    let Ok(selector) = selector.parse::<DebugProbeSelector>() else {
        // What is no selector can't be in an inventory.
        return vec![Part::alone(format!("probe {selector}"))];
    };
    let kind = format!(
        "probe {:04x}:{:04x}",
        selector.vendor_id, selector.product_id
    );
    match (selector.serial_number, selector.interface) {
        (None, _) => one_of(kind, []),
        (Some(serial), None) => one_of(kind, [serial]),
        (Some(serial), Some(interface)) => one_of(kind, [serial, interface.to_string()]),
    }
}

fn console(port: &ConsolePort) -> Vec<Part> {
    match port {
        ConsolePort::Serial(path) => at("console", path),
        // A part of the probe, and the text is the same for many boards.
        ConsolePort::Rtt(_) => Vec::new(),
        ConsolePort::Socket(_) | ConsolePort::Rfc2217(_) => {
            vec![Part::alone(format!("console {port}").to_lowercase())]
        }
    }
}

/// Without a VLAN, all of them.
fn network(port: &NetworkPort) -> Vec<Part> {
    let interface = format!("network {}", port.interface);
    one_of(interface, port.vlan.map(|vlan| vlan.to_string()))
}

/// What each of `exactly` tells is one of what the name before it may mean. The last is had alone; the others are
/// shared, so that nobody can have all that they may mean.
fn one_of(mut name: String, exactly: impl IntoIterator<Item = String>) -> Vec<Part> {
    let mut parts = Vec::new();
    for word in exactly {
        let member = format!("{name}{WITHIN}{word}");
        parts.push(Part {
            name,
            is_shared: true,
        });
        name = member;
    }
    parts.push(Part::alone(name));
    parts
}

/// By the path as it is written and by where it leads: links such as those in /dev/serial/by-id lead to the same port,
/// and nowhere while the board is switched off, if its port is on the board.
fn at(kind: &str, path: &Path) -> Vec<Part> {
    let written = path::absolute(path).ok();
    let leads_to = path.canonicalize().ok();
    let named = |path: PathBuf| Part::alone(format!("{kind} {}", path.display()));
    written.into_iter().chain(leads_to).map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;
    use crate::inventory::{ConsoleConfig, ProbeConfig, Protocol, RttPort};

    /// Whether two can't have both at the same time.
    fn exclude(one: &[Part], other: &[Part]) -> bool {
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
