//! What the index says: plain data, for scripts and `flows.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Not;

use serde::{Serialize, Serializer};

use crate::{losses::Losses, plan::Direction, search::Encoding};

/// What carries a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// ICMP for IPv4 or IPv6; ports are 0.
    Icmp,
    /// Address resolution; ports are 0.
    Arp,
    /// Any other IP protocol, by IANA's number, or fragments; ports are 0.
    Ip(u8),
}

/// `tcp`, `udp`, `icmp`, `arp`, `ip-47`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Arp => f.write_str("arp"),
            Self::Ip(number) => write!(f, "ip-{number}"),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the one that was spoken to did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered; for TCP: it accepted the connection.
    Answered,
    /// Reset, or "unreachable".
    Refused,
    /// Nothing.
    Unanswered,
}

/// Packets between two endpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flow {
    /// TCP, UDP, ...
    pub protocol: Protocol,
    /// Who spoke first.
    pub by: Direction,
    /// It was under way when it was first seen: TCP without SYN, and without data of the DUT's for anybody beyond the bench.
    #[serde(skip_serializing_if = "Not::not")]
    pub is_midway: bool,
    /// It keeps the network itself going, and says nothing to anybody: address resolution, neighbours, routers, multicast
    /// groups, leases, ICMP errors and answers to echo requests; and fragments, which make a flow when they are joined.
    #[serde(skip_serializing_if = "Not::not")]
    pub infrastructure: bool,
    /// Its address and port.
    pub source: SocketAddr,
    /// Whom it spoke to.
    pub destination: SocketAddr,
    /// DNS names that the destination's address was given for.
    pub names: Vec<String>,
    /// First packet, in seconds of the console log's clock.
    pub first: f64,
    /// Last packet so far, likewise.
    pub last: f64,
    /// Frames of the source.
    pub packets_out: u64,
    /// Frames of the destination.
    pub packets_in: u64,
    /// Bytes of the source's frames.
    pub bytes_out: u64,
    /// Bytes of the destination's frames.
    pub bytes_in: u64,
    /// What the destination did.
    pub outcome: Outcome,
    /// Present when TLS was seen.
    pub tls: Option<TlsSeen>,
    /// HTTP requests in the clear; the first few.
    pub http: Vec<HttpRequest>,
    /// Present when MQTT was seen in the clear.
    pub mqtt: Option<MqttSeen>,
    /// Parts of its TCP streams were never seen: what was in there is not known.
    pub gaps: bool,
    /// There may be more requests and topics than are listed, or another protocol than is told: a list was full, or the
    /// stream's beginning longer than what is looked into.
    #[serde(skip_serializing_if = "Not::not")]
    pub more: bool,
}

impl Flow {
    /// Whether the DUT spoke to somebody who had not spoken to it, by whatever protocol.
    pub fn is_call(&self) -> bool {
        self.by == Direction::FromDut && !self.is_midway && !self.infrastructure
    }
}

/// What can be seen of TLS from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TlsSeen {
    /// Versions that the client offered, without GREASE (RFC 8701). A client of TLS 1.2 or older names the newest that it
    /// speaks, no more.
    pub offered: Vec<String>,
    /// Cipher suites that the client offered, without GREASE and signals (RFC 5746, RFC 7507): IANA's names, or numbers.
    pub offered_ciphers: Vec<String>,
    /// The server's choice: `TLS 1.3`, ...
    pub version: Option<String>,
    /// The server's choice, IANA's name.
    pub cipher: Option<String>,
    /// Server name that the client asked for.
    pub sni: Option<String>,
    /// The server's certificates; encrypted since TLS 1.3.
    pub certificates: Vec<Certificate>,
    /// The client's certificates; encrypted since TLS 1.3.
    pub client_certificates: Vec<Certificate>,
    /// Alerts in the clear.
    pub alerts: Vec<String>,
    /// The server has gone over to encryption. Whether the client accepted it can't be told from that: in TLS 1.3 a
    /// client refuses in encrypted words.
    pub encrypted: bool,
}

/// An X.509 certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Of its DER form, in hexadecimal.
    pub sha256: String,
    /// Distinguished name; `None` when it could not be parsed.
    pub subject: Option<String>,
    /// Distinguished name.
    pub issuer: Option<String>,
    /// End of validity.
    pub not_after: Option<String>,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpRequest {
    /// `GET`, ...
    pub method: String,
    /// As it was asked for.
    pub path: String,
    /// The header.
    pub host: Option<String>,
    /// Whether credentials went with it (`Authorization`, `Cookie`).
    pub credentials: bool,
}

/// MQTT in the clear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MqttSeen {
    /// 3, 4 (3.1.1) or 5.
    pub level: u8,
    /// As the client calls itself.
    pub client_id: String,
    /// A user name was sent.
    pub username: bool,
    /// A password was sent.
    pub password: bool,
    /// Topics published to by the client; the first few.
    pub topics: Vec<String>,
}

/// A name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsQuestion {
    /// Without the final dot, in lower case.
    pub name: String,
    /// `A`, `AAAA`, ...
    pub kind: String,
    /// Who asked.
    pub by: Direction,
    /// The port asked: 53 DNS, 5353 mDNS, 5355 LLMNR.
    pub port: u16,
    /// How often.
    pub count: u64,
    /// The last answer's response code.
    pub answer: Option<String>,
    /// Addresses given.
    pub addresses: Vec<IpAddr>,
}

/// A destination that the DUT tried and the bench does not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// TCP, UDP, ...; ARP when the address was only looked for in the local network.
    pub protocol: Protocol,
    /// Whom the DUT wanted.
    pub destination: SocketAddr,
    /// DNS names that the address was given for.
    pub names: Vec<String>,
    /// Flows.
    pub attempts: u64,
    /// What happened to the last.
    pub outcome: Outcome,
}

/// A canary was seen on the wire.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CanaryHit {
    /// Its name.
    pub canary: String,
    /// In which form.
    pub encoding: Encoding,
    /// Who sent it.
    pub by: Direction,
    /// TCP, UDP, ...; `None` in frames that are not understood.
    pub protocol: Option<Protocol>,
    /// Sender.
    pub source: Option<SocketAddr>,
    /// Receiver.
    pub destination: Option<SocketAddr>,
    /// In seconds of the console log's clock.
    pub at: f64,
}

/// Everything that the index knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Flows {
    /// In order of their first packets.
    pub flows: Vec<Flow>,
    /// In order of their first questions.
    pub dns: Vec<DnsQuestion>,
    /// Destinations that the DUT tried in vain, or that stand for somebody else.
    pub unserved: Vec<Unserved>,
    /// Once for each canary, form and pair of endpoints.
    pub canaries: Vec<CanaryHit>,
    /// Frames of the bench's own port scans and the answers, which are no flows here.
    pub scan_frames: u64,
    /// Frames that are no Ethernet with a whole IP or ARP packet.
    pub malformed: u64,
    /// Those of them that the DUT sent, but for what manages the link (LLDP, EAPOL, spanning trees): by EtherType in
    /// hexadecimal, `llc` for IEEE 802.3, `others` when there are too many kinds.
    pub ethernet: BTreeMap<String, u64>,
    /// Frames of flows for which there was no room.
    pub unindexed: u64,
    /// Flows of the DUT that were taken out to make room: others to the same destination are there, the first among them.
    pub repeated: u64,
    /// TCP streams that were not looked into any further, for lack of room.
    pub unparsed: u64,
    /// All that was not seen, or not kept, since the network was started.
    pub losses: Losses,
}
