//! Equipment that two devices claim. Each claim alone may be right: only the whole file shows it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use probe_rs::probe::DebugProbeSelector;
use toml::Spanned;

use super::ConsolePort;
use super::error::Problem;
use super::file::{DeviceEntry, DevicesFile};
use super::problem::{Equipment, ProblemKind};
use super::source::Source;

/// Everything in the file that is claimed more than once.
pub(super) fn shared(file: &DevicesFile, source: &Source) -> Vec<Problem> {
    let claims: Vec<Claim> = file
        .device
        .iter()
        .flat_map(|entry| claims_of(entry.get_ref()))
        .collect();
    claims
        .iter()
        .enumerate()
        .filter_map(|(at, claim)| {
            let earlier = claims[..at]
                .iter()
                .find(|earlier| earlier.item.is_same(&claim.item))?;
            Some(conflict(source, earlier, claim))
        })
        .collect()
}

/// A device's claim of a piece of equipment.
struct Claim<'a> {
    device: &'a Spanned<String>,
    item: Item,
    /// The item as it is told to people.
    text: String,
    span: Range<usize>,
}

enum Item {
    Probe(DebugProbeSelector),
    Console(PathBuf),
    /// The port of a switch, which its other outputs share.
    Line(PathBuf),
    Switch(String),
    /// A supply, and whether one of its outputs is named.
    Supply(String, bool),
    Folder(PathBuf),
    Interface {
        name: String,
        vlan: Option<u16>,
    },
}

impl Item {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Probe(a), Self::Probe(b)) => {
                // Without a serial number, any probe of that kind may be taken.
                let serial_differs =
                    matches!((&a.serial_number, &b.serial_number), (Some(a), Some(b)) if a != b);
                let interface_differs =
                    matches!((a.interface, b.interface), (Some(a), Some(b)) if a != b);
                (a.vendor_id, a.product_id) == (b.vendor_id, b.product_id)
                    && !serial_differs
                    && !interface_differs
            }
            (Self::Console(a), Self::Console(b) | Self::Line(b))
            | (Self::Line(a), Self::Console(b))
            | (Self::Folder(a), Self::Folder(b)) => a == b,
            (Self::Switch(a), Self::Switch(b)) => a == b,
            (Self::Supply(a, a_says), Self::Supply(b, b_says)) => a == b && a_says != b_says,
            (
                Self::Interface { name, vlan },
                Self::Interface {
                    name: other_name,
                    vlan: other_vlan,
                },
            ) => {
                let vlan_differs = matches!((vlan, other_vlan), (Some(a), Some(b)) if a != b);
                name == other_name && !vlan_differs
            }
            _ => false,
        }
    }

    fn kind(&self) -> Equipment {
        match self {
            Self::Probe(_) => Equipment::Probe,
            Self::Console(_) | Self::Line(_) => Equipment::Console,
            Self::Switch(_) | Self::Supply(..) => Equipment::Switch,
            Self::Folder(_) => Equipment::Folder,
            Self::Interface { .. } => Equipment::Interface,
        }
    }
}

fn claims_of(entry: &DeviceEntry) -> Vec<Claim<'_>> {
    let claim = |item, text, span| Claim {
        device: &entry.name,
        item,
        text,
        span,
    };
    let mut claims = Vec::new();
    if let Some(probe) = &entry.probe {
        let selector = &probe.get_ref().selector;
        // What is no selector is told elsewhere.
        if let Ok(parsed) = selector.get_ref().parse() {
            claims.push(claim(
                Item::Probe(parsed),
                selector.get_ref().clone(),
                selector.span(),
            ));
        }
    }
    // RTT is a part of the probe, which is claimed already.
    if let Some(console) = entry.console.as_ref().filter(|console| {
        let port = console.get_ref().port.get_ref();
        !port.to_string_lossy().starts_with(ConsolePort::RTT)
    }) {
        let port = &console.get_ref().port;
        claims.push(claim(
            Item::Console(port_of(port.get_ref())),
            port.get_ref().display().to_string(),
            port.span(),
        ));
    }
    if let Some(network) = &entry.network {
        let interface = &network.get_ref().interface;
        let vlan = network.get_ref().vlan.as_ref();
        let name = interface.get_ref().clone();
        let vlan = vlan.map(|vlan| *vlan.get_ref());
        let text = vlan.map_or_else(|| name.clone(), |vlan| format!("VLAN {vlan} of {name}"));
        claims.push(claim(Item::Interface { name, vlan }, text, network.span()));
    }
    let switches = entry.power.iter().chain(&entry.carrier);
    for switch in switches.chain(entry.actuators.values()) {
        let canonical = switch.get_ref().canonical();
        let mut real = canonical.output();
        let mut text = switch.get_ref().output();
        if switch.get_ref().is_probe() {
            let probe = entry.probe.as_ref().map(|probe| &probe.get_ref().selector);
            let selector = probe.map_or("", |selector| selector.get_ref());
            text = format!("{text} {selector}");
            real.clone_from(&text);
        }
        claims.push(claim(Item::Switch(real), text.clone(), switch.span()));
        if let Some((supply, says_which)) = canonical.supply() {
            claims.push(claim(Item::Supply(supply, says_which), text, switch.span()));
        }
        if let (Some(port), Some(real)) = (switch.get_ref().serial_port(), canonical.serial_port())
        {
            let text = port.display().to_string();
            claims.push(claim(Item::Line(real.to_owned()), text, switch.span()));
        }
    }
    if let Some(dir) = entry
        .virtual_board
        .as_ref()
        .and_then(|board| board.get_ref().dir.as_ref())
    {
        claims.push(claim(
            Item::Folder(dir.get_ref().clone()),
            dir.get_ref().display().to_string(),
            dir.span(),
        ));
    }
    claims
}

/// Links such as /dev/serial/by-id/... lead to the same port.
fn port_of(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn conflict(source: &Source, earlier: &Claim, claim: &Claim) -> Problem {
    let (first, second) = (earlier.device.get_ref(), claim.device.get_ref());
    let which = claim.text.clone();
    let mut used_first = format!("used by `{first}`");
    let kind = if earlier.device.span() == claim.device.span() {
        "used here".clone_into(&mut used_first);
        ProblemKind::SharedWithin {
            what: claim.item.kind(),
            which,
            device: second.clone(),
        }
    } else {
        ProblemKind::Shared {
            what: claim.item.kind(),
            which,
            first: first.clone(),
            second: second.clone(),
        }
    };
    source
        .problem(kind, claim.span.clone())
        .with_other(earlier.span.clone(), used_first)
}
