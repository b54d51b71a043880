//! One test case on one DUT: its units and the driver are run here.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value as Json;
use tokio::runtime::Handle;

use super::api::facts::Facts;
use super::attestation::Attestations;
use super::driver::Driver;
use super::error::Location;
use super::limit::{Limit, Stopped};
use super::memory::Memory;
use super::need::Offer;
use super::outcome::{DriverFailure, UnitResult};
use super::run::{self, Argument};
use super::show;
use super::stop::Stop;
use super::suite::Case;
use crate::bench::{Bench, BenchError, host};
use crate::event::{Outcome, Step};
use crate::evidence::CaseEvidence;
use crate::explain::explain;
use crate::inventory::Device;

/// How long the bench may take to prove itself healthy when the DUT does not answer.
const HEALTH_LIMIT: Duration = Duration::from_secs(20);

/// Who is told of steps.
pub type Sink = Arc<dyn Fn(Step) + Send + Sync>;

/// What a test case is run with. Its own, not lent: a script may have to be left to itself.
#[derive(Clone)]
pub struct Setup {
    /// The bench around the DUT.
    pub bench: Arc<Bench>,
    /// The DUT.
    pub device: Device,
    /// The other devices of its target.
    pub siblings: Vec<Device>,
    /// The product's driver.
    pub driver: Arc<Driver>,
    /// What is known of the DUT from one call of the driver to the next.
    pub memory: Arc<Memory>,
    /// Answers of human assessors.
    pub attestations: Arc<Attestations>,
    /// Where artefacts go.
    pub evidence: CaseEvidence,
    /// Who is told of every step.
    pub sink: Sink,
    /// When the run began.
    pub origin: Instant,
    /// Where random values come from: the same seed gives the same ones.
    pub seed: u64,
}

/// One test case on one DUT. Steps are counted over all of its units.
pub struct Session {
    pub(super) setup: Setup,
    pub(super) facts: Arc<Facts>,
    pub(super) offer: Offer,
    random: Mutex<StdRng>,
    runtime: Handle,
    running: Mutex<Running>,
}

/// What runs at present.
struct Running {
    limit: Limit,
    began: Instant,
    unit: Option<char>,
    /// Counted over all units.
    steps: u32,
    /// Why it is being stopped, once it is.
    stopping: Option<Stopped>,
    /// Power is to be cut meanwhile: see `cut_during`.
    is_cutting: bool,
    /// Where the script was when it last called into the bench.
    at: Option<Location>,
}

/// A step that is under way.
pub(super) struct Started {
    seq: u32,
    begin: Instant,
}

/// What a step leaves in the record besides its arguments.
#[derive(Default)]
pub(super) struct Note {
    pub(super) result: Json,
    pub(super) artefacts: Vec<String>,
}

impl Session {
    /// Begins a test case. Units then run on a thread that may block, not on one of `runtime`'s workers.
    pub fn new(setup: Setup, runtime: Handle) -> Arc<Self> {
        host::watch();
        let limit = Limit::new(Duration::MAX, tokio_util::sync::CancellationToken::new());
        Arc::new(Self {
            facts: Arc::new(Facts::of(
                &setup.device,
                &setup.siblings,
                setup.memory.clone(),
            )),
            offer: offer(&setup),
            random: Mutex::new(StdRng::seed_from_u64(setup.seed)),
            setup,
            runtime,
            running: Mutex::new(Running {
                limit,
                began: Instant::now(),
                unit: None,
                steps: 0,
                stopping: None,
                is_cutting: false,
                at: None,
            }),
        })
    }

    /// Runs one unit of a test case.
    pub fn run_unit(self: &Arc<Self>, case: &Case, letter: char, limit: &Limit) -> UnitResult {
        self.begin_call(Some(letter), limit);
        let function = format!("unit_{letter}");
        let result = run::call(self, &case.script, function, vec![Argument::Test]);
        self.running().unit = None;
        match result {
            Ok(()) => UnitResult::pass(),
            Err(ended) => ended,
        }
    }

    /// Calls a function of the driver with `d` and further arguments.
    pub fn call_driver(
        self: &Arc<Self>,
        function: &str,
        arguments: &[Json],
        limit: &Limit,
    ) -> Result<(), DriverFailure> {
        self.begin_call(None, limit);
        let mut all = vec![Argument::Driver];
        all.extend(arguments.iter().cloned().map(Argument::Json));
        let script = &self.setup.driver.script;
        let said = self.setup.memory.said();
        let called = run::call(self, script, function.to_owned(), all);
        if called.is_ok() {
            self.setup.memory.follow(function, None, said);
        }
        called.map_err(|ended| DriverFailure {
            outcome: ended.outcome,
            message: format!("{function} of the driver: {}", ended.message),
            at: ended.at,
            stack: ended.stack,
            interrupted: ended.interrupted,
            is_bench_fault: ended.is_bench_fault,
        })
    }

    fn begin_call(&self, unit: Option<char>, limit: &Limit) {
        let mut running = self.running();
        running.limit = limit.clone();
        running.began = Instant::now();
        running.unit = unit;
        running.stopping = None;
        running.is_cutting = false;
        running.at = None;
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where random values come from.
    pub(super) fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the running function is being stopped, once it is.
    pub(super) fn stopping(&self) -> Option<Stopped> {
        self.running().stopping
    }

    /// Where the script was when it last called into the bench.
    pub(super) fn last_seen(&self) -> Option<Location> {
        self.running().at.clone()
    }

    pub(super) fn see(&self, at: Option<Location>) {
        self.running().at = at;
    }

    /// Whether the running function has to be stopped now. True once only: what ends the script is
    /// then the first thing that was stopped, which has a place.
    pub(super) fn must_stop(&self) -> bool {
        self.stopping().is_none() && self.check().is_err()
    }

    /// Whether the limit allows to go on.
    fn check(&self) -> Result<(), Stop> {
        let within = self.limit().check();
        within.map_err(|stopped| self.stopped(stopped))
    }

    fn stopped(&self, why: Stopped) -> Stop {
        self.running().stopping.get_or_insert(why);
        Stop::Stopped(why)
    }

    /// The limit of what runs at present.
    pub(super) fn limit(&self) -> Limit {
        self.running().limit.clone()
    }

    /// Waits for the bench, but no longer than the limit allows, and not beyond a power cut that
    /// `cut_during` waits for.
    pub(super) fn wait<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Stop>
    where
        Stop: From<E>,
    {
        let limit = self.limit();
        let cutting = self.running().is_cutting;
        let work = async {
            if !cutting {
                return work.await.map_err(Stop::from);
            }
            let power = self.setup.bench.power()?;
            tokio::select! {
                biased;
                done = work => done.map_err(Stop::from),
                fired = power.wait_cut(limit.left()) => match fired {
                    Ok(true) => Err(Stop::Cut),
                    // It was waited for until the limit.
                    Ok(false) => Err(self.stopped(Stopped::Deadline)),
                    Err(error) => Err(error.into()),
                },
            }
        };
        let done = self.runtime.block_on(limit.run(work));
        done.map_err(|stopped| self.stopped(stopped))?
    }

    /// From now on, a power cut ends whatever is waited for, or no longer. Returns how it was.
    pub(super) fn set_cutting(&self, is_cutting: bool) -> bool {
        std::mem::replace(&mut self.running().is_cutting, is_cutting)
    }

    /// Keeps an artefact; gives its name in the evidence.
    pub(super) fn keep(&self, name: &str, content: &[u8]) -> Result<String, Stop> {
        let saved = self.setup.evidence.save(name, content);
        saved.map_err(|error| Stop::Bench(explain(&error)))
    }

    /// Whether the bench is sound, so that silence is the DUT's doing.
    pub(super) fn health(&self) -> Result<(), String> {
        if let Some(time) = host::standstill_since(self.running().began) {
            let seconds = time.as_secs_f64();
            return Err(format!(
                "this machine stood still for {seconds:.1} s meanwhile, and may have missed what the device did"
            ));
        }
        self.proven(self.setup.bench.health())
    }

    /// Whether the world around the DUT is sound. Its power and its debug port are not asked: a FAIL may be about them.
    fn world(&self) -> Result<(), String> {
        self.proven(self.setup.bench.world())
    }

    fn proven(&self, proof: impl Future<Output = Result<(), BenchError>>) -> Result<(), String> {
        let limit = self.limit().renewed(HEALTH_LIMIT);
        match self.runtime.block_on(limit.run(proof)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(explain(&error)),
            Err(stopped) => Err(format!("it did not prove itself healthy: {stopped}")),
        }
    }

    /// Records what `body` does as a step.
    pub(super) fn step<R>(
        &self,
        name: &str,
        arguments: Json,
        body: impl FnOnce(&mut Note) -> Result<R, Stop>,
    ) -> anyhow::Result<R> {
        let recorded = self.record(name, arguments, |note| {
            self.check()?;
            body(note)
        });
        recorded.map_err(anyhow::Error::new)
    }

    /// Like [`Self::step`], for what may fail in other ways.
    pub(super) fn record<R, E: std::fmt::Display>(
        &self,
        name: &str,
        arguments: Json,
        body: impl FnOnce(&mut Note) -> Result<R, E>,
    ) -> Result<R, E> {
        let started = self.begin();
        let mut note = Note::default();
        let result = body(&mut note);
        let error = result.as_ref().err().map(ToString::to_string);
        self.end(&started, name, arguments, note, error.as_deref());
        result
    }

    /// Begins a step in which the script goes on: it must not have the session meanwhile.
    pub(super) fn begin(&self) -> Started {
        let mut running = self.running();
        running.steps += 1;
        Started {
            seq: running.steps,
            begin: Instant::now(),
        }
    }

    /// Records a step.
    pub(super) fn end(
        &self,
        started: &Started,
        name: &str,
        arguments: Json,
        note: Note,
        error: Option<&str>,
    ) {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let at = started.begin.saturating_duration_since(self.setup.origin);
        let unit = self.running().unit;
        (self.setup.sink)(Step {
            seq: started.seq,
            unit,
            name: name.to_owned(),
            arguments: show::clean(arguments),
            result: show::clean(if error.is_none() {
                note.result
            } else {
                Json::Null
            }),
            error: error.map(|e| show::plain(e, show::MESSAGE)),
            at_ms: milliseconds(at),
            duration_ms: milliseconds(started.begin.elapsed()),
            artefacts: note.artefacts,
        });
    }

    /// Judges why a script ended.
    pub(super) fn judge(&self, stop: &Stop) -> (Outcome, String) {
        match stop {
            // What did not come may have come to a network, or to a service, that was not there any more.
            Stop::Fail(message) => match self.world() {
                Ok(()) => (Outcome::Fail, message.clone()),
                Err(fault) => (Outcome::Error, format!("{message}; but: {fault}")),
            },
            Stop::Inconclusive(message) => (Outcome::Inconclusive, message.clone()),
            Stop::Silent(message) => match self.health() {
                Ok(()) => (Outcome::Fail, message.clone()),
                Err(fault) => (Outcome::Error, format!("{message}; but: {fault}")),
            },
            Stop::Bench(message) | Stop::Script(message) => (Outcome::Error, message.clone()),
            Stop::Cut | Stop::Stopped(_) => (Outcome::Error, stop.to_string()),
        }
    }
}

/// What bench, driver and device offer.
fn offer(setup: &Setup) -> Offer {
    let capabilities = setup.bench.capabilities();
    let functions = setup.driver.functions();
    Offer::of(&setup.device, capabilities, functions, &setup.siblings)
}
