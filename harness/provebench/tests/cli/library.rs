//! A run without the command line: request in, outcome out, and reporters in between.

use std::sync::{Arc, Mutex};

use provebench::run::{Prepared, RunError, RunOutcome, RunRequest, Work, Written};
use provebench::runner::{Filter, Interrupt};
use provebench_bench::inventory::Inventory;
use provebench_record::event::{Event, Settings, SkipKind, Stamped};
use provebench_record::report::{Reporter, Results};
use provebench_script::Suite;
use provebench_standard::Verdict;
use serde_json::Value;

use crate::Cli;

const PASS: &str = "t.expect(True, \"never\")";

/// Notes which events it was told of, and does something at each.
struct Notes<F> {
    told: Vec<String>,
    act: F,
}

impl<F: FnMut(&Event)> Notes<F> {
    fn acting(act: F) -> Self {
        let told = Vec::new();
        Self { told, act }
    }
}

impl<F: FnMut(&Event)> Reporter for Notes<F> {
    fn report(&mut self, stamped: &Stamped, _: &Results) {
        let told = serde_json::to_value(&stamped.event).unwrap();
        self.told.push(told["event"].as_str().unwrap().to_owned());
        (self.act)(&stamped.event);
    }
}

/// Runs on device `one`, or goes on with the latest run.
fn run(
    cli: &Cli,
    is_resumed: bool,
    interrupt: &Interrupt,
    reporters: &mut [&mut dyn Reporter],
) -> Result<(RunOutcome, Written), RunError> {
    let words = ["one".to_owned()];
    let filter = Filter {
        words: &words,
        ..Filter::default()
    };
    run_these(cli, filter, is_resumed, interrupt, reporters)
}

fn run_these(
    cli: &Cli,
    filter: Filter<'_>,
    is_resumed: bool,
    interrupt: &Interrupt,
    reporters: &mut [&mut dyn Reporter],
) -> Result<(RunOutcome, Written), RunError> {
    let bench = &cli.bench;
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let suite = Suite::load(Some(&bench.root().join("testcases"))).unwrap();
    let settings = Settings {
        seed: 7,
        ..Settings::default()
    };
    let request = RunRequest {
        inventory: &inventory,
        suite: &suite,
        work: if is_resumed {
            Work::Resume("latest")
        } else {
            Work::New { filter, settings }
        },
        runs: &bench.root().join("runs"),
        attestations: None,
        baseline: None,
        quarantine_after: None,
        deadline: None,
        unit_deadline: None,
        wait: None,
        secrets: provebench::redact::Secrets::default(),
        interrupt: interrupt.clone(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    provebench::run(request, runtime.handle(), reporters)
}

#[test]
fn request_in_outcome_out() {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', PASS)]);
    cli.case("5.11-1-2", "", &[('a', "t.fail(\"user data is left\")")]);
    let shared = Arc::new(Mutex::new(Vec::new()));
    let verdicts = shared.clone();
    // What is told of a case is what results have of it then.
    let mut second = |stamped: &Stamped, results: &Results| {
        if let Event::CaseFinished { device, case, .. } = &stamped.event {
            let verdict = results.case_on(device, case).unwrap().verdict;
            verdicts.lock().unwrap().push((case.to_string(), verdict));
        }
    };
    let mut first = Notes::acting(|_| {});
    let reporters: &mut [&mut dyn Reporter] = &mut [&mut first, &mut second];
    let (outcome, written) = run(&cli, false, &Interrupt::default(), reporters).unwrap();

    assert_eq!(outcome.results.verdict, Some(Verdict::Fail));
    assert!(!outcome.results.interrupted);
    assert_eq!(
        *shared.lock().unwrap(),
        [
            ("5.1-1-2".to_owned(), Some(Verdict::Pass)),
            ("5.11-1-2".to_owned(), Some(Verdict::Fail)),
        ]
    );
    let told: Vec<&str> = first.told.iter().map(String::as_str).collect();
    assert_eq!(told.first(), Some(&"run-started"));
    assert_eq!(told.last(), Some(&"run-finished"));
    let finished = told.iter().filter(|told| **told == "unit-finished");
    assert_eq!(finished.count(), 2, "{told:?}");

    assert!(written.incomplete.is_none(), "{written:?}");
    let reports: Vec<&str> = written.reports.iter().map(|(what, _)| *what).collect();
    assert_eq!(reports, ["results", "JUnit", "evidence"]);
    let kept: Value =
        serde_json::from_slice(&std::fs::read(&written.reports[0].1).unwrap()).unwrap();
    assert_eq!(kept, serde_json::to_value(&outcome.results).unwrap());
}

/// Whoever called stops it, and goes on with it by another call.
#[test]
fn a_run_is_cancelled_and_resumed() {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', PASS)]);
    let wait = "t.wait(3600, \"to be cancelled\")";
    cli.case("5.11-1-2", "deadline = 3600", &[('a', wait)]);
    let interrupt = Interrupt::default();
    let stop = interrupt.clone();
    let mut notes = Notes::acting(|event| match event {
        Event::UnitStarted { case, .. } if case.to_string() == "5.11-1-2" => {
            stop.stop("the test");
        }
        _ => {}
    });
    let (outcome, _) = run(&cli, false, &interrupt, &mut [&mut notes]).unwrap();
    assert!(outcome.results.interrupted);
    assert!(
        notes.told.contains(&"interrupted".to_owned()),
        "{:?}",
        notes.told
    );
    let later = "5.11-1-2".parse().unwrap();
    let case = outcome.results.case_on("one", &later).unwrap();
    let skip = case.skip.as_ref().map(|skip| skip.kind);
    assert_eq!(skip, Some(SkipKind::Interrupted), "{case:?}");
    drop(outcome);

    cli.case("5.11-1-2", "", &[('a', PASS)]);
    let mut notes = Notes::acting(|_| {});
    let (outcome, _) = run(&cli, true, &Interrupt::default(), &mut [&mut notes]).unwrap();
    assert_eq!(outcome.results.verdict, Some(Verdict::Pass));
    let begun = notes.told.iter().filter(|told| *told == "case-started");
    assert_eq!(begun.count(), 1, "{:?}", notes.told);
}

#[test]
fn what_can_not_be_run_leaves_nothing() {
    let cli = Cli::new();
    cli.passing();
    let words = ["nobody".to_owned()];
    let filter = Filter {
        words: &words,
        ..Filter::default()
    };
    let mut notes = Notes::acting(|_| {});
    let interrupt = Interrupt::default();
    let refused = run_these(&cli, filter, false, &interrupt, &mut [&mut notes]).unwrap_err();
    assert!(matches!(refused, RunError::Plan(_)), "{refused:?}");
    assert!(notes.told.is_empty());
    assert!(!cli.bench.root().join("runs").exists());
}

/// The plan can be looked at before anything runs.
#[test]
fn a_prepared_run_has_its_plan_and_has_touched_nothing() {
    let cli = Cli::new();
    cli.passing();
    let bench = &cli.bench;
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let suite = Suite::load(Some(&bench.root().join("testcases"))).unwrap();
    let runs = bench.root().join("runs");
    let prepared = Prepared::new(RunRequest {
        inventory: &inventory,
        suite: &suite,
        work: Work::New {
            filter: Filter::default(),
            settings: Settings::default(),
        },
        runs: &runs,
        attestations: None,
        baseline: None,
        quarantine_after: None,
        deadline: None,
        unit_deadline: None,
        wait: None,
        secrets: provebench::redact::Secrets::default(),
        interrupt: Interrupt::default(),
    })
    .unwrap();
    let planned = prepared.plan.devices.iter().map(|plan| plan.run.len());
    assert_eq!(planned.collect::<Vec<_>>(), [1, 1]);
    assert!(!runs.exists());
}
