//! SYN packets to many ports at once.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use etherparse::{TcpHeader, TcpOptionElement, TcpSlice};
use nix::{
    errno::Errno,
    sys::socket::{
        MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt,
        sockopt::{RcvBuf, RcvBufForce},
    },
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    ask::{self, Asker, BURST},
    pace::Pace,
    report::GivenUp,
};
use crate::error::NetworkError;

const RECEIVE_BUFFER: usize = 4 << 20;
/// What we could take, were we to take anything.
const WINDOW: u16 = 1024;
const MSS: u16 = 1460;
/// Both headers, with all options that they may have.
const LONGEST_ANSWER: usize = 60 + 60;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: Vec<u16>,
    pub(super) closed: Vec<u16>,
    pub(super) silent: Vec<u16>,
    pub(super) packets: u64,
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
    let target = dut.ip();
    let failed = |(action, source)| NetworkError::Scan {
        target,
        action,
        source,
    };
    let socket = raw_socket(ours).map_err(|error| failed(("opening a raw socket", error)))?;
    let mut place_of = vec![None; usize::from(u16::MAX) + 1];
    for (place, port) in ports.iter().enumerate() {
        place_of[usize::from(*port)] = Some(place);
    }
    let mut syns = Syns {
        socket,
        ends: (ours.ip(), target),
        from,
        // Raw sockets take no port in the address.
        to: [Some(SockaddrStorage::from(dut)); BURST],
        secret: rand::random(),
        ports,
        place_of,
        outgoing: MultiHeaders::preallocate(BURST, None),
        incoming: MultiHeaders::preallocate(BURST, None),
        open: Vec::new(),
        closed: Vec::new(),
    };
    let mut pace = Pace::new(ports.len(), retries);
    ask::all(&mut syns, &mut pace, given_up).map_err(failed)?;
    syns.open.sort_unstable();
    Ok(Found {
        open: syns.open,
        closed: syns.closed,
        silent: pace.silent().map(|place| ports[place]).collect(),
        packets: pace.sent,
    })
}

struct Syns<'p> {
    socket: Socket,
    /// Our address and the DUT's.
    ends: (IpAddr, IpAddr),
    from: u16,
    to: [Option<SockaddrStorage>; BURST],
    /// Answers quote it: what does not belong to this scan is told apart.
    secret: u32,
    ports: &'p [u16],
    place_of: Vec<Option<usize>>,
    outgoing: MultiHeaders<SockaddrStorage>,
    incoming: MultiHeaders<()>,
    open: Vec<u16>,
    closed: Vec<u16>,
}

impl Asker for Syns<'_> {
    fn ask(&mut self, places: &[usize]) -> io::Result<usize> {
        let syn = |place: &usize| syn(self.ends, self.from, self.ports[*place], self.secret);
        let packets: Vec<Vec<u8>> = places.iter().map(syn).collect::<io::Result<_>>()?;
        let parts: Vec<_> = packets.iter().map(|it| [IoSlice::new(it)]).collect();
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.outgoing,
            &parts,
            self.to,
            [],
            MsgFlags::empty(),
        );
        Ok(sent?.count())
    }

    fn hear(&mut self, pace: &mut Pace) -> io::Result<()> {
        let mut buffers = [[0; LONGEST_ANSWER]; BURST];
        loop {
            let mut lengths = [0; BURST];
            let mut count = 0;
            {
                let parts = buffers.each_mut();
                let mut parts = parts.map(|buffer| [IoSliceMut::new(buffer)]);
                let got = recvmmsg(
                    self.socket.as_raw_fd(),
                    &mut self.incoming,
                    &mut parts,
                    MsgFlags::empty(),
                    None,
                );
                match got {
                    Ok(messages) => {
                        for message in messages {
                            lengths[count] = message.bytes;
                            count += 1;
                        }
                    }
                    Err(Errno::EAGAIN) => return Ok(()),
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            let now = Instant::now();
            for (buffer, length) in buffers.iter().zip(lengths).take(count) {
                let answer = answer(self.ends, self.from, self.secret, &buffer[..length]);
                if let Some((port, accepted)) = answer
                    && let Some(place) = self.place_of[usize::from(port)]
                    && pace.answered(place, now)
                {
                    if accepted {
                        self.open.push(port);
                    } else {
                        self.closed.push(port);
                    }
                }
            }
            if count < BURST {
                return Ok(());
            }
        }
    }

    fn wait(&self, limit: Duration) -> io::Result<()> {
        ask::wait(&[self.socket.as_fd()], limit).map(drop)
    }
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

fn syn(ends: (IpAddr, IpAddr), from: u16, to: u16, secret: u32) -> io::Result<Vec<u8>> {
    let mut header = TcpHeader::new(from, to, sequence(secret, to), WINDOW);
    header.syn = true;
    header
        .set_options(&[TcpOptionElement::MaximumSegmentSize(MSS)])
        .map_err(io::Error::other)?;
    let checksum = match ends {
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
fn answer(ends: (IpAddr, IpAddr), from: u16, secret: u32, packet: &[u8]) -> Option<(u16, bool)> {
    // IPv4 raw sockets give the IP header too.
    let segment = match ends {
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
        assert_eq!(answer((us, dut), 4000, 99, &bytes), Some((80, true)));
        assert_eq!(answer((us, dut), 4000, 98, &bytes), None);
        assert_eq!(answer((us, dut), 4001, 99, &bytes), None);
        assert_eq!(answer((us, dut), 4000, 99, &bytes[..12]), None);
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(answer((v4, v4), 4000, 99, &bytes), None);
    }
}
