use std::path::PathBuf;

use clap::Args;
use console::style;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::context::{Files, Selection, Wait, runtime};
use super::doctor;
use super::exit::{Exit, Failure};
use super::output::{out, width};
use super::plan::describe;
use crate::evidence::RunDir;
use crate::inventory::InventoryError;
use crate::report::{self, Results, Terminal, junit};
use crate::runner::{self, Interrupt, Options, Plan};
use crate::script::Attestations;

/// Run test cases: program the devices, drive them, judge them, report
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Where the run's own folder with reports and evidence is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// Answers of human assessors [default: attestations.toml in the target's folder, where there is one]
    #[arg(long, value_name = "FILE")]
    attestations: Option<PathBuf>,
    /// Makes random data of the test cases the same as in the run that printed this number
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
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
    let suite = files.suite()?;
    let plan = Plan::new(&inventory, &suite, arguments.selection.filter())?;
    check_images(&plan)?;
    let options = Options {
        wait: arguments.wait.limit(),
        seed: arguments.seed.unwrap_or_else(rand::random),
        attestations: attestations(arguments)?,
        interrupt: Interrupt::default(),
    };
    tidy();
    let dir = RunDir::create(&arguments.runs)?;
    let runtime = runtime()?;
    listen(&runtime, &options.interrupt);
    out(&describe(&plan));

    let mut terminal = Terminal::new();
    let results = runner::run(&plan, &dir, &options, runtime.handle(), &mut |stamped| {
        terminal.show(&stamped.event);
    })?;
    let reports = write_reports(&results, &dir)?;
    out("\n");
    out(&report::summary(&results, dir.path(), width()));
    out(&reports);
    out(&style(format!("seed      {}\n", options.seed))
        .dim()
        .to_string());
    Ok(Exit::of(&results))
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

fn attestations(arguments: &Arguments) -> Result<Option<Attestations>, Failure> {
    match &arguments.attestations {
        Some(file) if !file.exists() => Err(Failure::usage(NoAttestations { path: file.clone() })),
        Some(file) => Ok(Some(Attestations::load(file)?)),
        None => Ok(None),
    }
}

fn write_reports(results: &Results, dir: &RunDir) -> Result<String, Failure> {
    let mut xml = Vec::new();
    junit::write(results, dir.path(), &mut xml).map_err(Failure::bench)?;
    let junit = dir.write("junit.xml", &xml)?;
    let json = serde_json::to_vec_pretty(results).unwrap_or_default();
    let results = dir.write("results.json", &json)?;
    let manifest = dir.seal()?;
    Ok([
        ("JUnit", junit),
        ("results", results),
        ("evidence", manifest),
    ]
    .map(|(what, path)| format!("{what:9} {}\n", path.display()))
    .concat())
}

/// Ctrl-C stops the run between steps, and once more at once. The kernel then gives back leases
/// and ends virtual boards.
fn listen(runtime: &Runtime, interrupt: &Interrupt) {
    let signals = [
        ("SIGINT", SignalKind::interrupt()),
        ("SIGTERM", SignalKind::terminate()),
        ("SIGHUP", SignalKind::hangup()),
    ];
    let _context = runtime.enter();
    for (name, kind) in signals {
        // Without a handler the signal ends the process, which is what it would do anyway.
        let Ok(mut signal) = signal(kind) else {
            continue;
        };
        let interrupt = interrupt.clone();
        runtime.spawn(async move {
            while signal.recv().await.is_some() {
                if !interrupt.stop(name) {
                    std::process::exit(Exit::Interrupted as i32);
                }
            }
        });
    }
}
