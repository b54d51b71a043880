//! The network and the services of a target, as its file has them.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::ops::Range;

use provebench_network::{
    Addressing,
    services::{Hosts, KINDS, Kind, MOST_SERVICES, ServiceName, ServiceSpec, is_host, kind},
};
use toml::Spanned;

use super::check;
use super::error::Problem;
use super::file::{Ipv6Entry, ServiceEntry, TargetFile, TargetNetworkEntry};
use super::problem::ProblemKind;
use super::source::Source;
use super::suggest;
use super::target::TargetNetwork;

/// The product's network, if it has one, and what is wrong with what the file says of it.
pub(super) fn of(source: &Source, file: &TargetFile) -> (Option<TargetNetwork>, Vec<Problem>) {
    let problems = check::names(source, "network", "a network", file.networks.keys());
    let mut reader = Reader { source, problems };
    (reader.network(file), reader.problems)
}

struct Reader<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, kind: ProblemKind, span: Range<usize>) {
        self.problems.push(self.source.problem(kind, span));
    }

    fn service_problem(&mut self, name: &Spanned<String>, reason: impl Into<String>) {
        let kind = ProblemKind::Service {
            service: name.get_ref().clone(),
            reason: reason.into(),
        };
        self.problem(kind, name.span());
    }

    fn network(&mut self, file: &TargetFile) -> Option<TargetNetwork> {
        let mut entries: Vec<(&Spanned<String>, &TargetNetworkEntry)> =
            file.networks.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let Some((name, entry)) = entries.first().copied() else {
            for service in file.services.keys() {
                self.service_problem(
                    service,
                    "the product has no network: `[networks.lan]` gives it one",
                );
            }
            return None;
        };
        for (second, _) in &entries[1..] {
            let kind = ProblemKind::Network {
                network: second.get_ref().clone(),
                reason: format!(
                    "a bench makes one network for a product, and that is `{}`",
                    name.get_ref()
                ),
            };
            let problem = self.source.problem(kind, second.span());
            self.problems
                .push(problem.with_other(name.span(), "the first one"));
        }
        let addressing = addressing(entry);
        if let Some(reason) = addressing.objection() {
            let network = name.get_ref().clone();
            self.problem(ProblemKind::Network { network, reason }, name.span());
        }
        let services = self.services(&file.services, &entries);
        Some(TargetNetwork {
            name: name.get_ref().clone(),
            addressing,
            services,
        })
    }

    /// Those that are there without being listed, and those that are listed.
    fn services(
        &mut self,
        entries: &BTreeMap<Spanned<String>, ServiceEntry>,
        networks: &[(&Spanned<String>, &TargetNetworkEntry)],
    ) -> BTreeMap<String, ServiceSpec> {
        let mut services = ServiceSpec::usual();
        let mut known: HashMap<String, &str> = HashMap::new();
        for (name, entry) in entries {
            let is_in = |wanted: &str| networks.iter().any(|(name, _)| name.get_ref() == wanted);
            if let Some(network) = &entry.network
                && !is_in(network.get_ref())
            {
                let names = networks.iter().map(|(name, _)| name.get_ref().clone());
                let kind = ProblemKind::Unknown {
                    what: "network".into(),
                    name: network.get_ref().clone(),
                    known: suggest::by_likeness(network.get_ref(), names),
                };
                self.problem(kind, network.span());
            }
            let kind = self.kind(&entry.kind);
            let hosts: Vec<String> = entry.host.iter().chain(&entry.hosts).cloned().collect();
            for host in &hosts {
                if let Some(other) = known.insert(host.to_ascii_lowercase(), name.get_ref()) {
                    let reason = if other == name.get_ref() {
                        format!("{host} stands there twice")
                    } else {
                        format!("{host} is the name of service `{other}`, too")
                    };
                    self.service_problem(name, reason);
                }
            }
            if let Some(objection) = kind.and_then(|kind| objection(name.get_ref(), kind, entry)) {
                self.service_problem(name, objection);
            }
            let spec = ServiceSpec {
                kind: entry.kind.get_ref().clone(),
                hosts,
                port: entry.port.map(NonZeroU16::get),
                plain_port: entry.plain_port.map(NonZeroU16::get),
            };
            services.insert(name.get_ref().clone(), spec);
        }
        if let Some(last) = entries.keys().nth(MOST_SERVICES) {
            let reason = format!("a network can have {MOST_SERVICES} services");
            self.service_problem(last, reason);
        }
        services
    }

    fn kind(&mut self, word: &Spanned<String>) -> Option<&'static Kind> {
        let found = kind(word.get_ref());
        if found.is_none() {
            let known = KINDS.iter().map(|kind| kind.name);
            let problem = ProblemKind::Unknown {
                what: "kind of service".into(),
                name: word.get_ref().clone(),
                known: suggest::by_likeness(word.get_ref(), known),
            };
            self.problem(problem, word.span());
        }
        found
    }
}

/// Why there can be no such service; none if there can.
fn objection(name: &str, kind: &Kind, entry: &ServiceEntry) -> Option<String> {
    if let Some(objection) = ServiceName::objection(name) {
        return Some(objection.into());
    }
    if let Some(usual) = ServiceSpec::usual().get(name)
        && usual.kind != kind.name
    {
        return Some(format!("`{name}` is always of kind {}", usual.kind));
    }
    if kind.is_single && name != kind.name {
        return Some(format!(
            "a network has one service of kind {0}, which is called `{0}`",
            kind.name
        ));
    }
    let hosts = entry.hosts.len() + usize::from(entry.host.is_some());
    if let Some(bad) = entry
        .host
        .iter()
        .chain(&entry.hosts)
        .find(|host| !is_host(host))
    {
        return Some(format!("{bad:?} is not a valid name of a host"));
    }
    match kind.hosts {
        Hosts::None if hosts > 0 => Some(format!("what is of kind {} has no host name", kind.name)),
        Hosts::One if hosts > 1 => {
            Some("its certificate is for one host: give each host a service of its own".into())
        }
        _ if kind.is_single && entry.port.is_some() => {
            Some(format!("the port of kind {} is fixed", kind.name))
        }
        _ if entry.plain_port.is_some() && kind.plain_port.is_none() => {
            Some(format!("what is of kind {} has one port", kind.name))
        }
        _ if entry.plain_port.is_some() && entry.plain_port == entry.port => {
            Some("a port is with TLS or without".into())
        }
        _ => None,
    }
}

fn addressing(entry: &TargetNetworkEntry) -> Addressing {
    let usual = Addressing::default();
    Addressing {
        gateway: entry.gateway.unwrap_or(usual.gateway),
        prefix: entry.prefix.unwrap_or(usual.prefix),
        leases: entry.leases.unwrap_or(usual.leases),
        ipv6: match entry.ipv6 {
            None | Some(Ipv6Entry::Is(true)) => usual.ipv6,
            Some(Ipv6Entry::Is(false)) => None,
            Some(Ipv6Entry::Address(address)) => Some(address),
        },
    }
}
