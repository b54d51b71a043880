//! One device's part of a run, on a thread of its own.

use std::cell::RefCell;
use std::fs;
use std::future;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::attempt::{Before, BenchFault};
use super::dut::Dut;
use super::gather::Events;
use super::lease::Lease;
use super::options::Options;
use super::panics::caught;
use super::plan::{DevicePlan, PlannedCase};
use super::queue::{Item, Queue};
use provebench_bench::{BenchLogs, BenchOptions, Claim, NetworkOptions};
use provebench_record::event::{Attempt, End, Event, Fault, KeptFile, SkipKind, UnitResult};
use provebench_record::evidence::RunDir;
use provebench_record::explain::explain;
use provebench_script::Case;
use provebench_standard::{CaseId, UnitName};

pub(super) struct Worker<'a> {
    pub(super) plan: &'a DevicePlan<'a>,
    pub(super) queue: Arc<Queue>,
    pub(super) dir: &'a RunDir,
    pub(super) options: &'a Options,
    pub(super) runtime: &'a Handle,
    /// What times in the evidence count from.
    pub(super) origin: Instant,
    pub(super) events: Events,
    /// What it is at: to be accounted for if that ends in an error.
    pub(super) current: RefCell<Option<(CaseId, Attempt)>>,
}

const BEFORE: &str = "the run was interrupted before";

/// Equipment that was just unplugged or reset needs a moment to come back.
const RECOVERY: Duration = Duration::from_secs(1);

impl Worker<'_> {
    /// Runs the cases that the queue has for the device. Whatever happens, each has a result and the device is told
    /// finished.
    pub(super) fn run(&self) {
        let began = Instant::now();
        self.events.send(Event::DeviceStarted {
            device: self.device(),
            cases: self.queue.remaining(&self.plan.device.name),
        });
        let ended = match caught(|| self.run_cases()) {
            Ok(Ok(())) => None,
            Ok(Err(message)) | Err(message) => Some(message),
        };
        let left = self.queue.withdraw(&self.plan.device.name);
        if let Some(message) = ended {
            self.abandon(&left, &message);
            self.events.send(Event::DeviceError {
                device: self.device(),
                message,
            });
        }
        self.events.send(Event::DeviceFinished {
            device: self.device(),
            seconds: began.elapsed().as_secs_f64(),
        });
    }

    /// Accounts for what the device did not get to, the bench being unusable. One case has an ERROR for it, so that each
    /// report tells it: the one that was under way, else the first. The others are left to whoever goes on with the run.
    fn abandon(&self, left: &[Item], message: &str) {
        let next = || {
            let item = left.first()?;
            let round = *item.rounds.start();
            let retry = self.plan.begun(&item.case).in_round(round).attempts;
            Some((item.case.clone(), Attempt { round, retry }))
        };
        let Some((lost, attempt)) = self.current.take().or_else(next) else {
            return;
        };
        self.lose(&lost, attempt, message);
        let (kind, reason) = if self.options.interrupt.is_stopped() {
            (SkipKind::Interrupted, BEFORE.to_owned())
        } else {
            let reason = format!("the bench could not be used: {message}");
            (SkipKind::Quarantined, reason)
        };
        for item in left {
            if item.case != lost || *item.rounds.end() > attempt.round {
                self.skip(&item.case, kind, &reason);
            }
        }
    }

    /// Runs case after case. An error ends the device's part, the bench being unusable.
    fn run_cases(&self) -> Result<(), String> {
        let name = &self.plan.device.name;
        if self.queue.remaining(name) == 0 && !self.plan.was_left {
            return Ok(());
        }
        let Some(lease) = self.lease()? else {
            // Nothing, if others have taken all of it.
            self.skip_all(SkipKind::Interrupted, BEFORE);
            return Ok(());
        };
        let lease: Arc<dyn Claim> = Arc::new(lease);
        let mut open: Option<Dut> = None;
        let mut faults: Vec<BenchFault> = Vec::new();
        loop {
            if self.options.interrupt.is_stopped() {
                self.skip_all(SkipKind::Interrupted, BEFORE);
                break;
            }
            let sample = open.as_ref().and_then(|dut| dut.known.sample());
            let Some(Item { case, rounds }) = self.queue.take(name, sample) else {
                break;
            };
            let Some(planned) = self.plan.planned(&case) else {
                return Err(format!("{case} is not planned on this device"));
            };
            match self.run_case(&lease, &mut open, planned, rounds)? {
                None => faults.clear(),
                Some(fault) => faults.push(fault),
            }
            if self.is_quarantined(&faults) {
                break;
            }
        }
        if open.is_none() && self.plan.was_left && !self.options.interrupt.is_stopped() {
            open = Some(self.open(&lease)?);
        }
        if let Some(dut) = open {
            self.close(dut);
        }
        Ok(())
    }

    /// Runs rounds of a case. Gives the fault of the bench that spoiled the last one.
    fn run_case(
        &self,
        lease: &Arc<dyn Claim>,
        open: &mut Option<Dut>,
        planned: &PlannedCase<'_>,
        rounds: RangeInclusive<u32>,
    ) -> Result<Option<BenchFault>, String> {
        let settings = self.options.settings;
        let mut spoiled = None;
        let begun = self.plan.begun(&planned.case.id);
        let first_round = *rounds.start();
        for round in rounds {
            if round > first_round && self.options.interrupt.is_stopped() {
                let reason = format!("interrupted: round {round} was not begun");
                self.skip(&planned.case.id, SkipKind::Interrupted, &reason);
                return Ok(None);
            }
            let mut tries = begun.in_round(round);
            loop {
                let attempt = Attempt {
                    round,
                    retry: tries.attempts,
                };
                self.current
                    .replace(Some((planned.case.id.clone(), attempt)));
                let mut dut = match open.take() {
                    Some(dut) => dut,
                    None => self.open(lease)?,
                };
                let before = Before {
                    attempt,
                    is_last: tries.spoiled >= settings.retry_errors,
                    doubted: &tries.doubted,
                    decided: &tries.decided,
                };
                let is_last = before.is_last;
                let ended = self.attempt(&mut dut, planned, &before);
                self.current.take();
                if dut.is_healthy(self) {
                    *open = Some(dut);
                } else {
                    self.close(dut);
                }
                // A FAIL in doubt is repeated whatever was spoiled before: each unit is in doubt once.
                let is_over = !ended.is_in_doubt && (is_last || !ended.is_spoiled());
                tries.attempts = tries.attempts.saturating_add(1);
                tries.spoiled += u32::from(!ended.is_in_doubt);
                tries.doubted.extend(ended.doubted);
                // It is made up for as a whole.
                tries.decided.clear();
                spoiled = ended.fault;
                if is_over || self.options.interrupt.is_stopped() {
                    break;
                }
            }
        }
        Ok(spoiled)
    }

    /// Whether the device is out of the run after too many cases in a row that its bench has spoiled.
    fn is_quarantined(&self, faults: &[BenchFault]) -> bool {
        let (Some(limit), Some(BenchFault(latest))) =
            (self.options.quarantine_after, faults.last())
        else {
            return false;
        };
        if faults.len() < limit.get() as usize {
            return false;
        }
        let why = format!("bench errors in {} test cases in a row", faults.len());
        let left = self.skip_all(SkipKind::Quarantined, &format!("quarantined after {why}"));
        let rest = match left {
            0 => "nothing else is left that only it could run".into(),
            n => format!("{n} test cases are not run on it"),
        };
        self.events.send(Event::DeviceError {
            device: self.device(),
            message: format!("quarantined after {why}; {rest}; the last error was: {latest}"),
        });
        true
    }

    fn open(&self, lease: &Arc<dyn Claim>) -> Result<Dut, String> {
        let mut retries = self.options.settings.retry_errors;
        loop {
            self.progress("opening the bench");
            match Dut::open(self, &self.bench_options(lease)?) {
                Err(message) if retries > 0 && !self.options.interrupt.is_stopped() => {
                    retries -= 1;
                    self.progress(&format!("trying once more: {message}"));
                    let stop = self.options.interrupt.token().cancelled();
                    let _ = self
                        .runtime
                        .block_on(async { tokio::time::timeout(RECOVERY, stop).await });
                }
                result => return result,
            }
        }
    }

    /// Where the bench keeps what it hears. A bench that is opened again goes on with the console's log, and captures
    /// to another folder: the capture before is evidence.
    fn bench_options(&self, lease: &Arc<dyn Claim>) -> Result<BenchOptions, String> {
        let folder = self.device_folder()?;
        let mut network = folder.clone();
        for n in 2.. {
            if !network.join("capture.pcapng").exists() {
                break;
            }
            network = folder.join(format!("network-{n}"));
        }
        fs::create_dir_all(&network)
            .map_err(|error| format!("{} can't be made: {error}", network.display()))?;
        Ok(BenchOptions {
            logs: BenchLogs {
                console: folder.join("console.log"),
                limit: self.options.log_limit,
                origin: self.origin,
            },
            network: Some(NetworkOptions {
                captures: Some(network),
            }),
            claim: Some(Arc::clone(lease)),
        })
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

    /// None if, while waiting, the run was interrupted or nothing was left to need it for.
    fn lease(&self) -> Result<Option<Lease>, String> {
        let name = &self.plan.device.name;
        let purpose = format!("provebench run {}", self.dir.id());
        let events = self.events.clone();
        let tell = move |text: &str| {
            events.send(Event::Waiting {
                device: name.clone(),
                text: text.to_owned(),
            });
        };
        let acquire = Lease::acquire_telling(self.plan.device, &purpose, self.options.wait, &tell);
        let none_left = async {
            // A board that was left has to be put in order whatever others take.
            if self.plan.was_left {
                future::pending::<()>().await;
            }
            self.queue.none_left(name).await;
        };
        let leased = self.runtime.block_on(async {
            tokio::select! {
                // What is not needed can't be missing.
                biased;
                () = none_left => None,
                () = self.options.interrupt.token().cancelled() => None,
                leased = acquire => Some(leased),
            }
        });
        leased.transpose().map_err(|e| explain(&e))
    }

    pub(super) fn device_folder(&self) -> Result<PathBuf, String> {
        self.dir
            .device(&self.plan.device.name)
            .map_err(|e| explain(&e))
    }

    /// Waits for the bench, but not for ever: nothing that hangs may hang the run.
    pub(super) fn within<T, E: miette::Diagnostic>(
        &self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(limit, work).await });
        match waited {
            Ok(result) => result.map_err(|e| explain(&e)),
            Err(_) => Err(format!(
                "the bench did not {what} within {} s",
                limit.as_secs()
            )),
        }
    }

    /// Gives each unit of a case an ERROR: the bench can't be used. When it can be, the run can be gone on with, and the
    /// attempt be made.
    fn lose(&self, case: &CaseId, attempt: Attempt, message: &str) {
        let Some(planned) = self.plan.planned(case) else {
            return;
        };
        let case = planned.case;
        self.events.send(Event::CaseStarted {
            device: self.device(),
            case: case.id.clone(),
            attempt,
            evidence: None,
        });
        self.lose_units(planned, End::Fault(Fault::Bench), message);
        self.events.send(Event::CaseFinished {
            device: self.device(),
            case: case.id.clone(),
            seconds: 0.0,
            evidence: None,
            files: Vec::new(),
            will_retry: true,
        });
    }

    pub(super) fn lose_units(&self, planned: &PlannedCase<'_>, end: End, message: &str) {
        for run in &planned.runs {
            if !self.leave_out(planned, &run.name) {
                let result = UnitResult::without_script(run.name.clone(), end, message);
                self.finish_unit(planned.case, result);
            }
        }
    }

    /// Tells of a unit that can't be run on the device why that is. False if it can.
    pub(super) fn leave_out(&self, planned: &PlannedCase<'_>, unit: &UnitName) -> bool {
        let Some(lacking) = planned.lacks.to_run.get(&unit.letter) else {
            return false;
        };
        let message = format!("not run: {lacking}");
        let result = UnitResult::without_script(unit.clone(), End::Inconclusive, &message);
        self.finish_unit(planned.case, result);
        true
    }

    pub(super) fn finish_unit(&self, case: &Case, result: UnitResult) {
        self.events.send(self.unit_finished(case, result));
    }

    pub(super) fn unit_finished(&self, case: &Case, result: UnitResult) -> Event {
        Event::UnitFinished {
            device: self.device(),
            case: case.id.clone(),
            result,
        }
    }

    pub(super) fn kept(&self, case: Option<&CaseId>, files: Vec<KeptFile>) {
        if let Some(event) = self.evidence_kept(case, files) {
            self.events.send(event);
        }
    }

    /// None of nothing.
    pub(super) fn evidence_kept(
        &self,
        case: Option<&CaseId>,
        files: Vec<KeptFile>,
    ) -> Option<Event> {
        (!files.is_empty()).then(|| Event::EvidenceKept {
            device: self.device(),
            case: case.cloned(),
            files,
        })
    }

    /// Leaves the queue. Gives how many cases are not run because of that.
    fn skip_all(&self, kind: SkipKind, reason: &str) -> usize {
        let device = &self.plan.device.name;
        self.events.skip_left(device, &self.queue, kind, reason)
    }

    pub(super) fn skip(&self, case: &CaseId, kind: SkipKind, reason: &str) {
        self.events.skip(&self.plan.device.name, case, kind, reason);
    }

    pub(super) fn progress(&self, text: &str) {
        self.events.send(Event::Progress {
            device: self.device(),
            text: text.to_owned(),
        });
    }

    pub(super) fn device(&self) -> String {
        self.plan.device.name.clone()
    }
}
