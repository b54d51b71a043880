//! One test case on one DUT: its units and the driver are run here.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value as Json;
use tokio::runtime::Handle;

use super::api::facts::Facts;
use super::attestation::Attestations;
use super::driver::Driver;
use super::limit::{Limit, Stopped};
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

/// What a test case is run with.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// The bench around the DUT.
    pub bench: &'a Bench,
    /// The DUT.
    pub device: &'a Device,
    /// The other devices of its target.
    pub siblings: &'a [Device],
    /// The product's driver.
    pub driver: &'a Driver,
    /// Answers of human assessors.
    pub attestations: &'a Attestations,
    /// Where artefacts go.
    pub evidence: &'a CaseEvidence,
    /// Who is told of every step.
    pub sink: &'a (dyn Fn(Step) + 'a),
    /// When the run began.
    pub origin: Instant,
    /// Where random values come from: the same seed gives the same ones.
    pub seed: u64,
}

/// One test case on one DUT. Steps are counted over all of its units.
pub struct Session<'a> {
    pub(super) setup: Setup<'a>,
    pub(super) facts: Arc<Facts>,
    pub(super) offer: Offer,
    pub(super) random: RefCell<StdRng>,
    runtime: Handle,
    limit: RefCell<Limit>,
    /// When what runs at present began.
    began: Cell<Instant>,
    unit: Cell<Option<char>>,
    steps: Cell<u32>,
    /// Why the running function is being stopped, once it is.
    pub(super) stopping: Cell<Option<Stopped>>,
    /// Power is to be cut while something runs: see `cut_during`.
    cutting: Cell<bool>,
}

/// What a step leaves in the record besides its arguments.
#[derive(Default)]
pub(super) struct Note {
    pub(super) result: Json,
    pub(super) artefacts: Vec<String>,
}

impl<'a> Session<'a> {
    /// Begins a test case. Units then run on a thread that may block, not on one of `runtime`'s workers.
    pub fn new(setup: Setup<'a>, runtime: Handle) -> Self {
        host::watch();
        let limit = Limit::new(Duration::MAX, tokio_util::sync::CancellationToken::new());
        Self {
            facts: Arc::new(Facts::of(setup.device, setup.siblings)),
            offer: offer(setup),
            random: RefCell::new(StdRng::seed_from_u64(setup.seed)),
            setup,
            runtime,
            limit: RefCell::new(limit),
            began: Cell::new(Instant::now()),
            unit: Cell::new(None),
            steps: Cell::new(0),
            stopping: Cell::new(None),
            cutting: Cell::new(false),
        }
    }

    /// Runs one unit of a test case.
    pub fn run_unit(&self, case: &Case, letter: char, limit: &Limit) -> UnitResult {
        self.limit.replace(limit.clone());
        self.began.set(Instant::now());
        self.unit.set(Some(letter));
        let function = format!("unit_{letter}");
        let result = run::call(self, &case.script, &function, &[Argument::Test]);
        self.unit.set(None);
        match result {
            Ok(()) => UnitResult::pass(),
            Err(ended) => ended,
        }
    }

    /// Calls a function of the driver with `d` and further arguments.
    pub fn call_driver(
        &self,
        function: &str,
        arguments: &[Json],
        limit: &Limit,
    ) -> Result<(), DriverFailure> {
        self.limit.replace(limit.clone());
        self.began.set(Instant::now());
        let mut all = vec![Argument::Driver];
        all.extend(arguments.iter().map(Argument::Json));
        run::call(self, &self.setup.driver.script, function, &all).map_err(|ended| DriverFailure {
            outcome: ended.outcome,
            message: format!("{function} of the driver: {}", ended.message),
            at: ended.at,
            stack: ended.stack,
            interrupted: ended.interrupted,
            is_bench_fault: ended.is_bench_fault,
        })
    }

    /// Whether the running function has to be stopped now. True once only: what ends the script is
    /// then the first thing that was stopped, which has a place.
    pub(super) fn must_stop(&self) -> bool {
        self.stopping.get().is_none() && self.check().is_err()
    }

    /// Whether the limit allows to go on.
    fn check(&self) -> Result<(), Stop> {
        let within = self.limit.borrow().check();
        within.map_err(|stopped| self.stopped(stopped))
    }

    fn stopped(&self, why: Stopped) -> Stop {
        self.stopping.set(self.stopping.get().or(Some(why)));
        Stop::Stopped(why)
    }

    /// The limit of what runs at present.
    pub(super) fn limit(&self) -> Limit {
        self.limit.borrow().clone()
    }

    /// Waits for the bench, but no longer than the limit allows, and not beyond a power cut that
    /// `cut_during` waits for.
    pub(super) fn wait<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Stop>
    where
        Stop: From<E>,
    {
        let limit = self.limit();
        let cutting = self.cutting.get();
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

    /// Runs `body` while a power cut ends whatever it waits for.
    pub(super) fn while_cutting<R>(&self, body: impl FnOnce() -> R) -> R {
        let before = self.cutting.replace(true);
        let result = body();
        self.cutting.set(before);
        result
    }

    /// Keeps an artefact; gives its name in the evidence.
    pub(super) fn keep(&self, name: &str, content: &[u8]) -> Result<String, Stop> {
        let saved = self.setup.evidence.save(name, content);
        saved.map_err(|error| Stop::Bench(explain(&error)))
    }

    /// Whether the bench is sound, so that silence is the DUT's doing.
    pub(super) fn health(&self) -> Result<(), String> {
        if let Some(time) = host::standstill_since(self.began.get()) {
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
        let seq = self.steps.get() + 1;
        self.steps.set(seq);
        let mut note = Note::default();
        let begin = Instant::now();
        let result = body(&mut note);
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        (self.setup.sink)(Step {
            seq,
            unit: self.unit.get(),
            name: name.to_owned(),
            arguments: show::clean(arguments),
            result: show::clean(if result.is_ok() {
                note.result
            } else {
                Json::Null
            }),
            error: result
                .as_ref()
                .err()
                .map(|e| show::plain(&e.to_string(), show::MESSAGE)),
            at_ms: milliseconds(begin.saturating_duration_since(self.setup.origin)),
            duration_ms: milliseconds(begin.elapsed()),
            artefacts: note.artefacts,
        });
        result
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
fn offer(setup: Setup<'_>) -> Offer {
    let capabilities = setup.bench.capabilities();
    let functions = setup.driver.functions();
    Offer::of(setup.device, capabilities, functions, setup.siblings)
}
