//! Who is where on the DUT's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The bench's IPv4 address, the gateway of a /24.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The bench's IPv6 address, the gateway of a /64.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// Its link-local address.
pub const GATEWAY_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Its hardware address, locally administered.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0x77, 0, 0, 0, 1];
/// What DHCP gives to the DUT.
pub const DUT_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// What a DUT with a fixed address has.
pub const DUT_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// What services have that are not at the gateway's address: nobody's (RFC 5737; RFC 3849), so all of it is local here.
pub(crate) const SERVICES_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 0);
/// The same.
pub(crate) const SERVICES_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

/// Who this end of the cable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// The gateway, which answers for the whole world.
    #[default]
    Bench,
    /// A DUT made of this kernel's own network stack, at [`DUT_V4`] and [`DUT_V6`].
    Device,
}

impl Side {
    pub(crate) fn link_local(self) -> Ipv6Addr {
        let last = self.mac()[5];
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last))
    }

    /// Locally administered.
    pub(crate) fn mac(self) -> [u8; 6] {
        match self {
            Self::Bench => GATEWAY_MAC,
            Self::Device => [0x02, 0x77, 0, 0, 0, 2],
        }
    }
}

/// The addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressing {
    /// The bench's IPv4 address, the gateway.
    pub gateway: Ipv4Addr,
    /// Bits of the network's prefix: 8 to 30.
    pub prefix: u8,
    /// How many addresses are leased at the same time: those that follow the gateway's. The first is the DUT's.
    pub leases: u8,
    /// The bench's IPv6 address, the gateway of a /64; none where there is no IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

impl Default for Addressing {
    fn default() -> Self {
        Self {
            gateway: GATEWAY_V4,
            prefix: 24,
            leases: 1,
            ipv6: Some(GATEWAY_V6),
        }
    }
}

impl Addressing {
    /// Why there can be no such network; none if there can.
    pub fn objection(&self) -> Option<String> {
        let Self {
            gateway,
            prefix,
            leases,
            ipv6,
        } = self;
        if !(8..=30).contains(prefix) {
            return Some(format!("a prefix of {prefix} bits; 8 to 30 can be"));
        }
        if *leases == 0 {
            return Some("no leases, and the DUT needs one".into());
        }
        if gateway.is_loopback() || gateway.is_multicast() || gateway.is_unspecified() {
            return Some(format!("{gateway} can't be a gateway's address"));
        }
        let network = format!("{}/{prefix}", Ipv4Addr::from(self.first_v4()));
        if u32::from(*gateway) == self.first_v4() || *gateway == self.broadcast() {
            return Some(format!(
                "gateway {gateway} is not a host's address in {network}"
            ));
        }
        let room = u32::from(self.broadcast()) - u32::from(*gateway) - 1;
        if u32::from(*leases) > room {
            return Some(format!(
                "{leases} leases, and there is room for {room}: after gateway {gateway} in {network}"
            ));
        }
        let is_services = |ipv6: Ipv6Addr| ipv6.segments()[..2] == SERVICES_V6.segments()[..2];
        let v4 = self.contains(SERVICES_V4.into());
        if v4 || ipv6.is_some_and(is_services) {
            return Some("198.51.100.0/24 and 2001:db8::/32 are for services of the bench".into());
        }
        let ipv6 = (*ipv6)?;
        let is_usable = ipv6.is_unique_local() || (ipv6.segments()[0] & 0xe000) == 0x2000;
        (!is_usable).then(|| format!("{ipv6} can't be a gateway's address: take one of fd00::/8"))
    }

    fn mask(&self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0)
    }

    fn first_v4(&self) -> u32 {
        u32::from(self.gateway) & self.mask()
    }

    fn broadcast(&self) -> Ipv4Addr {
        (self.first_v4() | !self.mask()).into()
    }

    /// Whether that is an address of this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => u32::from(address) & self.mask() == self.first_v4(),
            IpAddr::V6(address) => {
                let own = self.ipv6.map(|own| own.octets());
                own.is_some_and(|own| own[..8] == address.octets()[..8])
            }
        }
    }

    /// Addresses of this network that are nobody's: those after the leases.
    pub(crate) fn beside_leases(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let leased = u32::from(self.gateway).saturating_add(u32::from(self.leases));
        let all = leased.saturating_add(1)..u32::from(self.broadcast());
        all.map(Ipv4Addr::from)
    }

    /// What the DUT is given first.
    pub fn dut_v4(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.gateway).wrapping_add(1))
    }

    /// What a DUT with a fixed address has.
    pub fn dut_v6(&self) -> Option<Ipv6Addr> {
        let own = self.ipv6?;
        Some(Ipv6Addr::from(u128::from(own).wrapping_add(1)))
    }

    pub(crate) fn of(&self, side: Side) -> (Ipv4Addr, Option<Ipv6Addr>) {
        match side {
            Side::Bench => (self.gateway, self.ipv6),
            Side::Device => (self.dut_v4(), self.dut_v6()),
        }
    }

    /// Whether that is the bench's own.
    pub(crate) fn is_bench(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address == self.gateway,
            IpAddr::V6(address) => {
                Some(address) == self.ipv6 || address == Side::Bench.link_local()
            }
        }
    }

    /// Multicast and broadcast: nobody has to answer.
    pub(crate) fn is_for_many(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                address.is_broadcast() || address.is_multicast() || address == self.broadcast()
            }
            IpAddr::V6(address) => address.is_multicast(),
        }
    }
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Sent by the DUT.
    FromDut,
    /// Sent by the bench.
    ToDut,
}

impl Direction {
    /// Its place where there is one thing for each.
    pub(crate) fn slot(self) -> usize {
        match self {
            Self::FromDut => 0,
            Self::ToDut => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn network(gateway: &str, prefix: u8, leases: u8, ipv6: Option<&str>) -> Addressing {
        Addressing {
            gateway: gateway.parse().unwrap(),
            prefix,
            leases,
            ipv6: ipv6.map(|v6| v6.parse().unwrap()),
        }
    }

    #[rstest]
    #[case::usual("10.77.0.1", 24, 1, Some("fd77::1"), "")]
    #[case::small("192.168.8.1", 30, 1, None, "")]
    #[case::full(
        "192.168.8.1",
        30,
        2,
        None,
        "2 leases, and there is room for 1: after gateway 192.168.8.1 in 192.168.8.0/30"
    )]
    #[case::last("192.168.8.254", 24, 1, None, "1 leases, and there is room for 0")]
    #[case::of_the_network(
        "192.168.8.0",
        24,
        1,
        None,
        "192.168.8.0 is not a host's address in 192.168.8.0/24"
    )]
    #[case::of_all("192.168.8.255", 24, 1, None, "192.168.8.255 is not a host's address")]
    #[case::of_services("198.51.100.1", 24, 1, None, "198.51.100.0/24")]
    #[case::around_services("198.0.0.1", 8, 1, None, "198.51.100.0/24")]
    #[case::of_services_v6("10.0.0.1", 24, 1, Some("2001:db8:77::1"), "2001:db8::/32")]
    #[case::prefix("10.0.0.1", 31, 1, None, "31 bits")]
    #[case::no_lease("10.0.0.1", 24, 0, None, "no leases")]
    #[case::loopback("127.0.0.1", 24, 1, None, "127.0.0.1 can't be")]
    #[case::link_local("10.0.0.1", 24, 1, Some("fe80::1"), "fe80::1 can't be")]
    fn what_can_not_be_is_named(
        #[case] gateway: &str,
        #[case] prefix: u8,
        #[case] leases: u8,
        #[case] ipv6: Option<&str>,
        #[case] expected: &str,
    ) {
        let objection = network(gateway, prefix, leases, ipv6).objection();
        match expected {
            "" => assert_eq!(objection, None),
            part => assert!(objection.unwrap().contains(part)),
        }
    }

    #[test]
    fn broadcasts_are_those_of_the_prefix() {
        let small = network("10.0.0.129", 26, 1, None);
        assert!(small.is_for_many([10, 0, 0, 191].into()));
        assert!(!small.is_for_many([10, 0, 0, 255].into()));
    }
}
