//! An address server (RFC 2131) with one pool. The codec is dhcproto's.

use std::{
    collections::BTreeMap,
    future::ready,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dhcproto::{
    Decodable as _, Encodable as _,
    v4::{DhcpOption, DhcpOptions, Message, MessageType, Opcode, OptionCode},
};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::{
    control::Control,
    error::ServiceError,
    handler::{DatagramHandler, Port, Reply, Serve},
    observation::{Observation, clip},
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings, answer_of},
};

/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;
/// How long addresses are leased: long enough that no renewal falls into a test that does not want one.
const LEASE: Duration = Duration::from_hours(24);
/// Longest hardware address (RFC 2131 figure 1).
const LONGEST_HARDWARE_ADDRESS: u8 = 16;

/// Where it listens and what it gives.
#[derive(Debug, Clone)]
pub struct DhcpConfig {
    /// Port 67 of any address: clients without an address broadcast.
    pub listen: SocketAddr,
    /// Interface that it is bound to, so that broadcasts go there whatever the routes say.
    pub interface: Option<String>,
    /// Where answers are broadcast to; 68 but for tests.
    pub client_port: u16,
    /// Its own address, by which clients name it.
    pub server: Ipv4Addr,
    /// First address of the pool.
    pub first: Ipv4Addr,
    /// How many addresses the pool has, at most 254.
    pub size: u8,
    /// Bits of the network's prefix, 24 for 255.255.255.0.
    pub prefix: u8,
    /// What else clients are told.
    pub options: DhcpSettings,
}

/// What clients are told beside their address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpSettings {
    /// Default router, if any.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// How long an address is theirs. Sent as whole seconds.
    pub lease: Duration,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpAnswer {
    /// As a well-behaved service does.
    Normal,
    /// Offers, then refuses every request.
    Nak,
    /// Offers, then says nothing to requests.
    OfferOnly,
    /// To another transaction than the client's.
    WrongTransaction,
    /// Bytes that are no DHCP message.
    Garbage,
}

/// The kind of service.
pub(super) static KIND: Kind = Kind {
    name: "dhcp",
    port: 67,
    plain_port: None,
    hosts: Hosts::None,
    is_single: true,
    own_address: None,
    own_host: None,
    settings: |at| {
        let gateway = at.gateway;
        Some(Box::new(DhcpConfig {
            listen: (Ipv4Addr::UNSPECIFIED, at.port).into(),
            interface: Some(gateway.interface.clone()),
            client_port: CLIENT_PORT,
            server: gateway.ipv4,
            first: gateway.dut,
            size: gateway.leases,
            prefix: gateway.prefix,
            options: DhcpSettings {
                router: Some(gateway.ipv4),
                dns: vec![gateway.ipv4],
                lease: LEASE,
            },
        }))
    },
};

/// The answers that scripts can choose.
const ANSWERS: [(&str, DhcpAnswer); 3] = [
    ("normal", DhcpAnswer::Normal),
    ("nak", DhcpAnswer::Nak),
    ("garbage", DhcpAnswer::Garbage),
];

/// The address server.
pub struct Dhcp {
    control: Control,
    log: ServiceLog,
    pool: Arc<Pool>,
}

struct Pool {
    config: DhcpConfig,
    state: Mutex<State>,
}

struct State {
    settings: DhcpSettings,
    answer: DhcpAnswer,
    /// By address: no more entries than the pool has.
    leases: BTreeMap<Ipv4Addr, Lease>,
}

struct Lease {
    client: Vec<u8>,
    ends: Instant,
}

impl Dhcp {
    pub(super) fn new(handle: &Handle, log: ServiceLog, config: DhcpConfig) -> Self {
        let (address, interface) = (config.listen, config.interface.clone());
        let pool = Arc::new(Pool {
            state: Mutex::new(State {
                settings: config.options.clone(),
                answer: DhcpAnswer::Normal,
                leases: BTreeMap::new(),
            }),
            config,
        });
        let port = Port {
            address,
            interface,
            serve: Serve::Udp(pool.clone()),
        };
        Self {
            control: Control::new(handle, log.clone(), vec![port]),
            log,
            pool,
        }
    }

    /// What answers, without its sockets.
    pub(super) fn service(&self) -> &dyn DatagramHandler {
        &*self.pool
    }

    /// Answers this way from now on.
    pub fn answer(&self, answer: DhcpAnswer) {
        self.pool.lock().answer = answer;
        self.log.record(Observation::Reconfigured {
            what: format!("answers: {answer:?}"),
        });
    }

    /// Tells clients this from now on: they learn it with their next lease or renewal.
    pub fn set(&self, settings: DhcpSettings) {
        self.log.record(Observation::Reconfigured {
            what: format!("{settings:?}"),
        });
        self.pool.lock().settings = settings;
    }

    /// What clients were told at the start.
    pub fn initial_settings(&self) -> DhcpSettings {
        self.pool.config.options.clone()
    }

    /// What clients are told.
    pub fn settings(&self) -> DhcpSettings {
        self.pool.lock().settings.clone()
    }
}

impl Settings for DhcpConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        let Place {
            name, handle, log, ..
        } = place;
        let service = Dhcp::new(handle, log.of(name), *self);
        Box::pin(ready(Ok(Box::new(service) as Box<dyn Service>)))
    }
}

impl Service for Dhcp {
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

    fn offer_lease(&self, router: bool, dns: bool) -> Result<(), ServiceError> {
        let mut settings = self.initial_settings();
        settings.router = settings.router.filter(|_| router);
        settings.dns.retain(|_| dns);
        self.set(settings);
        Ok(())
    }

    fn reset(&self) {
        self.answer(DhcpAnswer::Normal);
        self.set(self.initial_settings());
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer and what it is in words.
    fn decide(&self, request: &Message) -> (String, Option<Message>) {
        let mut state = self.lock();
        let client = request.chaddr().to_vec();
        let Some(kind) = request.opts().msg_type() else {
            return ("none: BOOTP".into(), None);
        };
        let named = match request.opts().get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
            _ => None,
        };
        if named.is_some_and(|server| server != self.config.server) {
            return ("none: for another server".into(), None);
        }
        match kind {
            MessageType::Discover => match self.offer(&mut state, &client) {
                Some(address) => self.assign(&state, request, MessageType::Offer, address),
                None => ("none: the pool is exhausted".into(), None),
            },
            MessageType::Request => {
                let wanted = requested(request).unwrap_or_else(|| request.ciaddr());
                match state.answer {
                    DhcpAnswer::OfferOnly => return ("none".into(), None),
                    DhcpAnswer::Nak => return self.refuse(request),
                    _ => {}
                }
                match self.offer(&mut state, &client) {
                    Some(address) if address == wanted => {
                        self.assign(&state, request, MessageType::Ack, address)
                    }
                    _ => self.refuse(request),
                }
            }
            MessageType::Release | MessageType::Decline => {
                state.leases.retain(|_, lease| lease.client != client);
                ("none: freed".into(), None)
            }
            MessageType::Inform => {
                let unassigned = Ipv4Addr::UNSPECIFIED;
                self.assign(&state, request, MessageType::Ack, unassigned)
            }
            _ => ("none: not a client's message".into(), None),
        }
    }

    /// The client's address, or one that is free, or that of whoever has had one for longest: it is one DUT that asks, by
    /// another hardware address after a reset, or one of its boot loader.
    fn offer(&self, state: &mut State, client: &[u8]) -> Option<Ipv4Addr> {
        let now = Instant::now();
        let first = u32::from(self.config.first);
        let pool = (0..u32::from(self.config.size)).map(|n| Ipv4Addr::from(first.wrapping_add(n)));
        let holds = |address: &Ipv4Addr| {
            let lease = state.leases.get(address);
            lease.is_some_and(|lease| lease.client == client)
        };
        let free = |address: &Ipv4Addr| {
            let lease = state.leases.get(address);
            lease.is_none_or(|lease| lease.ends <= now)
        };
        let address = pool
            .clone()
            .find(holds)
            .or_else(|| pool.clone().find(free))
            .or_else(|| pool.min_by_key(|address| state.leases.get(address).map(|l| l.ends)))?;
        let lease = Lease {
            client: client.to_vec(),
            ends: now + state.settings.lease,
        };
        state.leases.insert(address, lease);
        Some(address)
    }

    fn assign(
        &self,
        state: &State,
        request: &Message,
        kind: MessageType,
        address: Ipv4Addr,
    ) -> (String, Option<Message>) {
        let settings = &state.settings;
        let mask = u32::MAX
            .checked_shl(32 - u32::from(self.config.prefix.min(32)))
            .unwrap_or(0);
        let mut answer = self.answer_to(request, kind);
        answer.set_yiaddr(address);
        answer.set_ciaddr(request.ciaddr());
        let options = answer.opts_mut();
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::from(mask)));
        if !address.is_unspecified() {
            let seconds = u32::try_from(settings.lease.as_secs()).unwrap_or(u32::MAX);
            options.insert(DhcpOption::AddressLeaseTime(seconds));
            // RFC 2131 4.4.5.
            options.insert(DhcpOption::Renewal(seconds / 2));
            options.insert(DhcpOption::Rebinding(seconds / 8 * 7));
        }
        let mut told = format!("{kind:?} {address}");
        match settings.router {
            Some(router) => {
                options.insert(DhcpOption::Router(vec![router]));
            }
            None => told.push_str(", no router"),
        }
        if settings.dns.is_empty() {
            told.push_str(", no DNS");
        } else {
            options.insert(DhcpOption::DomainNameServer(settings.dns.clone()));
        }
        if state.answer == DhcpAnswer::WrongTransaction {
            answer.set_xid(!request.xid());
            told.push_str(", for a wrong transaction");
        }
        (told, Some(answer))
    }

    fn refuse(&self, request: &Message) -> (String, Option<Message>) {
        let answer = self.answer_to(request, MessageType::Nak);
        ("Nak".into(), Some(answer))
    }

    fn answer_to(&self, request: &Message, kind: MessageType) -> Message {
        let mut options = DhcpOptions::new();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(self.config.server));
        let mut answer = Message::default();
        answer
            .set_opcode(Opcode::BootReply)
            .set_htype(request.htype())
            .set_xid(request.xid())
            .set_flags(request.flags())
            .set_giaddr(request.giaddr())
            .set_chaddr(request.chaddr())
            .set_opts(options);
        answer
    }

    /// To where it came from; a client that has no address yet hears broadcasts only (RFC 2131 4.1).
    fn destination(&self, from: SocketAddr) -> SocketAddr {
        match from.ip() {
            IpAddr::V4(address) if address.is_unspecified() => {
                (Ipv4Addr::BROADCAST, self.config.client_port).into()
            }
            _ => from,
        }
    }
}

impl DatagramHandler for Pool {
    fn answer(&self, datagram: &[u8], from: SocketAddr) -> Reply {
        let refuse = |reason: String| Reply {
            observation: Observation::malformed(reason, datagram),
            send: None,
        };
        let request = match Message::from_bytes(datagram) {
            Ok(request) => request,
            Err(error) => return refuse(error.to_string()),
        };
        if request.opcode() != Opcode::BootRequest || request.hlen() > LONGEST_HARDWARE_ADDRESS {
            return refuse("not a client's message".into());
        }
        let (told, answer) = self.decide(&request);
        let observation = Observation::Dhcp {
            message: request
                .opts()
                .msg_type()
                .map_or_else(|| "BOOTP".into(), |kind| format!("{kind:?}")),
            client: hex::encode(request.chaddr()),
            requested: requested(&request),
            host_name: match request.opts().get(OptionCode::Hostname) {
                Some(DhcpOption::Hostname(name)) => Some(clip(name.as_str())),
                _ => None,
            },
            vendor_class: match request.opts().get(OptionCode::ClassIdentifier) {
                Some(DhcpOption::ClassIdentifier(class)) => {
                    Some(clip(String::from_utf8_lossy(class)))
                }
                _ => None,
            },
            answer: told,
        };
        let bytes = answer.and_then(|answer| match self.lock().answer {
            DhcpAnswer::Garbage => Some(vec![0xff; 300]),
            _ => answer.to_vec().ok(),
        });
        Reply {
            observation,
            send: bytes.map(|bytes| (bytes, self.destination(from))),
        }
    }
}

fn requested(request: &Message) -> Option<Ipv4Addr> {
    match request.opts().get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
        _ => None,
    }
}
