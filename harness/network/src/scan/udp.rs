//! Datagrams to many ports at once, and the DUT's "port unreachable".

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use etherparse::{Icmpv4Slice, Icmpv6Slice, Ipv4HeaderSlice, icmpv4, icmpv6};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    ask::{self, Asker, is_from_network, is_full},
    pace::Pace,
    probes,
    report::{GivenUp, OpenUdpPort},
    slow::{Ask, Slow},
};
use crate::{
    error::NetworkError,
    flow::{quoted, readable},
};

/// How much of an answer is shown.
const SHOWN: usize = 64;
/// Codes of ICMP "unreachable", versions 4 and 6: the port, or forbidden (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
const REFUSALS_V4: [u8; 4] = [3, 9, 10, 13];
const REFUSALS_V6: [u8; 4] = [1, 4, 5, 6];

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: Vec<OpenUdpPort>,
    /// Ports that were refused.
    pub(super) refused: Vec<u16>,
    /// Ports that said nothing so far.
    pub(super) silent: Vec<u16>,
    pub(super) packets: u64,
}

/// What was found out at the DUT's own rate.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) open: Vec<OpenUdpPort>,
    pub(super) closed: usize,
    /// Ports that said nothing although the DUT would have refused them.
    pub(super) silent: Vec<u16>,
    /// Ports of which nothing is known.
    pub(super) untold: Vec<u16>,
    pub(super) packets: u64,
}

fn failed(target: IpAddr, action: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |source| NetworkError::Scan {
        target,
        action,
        source,
    }
}

/// A socket to ask from; made in the namespace.
pub(super) fn socket(ours: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(ours)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks all `ports`, until there are no more answers to be had, or the DUT turns out to limit them; runs on a thread in
/// the namespace.
pub(super) fn scan(
    socket: &UdpSocket,
    dut: SocketAddr,
    ports: &[u16],
    retries: u32,
    given_up: &GivenUp,
) -> Result<Found, NetworkError> {
    let target = dut.ip();
    let failed = |action| failed(target, action);
    let ours = socket.local_addr().map_err(failed("opening a socket"))?;
    // Raw sockets take no port in the address.
    let errors = icmp_socket(ours).map_err(failed("opening a raw socket"))?;

    let mut place_of = vec![None; usize::from(u16::MAX) + 1];
    for (place, port) in ports.iter().enumerate() {
        place_of[usize::from(*port)] = Some(place);
    }
    let mut pace = Pace::new(ports.len(), retries);
    let mut datagrams = Datagrams {
        socket,
        errors,
        ends: (ours, dut),
        ports,
        place_of,
        open: Vec::new(),
        refused: Vec::new(),
    };
    ask::all(&mut datagrams, &mut pace, given_up)
        .map_err(|(action, source)| failed(action)(source))?;
    Ok(Found {
        open: datagrams.open,
        refused: datagrams.refused,
        silent: pace.unanswered().map(|place| ports[place]).collect(),
        packets: pace.sent,
    })
}

struct Datagrams<'s> {
    socket: &'s UdpSocket,
    /// Where "unreachable" comes.
    errors: Socket,
    /// Ours and the DUT's.
    ends: (SocketAddr, SocketAddr),
    ports: &'s [u16],
    place_of: Vec<Option<usize>>,
    open: Vec<OpenUdpPort>,
    refused: Vec<u16>,
}

impl Asker for Datagrams<'_> {
    fn ask(&mut self, places: &[usize]) -> io::Result<usize> {
        let mut to = self.ends.1;
        for (count, place) in places.iter().enumerate() {
            let port = self.ports[*place];
            to.set_port(port);
            match self.socket.send_to(&probes::probe(port), to) {
                Ok(_) => {}
                // Told when it is the first.
                Err(_) if count > 0 => return Ok(count),
                Err(error) => return Err(error),
            }
        }
        Ok(places.len())
    }

    fn hear(&mut self, pace: &mut Pace) -> io::Result<()> {
        let (ours, target) = (self.ends.0, self.ends.1.ip());
        let mut buffer = [0; 2048];
        while let Some((length, from)) = receive(self.socket, &mut buffer)? {
            // Some answer from another port: an answer, but not to be told whose.
            if from.ip() == target
                && let Some(place) = self.place_of[usize::from(from.port())]
                && pace.answered(place, Instant::now())
            {
                self.open.push(OpenUdpPort {
                    port: from.port(),
                    answer: readable(&buffer[..length.min(SHOWN)]),
                });
            }
        }
        while let Some((from, to)) = refusal(&self.errors, target, &mut buffer)? {
            if (from.ip(), from.port(), to.ip()) == (ours.ip(), ours.port(), target)
                && let Some(place) = self.place_of[usize::from(to.port())]
                && pace.answered(place, Instant::now())
            {
                self.refused.push(to.port());
            }
        }
        Ok(())
    }

    fn wait(&self, limit: Duration) -> io::Result<()> {
        ask::wait(&[self.socket.as_fd(), self.errors.as_fd()], limit).map(drop)
    }

    fn goes_on(&self, pace: &Pace) -> bool {
        !pace.is_limited() || self.refused.is_empty()
    }
}

/// Asks `ports` that said nothing once more, from all these sockets, as often as the DUT refuses: `controls` are ports
/// that it refused. Runs on a thread in the namespace, no longer than `limit`.
pub(super) fn scan_slowly(
    sockets: &[UdpSocket],
    dut: SocketAddr,
    (ports, controls): (&[u16], &[u16]),
    limit: Duration,
    given_up: &GivenUp,
) -> Result<Probed, NetworkError> {
    let target = dut.ip();
    let failed = |action| failed(target, action);
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let errors = icmp_socket(SocketAddr::new(any, 0)).map_err(failed("opening a raw socket"))?;
    let mut number_of = HashMap::new();
    for (number, socket) in sockets.iter().enumerate() {
        let ours = socket.local_addr().map_err(failed("opening a socket"))?;
        number_of.insert((ours.ip(), ours.port()), number);
    }
    let mut place_of = vec![None; usize::from(u16::MAX) + 1];
    for (place, port) in ports.iter().enumerate() {
        place_of[usize::from(*port)] = Some(place);
    }
    let mut slow = Slow::new(ports.len(), sockets.len(), limit, Instant::now());
    let mut told = Probed {
        open: Vec::new(),
        closed: 0,
        silent: Vec::new(),
        untold: Vec::new(),
        packets: 0,
    };
    // The last two ports that each socket asked, and its last control.
    let mut asked: Vec<[u16; 2]> = vec![[0; 2]; sockets.len()];
    let mut control_of = vec![0; sockets.len()];
    let mut next_control = controls.iter().cycle();
    let mut buffer = [0; 2048];
    let mut ready: Vec<usize> = Vec::new();
    while !slow.is_done(Instant::now()) && !given_up.is_set() {
        while let Some((number, ask)) = slow.next(Instant::now()) {
            let (Ask::Port(place) | Ask::WithControl(place)) = ask;
            asked[number] = [ports[place], asked[number][0]];
            let control = matches!(ask, Ask::WithControl(_)).then(|| next_control.next());
            let control = control.flatten().copied();
            control_of[number] = control.unwrap_or_default();
            for port in [Some(ports[place]), control].into_iter().flatten() {
                let mut to = dut;
                to.set_port(port);
                match sockets[number].send_to(&probes::probe(port), to) {
                    Ok(_) => told.packets += 1,
                    // As if it was lost.
                    Err(error) if is_full(&error) || is_from_network(&error) => {}
                    Err(error) => return Err(failed("sending")(error)),
                }
            }
        }
        for number in ready.drain(..) {
            let socket: &UdpSocket = &sockets[number];
            while let Some((length, from)) =
                receive(socket, &mut buffer).map_err(failed("receiving"))?
            {
                if from.ip() != target {
                    continue;
                }
                // Some answer from a port of their own choice, as TFTP's servers do (RFC 1350 4).
                let place = if asked[number].contains(&from.port()) {
                    place_of[usize::from(from.port())]
                } else {
                    slow.awaited(number)
                };
                if let Some(place) = place
                    && slow.port_answered(number, place, Instant::now())
                {
                    told.open.push(OpenUdpPort {
                        port: ports[place],
                        answer: readable(&buffer[..length.min(SHOWN)]),
                    });
                }
            }
        }
        while let Some((from, to)) =
            refusal(&errors, target, &mut buffer).map_err(failed("receiving"))?
        {
            let Some(&number) = number_of.get(&(from.ip(), from.port())) else {
                continue;
            };
            if to.ip() != target {
                continue;
            }
            let now = Instant::now();
            if let Some(place) = place_of[usize::from(to.port())] {
                told.closed += usize::from(slow.port_answered(number, place, now));
            } else if control_of[number] == to.port() {
                slow.control_answered(number, now);
            }
        }
        let now = Instant::now();
        slow.expire(now);
        let limit = slow.deadline().saturating_duration_since(now);
        let all = sockets.iter().map(|socket| socket.as_fd());
        let all: Vec<_> = all.chain([errors.as_fd()]).collect();
        ready = ask::wait(&all, limit).map_err(failed("waiting"))?;
        // Errors are looked at each time.
        ready.retain(|place| *place < sockets.len());
    }
    told.silent = slow.silent().iter().map(|place| ports[*place]).collect();
    told.silent.sort_unstable();
    told.untold = slow.untold().map(|place| ports[place]).collect();
    Ok(told)
}

/// The next datagram, if there is one.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    loop {
        match socket.recv_from(buffer) {
            Ok(got) => return Ok(Some(got)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if is_from_network(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The endpoints of the datagram that the next "unreachable" of the DUT is about, if there is one.
fn refusal(
    errors: &Socket,
    target: IpAddr,
    buffer: &mut [u8],
) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    loop {
        match (&*errors).read(buffer) {
            Ok(length) => {
                if let Some(ends) = unreachable(target, &buffer[..length]) {
                    return Ok(Some(ends));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
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

/// The endpoints of the datagram that an "unreachable" of the DUT is about.
fn unreachable(target: IpAddr, packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let original = match target {
        // IPv4 raw sockets give the IP header too.
        IpAddr::V4(address) => {
            let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
            let icmp = Icmpv4Slice::from_slice(packet.get(ip.slice().len()..)?).ok()?;
            let unreachable = icmp.type_u8() == icmpv4::TYPE_DEST_UNREACH;
            let about_port = unreachable && REFUSALS_V4.contains(&icmp.code_u8());
            (about_port && ip.source_addr() == address)
                .then_some(icmp.slice())?
                .get(8..)?
        }
        IpAddr::V6(_) => {
            let icmp = Icmpv6Slice::from_slice(packet).ok()?;
            let unreachable = icmp.type_u8() == icmpv6::TYPE_DST_UNREACH;
            (unreachable && REFUSALS_V6.contains(&icmp.code_u8()))
                .then_some(icmp.slice())?
                .get(8..)?
        }
    };
    quoted(original).map(|(_, from, to)| (from, to))
}
