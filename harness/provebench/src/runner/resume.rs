//! Going on with a run that was killed or interrupted: its journal says how far it came.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{DevicePlan, Plan, digests};
use super::progress::{CaseProgress, is_skipped};
use super::share::is_same_work;
use provebench_record::event::Settings;
use provebench_record::evidence::{CaseEvidence, EvidenceError, JsonLines, RunDir};
use provebench_record::report::{CaseResult, DeviceResult, EarlierError, Journal, Results};
use provebench_record::text::printable;
use provebench_standard::CaseId;

/// A run that can't be gone on with.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResumeError {
    /// Its journal can't be written to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Evidence(#[from] EvidenceError),
    /// Its journal can't be read, or is none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] EarlierError),
    /// Some verdicts would be by one version's rules, some by another's.
    #[error("run {run} was started by provebench {version}")]
    #[diagnostic(help("resume with that version, or start a new run"))]
    OtherVersion {
        /// The run.
        run: String,
        /// The version.
        version: String,
    },
    /// It was killed before it wrote down what it was to do.
    #[error("run {run} never started")]
    #[diagnostic(help("there is nothing to resume: start a new run"))]
    NotBegun {
        /// The run.
        run: String,
    },
    /// Some verdicts would be on one firmware, some on another.
    #[error("image `{image}` of {device} has changed since run {run} began")]
    #[diagnostic(help("put back the image, or start a new run"))]
    OtherImage {
        /// The run.
        run: String,
        /// The device.
        device: String,
        /// The image.
        image: String,
    },
}

/// How far a run came.
#[derive(Debug)]
pub struct PreviousRun {
    pub(super) results: Results,
    /// What was to run on each device.
    planned: BTreeMap<String, BTreeSet<CaseId>>,
    /// The devices that it had when it was killed.
    left: BTreeSet<String>,
    /// How long it had been running.
    pub(super) seconds: f64,
    /// The number that each source of events had come to.
    pub(super) sources: BTreeMap<String, u64>,
    /// Its journal, so that nobody else goes on with it meanwhile.
    pub(super) journal: JsonLines,
}

impl PreviousRun {
    /// Reads the journal of a run, which nobody but this process writes.
    pub fn read(dir: &RunDir, mut journal: JsonLines) -> Result<Self, ResumeError> {
        let Some(read) = Journal::read(&dir.journal_path())? else {
            return Err(ResumeError::NotBegun {
                run: dir.id().to_owned(),
            });
        };
        let Journal { mut results, .. } = read;
        if results.version != env!("CARGO_PKG_VERSION") {
            return Err(ResumeError::OtherVersion {
                run: printable(&results.run),
                version: printable(&results.version),
            });
        }
        journal.cut(read.end)?;
        results.list_evidence(|folder| {
            let folder = dir.path().join(folder);
            if dir.holds(&folder) {
                CaseEvidence::at(folder).files().unwrap_or_default()
            } else {
                Vec::new()
            }
        });
        Ok(Self {
            results,
            planned: read.planned,
            left: read.left,
            seconds: read.seconds,
            sources: read.sources,
            journal,
        })
    }

    /// The identifier of the run.
    pub fn run(&self) -> &str {
        &self.results.run
    }

    /// How it is run.
    pub fn settings(&self) -> Settings {
        self.results.settings
    }

    /// The names of its devices and cases, as a filter takes them.
    pub fn words(&self) -> Vec<String> {
        let devices = self.results.devices.iter().map(|d| d.info.name.clone());
        let cases = self.results.cases.keys().map(CaseId::to_string);
        devices.chain(cases).collect()
    }

    /// Leaves in the plan what has no verdict yet.
    ///
    /// # Errors
    /// The firmware is not the one that the run began with.
    pub fn narrow(&self, plan: &mut Plan<'_>) -> Result<(), ResumeError> {
        self.check_images(plan)?;
        let begun_elsewhere = self.begun_elsewhere(plan);
        for (device, elsewhere) in plan.devices.iter_mut().zip(begun_elsewhere) {
            let name = &device.device.name;
            let planned = self.planned.get(name);
            device.was_left = self.left.contains(name);
            device.earlier = device
                .run
                .iter()
                .filter_map(|p| {
                    let case = self.case(name, &p.case.id)?;
                    Some((p.case.id.clone(), CaseProgress::of(case)))
                })
                .collect();
            for planned in &mut device.run {
                let unselected = self.results.unselected_units(name, &planned.case.id);
                planned.leave_out(unselected.clone());
            }
            let earlier = &device.earlier;
            let repeat = self.results.settings.repeat;
            device.run.retain(|p| {
                let id = &p.case.id;
                planned.is_some_and(|cases| cases.contains(id))
                    && !elsewhere.contains(id)
                    && earlier.get(id).is_none_or(|begun| !begun.is_over(repeat))
            });
            device.skip.retain(|(id, _)| {
                planned.is_some_and(|cases| cases.contains(id))
                    && !self.case(name, id).is_some_and(is_skipped)
            });
        }
        Ok(())
    }

    fn check_images(&self, plan: &Plan<'_>) -> Result<(), ResumeError> {
        for DeviceResult { info, .. } in &self.results.devices {
            let mut devices = plan.devices.iter().map(|plan| plan.device);
            let Some(device) = devices.find(|device| device.name == info.name) else {
                continue;
            };
            // Those that can't be read now are told by the cases that need them.
            for (image, now) in digests(device).unwrap_or_default() {
                let before = info.digests.get(&image);
                if before.is_some_and(|before| *before != now) {
                    return Err(ResumeError::OtherImage {
                        run: self.results.run.clone(),
                        device: device.name.clone(),
                        image,
                    });
                }
            }
        }
        Ok(())
    }

    /// For each device, the cases that another device has begun instead of it.
    fn begun_elsewhere(&self, plan: &Plan<'_>) -> Vec<Vec<CaseId>> {
        let others = |this: &DevicePlan<'_>| -> Vec<CaseId> {
            let all = plan.devices.iter();
            let others = all.filter(|other| other.device.name != this.device.name);
            others
                .filter(|other| self.results.settings.is_shared && is_same_work(this, other))
                .flat_map(|other| {
                    let cases = other.run.iter().map(|p| &p.case.id);
                    cases.filter(|id| {
                        let case = self.case(&other.device.name, id);
                        case.is_some_and(|case| !case.attempts.is_empty())
                    })
                })
                .cloned()
                .collect()
        };
        plan.devices.iter().map(others).collect()
    }

    fn case(&self, device: &str, id: &CaseId) -> Option<&CaseResult> {
        let mut devices = self.results.devices.iter();
        devices.find(|d| d.info.name == device)?.cases.get(id)
    }
}
