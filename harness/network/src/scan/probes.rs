//! What to send to a UDP port so that the protocol usually there answers.

use super::hello::client_hello;

/// UDP ports of protocols that IoT devices speak (IANA, and what is found in the field).
pub(super) const USUAL_PORTS: [u16; 66] = [
    7, 9, 13, 17, 19, 37, 53, 67, 68, 69, 88, 111, 123, 137, 138, 161, 162, 177, 389, 427, 443,
    500, 502, 514, 520, 623, 853, 1194, 1701, 1812, 1813, 1883, 1884, 1900, 1982, 2049, 2221, 3478,
    3544, 3671, 3702, 4433, 4500, 5004, 5060, 5351, 5353, 5355, 5540, 5683, 5684, 6053, 6454, 6666,
    6667, 8883, 9999, 10001, 11211, 20002, 30718, 37020, 44818, 47808, 49153, 56700,
];

/// `www.example.com` A, recursion desired.
const DNS: &[u8] = b"\x50\x42\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
/// `_services._dns-sd._udp.local` PTR, answer to the sender.
const MDNS: &[u8] =
    b"\0\0\0\0\0\x01\0\0\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\x80\x01";
/// SNMPv1 GetRequest, community `public`, sysDescr.0.
const SNMP: &[u8] =
    b"\x30\x29\x02\x01\0\x04\x06public\xa0\x1c\x02\x04\x50\x42\0\x01\x02\x01\0\x02\x01\0\
    \x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0";
const SSDP: &[u8] =
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
    MX: 1\r\nST: ssdp:all\r\n\r\n";
/// Confirmable GET /.well-known/core (RFC 7252, RFC 6690).
const COAP: &[u8] = b"\x40\x01\x50\x42\xbb.well-known\x04core";
const TFTP: &[u8] = b"\0\x01provebench\0octet\0";
const SIP: &[u8] =
    b"OPTIONS sip:probe@bench SIP/2.0\r\nVia: SIP/2.0/UDP bench;branch=z9hG4bKpb\r\n\
    Max-Forwards: 70\r\nFrom: <sip:pb@bench>;tag=pb\r\nTo: <sip:probe@bench>\r\nCall-ID: pb\r\n\
    CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
/// STUN binding request (RFC 8489).
const STUN: &[u8] = b"\0\x01\0\0\x21\x12\xa4\x42provebench__";
/// NBSTAT of `*`.
const NETBIOS: &[u8] =
    b"\x50\x42\0\0\0\x01\0\0\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01";
/// BACnet Who-Is.
const BACNET: &[u8] = b"\x81\x0b\0\x0c\x01\x20\xff\xff\0\xff\x10\x08";
/// Sun RPC: portmapper, NULL.
const RPC: &[u8] = b"\x50\x42\0\x01\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\0\0\x02\0\0\0\0\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// RMCP presence ping.
const RMCP: &[u8] = b"\x06\0\xff\x06\0\0\x11\xbe\x80\0\0\0";
/// `www.example.com` A, to whoever has that name (RFC 4795).
const LLMNR: &[u8] = b"\x50\x42\0\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
/// XDMCP Query.
const XDMCP: &[u8] = b"\0\x01\0\x02\0\x01\0";
/// CLDAP: the root's attributes.
const CLDAP: &[u8] =
    b"\x30\x25\x02\x01\x01\x63\x20\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\
    \x87\x0bobjectclass\x30\0";
/// SLPv2 service request: who is there (RFC 2608 8.1).
const SLP: &[u8] = b"\x02\x01\0\0\x36\x20\0\0\0\0\0\x01\0\x02en\0\0\0\x15service:service-agent\
    \0\x07default\0\0\0\0";
/// IKE: a header of a major version that nobody has, which is answered with the versions there are (RFC 7296 2.5).
const IKE: &[u8] = b"provebnc\0\0\0\0\0\0\0\0\0\x30\x22\x08\0\0\0\0\0\0\0\x1c";
/// Modbus: the first holding register of unit 1.
const MODBUS: &[u8] = b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x01";
/// RIP: the whole table (RFC 1058 3.4.1).
const RIP: &[u8] = b"\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
/// OpenVPN: `P_CONTROL_HARD_RESET_CLIENT_V2`.
const OPENVPN: &[u8] = b"\x38provebnc\0\0\0\0\0";
/// L2TP Start-Control-Connection-Request (RFC 2661 6.1).
const L2TP: &[u8] = b"\xc8\x02\0\x36\0\0\0\0\0\0\0\0\x80\x08\0\0\0\0\0\x01\x80\x08\0\0\0\x02\x01\0\
    \x80\x08\0\0\0\x07pb\x80\x0a\0\0\0\x03\0\0\0\x03\x80\x08\0\0\0\x09\0\x01";
/// RADIUS Access-Request for user `pb` (RFC 2865).
const RADIUS: &[u8] = b"\x01\x50\0\x2aprovebench______\x01\x04pb\x02\x12provebench______";
/// NAT-PMP: the external address (RFC 6886 3.2).
const NAT_PMP: &[u8] = b"\0\0";
/// MQTT-SN SEARCHGW, within this hop.
const MQTT_SN: &[u8] = b"\x03\x01\0";
/// memcached: `stats`, in one datagram.
const MEMCACHED: &[u8] = b"\x50\x42\0\0\0\x01\0\0stats\r\n";
/// KNXnet/IP `DESCRIPTION_REQUEST`, answer to the sender.
const KNX: &[u8] = b"\x06\x10\x02\x03\0\x0e\x08\x01\0\0\0\0\0\0";
/// EtherNet/IP `ListIdentity`.
const ETHERNET_IP: &[u8] = b"\x63\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const ART_NET: &[u8] = b"Art-Net\0\0\x20\0\x0e\0\0";
/// LIFX `GetService`.
const LIFX: &[u8] =
    b"\x24\0\0\x34\x50\x42\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0";
/// Yeelight's dialect of SSDP.
const YEELIGHT: &[u8] = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1982\r\nMAN: \"ssdp:discover\"\r\nST: wifi_bulb\r\n\r\n";
/// Ubiquiti's discovery.
const UBIQUITI: &[u8] = b"\x01\0\0\0";
/// TP-Link's discovery, of newer devices.
const TP_LINK: &[u8] = b"\x02\0\0\x01\0\0\0\0\0\0\0\0\x46\x3c\xb5\xd3";
/// Lantronix: what it is.
const LANTRONIX: &[u8] = b"\0\0\0\xf6";
/// Hikvision SADP.
const SADP: &[u8] = b"<?xml version=\"1.0\" encoding=\"utf-8\"?><Probe><Uuid>50420000-0000-4000-8000-000000000000</Uuid><Types>inquiry</Types></Probe>";
const WS_DISCOVERY: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:w=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
    xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\"><e:Header>\
    <w:MessageID>uuid:50420000-0000-4000-8000-000000000000</w:MessageID>\
    <w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>\
    <w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>\
    <e:Body><d:Probe/></e:Body></e:Envelope>";
/// To whatever is there.
const ANYTHING: &[u8] = b"\r\n\r\n";

pub(super) fn probe(port: u16) -> Vec<u8> {
    match port {
        53 => DNS,
        69 => TFTP,
        111 | 2049 => return rpc(port),
        // Client, version 4 (RFC 5905); the rest may be zero.
        123 => return [&[0x23][..], &[0; 47]].concat(),
        137 => NETBIOS,
        161 => SNMP,
        177 => XDMCP,
        389 => CLDAP,
        427 => SLP,
        443 | 853 => return quic(),
        500 => IKE,
        502 => MODBUS,
        520 => RIP,
        623 => RMCP,
        1194 => OPENVPN,
        1701 => L2TP,
        1812 | 1813 => RADIUS,
        1883 | 1884 => MQTT_SN,
        1900 => SSDP,
        1982 => YEELIGHT,
        2221 | 4433 | 5684 | 8883 => return dtls(),
        3478 => STUN,
        3671 => KNX,
        3702 => WS_DISCOVERY,
        // Not ESP (RFC 3948 2.2).
        4500 => return [&[0; 4][..], IKE].concat(),
        5060 => SIP,
        5351 => NAT_PMP,
        5353 => MDNS,
        5355 => LLMNR,
        5683 => COAP,
        6454 => ART_NET,
        9999 => return kasa(),
        10001 => UBIQUITI,
        11211 => MEMCACHED,
        20002 => TP_LINK,
        30718 => LANTRONIX,
        37020 => SADP,
        44818 => ETHERNET_IP,
        47808 => BACNET,
        56700 => LIFX,
        _ => ANYTHING,
    }
    .to_vec()
}

/// Sun RPC, procedure NULL: of the port mapper, version 2, or of NFS, version 3.
fn rpc(port: u16) -> Vec<u8> {
    let mut call = RPC.to_vec();
    if port == 2049 {
        call[15] = 0xa3;
        call[19] = 3;
    }
    call
}

/// An Initial of a version that is there to be refused: answered with those there are (RFC 9000 6.1, 15).
fn quic() -> Vec<u8> {
    let mut packet = b"\xc0\x1a\x2a\x3a\x4a\x08provebnc\0".to_vec();
    // The smallest that servers look at.
    packet.resize(1200, 0);
    packet
}

/// A ClientHello of DTLS 1.2 (RFC 6347 4.2), answered with a HelloVerifyRequest or an alert.
fn dtls() -> Vec<u8> {
    let hello = &client_hello(0x0303)[9..];
    // DTLS has its own numbers of versions, and a cookie, which is empty at first, after the session's identifier.
    let mut body = vec![0xfe, 0xfd];
    let session = 2 + 32 + 1 + usize::from(hello[34]);
    body.extend(&hello[2..session]);
    body.push(0);
    body.extend(&hello[session..]);
    let length = &(body.len() as u32).to_be_bytes()[1..];
    // Message 0, of which this is all.
    let handshake = [&[1][..], length, &[0, 0, 0, 0, 0], length, &body].concat();
    let size = (handshake.len() as u16).to_be_bytes();
    // Epoch and sequence number are 0.
    [
        &[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &size,
        &handshake,
    ]
    .concat()
}

/// TP-Link's discovery, of older devices: each byte is added to the one before.
fn kasa() -> Vec<u8> {
    let mut key = 171;
    let question = br#"{"system":{"get_sysinfo":{}}}"#;
    let cipher = question.iter().map(|byte| {
        key ^= byte;
        key
    });
    cipher.collect()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;

    use super::*;

    #[test]
    fn questions_are_well_formed() {
        for port in [53, 5353, 5355] {
            let message = Message::from_vec(&probe(port)).unwrap();
            assert_eq!(message.queries.len(), 1);
        }
        assert_eq!(probe(123).len(), 48);
        assert_eq!(probe(3478).len(), 20);
        assert_eq!(probe(161).len(), 2 + 0x29);
        assert_eq!(probe(111).len(), 40);
        assert_eq!(probe(2049)[12..20], [0, 1, 0x86, 0xa3, 0, 0, 0, 3]);
    }

    /// Those that say how long they are: where, in how many bytes, and what of the whole does not count.
    #[rstest::rstest]
    #[case::cldap(389, 1, 1, 2)]
    #[case::slp(427, 2, 3, 0)]
    #[case::ike(500, 24, 4, 0)]
    #[case::ike_beside_esp(4500, 28, 4, 4)]
    #[case::modbus(502, 4, 2, 6)]
    #[case::l2tp(1701, 2, 2, 0)]
    #[case::radius(1812, 2, 2, 0)]
    #[case::mqtt_sn(1883, 0, 1, 0)]
    #[case::knx(3671, 4, 2, 0)]
    #[case::dtls(5684, 11, 2, 13)]
    #[case::dtls_handshake(5684, 14, 3, 25)]
    #[case::dtls_fragment(5684, 22, 3, 25)]
    fn lengths_are_right(
        #[case] port: u16,
        #[case] at: usize,
        #[case] bytes: usize,
        #[case] without: usize,
    ) {
        let probe = probe(port);
        let field = &probe[at..at + bytes];
        let length = field
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        assert_eq!(length + without, probe.len(), "{field:02x?}");
    }

    #[test]
    fn those_without_a_length_have_the_right_one() {
        let sizes = [
            (177, 7),
            (520, 24),
            (1194, 14),
            (443, 1200),
            (44818, 24),
            (56700, 36),
        ];
        for (port, size) in sizes {
            assert_eq!(probe(port).len(), size, "{port}");
        }
        assert_eq!(probe(9999)[..4], [0xd0, 0xf2, 0x81, 0xf8]);
    }

    #[test]
    fn usual_ports_are_asked_once_each_and_include_those_with_a_question_of_their_own() {
        assert!(USUAL_PORTS.is_sorted_by(|a, b| a < b));
        let with_question = (1..=u16::MAX).filter(|port| probe(*port) != ANYTHING);
        let missing: Vec<u16> = with_question
            .filter(|port| !USUAL_PORTS.contains(port))
            .collect();
        assert_eq!(missing, [0; 0]);
    }
}
