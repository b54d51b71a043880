//! What is said to keep the network itself going, and so is no call to anybody: questions for an address, for neighbours
//! and routers, membership of multicast groups, and errors about what others sent. Only what is well formed, and for whom it
//! concerns: a tunnel can wear any number.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, icmpv4, icmpv6};

use crate::plan::Addressing;

/// Ports of address servers (RFC 2131 4.1, RFC 8415 7.2).
pub(super) const LEASES: [u16; 2] = [67, 547];

/// Of a datagram to there: a DHCP client's message to the link's servers.
pub(super) fn asks_for_a_lease(plan: &Addressing, destination: SocketAddr, payload: &[u8]) -> bool {
    let is_here = plan.is_bench(destination.ip()) || plan.is_for_many(destination.ip());
    is_here
        && match destination.port() {
            67 => is_dhcp(payload),
            547 => is_dhcpv6(payload),
            _ => false,
        }
}

/// A client's message: RFC 2131 figure 1, RFC 2132 3 and 9.6.
fn is_dhcp(payload: &[u8]) -> bool {
    const REQUEST: u8 = 1;
    const COOKIE: [u8; 4] = [99, 130, 83, 99];
    const OPTIONS: usize = 240;
    let starts = payload.first() == Some(&REQUEST) && payload.get(236..OPTIONS) == Some(&COOKIE);
    let Some(mut options) = payload.get(OPTIONS..).filter(|_| starts) else {
        return false;
    };
    let mut is_clients = false;
    loop {
        match *options {
            [0, ref rest @ ..] => options = rest,
            [255, ref padding @ ..] => {
                return is_clients && padding.iter().all(|byte| *byte == 0);
            }
            [code, length, ref rest @ ..] if rest.len() >= usize::from(length) => {
                let (value, after) = rest.split_at(usize::from(length));
                // Discover, request, decline, release, inform.
                is_clients |= code == 53 && matches!(value, [1 | 3 | 4 | 7 | 8]);
                options = after;
            }
            _ => return false,
        }
    }
}

/// A client's message: RFC 8415 7.3, 8 and 21.1.
fn is_dhcpv6(payload: &[u8]) -> bool {
    // Solicit, request, confirm, renew, rebind, release, decline, information-request; then a transaction's number.
    let [1 | 3..=6 | 8 | 9 | 11, _, _, _, options @ ..] = payload else {
        return false;
    };
    let mut options = options;
    let mut count = 0;
    while let [_, _, high, low, ref rest @ ..] = *options {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(after) = rest.get(length..) else {
            return false;
        };
        options = after;
        count += 1;
    }
    options.is_empty() && count > 0
}

/// RFC 792, RFC 1256.
pub(super) fn icmp4(plan: &Addressing, icmp: &[u8], destination: IpAddr) -> bool {
    match icmp.first() {
        Some(
            &(icmpv4::TYPE_DEST_UNREACH
            | icmpv4::TYPE_SOURCE_QUENCH
            | icmpv4::TYPE_TIME_EXCEEDED
            | icmpv4::TYPE_PARAMETER_PROBLEM),
        ) => is_about_what_came_from(icmp, destination),
        Some(&(icmpv4::TYPE_ROUTER_ADVERTISEMENT | icmpv4::TYPE_ROUTER_SOLICITATION)) => {
            plan.is_for_many(destination)
        }
        _ => false,
    }
}

/// RFC 4443, RFC 4861, RFC 2710, RFC 3810.
pub(super) fn icmp6(plan: &Addressing, icmp: &[u8], source: IpAddr, destination: IpAddr) -> bool {
    const MULTICAST_LISTENER_REPORT_V2: u8 = 143;
    match icmp.first() {
        Some(
            &(icmpv6::TYPE_DST_UNREACH
            | icmpv6::TYPE_PACKET_TOO_BIG
            | icmpv6::TYPE_TIME_EXCEEDED
            | icmpv6::TYPE_PARAMETER_PROBLEM),
        ) => is_about_what_came_from(icmp, destination),
        Some(&(130..=132 | MULTICAST_LISTENER_REPORT_V2)) => plan.is_for_many(destination),
        Some(&(icmpv6::TYPE_ROUTER_SOLICITATION..=icmpv6::TYPE_REDIRECT_MESSAGE)) => {
            is_on_link(source, destination)
        }
        _ => false,
    }
}

/// An error goes to whom the packet came from that it quotes.
fn is_about_what_came_from(icmp: &[u8], destination: IpAddr) -> bool {
    let original = icmp.get(8..).unwrap_or_default();
    let sliced = LaxSlicedPacket::from_ip(original).ok();
    let sender: Option<IpAddr> = match sliced.and_then(|sliced| sliced.net) {
        Some(LaxNetSlice::Ipv4(ip)) => Some(ip.header().source_addr().into()),
        Some(LaxNetSlice::Ipv6(ip)) => Some(ip.header().source_addr().into()),
        Some(LaxNetSlice::Arp(_)) | None => None,
    };
    sender == Some(destination)
}

/// Neighbours are of the same subnet.
fn is_on_link(source: IpAddr, destination: IpAddr) -> bool {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (source, destination) else {
        return false;
    };
    to.is_multicast() || to.is_unicast_link_local() || from.octets()[..8] == to.octets()[..8]
}

/// What a frame says that is neither IP nor ARP, or none that can be read: its EtherType in hexadecimal, `llc` for
/// IEEE 802.3; `None` for what manages the link (LLDP, EAPOL, spanning trees).
pub(super) fn ether_type(frame: &[u8]) -> Option<String> {
    const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    const EAPOL: u16 = 0x888e;
    const LLDP: u16 = 0x88cc;
    const LONGEST_802_3: u16 = 1500;
    const SPANNING_TREE: [u8; 2] = [0x42, 0x42];
    let mut rest = frame.get(12..).unwrap_or_default();
    loop {
        let [high, low, after @ ..] = rest else {
            return Some("none".to_owned());
        };
        match u16::from_be_bytes([*high, *low]) {
            tag if TAGS.contains(&tag) => rest = after.get(2..).unwrap_or_default(),
            EAPOL | LLDP => return None,
            ..=LONGEST_802_3 if after.starts_with(&SPANNING_TREE) => return None,
            ..=LONGEST_802_3 => return Some("llc".to_owned()),
            kind => return Some(format!("{kind:04x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn dhcp(options: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 240];
        message[0] = 1;
        message[236..].copy_from_slice(&[99, 130, 83, 99]);
        message.extend_from_slice(options);
        message
    }

    #[rstest]
    #[case::discover("255.255.255.255:67", dhcp(&[53, 1, 1, 0, 12, 2, b'a', b'b', 255, 0, 0]), true)]
    #[case::renewal("10.77.0.1:67", dhcp(&[53, 1, 3, 255]), true)]
    #[case::to_somebody_else("198.51.100.7:67", dhcp(&[53, 1, 3, 255]), false)]
    #[case::an_offer("10.77.0.1:67", dhcp(&[53, 1, 2, 255]), false)]
    #[case::of_no_kind("10.77.0.1:67", dhcp(&[255]), false)]
    #[case::without_an_end("10.77.0.1:67", dhcp(&[53, 1, 3]), false)]
    #[case::more_behind_the_end("10.77.0.1:67", dhcp(&[53, 1, 3, 255, b'x']), false)]
    #[case::cut("10.77.0.1:67", dhcp(&[53, 1, 3, 12, 9, b'x']), false)]
    #[case::json("10.77.0.1:67", b"{\"serial\": \"S1\"}".repeat(30), false)]
    #[case::another_port("10.77.0.1:68", dhcp(&[53, 1, 3, 255]), false)]
    #[case::solicit("[ff02::1:2]:547", b"\x01abc\0\x01\0\x02id\0\x08\0\x02\0\0".to_vec(), true)]
    #[case::solicit_far_away("[2001:db8::9]:547", b"\x01abc\0\x01\0\x02id".to_vec(), false)]
    #[case::an_advertisement("[ff02::1:2]:547", b"\x02abc\0\x01\0\x02id".to_vec(), false)]
    #[case::cut6("[ff02::1:2]:547", b"\x01abc\0\x01\0\x09id".to_vec(), false)]
    #[case::nothing_in_it("[ff02::1:2]:547", b"\x01abc".to_vec(), false)]
    fn only_what_is_dhcp_asks_for_a_lease(
        #[case] to: SocketAddr,
        #[case] payload: Vec<u8>,
        #[case] expected: bool,
    ) {
        assert_eq!(
            asks_for_a_lease(&Addressing::default(), to, &payload),
            expected
        );
    }

    #[rstest]
    #[case::lldp(&[0x88, 0xcc, 2, 7], None)]
    #[case::eapol_with_a_tag(&[0x81, 0, 0, 1, 0x88, 0x8e, 1], None)]
    #[case::spanning_tree(&[0, 38, 0x42, 0x42, 3], None)]
    #[case::other_llc(&[0, 38, 0xaa, 0xaa, 3], Some("llc"))]
    #[case::experimental(&[0x88, 0xb5, 1], Some("88b5"))]
    #[case::ip_that_is_none(&[8, 0, 0], Some("0800"))]
    #[case::cut(&[8], Some("none"))]
    fn types_of_frames(#[case] rest: &[u8], #[case] expected: Option<&str>) {
        let frame = [&[2; 12], rest].concat();
        assert_eq!(ether_type(&frame).as_deref(), expected);
    }
}
