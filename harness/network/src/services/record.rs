//! What the services saw, with bounded memory whatever the DUT sends.
//!
//! Each service has a ring of its own, so that a flood at one does not push out what another saw. Counts are never
//! dropped: how often a DUT came back is known even when the single attempts are not.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::watch;

use super::{name::ServiceName, observation::Observation};
use crate::host;

/// How much is kept for each service, as JSON: more than what a day of an ordinary device makes.
const BYTES_KEPT: usize = 32 * 1024 * 1024;
/// What a record takes beside its text.
const OVERHEAD: usize = 256;

/// Something that happened at a service.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Counts all records of this bench from 0.
    pub seq: u64,
    /// In seconds since the same moment that the console's log and steps count from.
    pub at: f64,
    /// Where.
    pub service: ServiceName,
    /// From where; none for what the bench did itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Counts the TCP connections of this bench from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub observation: Observation,
}

/// All that is known, for the evidence folder.
#[derive(Debug, Clone, Serialize)]
pub struct Records {
    /// What is still kept, in order.
    pub records: Vec<Record>,
    /// By service.
    pub totals: BTreeMap<ServiceName, Totals>,
}

/// Figures of one service.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Records that were made, by kind; those that were dropped included.
    pub counts: BTreeMap<&'static str, u64>,
    /// Records that were dropped, oldest first, to stay within bounds.
    pub dropped: u64,
}

/// Where the services write down what they see.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// How many records were made.
    made: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    rings: BTreeMap<ServiceName, Ring>,
    next: u64,
    connections: u64,
}

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<(usize, Record)>,
    bytes: usize,
    totals: Totals,
    /// The number of the latest record that was dropped.
    dropped_to: Option<u64>,
}

impl Log {
    pub(super) fn new(origin: Instant) -> Self {
        Self(Arc::new(Shared {
            origin,
            state: Mutex::default(),
            made: watch::Sender::new(0),
        }))
    }

    /// Milliseconds since the origin.
    pub(super) fn now(&self) -> f64 {
        self.0.origin.elapsed().as_secs_f64()
    }

    /// What a service calls to write something down.
    pub(super) fn of(&self, service: ServiceName) -> ServiceLog {
        ServiceLog {
            log: self.clone(),
            service,
            peer: None,
            connection: None,
        }
    }

    /// The number that the next record will have.
    pub(super) fn mark(&self) -> u64 {
        self.lock().next
    }

    /// What is kept from that number on, in order.
    pub(super) fn since(&self, mark: u64) -> Vec<Record> {
        let state = self.lock();
        let mut records: Vec<Record> = state
            .rings
            .values()
            .flat_map(|ring| ring.since(mark).cloned())
            .collect();
        records.sort_by_key(|record| record.seq);
        records
    }

    /// Records from that number on that are not kept any more, of one service or of all: how many at most.
    pub(super) fn dropped_since(&self, mark: u64, service: Option<&str>) -> u64 {
        let state = self.lock();
        let asked = state
            .rings
            .iter()
            .filter(|(name, _)| service.is_none_or(|service| **name == *service));
        asked
            .filter_map(|(_, ring)| {
                let last = ring.dropped_to.filter(|last| *last >= mark)?;
                Some(ring.totals.dropped.min(last - mark + 1))
            })
            .sum()
    }

    pub(super) fn totals(&self) -> BTreeMap<ServiceName, Totals> {
        let state = self.lock();
        state
            .rings
            .iter()
            .map(|(name, ring)| (name.clone(), ring.totals.clone()))
            .collect()
    }

    /// The first record from that number on that is wanted, as soon as there is one.
    pub(super) async fn wait(
        &self,
        mark: u64,
        limit: Duration,
        wanted: impl Fn(&Record) -> bool + Send,
    ) -> Option<Record> {
        let mut made = self.0.made.subscribe();
        let mut mark = mark;
        let search = async {
            loop {
                made.borrow_and_update();
                let next = self.mark();
                if let Some(found) = self.since(mark).into_iter().find(|record| wanted(record)) {
                    return Some(found);
                }
                mark = next;
                made.changed().await.ok()?;
            }
        };
        host::within(limit, search).await.ok().flatten()
    }

    fn next_connection(&self) -> u64 {
        let mut state = self.lock();
        state.connections += 1;
        state.connections
    }

    fn write(
        &self,
        service: ServiceName,
        peer: Option<SocketAddr>,
        connection: Option<u64>,
        observation: Observation,
    ) {
        let mut state = self.lock();
        let record = Record {
            seq: state.next,
            at: self.now(),
            service,
            peer,
            connection,
            observation,
        };
        state.next += 1;
        let made = state.next;
        let ring = state.rings.entry(record.service.clone()).or_default();
        ring.push(record);
        drop(state);
        self.0.made.send_replace(made);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, record: Record) {
        *self
            .totals
            .counts
            .entry(record.observation.kind())
            .or_default() += 1;
        // What it takes in the evidence is near enough to what it takes here.
        let bytes = OVERHEAD + serde_json::to_vec(&record).map_or(0, |json| json.len());
        self.bytes += bytes;
        self.records.push_back((bytes, record));
        while self.bytes > BYTES_KEPT {
            let Some((bytes, record)) = self.records.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.dropped_to = Some(record.seq);
            self.totals.dropped += 1;
        }
    }

    fn since(&self, mark: u64) -> impl Iterator<Item = &Record> {
        let first = self
            .records
            .partition_point(|(_, record)| record.seq < mark);
        self.records.range(first..).map(|(_, record)| record)
    }
}

/// The log, for one service or one connection.
#[derive(Debug, Clone)]
pub(super) struct ServiceLog {
    log: Log,
    service: ServiceName,
    peer: Option<SocketAddr>,
    connection: Option<u64>,
}

impl ServiceLog {
    pub(super) fn service(&self) -> &ServiceName {
        &self.service
    }

    pub(super) fn now(&self) -> f64 {
        self.log.now()
    }

    pub(super) fn with_peer(&self, peer: SocketAddr) -> Self {
        Self {
            peer: Some(peer),
            ..self.clone()
        }
    }

    /// For a new connection.
    pub(super) fn connected(&self, peer: SocketAddr) -> Self {
        Self {
            peer: Some(peer),
            connection: Some(self.log.next_connection()),
            ..self.clone()
        }
    }

    pub(super) fn record(&self, observation: Observation) {
        self.log.write(
            self.service.clone(),
            self.peer,
            self.connection,
            observation,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_is_bounded_and_counted_and_spares_other_services() {
        let log = Log::new(Instant::now());
        log.of("ntp".into()).record(Observation::Connected);
        let dns = log.of("dns".into());
        for _ in 0..10_000 {
            dns.record(Observation::malformed("x", &vec![0xff; 64 * 1024]));
        }
        let state = log.lock();
        assert!(state.rings["dns"].bytes <= BYTES_KEPT);
        assert_eq!(state.rings["ntp"].records.len(), 1);
        drop(state);
        let totals = &log.totals()["dns"];
        assert_eq!(totals.counts["malformed"], 10_000);
        assert!(totals.dropped > 0);
        let kept = log
            .since(0)
            .iter()
            .filter(|record| record.service == "dns")
            .count();
        assert_eq!(kept as u64 + totals.dropped, 10_000);
        let dropped = |mark, service| log.dropped_since(mark, service);
        assert_eq!(dropped(1, Some("dns")), totals.dropped);
        assert_eq!(dropped(0, None), totals.dropped);
        assert_eq!(dropped(0, Some("ntp")), 0);
        assert_eq!(dropped(totals.dropped, None), 1, "the last one of them");
        assert_eq!(dropped(totals.dropped + 1, None), 0);
    }

    #[tokio::test]
    async fn waiting_finds_what_was_and_what_will_be() {
        let log = Log::new(Instant::now());
        let limit = Duration::from_secs(30);
        log.of("dns".into()).record(Observation::Connected);
        let is_connect = |record: &Record| matches!(record.observation, Observation::Connected);
        assert!(log.wait(0, limit, is_connect).await.is_some());
        let mark = log.mark();
        let later = log.clone();
        let (found, ()) = tokio::join!(log.wait(mark, limit, is_connect), async move {
            later.of("ntp".into()).record(Observation::Connected);
        });
        assert_eq!(found.unwrap().service, "ntp");
        assert!(
            log.wait(log.mark(), Duration::from_millis(1), is_connect)
                .await
                .is_none()
        );
    }
}
