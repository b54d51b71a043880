use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use console::style;
use nix::sys::stat::{Mode, umask};
use tokio::runtime::Runtime;

use super::compare::Baseline;
use super::context::{Files, LONGEST, Runs, Selection, Wait, runtime};
use super::doctor;
use super::exit::{Exit, Failure};
use super::output::{out, width};
use super::plan::describe;
use super::reports;
use super::stop;
use crate::runner::{self, Earlier, Filter, Interrupt, Options, Plan, Times};
use provebench_bench::inventory::{FolderMode, InventoryError};
use provebench_record::event::Settings;
use provebench_record::evidence::RunDir;
use provebench_record::report::{self, Results, Terminal};
use provebench_script::Attestations;

/// More is a slip of the finger: results and evidence of each round are kept.
const MOST_ROUNDS: i64 = 10_000;
/// A bench that fails more often than that has to be mended.
const MOST_RETRIES: i64 = 100;

/// Run test cases: program the devices, drive them, judge them, report
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    runs: Runs,
    /// Who may read what the run keeps: the mode of its folders in octal digits, such as 0750 for the group; files have
    /// the same without `x` [default: runs_mode in devices.toml, else 0700]
    #[arg(long, value_name = "MODE")]
    runs_mode: Option<FolderMode>,
    /// Answers of human assessors [default: attestations.toml in the target's folder, where there is one]
    #[arg(long, value_name = "FILE")]
    attestations: Option<PathBuf>,
    /// Makes random data of the test cases the same as in the run that printed this number
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Run all test cases that many times; units that do not always end alike are flaky, and the worst counts
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = value_parser!(u32).range(1..=MOST_ROUNDS))]
    repeat: u32,
    /// Try a test case again, that many times, if the bench failed; never after a FAIL
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = value_parser!(u32).range(..=MOST_RETRIES))]
    retry_errors: u32,
    /// Leave a device out after bench errors in so many test cases in a row; 0 for never
    #[arg(long, value_name = "CASES", default_value_t = 3)]
    quarantine_after: u32,
    /// Stop the run after that time; what was not run then is INCONCLUSIVE, and can be run by --resume
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=LONGEST))]
    deadline: Option<u64>,
    /// Time for each test unit, beside the deadline that each test case sets for all of its units
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=LONGEST))]
    unit_deadline: Option<u64>,
    /// Run each test case on one device of a target only, whichever is free; longest first, by the times of the
    /// latest run
    #[arg(long)]
    distribute: bool,
    /// Run each test case on each device; this is the default
    #[arg(long, conflicts_with = "distribute")]
    each: bool,
    /// Resume a run that was killed or interrupted: a folder, an identifier or `latest`. What has a verdict is not
    /// run again
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["words", "tags", "expression", "changed_only", "seed", "repeat", "distribute", "each"]
    )]
    resume: Option<String>,
    #[command(flatten)]
    baseline: Baseline,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no file {}", path.display())]
#[diagnostic(help("leave out --attestations if no human assessor has answered anything yet"))]
struct NoAttestations {
    path: PathBuf,
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let inventory = files.inventory()?;
    let mode = arguments.runs_mode.or(inventory.runs_mode);
    // Whatever keeps something of the run, for all threads and programs.
    umask(Mode::from_bits_truncate(mode.unwrap_or_default().umask()));
    let suite = files.suite()?;
    let resumed = arguments.resume.as_deref();
    let resumed = resumed.map(|name| open(arguments, name)).transpose()?;
    let words = resumed.as_ref().map(|(_, earlier)| earlier.words());
    let expression = arguments.selection.expression(&arguments.runs)?;
    let filter = match &words {
        Some(words) => Filter {
            words,
            ..Filter::default()
        },
        None => arguments.selection.filter(expression.as_ref()),
    };
    let mut plan = Plan::new(&inventory, &suite, filter)?;
    let settings = match &resumed {
        Some((_, earlier)) => earlier.settings(),
        None => settings(arguments),
    };
    if settings.is_shared {
        plan.share();
    }
    if let Some((_, earlier)) = &resumed {
        earlier.narrow(&mut plan).map_err(Failure::usage)?;
    }
    check_images(&plan)?;
    let earlier_run = resumed.as_ref().map(|(_, earlier)| earlier.run());
    let baseline = arguments
        .baseline
        .load(&arguments.runs.folder, earlier_run)?;
    let options = Options {
        wait: arguments.wait.limit(),
        settings,
        quarantine_after: NonZeroU32::new(arguments.quarantine_after),
        unit_deadline: arguments.unit_deadline.map(Duration::from_secs),
        times: if settings.is_shared {
            times(arguments)
        } else {
            Times::new()
        },
        attestations: attestations(arguments, &inventory.allowed)?,
        log_limit: inventory.log_limit,
        secrets: files.secrets(&inventory),
        interrupt: Interrupt::default(),
    };
    tidy();
    let (dir, earlier) = match resumed {
        Some((dir, earlier)) => (dir, Some(earlier)),
        None => (RunDir::create(&arguments.runs.folder)?, None),
    };
    let runtime = runtime()?;
    let interrupt = options.interrupt.clone();
    stop::listen(&runtime, move |reason| {
        interrupt.stop(&reason.to_string());
    });
    if let Some(seconds) = arguments.deadline {
        stop_after(&runtime, &options.interrupt, Duration::from_secs(seconds));
    }
    out(&describe(&plan));

    let mut terminal = Terminal::new();
    let finished = runner::run(
        &plan,
        &dir,
        &options,
        earlier,
        runtime.handle(),
        &mut [&mut terminal],
    )?;
    let mut results = finished.results;
    results.changes = baseline.map(|before| arguments.baseline.changes(&before, &results));
    out("\n");
    out(&report::summary(&results, dir.path(), width()));
    if let Some(changes) = &results.changes {
        out(&format!("{}\n", changes.to_text()));
    }
    let (written, incomplete) = reports::write(&results, &dir, finished.lost);
    out(&written);
    // Whatever still hangs somewhere, it is told.
    runtime.shutdown_background();
    out(&style(format!("seed      {}\n", options.settings.seed))
        .dim()
        .to_string());
    match incomplete {
        Some(incomplete) => Err(incomplete.into()),
        None => Ok(arguments.baseline.exit(&results)),
    }
}

fn settings(arguments: &Arguments) -> Settings {
    Settings {
        seed: arguments.seed.unwrap_or_else(rand::random),
        repeat: arguments.repeat,
        retry_errors: arguments.retry_errors,
        is_shared: arguments.distribute,
    }
}

/// Finds the run to go on with, and how far it came.
fn open(arguments: &Arguments, name: &str) -> Result<(RunDir, Earlier), Failure> {
    let path = report::find(&arguments.runs.folder, name)?;
    let folder = match path.parent() {
        Some(folder) if path.is_file() => folder.to_owned(),
        _ => path,
    };
    let dir = RunDir::open(folder);
    let journal = dir.journal()?;
    let earlier = Earlier::read(&dir, journal).map_err(Failure::usage)?;
    Ok((dir, earlier))
}

/// How long cases took in the latest run that can be read, if any.
fn times(arguments: &Arguments) -> Times {
    let latest = Results::of_earlier(&arguments.runs.folder, "latest");
    latest.map_or_else(|_| Times::new(), |results| results.times())
}

/// After a run that was killed. What can't be put right is no obstacle here, and `doctor` tells it.
fn tidy() {
    let tidied = doctor::tidy();
    for line in tidied.done {
        out(&format!("left behind by a run that was killed: {line}\n"));
    }
    for problem in tidied.problems {
        tracing::warn!("{problem:?}");
    }
}

/// Images may have to be built: better told now than by each case.
fn check_images(plan: &Plan<'_>) -> Result<(), InventoryError> {
    let mut devices = plan.devices.iter().filter(|d| !d.run.is_empty());
    devices.try_for_each(|plan| plan.device.check_images())
}

fn attestations(
    arguments: &Arguments,
    allowed: &[PathBuf],
) -> Result<Option<Attestations>, Failure> {
    match &arguments.attestations {
        Some(file) if !file.exists() => Err(Failure::usage(NoAttestations { path: file.clone() })),
        Some(file) => Ok(Some(Attestations::load(file, allowed)?)),
        None => Ok(None),
    }
}

/// The deadline stops the run as Ctrl-C does.
fn stop_after(runtime: &Runtime, interrupt: &Interrupt, time: Duration) {
    let interrupt = interrupt.clone();
    runtime.spawn(async move {
        tokio::time::sleep(time).await;
        interrupt.stop(&format!("the deadline of {} s", time.as_secs()));
    });
}
