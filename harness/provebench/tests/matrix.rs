//! The proof that the shipped test cases tell a conforming device from a flawed one: all of them pass on the reference
//! sensor as it is, and each flaw fails the very units that are there to find it.
//!
//! There is a test for each flaw of the reference sensor's `flaws.toml`, which is read when the tests run: that is why they
//! have a `main` of their own. On a flawed device only the units run that must fail; with `PROVEBENCH_TEST_ALL` set, as
//! `ci/test --all` does, the whole cases, which shows false alarms, and conforming devices run in pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use libtest_mimic::{Arguments, Trial};
use provebench_testing::{TestBench, repository, virtual_sensor};
use serde::Deserialize;
use serde_json::Value;

const SERIAL: &str = "PB250113";
const PASSWORD: &str = "Jx4u-Ly9n-Tb7s";

/// All cases are run in so many parts, beside each other: devices wait more than they work.
const PARTS: usize = 6;

/// An entry of the reference sensor's `flaws.toml`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flaw {
    name: String,
    #[allow(dead_code)] // for the driver and the firmware
    number: u32,
    #[allow(dead_code)] // for readers
    what: String,
    /// `5.11-1-2 b`: case and unit.
    fails: Vec<String>,
    label: Option<Label>,
}

#[derive(Clone, Deserialize)]
struct Label {
    password: String,
}

#[derive(Deserialize)]
struct File {
    flaw: Vec<Flaw>,
}

fn main() {
    let mut arguments = Arguments::from_args();
    // What runs first is what takes longest.
    let everything = (0..PARTS).map(|part| {
        let name = format!("everything_passes_on_conforming_devices::part_{part}");
        Trial::test(name, move || {
            everything_passes_on_conforming_devices(part);
            Ok(())
        })
    });
    let flaws = flaws();
    let cases = {
        let flaws = flaws.clone();
        let test = move || {
            every_shipped_case_has_a_flaw(&flaws);
            Ok(())
        };
        Trial::test("every_shipped_case_has_a_flaw", test)
    };
    let flaws = flaws.into_iter().map(|flaw| {
        let name = format!("flaws_fail_the_units_that_look_for_them::{}", flaw.name);
        Trial::test(name, move || {
            flaws_fail_the_units_that_look_for_them(&flaw);
            Ok(())
        })
    });
    let tests = everything.chain(flaws).chain([cases]).collect();
    if arguments.test_threads.is_none() {
        let asked = env::var("RUST_TEST_THREADS");
        arguments.test_threads = asked.ok().and_then(|threads| threads.parse().ok());
    }
    libtest_mimic::run(&arguments, tests).exit();
}

/// Whether to run what takes a night, or what a change has to wait for.
fn is_nightly() -> bool {
    env::var_os("PROVEBENCH_TEST_ALL").is_some_and(|all| !all.is_empty())
}

fn flaws() -> Vec<Flaw> {
    let path = repository().join("targets/reference-sensor/flaws.toml");
    let text = fs::read_to_string(path).expect("flaws.toml is there");
    toml::from_str::<File>(&text).expect("it is in order").flaw
}

/// Identifiers of the shipped test cases.
fn shipped() -> BTreeSet<String> {
    let clauses = fs::read_dir(repository().join("testcases")).expect("test cases are there");
    clauses
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_dir() && !path.ends_with("lib"))
        .flat_map(|clause| fs::read_dir(clause).expect("it can be listed"))
        .map(|entry| entry.expect("it can be listed").path())
        .map(|script| {
            script
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// Runs these words of `provebench run` on the bench, into a folder; exit code and `results.json`.
fn run(bench: &TestBench, runs: &Path, words: &[String]) -> (Option<i32>, Value) {
    let leases = bench.root().join("leases");
    let output = Command::new(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(repository())
        .args(["run", "--runs"])
        .arg(runs)
        .args(bench.args())
        .args(words)
        .env("PROVEBENCH_LEASES", leases)
        .env("XDG_STATE_HOME", bench.root().join("state"))
        .output()
        .expect("provebench runs");
    let results = fs::read(runs.join("latest/results.json"))
        .unwrap_or_else(|_| panic!("no results: {output:?}"));
    let results = serde_json::from_slice(&results).expect("results.json is JSON");
    (output.status.code(), results)
}

/// Units of one device as `5.11-1-2 b`, with outcome and message; of one that runs for rows, each row.
fn units(results: &Value, device: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let devices = results["devices"].as_array().expect("devices");
    let device = devices.iter().find(|d| d["name"] == device).expect("it");
    let cases = device["cases"].as_object().expect("cases");
    cases
        .iter()
        .flat_map(|(id, case)| {
            let units = case["units"].as_array().expect("units");
            units.iter().map(move |unit| {
                (
                    format!("{id} {}", text(&unit["unit"])),
                    text(&unit["outcome"]),
                    text(&unit["message"]),
                )
            })
        })
        .collect()
}

fn everything_passes_on_conforming_devices(part: usize) {
    let cases: BTreeSet<String> = shipped().into_iter().skip(part).step_by(PARTS).collect();
    let mut words: Vec<String> = cases.iter().cloned().collect();
    let mut devices = vec!["one"];
    if is_nightly() {
        devices.push("two");
    } else {
        // The other one is what its label is compared with.
        words.push("one".into());
    }
    let bench = TestBench::of_sensors([
        virtual_sensor("one", SERIAL, PASSWORD, None),
        virtual_sensor("two", "PB250114", "vE6r-Qm2z-WdKp", None),
    ]);
    // Kept where ci/test finds it: other programs are to read its JUnit.
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("everything-{part}"));
    let (code, results) = run(&bench, &runs, &words);
    for device in devices {
        let units = units(&results, device);
        for (unit, outcome, message) in &units {
            assert_eq!(outcome, "pass", "{unit} on {device}: {message}");
        }
        let ran: BTreeSet<String> = units
            .iter()
            .filter_map(|(unit, _, _)| Some(unit.split_once(' ')?.0.to_owned()))
            .collect();
        assert_eq!(ran, cases, "nothing was left out");
    }
    assert_eq!(code, Some(0));
}

fn flaws_fail_the_units_that_look_for_them(flaw: &Flaw) {
    let password = flaw.label.as_ref().map_or(PASSWORD, |l| &l.password);
    let bench = TestBench::of_sensors([
        virtual_sensor("flawed", SERIAL, password, Some(&flaw.name)),
        // Never started: it is what the flawed one's label is compared with.
        virtual_sensor("other", "PB250114", "vE6r-Qm2z-WdKp", None),
    ]);
    let expected: BTreeSet<&str> = flaw.fails.iter().map(String::as_str).collect();
    let mut letters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for unit in &expected {
        let (case, letter) = unit.split_once(' ').expect("a case and a unit");
        letters.entry(case).or_default().push(letter);
    }
    let cases = letters.iter().map(|(case, letters)| {
        if is_nightly() {
            (*case).to_owned()
        } else {
            format!("{case}:{}", letters.join(","))
        }
    });
    let words: Vec<String> = cases.chain(["flawed".to_owned()]).collect();

    // Kept: whoever sees it fail wants to know why.
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("flaws")
        .join(&flaw.name);
    let (code, results) = run(&bench, &runs, &words);
    let units = units(&results, "flawed");
    let failed: BTreeSet<&str> = units
        .iter()
        .filter(|(_, outcome, _)| outcome == "fail")
        .map(|(unit, _, _)| {
            unit.split_once(" [")
                .map_or(unit.as_str(), |(unit, _)| unit)
        })
        .collect();
    assert_eq!(failed, expected, "{units:#?}");
    let errors = units.iter().filter(|(_, outcome, _)| outcome == "error");
    assert_eq!(errors.count(), 0, "{units:#?}");
    assert_eq!(code, Some(1));
}

fn every_shipped_case_has_a_flaw(flaws: &[Flaw]) {
    let found: BTreeSet<String> = flaws
        .iter()
        .flat_map(|flaw| &flaw.fails)
        .filter_map(|unit| Some(unit.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(found, shipped());
}
