//! All that a run found, gathered from its events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::attempts::CaseResult;
use super::changes::Changes;
use crate::event::{
    CaseInfo, DeviceInfo, Event, KeptFile, Outcome, Settings, Skip, SkipKind, Stamped,
};
use provebench_standard::{CaseId, Verdict};

/// Fields that are added change nothing; all else is another format.
pub(super) const FORMAT: u32 = 2;

/// Results of a run: `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Version of this format.
    format: u32,
    /// Version of provebench that ran.
    pub version: String,
    /// Identifier of the run.
    pub run: String,
    /// When it began, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// How long it took.
    pub seconds: f64,
    /// Whether it was stopped before its end, or has not come to it yet.
    pub interrupted: bool,
    /// Verdict over all devices; none if nothing was applicable.
    pub verdict: Option<Verdict>,
    /// Units by outcome. A case that was not run counts once.
    pub counts: Counts,
    /// The cases that were selected.
    pub cases: BTreeMap<CaseId, CaseInfo>,
    /// The cases that there are but that were not selected.
    #[serde(default)]
    pub unselected: BTreeSet<CaseId>,
    /// Units that were not selected, of the cases that were, on each device: the cases have it as well.
    #[serde(skip)]
    unselected_units: BTreeMap<String, BTreeMap<CaseId, BTreeSet<char>>>,
    /// How it was run.
    #[serde(default)]
    pub settings: Settings,
    /// In the order of devices.toml.
    pub devices: Vec<DeviceResult>,
    /// What is other than in the run that it was to be compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// How many units ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units that passed.
    pub pass: usize,
    /// Units that failed.
    pub fail: usize,
    /// Units that the bench could not carry out.
    pub error: usize,
    /// Units that could not be decided.
    pub inconclusive: usize,
    /// Cases that were not run.
    pub skipped: usize,
    /// Units that were not selected, of cases that were run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unselected: usize,
    /// Units whose attempts ended differently; counted above as the worst of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flaky: usize,
    /// Attempts that were made because of errors of the bench.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// What one device showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceResult {
    /// Which device.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// Verdict over its cases; none if nothing was applicable.
    pub verdict: Option<Verdict>,
    /// Faults of its bench outside of cases.
    pub errors: Vec<String>,
    /// From taking its lease to giving it back.
    pub seconds: f64,
    /// Evidence of all of its cases: frames, who spoke with whom, what services saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<KeptFile>,
    /// By identifier.
    pub cases: BTreeMap<CaseId, CaseResult>,
}

impl Results {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            format: FORMAT,
            version: String::new(),
            run: String::new(),
            started: OffsetDateTime::UNIX_EPOCH,
            seconds: 0.0,
            interrupted: false,
            verdict: None,
            counts: Counts::default(),
            cases: BTreeMap::new(),
            unselected: BTreeSet::new(),
            unselected_units: BTreeMap::new(),
            settings: Settings::default(),
            devices: Vec::new(),
            changes: None,
        }
    }

    /// Takes in what happened next.
    pub fn apply(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::RunStarted {
                run,
                version,
                devices,
                cases,
                unselected,
                planned: _,
                unselected_units,
                settings,
            } => {
                self.run.clone_from(run);
                self.version.clone_from(version);
                self.started = stamped.time;
                self.cases.clone_from(cases);
                self.unselected.clone_from(unselected);
                self.unselected_units.clone_from(unselected_units);
                self.settings = *settings;
                self.interrupted = true;
                self.devices = devices.iter().cloned().map(DeviceResult::new).collect();
            }
            Event::CaseSkipped { device, case, skip } => {
                self.change(device, case, |case| case.skip(skip));
            }
            Event::DeclaredNotMet {
                device,
                case,
                reason,
            } => self.change(device, case, |case| case.declare_not_met(reason)),
            Event::CaseStarted {
                device,
                case,
                attempt,
                evidence,
            } => {
                self.change(device, case, |case| case.begin(*attempt, evidence.clone()));
                // To count all attempts again would take longer with each.
                self.counts.retries += usize::from(attempt.retry > 0);
            }
            Event::UnitFinished {
                device,
                case,
                result,
            } => {
                self.change(device, case, |case| case.add(result));
            }
            Event::NotSeen {
                device,
                case,
                losses,
            } => {
                if let Some(case) = self.case(device, case) {
                    for (kind, count) in losses {
                        let known = case.not_seen.entry(kind.clone()).or_default();
                        *known = known.saturating_add(*count);
                    }
                }
            }
            Event::EvidenceKept { device, files, .. } => {
                if let Some(device) = self.device(device) {
                    device.keep(files);
                }
            }
            Event::CaseFinished {
                device,
                case,
                seconds,
                evidence,
                files,
                will_retry,
            } => {
                if let Some(case) = self.case(device, case) {
                    case.finish(*seconds, evidence.as_ref(), files, *will_retry);
                }
            }
            Event::DeviceError { device, message } => {
                if let Some(device) = self.device(device) {
                    device.errors.push(message.clone());
                }
            }
            Event::DeviceFinished { device, seconds } => {
                if let Some(device) = self.device(device) {
                    device.seconds += *seconds;
                    device.fold();
                }
            }
            Event::RunFinished {
                interrupted,
                seconds,
            } => {
                self.interrupted = *interrupted;
                self.seconds = *seconds;
                self.fold();
            }
            Event::RunResumed { .. } => {
                self.interrupted = true;
                self.reopen();
            }
            Event::DeviceStarted { .. }
            | Event::Waiting { .. }
            | Event::Progress { .. }
            | Event::UnitStarted { .. }
            | Event::Interrupted { .. }
            | Event::Step { .. } => {}
        }
    }

    /// Of a run that was killed: what was planned and not begun was not run.
    pub(super) fn skip_the_rest(&mut self, planned: &BTreeMap<String, BTreeSet<CaseId>>) {
        let skip = Skip {
            kind: SkipKind::Interrupted,
            reason: "the run was killed before".into(),
        };
        for (device, cases) in planned {
            for case in cases {
                if !self.is_known(device, case) {
                    self.change(device, case, |case| case.skip(&skip));
                }
            }
        }
    }

    /// Whether something is known of a case on the device, or on those that it shares its work with.
    fn is_known(&self, device: &str, case: &CaseId) -> bool {
        let target = self.devices.iter().find(|d| d.info.name == device);
        let target = target.map(|device| &device.info.target);
        self.devices
            .iter()
            .filter(|other| {
                other.info.name == device
                    || (self.settings.is_shared && Some(&other.info.target) == target)
            })
            .any(|other| other.cases.contains_key(case))
    }

    /// Lists the evidence of attempts that were killed before they could do it themselves.
    pub fn list_evidence(&mut self, list: impl Fn(&str) -> Vec<String>) {
        let cases = self.devices.iter_mut().flat_map(|d| d.cases.values_mut());
        cases.for_each(|case| case.list_evidence(&list));
    }

    /// What was left is to be run: by another device, maybe, than the one that was told of it. What spoiled a device's part
    /// is made up for, or will be told again; the journal keeps it.
    fn reopen(&mut self) {
        for device in &mut self.devices {
            for case in device.cases.values_mut() {
                self.counts.take_off(case);
                case.reopen();
                self.counts.add(case);
            }
            device.cases.retain(|_, case| !case.is_blank());
            device.errors.clear();
        }
    }

    /// Folds the verdicts of cases into those of devices and of the run.
    pub(super) fn fold(&mut self) {
        self.devices.iter_mut().for_each(DeviceResult::fold);
        self.verdict = Verdict::fold(self.devices.iter().filter_map(|d| d.verdict));
    }

    /// How long an attempt at each case took, in seconds, on the device where it took longest.
    pub fn times(&self) -> BTreeMap<CaseId, f64> {
        let mut times = BTreeMap::new();
        for (id, case) in self.devices.iter().flat_map(|d| &d.cases) {
            if case.units.is_empty() {
                continue;
            }
            let attempts = u32::try_from(case.attempts.len().max(1)).unwrap_or(u32::MAX);
            let time = times.entry(id.clone()).or_insert(0.0);
            *time = f64::max(*time, case.seconds / f64::from(attempts));
        }
        times
    }

    /// Whether the bench of any device failed, in a case or outside.
    pub fn has_errors(&self) -> bool {
        self.counts.error > 0 || self.devices.iter().any(|d| !d.errors.is_empty())
    }

    /// Changes what is known of a case, and the counts with it.
    fn change(&mut self, device: &str, case: &CaseId, change: impl FnOnce(&mut CaseResult)) {
        let mut counts = self.counts;
        if let Some(case) = self.case(device, case) {
            counts.take_off(case);
            change(case);
            counts.add(case);
        }
        self.counts = counts;
    }

    fn device(&mut self, name: &str) -> Option<&mut DeviceResult> {
        self.devices.iter_mut().find(|d| d.info.name == name)
    }

    fn case(&mut self, device: &str, case: &CaseId) -> Option<&mut CaseResult> {
        let unselected = self.unselected_units(device, case).clone();
        let device = self.device(device)?;
        let result = device.cases.entry(case.clone());
        Some(result.or_insert_with(|| CaseResult::without(unselected)))
    }

    /// What one case showed on one device so far.
    pub fn case_on(&self, device: &str, case: &CaseId) -> Option<&CaseResult> {
        let mut devices = self.devices.iter();
        devices.find(|d| d.info.name == device)?.cases.get(case)
    }

    /// The units of a case that were not selected on a device.
    pub fn unselected_units(&self, device: &str, case: &CaseId) -> &BTreeSet<char> {
        static NONE: BTreeSet<char> = BTreeSet::new();
        let cases = self.unselected_units.get(device);
        cases.and_then(|cases| cases.get(case)).unwrap_or(&NONE)
    }
}

impl Default for Results {
    fn default() -> Self {
        Self::new()
    }
}

impl DeviceResult {
    fn new(info: DeviceInfo) -> Self {
        Self {
            info,
            verdict: None,
            errors: Vec::new(),
            seconds: 0.0,
            evidence: Vec::new(),
            cases: BTreeMap::new(),
        }
    }

    /// Files of a folder that are not told of any more are gone.
    fn keep(&mut self, files: &[KeptFile]) {
        let folder = |file: &KeptFile| Path::new(&file.path).parent().map(Path::to_owned);
        let folders: BTreeSet<_> = files.iter().map(folder).collect();
        self.evidence
            .retain(|file| !folders.contains(&folder(file)));
        self.evidence.extend_from_slice(files);
    }

    fn fold(&mut self) {
        self.verdict = Verdict::fold(self.cases.values().filter_map(|c| c.verdict));
    }
}

impl Counts {
    pub(super) fn add_case(&mut self, case: &CaseResult) {
        self.add(case);
        self.retries += case.retries();
    }

    /// Adds what the case came to, without the attempts that it took.
    fn add(&mut self, case: &CaseResult) {
        for unit in &case.units {
            *self.of(unit.outcome) += 1;
        }
        self.skipped += usize::from(case.why_not_run().is_some());
        self.unselected += case.unselected_beside().count();
        self.flaky += case.flaky.len();
    }

    fn take_off(&mut self, case: &CaseResult) {
        for unit in &case.units {
            *self.of(unit.outcome) -= 1;
        }
        self.skipped -= usize::from(case.why_not_run().is_some());
        self.unselected -= case.unselected_beside().count();
        self.flaky -= case.flaky.len();
    }

    fn of(&mut self, outcome: Outcome) -> &mut usize {
        match outcome {
            Outcome::Pass => &mut self.pass,
            Outcome::Fail => &mut self.fail,
            Outcome::Error => &mut self.error,
            Outcome::Inconclusive => &mut self.inconclusive,
        }
    }
}
