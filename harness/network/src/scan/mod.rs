//! Which ports of the DUT are open, and what answers there.
//!
//! TCP ports are asked with SYN packets from a raw socket, as many at a time as the DUT keeps up with; the kernel resets
//! what the DUT accepts. Those that say nothing are asked again, beside others that refused before. UDP ports are sent what their usual protocol answers to; those that say nothing once more, from
//! many addresses, at the rate at which the DUT refuses others.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

mod ask;
mod hello;
mod identify;
mod pace;
mod probes;
mod report;
mod slow;
mod sources;
mod tcp;
mod udp;

pub use report::{OpenPort, OpenUdpPort, ScanConfig, ScanReport, TlsService};

use report::GivenUp;
use sources::Sources;

use crate::{error::NetworkError, neighbours, network::Network, scan_port::ScanPort};

/// So often running a silent TCP port is asked beside others that refuse.
const ENOUGH: u32 = 3;
/// One in so many of these may be lost.
const TOLERATED: usize = 16;
/// As long as that takes at most, if packets are lost all the time.
const CONTROL_LIMIT: Duration = Duration::from_mins(1);
/// Silent ports that are asked at once, and as many that refuse.
const MOST_AT_ONCE: usize = 256;
/// As many that refuse are asked beside few silent ones; where there are fewer, others are looked for.
const FEW_CONTROLS: usize = 16;
/// Silent ports for each that refuses, and in all: what they are can't be told in a reasonable time of more.
const MOST_FOR_A_CONTROL: usize = 16;
const MOST_DOUBTFUL: usize = 4096;

impl Network {
    /// Looks for open ports of the DUT.
    ///
    /// # Errors
    /// [`NetworkError::Scan`] when the bench can't scan; what the DUT does is in the result.
    pub async fn scan(&self, config: ScanConfig) -> Result<ScanReport, NetworkError> {
        scan(self, config).await
    }
}

async fn scan(network: &Network, config: ScanConfig) -> Result<ScanReport, NetworkError> {
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
            tcp_untold: config.tcp.clone(),
            tcp_silent: config.tcp,
            udp_open: Vec::new(),
            udp_closed: 0,
            udp_untold: config.udp.clone(),
            udp_silent: config.udp,
            seconds: started.elapsed().as_secs_f64(),
            packets: 0,
        });
    }
    let tcp = scan_tcp(
        network,
        (ours, dut),
        config.tcp,
        (retries, config.patience),
        &given_up,
    )
    .await?;

    let udp = scan_udp(
        network,
        (ours, dut),
        &config.udp,
        retries,
        config.patience,
        &given_up,
    );
    let udp = udp.await?;
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
        tcp_untold: tcp.untold,
        udp_open: udp.open,
        udp_closed: udp.closed,
        udp_silent: udp.silent,
        udp_untold: udp.untold,
        seconds,
        packets: tcp.packets + udp.packets,
    })
}

/// What was found of TCP.
struct TcpFound {
    open: Vec<u16>,
    closed: usize,
    silent: Vec<u16>,
    untold: Vec<u16>,
    packets: u64,
}

/// First as fast as the DUT answers, then what said nothing beside ports that refused: only if those do so again, and in
/// the same moment, the silence is the port's, and no packet was lost, be it here, on the way or in the DUT.
async fn scan_tcp(
    network: &Network,
    (ours, dut): (SocketAddr, SocketAddr),
    ports: Vec<u16>,
    (retries, patience): (u32, Duration),
    given_up: &GivenUp,
) -> Result<TcpFound, NetworkError> {
    let target = dut.ip();
    let failed = move |source| NetworkError::Scan {
        target,
        action: "reserving a port",
        source,
    };
    let reserve = async || {
        let reserving = async move { ScanPort::reserve().map_err(failed) };
        let port = network.run(reserving).await?;
        // What comes from there and goes there is no flow from now on.
        network.shared.lock().index.scans_from(port.number());
        Ok::<_, NetworkError>(port)
    };
    let number = network.scan_port.get_or_try_init(reserve).await?.number();
    let ask = async |ports: Vec<u16>, retries| {
        let watched = given_up.clone();
        let work = move || tcp::scan(ours, dut, number, &ports, retries, &watched);
        let asking = network.handle().spawn_blocking(work);
        asking.await.map_err(interrupted(target))?
    };
    let asked: HashSet<u16> = ports.iter().copied().collect();
    let first = ask(ports, retries).await?;
    let mut found = TcpFound {
        open: first.open,
        closed: first.closed.len(),
        silent: Vec::new(),
        untold: Vec::new(),
        packets: first.packets,
    };
    let mut controls = first.closed;
    // How often each was silent while the controls were not.
    let mut doubtful: Vec<(u16, u32)> = first.silent.iter().map(|port| (*port, 0)).collect();
    if !doubtful.is_empty() && controls.len() < FEW_CONTROLS {
        // Any others do.
        let others = (1..=u16::MAX).rev().filter(|port| !asked.contains(port));
        let others = ask(others.take(FEW_CONTROLS).collect(), 1).await?;
        found.packets += others.packets;
        controls.extend(others.closed);
    }
    if doubtful.len() > MOST_DOUBTFUL.min(controls.len() * MOST_FOR_A_CONTROL) {
        // A DUT that drops what comes as a rule does so everywhere; among others that refuse, nothing is known.
        if found.closed > first.silent.len() {
            found.untold.clone_from(&first.silent);
        }
        found.silent = first.silent;
        return Ok(found);
    }
    let end = Instant::now() + patience.min(CONTROL_LIMIT);
    let mut next_controls = controls.iter().copied().cycle();
    let room = controls.len().min(MOST_AT_ONCE);
    while !doubtful.is_empty() && Instant::now() < end {
        let mut left = Vec::new();
        for some in doubtful.chunks(room) {
            if Instant::now() >= end {
                left.extend_from_slice(some);
                continue;
            }
            let count = some.len().max(FEW_CONTROLS).min(controls.len());
            let beside: Vec<u16> = next_controls.by_ref().take(count).collect();
            let mut both = Vec::new();
            for (place, control) in beside.iter().enumerate() {
                both.extend(some.get(place).map(|(port, _)| *port));
                both.push(*control);
            }
            let again = ask(both, 0).await?;
            found.packets += again.packets;
            let open: HashSet<u16> = again.open.into_iter().collect();
            let closed: HashSet<u16> = again.closed.into_iter().collect();
            let lost = beside.iter().filter(|it| !closed.contains(it)).count();
            let is_sound = lost * TOLERATED <= count;
            for (port, shown) in some.iter().copied() {
                let shown = if is_sound { shown + 1 } else { 0 };
                if open.contains(&port) {
                    found.open.push(port);
                } else if closed.contains(&port) {
                    found.closed += 1;
                } else if shown >= ENOUGH {
                    found.silent.push(port);
                } else {
                    left.push((port, shown));
                }
            }
        }
        doubtful = left;
    }
    found.untold = doubtful.into_iter().map(|(port, _)| port).collect();
    found.untold.sort_unstable();
    found.silent.extend(&found.untold);
    found.silent.sort_unstable();
    found.open.sort_unstable();
    Ok(found)
}

/// First as fast as the DUT answers, then what said nothing at the rate at which it refuses.
async fn scan_udp(
    network: &Network,
    (ours, dut): (SocketAddr, SocketAddr),
    ports: &[u16],
    retries: u32,
    patience: Duration,
    given_up: &GivenUp,
) -> Result<udp::Probed, NetworkError> {
    let target = dut.ip();
    let opening = move |source| NetworkError::Scan {
        target,
        action: "opening a socket",
        source,
    };
    let bind = async move { udp::socket(ours).map_err(opening) };
    let socket = network.run(bind).await?;
    let _ends = Ends::of(network, std::slice::from_ref(&socket));
    let (asked, watched) = (ports.to_vec(), given_up.clone());
    let found = network
        .handle()
        .spawn_blocking(move || udp::scan(&socket, dut, &asked, retries, &watched))
        .await
        .map_err(interrupted(target))??;
    let mut told = udp::Probed {
        open: found.open,
        closed: found.refused.len(),
        silent: Vec::new(),
        untold: found.silent,
        packets: found.packets,
    };
    if !told.untold.is_empty() && !found.refused.is_empty() && !patience.is_zero() {
        // Few are asked from one address in no time.
        let sources = Sources::take(network, target, told.untold.len().div_ceil(4)).await?;
        let all = sources.all.clone();
        let bind = async move {
            let sockets: std::io::Result<Vec<_>> = all.into_iter().map(udp::socket).collect();
            sockets.map_err(opening)
        };
        let sockets = network.run(bind).await?;
        let ends = Ends::of(network, &sockets);
        let (asked, watched) = (std::mem::take(&mut told.untold), given_up.clone());
        let work = move || {
            let ports = (&asked[..], &found.refused[..]);
            udp::scan_slowly(&sockets, dut, ports, patience, &watched)
        };
        let asking = network.handle().spawn_blocking(work);
        let slowly = asking.await.map_err(interrupted(target))??;
        drop(ends);
        sources.give_back().await?;
        told.open.extend(slowly.open);
        told.closed += slowly.closed;
        told.silent = slowly.silent;
        told.untold = slowly.untold;
        told.packets += slowly.packets;
    }
    told.open.sort_unstable_by_key(|port| port.port);
    told.silent.extend(&told.untold);
    told.silent.sort_unstable();
    Ok(told)
}

/// Where a scan's datagrams come from and go to: they are no flows.
struct Ends<'n> {
    network: &'n Network,
    all: Vec<SocketAddr>,
}

impl<'n> Ends<'n> {
    fn of(network: &'n Network, sockets: &[UdpSocket]) -> Self {
        let all = sockets.iter().filter_map(|socket| socket.local_addr().ok());
        let all: Vec<SocketAddr> = all
            .map(|end| SocketAddr::new(end.ip(), end.port()))
            .collect();
        network.shared.lock().index.scans_datagrams(&all);
        Self { network, all }
    }
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.network
            .shared
            .lock()
            .index
            .scanned_datagrams(&self.all);
    }
}

fn interrupted(target: IpAddr) -> impl Fn(tokio::task::JoinError) -> NetworkError {
    move |error| NetworkError::Scan {
        target,
        action: "running it",
        source: std::io::Error::other(error),
    }
}
#[cfg(test)]
pub(super) fn tests_hello() -> Vec<u8> {
    hello::client_hello(hello::VERSIONS[0])
}
