//! Addresses of the DUT's subnet that the bench takes for a while, to be many peers.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use crate::{error::NetworkError, netlink::Netlink, network::Network, plan::Addressing};

/// So many neighbours fit into the tables of small routers, too; an IPv4 subnet has hardly more.
pub(super) const MOST: usize = 250;

/// Taken until [`give_back`](Self::give_back), or until it is dropped.
pub(super) struct Sources<'n> {
    network: &'n Network,
    /// The bench's own address, then those taken; with port 0.
    pub(super) all: Vec<SocketAddr>,
    taken: Vec<AddressMessage>,
}

impl<'n> Sources<'n> {
    /// For speaking to `target`: so many if there are.
    pub(super) async fn take(
        network: &'n Network,
        target: IpAddr,
        count: usize,
    ) -> Result<Self, NetworkError> {
        let own = network.source_for(target);
        let hosts = network.shared.lock().index.hosts();
        let plan = network.addressing();
        let others = candidates(&plan, own.ip(), target, &hosts);
        let others: Vec<IpAddr> = others.take(count.clamp(1, MOST) - 1).collect();
        let index = network.scope;
        let mut sources = Self {
            network,
            all: vec![own],
            taken: Vec::new(),
        };
        let wanted = others.clone();
        let taking = async move {
            let netlink = Netlink::open()?;
            let mut taken = Vec::new();
            for address in wanted {
                let prefix = if address.is_ipv4() { 32 } else { 128 };
                let mut request = netlink.address().add(index, address, prefix);
                if address.is_ipv6() {
                    // Whoever asks first whether others have it, waits.
                    let flags = AddressAttribute::Flags(AddressFlags::Nodad);
                    request.message_mut().attributes.push(flags);
                }
                let message = request.message_mut().clone();
                if let Err(error) = request.execute().await {
                    // What was taken is to be given back.
                    return Ok((taken, Some(error)));
                }
                taken.push(message);
            }
            Ok((taken, None))
        };
        let (taken, error) = network.run(taking).await?;
        sources.taken = taken;
        if let Some(error) = error {
            return Err(NetworkError::netlink("taking addresses for a scan")(error));
        }
        let others = others.into_iter().map(|ip| network.endpoint(ip, 0));
        sources.all.extend(others);
        Ok(sources)
    }

    pub(super) async fn give_back(mut self) -> Result<(), NetworkError> {
        let taken = std::mem::take(&mut self.taken);
        self.network.run(give_back(taken)).await
    }
}

impl Drop for Sources<'_> {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if !taken.is_empty() {
            self.network.handle().spawn(async move {
                if let Err(error) = give_back(taken).await {
                    tracing::warn!(%error, "addresses of a scan are left");
                }
            });
        }
    }
}

async fn give_back(taken: Vec<AddressMessage>) -> Result<(), NetworkError> {
    let netlink = Netlink::open()?;
    for message in taken {
        let giving = NetworkError::netlink("giving back addresses of a scan");
        netlink
            .address()
            .del(message)
            .execute()
            .await
            .map_err(giving)?;
    }
    Ok(())
}

/// Of the subnet that the DUT and the bench are both in; none if they are not.
fn candidates(
    plan: &Addressing,
    own: IpAddr,
    target: IpAddr,
    hosts: &BTreeSet<IpAddr>,
) -> impl Iterator<Item = IpAddr> {
    let all: Vec<IpAddr> = match (own, target) {
        (IpAddr::V4(_), IpAddr::V4(_)) if plan.contains(target) => {
            // Some of them may be the DUT's.
            let free = plan.beside_leases().take(2 * MOST);
            free.map(IpAddr::from).collect()
        }
        (IpAddr::V6(own), IpAddr::V6(target)) if own.segments()[..4] == target.segments()[..4] => {
            let [a, b, c, d, ..] = own.segments();
            (1..=MOST as u16)
                .map(|number| Ipv6Addr::new(a, b, c, d, 0, 0, 0x77, number).into())
                .collect()
        }
        _ => Vec::new(),
    };
    all.into_iter()
        .filter(move |address| *address != own && *address != target && !hosts.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(own: &str, target: &str, hosts: &[&str]) -> (usize, Option<String>) {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let (own, target) = (own.parse().unwrap(), target.parse().unwrap());
        let plan = Addressing::default();
        let mut all = candidates(&plan, own, target, &hosts);
        let first = all.next().map(|address| address.to_string());
        (all.count() + usize::from(first.is_some()), first)
    }

    #[test]
    fn nobodys_addresses_of_the_duts_subnet_are_taken() {
        let v4 = first("10.77.0.1", "10.77.0.2", &["10.77.0.3", "10.77.0.2"]);
        assert_eq!(v4, (251, Some("10.77.0.4".into())));
        let v4 = first("10.77.0.1", "10.77.0.9", &[]);
        assert_eq!(v4, (251, Some("10.77.0.3".into())));
        assert_eq!(first("10.77.0.1", "192.168.1.2", &[]), (0, None));
        let v6 = first("fd77::1", "fd77::2", &["fd77::77:1"]);
        assert_eq!(v6, (MOST - 1, Some("fd77::77:2".into())));
        let local = first("fe80::1", "fe80::2", &[]);
        assert_eq!(local, (MOST, Some("fe80::77:1".into())));
        assert_eq!(first("fd77::1", "2001:db8::2", &[]), (0, None));
    }
}
