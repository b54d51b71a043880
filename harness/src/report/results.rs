//! All that a run found, gathered from its events.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use crate::event::{CaseInfo, DeviceInfo, Event, Outcome, Skip, SkipKind, Stamped, UnitResult};
use crate::standard::{CaseId, Verdict};

/// Results of a run: `results.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Version of this format.
    format: u32,
    /// Version of provebench that ran.
    pub version: String,
    /// Identifier of the run.
    pub run: String,
    /// When it began, UTC.
    #[serde(serialize_with = "time::serde::rfc3339::serialize")]
    pub started: OffsetDateTime,
    /// How long it took.
    pub seconds: f64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Verdict over all devices; none if nothing was applicable.
    pub verdict: Option<Verdict>,
    /// Units by outcome. A case that was not run counts once.
    pub counts: Counts,
    /// The cases that were selected.
    pub cases: BTreeMap<CaseId, CaseInfo>,
    /// In the order of devices.toml.
    pub devices: Vec<DeviceResult>,
}

/// How many units ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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
}

/// What one device showed.
#[derive(Clone, Debug, Serialize)]
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
    /// By identifier.
    pub cases: BTreeMap<CaseId, CaseResult>,
}

/// What one case showed on one device.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CaseResult {
    /// None if it is not applicable, or was interrupted before anything was shown.
    pub verdict: Option<Verdict>,
    /// Why it was not run, or not to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
    /// How long it took.
    pub seconds: f64,
    /// Its folder, relative to the run's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Files in that folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// In the order in which they ran.
    pub units: Vec<UnitResult>,
}

impl Results {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            format: 1,
            version: String::new(),
            run: String::new(),
            started: OffsetDateTime::UNIX_EPOCH,
            seconds: 0.0,
            interrupted: false,
            verdict: None,
            counts: Counts::default(),
            cases: BTreeMap::new(),
            devices: Vec::new(),
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
            } => {
                self.run.clone_from(run);
                self.version.clone_from(version);
                self.started = stamped.at;
                self.cases.clone_from(cases);
                self.devices = devices.iter().cloned().map(DeviceResult::new).collect();
            }
            Event::CaseSkipped { device, case, skip } => {
                self.counts.skipped += 1;
                if let Some(case) = self.case(device, case) {
                    case.verdict = Verdict::fold(case.verdict.into_iter().chain(skip.verdict()));
                    case.skip = Some(skip.clone());
                }
            }
            Event::UnitFinished {
                device,
                case,
                result,
            } => {
                self.counts.add(result.outcome);
                if let Some(case) = self.case(device, case) {
                    case.units.push(result.clone());
                    case.verdict = Verdict::fold(case.units.iter().map(|u| u.outcome.verdict()));
                }
            }
            Event::CaseFinished {
                device,
                case,
                verdict: _, // folded from the units
                seconds,
                evidence,
                files,
            } => {
                if let Some(case) = self.case(device, case) {
                    case.seconds = *seconds;
                    case.evidence.clone_from(evidence);
                    case.files.clone_from(files);
                }
            }
            Event::DeviceError { device, message } => {
                if let Some(device) = self.device(device) {
                    device.errors.push(message.clone());
                }
            }
            Event::DeviceFinished { device, seconds } => {
                if let Some(device) = self.device(device) {
                    device.seconds = *seconds;
                    device.verdict = Verdict::fold(device.cases.values().filter_map(|c| c.verdict));
                }
            }
            Event::RunFinished {
                interrupted,
                seconds,
            } => {
                self.interrupted = *interrupted;
                self.seconds = *seconds;
                self.verdict = Verdict::fold(self.devices.iter().filter_map(|d| d.verdict));
            }
            Event::DeviceStarted { .. }
            | Event::Progress { .. }
            | Event::CaseStarted { .. }
            | Event::UnitStarted { .. }
            | Event::Interrupted { .. }
            | Event::Step { .. } => {}
        }
    }

    /// Whether the bench of any device failed, in a case or outside.
    pub fn has_errors(&self) -> bool {
        self.counts.error > 0 || self.devices.iter().any(|d| !d.errors.is_empty())
    }

    fn device(&mut self, name: &str) -> Option<&mut DeviceResult> {
        self.devices.iter_mut().find(|d| d.info.name == name)
    }

    fn case(&mut self, device: &str, case: &CaseId) -> Option<&mut CaseResult> {
        let device = self.device(device)?;
        Some(device.cases.entry(case.clone()).or_default())
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
            cases: BTreeMap::new(),
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.pass += 1,
            Outcome::Fail => self.fail += 1,
            Outcome::Error => self.error += 1,
            Outcome::Inconclusive => self.inconclusive += 1,
        }
    }
}

impl Skip {
    /// A case that applies and was not run decides nothing; one that does not apply has no verdict.
    fn verdict(&self) -> Option<Verdict> {
        match self.kind {
            SkipKind::NotApplicable => None,
            SkipKind::Missing | SkipKind::Interrupted => Some(Verdict::Inconclusive),
        }
    }
}
