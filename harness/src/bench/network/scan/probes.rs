//! What to send to a UDP port so that the protocol usually there answers.

/// UDP ports of protocols that IoT devices speak (IANA, and what is found in the field).
pub(super) const USUAL_PORTS: [u16; 50] = [
    7, 9, 13, 17, 19, 37, 53, 67, 68, 69, 88, 111, 123, 137, 138, 161, 162, 389, 443, 500, 514,
    520, 623, 1194, 1701, 1812, 1884, 1900, 2049, 3478, 3544, 3702, 4433, 4500, 5004, 5060, 5351,
    5353, 5355, 5540, 5683, 5684, 6053, 6454, 9999, 10001, 20002, 30718, 47808, 49153,
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
/// To whatever is there.
const ANYTHING: &[u8] = b"\r\n\r\n";

pub(super) fn probe(port: u16) -> Vec<u8> {
    match port {
        53 | 5355 => DNS,
        69 => TFTP,
        111 => RPC,
        // Client, version 4 (RFC 5905); the rest may be zero.
        123 => return [&[0x23][..], &[0; 47]].concat(),
        137 => NETBIOS,
        161 => SNMP,
        623 => RMCP,
        1900 => SSDP,
        3478 => STUN,
        5060 => SIP,
        5353 => MDNS,
        5683 => COAP,
        47808 => BACNET,
        _ => ANYTHING,
    }
    .to_vec()
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
    }
}
