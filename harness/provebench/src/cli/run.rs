use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use console::style;
use nix::sys::stat::{Mode, umask};

use super::compare::Baseline;
use super::context::{Files, LONGEST, Runs, Selection, Wait, runtime};
use super::exit::{Exit, Failure};
use super::output::{out, width};
use super::plan::describe;
use super::stop;
use crate::doctor::Tidied;
use crate::run::{Prepared, RunError, RunRequest, Work};
use crate::runner::Interrupt;
use provebench_bench::inventory::FolderMode;
use provebench_record::event::Settings;
use provebench_record::report::{Terminal, summary};

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

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    let inventory = files.inventory()?;
    let mode = arguments.runs_mode.or(inventory.runs_mode);
    // Whatever keeps something of the run, for all threads and programs.
    umask(Mode::from_bits_truncate(mode.unwrap_or_default().umask()));
    let suite = files.suite()?;
    let expression = arguments.selection.expression(&arguments.runs)?;
    let work = match &arguments.resume {
        Some(run) => Work::Resume(run),
        None => Work::New {
            filter: arguments.selection.filter(expression.as_ref()),
            settings: settings(arguments),
        },
    };
    let interrupt = Interrupt::default();
    let prepared = Prepared::new(RunRequest {
        inventory: &inventory,
        suite: &suite,
        work,
        runs: &arguments.runs.folder,
        attestations: arguments.attestations.as_deref(),
        baseline: arguments.baseline.request(),
        quarantine_after: NonZeroU32::new(arguments.quarantine_after),
        deadline: arguments.deadline.map(Duration::from_secs),
        unit_deadline: arguments.unit_deadline.map(Duration::from_secs),
        wait: arguments.wait.limit(),
        secrets: files.secrets(&inventory),
        interrupt: interrupt.clone(),
    })?;
    tell_tidied(&prepared.tidied);
    let runtime = runtime()?;
    stop::listen(&runtime, move |reason| {
        interrupt.stop(&reason.to_string());
    });
    out(&describe(&prepared.plan));

    let mut terminal = Terminal::new();
    let outcome = prepared.run(runtime.handle(), &mut [&mut terminal])?;
    let results = &outcome.results;
    out("\n");
    out(&summary(results, outcome.dir.path(), width()));
    if let Some(changes) = &results.changes {
        out(&format!("{}\n", changes.to_text()));
    }
    let written = outcome.write_reports();
    for (what, path) in &written.reports {
        out(&format!("{what:9} {}\n", path.display()));
    }
    // Whatever still hangs somewhere, it is told.
    runtime.shutdown_background();
    out(&style(format!("seed      {}\n", results.settings.seed))
        .dim()
        .to_string());
    match written.incomplete {
        Some(incomplete) => Err(Failure::bench(incomplete)),
        None => Ok(arguments.baseline.exit(results)),
    }
}

/// After a run that was killed. What can't be put right is no obstacle here, and `doctor` tells it.
fn tell_tidied(tidied: &Tidied) {
    for line in &tidied.done {
        out(&format!("left behind by a run that was killed: {line}\n"));
    }
    for problem in &tidied.problems {
        tracing::warn!("{problem:?}");
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Evidence(error) => Self::bench(error),
            error => Self::usage(error),
        }
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
