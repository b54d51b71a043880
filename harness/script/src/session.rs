//! One test case on one DUT: its units and the driver are run here.

use std::collections::BTreeSet;
use std::future::Future;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value as Json;
use tokio::runtime::Handle;

use super::api::facts::Facts;
use super::attestation::Attestations;
use super::declaration::Sample;
use super::driver::Driver;
use super::error::Location;
use super::limit::{Limit, Stopped};
use super::memory::{Changed, Memory};
use super::offer::Offer;
use super::outcome::{DriverFailure, UnitEnd};
use super::rows::UnitRun;
use super::run::{self, Argument};
use super::show;
use super::stop::Stop;
use super::suite::Case;
use super::unseen::Unseen;
use provebench_bench::inventory::Device;
use provebench_bench::{Bench, BenchError};
use provebench_network::Kept;
use provebench_network::host;
use provebench_network::losses::Loss;
use provebench_record::event::{End, Fault, Outcome, Step};
use provebench_record::evidence::CaseEvidence;
use provebench_record::explain::explain;
use provebench_standard::{Ixit, UnitName};

/// How long the bench may take to prove itself sound when a unit ends.
const HEALTH_LIMIT: Duration = Duration::from_secs(20);
/// A bench that takes longer may not have been sound a moment ago.
const SLOW: Duration = Duration::from_secs(3);
/// The operator does not wait longer for it.
const GRACE: Duration = Duration::from_secs(2);

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

/// What came before an attempt at a case.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Units that an earlier attempt of the round has left in doubt: what they show now counts. The doubt goes to the
    /// device only once, so that a flaw that is real is told on a bad machine, too.
    pub doubted: BTreeSet<UnitName>,
    /// It makes up for another one.
    pub is_retry: bool,
    /// The sample that the DUT is personalised as, as far as that is known.
    pub sample: Option<Sample>,
}

/// How a script ended.
pub(super) struct Judged {
    pub(super) end: End,
    pub(super) message: String,
    /// See [`UnitEnd::doubt`].
    pub(super) doubt: Option<String>,
}

/// Why the bench has not proven itself sound.
enum Unproven {
    Fault(String),
    Interrupted,
}

/// One test case on one DUT. Steps are counted over all of its units.
pub struct Session {
    pub(super) setup: Setup,
    pub(super) facts: Arc<Facts>,
    pub(super) offer: Offer,
    random: Mutex<StdRng>,
    runtime: Handle,
    given: Given,
    running: Mutex<Running>,
    /// What the bench did not see of what the unit asked about.
    pub(super) unseen: Unseen,
    /// The connection to the DUT that the latest step has left.
    connection: Mutex<Option<Kept>>,
}

/// What runs at present.
struct Running {
    limit: Limit,
    began: Instant,
    unit: Option<UnitName>,
    /// Counted over all units.
    steps: u32,
    /// Why it is being stopped, once it is.
    stopping: Option<Stopped>,
    /// Power is to be cut meanwhile: see `cut_during`.
    is_cutting: bool,
    /// Where the script was when it last called into the bench.
    at: Option<Location>,
    /// The first unit that the bench has spoiled, or that is in doubt: what comes after it meets a device that it may
    /// have left anyhow.
    spoiled: Option<UnitName>,
    /// It has listened to the console.
    has_listened: bool,
    /// It has taken silence, or a broken connection, for an answer.
    has_heard_nothing: bool,
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
        Self::after(Given::default(), setup, runtime)
    }

    /// The same, after what came before.
    pub fn after(given: Given, setup: Setup, runtime: Handle) -> Arc<Self> {
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
            given,
            running: Mutex::new(Running {
                limit,
                began: Instant::now(),
                unit: None,
                steps: 0,
                stopping: None,
                is_cutting: false,
                at: None,
                spoiled: None,
                has_listened: false,
                has_heard_nothing: false,
            }),
            unseen: Unseen::default(),
            connection: Mutex::default(),
        })
    }

    /// What the supplier declares about the product.
    pub fn ixit(&self) -> &Ixit {
        &self.setup.device.target.ixit
    }

    /// Runs one unit of a test case, which is about the product as a whole.
    pub fn run_unit(self: &Arc<Self>, case: &Case, letter: char, limit: &Limit) -> UnitEnd {
        self.run(case, &UnitRun::of_product(letter), limit)
    }

    /// Runs one unit of a test case, for the row that it is to run for.
    pub fn run(self: &Arc<Self>, case: &Case, run: &UnitRun, limit: &Limit) -> UnitEnd {
        self.begin_call(Some(run.name.clone()), limit);
        self.unseen.clear();
        if let Some((end, message)) = &run.settled {
            self.running().unit = None;
            return UnitEnd::new(*end, show::plain(message, show::MESSAGE));
        }
        let function = format!("unit_{}", run.name.letter);
        let arguments = iter::once(Argument::Test).chain(run.row.clone().map(Argument::Row));
        let result = run::call(self, &case.script, function, arguments.collect());
        let result = match result {
            Ok(()) => self
                .unseen
                .doubt()
                .map_or_else(UnitEnd::pass, |doubt| run::judged(self, &doubt)),
            Err(mut ended) => {
                if ended.outcome() == Outcome::Fail
                    && let Some(aside) = self.unseen.aside()
                {
                    ended.message = format!("{} ({aside})", ended.message);
                }
                ended
            }
        };
        let result = self.blame_flood(result);
        let mut running = self.running();
        running.unit = None;
        if result.end.is_spoiled() || result.doubt.is_some() {
            running.spoiled.get_or_insert_with(|| run.name.clone());
        }
        result
    }

    /// What the bench could not do while the DUT flooded it is not made up for by another attempt, in which the DUT may be
    /// quiet.
    fn blame_flood(&self, result: UnitEnd) -> UnitEnd {
        let since = self.began();
        let flooded = self.setup.bench.network().ok().map(|network| {
            let losses = network.losses_since(since);
            losses.of(&[Loss::FramesFlooded])
        });
        match flooded.filter(|flooded| result.end.is_spoiled() && !flooded.is_empty()) {
            None => result,
            Some(flooded) => UnitEnd {
                end: End::Inconclusive,
                doubt: None,
                message: format!(
                    "{}; but: the device flooded its network meanwhile ({flooded}), so this is not put down to the bench",
                    result.message
                ),
                ..result
            },
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
            self.setup.memory.follow(Changed::by(function), said);
        }
        called.map_err(|ended| {
            let is_fail = ended.outcome() == Outcome::Fail;
            let doubt = ended.doubt.filter(|_| is_fail);
            let mut message = format!("{function} of the driver: {}", ended.message);
            if let Some(doubt) = &doubt {
                message = format!("{message}; but: it failed {doubt}");
            }
            DriverFailure {
                // It is no FAIL of the case anyway, and may do better another time.
                end: match doubt {
                    Some(_) => End::Fault(Fault::Bench),
                    None => ended.end,
                },
                message,
                at: ended.at,
                stack: ended.stack,
            }
        })
    }

    /// The connection to the DUT that may be gone on with.
    pub(super) fn connection(&self) -> MutexGuard<'_, Option<Kept>> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_call(&self, unit: Option<UnitName>, limit: &Limit) {
        *self.connection() = None;
        self.runtime.block_on(self.setup.bench.begin());
        let mut running = self.running();
        running.limit = limit.clone();
        running.began = Instant::now();
        running.unit = unit;
        running.stopping = None;
        running.is_cutting = false;
        running.at = None;
        running.has_listened = false;
        running.has_heard_nothing = false;
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
        *self.connection() = None;
        std::mem::replace(&mut self.running().is_cutting, is_cutting)
    }

    /// Keeps an artefact; gives its name in the evidence.
    pub(super) fn keep(&self, name: &str, content: &[u8]) -> Result<String, Stop> {
        let saved = self.setup.evidence.save(name, content);
        saved.map_err(|error| Stop::Bench(explain(&error)))
    }

    /// When what runs at present began.
    pub(super) fn began(&self) -> Instant {
        self.running().began
    }

    /// What runs at present listens to the console.
    pub(super) fn listens(&self) {
        self.running().has_listened = true;
    }

    /// What runs at present takes silence for an answer.
    pub(super) fn hears_nothing(&self) {
        self.running().has_heard_nothing = true;
    }

    /// A connection to the DUT that has broken since `begin`, or got no answer: the DUT's doing, unless this machine stood
    /// still meanwhile.
    pub(super) fn broken_since(&self, begin: Instant, how: &str) -> Result<(), Stop> {
        self.hears_nothing();
        match host::standstill_since(begin) {
            Some(time) if self.may_doubt() => Err(Stop::Missed(missed(how, time))),
            _ => Ok(()),
        }
    }

    /// Whether what it shows may still be put down to the bench.
    fn may_doubt(&self) -> bool {
        let unit = self.running().unit.clone();
        match unit {
            Some(unit) => !self.given.doubted.contains(&unit),
            None => !self.given.is_retry,
        }
    }

    /// Why a FAIL is to show again before it counts.
    fn doubt(&self, proof: Duration) -> Option<String> {
        if !self.may_doubt() {
            return None;
        }
        if let Some(time) = host::standstill_since(self.began()) {
            let seconds = time.as_secs_f64();
            return Some(format!("while this machine stood still for {seconds:.1} s"));
        }
        if let Some((waited, ran)) = self.runtime.block_on(self.setup.bench.starved()) {
            let (waited, ran) = (waited.as_secs_f64(), ran.as_secs_f64());
            return Some(format!(
                "while what provides the device waited {waited:.1} s for a processor of this machine, and ran for {ran:.1} s"
            ));
        }
        if proof > SLOW {
            let seconds = proof.as_secs_f64();
            return Some(format!(
                "on a bench that took {seconds:.1} s to prove itself sound"
            ));
        }
        let unit = self.running().spoiled.clone()?;
        Some(format!("after the bench had spoiled unit {unit}"))
    }

    fn proven<T>(&self, proof: impl Future<Output = Result<T, BenchError>>) -> Result<T, Unproven> {
        let limit = self.limit();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                proven = proof => proven.map_err(|error| Unproven::Fault(explain(&error))),
                () = limit.interrupted_for(GRACE) => Err(Unproven::Interrupted),
                () = tokio::time::sleep(HEALTH_LIMIT) => Err(Unproven::Fault(format!(
                    "the bench did not prove itself sound within {} s",
                    HEALTH_LIMIT.as_secs()
                ))),
            }
        })
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
        if !leaves_alone(name) {
            *self.connection() = None;
        }
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
        // To the microsecond.
        let seconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e6;
        let at = started.begin.saturating_duration_since(self.setup.origin);
        let unit = self.running().unit.clone();
        (self.setup.sink)(Step {
            number: started.seq,
            unit,
            name: name.to_owned(),
            arguments: show::clean(arguments),
            result: show::clean(if error.is_none() {
                note.result
            } else {
                Json::Null
            }),
            error: error.map(|e| show::plain(e, show::MESSAGE)),
            at: seconds(at),
            seconds: seconds(started.begin.elapsed()),
            artefacts: note.artefacts,
        });
    }

    /// Judges why a script ended.
    pub(super) fn judge(&self, stop: &Stop) -> Judged {
        let judged = |end, message: &str| Judged {
            end,
            message: message.to_owned(),
            doubt: None,
        };
        match stop {
            Stop::Fail(message) => self.blame(message, false),
            Stop::Silent(message) => self.blame(message, true),
            Stop::Inconclusive(message) => {
                let bench = &self.setup.bench;
                match self.proven(bench.network_health_since(self.began())) {
                    Ok(()) => judged(End::Inconclusive, message),
                    Err(unproven) => Self::excused(message, &unproven),
                }
            }
            Stop::Missed(message) => Judged {
                doubt: Some("while this machine stood still".to_owned()),
                ..judged(End::Fault(Fault::Bench), message)
            },
            Stop::Bench(message) => judged(End::Fault(Fault::Bench), message),
            Stop::Script(message) => judged(End::Fault(Fault::Script), message),
            Stop::Cut => judged(End::Fault(Fault::Script), &stop.to_string()),
            Stop::Stopped(Stopped::Interrupted) => {
                judged(End::Fault(Fault::Operator), &stop.to_string())
            }
            // Whether bench, script or device was too slow for it, another attempt may be quicker.
            Stop::Stopped(Stopped::Deadline) => judged(End::Fault(Fault::Bench), &stop.to_string()),
        }
    }

    /// A FAIL counts only if the whole bench was sound all the time.
    fn blame(&self, message: &str, is_silent: bool) -> Judged {
        let since = self.began();
        if let (true, true, Some(time)) =
            (is_silent, self.may_doubt(), host::standstill_since(since))
        {
            return Judged {
                end: End::Fault(Fault::Bench),
                message: missed(message, time),
                doubt: self.doubt(Duration::ZERO),
            };
        }
        let bench = &self.setup.bench;
        // A production sample may have no debug port any more.
        let has_debug_port = self.given.sample != Some(Sample::Production);
        let begin = Instant::now();
        let proof = async {
            let remark = bench.sound_since(since).await?;
            if is_silent {
                bench.lets_answer(has_debug_port).await?;
            }
            Ok(remark)
        };
        match self.proven(proof) {
            Ok(remark) => Judged {
                end: End::Fault(Fault::Device),
                message: match remark {
                    // Silence says it already.
                    Some(remark) if !is_silent => format!("{message}; {remark}"),
                    _ => message.to_owned(),
                },
                doubt: self.doubt(begin.elapsed()),
            },
            Err(unproven) => Self::excused(message, &unproven),
        }
    }

    /// The bench was not sound.
    fn excused(message: &str, unproven: &Unproven) -> Judged {
        let (fault, why) = match unproven {
            Unproven::Fault(why) => (Fault::Bench, why.as_str()),
            Unproven::Interrupted => (Fault::Operator, "interrupted"),
        };
        Judged {
            end: End::Fault(fault),
            message: format!("{message}; but: {why}"),
            doubt: None,
        }
    }

    /// Why a unit or a call into the driver that would have passed does not: what it did not see, it could not have seen.
    pub(super) fn unseen(&self) -> Option<UnitEnd> {
        let bench = &self.setup.bench;
        let since = self.began();
        let (has_listened, has_heard_nothing) = {
            let running = self.running();
            (running.has_listened, running.has_heard_nothing)
        };
        let proof = async {
            bench.network_health_since(since).await?;
            if has_listened {
                bench.heard_since(since)?;
            }
            if has_heard_nothing {
                bench.is_powered_as_left().await?;
            }
            Ok(())
        };
        let unproven = self.proven(proof).err()?;
        let Judged { end, message, .. } = Self::excused("it would have passed", &unproven);
        Some(UnitEnd::new(end, show::plain(&message, show::MESSAGE)))
    }
}

/// Whether a step can have no part in what becomes of connections to the DUT.
fn leaves_alone(step: &str) -> bool {
    let others = ["expect", "log", "random", "services.mark", "services.since"];
    step == "net.request" || step.starts_with("console.") || others.contains(&step)
}

/// What the DUT did may have gone unheard.
fn missed(message: &str, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    format!(
        "{message}; but: this machine stood still for {seconds:.1} s meanwhile, and may have missed what the device did"
    )
}

/// What bench, driver and device offer.
fn offer(setup: &Setup) -> Offer {
    let capabilities = setup.bench.capabilities();
    let functions = setup.driver.functions();
    Offer::of(&setup.device, capabilities, functions, &setup.siblings)
}
