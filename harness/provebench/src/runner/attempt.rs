//! One attempt at a case: preparation, units, evidence.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::dut::{Dut, Preparation, Provisioned, SetupError};
use super::gather::Events;
use super::panics::caught;
use super::plan::PlannedCase;
use super::worker::Worker;
use provebench_record::bounded::{Mark, size};
use provebench_record::event::{Attempt, End, Event, Fault, Outcome, SkipKind, Step, UnitResult};
use provebench_record::evidence::{BoundedLines, CONSOLE, CaseEvidence, EvidenceError};
use provebench_record::explain::explain;
use provebench_record::text::excerpt;
use provebench_script::{Case, Given, Limit, Session, Setup, Sink, UnitRun};
use provebench_standard::{CaseId, UnitName};

/// What the bench could not do, in one line.
#[derive(Debug)]
pub(super) struct BenchFault(pub(super) String);

/// How an attempt ended, as far as that decides on another one.
#[derive(Debug, Default)]
pub(super) struct AttemptEnd {
    /// What the bench could not do: another attempt may do better.
    pub(super) fault: Option<BenchFault>,
    /// A unit has failed, beyond doubt.
    pub(super) has_failed: bool,
    /// Units whose outcome may be the bench's doing; a FAIL of these has to be repeated.
    pub(super) doubted: BTreeSet<UnitName>,
    pub(super) is_in_doubt: bool,
    /// A unit has broken off, and may have left the device anyhow.
    has_broken_off: bool,
    /// The last unit's result, where the end of the case follows at once: both are told together.
    last: Option<UnitResult>,
}

impl AttemptEnd {
    /// Whether another attempt may make up for it.
    pub(super) fn is_spoiled(&self) -> bool {
        self.fault.is_some() && !self.has_failed
    }

    fn take(&mut self, result: &UnitResult) {
        let is_fail = result.outcome == Outcome::Fail;
        self.has_failed |= is_fail && result.doubt.is_none();
        self.is_in_doubt |= is_fail && result.doubt.is_some();
        self.has_broken_off |= result.counting() == Outcome::Error;
        if result.doubt.is_some() {
            self.doubted.insert(result.unit.clone());
        }
    }
}

/// What is known before an attempt at a case.
pub(super) struct Before<'a> {
    pub(super) attempt: Attempt,
    /// No error of the bench is made up for any more.
    pub(super) is_last: bool,
    /// Units that were in doubt before.
    pub(super) doubted: &'a BTreeSet<UnitName>,
    /// Rows that attempts which were cut short have decided: they are not run again.
    pub(super) decided: &'a BTreeSet<UnitName>,
}

// Generous: these only end what would hang.
const RESTORING: Duration = Duration::from_mins(1);
const ASKING: Duration = Duration::from_secs(20);
/// Equipment that was away comes back within this time, or the rest of the attempt is lost.
const COMING_BACK: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_secs(1);

impl Worker<'_> {
    /// Brings the DUT into the state that a case needs, and runs its units. What the bench spoils is tried again unless
    /// the attempt `is_last`.
    pub(super) fn attempt(
        &self,
        dut: &mut Dut,
        planned: &PlannedCase<'_>,
        before: &Before<'_>,
    ) -> AttemptEnd {
        let attempt = before.attempt;
        let began = Instant::now();
        let lost_before = dut.bench.losses();
        let case = planned.case;
        let relative = |evidence: &CaseEvidence| {
            let dir = evidence.dir();
            dir.strip_prefix(self.dir.path())
                .unwrap_or(dir)
                .display()
                .to_string()
        };
        let opened = self.evidence(case);
        let folder = opened.as_ref().ok().map(|(evidence, _)| relative(evidence));
        self.events.send(Event::CaseStarted {
            device: self.device(),
            case: case.id.clone(),
            attempt,
            evidence: folder.clone(),
        });
        let mut ended = AttemptEnd::default();
        let mut kept = None;
        match opened {
            Err(error) => {
                let message = explain(&error);
                self.lose_units(planned, End::Fault(Fault::Bench), &message);
                ended.fault = Some(BenchFault(message));
            }
            Ok((evidence, steps)) => {
                let recorder = Arc::new(Recorder::new(self, &case.id, steps));
                self.run_units(dut, planned, before, (&evidence, &recorder), &mut ended);
                kept = Some(evidence);
            }
        }
        let device = self.device();
        let mut events = Vec::new();
        if let Some(result) = ended.last.take() {
            events.push(self.unit_finished(case, result));
        }
        let losses = dut.bench.losses().since(&lost_before);
        if !losses.is_empty() {
            events.push(Event::NotSeen {
                device: self.device(),
                case: case.id.clone(),
                losses: losses
                    .iter()
                    .map(|(loss, count)| (loss.word().to_owned(), count))
                    .collect(),
            });
        }
        match dut.keep_network(self.dir) {
            Ok(files) => events.extend(self.evidence_kept(Some(&case.id), files)),
            Err(message) => self.told(Err(message)),
        }
        events.push(Event::CaseFinished {
            device,
            case: case.id.clone(),
            seconds: began.elapsed().as_secs_f64(),
            evidence: folder,
            files: kept
                .and_then(|evidence| evidence.files().ok())
                .unwrap_or_default(),
            will_retry: ended.is_in_doubt || (ended.is_spoiled() && !before.is_last),
        });
        self.events.send_together(events);
        ended
    }

    fn evidence(&self, case: &Case) -> Result<(CaseEvidence, BoundedLines), EvidenceError> {
        let name = &self.plan.device.name;
        let secrets = self.events.secrets().clone();
        let evidence = self.dir.case(name, &case.id.to_string())?;
        let evidence = evidence.named_by(move |name| secrets.black_out(name).into_owned());
        let steps = evidence.steps(self.options.log_limit.of_case())?;
        Ok((evidence, steps))
    }

    fn run_units(
        &self,
        dut: &mut Dut,
        planned: &PlannedCase<'_>,
        before: &Before<'_>,
        (evidence, recorder): (&CaseEvidence, &Arc<Recorder>),
        ended: &mut AttemptEnd,
    ) {
        let case = planned.case;
        self.told(dut.begin_log(&evidence.dir().join(CONSOLE)));
        let steps = recorder.clone();
        let sink: Sink = Arc::new(move |step| steps.record(step));
        let attestations = self.options.attestations.as_ref();
        let setup = Setup {
            bench: dut.bench.clone(),
            device: self.plan.device.clone(),
            siblings: self.plan.siblings.clone(),
            driver: self.plan.driver.clone(),
            memory: dut.memory.clone(),
            attestations: attestations.map_or_else(
                || self.plan.attestations.clone(),
                |replaced| Arc::new(replaced.clone()),
            ),
            evidence: evidence.clone(),
            sink: sink.clone(),
            origin: self.origin,
            seed: self.seed(&case.id, before.attempt.round),
        };
        let given = Given {
            doubted: before.doubted.clone(),
            is_retry: before.attempt.retry > 0,
            sample: planned.sample,
        };
        let session = Session::after(given, setup, self.runtime.clone());
        let preparation = Preparation {
            worker: self,
            bench: &dut.bench,
            session: &session,
            sink: &sink,
        };
        let mut known = dut.known;
        let prepared = caught(|| preparation.prepare(&mut known, planned));

        let mut stopped = None;
        match prepared {
            Err(bug) => self.lose_units(planned, End::Fault(Fault::Script), &bug),
            Ok(Err(SetupError::Interrupted)) => stopped = Some(0),
            Ok(Err(SetupError::Failed { end, message })) => {
                self.lose_units(planned, end, &message);
                ended.fault = end.is_spoiled().then_some(BenchFault(message));
            }
            Ok(Ok(())) => {
                let mut limit = Limit::new(case.deadline, self.options.interrupt.token().clone());
                let mut spoiled: Option<String> = None;
                let runs = &planned.runs;
                for (n, run) in runs.iter().enumerate() {
                    let unit = &run.name;
                    let letter = unit.letter;
                    if before.decided.contains(unit) || self.leave_out(planned, unit) {
                        continue;
                    }
                    let ran = match &spoiled {
                        None => self.run_unit(dut, &session, &limit, case, run),
                        Some(fault) => {
                            let end = End::Fault(Fault::Bench);
                            Some(UnitResult::without_script(unit.clone(), end, fault))
                        }
                    };
                    let Some(mut result) = ran else {
                        stopped = Some(n);
                        break;
                    };
                    recorder.overrule(&mut result);
                    let is_spoiled = result.is_spoiled();
                    if is_spoiled {
                        ended.fault = result.message.clone().map(BenchFault);
                    }
                    hold_back(planned, &mut result);
                    ended.take(&result);
                    // It may have ended in the middle of an outage: the next one is not to be blamed for that.
                    if result.outcome != Outcome::Pass && spoiled.is_none() {
                        let restoring = dut.bench.restore_network();
                        let restored = self.within(RESTORING, "restore the network", restoring);
                        spoiled = restored.err().map(|error| {
                            format!("the network is not as it was before unit {unit}: {error}")
                        });
                    }
                    let is_last = n + 1 == runs.len();
                    // A bench that has to be put in order or waited for may take its time: the verdict does not.
                    if is_last && result.outcome == Outcome::Pass {
                        ended.last = Some(result);
                        break;
                    }
                    let has_passed = result.outcome == Outcome::Pass;
                    self.finish_unit(case, result);
                    // What is away is waited for by the next attempt, too.
                    let goes_on = !is_last || !before.is_last;
                    if is_spoiled && spoiled.is_none() && goes_on {
                        spoiled = self.await_sound(dut, &limit).err().map(|error| {
                            format!("the bench is not sound after unit {unit}: {error}")
                        });
                    }
                    // An image that nobody should start may wait in it, or run: that is this unit's, and not the next one's.
                    // What is installed for one row is not there for the next: each row is as the first.
                    let next = runs.get(n + 1);
                    let is_for_next_row = next.is_some_and(|next| next.name.letter == letter);
                    let left = limit.left();
                    let goes_on = !is_last && !left.is_zero();
                    let may_differ = case.alters_firmware && (!has_passed || is_for_next_row);
                    if may_differ && goes_on && spoiled.is_none() {
                        known = Provisioned::default();
                        match caught(|| preparation.prepare(&mut known, planned)) {
                            Ok(Ok(())) => {}
                            Ok(Err(SetupError::Interrupted)) => {
                                stopped = Some(n + 1);
                                break;
                            }
                            Ok(Err(SetupError::Failed { message, .. })) | Err(message) => {
                                spoiled = Some(format!(
                                    "the device could not be set up afresh after unit {unit}: {message}"
                                ));
                            }
                        }
                        limit = limit.renewed(left);
                    }
                }
            }
        }
        if let Some(n) = stopped {
            let left = planned.runs[n..].iter();
            let left = left.filter(|run| !before.decided.contains(&run.name));
            let left: Vec<String> = left.map(|run| run.name.to_string()).collect();
            let left = left.join(", ");
            let reason = format!("interrupted: no outcome of unit {left}");
            self.skip(&case.id, SkipKind::Interrupted, &reason);
        }
        self.told(dut.end_log());
        self.told(recorder.finish().map_err(|error| explain(&error)));
        dut.known = known;
        dut.finish(planned, ended.has_broken_off);
    }

    /// Tells what could not be kept.
    fn told(&self, kept: Result<(), String>) {
        if let Err(message) = kept {
            self.events.send(Event::DeviceError {
                device: self.device(),
                message,
            });
        }
    }

    /// Waits until the bench is sound: else the next unit would be blamed for what is still away.
    fn await_sound(&self, dut: &Dut, limit: &Limit) -> Result<(), String> {
        let deadline = Instant::now() + COMING_BACK.min(limit.left());
        let mut told = false;
        loop {
            let now = Instant::now();
            let asking = dut.bench.sound_since(now);
            let asked = self
                .runtime
                .block_on(async { tokio::time::timeout(ASKING, asking).await });
            let (fault, is_final) = match asked {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => (explain(&error), error.is_final()),
                Err(_) => (format!("no answer for {} s", ASKING.as_secs()), false),
            };
            // Who has stopped the run does not wait for it; the units that are left are not run anyway.
            if self.options.interrupt.is_stopped() {
                return Ok(());
            }
            if is_final || Instant::now() >= deadline {
                return Err(fault);
            }
            if !told {
                self.progress(&format!("waiting for the bench: {fault}"));
                told = true;
            }
            let stop = self.options.interrupt.token().cancelled();
            let _ = self
                .runtime
                .block_on(async { tokio::time::timeout(LOOK, stop).await });
        }
    }

    /// The same for the same run's seed, whatever else runs.
    fn seed(&self, case: &CaseId, round: u32) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.options.settings.seed.to_le_bytes());
        hash.update(format!("{}/{case}", self.plan.device.name));
        if round > 1 {
            hash.update(format!("/{round}"));
        }
        let digest = hash.finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }

    /// None if it was interrupted.
    fn run_unit(
        &self,
        dut: &Dut,
        session: &Arc<Session>,
        limit: &Limit,
        case: &Case,
        run: &UnitRun,
    ) -> Option<UnitResult> {
        let unit = &run.name;
        if self.options.interrupt.is_stopped() {
            return None;
        }
        self.events.send(Event::UnitStarted {
            device: self.device(),
            case: case.id.clone(),
            unit: unit.clone(),
        });
        if limit.left().is_zero() {
            let message = format!(
                "not started: the case's deadline of {} s had passed",
                case.deadline.as_secs_f64()
            );
            let end = End::Fault(Fault::Bench);
            return Some(UnitResult::without_script(unit.clone(), end, &message));
        }
        let limit = &match self.options.unit_deadline {
            Some(deadline) => limit.renewed(limit.left().min(deadline)),
            None => limit.clone(),
        };
        let began = Instant::now();
        let mark = dut.console_mark();
        let mut result = match caught(|| session.run(case, run, limit)) {
            Err(bug) => UnitResult::without_script(unit.clone(), End::Fault(Fault::Script), &bug),
            Ok(result) if result.end.is_interrupted() => return None,
            Ok(result) => UnitResult {
                unit: unit.clone(),
                outcome: result.end.outcome(),
                fault: result.end.fault_of_error(),
                message: (!result.message.is_empty()).then_some(result.message),
                doubt: result.doubt,
                at: result.at.map(|at| at.to_string()),
                stack: result.stack,
                seconds: 0.0,
                notes: Vec::new(),
                console: None,
            },
        };
        result.notes.extend(dut.left_out());
        Some(UnitResult {
            seconds: began.elapsed().as_secs_f64(),
            console: excerpt(&dut.console_since(mark)),
            ..result
        })
    }
}

/// Takes a PASS for what it is where a unit could not try all that it takes: INCONCLUSIVE, with what is missing.
fn hold_back(planned: &PlannedCase<'_>, result: &mut UnitResult) {
    if result.outcome != Outcome::Pass {
        return;
    }
    if let Some(lacking) = planned.lacks.to_pass.get(&result.unit.letter) {
        result.outcome = Outcome::Inconclusive;
        result.message = Some(format!("what could be tried passed; but {lacking}"));
    }
}

/// Keeps the steps of one case, and shows them to those who watch.
struct Recorder {
    events: Events,
    device: String,
    case: CaseId,
    steps: Mutex<BoundedLines>,
    lost: Mutex<Option<EvidenceError>>,
}

impl Recorder {
    fn new(worker: &Worker<'_>, case: &CaseId, steps: BoundedLines) -> Self {
        Self {
            events: worker.events.clone(),
            device: worker.device(),
            case: case.clone(),
            steps: Mutex::new(steps),
            lost: Mutex::new(None),
        }
    }

    fn record(&self, mut step: Step) {
        self.events.black_out(&mut step);
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = steps.append(&step, left_out_step) {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.get_or_insert(error);
        }
        self.events.send(Event::Step {
            device: self.device.clone(),
            case: self.case.clone(),
            step,
        });
    }

    /// Writes what is kept of the end, should the steps have been too many.
    fn finish(&self) -> Result<(), EvidenceError> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.finish(left_out_step)
    }

    /// A verdict whose evidence is not kept proves nothing; one of which the middle is left out says so.
    fn overrule(&self, result: &mut UnitResult) {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = steps.left_out();
        if left_out.records > 0 {
            result.notes.push(format!(
                "steps.jsonl is not whole: {} steps were left out so far, for its limit of {} (log_limit in devices.toml)",
                left_out.records,
                size(steps.limit()),
            ));
        }
        drop(steps);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = lost.take() {
            let was = result.outcome;
            result.outcome = Outcome::Error;
            result.fault = Some(Fault::Bench);
            result.message = Some(format!("{} (was {was})", explain(&error)));
        }
    }
}

/// Stands where steps were left out.
fn left_out_step(mark: Mark) -> Step {
    let result = match mark {
        Mark::Begins => json!({ "from": "here on" }),
        Mark::Here(left_out) => json!({ "steps": left_out.records, "bytes": left_out.bytes }),
    };
    Step {
        number: 0,
        unit: None,
        name: "left_out".into(),
        arguments: Value::Null,
        result,
        error: None,
        at: 0.0,
        seconds: 0.0,
        artefacts: Vec::new(),
    }
}
