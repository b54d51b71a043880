//! Who spoke with whom, kept while frames pass. Memory is bounded whatever the DUT sends.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

// Quick, and keyed: a DUT that chooses endpoints can't have them collide.
use ahash::RandomState;

mod content;
mod dns;
mod fragments;
mod hosts;
mod infrastructure;
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

use crate::{
    capture::Clock,
    losses::{Ledger, Loss, Losses},
    plan::{Addressing, Direction},
    search::{Encoding, Needle, Searcher, StreamSearch},
};
use dns::Names;
use fragments::Fragments;
use hosts::Hosts;
pub(super) use packet::quoted;
use packet::{Echo, Packet};
use stream::Stream;
pub(super) use tls::readable;

/// Flows that are kept.
const MOST_FLOWS: usize = 8192;
/// Bytes of streams that are held for all flows together.
const MOST_HELD: usize = 64 << 20;
const MOST_HITS: usize = 1000;
const MOST_REQUESTS: usize = 32;
/// EtherTypes that are counted apart.
const MOST_ETHER_TYPES: usize = 64;
/// What comes so long after a scan is no answer to it.
const LATE: Duration = Duration::from_mins(1);
/// The port of name servers.
const DNS: u16 = 53;

/// A flow's two endpoints, the lower one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    protocol: Protocol,
    ends: [SocketAddr; 2],
    infrastructure: bool,
}

impl Key {
    fn new(protocol: Protocol, a: SocketAddr, b: SocketAddr, infrastructure: bool) -> Self {
        Self {
            protocol,
            ends: if a <= b { [a, b] } else { [b, a] },
            infrastructure,
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
    /// Who is where.
    plan: Addressing,
    entries: Vec<Entry>,
    /// The latest flow between two endpoints, by its place in `entries`.
    latest: HashMap<Key, usize, RandomState>,
    /// Flows that were begun so far, whether they are still kept or not.
    begun: u64,
    names: Names,
    searcher: Option<Searcher>,
    hits: Vec<CanaryHit>,
    /// From here on, `hits` are of the texts that are watched for now.
    watched_from: usize,
    known_hits: HashSet<HitKey>,
    held: usize,
    hosts: Hosts,
    fragments: Fragments,
    /// What was not seen, and not kept.
    pub(super) losses: Ledger,
    /// Since when the texts are watched for that are watched for now.
    watched_since: Option<Instant>,
    /// The bench's port that port scans come from.
    scan_port: Option<u16>,
    /// The bench's ends of UDP scans, and when they were over.
    scan_ends: HashMap<SocketAddr, Option<Instant>, RandomState>,
    /// Addresses of the bench that asked for an echo.
    echoed: BTreeSet<IpAddr>,
    counts: Flows,
}

impl Index {
    pub(super) fn new(clock: Clock, plan: Addressing, canaries: &[Needle]) -> Self {
        Self::searched_by(clock, plan, Searcher::new(canaries))
    }

    pub(super) fn searched_by(clock: Clock, plan: Addressing, searcher: Option<Searcher>) -> Self {
        Self {
            clock,
            plan,
            entries: Vec::new(),
            latest: HashMap::default(),
            begun: 0,
            names: Names::default(),
            searcher,
            hits: Vec::new(),
            watched_from: 0,
            known_hits: HashSet::new(),
            held: 0,
            hosts: Hosts::default(),
            fragments: Fragments::default(),
            losses: Ledger::default(),
            watched_since: None,
            scan_port: None,
            scan_ends: HashMap::default(),
            echoed: BTreeSet::new(),
            counts: Flows::default(),
        }
    }

    pub(super) fn watch_for(&mut self, canaries: &[Needle]) {
        self.searcher = Searcher::new(canaries);
        self.watched_since = self.searcher.as_ref().map(|_| Instant::now());
        // What others watched for is theirs, and takes no room from what is watched for now.
        self.watched_from = self.hits.len();
        self.known_hits.clear();
        // Ends of streams were kept for other needles.
        for stream in self.entries.iter_mut().flat_map(|entry| &mut entry.streams) {
            stream.search.forget();
        }
    }

    /// From now on TCP packets to and from this port of the bench are a scan's and no flows.
    pub(super) fn scans_from(&mut self, port: u16) {
        self.scan_port = Some(port);
    }

    /// From now on datagrams to and from these ends of the bench are a scan's and no flows.
    pub(super) fn scans_datagrams(&mut self, ends: &[SocketAddr]) {
        self.scan_ends.extend(ends.iter().map(|end| (*end, None)));
    }

    /// The scan is over; what comes late is its all the same.
    pub(super) fn scanned_datagrams(&mut self, ends: &[SocketAddr]) {
        let over = Some(Instant::now());
        self.scan_ends.extend(ends.iter().map(|end| (*end, over)));
    }

    pub(super) fn frame(&mut self, at: Instant, by: Direction, frame: &[u8]) {
        let Some(packet) = Packet::parse(&self.plan, frame) else {
            self.counts.malformed += 1;
            if by == Direction::FromDut {
                self.count_ether_type(frame);
            }
            self.search_frame(at, by, None, frame);
            return;
        };
        if by == Direction::FromDut && !self.hosts.frame(at, &packet) {
            self.losses.add(Loss::AddressesNotKept, at, 1);
        }
        if self.is_scan(at, by, &packet) {
            self.counts.scan_frames += 1;
            // A port may tell everything to whoever asks.
            if by == Direction::FromDut && packet.tcp.is_none() {
                self.search_frame(at, by, Some(&packet), frame);
            }
            return;
        }
        self.search_frame(at, by, Some(&packet), frame);
        if packet.is_fragment {
            let came = self.fragments.take(at, by, frame);
            self.losses.add(Loss::FragmentsNotJoined, at, came.lost);
            if let Some((number, payload)) = came.whole {
                let whole = packet.joined(&self.plan, number, &payload);
                self.search_frame(at, by, Some(&whole), &payload);
                self.packet(at, by, &whole, frame.len());
                return;
            }
        }
        self.packet(at, by, &packet, frame.len());
    }

    /// One packet, or the last fragment of one.
    fn packet(&mut self, at: Instant, by: Direction, packet: &Packet<'_>, length: usize) {
        if let Some((protocol, source, destination)) = packet.unreachable {
            for infrastructure in [false, true] {
                let key = Key::new(protocol, source, destination, infrastructure);
                self.refused(key, destination);
            }
        }
        if packet.protocol == Protocol::Udp {
            self.dns(at, by, packet);
        }
        let Some(index) = self.entry(at, by, packet) else {
            self.counts.unindexed += 1;
            self.losses.add(Loss::FramesInNoFlow, at, 1);
            return;
        };
        let now = self.clock.elapsed(at).as_secs_f64();
        let entry = &mut self.entries[index];
        let forth = entry.flow.source == packet.source;
        entry.flow.last = now;
        // Data needs no connection to get out.
        let says = by == Direction::FromDut && forth && !packet.payload.is_empty();
        if entry.flow.is_midway && says && !self.plan.is_bench(packet.destination.ip()) {
            entry.flow.is_midway = false;
            self.begun += 1;
        }
        if forth {
            entry.flow.packets_out += 1;
            entry.flow.bytes_out += length as u64;
        } else {
            entry.flow.packets_in += 1;
            entry.flow.bytes_in += length as u64;
            let accepted = packet.tcp.is_none_or(|tcp| !tcp.rst);
            match (accepted, entry.flow.outcome) {
                (true, Outcome::Unanswered) => entry.flow.outcome = Outcome::Answered,
                (false, Outcome::Unanswered) => entry.flow.outcome = Outcome::Refused,
                _ => {}
            }
        }
        if packet.tcp.is_some() {
            self.segment(at, by, index, forth, packet);
        }
    }

    fn count_ether_type(&mut self, frame: &[u8]) {
        let Some(mut kind) = infrastructure::ether_type(frame) else {
            return;
        };
        let counts = &mut self.counts.ethernet;
        if counts.len() >= MOST_ETHER_TYPES && !counts.contains_key(&kind) {
            "others".clone_into(&mut kind);
        }
        *counts.entry(kind).or_default() += 1;
    }

    /// Whether it keeps the network itself going. An echo is, where the bench asked for it.
    fn is_infrastructure(&mut self, by: Direction, packet: &Packet<'_>) -> bool {
        let is_bench = by == Direction::ToDut;
        match packet.echo {
            Some(Echo::Request) => {
                if is_bench {
                    self.echoed.insert(packet.source.ip());
                }
                is_bench
            }
            Some(Echo::Reply) => !is_bench && self.echoed.contains(&packet.destination.ip()),
            None => {
                let serves = is_bench
                    && packet.protocol == Protocol::Udp
                    && infrastructure::LEASES.contains(&packet.source.port());
                packet.infrastructure || serves
            }
        }
    }

    /// What the DUT tried that nobody accepted, or that the bench only stands for.
    fn unserved(&self, flows: &[Flow]) -> Vec<Unserved> {
        // To resolve the addresses that a scan comes from is no wish of the DUT's.
        let scanning: HashSet<IpAddr> = self.scan_ends.keys().map(SocketAddr::ip).collect();
        let tried = flows.iter().filter(|flow| {
            flow.by == Direction::FromDut
                && !(flow.destination.port() == 0 && scanning.contains(&flow.destination.ip()))
        });
        let mut all = BTreeMap::new();
        for flow in tried.filter(|flow| is_unserved(&self.plan, flow)) {
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

    pub(super) fn flows(&self) -> Flows {
        let flows: Vec<Flow> = self.entries.iter().map(|entry| self.told(entry)).collect();
        Flows {
            unserved: self.unserved(&flows),
            dns: self.names.questions.clone(),
            canaries: self.hits.clone(),
            losses: self.losses.total().clone(),
            flows,
            ..self.counts.clone()
        }
    }

    fn told(&self, entry: &Entry) -> Flow {
        let mut flow = entry.flow.clone();
        flow.names = self.names.of(flow.destination.ip());
        flow.gaps = entry.streams.iter().any(|stream| stream.gaps > 0);
        flow
    }

    /// Flows that the DUT began to others, by any IP protocol (to a port, if one is given), and that began after `since`
    /// seconds of the clock; in order.
    pub(super) fn outbound(&self, port: Option<u16>, since: f64) -> Vec<Flow> {
        let calls = self
            .entries
            .iter()
            .filter(|entry| is_call(&entry.flow, port, since));
        calls.map(|entry| self.told(entry)).collect()
    }

    /// How many these are.
    pub(super) fn count_calls(&self, port: Option<u16>, since: f64) -> usize {
        let calls = self
            .entries
            .iter()
            .filter(|entry| is_call(&entry.flow, port, since));
        calls.count()
    }

    /// How many flows were begun so far: the same ones are there as long as it does not change, or fewer.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// The same, with no other texts than those that are watched for.
    pub(super) fn flows_of_watch(&self) -> Flows {
        Flows {
            canaries: self.hits[self.watched_from..].to_vec(),
            ..self.flows()
        }
    }

    /// Since when the texts are watched for that are watched for now; none if there are none.
    pub(super) fn watched_since(&self) -> Option<Instant> {
        self.watched_since
    }

    /// What was lost at that time or later.
    pub(super) fn losses_since(&mut self, when: Instant) -> Losses {
        let mut losses = self.losses.since(when);
        let since = self.clock.elapsed(when).as_secs_f64();
        let waiting = self.entries.iter().filter(|entry| {
            let dut = usize::from(entry.flow.by == Direction::ToDut);
            entry.streams[dut].is_waiting() && entry.flow.last >= since
        });
        losses.add(Loss::GapsInStreams, waiting.count() as u64);
        losses.add(Loss::FragmentsNotJoined, self.fragments.waiting_since(when));
        losses
    }

    /// A time of the console log's clock.
    pub(super) fn time(&self, seconds: f64) -> Instant {
        self.clock.time(seconds)
    }

    /// Addresses that the DUT has, or said that it has.
    pub(super) fn hosts(&self) -> BTreeSet<IpAddr> {
        self.hosts.all().collect()
    }

    /// Addresses that the DUT has, as frames since then prove.
    pub(super) fn hosts_since(&self, when: Instant) -> BTreeSet<IpAddr> {
        self.hosts.since(when).collect()
    }

    /// Whoever else the DUT speaks to, with the same port, is none of the scan's.
    fn is_scan(&self, at: Instant, by: Direction, packet: &Packet<'_>) -> bool {
        let bench = match (by, packet.unreachable) {
            (Direction::FromDut, Some((_, refused, _))) => refused,
            (Direction::FromDut, None) => packet.destination,
            (Direction::ToDut, _) => packet.source,
        };
        match packet.protocol {
            Protocol::Tcp => self.scan_port == Some(bench.port()) && self.plan.is_bench(bench.ip()),
            Protocol::Udp | Protocol::Icmp => match self.scan_ends.get(&bench) {
                Some(Some(over)) => at.saturating_duration_since(*over) < LATE,
                Some(None) => true,
                None => false,
            },
            _ => false,
        }
    }

    /// The place of the flow that the packet belongs to; `None` when there is no room for another.
    fn entry(&mut self, at: Instant, by: Direction, packet: &Packet<'_>) -> Option<usize> {
        let infrastructure = self.is_infrastructure(by, packet);
        let key = Key::new(
            packet.protocol,
            packet.source,
            packet.destination,
            infrastructure,
        );
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
                infrastructure,
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
                more: false,
            },
            streams: Default::default(),
            tls: false,
            ended: false,
        });
        self.begun += 1;
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
            let clock = self.clock;
            let (losses, repeated) = (&mut self.losses, &mut self.counts.repeated);
            self.entries.retain(|entry| {
                older = older.saturating_sub(1);
                let Flow {
                    protocol,
                    destination,
                    infrastructure,
                    ..
                } = entry.flow;
                let is_first = called.insert((protocol, destination, infrastructure));
                let stays = older == 0 || is_first || entry.flow.by == Direction::ToDut;
                if !stays {
                    *repeated += 1;
                    losses.add(Loss::FlowsForgotten, clock.time(entry.flow.last), 1);
                }
                stays
            });
        }
        self.latest = self
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let flow = &entry.flow;
                let key = Key::new(
                    flow.protocol,
                    flow.source,
                    flow.destination,
                    flow.infrastructure,
                );
                (key, index)
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

    fn dns(&mut self, at: Instant, by: Direction, packet: &Packet<'_>) {
        let ports = [packet.destination.port(), packet.source.port()];
        if let Some(port) = ports.into_iter().find(|port| dns::PORTS.contains(port)) {
            let asks = by == Direction::FromDut && packet.destination.port() == port;
            let lost = self.names.message(by, port, packet.payload);
            self.names_lost(at, asks, lost);
        }
    }

    /// `asks`: the DUT asks, or so it seems.
    fn names_lost(&mut self, at: Instant, asks: bool, lost: dns::Lost) {
        let unread = u64::from(asks && lost.unread);
        self.losses.add(Loss::NamesNotRead, at, unread);
        self.losses.add(Loss::NamesNotKept, at, lost.unkept);
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
        let (before, gaps, undone) = (stream.held(), stream.gaps, stream.search.undone());
        let is_dns = entry.flow.destination.port() == DNS;
        let mut messages = Vec::new();
        let searcher = self.searcher.as_ref();
        let mut found = Vec::new();
        let mut requests = Vec::new();
        stream.segment(tcp.sequence, tcp.syn, packet.payload, &mut |stream, new| {
            stream.search.feed(searcher, new, |name, encoding, _| {
                found.push((name.to_owned(), encoding));
            });
            if is_dns {
                let tell = |message: &[u8]| messages.push(message.to_vec());
                stream.messages.take(new, tell);
            }
            // Further requests of a connection that is kept.
            if stream.is_closed() && content::is_http(new) == Some(true) {
                requests.extend(content::http_request(new));
            }
        });
        let entry = &mut self.entries[index];
        if forth && !entry.flow.http.is_empty() {
            let room = MOST_REQUESTS.saturating_sub(entry.flow.http.len());
            entry.flow.more |= requests.len() > room;
            entry.flow.http.extend(requests.into_iter().take(room));
        }
        if is_dns {
            stream.close();
        } else if !stream.is_closed() && !packet.payload.is_empty() {
            let is_told = entry.look(&stream, forth);
            if is_told || stream.is_full() {
                entry.flow.more |= !is_told;
                stream.close();
            }
        }
        for message in messages {
            let lost = self.names.message(by, DNS, &message);
            self.names_lost(at, by == Direction::FromDut && forth, lost);
        }
        // What the bench sent and is missing never was on the cable.
        if by == Direction::FromDut {
            self.losses.add(Loss::GapsInStreams, at, stream.gaps - gaps);
            let undone = stream.search.undone().saturating_sub(undone);
            self.losses.add(Loss::ContentsPacked, at, undone);
        }
        let after = stream.held();
        self.held = (self.held + after).saturating_sub(before);
        if self.held > MOST_HELD && after > 0 {
            stream.abandon();
            self.held = self.held.saturating_sub(after - stream.held());
            self.counts.unparsed += 1;
            self.losses.add(Loss::StreamsNotFollowed, at, 1);
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
        // Streams are searched where they are put together.
        if let Some(packet) = packet.filter(|packet| packet.tcp.is_none()) {
            let mut search = StreamSearch::default();
            search.feed_contents(Some(searcher), packet.payload, |name, encoding| {
                found.push((name.to_owned(), encoding));
            });
            if by == Direction::FromDut {
                self.losses.add(Loss::ContentsPacked, at, search.undone());
            }
        }
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
        let key = (canary.clone(), encoding, ends);
        // What is there as it is need not be told again of what it is packed in.
        let is_told = encoding == Encoding::Packed
            && self
                .known_hits
                .contains(&(canary.clone(), Encoding::Raw, ends));
        if is_told || self.known_hits.contains(&key) {
            return;
        }
        if self.hits.len() - self.watched_from >= MOST_HITS {
            self.losses.add(Loss::HitsNotKept, at, 1);
            return;
        }
        self.known_hits.insert(key);
        self.hits.push(CanaryHit {
            canary,
            encoding,
            by,
            protocol: ends.map(|(protocol, ..)| protocol),
            source: ends.map(|(_, source, _)| source),
            destination: ends.map(|(.., destination)| destination),
            at: self.clock.elapsed(at).as_secs_f64(),
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
                    self.flow.more |= seen.topics.len() >= content::MOST_TOPICS;
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

fn is_call(flow: &Flow, port: Option<u16>, since: f64) -> bool {
    flow.is_call() && port.is_none_or(|port| flow.destination.port() == port) && flow.first > since
}

fn is_unserved(plan: &Addressing, flow: &Flow) -> bool {
    let address = flow.destination.ip();
    if plan.is_for_many(address) {
        return false;
    }
    match flow.protocol {
        // A DUT that looks for its own address makes sure that nobody else has it.
        Protocol::Arp => {
            flow.outcome == Outcome::Unanswered
                && flow.source != flow.destination
                && !flow.source.ip().is_unspecified()
        }
        _ => flow.outcome != Outcome::Answered || !plan.is_bench(address),
    }
}
