//! Which ports of the DUT are open, and what answers there.
//!
//! TCP ports are asked with SYN packets from a raw socket, as many at a time as the DUT keeps up with; the kernel resets
//! what the DUT accepts. UDP ports are sent what their usual protocol answers to.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use serde::Serialize;
use tokio::task::JoinSet;

mod hello;
mod identify;
mod pace;
mod probes;
mod tcp;
mod udp;

pub(super) use tcp::ScanPort;

use super::{Certificate, Network, NetworkError, neighbours};

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
    /// TCP ports that say nothing.
    pub tcp_silent: Vec<u16>,
    /// UDP ports that answered.
    pub udp_open: Vec<OpenUdpPort>,
    /// How many UDP ports are unreachable, by the DUT's own word.
    pub udp_closed: usize,
    /// UDP ports that said nothing: open, filtered, or a DUT that limits how often it says "unreachable".
    pub udp_silent: Vec<u16>,
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
    fn bare(port: u16) -> Self {
        Self {
            port,
            ..Self::default()
        }
    }
}

pub(super) async fn scan(
    network: &Network,
    config: ScanConfig,
) -> Result<ScanReport, NetworkError> {
    let started = Instant::now();
    let (target, retries) = (config.target, config.retries);
    let (ours, dut) = (network.source_for(target), network.endpoint(target, 0));
    // A scan that is given up ends at its next packet.
    let given_up = GivenUp::default();

    if !neighbours::is_there(network, target).await? {
        return Ok(ScanReport {
            target,
            tcp_open: Vec::new(),
            tcp_closed: 0,
            tcp_silent: config.tcp,
            udp_open: Vec::new(),
            udp_closed: 0,
            udp_silent: config.udp,
            seconds: started.elapsed().as_secs_f64(),
            packets: 0,
        });
    }
    let reserve = || ScanPort::reserve(network, target);
    let number = network.scan_port.get_or_try_init(reserve).await?.number();
    let watched = given_up.clone();
    let tcp_ports = config.tcp;
    let tcp = network
        .handle()
        .spawn_blocking(move || tcp::scan(ours, dut, number, &tcp_ports, retries, &watched))
        .await
        .map_err(interrupted(target))??;

    let watched = given_up.clone();
    let udp_ports = config.udp;
    let udp = network
        .handle()
        .spawn_blocking(move || udp::scan(ours, dut, &udp_ports, retries, &watched))
        .await
        .map_err(interrupted(target))??;
    let seconds = started.elapsed().as_secs_f64();

    let tcp_open = if config.identify {
        // It ends with whoever waits for it.
        let mut asking = JoinSet::new();
        asking.spawn_on(identify::all(dut, tcp.open), network.handle());
        match asking.join_next().await {
            Some(asked) => asked.map_err(interrupted(target))?,
            None => Vec::new(),
        }
    } else {
        tcp.open.into_iter().map(OpenPort::bare).collect()
    };
    Ok(ScanReport {
        target,
        tcp_open,
        tcp_closed: tcp.closed,
        tcp_silent: tcp.silent,
        udp_open: udp.open,
        udp_closed: udp.closed,
        udp_silent: udp.silent,
        seconds,
        packets: tcp.packets + udp.packets,
    })
}

fn interrupted(target: IpAddr) -> impl Fn(tokio::task::JoinError) -> NetworkError {
    move |error| NetworkError::Scan {
        target,
        action: "running it",
        source: std::io::Error::other(error),
    }
}

/// Tells the scan's threads that nobody waits for them any longer.
#[derive(Debug, Clone, Default)]
struct GivenUp(std::sync::Arc<AtomicBool>);

impl GivenUp {
    fn is_set(&self) -> bool {
        // Ours and the thread's: with one left, whoever waited is gone.
        self.0.load(Ordering::Relaxed) || std::sync::Arc::strong_count(&self.0) == 1
    }
}

#[cfg(test)]
pub(super) fn tests_hello() -> Vec<u8> {
    hello::client_hello(hello::VERSIONS[0])
}
