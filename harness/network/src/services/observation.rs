//! What services write down: one kind of observation beside the other, and the data that they consist of.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::ca::CertificateKind;

/// Longest text of the DUT that is kept, in bytes: as much as the head of a request may have.
const LONGEST_TEXT: usize = 16 * 1024;
/// Most bytes of a message or request body that are kept: as much as the services take.
const LONGEST_EXCERPT: usize = 256 * 1024;
/// Answers a request whose body is not read to its end (RFC 9110 15.5.14).
const TOO_LARGE: u16 = 413;
/// Most bytes of something malformed that are kept.
const MALFORMED_EXCERPT: usize = 4 * 1024;

/// What was seen. Texts of the DUT are cut at 16 KiB, contents at 256 KiB, which is more than the services take.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Observation {
    /// The bench did something to the service.
    Control(Effect),
    /// The bench changed how the service answers.
    Reconfigured {
        /// How.
        what: String,
    },
    /// The bench could not do its part.
    BenchFault {
        /// What, and why.
        reason: String,
    },
    /// A TCP connection was accepted.
    Connected,
    /// A TCP connection is over.
    Closed,
    /// The oldest connection was cut: the DUT holds too many.
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// A TLS handshake succeeded.
    Tls(TlsSession),
    /// The DUT sent data in a TLS session: it has accepted what it was shown. (Many clients look at a certificate, or at
    /// the name in it, after the handshake only.)
    TlsData {
        /// The certificate that was presented.
        presented: CertificateKind,
    },
    /// A TLS handshake failed.
    TlsFailed {
        /// The certificate that was presented.
        presented: CertificateKind,
        /// Server name that the DUT asked for.
        sni: Option<String>,
        /// The DUT's alert: its reason for refusing, as RFC 8446 6.2 names it.
        alert: Option<String>,
        /// In words.
        reason: String,
    },
    /// The router announced itself.
    Router {
        /// Because the DUT asked for it.
        solicited: bool,
        /// How.
        answer: String,
    },
    /// A DHCP message.
    Dhcp {
        /// DISCOVER, REQUEST, ...
        message: String,
        /// Hardware address.
        client: String,
        /// Option 50.
        requested: Option<std::net::Ipv4Addr>,
        /// Option 12.
        host_name: Option<String>,
        /// Option 60.
        vendor_class: Option<String>,
        /// What was answered.
        answer: String,
    },
    /// A DNS query.
    Dns {
        /// udp or tcp.
        transport: &'static str,
        /// What was asked for, with final dot.
        name: String,
        /// A, AAAA, ...
        record_type: String,
        /// What was answered.
        answer: String,
    },
    /// An NTP request.
    Ntp {
        /// 1 to 4.
        version: u8,
        /// The time that the DUT believes in, seconds since 1970; none if it does not tell.
        client_time: Option<f64>,
        /// What was answered.
        answer: String,
    },
    /// An MQTT packet.
    Mqtt(PacketSeen),
    /// An HTTP request.
    Http(RequestSeen),
    /// Something that is not what the service speaks.
    Malformed {
        /// What is wrong with it.
        reason: String,
        /// How it begins.
        content: Excerpt,
    },
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// It answers.
    Running,
    /// Its ports are closed: connections are refused.
    Stopped,
    /// Its ports are open: it takes what it gets and says nothing.
    Hanging,
}

/// What an action did, and how that is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// What was done.
    pub action: &'static str,
    /// The service's state from then on.
    pub state: ServiceState,
    /// Connections that were open and are cut.
    pub cut: usize,
    /// The independent sign that it took effect.
    pub proof: String,
    /// When it had taken effect, in seconds since the run's origin.
    pub done: f64,
}

/// A TLS session as negotiated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsSession {
    /// The certificate that was presented. Whether the DUT accepts it shows when it sends data.
    pub presented: CertificateKind,
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: String,
    /// IANA's name of the cipher suite.
    pub cipher: String,
    /// Server name that the DUT asked for.
    pub sni: Option<String>,
    /// Application protocol agreed on.
    pub alpn: Option<String>,
    /// The DUT's own certificate.
    pub client: Option<ClientCertificate>,
}

/// A client certificate. That the peer holds its key was verified, whatever `trouble` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientCertificate {
    /// Distinguished name.
    pub subject: String,
    /// Distinguished name.
    pub issuer: String,
    /// In hexadecimal.
    pub serial: String,
    /// The public key itself (`subjectPublicKey`, RFC 5280), in hexadecimal.
    pub public_key: String,
    /// SHA-256 of the certificate's DER, in hexadecimal.
    pub sha256: String,
    /// Why this run's CA does not vouch for it; none if it does.
    pub trouble: Option<String>,
}

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sender {
    /// The DUT, to the broker.
    Dut,
    /// The broker, to the DUT.
    Broker,
}

/// A packet that passed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PacketSeen {
    /// Who sent it.
    pub sender: Sender,
    /// What it is.
    #[serde(flatten)]
    pub packet: MqttPacket,
}

/// What it is. Packets that only acknowledge are not written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "packet", rename_all = "kebab-case")]
pub enum MqttPacket {
    /// The DUT introduces itself.
    Connect {
        /// 4 is MQTT 3.1.1, 5 is 5.0.
        version: u8,
        /// Its name.
        client_id: String,
        /// Starts anew.
        clean: bool,
        /// Seconds.
        keep_alive: u16,
        /// In the clear, inside of TLS.
        user_name: Option<String>,
        /// In the clear, inside of TLS.
        password: Option<String>,
        /// What others are told when it is gone.
        will: Option<Will>,
    },
    /// The answer to that.
    ConnAck {
        /// 0 is success; others as section 3.2.2.2 of its version says.
        code: u8,
        /// The broker remembers it.
        session_present: bool,
    },
    /// A message.
    Publish {
        /// Its topic.
        topic: String,
        /// 0 to 2.
        qos: u8,
        /// Kept for later subscribers.
        retain: bool,
        /// Sent again.
        duplicate: bool,
        /// What it says.
        payload: Excerpt,
    },
    /// What the DUT wants to hear.
    Subscribe {
        /// Topic filters and the highest quality of service wanted, at most 64.
        filters: Vec<(String, u8)>,
    },
    /// What it wants to hear no more.
    Unsubscribe {
        /// Topic filters, at most 64.
        filters: Vec<String>,
    },
    /// Goes in good order.
    Disconnect,
}

/// A last will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Will {
    /// Its topic.
    pub topic: String,
    /// 0 to 2.
    pub qos: u8,
    /// Kept for later subscribers.
    pub retain: bool,
    /// What it says.
    pub message: Excerpt,
}

/// A request that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestSeen {
    /// GET, ...
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header `Host`.
    pub host: Option<String>,
    /// Header `User-Agent`.
    pub user_agent: Option<String>,
    /// Header `Range`.
    pub range: Option<String>,
    /// All headers, at most 32.
    pub headers: Vec<(String, String)>,
    /// What the request says.
    pub body: Excerpt,
    /// What was answered; 0 if it was no HTTP.
    pub status: u16,
    /// Bytes of content that the answer announced.
    pub length: u64,
}

impl Observation {
    pub(super) fn malformed(reason: impl Into<String>, content: &[u8]) -> Self {
        Self::Malformed {
            reason: clip(reason),
            content: Excerpt::up_to(content, MALFORMED_EXCERPT),
        }
    }

    /// The word for it in records and counts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Control(_) => "control",
            Self::Reconfigured { .. } => "reconfigured",
            Self::BenchFault { .. } => "bench-fault",
            Self::Connected => "connected",
            Self::Closed => "closed",
            Self::TooMany { .. } => "too-many",
            Self::Tls(_) => "tls",
            Self::TlsData { .. } => "tls-data",
            Self::TlsFailed { .. } => "tls-failed",
            Self::Router { .. } => "router",
            Self::Dhcp { .. } => "dhcp",
            Self::Dns { .. } => "dns",
            Self::Ntp { .. } => "ntp",
            Self::Mqtt(_) => "mqtt",
            Self::Http(_) => "http",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// Whether there was more than was read, or is kept.
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Http(request) => request.status == TOO_LARGE,
            Self::Malformed { content, .. } => content.length > content.data.len() as u64,
            _ => false,
        }
    }

    /// For a datagram that gets no answer because the service hangs.
    pub(super) fn unanswered(mut self) -> Self {
        if let Self::Dhcp { answer, .. }
        | Self::Router { answer, .. }
        | Self::Dns { answer, .. }
        | Self::Ntp { answer, .. } = &mut self
        {
            *answer = "none, hanging".into();
        }
        self
    }
}

/// The beginning of something that the DUT sent. Serialized as `text` where it is UTF-8, else as `base64`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Excerpt {
    /// How long the whole was, in bytes.
    pub length: u64,
    /// Its beginning.
    pub data: Vec<u8>,
}

impl Excerpt {
    pub(super) fn new(data: &[u8]) -> Self {
        Self::up_to(data, LONGEST_EXCERPT)
    }

    fn up_to(data: &[u8], most: usize) -> Self {
        Self {
            length: data.len() as u64,
            data: data[..data.len().min(most)].to_vec(),
        }
    }
}

impl Serialize for Excerpt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Excerpt", 2)?;
        fields.serialize_field("length", &self.length)?;
        match str::from_utf8(&self.data) {
            Ok(text) => fields.serialize_field("text", text)?,
            Err(_) => fields.serialize_field("base64", &STANDARD.encode(&self.data))?,
        }
        fields.end()
    }
}

/// A text of the DUT, cut to a sound length.
pub(super) fn clip(text: impl Into<String>) -> String {
    let mut text = text.into();
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}
