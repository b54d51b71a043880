//! SYN packets to many ports at once.

use std::{
    io::{self, ErrorKind, Read as _},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use etherparse::{TcpHeader, TcpOptionElement, TcpSlice};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        setsockopt,
        sockopt::{RcvBuf, RcvBufForce},
    },
};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::TcpSocket;

use super::{GivenUp, Network, NetworkError, pace::Pace};

const RECEIVE_BUFFER: usize = 4 << 20;
/// What we could take, were we to take anything.
const WINDOW: u16 = 1024;
const MSS: u16 = 1460;
/// Packets sent before answers are looked at.
const BURST: usize = 32;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: Vec<u16>,
    pub(super) closed: usize,
    pub(super) silent: Vec<u16>,
    pub(super) packets: u64,
}

/// The port that SYN packets come from. Kept for as long as the network is there: what is still on its way when a scan
/// is over must not be taken for somebody else's.
#[derive(Debug)]
pub(in crate::bench::network) struct ScanPort {
    number: u16,
    _socket: TcpSocket,
}

impl ScanPort {
    /// What comes from there and goes there is no flow from now on.
    pub(super) async fn reserve(network: &Network, target: IpAddr) -> Result<Self, NetworkError> {
        // One for both families.
        let bind = async {
            let socket = TcpSocket::new_v6()?;
            SockRef::from(&socket).set_only_v6(false)?;
            socket.bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0))?;
            let number = socket.local_addr()?.port();
            Ok(Self {
                number,
                _socket: socket,
            })
        };
        let failed = move |source| NetworkError::Scan {
            target,
            action: "reserving a port",
            source,
        };
        let reserved: Self = network
            .run(async move { bind.await.map_err(failed) })
            .await?;
        network.shared.lock().index.scans_from(reserved.number);
        Ok(reserved)
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

/// Asks all `ports`; runs on a thread in the namespace.
pub(super) fn scan(
    ours: SocketAddr,
    dut: SocketAddr,
    from: u16,
    ports: &[u16],
    retries: u32,
    given_up: &GivenUp,
) -> Result<Found, NetworkError> {
    let (source, target) = (ours.ip(), dut.ip());
    let failed = |action| {
        move |source| NetworkError::Scan {
            target,
            action,
            source,
        }
    };
    let socket = raw_socket(ours).map_err(failed("opening a raw socket"))?;
    // Answers quote it: what does not belong to this scan is told apart.
    let secret: u32 = rand::random();
    let mut place_of = vec![None; usize::from(u16::MAX) + 1];
    for (place, port) in ports.iter().enumerate() {
        place_of[usize::from(*port)] = Some(place);
    }
    let mut pace = Pace::new(ports.len(), retries);
    let mut open = Vec::new();
    let mut closed = 0;
    let mut buffer = [0; 2048];
    // Raw sockets take no port in the address.
    let to = SockAddr::from(dut);
    while !pace.is_done() && !given_up.is_set() {
        let mut stuck = false;
        for _ in 0..BURST {
            let Some(place) = pace.next(Instant::now()) else {
                break;
            };
            let port = ports[place];
            let packet =
                syn(source, target, from, port, secret).map_err(failed("making a packet"))?;
            match socket.send_to(&packet, &to) {
                Ok(_) => pace.has_sent(),
                Err(error) if is_full(&error) => {
                    stuck = pace.not_sent(place, Instant::now());
                    if stuck {
                        break;
                    }
                }
                // The DUT does not answer ARP: as if the packet was lost.
                Err(error) if error.kind() == ErrorKind::HostUnreachable => {}
                Err(error) => return Err(failed("sending")(error)),
            }
        }
        let received = loop {
            match (&socket).read(&mut buffer) {
                Ok(length) => {
                    let answer = answer(source, target, from, secret, &buffer[..length]);
                    if let Some((port, accepted)) = answer
                        && let Some(place) = place_of[usize::from(port)]
                        && pace.answered(place, Instant::now())
                    {
                        if accepted {
                            open.push(port);
                        } else {
                            closed += 1;
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        received.map_err(failed("receiving"))?;
        let now = Instant::now();
        pace.expire(now);
        let limit = pace.deadline().map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(now)
        });
        if stuck || !pace.may_send() {
            wait(
                &socket,
                if stuck {
                    Duration::from_millis(1)
                } else {
                    limit
                },
            )
            .map_err(failed("waiting"))?;
        }
    }
    open.sort_unstable();
    Ok(Found {
        open,
        closed,
        silent: pace.silent().map(|place| ports[place]).collect(),
        packets: pace.sent,
    })
}

fn raw_socket(source: SocketAddr) -> io::Result<Socket> {
    let domain = if source.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Beyond the system's limit where we may, else as far as it goes.
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER))?;
    socket.bind(&source.into())?;
    Ok(socket)
}

pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// Waits until there is something to read, no longer than `limit`.
pub(super) fn wait(socket: &Socket, limit: Duration) -> io::Result<()> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    // Poll counts in milliseconds; never too early, else this would spin.
    let limit = limit.saturating_add(Duration::from_micros(999)).as_millis();
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, limit) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn syn(source: IpAddr, target: IpAddr, from: u16, to: u16, secret: u32) -> io::Result<Vec<u8>> {
    let mut header = TcpHeader::new(from, to, sequence(secret, to), WINDOW);
    header.syn = true;
    header
        .set_options(&[TcpOptionElement::MaximumSegmentSize(MSS)])
        .map_err(io::Error::other)?;
    let checksum = match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => header
            .calc_checksum_ipv4_raw(source.octets(), target.octets(), &[])
            .map_err(io::Error::other)?,
        (IpAddr::V6(source), IpAddr::V6(target)) => header
            .calc_checksum_ipv6_raw(source.octets(), target.octets(), &[])
            .map_err(io::Error::other)?,
        _ => return Err(ErrorKind::AddrNotAvailable.into()),
    };
    header.checksum = checksum;
    Ok(header.to_bytes().to_vec())
}

fn sequence(secret: u32, port: u16) -> u32 {
    secret ^ u32::from(port).wrapping_mul(0x9E37_79B1)
}

/// The port that a packet answers for, and whether it accepts.
fn answer(
    source: IpAddr,
    target: IpAddr,
    from: u16,
    secret: u32,
    packet: &[u8],
) -> Option<(u16, bool)> {
    // IPv4 raw sockets give the IP header too.
    let segment = match (source, target) {
        (IpAddr::V4(_), IpAddr::V4(target)) => {
            let ip = etherparse::Ipv4HeaderSlice::from_slice(packet).ok()?;
            if ip.source_addr() != target {
                return None;
            }
            packet.get(ip.slice().len()..)?
        }
        _ => packet,
    };
    let tcp = TcpSlice::from_slice(segment).ok()?;
    let port = tcp.source_port();
    let expected = sequence(secret, port).wrapping_add(1);
    let ours =
        tcp.destination_port() == from && tcp.ack() && tcp.acknowledgment_number() == expected;
    match (ours, tcp.syn(), tcp.rst()) {
        (true, true, false) => Some((port, true)),
        (true, _, true) => Some((port, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_answers_to_this_scan_count() {
        let (us, dut) = (IpAddr::V6([1; 16].into()), IpAddr::V6([2; 16].into()));
        let mut reply = TcpHeader::new(80, 4000, 7, 100);
        reply.syn = true;
        reply.ack = true;
        reply.acknowledgment_number = sequence(99, 80).wrapping_add(1);
        let bytes = reply.to_bytes();
        assert_eq!(answer(us, dut, 4000, 99, &bytes), Some((80, true)));
        assert_eq!(answer(us, dut, 4000, 98, &bytes), None);
        assert_eq!(answer(us, dut, 4001, 99, &bytes), None);
        assert_eq!(answer(us, dut, 4000, 99, &bytes[..12]), None);
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(answer(v4, v4, 4000, 99, &bytes), None);
    }
}
