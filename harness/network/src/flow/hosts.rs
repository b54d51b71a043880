//! Addresses that the DUT has.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use super::packet::Packet;

/// A DUT that says it has more is not believed.
const MOST: usize = 64;

/// By address: when a frame proved last that the DUT has it; `None` as long as it only said so.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<IpAddr, Option<Instant>>);

impl Hosts {
    /// Of a frame that the DUT sent. Whether there was room for what it shows.
    pub(super) fn frame(&mut self, at: Instant, packet: &Packet<'_>) -> bool {
        let source = packet.source.ip();
        // Who only asks whether it may have an address does not have it yet.
        let proof = (!source.is_unspecified()).then_some(at);
        let claimed = packet.claims.is_none_or(|claimed| self.has(claimed, proof));
        self.has(source, proof) && claimed
    }

    fn has(&mut self, address: IpAddr, proof: Option<Instant>) -> bool {
        if let Some(last) = self.0.get_mut(&address) {
            *last = proof.or(*last);
        } else if may_be_a_hosts(address) {
            if self.0.len() >= MOST {
                return false;
            }
            self.0.insert(address, proof);
        }
        true
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
