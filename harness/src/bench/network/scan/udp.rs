//! Datagrams to many ports at once, and the DUT's "port unreachable".

use std::{
    io::{self, ErrorKind, Read as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use etherparse::{Icmpv4Slice, Icmpv6Slice, Ipv4HeaderSlice, icmpv4, icmpv6};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::{GivenUp, NetworkError, OpenUdpPort, pace::Pace, probes, tcp::is_full};
use crate::bench::network::flow::{quoted, readable};

const BURST: usize = 32;
/// How much of an answer is shown.
const SHOWN: usize = 64;
/// Code of ICMP "port unreachable", versions 4 and 6.
const PORT_V4: u8 = 3;
const PORT_V6: u8 = 4;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: Vec<OpenUdpPort>,
    pub(super) closed: usize,
    pub(super) silent: Vec<u16>,
    pub(super) packets: u64,
}

/// Asks all `ports`; runs on a thread in the namespace.
pub(super) fn scan(
    ours: SocketAddr,
    dut: SocketAddr,
    ports: &[u16],
    retries: u32,
    given_up: &GivenUp,
) -> Result<Found, NetworkError> {
    let target = dut.ip();
    let failed = |action| {
        move |source| NetworkError::Scan {
            target,
            action,
            source,
        }
    };
    let socket = UdpSocket::bind(ours).map_err(failed("opening a socket"))?;
    socket
        .set_nonblocking(true)
        .map_err(failed("opening a socket"))?;
    // Raw sockets take no port in the address.
    let errors = icmp_socket(ours).map_err(failed("opening a raw socket"))?;
    let ours = socket.local_addr().map_err(failed("opening a socket"))?;

    let mut place_of = vec![None; usize::from(u16::MAX) + 1];
    for (place, port) in ports.iter().enumerate() {
        place_of[usize::from(*port)] = Some(place);
    }
    let mut pace = Pace::new(ports.len(), retries);
    let (mut open, mut closed) = (Vec::new(), 0);
    let mut buffer = [0; 2048];
    while !pace.is_done() && !given_up.is_set() {
        let mut stuck = false;
        for _ in 0..BURST {
            let Some(place) = pace.next(Instant::now()) else {
                break;
            };
            let port = ports[place];
            let mut to = dut;
            to.set_port(port);
            match socket.send_to(&probes::probe(port), to) {
                Ok(_) => pace.has_sent(),
                Err(error) if is_full(&error) => {
                    stuck = pace.not_sent(place, Instant::now());
                    if stuck {
                        break;
                    }
                }
                Err(error) if is_from_network(&error) => {}
                Err(error) => return Err(failed("sending")(error)),
            }
        }
        loop {
            match socket.recv_from(&mut buffer) {
                // Some answer from another port: an answer, but not to be told whose.
                Ok((length, from)) if from.ip() == target => {
                    if let Some(place) = place_of[usize::from(from.port())]
                        && pace.answered(place, Instant::now())
                    {
                        open.push(OpenUdpPort {
                            port: from.port(),
                            answer: readable(&buffer[..length.min(SHOWN)]),
                        });
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_from_network(&error) => {}
                Err(error) => return Err(failed("receiving")(error)),
            }
        }
        loop {
            match (&errors).read(&mut buffer) {
                Ok(length) => {
                    if let Some((from, to)) = unreachable(target, &buffer[..length])
                        && (from.ip(), from.port(), to.ip()) == (ours.ip(), ours.port(), target)
                        && let Some(place) = place_of[usize::from(to.port())]
                        && pace.answered(place, Instant::now())
                    {
                        closed += 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("receiving")(error)),
            }
        }
        let now = Instant::now();
        pace.expire(now);
        if stuck || !pace.may_send() {
            let limit = match (stuck, pace.deadline()) {
                (true, _) => Duration::from_millis(1),
                (false, deadline) => deadline.map_or(Duration::ZERO, |deadline| {
                    deadline.saturating_duration_since(now)
                }),
            };
            wait(&socket, &errors, limit).map_err(failed("waiting"))?;
        }
    }
    open.sort_unstable_by_key(|port| port.port);
    Ok(Found {
        open,
        closed,
        silent: pace.silent().map(|place| ports[place]).collect(),
        packets: pace.sent,
    })
}

/// Errors that are somebody's answer to what was sent before, or that no packet could be delivered.
fn is_from_network(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::HostUnreachable | ErrorKind::ConnectionRefused
    )
}

fn icmp_socket(source: SocketAddr) -> io::Result<Socket> {
    let socket = match source {
        SocketAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)),
        SocketAddr::V6(_) => Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)),
    }?;
    socket.set_nonblocking(true)?;
    socket.bind(&source.into())?;
    Ok(socket)
}

fn wait(socket: &UdpSocket, errors: &Socket, limit: Duration) -> io::Result<()> {
    use std::os::fd::AsFd as _;
    let mut fds = [
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(errors.as_fd(), PollFlags::POLLIN),
    ];
    let limit = limit.saturating_add(Duration::from_micros(999)).as_millis();
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, limit) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The endpoints of the datagram that a "port unreachable" of the DUT is about.
fn unreachable(target: IpAddr, packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let original = match target {
        // IPv4 raw sockets give the IP header too.
        IpAddr::V4(address) => {
            let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
            let icmp = Icmpv4Slice::from_slice(packet.get(ip.slice().len()..)?).ok()?;
            let unreachable = icmp.type_u8() == icmpv4::TYPE_DEST_UNREACH;
            let about_port = unreachable && icmp.code_u8() == PORT_V4;
            (about_port && ip.source_addr() == address)
                .then_some(icmp.slice())?
                .get(8..)?
        }
        IpAddr::V6(_) => {
            let icmp = Icmpv6Slice::from_slice(packet).ok()?;
            let unreachable = icmp.type_u8() == icmpv6::TYPE_DST_UNREACH;
            (unreachable && icmp.code_u8() == PORT_V6)
                .then_some(icmp.slice())?
                .get(8..)?
        }
    };
    quoted(original).map(|(_, from, to)| (from, to))
}
