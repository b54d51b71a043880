//! A name server (RFC 1035) that knows a few names and answers all others as told. UDP and TCP.

use std::{
    collections::BTreeMap,
    future::ready,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hickory_proto::{
    op::{Message, MessageType, Metadata, OpCode, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};

use super::{
    control::Control,
    error::ServiceError,
    handler::{ConnectionHandler, DatagramHandler, Port, Reply, Serve},
    observation::{Observation, clip},
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings, answer_of},
};

/// Seconds that answers may be kept: none, so that a change is seen at once.
const TTL: u32 = 0;
/// How long a TCP connection may be idle (RFC 7766 6.2.3 asks for seconds).
const IDLE: Duration = Duration::from_secs(10);
/// What makes no sense as DNS, and yet looks like an answer to `id`.
const GARBAGE: [u8; 18] =
    *b"\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\xc0\x0c\xc0\x0c\xff\xff\xff\xff";

/// Where it listens and what it knows.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// Addresses, each for UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Names without final dot, in lower case, and their addresses.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The answer for all other names.
    pub unknown: UnknownName,
}

/// The answer for names that the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownName {
    /// The name does not exist.
    NxDomain,
    /// An address of the bench, where the DUT's attempt is seen and refused.
    Sinkhole(Ipv4Addr, Option<Ipv6Addr>),
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsAnswer {
    /// As a well-behaved service does.
    Normal,
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// No name exists.
    NxDomain,
    /// All names exist and have no address.
    Empty,
    /// All names have this address.
    Address(IpAddr),
    /// Normal, with another identifier: as a forger who has to guess it would.
    WrongId,
    /// Bytes that are no DNS message behind the right identifier.
    Garbage,
}

/// The kind of service.
pub(super) static KIND: Kind = Kind {
    name: "dns",
    port: 53,
    plain_port: None,
    hosts: Hosts::None,
    is_single: true,
    own_address: None,
    own_host: None,
    settings: |at| {
        Some(Box::new(DnsConfig {
            listen: at.listen(),
            names: at.names.clone(),
            unknown: UnknownName::Sinkhole(at.gateway.ipv4, at.gateway.ipv6),
        }))
    },
};

/// The answers that scripts can choose.
const ANSWERS: [(&str, DnsAnswer); 5] = [
    ("normal", DnsAnswer::Normal),
    ("servfail", DnsAnswer::ServFail),
    ("refused", DnsAnswer::Refused),
    ("nxdomain", DnsAnswer::NxDomain),
    ("garbage", DnsAnswer::Garbage),
];

/// The name server.
pub struct Dns {
    control: Control,
    log: ServiceLog,
    zone: Arc<Zone>,
}

struct Zone {
    state: Mutex<State>,
}

struct State {
    names: BTreeMap<String, Vec<IpAddr>>,
    unknown: UnknownName,
    answer: DnsAnswer,
}

impl Dns {
    pub(super) fn new(handle: &Handle, log: ServiceLog, config: DnsConfig) -> Self {
        let zone = Arc::new(Zone {
            state: Mutex::new(State {
                names: config.names,
                unknown: config.unknown,
                answer: DnsAnswer::Normal,
            }),
        });
        let ports = config
            .listen
            .iter()
            .flat_map(|address| {
                let udp: Arc<dyn DatagramHandler> = zone.clone();
                let tcp: Arc<dyn ConnectionHandler> = zone.clone();
                [Serve::Udp(udp), Serve::Tcp(tcp)].map(|serve| Port {
                    address: *address,
                    interface: None,
                    serve,
                })
            })
            .collect();
        Self {
            control: Control::new(handle, log.clone(), ports),
            log,
            zone,
        }
    }

    /// What answers, without its sockets.
    pub(super) fn service(&self) -> &dyn DatagramHandler {
        &*self.zone
    }

    /// Answers this way from now on.
    pub fn answer(&self, answer: DnsAnswer) {
        self.zone.lock().answer = answer;
        self.log.record(Observation::Reconfigured {
            what: format!("answers: {answer:?}"),
        });
    }

    /// Knows this name from now on, with these addresses only.
    pub fn set_name(&self, name: &str, addresses: &[IpAddr]) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.log.record(Observation::Reconfigured {
            what: format!("{name} is {addresses:?}"),
        });
        self.zone.lock().names.insert(name, addresses.to_vec());
    }

    /// Answers this way for names that it does not know, from now on.
    pub fn set_unknown(&self, unknown: UnknownName) {
        self.zone.lock().unknown = unknown;
        self.log.record(Observation::Reconfigured {
            what: format!("unknown names: {unknown:?}"),
        });
    }
}

impl Settings for DnsConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        let Place {
            name, handle, log, ..
        } = place;
        let service = Dns::new(handle, log.of(name), *self);
        Box::pin(ready(Ok(Box::new(service) as Box<dyn Service>)))
    }
}

impl Service for Dns {
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

    fn reset(&self) {
        self.answer(DnsAnswer::Normal);
    }
}

impl Zone {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, query: &[u8], transport: &'static str) -> (Observation, Option<Vec<u8>>) {
        let query = match Message::from_vec(query) {
            Ok(message) if message.metadata.message_type == MessageType::Query => message,
            Ok(_) => return (Observation::malformed("not a query", query), None),
            Err(error) => return (Observation::malformed(error.to_string(), query), None),
        };
        let Some(question) = query.queries.first() else {
            let observation =
                Observation::malformed("no question", &query.to_vec().unwrap_or_default());
            return (observation, None);
        };
        let (name, record_type) = (question.name().clone(), question.query_type());
        let state = self.lock();
        let mut answer = Message::new(0, MessageType::Response, query.metadata.op_code);
        answer.metadata = Metadata::response_from_request(&query.metadata);
        answer.metadata.authoritative = true;
        answer.metadata.recursion_available = true;
        answer.add_query(question.clone());
        if query.edns.is_some() {
            answer.set_edns(hickory_proto::op::Edns::new());
        }
        let told = if query.metadata.op_code == OpCode::Query {
            state.fill(&mut answer, &name, record_type)
        } else {
            answer.metadata.response_code = ResponseCode::NotImp;
            "NOTIMP".into()
        };
        let bytes = if state.answer == DnsAnswer::Garbage {
            Ok([&query.metadata.id.to_be_bytes()[..], &GARBAGE].concat())
        } else {
            answer.to_vec()
        };
        let observation = Observation::Dns {
            transport,
            name: clip(name.to_string()),
            record_type: record_type.to_string(),
            answer: told,
        };
        (observation, bytes.ok())
    }
}

impl State {
    /// Fills in the answer and says it in words.
    fn fill(&self, answer: &mut Message, name: &Name, record_type: RecordType) -> String {
        let addresses = match self.answer {
            DnsAnswer::Normal | DnsAnswer::WrongId => self.known(name),
            DnsAnswer::ServFail => Err(ResponseCode::ServFail),
            DnsAnswer::Refused => Err(ResponseCode::Refused),
            DnsAnswer::NxDomain => Err(ResponseCode::NXDomain),
            DnsAnswer::Empty => Ok(Vec::new()),
            DnsAnswer::Address(address) => Ok(vec![address]),
            DnsAnswer::Garbage => return "garbage".into(),
        };
        if self.answer == DnsAnswer::WrongId {
            answer.metadata.id = !answer.metadata.id;
        }
        let addresses = match addresses {
            Ok(addresses) => addresses,
            Err(code) => {
                answer.metadata.response_code = code;
                return format!("{code:?}");
            }
        };
        let mut told = Vec::new();
        for address in addresses {
            let data = match (address, record_type) {
                (IpAddr::V4(v4), RecordType::A | RecordType::ANY) => RData::A(rdata::A(v4)),
                (IpAddr::V6(v6), RecordType::AAAA | RecordType::ANY) => {
                    RData::AAAA(rdata::AAAA(v6))
                }
                _ => continue,
            };
            told.push(address.to_string());
            answer.add_answer(Record::from_rdata(name.clone(), TTL, data));
        }
        if self.answer == DnsAnswer::WrongId {
            told.push("with a wrong identifier".into());
        }
        if told.is_empty() {
            "no records".into()
        } else {
            told.join(" ")
        }
    }

    fn known(&self, name: &Name) -> Result<Vec<IpAddr>, ResponseCode> {
        let key = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        match (self.names.get(&key), self.unknown) {
            (Some(addresses), _) => Ok(addresses.clone()),
            (None, UnknownName::NxDomain) => Err(ResponseCode::NXDomain),
            (None, UnknownName::Sinkhole(v4, v6)) => Ok(std::iter::once(v4.into())
                .chain(v6.map(Into::into))
                .collect()),
        }
    }
}

impl DatagramHandler for Zone {
    fn answer(&self, datagram: &[u8], from: SocketAddr) -> Reply {
        let (observation, bytes) = self.reply(datagram, "udp");
        Reply {
            observation,
            send: bytes.map(|bytes| (bytes, from)),
        }
    }
}

impl ConnectionHandler for Zone {
    fn handle(self: Arc<Self>, mut stream: TcpStream, log: ServiceLog) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut query = Vec::new();
            while let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await {
                query.resize(length.into(), 0);
                let Ok(Ok(_)) = timeout(IDLE, stream.read_exact(&mut query)).await else {
                    log.record(Observation::malformed("a message that does not end", &[]));
                    return;
                };
                let (observation, answer) = self.reply(&query, "tcp");
                log.record(observation);
                let Some(answer) = answer else { return };
                let Ok(length) = u16::try_from(answer.len()) else {
                    return;
                };
                let message = [&length.to_be_bytes()[..], &answer].concat();
                let Ok(Ok(())) = timeout(IDLE, stream.write_all(&message)).await else {
                    return;
                };
            }
        })
    }
}
