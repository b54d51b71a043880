//! One frame, taken apart. Hostile: nothing in it is believed before it is parsed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::{
    ArpOperation, IpNumber, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice, UdpSlice,
    icmpv4, icmpv6,
};

use super::{infrastructure, report::Protocol};
use crate::plan::Addressing;

/// A TCP segment's header, as far as it matters here.
#[allow(clippy::struct_excessive_bools)] // they are flags on the wire
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) sequence: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
}

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet<'f> {
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) tcp: Option<Tcp>,
    pub(super) payload: &'f [u8],
    /// An ICMP error that is about such a packet.
    pub(super) unreachable: Option<(Protocol, SocketAddr, SocketAddr)>,
    /// A part of an IP packet that is more than this.
    pub(super) is_fragment: bool,
    /// An ARP request, rather than an answer.
    pub(super) asks: bool,
    /// The address that the sender says it has, or is about to have: a neighbour advertisement, or a question whether
    /// somebody else has it (RFC 4861 4.4, RFC 4862 5.4.2, RFC 5227 1.1).
    pub(super) claims: Option<IpAddr>,
    /// Whoever sends it says nothing to anybody: see [`infrastructure`].
    pub(super) infrastructure: bool,
    pub(super) echo: Option<Echo>,
}

/// An ICMP message that carries whatever its sender likes (RFC 792, RFC 4443 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    Request,
    Reply,
}

impl<'f> Packet<'f> {
    /// `None` for what is neither IP nor ARP, or has been cut.
    pub(super) fn parse(plan: &Addressing, frame: &'f [u8]) -> Option<Self> {
        let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
        let (source, destination, number, payload, is_fragment) = match sliced.net.as_ref()? {
            LaxNetSlice::Arp(arp) => return Self::arp(arp),
            LaxNetSlice::Ipv4(ip) => (
                IpAddr::V4(ip.header().source_addr()),
                IpAddr::V4(ip.header().destination_addr()),
                ip.payload_ip_number(),
                ip.payload().payload,
                ip.payload().fragmented,
            ),
            LaxNetSlice::Ipv6(ip) => (
                IpAddr::V6(ip.header().source_addr()),
                IpAddr::V6(ip.header().destination_addr()),
                ip.payload().ip_number,
                ip.payload().payload,
                ip.payload().fragmented,
            ),
        };
        let mut packet = Self {
            protocol: Protocol::Ip(number.0),
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, 0),
            tcp: None,
            payload,
            unreachable: None,
            is_fragment,
            asks: false,
            claims: None,
            // Of its whole it is not known yet.
            infrastructure: is_fragment,
            echo: None,
        };
        match sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => packet.is_tcp(&tcp, payload),
            Some(TransportSlice::Udp(udp)) => packet.is_udp(plan, &udp, payload),
            Some(TransportSlice::Icmpv4(_)) => packet.is_icmp4(plan, payload),
            Some(TransportSlice::Icmpv6(_)) => packet.is_icmp6(plan, payload),
            Some(TransportSlice::Igmp(_)) => {
                packet.infrastructure = plan.is_for_many(destination);
            }
            None => {}
        }
        Some(packet)
    }

    fn is_icmp4(&mut self, plan: &Addressing, icmp: &[u8]) {
        self.protocol = Protocol::Icmp;
        let about = icmp.get(8..).unwrap_or_default();
        match icmp.first() {
            Some(&icmpv4::TYPE_ECHO_REQUEST) => self.echo = Some(Echo::Request),
            Some(&icmpv4::TYPE_ECHO_REPLY) => self.echo = Some(Echo::Reply),
            Some(&icmpv4::TYPE_DEST_UNREACH) => self.unreachable = quoted(about),
            _ => {}
        }
        self.infrastructure = infrastructure::icmp4(plan, icmp, self.destination.ip());
    }

    fn is_icmp6(&mut self, plan: &Addressing, icmp: &[u8]) {
        self.protocol = Protocol::Icmp;
        let (source, destination) = (self.source.ip(), self.destination.ip());
        match icmp.first() {
            Some(&icmpv6::TYPE_ECHO_REQUEST) => self.echo = Some(Echo::Request),
            Some(&icmpv6::TYPE_ECHO_REPLY) => self.echo = Some(Echo::Reply),
            Some(&icmpv6::TYPE_DST_UNREACH) => {
                self.unreachable = quoted(icmp.get(8..).unwrap_or_default());
            }
            Some(&icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT) => self.claims = neighbour(icmp),
            Some(&icmpv6::TYPE_NEIGHBOR_SOLICITATION) if source.is_unspecified() => {
                self.claims = neighbour(icmp);
            }
            _ => {}
        }
        self.infrastructure = infrastructure::icmp6(plan, icmp, source, destination);
    }

    fn is_tcp(&mut self, tcp: &TcpSlice<'_>, payload: &'f [u8]) {
        self.protocol = Protocol::Tcp;
        self.source.set_port(tcp.source_port());
        self.destination.set_port(tcp.destination_port());
        self.payload = payload.get(tcp.header_slice().len()..).unwrap_or_default();
        self.tcp = Some(Tcp {
            sequence: tcp.sequence_number(),
            syn: tcp.syn(),
            ack: tcp.ack(),
            fin: tcp.fin(),
            rst: tcp.rst(),
        });
    }

    fn is_udp(&mut self, plan: &Addressing, udp: &UdpSlice<'_>, payload: &'f [u8]) {
        self.protocol = Protocol::Udp;
        self.source.set_port(udp.source_port());
        self.destination.set_port(udp.destination_port());
        self.payload = payload.get(8..).unwrap_or_default();
        self.infrastructure =
            infrastructure::asks_for_a_lease(plan, self.destination, self.payload);
    }

    /// The packet that this is a fragment of, which carries that.
    pub(super) fn joined<'w>(
        &self,
        plan: &Addressing,
        number: IpNumber,
        payload: &'w [u8],
    ) -> Packet<'w> {
        let mut whole = Packet {
            payload,
            is_fragment: false,
            infrastructure: false,
            ..self.clone_without_payload()
        };
        match number {
            IpNumber::TCP => {
                if let Ok(tcp) = TcpSlice::from_slice(payload) {
                    whole.is_tcp(&tcp, payload);
                }
            }
            IpNumber::UDP => {
                if let Ok(udp) = UdpSlice::from_slice(payload) {
                    whole.is_udp(plan, &udp, payload);
                }
            }
            IpNumber::ICMP => whole.is_icmp4(plan, payload),
            IpNumber::IPV6_ICMP => whole.is_icmp6(plan, payload),
            _ => {}
        }
        whole
    }

    fn clone_without_payload<'w>(&self) -> Packet<'w> {
        Packet {
            protocol: self.protocol,
            source: self.source,
            destination: self.destination,
            tcp: self.tcp,
            payload: &[],
            unreachable: self.unreachable,
            is_fragment: self.is_fragment,
            asks: self.asks,
            claims: self.claims,
            infrastructure: self.infrastructure,
            echo: self.echo,
        }
    }

    fn arp(arp: &etherparse::ArpPacketSlice<'f>) -> Option<Self> {
        let address = |bytes: &[u8]| {
            let octets: [u8; 4] = bytes.try_into().ok()?;
            Some(SocketAddr::new(Ipv4Addr::from(octets).into(), 0))
        };
        let source = address(arp.sender_protocol_addr())?;
        let destination = address(arp.target_protocol_addr())?;
        Some(Self {
            protocol: Protocol::Arp,
            source,
            destination,
            tcp: None,
            payload: &[],
            unreachable: None,
            is_fragment: false,
            asks: arp.operation() == ArpOperation::REQUEST,
            claims: source.ip().is_unspecified().then(|| destination.ip()),
            infrastructure: true,
            echo: None,
        })
    }
}

/// The address that a neighbour solicitation or advertisement is about.
fn neighbour(icmp: &[u8]) -> Option<IpAddr> {
    let target: [u8; 16] = icmp.get(8..24)?.try_into().ok()?;
    Some(IpAddr::from(target))
}

/// The packet that an ICMP error quotes, of which only the ports are sure to be there (RFC 792: 64 bits).
pub(in super::super) fn quoted(original: &[u8]) -> Option<(Protocol, SocketAddr, SocketAddr)> {
    let sliced = LaxSlicedPacket::from_ip(original).ok()?;
    let (source, destination, number, payload): (IpAddr, IpAddr, u8, &[u8]) = match sliced.net? {
        LaxNetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.payload_ip_number().0,
            ip.payload().payload,
        ),
        LaxNetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.payload().ip_number.0,
            ip.payload().payload,
        ),
        LaxNetSlice::Arp(_) => return None,
    };
    let protocol = match number {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let [a, b, c, d] = *payload.first_chunk::<4>()?;
    Some((
        protocol,
        SocketAddr::new(source, u16::from_be_bytes([a, b])),
        SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    ))
}
