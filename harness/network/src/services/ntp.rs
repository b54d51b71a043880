//! A time server (RFC 5905, mode 4) whose time is the host's plus an offset that a script sets.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use time::{Duration, OffsetDateTime};
use tokio::runtime::Handle;

use super::{
    control::Control,
    error::ServiceError,
    handler::{DatagramHandler, Port, Reply, Serve},
    observation::Observation,
    record::ServiceLog,
    service::{Hosts, Kind, Place, Service, Settings, answer_of},
};

/// Length of a packet without extensions.
const PACKET: usize = 48;
/// Seconds from 1900, where NTP counts from, to 1970 (RFC 5905 figure 4).
const TO_UNIX: i64 = 2_208_988_800;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
const LEAP_UNSYNCHRONIZED: u8 = 3;
/// 2^-20 s, about a microsecond.
const PRECISION: i8 = -20;
/// Root delay and dispersion in NTP's short format: 2^-10 s, about a millisecond.
const ROOT: [u8; 4] = [0, 0, 0, 64];

/// Where it listens.
#[derive(Debug, Clone)]
pub struct NtpConfig {
    /// Addresses, UDP.
    pub listen: Vec<SocketAddr>,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NtpAnswer {
    /// As a well-behaved service does.
    Normal,
    /// Kiss-o'-death with this code: `DENY`, `RATE`, `RSTR` (RFC 5905 7.4).
    KissOfDeath([u8; 4]),
    /// Says that its own clock is not synchronized: leap 3, stratum 16.
    Unsynchronized,
    /// An answer to another request: its origin timestamp is not the request's.
    WrongOrigin,
    /// All timestamps are zero.
    ZeroTime,
    /// Bytes that are no NTP packet.
    Garbage,
}

/// The kind of service.
pub(super) static KIND: Kind = Kind {
    name: "ntp",
    port: 123,
    plain_port: None,
    hosts: Hosts::Any,
    is_single: false,
    own_address: None,
    own_host: None,
    settings: |at| {
        Some(Box::new(NtpConfig {
            listen: at.listen(),
        }))
    },
};

/// The answers that scripts can choose.
const ANSWERS: [(&str, NtpAnswer); 4] = [
    ("normal", NtpAnswer::Normal),
    ("unsynchronized", NtpAnswer::Unsynchronized),
    ("zero", NtpAnswer::ZeroTime),
    ("garbage", NtpAnswer::Garbage),
];

/// The time server.
pub struct Ntp {
    control: Control,
    log: ServiceLog,
    clock: Arc<Clock>,
}

struct Clock {
    state: Mutex<(NtpAnswer, Duration)>,
}

impl Ntp {
    pub(super) fn new(handle: &Handle, log: ServiceLog, config: &NtpConfig) -> Self {
        let clock = Arc::new(Clock {
            state: Mutex::new((NtpAnswer::Normal, Duration::ZERO)),
        });
        let ports = config
            .listen
            .iter()
            .map(|address| Port {
                address: *address,
                interface: None,
                serve: Serve::Udp(clock.clone()),
            })
            .collect();
        Self {
            control: Control::new(handle, log.clone(), ports),
            log,
            clock,
        }
    }

    /// Answers this way from now on.
    pub fn answer(&self, answer: NtpAnswer) {
        self.clock.lock().0 = answer;
        self.log.record(Observation::Reconfigured {
            what: format!("answers: {answer:?}"),
        });
    }

    /// Tells the host's time plus this from now on.
    pub fn set_offset(&self, offset: Duration) {
        self.clock.lock().1 = offset;
        self.log.record(Observation::Reconfigured {
            what: format!("time is off by {offset}"),
        });
    }

    /// The time that it tells.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

impl Settings for NtpConfig {
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>> {
        let Place {
            name, handle, log, ..
        } = place;
        let service = Ntp::new(handle, log.of(name), &self);
        Box::pin(ready(Ok(Box::new(service) as Box<dyn Service>)))
    }
}

impl Service for Ntp {
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

    fn set_time_offset(&self, offset: Duration) -> Result<(), ServiceError> {
        self.set_offset(offset);
        Ok(())
    }

    fn reset(&self) {
        self.answer(NtpAnswer::Normal);
        self.set_offset(Duration::ZERO);
    }
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, (NtpAnswer, Duration)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> OffsetDateTime {
        let offset = self.lock().1;
        OffsetDateTime::now_utc().saturating_add(offset)
    }
}

impl DatagramHandler for Clock {
    fn answer(&self, datagram: &[u8], from: SocketAddr) -> Reply {
        let refuse = |reason: &str| Reply {
            observation: Observation::malformed(reason, datagram),
            send: None,
        };
        let Some(request) = datagram.first_chunk::<PACKET>() else {
            return refuse("shorter than an NTP packet");
        };
        let (version, mode) = (request[0] >> 3 & 7, request[0] & 7);
        if mode != MODE_CLIENT || !(1..=4).contains(&version) {
            return refuse("not a client's request of NTP version 1 to 4");
        }
        let (answer, _) = *self.lock();
        let now = self.now();
        let stamp = timestamp(now);
        let mut packet = [0; PACKET];
        packet[0] = version << 3 | MODE_SERVER;
        packet[1] = 1;
        packet[2] = request[2];
        packet[3] = PRECISION.to_be_bytes()[0];
        packet[4..8].copy_from_slice(&ROOT);
        packet[8..12].copy_from_slice(&ROOT);
        packet[12..16].copy_from_slice(b"LOCL");
        // Reference, origin (what the client sent), receive, transmit.
        packet[16..24].copy_from_slice(&stamp);
        packet[24..32].copy_from_slice(&request[40..48]);
        packet[32..40].copy_from_slice(&stamp);
        packet[40..48].copy_from_slice(&stamp);
        let mut told = now.to_string();
        let mut length = PACKET;
        match answer {
            NtpAnswer::Normal => {}
            NtpAnswer::KissOfDeath(code) => {
                packet[0] |= LEAP_UNSYNCHRONIZED << 6;
                packet[1] = 0;
                packet[12..16].copy_from_slice(&code);
                told = format!("kiss-o'-death {}", code.escape_ascii());
            }
            NtpAnswer::Unsynchronized => {
                packet[0] |= LEAP_UNSYNCHRONIZED << 6;
                packet[1] = 16;
                told.push_str(", unsynchronized");
            }
            NtpAnswer::WrongOrigin => {
                for byte in &mut packet[24..32] {
                    *byte = !*byte;
                }
                told.push_str(", to a request that was not made");
            }
            NtpAnswer::ZeroTime => {
                packet[16..24].fill(0);
                packet[32..48].fill(0);
                told = "zero".into();
            }
            NtpAnswer::Garbage => {
                packet.fill(0xff);
                length = PACKET / 2;
                told = "garbage".into();
            }
        }
        Reply {
            observation: Observation::Ntp {
                version,
                client_time: client_time(request),
                answer: told,
            },
            send: Some((packet[..length].to_vec(), from)),
        }
    }
}

/// Seconds and their fraction since 1900, modulo 2^32 s.
fn timestamp(at: OffsetDateTime) -> [u8; 8] {
    #[expect(clippy::cast_sign_loss, reason = "eras wrap")]
    let seconds = (at.unix_timestamp() + TO_UNIX) as u32;
    let fraction = (u64::from(at.nanosecond()) << 32) / 1_000_000_000;
    (u64::from(seconds) << 32 | fraction).to_be_bytes()
}

/// The request's transmit timestamp as seconds since 1970, taken as of the era that began in 1900. Many clients send
/// a random number there, for their privacy.
fn client_time(request: &[u8; PACKET]) -> Option<f64> {
    let stamp = u64::from_be_bytes(*request.last_chunk()?);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a double holds microseconds of it"
    )]
    (stamp != 0).then(|| (stamp as f64) / 4_294_967_296.0 - TO_UNIX as f64)
}
