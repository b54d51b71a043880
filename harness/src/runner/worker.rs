//! One device's part of a run, on a thread of its own.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::dut::{Dut, Preparation, Unprepared};
use super::lease::Lease;
use super::panics::caught;
use super::plan::{DevicePlan, PlannedCase};
use super::{Events, Options};
use crate::bench::BenchLogs;
use crate::event::{Event, Outcome, Skip, SkipKind, Step, UnitResult};
use crate::evidence::{CaseEvidence, EvidenceError, JsonLines, RunDir};
use crate::report::text::excerpt;
use crate::script::{Case, Limit, Session, Setup};
use crate::standard::{CaseId, Verdict};

pub(super) struct Worker<'a> {
    pub(super) plan: &'a DevicePlan<'a>,
    pub(super) dir: &'a RunDir,
    pub(super) options: &'a Options,
    pub(super) runtime: &'a Handle,
    /// What times in the evidence count from.
    pub(super) origin: Instant,
    pub(super) events: Events,
}

impl Worker<'_> {
    /// Runs all cases of the plan. Whatever happens, each has a result and the device is told
    /// finished.
    pub(super) fn run(&self) {
        let began = Instant::now();
        let device = self.device();
        self.events.send(Event::DeviceStarted {
            device: device.clone(),
            cases: self.plan.run.len(),
        });
        let done = Cell::new(0);
        let ended = match caught(|| self.run_cases(&done)) {
            Ok(Ok(())) => None,
            Ok(Err(message)) | Err(message) => Some(message),
        };
        if let Some(message) = ended {
            self.lose(&self.plan.run[done.get()..], &message);
            self.events.send(Event::DeviceError {
                device: device.clone(),
                message,
            });
        }
        self.events.send(Event::DeviceFinished {
            device,
            seconds: began.elapsed().as_secs_f64(),
        });
    }

    /// Runs case after case; `done` counts those that have a result. An error ends the device's
    /// part, the bench being unusable.
    fn run_cases(&self, done: &Cell<usize>) -> Result<(), String> {
        if self.plan.run.is_empty() {
            return Ok(());
        }
        let Some(_lease) = self.lease()? else {
            self.skip_rest(0);
            done.set(self.plan.run.len());
            return Ok(());
        };
        let logs = BenchLogs {
            console: self.device_folder()?.join("console.log"),
            origin: self.origin,
            network: Some(self.device_folder()?),
        };
        let mut open: Option<Dut> = None;
        for (n, planned) in self.plan.run.iter().enumerate() {
            if self.options.interrupt.is_stopped() {
                self.skip_rest(n);
                done.set(self.plan.run.len());
                break;
            }
            let mut dut = if let Some(dut) = open.take() {
                dut
            } else {
                self.progress("opening the bench");
                Dut::open(self, &logs)?
            };
            self.run_case(&mut dut, planned);
            done.set(n + 1);
            if self.runtime.block_on(dut.bench.health()).is_ok() {
                open = Some(dut);
            } else {
                self.close(dut);
            }
        }
        if let Some(dut) = open {
            self.close(dut);
        }
        Ok(())
    }

    fn close(&self, dut: Dut) {
        self.progress("leaving the device in order");
        if let Err(message) = dut.close(self) {
            self.events.send(Event::DeviceError {
                device: self.device(),
                message,
            });
        }
    }

    /// None if the run was interrupted while waiting.
    fn lease(&self) -> Result<Option<Lease>, String> {
        if self.options.wait.is_some() {
            self.progress("waiting for the device");
        }
        let name = &self.plan.device.name;
        let purpose = format!("provebench run {}", self.dir.id());
        let acquire = Lease::acquire(name, &purpose, self.options.wait);
        let leased = self.runtime.block_on(async {
            tokio::select! {
                leased = acquire => Some(leased),
                () = self.options.interrupt.token.cancelled() => None,
            }
        });
        leased.transpose().map_err(|e| explain(&e))
    }

    pub(super) fn device_folder(&self) -> Result<PathBuf, String> {
        self.dir
            .device(&self.plan.device.name)
            .map_err(|e| explain(&e))
    }

    fn run_case(&self, dut: &mut Dut, planned: &PlannedCase<'_>) {
        let began = Instant::now();
        let case = planned.case;
        self.events.send(Event::CaseStarted {
            device: self.device(),
            case: case.id.clone(),
        });
        let verdict;
        let mut kept = None;
        match self.evidence(case) {
            Err(error) => {
                verdict = Some(self.lose_units(case, Outcome::Error, &explain(&error)));
            }
            Ok((evidence, steps)) => {
                let recorder = Recorder::new(self, &case.id, steps);
                verdict = self.run_units(dut, planned, &evidence, &recorder);
                kept = Some(evidence);
            }
        }
        let relative = |evidence: &CaseEvidence| {
            let dir = evidence.dir();
            dir.strip_prefix(self.dir.path())
                .unwrap_or(dir)
                .display()
                .to_string()
        };
        self.events.send(Event::CaseFinished {
            device: self.device(),
            case: case.id.clone(),
            verdict,
            seconds: began.elapsed().as_secs_f64(),
            evidence: kept.as_ref().map(relative),
            files: kept
                .and_then(|evidence| evidence.files().ok())
                .unwrap_or_default(),
        });
    }

    fn evidence(&self, case: &Case) -> Result<(CaseEvidence, JsonLines), EvidenceError> {
        let name = &self.plan.device.name;
        let evidence = self.dir.case(name, &case.id.to_string())?;
        let steps = evidence.steps()?;
        Ok((evidence, steps))
    }

    fn run_units(
        &self,
        dut: &mut Dut,
        planned: &PlannedCase<'_>,
        evidence: &CaseEvidence,
        recorder: &Recorder<'_>,
    ) -> Option<Verdict> {
        let case = planned.case;
        let log_mark = dut.log_mark();
        let sink = |step| recorder.record(step);
        let setup = Setup {
            bench: &dut.bench,
            device: self.plan.device,
            siblings: &self.plan.siblings,
            driver: &self.plan.driver,
            attestations: self
                .options
                .attestations
                .as_ref()
                .unwrap_or(&self.plan.attestations),
            evidence,
            sink: &sink,
            origin: self.origin,
            seed: self.seed(&case.id),
        };
        let session = Session::new(setup, self.runtime.clone());
        let preparation = Preparation {
            worker: self,
            bench: &dut.bench,
            session: &session,
            sink: &sink,
        };
        let mut known = dut.known;
        let prepared = caught(|| preparation.prepare(&mut known, planned));

        let mut verdicts = Vec::new();
        let mut stopped = None;
        match prepared {
            Err(bug) => verdicts.push(self.lose_units(case, Outcome::Error, &bug)),
            Ok(Err(Unprepared::Interrupted)) => stopped = Some(0),
            Ok(Err(Unprepared::Failed(outcome, message))) => {
                verdicts.push(self.lose_units(case, outcome, &message));
            }
            Ok(Ok(())) => {
                let limit = Limit::new(case.deadline, self.options.interrupt.token.clone());
                for (n, unit) in case.units.iter().enumerate() {
                    let Some(mut result) = self.run_unit(dut, &session, &limit, case, unit.letter)
                    else {
                        stopped = Some(n);
                        break;
                    };
                    recorder.overrule(&mut result);
                    // It may have ended in the middle of an outage: the next one is not to be blamed for that.
                    if result.outcome != Outcome::Pass
                        && let Err(error) = self.runtime.block_on(dut.bench.restore_network())
                    {
                        tracing::warn!(device = self.device(), %error, "the network is not as before");
                    }
                    verdicts.push(result.outcome.verdict());
                    self.finish_unit(case, result);
                }
            }
        }
        if let Some(n) = stopped {
            let left = case.units[n..].iter();
            let left: Vec<String> = left.map(|u| u.letter.to_string()).collect();
            let left = left.join(", ");
            self.skip(&case.id, format!("interrupted: no outcome of unit {left}"));
            verdicts.push(Verdict::Inconclusive);
        }
        let log = evidence.dir().join("console.log");
        if let Err(message) = dut.keep_log(self, log_mark, &log) {
            self.events.send(Event::DeviceError {
                device: self.device(),
                message,
            });
        }
        dut.known = known;
        dut.finish(planned);
        Verdict::fold(verdicts)
    }

    /// The same for the same run's seed, whatever else runs.
    fn seed(&self, case: &CaseId) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.options.seed.to_le_bytes());
        hash.update(format!("{}/{case}", self.plan.device.name));
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
        session: &Session<'_>,
        limit: &Limit,
        case: &Case,
        unit: char,
    ) -> Option<UnitResult> {
        if self.options.interrupt.is_stopped() {
            return None;
        }
        self.events.send(Event::UnitStarted {
            device: self.device(),
            case: case.id.clone(),
            unit,
        });
        if limit.left().is_zero() {
            let message = format!(
                "not started: the case's deadline of {} s had passed",
                case.deadline.as_secs_f64()
            );
            return Some(UnitResult::without_script(unit, Outcome::Error, &message));
        }
        let began = Instant::now();
        let mark = dut.console_mark();
        let result = match caught(|| session.run_unit(case, unit, limit)) {
            Err(bug) => UnitResult::without_script(unit, Outcome::Error, &bug),
            Ok(result) if result.interrupted => return None,
            Ok(result) => UnitResult {
                unit,
                outcome: result.outcome,
                message: (!result.message.is_empty()).then_some(result.message),
                at: result.at.map(|at| at.to_string()),
                stack: result.stack,
                seconds: 0.0,
                console: None,
            },
        };
        Some(UnitResult {
            seconds: began.elapsed().as_secs_f64(),
            console: excerpt(&dut.console_since(mark)),
            ..result
        })
    }

    /// Gives each unit of each case an ERROR: the bench can't be used.
    fn lose(&self, cases: &[PlannedCase<'_>], message: &str) {
        for planned in cases {
            let case = planned.case;
            self.events.send(Event::CaseStarted {
                device: self.device(),
                case: case.id.clone(),
            });
            let verdict = self.lose_units(case, Outcome::Error, message);
            self.events.send(Event::CaseFinished {
                device: self.device(),
                case: case.id.clone(),
                verdict: Some(verdict),
                seconds: 0.0,
                evidence: None,
                files: Vec::new(),
            });
        }
    }

    fn lose_units(&self, case: &Case, outcome: Outcome, message: &str) -> Verdict {
        for unit in &case.units {
            let result = UnitResult::without_script(unit.letter, outcome, message);
            self.finish_unit(case, result);
        }
        outcome.verdict()
    }

    fn finish_unit(&self, case: &Case, result: UnitResult) {
        self.events.send(Event::UnitFinished {
            device: self.device(),
            case: case.id.clone(),
            result,
        });
    }

    fn skip_rest(&self, from: usize) {
        for planned in &self.plan.run[from..] {
            self.skip(&planned.case.id, "the run was interrupted before".into());
        }
    }

    fn skip(&self, case: &CaseId, reason: String) {
        self.events.send(Event::CaseSkipped {
            device: self.device(),
            case: case.clone(),
            skip: Skip {
                kind: SkipKind::Interrupted,
                reason,
            },
        });
    }

    pub(super) fn progress(&self, text: &str) {
        self.events.send(Event::Progress {
            device: self.device(),
            text: text.to_owned(),
        });
    }

    fn device(&self) -> String {
        self.plan.device.name.clone()
    }
}

/// Keeps the steps of one case, and shows them to those who watch.
struct Recorder<'a> {
    worker: &'a Worker<'a>,
    case: &'a CaseId,
    steps: RefCell<JsonLines>,
    lost: RefCell<Option<EvidenceError>>,
}

impl<'a> Recorder<'a> {
    fn new(worker: &'a Worker<'a>, case: &'a CaseId, steps: JsonLines) -> Self {
        Self {
            worker,
            case,
            steps: RefCell::new(steps),
            lost: RefCell::new(None),
        }
    }

    fn record(&self, step: Step) {
        if let Err(error) = self.steps.borrow_mut().append(&step) {
            self.lost.borrow_mut().get_or_insert(error);
        }
        self.worker.events.send(Event::Step {
            device: self.worker.device(),
            case: self.case.clone(),
            step,
        });
    }

    /// A verdict whose evidence is not kept proves nothing.
    fn overrule(&self, result: &mut UnitResult) {
        if let Some(error) = self.lost.borrow_mut().take() {
            let was = result.outcome;
            result.outcome = Outcome::Error;
            result.message = Some(format!("{} (was {was})", explain(&error)));
        }
    }
}

impl UnitResult {
    fn without_script(unit: char, outcome: Outcome, message: &str) -> Self {
        Self {
            unit,
            outcome,
            message: Some(message.to_owned()),
            at: None,
            stack: Vec::new(),
            seconds: 0.0,
            console: None,
        }
    }
}

/// An error with its causes and what to do about it, on one line.
pub(super) fn explain(error: &dyn miette::Diagnostic) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let source_text = source.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&source_text) {
            let _ = write!(text, ": {source_text}");
        }
        cause = source.source();
    }
    if let Some(help) = error.help() {
        let _ = write!(text, " (help: {help})");
    }
    text
}
