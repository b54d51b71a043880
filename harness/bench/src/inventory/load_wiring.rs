//! Equipment as files and programs name it, made a [`Wiring`].

use std::path::Path;

use provebench_network::NetworkPort;
use provebench_record::explain::explain;
use provebench_record::text::one_line;

use super::error::Problem;
use super::file::{ConsoleEntry, NetworkEntry, ProbeEntry, ProvidedFile, Wires};
use super::problem::ProblemKind;
use super::source::Source;
use super::switch::Role;
use super::{ConsoleConfig, ConsolePort, InventoryError, ProbeConfig, SwitchConfig, Wiring, check};

/// IEEE 802.1Q: 0 is no VLAN, 4095 is reserved.
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;
/// How much is shown of what a program has printed.
const SHOWN: usize = 200;

/// The wiring in a line of JSON that the provider of a device has printed, and whether the device ends with the lease.
///
/// # Errors
/// Why it is none, in one line.
pub(crate) fn wiring_printed(
    line: &str,
    device: &str,
    baud: u32,
    dir: &Path,
) -> Result<(Wiring, bool), String> {
    let shown = || format!("in `{}`", one_line(line, SHOWN));
    // JSON is read as TOML, so that both have the same words, checks and messages.
    let table: toml::Table =
        serde_json::from_str(line).map_err(|error| format!("{error} {}", shown()))?;
    let text = toml::to_string(&table).map_err(|error| format!("{error} {}", shown()))?;
    let source = Source::told("what its provider has printed", text, "wiring");
    let told = |error: InventoryError| {
        let problems = error.problems().iter().map(|problem| explain(problem));
        problems.collect::<Vec<_>>().join("; ")
    };
    let file: ProvidedFile = source.parse().map_err(|problem| told(problem.into()))?;
    let mut wirer = Wirer::new(&source, dir);
    let wiring = wirer.wiring(device, &file.wiring.wires(), baud);
    if wirer.problems.is_empty() {
        Ok((wiring, file.ends_with_lease))
    } else {
        Err(told(InventoryError::new(wirer.problems)))
    }
}

/// Collects what is wrong on the way.
pub(super) struct Wirer<'a> {
    source: &'a Source,
    /// What paths are relative to.
    dir: &'a Path,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Wirer<'a> {
    pub(super) fn new(source: &'a Source, dir: &'a Path) -> Self {
        Self {
            source,
            dir,
            problems: Vec::new(),
        }
    }

    /// What is wrong is left out, and among the problems.
    pub(super) fn wiring(&mut self, device: &str, wires: &Wires<'_>, baud: u32) -> Wiring {
        self.needs_a_probe(device, wires);
        let buttons = wires.actuators.keys();
        let names = check::names(self.source, "actuator", "an actuator", buttons);
        self.problems.extend(names);
        Wiring {
            probe: wires.probe.and_then(|probe| self.probe(probe.get_ref())),
            console: wires
                .console
                .and_then(|console| self.console(console.get_ref(), baud)),
            power: wires
                .power
                .and_then(|power| self.switch(power, Role::Power)),
            network: wires
                .network
                .and_then(|network| self.network(network.get_ref())),
            carrier: wires
                .carrier
                .and_then(|carrier| self.switch(carrier, Role::Carrier)),
            actuators: wires
                .actuators
                .iter()
                .filter_map(|(name, entry)| {
                    Some((name.get_ref().clone(), self.switch(entry, Role::Actuator)?))
                })
                .collect(),
        }
    }

    /// What is a part of the debug probe takes one.
    fn needs_a_probe(&mut self, device: &str, wires: &Wires<'_>) {
        if wires.probe.is_some() {
            return;
        }
        let buttons = wires.actuators.values();
        let lines = buttons.filter(|button| button.get_ref().is_probe());
        let lines = lines.map(toml::Spanned::span);
        let console = wires.console.map(|console| &console.get_ref().port);
        let rtt = console.filter(|port| {
            let port = port.get_ref().to_string_lossy();
            port.starts_with(ConsolePort::RTT)
        });
        for span in lines.chain(rtt.map(toml::Spanned::span)) {
            let kind = ProblemKind::NoProbe {
                device: device.to_owned(),
            };
            self.problems.push(self.source.problem(kind, span));
        }
    }

    fn probe(&mut self, entry: &ProbeEntry) -> Option<ProbeConfig> {
        let selector = entry.selector.get_ref();
        if selector
            .parse::<probe_rs::probe::DebugProbeSelector>()
            .is_err()
        {
            let kind = ProblemKind::Selector {
                selector: selector.clone(),
            };
            self.problems
                .push(self.source.problem(kind, entry.selector.span()));
            return None;
        }
        Some(ProbeConfig {
            selector: selector.clone(),
            protocol: entry.protocol,
            speed_khz: entry.speed_khz.map(std::num::NonZeroU32::get),
        })
    }

    fn console(&mut self, entry: &ConsoleEntry, baud: u32) -> Option<ConsoleConfig> {
        let text = entry.port.get_ref();
        let port = ConsolePort::parse(text, self.dir).map_err(|reason| {
            let url = text.display().to_string();
            let kind = ProblemKind::ConsoleUrl { url, reason };
            self.problems
                .push(self.source.problem(kind, entry.port.span()));
        });
        Some(ConsoleConfig {
            port: port.ok()?,
            baud: entry.baud.map_or(baud, std::num::NonZeroU32::get),
        })
    }

    fn network(&mut self, entry: &NetworkEntry) -> Option<NetworkPort> {
        let interface = entry.interface.get_ref();
        let vlan = entry.vlan.as_ref();
        let before = self.problems.len();
        if !check::is_interface(interface) {
            let kind = ProblemKind::Interface {
                name: interface.clone(),
            };
            let problem = self.source.problem(kind, entry.interface.span());
            self.problems.push(problem);
        }
        if let Some(vlan) = vlan
            && !VLANS.contains(vlan.get_ref())
        {
            let kind = ProblemKind::Vlan {
                number: *vlan.get_ref(),
            };
            self.problems.push(self.source.problem(kind, vlan.span()));
        }
        (self.problems.len() == before).then(|| NetworkPort {
            interface: interface.clone(),
            vlan: vlan.map(|vlan| *vlan.get_ref()),
        })
    }

    fn switch(&mut self, entry: &toml::Spanned<SwitchConfig>, role: Role) -> Option<SwitchConfig> {
        let resolved = entry
            .get_ref()
            .resolve(self.dir, role, self.source, &entry.span());
        resolved.map_err(|problem| self.problems.push(problem)).ok()
    }
}
