//! An IPv6 router that announces itself (RFC 4861 6.2), so that a DUT makes itself an address (RFC 4862) and finds a
//! default route and a name server (RFC 8106). The codec is etherparse's.
//!
//! A host that is not there yet asks when it comes, so announcing is needed at the start only, and then so seldom that
//! what was announced does not run out.

use std::{
    future::ready,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use etherparse::{
    Icmpv6Header, Icmpv6Type,
    icmpv6::{PrefixInformation, RouterAdvertisementHeader},
};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::{
    control::Control,
    error::ServiceError,
    handler::{DatagramHandler, Port, Reply, Serve},
    observation::Observation,
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings, answer_of, reopen},
};

/// IANA's number of ICMPv6, which raw sockets have in place of a port (`raw(7)`).
const PROTOCOL: u16 = 58;
/// Where routers listen.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Where hosts listen.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// MinRtrAdvInterval of RFC 4861 6.2.1.
const INTERVAL: Duration = Duration::from_secs(200);
/// Longer than any run; the router's own lifetime may be no longer (RFC 4861 6.2.1).
const LIFETIME: u32 = 24 * 60 * 60;
const ROUTER_LIFETIME: u16 = 9000;
/// RFC 4861 4.1 and 4.2, RFC 8106 5.1.
const SOLICITATION: u8 = 133;
const SOURCE_ADDRESS: u8 = 1;
const PREFIX: u8 = 3;
const NAME_SERVER: u8 = 25;

/// Where it is and what it announces.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// Interface that leads to the DUT.
    pub interface: String,
    /// Its link-local address there: routers have no other name (RFC 4861 6.1.2).
    pub address: Ipv6Addr,
    /// Its hardware address there.
    pub mac: [u8; 6],
    /// A network of 64 bits that hosts may make addresses in.
    pub prefix: Ipv6Addr,
    /// A name server.
    pub dns: Ipv6Addr,
}

/// How it announces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterAnswer {
    /// As a well-behaved service does.
    Normal,
    /// No longer as a router, and with a prefix that is no longer to be used.
    Withdrawn,
    /// With options whose lengths are wrong.
    Garbage,
}

/// The kind of service.
pub(super) static KIND: Kind = Kind {
    name: "router",
    port: PROTOCOL,
    plain_port: None,
    hosts: Hosts::None,
    is_single: true,
    own_address: None,
    own_host: None,
    settings: |at| {
        let gateway = at.gateway;
        let (ipv6, (address, mac)) = gateway.ipv6.zip(gateway.link_local)?;
        Some(Box::new(RouterConfig {
            interface: gateway.interface.clone(),
            address,
            mac,
            prefix: Ipv6Addr::from(u128::from(ipv6) >> 64 << 64),
            dns: ipv6,
        }))
    },
};

/// The answers that scripts can choose.
const ANSWERS: [(&str, RouterAnswer); 3] = [
    ("normal", RouterAnswer::Normal),
    ("withdrawn", RouterAnswer::Withdrawn),
    ("garbage", RouterAnswer::Garbage),
];

/// The router.
pub struct Router {
    control: Control,
    log: ServiceLog,
    announcer: Arc<Announcer>,
}

struct Announcer {
    config: RouterConfig,
    answer: Mutex<RouterAnswer>,
}

impl Router {
    pub(super) fn new(handle: &Handle, log: ServiceLog, config: RouterConfig) -> Self {
        let address = SocketAddr::from((config.address, PROTOCOL));
        let interface = Some(config.interface.clone());
        let announcer = Arc::new(Announcer {
            config,
            answer: Mutex::new(RouterAnswer::Normal),
        });
        let port = Port {
            address,
            interface,
            serve: Serve::Icmp {
                handler: announcer.clone(),
                group: ALL_ROUTERS,
            },
        };
        Self {
            control: Control::new(handle, log.clone(), vec![port]),
            log,
            announcer,
        }
    }

    /// Answers this way from now on.
    pub fn answer(&self, answer: RouterAnswer) {
        *self.announcer.lock() = answer;
        self.log.record(Observation::Reconfigured {
            what: format!("answers: {answer:?}"),
        });
    }
}

impl Settings for RouterConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        let Place {
            name, handle, log, ..
        } = place;
        let service = Router::new(handle, log.of(name), *self);
        Box::pin(ready(Ok(Box::new(service) as Box<dyn Service>)))
    }
}

impl Service for Router {
    fn control(&self) -> &Control {
        &self.control
    }

    fn answers(&self) -> Vec<&'static str> {
        ANSWERS.iter().map(|(word, _)| *word).collect()
    }

    fn answer_by_name(&self, how: &str) -> Result<(), ServiceError> {
        self.answer(answer_of(self.name(), &ANSWERS, how)?);
        Ok(())
    }

    fn restore(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(async move {
            reopen(self).await?;
            let was_normal = *self.announcer.lock() == RouterAnswer::Normal;
            self.answer(RouterAnswer::Normal);
            if !was_normal {
                // Hosts ask a few times, and wait for the next announcement then.
                self.control.announce().await;
            }
            Ok(())
        })
    }
}

impl Announcer {
    fn lock(&self) -> MutexGuard<'_, RouterAnswer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A router advertisement; the kernel writes its checksum.
    fn advertisement(&self) -> Vec<u8> {
        let config = &self.config;
        let answer = *self.lock();
        let (router_lifetime, lifetime) = match answer {
            RouterAnswer::Normal | RouterAnswer::Garbage => (ROUTER_LIFETIME, LIFETIME),
            RouterAnswer::Withdrawn => (0, 0),
        };
        let kind = Icmpv6Type::RouterAdvertisement(RouterAdvertisementHeader {
            cur_hop_limit: 64,
            managed_address_config: false,
            other_config: false,
            router_lifetime,
        });
        let mut bytes = Icmpv6Header::new(kind).to_bytes().to_vec();
        // Reachable time and retransmission timer: not specified.
        bytes.extend([0; 8]);
        bytes.extend([SOURCE_ADDRESS, 1]);
        bytes.extend(config.mac);
        let prefix = PrefixInformation {
            prefix_length: 64,
            on_link: true,
            autonomous_address_configuration: true,
            valid_lifetime: lifetime,
            preferred_lifetime: lifetime,
            prefix: config.prefix.octets(),
        };
        bytes.extend(prefix.to_bytes());
        bytes.extend([NAME_SERVER, 3, 0, 0]);
        bytes.extend(lifetime.to_be_bytes());
        bytes.extend(config.dns.octets());
        if answer == RouterAnswer::Garbage {
            // An option of no length, which a careless parser reads for ever (RFC 4861 4.6), and one that ends beyond
            // the packet.
            bytes.extend([PREFIX, 0, 64, 0xff, 0, 0, 0, 0, NAME_SERVER, 0xff]);
        }
        bytes
    }

    fn announce(&self, solicited: bool, to: SocketAddr) -> Reply {
        Reply {
            observation: Observation::Router {
                solicited,
                answer: format!("{:?}", *self.lock()).to_lowercase(),
            },
            send: Some((self.advertisement(), to)),
        }
    }

    fn all_nodes() -> SocketAddr {
        // The socket knows the interface.
        SocketAddrV6::new(ALL_NODES, 0, 0, 0).into()
    }
}

impl DatagramHandler for Announcer {
    /// The socket hears other messages too. That it comes from a neighbour needs no proof: nobody else is there.
    fn accepts(&self, message: &[u8]) -> bool {
        matches!(message, [SOLICITATION, 0, ..] if message.len() >= 8)
    }

    fn answer(&self, _solicitation: &[u8], from: SocketAddr) -> Reply {
        let to = match from {
            // It has no address yet.
            SocketAddr::V6(from) if from.ip().is_unspecified() => Self::all_nodes(),
            _ => from,
        };
        self.announce(true, to)
    }

    fn unsolicited(&self) -> Option<(Duration, Reply)> {
        Some((INTERVAL, self.announce(false, Self::all_nodes())))
    }
}

#[cfg(test)]
mod tests {
    use etherparse::icmpv6::{NdpOptionSlice, NdpOptionsIterator};
    use rstest::rstest;

    use super::*;

    fn announcer(answer: RouterAnswer) -> Announcer {
        Announcer {
            config: RouterConfig {
                interface: "bench0".into(),
                address: "fe80::1".parse().unwrap(),
                mac: [2, 0x77, 0, 0, 0, 1],
                prefix: "fd77::".parse().unwrap(),
                dns: "fd77::1".parse().unwrap(),
            },
            answer: Mutex::new(answer),
        }
    }

    #[rstest]
    #[case(RouterAnswer::Normal, LIFETIME)]
    #[case(RouterAnswer::Withdrawn, 0)]
    fn what_is_announced_is_what_a_parser_reads(
        #[case] answer: RouterAnswer,
        #[case] lifetime: u32,
    ) {
        let bytes = announcer(answer).advertisement();
        assert_eq!(bytes[..2], [134, 0]);
        let options: Vec<_> = NdpOptionsIterator::from_slice(&bytes[16..])
            .map(Result::unwrap)
            .collect();
        assert_eq!(options.len(), 3);
        let NdpOptionSlice::PrefixInformation(prefix) = &options[1] else {
            panic!("{options:?}");
        };
        assert_eq!(
            Ipv6Addr::from(prefix.prefix()),
            announcer(answer).config.prefix
        );
        assert_eq!(prefix.prefix_length(), 64);
        assert!(prefix.on_link() && prefix.autonomous_address_configuration());
        assert_eq!(prefix.valid_lifetime(), lifetime);
        assert_eq!(prefix.preferred_lifetime(), lifetime);
    }

    #[rstest]
    #[case::solicitation(&[133, 0, 0, 0, 0, 0, 0, 0], true)]
    #[case::short(&[133, 0, 0, 0], false)]
    #[case::wrong_code(&[133, 1, 0, 0, 0, 0, 0, 0], false)]
    #[case::echo(&[128, 0, 0, 0, 0, 0, 0, 0], false)]
    #[case::nothing(&[], false)]
    fn only_solicitations_are_answered(#[case] message: &[u8], #[case] accepts: bool) {
        assert_eq!(announcer(RouterAnswer::Normal).accepts(message), accepts);
    }
}
