//! Devices of the same target share the cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use nix::pty::{OpenptyResult, openpty};
use nix::unistd::ttyname;
use serde_json::{Value, json};

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";

/// Adds devices to a bench that nobody answers on.
fn with_devices(cli: &Cli, number: usize) -> Vec<OpenptyResult> {
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
    for n in 1..=9 {
        cli.case(&format!("5.1-{n}-2"), "", &[('a', PASS)]);
    }
    cli.case("5.9-1-2", "needs = [\"probe\"]", &[('a', PASS)]);
    cli.run(&["--shard-by-target"]).code(4);
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
    for n in 1..=9 {
        cli.case(&format!("5.1-{n}-2"), "", &[('a', "t.wait(0.2, \"work\")")]);
    }
    cli.run(&["--shard-by-target", "--retry-errors", "0"])
        .code(3);
    let results = cli.results();
    let counts = &results["counts"];
    // The case that it had taken when it was lost.
    assert_eq!(counts["error"], 1, "{counts}");
    assert_eq!(counts["pass"], 8, "{counts}");
    assert_eq!(results["devices"][0]["errors"].as_array().unwrap().len(), 1);
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
    cli.run(&["--shard-by-target"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let order: Vec<String> = journal
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "case-started")
        .map(|event| event["case"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["5.1-2-2", "5.1-3-2", "5.1-1-2"]);
}

/// 64 devices share 200 cases that only wait. `cargo test --test cli -- --ignored --nocapture makespan` prints how
/// near that comes to the ideal.
#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn makespan_of_many_devices() {
    const DEVICES: usize = 64;
    const CASES: usize = 200;
    let cli = Cli::new();
    let _consoles = with_devices(&cli, DEVICES);
    let mut work = Vec::new();
    for n in 0..CASES {
        // From 2 to 12 s, in no order.
        let seconds = 2.0 + ((n * 37) % 101) as f64 / 10.0;
        work.push(seconds);
        let body = format!("t.wait({seconds}, \"work\")");
        let id = format!("5.{}-{}-2", 1 + n % 10, 1 + n / 10);
        cli.case(&id, "", &[('a', &body)]);
    }
    // What the latest run would have told of times.
    let ideal = makespan(&mut work, DEVICES);
    cli.run(&["--shard-by-target", "--runs", "first"]).code(0);
    let began = Instant::now();
    cli.run(&["--shard-by-target", "--runs", "first"]).code(0);
    let whole = began.elapsed().as_secs_f64();
    let results: Value = serde_json::from_slice(&cli.read("first/latest/results.json")).unwrap();
    let took = results["seconds"].as_f64().unwrap();
    println!(
        "ideal {ideal:.2} s, run {took:.2} s (+{:.1} %), with start and reports {whole:.2} s",
        (took / ideal - 1.0) * 100.0
    );
    assert!(took < ideal * 1.03, "{took} s for {ideal} s");
}

/// The least time that the work could take: the mean load, the longest, or what longest-first comes to, whichever is
/// known to be reachable.
fn makespan(work: &mut [f64], devices: usize) -> f64 {
    work.sort_by(|a, b| b.total_cmp(a));
    let mut loads = vec![0.0_f64; devices];
    for seconds in work.iter() {
        let least = loads.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        *least += seconds;
    }
    loads.into_iter().fold(0.0, f64::max)
}
