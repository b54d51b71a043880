//! Devices of the same target share the cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use nix::pty::{OpenptyResult, openpty};
use nix::unistd::ttyname;
use rstest::rstest;
use serde_json::{Value, json};

use crate::resume::until_journal_has;
use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";
/// Test cases that the standard has.
pub(crate) const IDS: [&str; 32] = [
    "5.1-1-2",
    "5.1-2-2",
    "5.1-2A-2",
    "5.1-3-2",
    "5.1-4-2",
    "5.1-5-2",
    "5.11-1-2",
    "5.11-2-2",
    "5.13-1A-2",
    "5.2-1-2",
    "5.3-1-2",
    "5.3-13-2",
    "5.3-16-2",
    "5.3-2-2",
    "5.3-4A-2",
    "5.3-4B-2",
    "5.3-6A-2",
    "5.3-6B-2",
    "5.3-9-2",
    "5.4-1-2",
    "5.4-2-2",
    "5.4-3-2",
    "5.5-1-2",
    "5.5-4-2",
    "5.5-5-2",
    "5.5-6-2",
    "5.5-7-2",
    "5.6-1-2",
    "5.6-2-2",
    "5.6-4A-2",
    "5.7-1-2",
    "5.7-2-2",
];

/// Adds devices to a bench that nobody answers on.
pub(crate) fn with_devices(cli: &Cli, number: u32) -> Vec<OpenptyResult> {
    let consoles: Vec<OpenptyResult> = (0..number).map(|_| openpty(None, None).unwrap()).collect();
    let mut devices = String::new();
    for (n, console) in consoles.iter().enumerate() {
        let port = ttyname(&console.slave).unwrap();
        let _ = write!(
            devices,
            "[[device]]\nname = \"d{n}\"\ntarget = \"sensor\"\nconsole = {{ port = \"{}\" }}\n\n",
            port.display()
        );
    }
    cli.bench.write("devices.toml", devices);
    consoles
}

/// On how many devices each case ran.
fn ran(results: &Value) -> BTreeMap<String, usize> {
    let mut ran = BTreeMap::new();
    for device in results["devices"].as_array().unwrap() {
        for (id, case) in device["cases"].as_object().unwrap() {
            if !case["units"].as_array().unwrap().is_empty() {
                *ran.entry(id.clone()).or_default() += 1;
            }
        }
    }
    ran
}

#[test]
fn each_case_runs_once() {
    let cli = Cli::new();
    let _consoles = with_devices(&cli, 4);
    for id in &IDS[..9] {
        cli.case(id, "", &[('a', PASS)]);
    }
    cli.case("5.9-1-2", "needs = [\"probe\"]", &[('a', PASS)]);
    cli.run(&["--distribute"]).code(4);
    let results = cli.results();
    let ran = ran(&results);
    assert_eq!(ran.len(), 9, "{ran:?}");
    assert!(ran.values().all(|n| *n == 1), "{ran:?}");
    assert_eq!(
        results["counts"],
        json!({"pass": 9, "fail": 0, "error": 0, "inconclusive": 0, "skipped": 1}),
        "what none can run is told once"
    );
    cli.run(&["--each"]).code(4);
    assert_eq!(cli.results()["counts"]["pass"], 36);
}

/// A device that is lost leaves its cases to the others.
#[test]
fn others_take_over() {
    let cli = Cli::new();
    let _consoles = with_devices(&cli, 3);
    let devices = text(&cli.read("devices.toml"));
    cli.bench.write(
        "devices.toml",
        devices.replacen("/dev/pts/", "/dev/no-such-port", 1),
    );
    for id in &IDS[..9] {
        cli.case(id, "", &[('a', "t.wait(0.2, \"work\")")]);
    }
    cli.run(&["--distribute", "--retry-errors", "0"]).code(3);
    let results = cli.results();
    let counts = &results["counts"];
    // The case that it had taken when it was lost.
    assert_eq!(counts["error"], 1, "{counts}");
    assert_eq!(counts["pass"], 8, "{counts}");
    assert_eq!(counts["skipped"], 0, "{counts}");
    assert_eq!(results["devices"][0]["errors"].as_array().unwrap().len(), 1);
}

/// Nobody waits for a board that has nothing left to do.
#[test]
fn a_board_that_is_not_needed_is_not_waited_for() {
    let cli = Cli::new();
    let _consoles = with_devices(&cli, 2);
    cli.case(
        "5.1-1-2",
        "deadline = 3600",
        &[('a', "t.wait(3600, \"for the end of the test\")")],
    );
    let mut other = cli.begin(&["d1", "--runs", "others"]);
    until_journal_has(
        &cli.bench.root().join("others/latest/journal.jsonl"),
        "unit-started",
    );
    for id in &IDS[..3] {
        cli.case(id, "", &[('a', "t.wait(0.2, \"work\")")]);
    }
    // That long only if it waits for the board.
    let output = cli.run(&["--distribute", "--wait", "30"]).code(0);
    let said = text(&output.get_output().stdout);
    assert!(said.contains("WAITING d1: in use by process"), "{said}");
    let results = cli.results();
    assert_eq!(results["counts"]["pass"], 3, "{results}");
    assert_eq!(results["devices"][1]["cases"], json!({}), "{results}");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_longest_comes_first() {
    let cli = Cli::new();
    let _consoles = with_devices(&cli, 1);
    for (n, seconds) in [(1, 0.01), (2, 0.6), (3, 0.3)] {
        let body = format!("t.wait({seconds}, \"work\")");
        cli.case(&format!("5.1-{n}-2"), "", &[('a', &body)]);
    }
    cli.run(&[]).code(0);
    cli.run(&["--distribute"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let order: Vec<String> = journal
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "case-started")
        .map(|event| event["case"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["5.1-2-2", "5.1-3-2", "5.1-1-2"]);
}

/// Prints how near runs of many devices come to the least time that their work could take:
/// `cargo test --release --test cli -- --ignored --nocapture many_devices`.
#[rstest]
#[case::each(64, "--each", &IDS[..25], 8)]
#[case::shared(8, "--distribute", &IDS, 1)]
#[ignore = "a measurement of minutes, for a machine that does nothing else"]
fn many_devices(
    #[case] devices: u32,
    #[case] how: &str,
    #[case] ids: &[&str],
    #[case] rounds: u32,
) {
    let cli = Cli::new();
    let _consoles = with_devices(&cli, devices);
    let mut work = Vec::new();
    for (n, id) in (0_u32..).zip(ids) {
        // In no order: from 0.5 to 3 s where there are 200 of them for each device, else from 2 to 12 s.
        let seconds = (2.0 + f64::from((n * 37) % 101) / 10.0) / if rounds > 1 { 4.0 } else { 1.0 };
        work.push(seconds);
        cli.case(id, "", &[('a', &format!("t.wait({seconds}, \"work\")"))]);
    }
    let whole = work.iter().sum::<f64>() * f64::from(rounds);
    let ideal = match how {
        "--each" => whole,
        _ => whole / f64::from(devices),
    };
    if how == "--distribute" {
        // The first run tells the second how long cases take.
        cli.run(&[how]).code(0);
    }
    let began = Instant::now();
    cli.run(&[how, "--repeat", &rounds.to_string()]).code(0);
    let whole = began.elapsed().as_secs_f64();
    let took = cli.results()["seconds"].as_f64().unwrap();
    println!(
        "{how}, {devices} devices: least {ideal:.2} s, run {took:.2} s (+{:.1} %), with start and reports {whole:.2} s",
        (took / ideal - 1.0) * 100.0
    );
    assert!(took < ideal * 1.03, "{took} s for {ideal} s");
}
