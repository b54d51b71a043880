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
    pub(crate) fn addresses(self) -> (Ipv4Addr, Ipv6Addr) {
        match self {
            Self::Bench => (GATEWAY_V4, GATEWAY_V6),
            Self::Device => (DUT_V4, DUT_V6),
        }
    }

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

/// Whether that is the bench's own.
pub(crate) fn is_bench(address: IpAddr) -> bool {
    [
        GATEWAY_V4.into(),
        GATEWAY_V6.into(),
        Side::Bench.link_local().into(),
    ]
    .contains(&address)
}

/// Multicast and broadcast: nobody has to answer.
pub(crate) fn is_for_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_broadcast() || address.is_multicast() || address.octets() == [10, 77, 0, 255]
        }
        IpAddr::V6(address) => address.is_multicast(),
    }
}
