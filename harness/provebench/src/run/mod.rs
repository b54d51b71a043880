//! A run as a whole, from a request to its reports: what the command line, tests and whoever else runs test cases call.
//! It prints nothing, and picks no exit code; whoever calls it is told what happens by reporters.

mod reports;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;

pub use reports::{Incomplete, Written};

use crate::doctor::{Tidied, tidy};
use crate::redact::Secrets;
use crate::runner::{
    self, Filter, Interrupt, Options, Plan, PlanError, PreviousRun, ResumeError, Times,
};
use provebench_bench::inventory::{Inventory, InventoryError};
use provebench_record::event::Settings;
use provebench_record::evidence::{EvidenceError, RunDir};
use provebench_record::report::changes::Threshold;
use provebench_record::report::{self, Changes, EarlierError, Reporter, Results};
use provebench_record::text::printable;
use provebench_script::{AttestationError, Attestations, Suite};

/// What to run, on what, and how.
#[derive(Clone, Debug)]
pub struct RunRequest<'a> {
    /// The devices of the bench.
    pub inventory: &'a Inventory,
    /// The test cases.
    pub suite: &'a Suite,
    /// Which of both.
    pub work: Work<'a>,
    /// Where each run has its own folder.
    pub runs: &'a Path,
    /// Answers of human assessors that replace those kept with the target.
    pub attestations: Option<&'a Path>,
    /// What to compare the run with.
    pub baseline: Option<Baseline<'a>>,
    /// After so many test cases in a row that the bench of a device has spoiled, it is left out. None: never.
    pub quarantine_after: Option<NonZeroU32>,
    /// Stops the run after that time.
    pub deadline: Option<Duration>,
    /// Time for each unit, within its case's.
    pub unit_deadline: Option<Duration>,
    /// How long to wait for a device that is in use.
    pub wait: Option<Duration>,
    /// What is blacked out in all that the run tells.
    pub secrets: Secrets,
    /// Stops the run, from wherever that is wanted.
    pub interrupt: Interrupt,
}

/// What there is to do.
#[derive(Clone, Debug)]
pub enum Work<'a> {
    /// What a filter selects.
    New {
        /// Which devices and cases.
        filter: Filter<'a>,
        /// What has a part in the results.
        settings: Settings,
    },
    /// What an earlier run has left: its folder, its identifier, or `latest`.
    Resume(&'a str),
}

/// An earlier run that results are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Baseline<'a> {
    /// Its folder, its results.json, its identifier, or `latest`.
    pub run: &'a str,
    /// When a case has become slower.
    pub slower: Threshold,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// There is no plan.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanError),
    /// An image of a device can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Images(#[from] InventoryError),
    /// The run can't be resumed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resume(#[from] ResumeError),
    /// An earlier run can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Earlier(#[from] EarlierError),
    /// A run would be compared with itself.
    #[error(transparent)]
    #[diagnostic(transparent)]
    SameRun(#[from] SameRun),
    /// Assessors' answers can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Attestations(#[from] AttestationError),
    /// There are no such answers.
    #[error("there is no file {}", path.display())]
    #[diagnostic(help("leave out --attestations if no human assessor has answered anything yet"))]
    NoAttestations {
        /// Where they should be.
        path: PathBuf,
    },
    /// The run's folder can't be written to.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Evidence(#[from] EvidenceError),
}

/// A run compared with itself, or with its copy, never shows a change.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("run {run} would be compared with itself")]
#[diagnostic(help("name an earlier run; `latest` is the one that began last"))]
pub struct SameRun {
    run: String,
}

/// Refuses to compare a run with itself.
pub(crate) fn refuse_same(before: &Results, after: &str) -> Result<(), SameRun> {
    if before.run == after {
        let run = printable(after);
        Err(SameRun { run })
    } else {
        Ok(())
    }
}

/// Runs what is requested, and writes its reports.
///
/// # Errors
/// Nothing was run.
pub fn run(
    request: RunRequest<'_>,
    runtime: &Handle,
    reporters: &mut [&mut dyn Reporter],
) -> Result<(RunOutcome, Written), RunError> {
    let outcome = Prepared::new(request)?.run(runtime, reporters)?;
    let written = outcome.write_reports();
    Ok((outcome, written))
}

/// A run whose plan stands, and of which nothing was run yet.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// What will run, and what not.
    pub plan: Plan<'a>,
    /// What was put right that runs had left behind that were killed.
    pub tidied: Tidied,
    request: RunRequest<'a>,
    options: Options,
    baseline: Option<Results>,
    resumed: Option<(RunDir, PreviousRun)>,
}

impl<'a> Prepared<'a> {
    /// Reads all that the run needs, and makes its plan. Touches no device.
    ///
    /// # Errors
    /// What is requested can't be run.
    pub fn new(request: RunRequest<'a>) -> Result<Self, RunError> {
        let RunRequest {
            inventory, suite, ..
        } = request;
        let (plan, settings, resumed) = match &request.work {
            Work::New { filter, settings } => {
                let mut plan = Plan::new(inventory, suite, *filter)?;
                if settings.is_shared {
                    plan.share();
                }
                (plan, *settings, None)
            }
            Work::Resume(name) => {
                let (dir, earlier) = open(request.runs, name)?;
                let settings = earlier.settings();
                let words = earlier.words();
                let filter = Filter {
                    words: &words,
                    ..Filter::default()
                };
                let mut plan = Plan::new(inventory, suite, filter)?;
                if settings.is_shared {
                    plan.share();
                }
                earlier.narrow(&mut plan)?;
                (plan, settings, Some((dir, earlier)))
            }
        };
        check_images(&plan)?;
        // Before the run, which may become `latest` itself.
        let baseline = request.baseline.map(|baseline| {
            let before = Results::of_earlier(request.runs, baseline.run)?;
            let resumed = resumed.as_ref().map(|(_, earlier)| earlier.run());
            refuse_same(&before, resumed.unwrap_or_default())?;
            Ok::<_, RunError>(before)
        });
        let baseline = baseline.transpose()?;
        let options = Options {
            wait: request.wait,
            settings,
            quarantine_after: request.quarantine_after,
            unit_deadline: request.unit_deadline,
            times: if settings.is_shared {
                times(request.runs)
            } else {
                Times::new()
            },
            attestations: attestations(request.attestations, &inventory.allowed)?,
            log_limit: inventory.log_limit,
            secrets: request.secrets.clone(),
            interrupt: request.interrupt.clone(),
        };
        Ok(Self {
            plan,
            tidied: tidy(),
            request,
            options,
            baseline,
            resumed,
        })
    }

    /// Runs it. Ends when all devices are given back, whatever they have shown.
    ///
    /// # Errors
    /// Its folder can't be made: nothing was run.
    pub fn run(
        self,
        runtime: &Handle,
        reporters: &mut [&mut dyn Reporter],
    ) -> Result<RunOutcome, RunError> {
        let Self {
            plan,
            request,
            options,
            baseline,
            resumed,
            ..
        } = self;
        let (dir, earlier) = match resumed {
            Some((dir, earlier)) => (dir, Some(earlier)),
            None => (RunDir::create(request.runs)?, None),
        };
        if let Some(time) = request.deadline {
            stop_after(runtime, &options.interrupt, time);
        }
        let finished = runner::run(&plan, &dir, &options, earlier, runtime, reporters)?;
        let mut results = finished.results;
        if let (Some(before), Some(baseline)) = (baseline, request.baseline) {
            results.changes = Some(Changes::between(&before, &results, baseline.slower));
        }
        Ok(RunOutcome {
            results,
            dir,
            lost: finished.lost,
        })
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct RunOutcome {
    /// All that was found, also what the journal could not take any more.
    pub results: Results,
    /// Where its evidence is.
    pub dir: RunDir,
    /// Why the journal ends before the run did.
    lost: Option<EvidenceError>,
}

impl RunOutcome {
    /// Writes all reports, in the run's folder or wherever there is room.
    pub fn write_reports(&self) -> Written {
        reports::write(&self.results, &self.dir, self.lost.as_ref())
    }
}

/// Finds the run to resume, and how far it came.
fn open(runs: &Path, name: &str) -> Result<(RunDir, PreviousRun), RunError> {
    let path = report::find(runs, name)?;
    let folder = match path.parent() {
        Some(folder) if path.is_file() => folder.to_owned(),
        _ => path,
    };
    let dir = RunDir::open(folder);
    let journal = dir.journal()?;
    let earlier = PreviousRun::read(&dir, journal)?;
    Ok((dir, earlier))
}

/// How long cases took in the latest run that can be read, if any.
fn times(runs: &Path) -> Times {
    let latest = Results::of_earlier(runs, "latest");
    latest.map_or_else(|_| Times::new(), |results| results.times())
}

/// Images may have to be built: better told now than by each case.
fn check_images(plan: &Plan<'_>) -> Result<(), InventoryError> {
    let mut devices = plan.devices.iter().filter(|d| !d.run.is_empty());
    devices.try_for_each(|plan| plan.device.check_images())
}

fn attestations(
    file: Option<&Path>,
    allowed: &[PathBuf],
) -> Result<Option<Attestations>, RunError> {
    match file {
        Some(file) if !file.exists() => Err(RunError::NoAttestations { path: file.into() }),
        Some(file) => Ok(Some(Attestations::load(file, allowed)?)),
        None => Ok(None),
    }
}

/// The deadline stops the run as Ctrl-C does.
fn stop_after(runtime: &Handle, interrupt: &Interrupt, time: Duration) {
    let interrupt = interrupt.clone();
    runtime.spawn(async move {
        tokio::time::sleep(time).await;
        interrupt.stop(&format!("the deadline of {} s", time.as_secs()));
    });
}
