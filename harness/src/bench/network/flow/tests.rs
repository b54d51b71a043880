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

use super::{super::capture::Clock, *};

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
            index: Index::new(Clock::new(origin), &[canary]),
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
    if from.ip() == IpAddr::V4(super::super::DUT_V4) {
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

#[test]
fn ports_of_a_scan_are_no_flows() {
    let mut wire = Wire::new();
    wire.index.scans_from(4000);
    wire.tcp("10.77.0.1:4000", "10.77.0.2:22", "S", 1, b"");
    wire.tcp("10.77.0.2:22", "10.77.0.1:4000", "RA", 1, b"");
    wire.tcp("10.77.0.1:4002", "10.77.0.2:22", "S", 1, b"");
    let flows = wire.index.flows();
    assert_eq!((flows.scan_frames, flows.flows.len()), (2, 1));
}

/// What a hostile DUT would begin with.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just(crate::bench::network::scan::tests_hello()),
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
