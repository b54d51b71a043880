//! The index on handmade and on hostile frames.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, Record, RecordType, rdata},
};
use proptest::prelude::*;

use super::*;
use crate::{capture::Clock, plan::DUT_V4};

const DUT: &str = "10.77.0.2:50000";
const CANARY: &[u8] = b"Quince-4711-canary";

struct Wire {
    index: Index,
    origin: Instant,
    frames: u32,
}

impl Wire {
    fn new() -> Self {
        let origin = Instant::now();
        let canary = Needle {
            name: "user name".into(),
            bytes: CANARY.to_vec(),
        };
        Self {
            index: Index::new(Clock::new(origin), Addressing::default(), &[canary]),
            origin,
            frames: 0,
        }
    }

    /// One frame every 10 ms.
    fn frame(&mut self, by: Direction, frame: &[u8]) {
        self.frames += 1;
        let at = self.origin + Duration::from_millis(10) * self.frames;
        self.index.frame(at, by, frame);
    }

    fn udp(&mut self, from: &str, to: &str, payload: &[u8]) {
        let (from, to) = (address(from), address(to));
        let mut frame = Vec::new();
        ethernet(from, to)
            .udp(from.port(), to.port())
            .write(&mut frame, payload)
            .unwrap();
        self.frame(direction(from), &frame);
    }

    fn tcp(&mut self, from: &str, to: &str, flags: &str, sequence: u32, payload: &[u8]) {
        let frame = segment(from, to, flags, sequence, payload);
        self.frame(direction(address(from)), &frame);
    }

    /// A connection with these bytes from the client, in pieces.
    fn connection(&mut self, client: &str, server: &str, sent: &[u8], piece: usize, answer: &[u8]) {
        self.tcp(client, server, "S", 100, b"");
        self.tcp(server, client, "SA", 500, b"");
        for (number, part) in sent.chunks(piece).enumerate() {
            let sequence = 101 + (number * piece) as u32;
            self.tcp(client, server, "A", sequence, part);
        }
        self.tcp(server, client, "A", 501, answer);
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn direction(from: SocketAddr) -> Direction {
    if from.ip() == IpAddr::V4(DUT_V4) {
        Direction::FromDut
    } else {
        Direction::ToDut
    }
}

fn ethernet(
    from: SocketAddr,
    to: SocketAddr,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from.ip(), to.ip()) else {
        panic!("IPv4 only")
    };
    PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.octets(), to.octets(), 64)
}

fn segment(from: &str, to: &str, flags: &str, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    let mut builder = ethernet(from, to).tcp(from.port(), to.port(), sequence, 1000);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(1),
            'R' => builder.rst(),
            _ => builder.fin(),
        };
    }
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

#[test]
fn a_flow_has_its_endpoints_counts_and_times() {
    let mut wire = Wire::new();
    wire.udp(DUT, "10.77.0.1:123", &[0x23; 48]);
    wire.udp("10.77.0.1:123", DUT, &[0x24; 48]);
    wire.udp(DUT, "10.77.0.1:123", &[0x23; 48]);
    let flows = wire.index.flows();
    let [flow] = &flows.flows[..] else {
        panic!("{flows:?}")
    };
    assert_eq!(
        (flow.protocol, flow.by),
        (Protocol::Udp, Direction::FromDut)
    );
    assert_eq!(
        (flow.source, flow.destination),
        (address(DUT), address("10.77.0.1:123"))
    );
    assert_eq!((flow.packets_out, flow.packets_in), (2, 1));
    assert_eq!((flow.bytes_out, flow.bytes_in), (2 * 90, 90));
    assert!((flow.first - 0.010).abs() < 1e-6 && (flow.last - 0.030).abs() < 1e-6);
    assert_eq!(flow.outcome, Outcome::Answered);
    assert_eq!(flows.unserved, []);
}

#[test]
fn names_asked_for_are_told_and_given_to_the_flows() {
    let mut wire = Wire::new();
    let name = Name::from_ascii("MQTT.sensor.example.").unwrap();
    let mut question = Message::new(7, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(name.clone(), RecordType::A));
    wire.udp(DUT, "10.77.0.1:53", &question.to_vec().unwrap());
    let mut answer = Message::new(7, MessageType::Response, OpCode::Query);
    answer.add_query(Query::query(name.clone(), RecordType::A));
    answer.add_answer(Record::from_rdata(
        name,
        60,
        RData::A(rdata::A::new(203, 0, 113, 9)),
    ));
    wire.udp("10.77.0.1:53", DUT, &answer.to_vec().unwrap());
    wire.tcp(DUT, "203.0.113.9:8883", "S", 1, b"");
    wire.tcp("203.0.113.9:8883", DUT, "RA", 1, b"");

    let flows = wire.index.flows();
    let [asked] = &flows.dns[..] else {
        panic!("{flows:?}")
    };
    assert_eq!(
        (asked.name.as_str(), asked.kind.as_str()),
        ("mqtt.sensor.example", "A")
    );
    assert_eq!((asked.by, asked.count), (Direction::FromDut, 1));
    assert_eq!(asked.addresses, [IpAddr::from([203, 0, 113, 9])]);
    let [tried] = &flows.unserved[..] else {
        panic!("{flows:?}")
    };
    assert_eq!(tried.names, ["mqtt.sensor.example"]);
    assert_eq!(
        (tried.destination, tried.outcome),
        (address("203.0.113.9:8883"), Outcome::Refused)
    );
}

#[test]
fn http_and_mqtt_are_seen_on_any_port_however_they_are_cut() {
    const REQUEST: &[u8] = b"POST /telemetry HTTP/1.1\r\nHost: cloud.example\r\n\r\n{}";
    const MQTT: &[u8] = b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc\x30\x08\0\x03a/bxyz";
    for piece in [1, 7, 1000] {
        let mut wire = Wire::new();
        wire.connection(
            DUT,
            "10.77.0.1:9000",
            REQUEST,
            piece,
            b"HTTP/1.1 200 OK\r\n\r\n",
        );
        wire.connection(
            "10.77.0.2:50001",
            "10.77.0.1:9001",
            MQTT,
            piece,
            b"\x20\x02\0\0",
        );
        let flows = wire.index.flows();
        let http = &flows.flows[0].http;
        assert_eq!(http.len(), 1, "pieces of {piece}: {flows:?}");
        assert_eq!(
            (http[0].method.as_str(), http[0].path.as_str()),
            ("POST", "/telemetry")
        );
        let mqtt = flows.flows[1].mqtt.as_ref().unwrap();
        assert_eq!((mqtt.client_id.as_str(), mqtt.level), ("abc", 4));
        assert_eq!(mqtt.topics, ["a/b"]);
    }
}

#[test]
fn a_canary_is_found_over_the_border_of_segments_and_in_any_encoding() {
    let hidden = [b"x=".as_slice(), hex::encode(CANARY).as_bytes(), b"&y"].concat();
    let mut wire = Wire::new();
    wire.connection(DUT, "10.77.0.1:80", &hidden, 5, b"ok");
    wire.udp(DUT, "198.51.100.1:514", CANARY);
    let hits = wire.index.flows().canaries;
    assert_eq!(hits.len(), 2, "{hits:?}");
    assert_eq!(
        (hits[0].encoding, hits[0].by),
        (Encoding::HexLower, Direction::FromDut)
    );
    assert_eq!(
        (hits[1].encoding, hits[1].protocol),
        (Encoding::Raw, Some(Protocol::Udp))
    );
    assert_eq!(hits[1].destination, Some(address("198.51.100.1:514")));
}

/// A test case is not to be told of what another one has watched for.
#[test]
fn each_watch_has_its_own_hits_and_all_are_kept() {
    let mut wire = Wire::new();
    let other = Needle {
        name: "other".into(),
        bytes: b"Medlar-0815-canary".to_vec(),
    };
    let watched = |wire: &Wire| -> Vec<String> {
        let hits = wire.index.flows_of_watch().canaries;
        hits.into_iter().map(|hit| hit.canary).collect()
    };
    let first = watched(&wire);
    assert!(first.is_empty(), "{first:?}");
    wire.udp(DUT, "198.51.100.1:514", CANARY);
    assert_eq!(watched(&wire).len(), 1);
    wire.index.watch_for(std::slice::from_ref(&other));
    wire.udp(DUT, "198.51.100.1:514", CANARY);
    assert!(watched(&wire).is_empty());
    for _ in 0..2 {
        wire.udp(DUT, "198.51.100.1:514", &other.bytes);
    }
    assert_eq!(watched(&wire), ["other"]);
    // Seen before, by somebody else.
    wire.index.watch_for(std::slice::from_ref(&other));
    wire.udp(DUT, "198.51.100.1:514", &other.bytes);
    assert_eq!(watched(&wire), ["other"]);
    assert_eq!(wire.index.flows().canaries.len(), 3);
}

#[test]
fn icmp_says_that_a_datagram_was_refused() {
    let mut wire = Wire::new();
    wire.udp(DUT, "192.0.2.1:4000", b"hello");
    assert_eq!(wire.index.flows().unserved[0].outcome, Outcome::Unanswered);
    let mut original = Vec::new();
    PacketBuilder::ipv4([10, 77, 0, 2], [192, 0, 2, 1], 64)
        .udp(50000, 4000)
        .write(&mut original, b"hello")
        .unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([192, 0, 2, 1], [10, 77, 0, 2], 64)
        .icmpv4_raw(3, 3, [0; 4])
        .write(&mut frame, &original)
        .unwrap();
    wire.frame(Direction::ToDut, &frame);
    assert_eq!(wire.index.flows().unserved[0].outcome, Outcome::Refused);
}

/// Which a reconnecting device fills an index with in a long run: the first call to each stays, and the latest ones.
#[test]
fn repeated_calls_make_room_for_others() {
    let mut wire = Wire::new();
    let call = |wire: &mut Wire, number: u32, to: &str| {
        let from = format!("10.77.0.2:{}", 1024 + number % 60_000);
        wire.udp(&from, to, b"hello");
    };
    call(&mut wire, 0, "198.51.100.1:514");
    for number in 1..30_000 {
        call(&mut wire, number, "10.77.0.1:123");
    }
    call(&mut wire, 30_001, "198.51.100.2:514");
    let flows = wire.index.flows();
    assert_eq!(flows.unindexed, 0);
    assert!(flows.repeated > 0 && flows.flows.len() <= MOST_FLOWS);
    // They are forgotten as of when they were: whoever asks about later is told of all.
    assert_eq!(
        flows.losses.to_string(),
        format!("flows forgotten: {}", flows.repeated)
    );
    let late = wire
        .index
        .losses_since(wire.origin + Duration::from_secs(290));
    assert!(late.is_empty(), "{late}");
    let called: HashSet<String> = flows
        .flows
        .iter()
        .map(|f| f.destination.to_string())
        .collect();
    assert_eq!(called.len(), 3, "{called:?}");
    let last = flows.flows.last().unwrap();
    assert_eq!(last.destination, address("198.51.100.2:514"));
}

/// The end of a connection that nobody saw begin, such as one of a port scan, is no call.
#[test]
fn what_is_seen_without_its_beginning_is_told() {
    let mut wire = Wire::new();
    wire.tcp(DUT, "10.77.0.1:40000", "R", 1, b"");
    wire.tcp("10.77.0.2:50001", "10.77.0.1:80", "S", 1, b"");
    let midway: Vec<bool> = wire
        .index
        .flows()
        .flows
        .iter()
        .map(|f| f.is_midway)
        .collect();
    assert_eq!(midway, [true, false]);
}

#[test]
fn memory_is_bounded_whatever_the_dut_opens() {
    let mut wire = Wire::new();
    for number in 0..20_000u32 {
        let from = format!("10.77.0.2:{}", 1024 + number % 60_000);
        let to = format!("10.{}.{}.1:80", number / 250, number % 250);
        wire.tcp(&from, &to, "S", 1, b"");
        // The next segment never comes.
        wire.tcp(&from, &to, "A", 5000, &[7; 1400]);
        wire.tcp(&from, &to, "A", 2, &[0x16, 3, 1, 0x40, 0]);
    }
    let flows = wire.index.flows();
    assert_eq!(flows.flows.len(), MOST_FLOWS);
    assert_eq!(flows.unindexed, u64::from(3 * (20_000 - MOST_FLOWS as u32)));
    assert!(wire.index.held <= MOST_HELD);
}

/// A question for a name; what comes after it is none of its own records.
fn question(name: &str, rest: &[u8]) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let mut bytes = message.to_vec().unwrap();
    bytes.extend_from_slice(rest);
    bytes
}

fn asked(wire: &Wire) -> Vec<String> {
    let dns = wire.index.flows().dns;
    dns.into_iter().map(|question| question.name).collect()
}

/// Of a resolver that keeps its connection, and cuts it anyhow.
#[test]
fn all_questions_of_a_connection_are_told() {
    let sent: Vec<u8> = ["one.example", "two.example", "three.example"]
        .iter()
        .flat_map(|name| {
            let message = question(name, b"");
            [&(message.len() as u16).to_be_bytes()[..], &message].concat()
        })
        .collect();
    for piece in [1, 7, 40, 1000] {
        let mut wire = Wire::new();
        wire.connection(DUT, "10.77.0.1:53", &sent, piece, b"");
        let names = ["one.example", "two.example", "three.example"];
        assert_eq!(asked(&wire), names, "pieces of {piece}");
        assert!(wire.index.losses.total().is_empty());
    }
}

#[test]
fn a_question_counts_whatever_else_is_in_its_message() {
    let mut wire = Wire::new();
    let mut odd = question("odd.example", b"\xff\xff\xff");
    // Three more records than there are.
    odd[11] = 3;
    wire.udp(DUT, "10.77.0.1:53", &odd);
    assert_eq!(asked(&wire), ["odd.example"]);
    assert!(wire.index.losses.total().is_empty());
    wire.udp(DUT, "10.77.0.1:53", b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xff");
    wire.udp("10.77.0.1:53", DUT, b"garbage of the bench");
    let losses = wire.index.losses.total().to_string();
    assert_eq!(losses, "names not read: 1");
}

/// 2048 kinds of questions for one name once hid another name.
#[test]
fn questions_that_are_not_kept_are_counted() {
    let mut wire = Wire::new();
    for number in 0..16_384 {
        wire.udp(
            DUT,
            "10.77.0.1:53",
            &question(&format!("n{number}.example"), b""),
        );
    }
    assert!(wire.index.losses.total().is_empty());
    wire.udp(DUT, "10.77.0.1:53", &question("hidden.example", b""));
    let losses = wire.index.losses.total().to_string();
    assert_eq!(losses, "names not kept: 1");
    assert_eq!(wire.index.flows().losses.to_string(), losses);
}

/// By another IP protocol than TCP and UDP.
fn ip(from: &str, to: &str, number: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ethernet(address(from), address(to))
        .write(&mut frame, etherparse::IpNumber(number), payload)
        .unwrap();
    frame
}

const ECHO_REQUEST: &[u8] = b"\x08\0\0\0\0\x01\0\x01";
const ECHO_REPLY: &[u8] = b"\0\0\0\0\0\x01\0\x01";

/// Protocol and destination.
fn calls(wire: &Wire) -> Vec<String> {
    let flows = wire.index.flows().flows;
    let calls = flows.iter().filter(|flow| flow.is_call());
    calls
        .map(|flow| format!("{} {}", flow.protocol, flow.destination))
        .collect()
}

#[test]
fn whoever_calls_without_tcp_and_udp_calls_and_is_searched() {
    let mut wire = Wire::new();
    let far = "198.51.100.7:0";
    for (number, payload) in [
        (1, [ECHO_REQUEST, CANARY].concat()),
        (47, [b"\0\0\x08\0", CANARY].concat()),
        (132, CANARY.to_vec()),
        // An answer that nobody asked for, and an error about nothing.
        (1, [ECHO_REPLY, CANARY].concat()),
    ] {
        wire.frame(Direction::FromDut, &ip(DUT, far, number, &payload));
    }
    let expected = ["icmp", "ip-47", "ip-132"].map(|protocol| format!("{protocol} {far}"));
    assert_eq!(calls(&wire), expected);
    let found = wire.index.flows().canaries;
    assert_eq!(found.len(), 3, "{found:?}");
    let other = "198.51.100.8:0";
    let error = [b"\x03\x03\0\0\0\0\0\0", CANARY].concat();
    wire.frame(Direction::FromDut, &ip(DUT, other, 1, &error));
    assert_eq!(calls(&wire)[3], format!("icmp {other}"));
}

#[test]
fn what_keeps_the_network_going_is_no_call() {
    let mut wire = Wire::new();
    let bench = "10.77.0.1:0";
    // The bench asks, the DUT answers.
    wire.frame(Direction::ToDut, &ip(bench, DUT, 1, ECHO_REQUEST));
    wire.frame(Direction::FromDut, &ip(DUT, bench, 1, ECHO_REPLY));
    // It refuses a datagram.
    let original = ip("10.77.0.1:4000", DUT, 17, b"\x0f\xa0\0\x09\0\x08\0\0");
    let error = [b"\x03\x03\0\0\0\0\0\0", &original[14..]].concat();
    wire.frame(Direction::FromDut, &ip(DUT, bench, 1, &error));
    // It joins a group.
    let report = b"\x16\0\xe9\x01\xe0\0\0\xfb";
    wire.frame(Direction::FromDut, &ip(DUT, "224.0.0.251:0", 2, report));
    assert_eq!(calls(&wire), [""; 0]);
    // Its own question to the bench is one, though the bench asked before.
    wire.frame(Direction::FromDut, &ip(DUT, bench, 1, ECHO_REQUEST));
    wire.frame(Direction::ToDut, &ip(bench, DUT, 1, ECHO_REPLY));
    assert_eq!(calls(&wire), [format!("icmp {bench}")]);
    let flows = wire.index.flows().flows;
    let asked = flows.iter().find(|flow| flow.is_call()).unwrap();
    assert_eq!(asked.outcome, Outcome::Answered);
    // And so is what only has the number of a port.
    wire.udp("10.77.0.2:68", "10.77.0.1:67", b"{\"serial\": \"S1\"}");
    wire.frame(Direction::FromDut, &ip(DUT, "198.51.100.7:0", 2, report));
    let later = &calls(&wire)[1..];
    assert_eq!(later, ["udp 10.77.0.1:67", "ip-2 198.51.100.7:0"]);
}

/// Whoever sends data does not need a connection to get it out.
#[test]
fn data_without_a_connection_is_a_call_and_its_end_is_none() {
    let mut wire = Wire::new();
    wire.tcp(DUT, "198.51.100.7:443", "R", 1, b"");
    // Of a connection that was there before us.
    wire.tcp(DUT, "10.77.0.1:8883", "A", 1, b"data");
    assert_eq!(calls(&wire), [""; 0]);
    wire.tcp(DUT, "198.51.100.7:443", "A", 1, b"data");
    assert_eq!(calls(&wire), ["tcp 198.51.100.7:443"]);
}

#[test]
fn frames_that_are_no_ip_are_counted_by_their_type() {
    let mut wire = Wire::new();
    let frame = |kind: u16| [&[2; 12][..], &kind.to_be_bytes(), b"hello"].concat();
    wire.frame(Direction::ToDut, &frame(0x88b5));
    for kind in [0x88b5, 0x88cc, 0x888e, 0x88b5, 0x0800] {
        wire.frame(Direction::FromDut, &frame(kind));
    }
    let told = |kind: &str, count| (kind.to_owned(), count);
    let expected = [told("0800", 1), told("88b5", 2)];
    assert_eq!(wire.index.flows().ethernet, expected.into());
    for kind in 0x9000..0x9100 {
        wire.frame(Direction::FromDut, &frame(kind));
    }
    let all = wire.index.flows().ethernet;
    assert_eq!(all.len(), MOST_ETHER_TYPES + 1);
    assert_eq!(all.values().sum::<u64>(), 3 + 256);
}

/// In pieces of 16 bytes, as IP cuts it.
fn fragments(payload: &[u8], port: u16) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    ethernet(address(DUT), address("10.77.0.1:1"))
        .udp(50_000, port)
        .write(&mut whole, payload)
        .unwrap();
    let (ethernet, ip) = whole.split_at(14);
    let (header, carried) = ip.split_at(20);
    let count = carried.len().div_ceil(16);
    let pieces = carried.chunks(16).enumerate();
    pieces
        .map(|(number, piece)| {
            let mut header = etherparse::Ipv4Header::from_slice(header).unwrap().0;
            header.dont_fragment = false;
            header.more_fragments = number + 1 < count;
            header.fragment_offset = etherparse::IpFragOffset::try_new(2 * number as u16).unwrap();
            header.set_payload_len(piece.len()).unwrap();
            header.header_checksum = header.calc_header_checksum();
            [ethernet, &header.to_bytes()[..], piece].concat()
        })
        .collect()
}

#[test]
fn fragments_are_joined_before_they_are_looked_into() {
    let mut wire = Wire::new();
    let mut cut = fragments(&question("cut.example", b""), 53);
    cut.reverse();
    cut.extend(fragments(&[&[7; 20], CANARY].concat(), 514));
    for frame in &cut {
        wire.frame(Direction::FromDut, frame);
    }
    assert_eq!(asked(&wire), ["cut.example"]);
    let flows = wire.index.flows();
    let [hit] = &flows.canaries[..] else {
        panic!("{:?}", flows.canaries)
    };
    assert_eq!(hit.destination, Some(address("10.77.0.1:514")));
    let expected = ["udp 10.77.0.1:53", "udp 10.77.0.1:514"];
    assert_eq!(calls(&wire), expected);
    assert!(flows.losses.is_empty(), "{}", flows.losses);
}

#[test]
fn fragments_that_are_never_whole_are_counted() {
    let mut wire = Wire::new();
    let begin = wire.origin;
    wire.frame(Direction::FromDut, &fragments(&[7; 100], 514)[0]);
    let waiting = wire.index.losses_since(begin);
    assert_eq!(waiting.to_string(), "fragments not joined: 1");
    for _ in 0..64 {
        let mut parts = fragments(&[7; 100], 514);
        parts.truncate(1);
        // A packet of its own each.
        parts[0][18..20].copy_from_slice(&(wire.frames as u16).to_be_bytes());
        wire.frame(Direction::FromDut, &parts[0]);
        wire.origin += Duration::from_secs(2);
    }
    let losses = wire.index.losses.total();
    let [(Loss::FragmentsNotJoined, 30..40)] = losses.iter().collect::<Vec<_>>()[..] else {
        panic!("{losses}")
    };
}

#[test]
fn what_is_missing_of_a_stream_is_a_loss_if_the_dut_sent_it() {
    let mut wire = Wire::new();
    let begin = Instant::now();
    let server = "10.77.0.1:9000";
    wire.connection(DUT, server, b"begin", 5, b"ok");
    // The bench's is not on the cable before it is seen.
    for number in 0..1000 {
        wire.tcp(server, DUT, "A", 10_000 + number * 1400, &[7; 1400]);
    }
    assert!(wire.index.losses_since(begin).is_empty());
    wire.tcp(DUT, server, "A", 10_000, &[7; 1400]);
    // Not yet lost, not seen either.
    assert_eq!(
        wire.index.losses_since(begin).to_string(),
        "gaps in streams: 1"
    );
    assert!(wire.index.losses.total().is_empty());
    for number in 1..1000 {
        wire.tcp(DUT, server, "A", 10_000 + number * 1400, &[7; 1400]);
    }
    assert_eq!(wire.index.losses.total().to_string(), "gaps in streams: 1");
    assert!(wire.index.flows().flows[0].gaps);
}

#[test]
fn places_of_texts_that_are_not_kept_are_counted() {
    let mut wire = Wire::new();
    for port in 0..MOST_HITS + 5 {
        for _ in 0..2 {
            wire.udp(DUT, &format!("198.51.100.1:{}", 10_000 + port), CANARY);
        }
    }
    assert_eq!(wire.index.flows().canaries.len(), MOST_HITS);
    assert_eq!(wire.index.losses.total().to_string(), "hits not kept: 10");
}

#[test]
fn more_addresses_than_there_is_room_for_are_counted() {
    let mut wire = Wire::new();
    for number in 0..70u8 {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 77, 0, number + 100], [10, 77, 0, 1], 64)
            .udp(1, 2)
            .write(&mut frame, b"x")
            .unwrap();
        wire.frame(Direction::FromDut, &frame);
    }
    assert_eq!(
        wire.index.losses.total().to_string(),
        "addresses not kept: 6"
    );
}

#[test]
fn ports_of_a_scan_are_no_flows() {
    let mut wire = Wire::new();
    wire.index.scans_from(4000);
    wire.tcp("10.77.0.1:4000", "10.77.0.2:22", "S", 1, b"");
    wire.tcp("10.77.0.2:22", "10.77.0.1:4000", "RA", 1, b"");
    wire.tcp("10.77.0.1:4002", "10.77.0.2:22", "S", 1, b"");
    // Somebody else's port of that number.
    wire.tcp("10.77.0.2:50002", "203.0.113.9:4000", "S", 1, b"");
    let flows = wire.index.flows();
    assert_eq!((flows.scan_frames, flows.flows.len()), (2, 2));
}

#[test]
fn datagrams_of_a_scan_are_no_flows_and_are_searched() {
    let mut wire = Wire::new();
    let end = [address("10.77.0.9:4000")];
    wire.index.scans_datagrams(&end);
    wire.udp("10.77.0.9:4000", "10.77.0.2:9", b"?");
    wire.udp("10.77.0.2:9", "10.77.0.9:4000", CANARY);
    wire.index.scanned_datagrams(&end);
    wire.udp("10.77.0.2:9", "10.77.0.9:4000", b"late");
    wire.udp("10.77.0.2:9", "203.0.113.9:4000", b"to somebody else");
    let flows = wire.index.flows();
    assert_eq!((flows.scan_frames, flows.flows.len()), (3, 1));
    assert_eq!(flows.canaries.len(), 1);
    wire.origin += 2 * LATE;
    wire.udp("10.77.0.2:9", "10.77.0.9:4000", b"of its own");
    assert_eq!(wire.index.flows().flows.len(), 2);
}

/// What a hostile DUT would begin with.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just(crate::scan::tests_hello()),
        Just(b"\x10\x0f\0\x04MQTT\x05\x02\0\x3c\0\0\x03abc".to_vec()),
        Just(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        Just(b"\x16\x03\x03\x00\x31\x02\0\0\x2d\x03\x03".to_vec()),
        Just(b"\x16\x03\x03\x01\x00\x0b\0\0\xfc\0\0\xf9\0\0\xf6\x30\x82".to_vec()),
    ];
    (
        known,
        any::<Vec<u8>>(),
        any::<Vec<(prop::sample::Index, u8)>>(),
    )
        .prop_map(|(mut bytes, more, changes)| {
            bytes.extend(more);
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            bytes
        })
}

proptest! {
    #[test]
    fn no_frame_makes_it_panic(frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20)) {
        let mut wire = Wire::new();
        for (from_dut, frame) in frames {
            wire.frame(if from_dut { Direction::FromDut } else { Direction::ToDut }, &frame);
        }
        let _ = serde_json::to_string(&wire.index.flows()).unwrap();
    }

    #[test]
    fn no_change_to_a_good_frame_makes_it_panic(
        payload in beginning(),
        port in prop_oneof![Just(53u16), Just(5353), Just(80)],
        udp in any::<bool>(),
        changes in any::<Vec<(prop::sample::Index, u8)>>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let to = format!("10.77.0.1:{port}");
        let mut frame = if udp {
            let mut frame = Vec::new();
            ethernet(address(DUT), address(&to)).udp(50000, port).write(&mut frame, &payload).unwrap();
            frame
        } else {
            segment(DUT, &to, "A", 1, &payload)
        };
        for (place, value) in changes {
            let place = place.index(frame.len());
            frame[place] = value;
        }
        frame.truncate(cut.index(frame.len()) + 1);
        let mut wire = Wire::new();
        wire.frame(Direction::FromDut, &frame);
        let _ = serde_json::to_string(&wire.index.flows()).unwrap();
    }

    #[test]
    fn no_stream_makes_it_panic(
        client in beginning(),
        server in beginning(),
        order in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0usize..300, any::<bool>()), 0..30),
    ) {
        let mut wire = Wire::new();
        let server_end = "10.77.0.1:443";
        wire.tcp(DUT, server_end, "S", 0, b"");
        wire.tcp(server_end, DUT, "SA", 0, b"");
        for (forth, start, length, far) in order {
            let (from, to, stream) = if forth { (DUT, server_end, &client) } else { (server_end, DUT, &server) };
            let start = start.index(stream.len());
            let end = (start + length).min(stream.len());
            let sequence = if far { u32::MAX - start as u32 } else { 1 + start as u32 };
            wire.tcp(from, to, "A", sequence, &stream[start..end]);
        }
        prop_assert!(wire.index.flows().flows.len() <= 2);
    }
}
