//! What to scan, and what was found.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Serialize;

use super::probes;
use crate::flow::Certificate;

/// What to scan.
#[derive(Debug, Clone)]
pub struct ScanConfig {
    /// The DUT's address.
    pub target: IpAddr,
    /// TCP ports.
    pub tcp: Vec<u16>,
    /// UDP ports.
    pub udp: Vec<u16>,
    /// How often a port that does not answer is asked again.
    pub retries: u32,
    /// Connect to what is open, for banner and TLS.
    pub identify: bool,
    /// How long UDP ports that say nothing are asked at the rate at which the DUT refuses others, and TCP ports beside
    /// others that it refuses (these for a minute at most).
    pub patience: Duration,
}

impl ScanConfig {
    /// All 65,535 ports of TCP, and the UDP ports of protocols that IoT devices speak.
    pub fn new(target: IpAddr) -> Self {
        Self {
            target,
            tcp: (1..=u16::MAX).collect(),
            udp: probes::USUAL_PORTS.to_vec(),
            retries: 4,
            identify: true,
            // A Linux refuses 65,535 ports to 250 peers in less.
            patience: Duration::from_mins(7),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScanReport {
    /// The address.
    pub target: IpAddr,
    /// TCP ports that accept connections.
    pub tcp_open: Vec<OpenPort>,
    /// How many TCP ports refuse.
    pub tcp_closed: usize,
    /// TCP ports that say nothing: filtered, or [`tcp_untold`](Self::tcp_untold).
    pub tcp_silent: Vec<u16>,
    /// Those of them that say nothing by that: packets were lost so often that theirs may have been, or nobody has the
    /// address.
    pub tcp_untold: Vec<u16>,
    /// UDP ports that answered.
    pub udp_open: Vec<OpenUdpPort>,
    /// How many UDP ports are unreachable, by the DUT's own word.
    pub udp_closed: usize,
    /// UDP ports that said nothing: open, filtered, or [`udp_untold`](Self::udp_untold).
    pub udp_silent: Vec<u16>,
    /// Those of them that say nothing by that: the DUT refuses no port, or so seldom that it could not be told from its
    /// not refusing these.
    pub udp_untold: Vec<u16>,
    /// How long it took to find the open ports, in seconds.
    pub seconds: f64,
    /// Packets sent for that; none to an address that nobody has.
    pub packets: u64,
}

/// An open TCP port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OpenPort {
    /// Its number.
    pub port: u16,
    /// What it says by itself, or else to an HTTP request. Shortened, escaped.
    pub banner: Option<String>,
    /// Present when it speaks TLS.
    pub tls: Option<TlsService>,
}

/// What a TLS server takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TlsService {
    /// Versions with the cipher suite chosen, newest first.
    pub versions: Vec<(String, String)>,
    /// Shown by TLS 1.2 or older.
    pub certificates: Vec<Certificate>,
}

/// An open UDP port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenUdpPort {
    /// Its number.
    pub port: u16,
    /// The beginning of its answer, escaped.
    pub answer: String,
}

impl OpenPort {
    /// Of which no more is known.
    pub(super) fn bare(port: u16) -> Self {
        Self {
            port,
            ..Self::default()
        }
    }
}

/// Tells the scan's threads that nobody waits for them any longer.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(std::sync::Arc<AtomicBool>);

impl GivenUp {
    pub(super) fn is_set(&self) -> bool {
        // Ours and the thread's: with one left, whoever waited is gone.
        self.0.load(Ordering::Relaxed) || std::sync::Arc::strong_count(&self.0) == 1
    }
}
