//! Addresses that the DUT has.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use super::Packet;

/// A DUT that says it has more is not believed.
const MOST: usize = 64;

/// By address: when a frame proved last that the DUT has it; `None` as long as it only said so.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<IpAddr, Option<Instant>>);

impl Hosts {
    /// Of a frame that the DUT sent.
    pub(super) fn frame(&mut self, at: Instant, packet: &Packet<'_>) {
        let source = packet.source.ip();
        if may_be_a_hosts(source)
            && let Some(last) = self.entry(source)
        {
            *last = Some(at);
        }
        if let Some(claimed) = packet.claims.filter(|address| may_be_a_hosts(*address))
            && let Some(last) = self.entry(claimed)
            // Who only asks whether it may have an address does not have it yet.
            && !source.is_unspecified()
        {
            *last = Some(at);
        }
    }

    fn entry(&mut self, address: IpAddr) -> Option<&mut Option<Instant>> {
        let has_room = self.0.len() < MOST;
        match self.0.get(&address) {
            None if !has_room => None,
            _ => Some(self.0.entry(address).or_default()),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.0.keys().copied()
    }

    /// Those that a frame since then proved.
    pub(super) fn since(&self, when: Instant) -> impl Iterator<Item = IpAddr> {
        let is_new = move |last: &Option<Instant>| last.is_some_and(|last| last >= when);
        let proved = self.0.iter().filter(move |(_, last)| is_new(last));
        proved.map(|(address, _)| *address)
    }
}

fn may_be_a_hosts(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast)
}
