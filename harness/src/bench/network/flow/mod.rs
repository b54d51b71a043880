//! Who spoke with whom, kept while frames pass. Memory is bounded whatever the DUT sends.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

mod content;
mod dns;
mod hosts;
mod packet;
mod report;
mod stream;
#[cfg(test)]
mod tests;
pub(super) mod tls;

pub use report::{
    CanaryHit, Certificate, DnsQuestion, Flow, Flows, HttpRequest, MqttSeen, Outcome, Protocol,
    TlsSeen, Unserved,
};

use super::{Direction, GATEWAY_V4, GATEWAY_V6, Side, capture::Clock};
use crate::bench::probe::{Encoding, Needle, Searcher};
use dns::Names;
use hosts::Hosts;
use packet::Packet;
pub(super) use packet::quoted;
use stream::Stream;
pub(super) use tls::readable;

/// Flows that are kept.
const MOST_FLOWS: usize = 8192;
/// Bytes of streams that are held for all flows together.
const MOST_HELD: usize = 64 << 20;
const MOST_HITS: usize = 1000;
const MOST_REQUESTS: usize = 32;

/// A flow's two endpoints, the lower one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    protocol: Protocol,
    ends: [SocketAddr; 2],
}

impl Key {
    fn new(protocol: Protocol, a: SocketAddr, b: SocketAddr) -> Self {
        Self {
            protocol,
            ends: if a <= b { [a, b] } else { [b, a] },
        }
    }
}

#[derive(Debug)]
struct Entry {
    flow: Flow,
    /// Of the source, of the destination.
    streams: [Stream; 2],
    tls: bool,
    ended: bool,
}

type HitKey = (String, Encoding, Option<(Protocol, SocketAddr, SocketAddr)>);

/// The index of one network.
#[derive(Debug)]
pub(super) struct Index {
    clock: Clock,
    entries: Vec<Entry>,
    /// The latest flow between two endpoints, by its place in `entries`.
    latest: HashMap<Key, usize>,
    names: Names,
    searcher: Option<Searcher>,
    hits: Vec<CanaryHit>,
    /// From here on, `hits` are of the texts that are watched for now.
    watched_from: usize,
    known_hits: HashSet<HitKey>,
    held: usize,
    hosts: Hosts,
    /// The bench's port that port scans come from.
    scan_port: Option<u16>,
    counts: Flows,
}

impl Index {
    pub(super) fn new(clock: Clock, canaries: &[Needle]) -> Self {
        Self {
            clock,
            entries: Vec::new(),
            latest: HashMap::new(),
            names: Names::default(),
            searcher: Searcher::new(canaries),
            hits: Vec::new(),
            watched_from: 0,
            known_hits: HashSet::new(),
            held: 0,
            hosts: Hosts::default(),
            scan_port: None,
            counts: Flows::default(),
        }
    }

    pub(super) fn watch_for(&mut self, canaries: &[Needle]) {
        self.searcher = Searcher::new(canaries);
        // What others watched for is theirs, and takes no room from what is watched for now.
        self.watched_from = self.hits.len();
        self.known_hits.clear();
        // Ends of streams were kept for other needles.
        for stream in self.entries.iter_mut().flat_map(|entry| &mut entry.streams) {
            stream.tail.clear();
        }
    }

    /// From now on TCP packets to and from this port of the bench are a scan's and no flows.
    pub(super) fn scans_from(&mut self, port: u16) {
        self.scan_port = Some(port);
    }

    pub(super) fn frame(&mut self, at: Instant, by: Direction, frame: &[u8]) {
        let Some(packet) = Packet::parse(frame) else {
            self.counts.malformed += 1;
            self.search_frame(at, by, None, frame);
            return;
        };
        if by == Direction::FromDut {
            self.hosts.frame(at, &packet);
        }
        if self.is_scan(by, &packet) {
            self.counts.scan_frames += 1;
            return;
        }
        self.search_frame(at, by, Some(&packet), frame);
        if let Some((protocol, source, destination)) = packet.unreachable {
            self.refused(Key::new(protocol, source, destination), destination);
        }
        if packet.protocol == Protocol::Udp {
            self.dns(by, &packet, packet.payload);
        }
        let Some(index) = self.entry(at, by, &packet) else {
            self.counts.unindexed += 1;
            return;
        };
        let now = self.clock.elapsed(at).as_secs_f64();
        let entry = &mut self.entries[index];
        let forth = entry.flow.source == packet.source;
        entry.flow.last = now;
        if forth {
            entry.flow.packets_out += 1;
            entry.flow.bytes_out += frame.len() as u64;
        } else {
            entry.flow.packets_in += 1;
            entry.flow.bytes_in += frame.len() as u64;
            let accepted = packet.tcp.is_none_or(|tcp| !tcp.rst);
            match (accepted, entry.flow.outcome) {
                (true, Outcome::Unanswered) => entry.flow.outcome = Outcome::Answered,
                (false, Outcome::Unanswered) => entry.flow.outcome = Outcome::Refused,
                _ => {}
            }
        }
        if packet.tcp.is_some() {
            self.segment(at, by, index, forth, &packet);
        }
    }

    pub(super) fn flows(&self) -> Flows {
        let flows: Vec<Flow> = self
            .entries
            .iter()
            .map(|entry| {
                let mut flow = entry.flow.clone();
                flow.names = self.names.of(flow.destination.ip());
                flow.gaps = entry.streams.iter().any(|stream| stream.gaps);
                flow
            })
            .collect();
        Flows {
            unserved: unserved(&flows),
            dns: self.names.questions.clone(),
            canaries: self.hits.clone(),
            flows,
            ..self.counts.clone()
        }
    }

    /// The same, with no other texts than those that are watched for.
    pub(super) fn flows_of_watch(&self) -> Flows {
        Flows {
            canaries: self.hits[self.watched_from..].to_vec(),
            ..self.flows()
        }
    }

    pub(super) fn unindexed(&self) -> u64 {
        self.counts.unindexed
    }

    /// Addresses that the DUT has, or said that it has.
    pub(super) fn hosts(&self) -> BTreeSet<IpAddr> {
        self.hosts.all().collect()
    }

    /// Addresses that the DUT has, as frames since then prove.
    pub(super) fn hosts_since(&self, when: Instant) -> BTreeSet<IpAddr> {
        self.hosts.since(when).collect()
    }

    fn is_scan(&self, by: Direction, packet: &Packet<'_>) -> bool {
        let bench = match by {
            Direction::FromDut => packet.destination,
            Direction::ToDut => packet.source,
        };
        packet.tcp.is_some() && self.scan_port == Some(bench.port())
    }

    /// The place of the flow that the packet belongs to; `None` when there is no room for another.
    fn entry(&mut self, at: Instant, by: Direction, packet: &Packet<'_>) -> Option<usize> {
        let key = Key::new(packet.protocol, packet.source, packet.destination);
        if let Some(&index) = self.latest.get(&key) {
            // Ports are used again: a new connection is another flow.
            let again = packet.tcp.is_some_and(|tcp| tcp.syn && !tcp.ack);
            if !(again && self.entries[index].ended) {
                return Some(index);
            }
        }
        // Not each time: it takes long, and may be in vain.
        if self.entries.len() >= MOST_FLOWS && self.counts.unindexed.is_multiple_of(1024) {
            self.make_room();
        }
        if self.entries.len() >= MOST_FLOWS {
            return None;
        }
        let now = self.clock.elapsed(at).as_secs_f64();
        // Whoever sends SYN and ACK was spoken to first, before we began to listen.
        let turned = packet.tcp.is_some_and(|tcp| tcp.syn && tcp.ack)
            || (packet.protocol == Protocol::Arp && !packet.asks);
        let (source, destination, by) = match (turned, by) {
            (false, by) => (packet.source, packet.destination, by),
            (true, Direction::FromDut) => (packet.destination, packet.source, Direction::ToDut),
            (true, Direction::ToDut) => (packet.destination, packet.source, Direction::FromDut),
        };
        self.entries.push(Entry {
            flow: Flow {
                protocol: packet.protocol,
                by,
                is_midway: packet.tcp.is_some_and(|tcp| !tcp.syn),
                source,
                destination,
                names: Vec::new(),
                first: now,
                last: now,
                packets_out: 0,
                packets_in: 0,
                bytes_out: 0,
                bytes_in: 0,
                outcome: Outcome::Unanswered,
                tls: None,
                http: Vec::new(),
                mqtt: None,
                gaps: false,
            },
            streams: Default::default(),
            tls: false,
            ended: false,
        });
        self.latest.insert(key, self.entries.len() - 1);
        Some(self.entries.len() - 1)
    }

    /// Connections that the bench tried in vain say least, then those of the DUT, of the older half, that are not the
    /// first to their destination.
    fn make_room(&mut self) {
        self.entries.retain(|entry| {
            entry.flow.by == Direction::FromDut || entry.flow.outcome == Outcome::Answered
        });
        if self.entries.len() >= MOST_FLOWS {
            let mut called = HashSet::new();
            let mut older = self.entries.len() / 2;
            let before = self.entries.len();
            self.entries.retain(|entry| {
                older = older.saturating_sub(1);
                let is_first = called.insert((entry.flow.protocol, entry.flow.destination));
                older == 0 || is_first || entry.flow.by == Direction::ToDut
            });
            self.counts.repeated += (before - self.entries.len()) as u64;
        }
        self.latest = self
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let flow = &entry.flow;
                (
                    Key::new(flow.protocol, flow.source, flow.destination),
                    index,
                )
            })
            .collect();
        let streams = self.entries.iter().flat_map(|entry| &entry.streams);
        self.held = streams.map(Stream::held).sum();
    }

    /// An ICMP error says so.
    fn refused(&mut self, key: Key, destination: SocketAddr) {
        if let Some(&index) = self.latest.get(&key) {
            let flow = &mut self.entries[index].flow;
            if flow.destination == destination && flow.outcome == Outcome::Unanswered {
                flow.outcome = Outcome::Refused;
            }
        }
    }

    fn dns(&mut self, by: Direction, packet: &Packet<'_>, message: &[u8]) {
        let ports = [packet.destination.port(), packet.source.port()];
        if let Some(port) = ports.into_iter().find(|port| dns::PORTS.contains(port)) {
            self.names.message(by, port, message);
        }
    }

    fn segment(
        &mut self,
        at: Instant,
        by: Direction,
        index: usize,
        forth: bool,
        packet: &Packet<'_>,
    ) {
        let Some(tcp) = packet.tcp else { return };
        let entry = &mut self.entries[index];
        entry.ended |= tcp.fin || tcp.rst;
        let mut stream = std::mem::take(&mut entry.streams[usize::from(!forth)]);
        let before = stream.held();
        let searcher = self.searcher.as_ref();
        let mut found = Vec::new();
        let mut requests = Vec::new();
        stream.segment(tcp.sequence, tcp.syn, packet.payload, &mut |stream, new| {
            if let Some(searcher) = searcher {
                searcher.advance(&mut stream.tail, new, |name, encoding, _| {
                    found.push((name.to_owned(), encoding));
                });
            }
            // Further requests of a connection that is kept.
            if stream.is_closed() && content::is_http(new) == Some(true) {
                requests.extend(content::http_request(new));
            }
        });
        let entry = &mut self.entries[index];
        if forth && !entry.flow.http.is_empty() {
            let room = MOST_REQUESTS.saturating_sub(entry.flow.http.len());
            entry.flow.http.extend(requests.into_iter().take(room));
        }
        if !stream.is_closed() && !packet.payload.is_empty() {
            let dns = forth && packet.destination.port() == 53;
            if dns {
                // Two bytes of length, then a message (RFC 1035, 4.2.2).
                if let Some((length, rest)) = stream.prefix().split_first_chunk::<2>()
                    && let Some(message) = rest.get(..u16::from_be_bytes(*length).into())
                {
                    self.names.message(by, 53, message);
                    stream.close();
                }
            } else if entry.look(&stream, forth) || stream.is_full() {
                stream.close();
            }
        }
        let after = stream.held();
        self.held = (self.held + after).saturating_sub(before);
        if self.held > MOST_HELD && after > 0 {
            stream.abandon();
            self.held = self.held.saturating_sub(after - stream.held());
            self.counts.unparsed += 1;
        }
        self.entries[index].streams[usize::from(!forth)] = stream;
        for (name, encoding) in found {
            self.hit(at, by, Some(packet), name, encoding);
        }
    }

    fn search_frame(
        &mut self,
        at: Instant,
        by: Direction,
        packet: Option<&Packet<'_>>,
        frame: &[u8],
    ) {
        let Some(searcher) = &self.searcher else {
            return;
        };
        let mut found = Vec::new();
        searcher.advance(&mut Vec::new(), frame, |name, encoding, _| {
            found.push((name.to_owned(), encoding));
        });
        for (name, encoding) in found {
            self.hit(at, by, packet, name, encoding);
        }
    }

    fn hit(
        &mut self,
        at: Instant,
        by: Direction,
        packet: Option<&Packet<'_>>,
        canary: String,
        encoding: Encoding,
    ) {
        let ends = packet.map(|packet| (packet.protocol, packet.source, packet.destination));
        let hits = self.hits.len() - self.watched_from;
        if hits >= MOST_HITS || !self.known_hits.insert((canary.clone(), encoding, ends)) {
            return;
        }
        self.hits.push(CanaryHit {
            canary,
            encoding,
            by,
            protocol: ends.map(|(protocol, ..)| protocol),
            source: ends.map(|(_, source, _)| source),
            destination: ends.map(|(.., destination)| destination),
            at_ms: self.clock.elapsed(at).as_millis() as u64,
        });
    }
}

impl Entry {
    /// Looks at the beginning of a stream. Returns whether it need not be looked at again.
    fn look(&mut self, stream: &Stream, forth: bool) -> bool {
        let start = stream.prefix();
        let tls = tls::is_tls(start);
        if tls == Some(true) || self.tls {
            self.tls = true;
            let seen = self.flow.tls.get_or_insert_default();
            let done = tls::look(start, forth, seen);
            if done && seen.version.is_some() && !forth {
                seen.encrypted = true;
            }
            return done;
        }
        let (http, mqtt) = (content::is_http(start), content::is_mqtt(start));
        match forth {
            true if http == Some(true) => match content::http_request(start) {
                Some(request) => {
                    self.flow.http.push(request);
                    true
                }
                None => false,
            },
            true if mqtt == Some(true) => {
                if let Some(seen) = content::mqtt(start) {
                    self.flow.mqtt = Some(seen);
                }
                false
            }
            // Nothing that we know, for sure.
            _ => [tls, http, mqtt]
                .into_iter()
                .all(|known| known == Some(false)),
        }
    }
}

/// What the DUT tried that nobody accepted, or that the bench only stands for.
fn unserved(flows: &[Flow]) -> Vec<Unserved> {
    let mut all = BTreeMap::new();
    let tried = flows.iter().filter(|flow| flow.by == Direction::FromDut);
    for flow in tried.filter(|flow| is_unserved(flow)) {
        let entry = all
            .entry((flow.protocol, flow.destination))
            .or_insert_with(|| Unserved {
                protocol: flow.protocol,
                destination: flow.destination,
                names: flow.names.clone(),
                attempts: 0,
                outcome: flow.outcome,
            });
        entry.attempts += 1;
        entry.outcome = flow.outcome;
    }
    all.into_values().collect()
}

fn is_unserved(flow: &Flow) -> bool {
    let address = flow.destination.ip();
    if is_for_many(address) {
        return false;
    }
    match flow.protocol {
        // A DUT that looks for its own address makes sure that nobody else has it.
        Protocol::Arp => {
            flow.outcome == Outcome::Unanswered
                && flow.source != flow.destination
                && !flow.source.ip().is_unspecified()
        }
        _ => flow.outcome != Outcome::Answered || !is_bench(address),
    }
}

fn is_bench(address: IpAddr) -> bool {
    [
        GATEWAY_V4.into(),
        GATEWAY_V6.into(),
        Side::Bench.link_local().into(),
    ]
    .contains(&address)
}

/// Multicast and broadcast: nobody has to answer.
fn is_for_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_broadcast() || address.is_multicast() || address.octets() == [10, 77, 0, 255]
        }
        IpAddr::V6(address) => address.is_multicast(),
    }
}
