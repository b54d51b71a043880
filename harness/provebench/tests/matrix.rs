//! The proof that the shipped test cases tell a conforming device from a flawed one: all of them
//! pass on the reference sensor as it is, and each flaw fails the very units that are there to
//! find it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use provebench_testing::{TestBench, repository, virtual_sensor};
use rstest::rstest;
use serde::Deserialize;
use serde_json::Value;

const SERIAL: &str = "PB250113";
const PASSWORD: &str = "Jx4u-Ly9n-Tb7s";

/// An entry of the reference sensor's `flaws.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flaw {
    name: String,
    #[allow(dead_code)] // for readers
    what: String,
    /// `5.11-1-2 b`: case and unit.
    fails: Vec<String>,
    label: Option<Label>,
}

#[derive(Deserialize)]
struct Label {
    password: String,
}

#[derive(Deserialize)]
struct File {
    flaw: Vec<Flaw>,
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
fn run(bench: &TestBench, runs: &Path, words: &[&str]) -> (Option<i32>, Value) {
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

/// Units of one device as `5.11-1-2 b`, with outcome and message.
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

/// In parts, beside each other: devices wait more than they work, and whoever is last must not be late.
#[rstest]
fn everything_passes_on_conforming_devices(#[values(0, 1, 2, 3)] part: usize) {
    let cases: BTreeSet<String> = shipped().into_iter().skip(part).step_by(4).collect();
    let words: Vec<&str> = cases.iter().map(String::as_str).collect();
    let bench = TestBench::of_sensors([
        virtual_sensor("one", SERIAL, PASSWORD, None),
        virtual_sensor("two", "PB250114", "vE6r-Qm2z-WdKp", None),
    ]);
    // Kept where ci/test finds it: other programs are to read its JUnit.
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("everything-{part}"));
    let (code, results) = run(&bench, &runs, &words);
    for device in ["one", "two"] {
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

#[rstest]
fn flaws_fail_the_units_that_look_for_them(
    #[values(
        "accepts-downgrade",
        "accepts-unsigned-update",
        "api-info-leak",
        "api-login-unlimited",
        "api-no-auth",
        "api-no-session-expiry",
        "boot-log-leaks-password",
        "boots-modified-image",
        "crash-on-long-input",
        "debug-port-open",
        "forgets-settings-on-power-cut",
        "hard-coded-password",
        "hidden-telnet",
        "ignores-update-choice",
        "loses-buffered-telemetry",
        "mqtt-plaintext-fallback",
        "no-automatic-updates",
        "no-lockout",
        "no-slot-fallback",
        "offers-undeclared-suite",
        "old-password-still-works",
        "password-from-serial",
        "reconnect-storm",
        "remote-debug-log",
        "reports-other-model",
        "reset-keeps-cloud-binding",
        "reset-keeps-user-data",
        "reset-unlinks-only",
        "same-client-cert-on-all-devices",
        "stops-without-cloud",
        "telemetry-extra-personal-data",
        "telemetry-without-consent",
        "tls-accepts-expired",
        "tls-no-verify",
        "tls-wrong-name",
        "undeclared-udp-service",
        "universal-password",
        "update-ignores-signature",
        "update-no-tls-check",
        "update-over-http",
        "weak-session-token",
        "xss-in-api"
    )]
    name: &str,
) {
    let flaws = flaws();
    let flaw = flaws.iter().find(|flaw| flaw.name == name).expect("it");
    let password = flaw.label.as_ref().map_or(PASSWORD, |l| &l.password);
    let bench = TestBench::of_sensors([
        virtual_sensor("flawed", SERIAL, password, Some(name)),
        // Never started: it is what the flawed one's label is compared with.
        virtual_sensor("other", "PB250114", "vE6r-Qm2z-WdKp", None),
    ]);
    let expected: BTreeSet<&str> = flaw.fails.iter().map(String::as_str).collect();
    let mut words: Vec<&str> = expected
        .iter()
        .filter_map(|unit| Some(unit.split_once(' ')?.0))
        .collect();
    words.dedup();
    words.push("flawed");

    // Kept: whoever sees it fail wants to know why.
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("flaws")
        .join(name);
    let (code, results) = run(&bench, &runs, &words);
    let units = units(&results, "flawed");
    let failed: BTreeSet<&str> = units
        .iter()
        .filter(|(_, outcome, _)| outcome == "fail")
        .map(|(unit, _, _)| unit.as_str())
        .collect();
    assert_eq!(failed, expected, "{units:#?}");
    let errors = units.iter().filter(|(_, outcome, _)| outcome == "error");
    assert_eq!(errors.count(), 0, "{units:#?}");
    assert_eq!(code, Some(1));
}

/// The list above, the firmware's and flaws.toml are one.
#[test]
fn every_flaw_is_tried() {
    let source =
        fs::read_to_string(repository().join("harness/provebench/tests/matrix.rs")).expect("this");
    let target = repository().join("targets/reference-sensor/target.toml");
    let target: toml::Table = toml::from_str(&fs::read_to_string(target).expect("it is there"))
        .expect("target.toml is in order");
    let options = target["options"]["flaw"].as_array().expect("a list");
    let options: BTreeSet<&str> = options.iter().filter_map(toml::Value::as_str).collect();
    let flaws = flaws();
    let described: BTreeSet<&str> = flaws.iter().map(|flaw| flaw.name.as_str()).collect();
    assert_eq!(described, options);
    for name in described {
        assert!(
            source.contains(&format!("        \"{name}\"")),
            "{name} is not tried"
        );
    }
}

#[test]
fn every_shipped_case_has_a_flaw() {
    let flaws = flaws();
    let found: BTreeSet<String> = flaws
        .iter()
        .flat_map(|flaw| &flaw.fails)
        .filter_map(|unit| Some(unit.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(found, shipped());
}
