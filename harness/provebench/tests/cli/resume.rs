//! A run that is killed at any moment, and gone on with.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rstest::rstest;
use serde_json::Value;

use crate::attempts::Relays;
use crate::sharing::{IDS, with_devices};
use crate::{Cli, text};

const PASS: &str = "t.wait(0.03, \"work\")";
const FAIL: &str = "t.fail(\"user data is left\")";
const INCONCLUSIVE: &str = "t.inconclusive(\"can't tell\")";
const ERROR: &str = "t.probe.read(0, 4)";

/// Many short cases of every outcome.
fn bench() -> Cli {
    let cli = Cli::new();
    let outcomes = [PASS, FAIL, INCONCLUSIVE, ERROR];
    // Those of the standard that have three units.
    let cases = [
        "5.1-1-2", "5.3-13-2", "5.5-4-2", "5.6-1-2", "5.11-1-2", "5.11-2-2",
    ];
    for (id, last) in cases.iter().zip(outcomes.iter().cycle()) {
        cli.case(id, "", &[('a', PASS), ('b', last), ('c', PASS)]);
    }
    cli.case("5.9-1-2", "needs = [\"probe\"]", &[('a', PASS)]);
    cli
}

fn start(cli: &Cli, arguments: &[&str]) -> Child {
    cli.program(&["run"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn interrupt(child: &mut Child) {
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

pub(crate) fn until_journal_has(journal: &Path, text: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !std::fs::read_to_string(journal).is_ok_and(|journal| journal.contains(text)) {
        assert!(Instant::now() < deadline, "no {text} within a minute");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Device, case and unit, or the case alone if it was not run, with all outcomes that `results.json` has.
fn outcomes(results: &Value) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for device in results["devices"].as_array().unwrap() {
        for (id, case) in device["cases"].as_object().unwrap() {
            let name = format!("{} {id}", device["name"].as_str().unwrap());
            for unit in case["units"].as_array().unwrap() {
                let outcome = unit["outcome"].as_str().unwrap().to_owned();
                let unit = unit["unit"].as_str().unwrap();
                all.entry(format!("{name} {unit}"))
                    .or_default()
                    .push(outcome);
            }
            if let Some(kind) = case["skip"]["kind"].as_str() {
                all.entry(name).or_default().push(kind.to_owned());
            }
        }
    }
    all
}

/// No case was begun again after it had come to its end.
fn check_journal(cli: &Cli) {
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let mut over: Vec<(String, String)> = Vec::new();
    let mut started = 0;
    for line in journal.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let key = (word("device"), word("case"));
        match event["event"].as_str().unwrap() {
            "run-started" => started += 1,
            "case-started" => assert!(!over.contains(&key), "{key:?} ran again: {journal}"),
            "case-finished" => over.push(key),
            _ => {}
        }
    }
    assert_eq!(started, 1, "{journal}");
}

fn sealed(cli: &Cli) {
    let check = Command::new("sha256sum")
        .args(["--check", "--quiet", "--strict", "manifest.sha256"])
        .current_dir(cli.bench.root().join("runs/latest"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
}

/// Kills a run and each of its continuations `kills` times in all, then lets it end.
fn killed_again_and_again(seed: u64, kills: usize, arguments: &[&str]) {
    let mut random = StdRng::seed_from_u64(seed);
    let cli = bench();
    cli.run(arguments).code(1);
    let whole = cli.results();
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    let lines = || {
        let journal = std::fs::read_to_string(&journal).unwrap_or_default();
        journal.lines().count()
    };
    let per_kill = lines() / kills + 1;

    std::fs::remove_dir_all(cli.bench.root().join("runs")).unwrap();
    let mut child = start(&cli, arguments);
    for _ in 0..kills {
        // Some way on in the journal, and then some time more: not only where it has just been written.
        let until = lines() + random.random_range(0..=per_kill);
        while child.try_wait().unwrap().is_none() && lines() < until {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(random.random_range(0..30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let has_begun = std::fs::read_to_string(&journal).is_ok_and(|text| text.contains('\n'));
        child = if has_begun {
            start(&cli, &["--resume", "latest"])
        } else {
            start(&cli, arguments)
        };
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let resumed = cli.results();
    assert_eq!(outcomes(&resumed), outcomes(&whole), "seed {seed}");
    let counts = |results: &Value| {
        let mut counts = results["counts"].clone();
        counts.as_object_mut().unwrap().remove("retries");
        counts
    };
    assert_eq!(counts(&resumed), counts(&whole));
    assert_eq!(resumed["verdict"], whole["verdict"]);
    assert_eq!(resumed["interrupted"], false);
    assert_eq!(resumed["settings"]["repeat"], whole["settings"]["repeat"]);
    sealed(&cli);
    if !arguments.contains(&"--repeat") {
        check_journal(&cli);
    }
}

#[rstest]
fn no_verdict_is_lost_or_doubled(#[values(1, 2, 3)] seed: u64) {
    killed_again_and_again(seed, 4, &["--seed", "7"]);
}

#[test]
fn rounds_are_counted_over_kills() {
    killed_again_and_again(4, 4, &["--seed", "7", "--repeat", "3", "one"]);
}

/// `PROVEBENCH_KILLS=300 cargo test --test cli -- --ignored killed_at_many_points`
#[test]
#[ignore = "takes minutes"]
fn killed_at_many_points() {
    let kills = std::env::var("PROVEBENCH_KILLS").map_or(100, |n| n.parse().unwrap());
    for seed in 0..kills / 5 {
        killed_again_and_again(seed, 5, &["--seed", "7"]);
    }
}

/// Boards that share the work: each case has its verdict on one of them.
#[test]
fn shared_work_is_shared_again() {
    let cli = bench();
    let mut child = start(&cli, &["--distribute", "--runs", "runs"]);
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    until_journal_has(&journal, "case-finished");
    child.kill().unwrap();
    child.wait().unwrap();
    cli.run(&["--resume", "latest"]).code(1);
    check_journal(&cli);
    let mut units = BTreeMap::new();
    for key in outcomes(&cli.results()).keys() {
        let (_, case) = key.split_once(' ').unwrap();
        *units.entry(case.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(units.len(), 6 * 3 + 1, "{units:?}");
    assert!(units.values().all(|n| *n == 1), "{units:?}");
}

/// What the last board to leave was told of is run by whichever board comes first, and told once.
#[test]
fn shared_work_that_was_interrupted_is_shared_again() {
    let cli = Cli::new();
    let begun = ["5.1-1-2", "5.1-2-2"];
    let pending = ["5.3-2-2", "5.5-4-2", "5.6-1-2", "5.11-1-2"];
    for id in begun.iter().chain(&pending) {
        let wait = "t.wait(3600, \"for the signal\")";
        cli.case(id, "deadline = 3600", &[('a', wait)]);
    }
    let mut child = start(&cli, &["--distribute"]);
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    for device in ["one", "two"] {
        let started = format!("\"unit-started\",\"device\":\"{device}\"");
        until_journal_has(&journal, &started);
    }
    interrupt(&mut child);
    let results = cli.results();
    assert_eq!(results["counts"]["skipped"], 6, "{results}");
    // It takes its time now, so that the other board does its work.
    let devices = results["devices"].as_array().unwrap();
    let told = devices
        .iter()
        .find(|device| !device["cases"]["5.3-2-2"].is_null())
        .unwrap();
    let slow = format!(
        "t.device.name == {} and t.wait(2, \"slowly\")",
        told["name"]
    );
    for id in begun.iter().chain(&pending) {
        cli.case(id, "", &[('a', &slow)]);
    }
    cli.run(&["--resume", "latest"]).code(0);
    let results = cli.results();
    assert_eq!(results["counts"]["pass"], 6, "{results}");
    assert_eq!(results["counts"]["skipped"], 0, "{results}");
    assert_eq!(outcomes(&results).len(), 6, "{results}");
    let junit = text(&cli.read("runs/latest/junit.xml"));
    assert_eq!(junit.matches("<testcase ").count(), 6, "{junit}");
}

/// A case that was left and can't be run any more is still told.
#[test]
fn what_was_left_and_is_missing_now_is_inconclusive() {
    let cli = Cli::new();
    cli.case(
        "5.1-1-2",
        "deadline = 3600",
        &[('a', "t.wait(3600, \"for the signal\")")],
    );
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    let mut child = start(&cli, &["one"]);
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    until_journal_has(&journal, "unit-started");
    interrupt(&mut child);
    cli.case("5.1-1-2", "", &[('a', PASS)]);
    cli.case("5.11-1-2", "needs = [\"probe\"]", &[('a', PASS)]);
    cli.run(&["--resume", "latest"]).code(4);
    let results = cli.results();
    let case = &results["devices"][0]["cases"]["5.11-1-2"];
    assert_eq!(case["skip"]["kind"], "missing", "{results}");
    assert_eq!(results["counts"]["pass"], 1, "{results}");
}

/// A FAIL that was shown before the kill stays one, whatever the next attempt shows.
#[test]
fn a_fail_of_the_killed_attempt_counts() {
    let cli = Cli::new();
    let units = [('a', FAIL), ('b', "t.wait(3600, \"for the kill\")")];
    cli.case("5.1-1-2", "deadline = 3600", &units);
    let mut child = start(&cli, &["one"]);
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    until_journal_has(&journal, "\"unit\":\"b\"");
    // Nobody else may go on with it meanwhile.
    let output = cli.run(&["--resume", "latest"]).code(3);
    let said = text(&output.get_output().stderr);
    assert!(said.contains("under way"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    cli.case("5.1-1-2", "", &[('a', PASS), ('b', PASS)]);
    cli.run(&["--resume", "latest"]).code(1);
    let case = cli.results()["devices"][0]["cases"]["5.1-1-2"].clone();
    assert_eq!(case["units"][0]["outcome"], "fail", "{case}");
    assert_eq!(case["units"][1]["outcome"], "pass", "{case}");
    assert_eq!(case["attempts"].as_array().unwrap().len(), 2, "{case}");
    // What shows it is the evidence of the attempt that was killed.
    assert_eq!(case["evidence"], "cases/one/5.1-1-2", "{case}");
    let files = case["files"].as_array().unwrap();
    assert!(files.contains(&"steps.jsonl".into()), "{case}");
}

/// Rounds that are over are not run again, whatever stopped the run; one that was cut short is.
#[test]
fn rounds_that_are_over_stay() {
    let cli = Cli::new();
    cli.passing();
    // Random data differs by round: the first one passes, the second one waits.
    let second = "t.canary(\"x\") == FIRST or t.wait(3600, \"too long\")";
    cli.case(
        "5.11-1-2",
        "deadline = 3600",
        &[('a', "t.log(t.canary(\"x\"))")],
    );
    cli.run(&["one", "5.11", "--seed", "7"]).code(0);
    let steps = text(&cli.read("runs/latest/cases/one/5.11-1-2/steps.jsonl"));
    let log: Value = steps
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|step| step["name"] == "log")
        .unwrap();
    let first = log["arguments"]["message"].to_string();
    cli.case(
        "5.11-1-2",
        "deadline = 3600",
        &[('a', &second.replace("FIRST", &first))],
    );
    let mut child = start(
        &cli,
        &["one", "--seed", "7", "--repeat", "2", "--runs", "again"],
    );
    let journal = cli.bench.root().join("again/latest/journal.jsonl");
    let begun = "\"case\":\"5.11-1-2\",\"attempt\":{\"round\":2";
    until_journal_has(&journal, begun);
    interrupt(&mut child);
    let results =
        || -> Value { serde_json::from_slice(&cli.read("again/latest/results.json")).unwrap() };
    let attempts = |results: &Value, id: &str| {
        let attempts = results["devices"][0]["cases"][id]["attempts"].clone();
        attempts.as_array().map_or(1, Vec::len)
    };
    assert_eq!(attempts(&results(), "5.1-1-2"), 2);
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    cli.run(&["--resume", "latest", "--runs", "again"]).code(0);
    let results = results();
    assert_eq!(attempts(&results, "5.1-1-2"), 2, "{results}");
    assert_eq!(attempts(&results, "5.11-1-2"), 3, "{results}");
    assert_eq!(results["counts"]["skipped"], 0, "{results}");
}

#[test]
fn what_quarantine_left_is_run() {
    let cli = Cli::new();
    let relays = Relays::new(usize::MAX);
    relays.wire(&cli);
    for id in ["5.1-1-2", "5.3-2-2", "5.11-1-2"] {
        cli.case(id, "", &[('a', "t.press(\"reset\", 0.001)")]);
    }
    let arguments = ["one", "--retry-errors", "0", "--quarantine-after", "2"];
    cli.run(&arguments).code(3);
    assert_eq!(cli.results()["counts"]["skipped"], 1);
    relays.mend();
    cli.run(&["--resume", "latest", "--retry-errors", "0"])
        .code(3);
    let counts = &cli.results()["counts"];
    assert_eq!((&counts["pass"], &counts["error"]), (&1.into(), &2.into()));
    assert_eq!(counts["skipped"], 0);
}

/// Of a bench that can't be opened one ERROR tells; that attempt and all that was not begun are made later.
#[test]
fn what_a_broken_bench_left_is_run() {
    let cli = Cli::new();
    for id in ["5.1-1-2", "5.3-2-2", "5.11-1-2"] {
        cli.case(id, "", &[('a', PASS)]);
    }
    let devices = text(&cli.read("devices.toml"));
    cli.bench.write(
        "devices.toml",
        devices.replacen("/dev/pts/", "/dev/no-such-port", 1),
    );
    cli.run(&["one", "--retry-errors", "0"]).code(3);
    let results = cli.results();
    assert_eq!(results["counts"]["error"], 1, "{results}");
    assert_eq!(results["counts"]["skipped"], 2, "{results}");
    let skip = &results["devices"][0]["cases"]["5.11-1-2"]["skip"];
    assert_eq!(skip["kind"], "quarantined", "{results}");
    let reason = skip["reason"].as_str().unwrap();
    assert!(reason.contains("/dev/no-such-port"), "{reason}");
    cli.bench.write("devices.toml", devices);
    all_pass_when_resumed(&cli);
}

#[test]
fn what_a_board_in_use_left_is_run() {
    let cli = Cli::new();
    let ids = ["5.1-1-2", "5.3-2-2", "5.11-1-2"];
    for id in ids {
        let wait = "t.wait(3600, \"for the kill\")";
        cli.case(id, "deadline = 3600", &[('a', wait)]);
    }
    let mut other = start(&cli, &["one", "--runs", "others"]);
    let journal = cli.bench.root().join("others/latest/journal.jsonl");
    until_journal_has(&journal, "unit-started");
    cli.run(&["one"]).code(3);
    other.kill().unwrap();
    other.wait().unwrap();
    let results = cli.results();
    assert_eq!(results["counts"]["error"], 1, "{results}");
    assert_eq!(results["counts"]["skipped"], 2, "{results}");
    for id in ids {
        cli.case(id, "", &[('a', PASS)]);
    }
    all_pass_when_resumed(&cli);
}

/// Three cases; that the bench had failed shows in the attempts.
fn all_pass_when_resumed(cli: &Cli) {
    cli.run(&["--resume", "latest"]).code(0);
    let results = cli.results();
    assert_eq!(results["counts"]["pass"], 3, "{results}");
    assert_eq!(results["counts"]["error"], 0, "{results}");
    assert_eq!(results["counts"]["skipped"], 0, "{results}");
    assert_eq!(results["counts"]["retries"], 1, "{results}");
    assert_eq!(results["verdict"], "pass", "{results}");
}

/// Killed between an error of the bench and the attempt that was to make up for it. Kills give no further ones.
#[rstest]
#[case::made_up_for(1, 0, "pass")]
#[case::not_enough(2, 3, "error")]
fn a_retry_outlives_a_kill(#[case] failures: usize, #[case] code: i32, #[case] outcome: &str) {
    let cli = Cli::new();
    let relays = Relays::new(failures);
    relays.wire(&cli);
    let press = [('a', "t.press(\"reset\", 0.001)")];
    cli.case("5.1-1-2", "needs = [\"press.reset\"]", &press);
    cli.run(&["one", "--retry-errors", "1"]).code(code);
    let whole = cli.results();
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let (before, _) = journal.split_once("case-finished").unwrap();
    let lines = before.lines().count();
    let killed: Vec<&str> = journal.lines().take(lines).collect();
    cli.bench
        .write("runs/latest/journal.jsonl", killed.join("\n") + "\n");
    // The bench is as it was then.
    relays.fail(failures - 1);
    cli.run(&["--resume", "latest"]).code(code);
    let results = cli.results();
    assert_eq!(results["counts"], whole["counts"], "{results}");
    let case = &results["devices"][0]["cases"]["5.1-1-2"];
    assert_eq!(case["units"][0]["outcome"], outcome, "{results}");
    assert_eq!(results["counts"]["retries"], 1, "{results}");
    // What has come to its end is not run again.
    cli.run(&["--resume", "latest"]).code(code);
    assert_eq!(cli.results()["counts"], whole["counts"]);
}

#[test]
fn what_the_deadline_left_is_run() {
    let cli = Cli::new();
    cli.passing();
    cli.case(
        "5.11-1-2",
        "deadline = 3600",
        &[('a', "t.wait(3600, \"too long\")")],
    );
    cli.case("5.9-1-2", "", &[('a', PASS)]);
    cli.run(&["one", "--deadline", "1"]).code(130);
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    cli.run(&["--resume", "latest"]).code(0);
    let results = cli.results();
    assert_eq!(results["counts"]["pass"], 3, "{results}");
    assert_eq!(results["counts"]["skipped"], 0, "{results}");
    sealed(&cli);
    // Nothing is left, which is no mistake.
    cli.run(&["--resume", "latest"]).code(0);
    assert_eq!(cli.results()["counts"]["pass"], 3);
}

/// Killed after its last verdict, with the power of the board off.
#[test]
fn a_board_that_was_left_is_put_in_order() {
    let cli = Cli::new();
    let relays = Relays::new(0);
    relays.wire(&cli);
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let killed: Vec<&str> = journal
        .lines()
        .filter(|line| !line.contains("device-finished") && !line.contains("run-finished"))
        .collect();
    assert_eq!(killed.len() + 2, journal.lines().count());
    cli.bench
        .write("runs/latest/journal.jsonl", killed.join("\n") + "\n");
    relays.states.lock().unwrap()[0] = false;
    cli.run(&["--resume", "latest"]).code(0);
    assert!(relays.states.lock().unwrap()[0], "it is off");
    assert_eq!(cli.results()["counts"]["pass"], 1);
    check_journal(&cli);
    // Once is enough.
    relays.states.lock().unwrap()[0] = false;
    cli.run(&["--resume", "latest"]).code(0);
    assert!(!relays.states.lock().unwrap()[0], "it was in order");
}

/// What an expression selected case by case, on each device, is what is gone on with.
#[test]
fn nothing_that_was_not_selected_is_run() {
    let cli = Cli::new();
    cli.passing();
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    cli.case("5.9-1-2", "needs = [\"probe\"]", &[('a', PASS)]);
    let expression = "device(one) & case(5.1-1-2) | device(two) - case(5.1-1-2)";
    cli.run(&["-E", expression]).code(4);
    let whole = outcomes(&cli.results());
    assert_eq!(whole.len(), 3, "{whole:?}");
    // Killed as early as a run can be that is one.
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let first = journal.lines().next().unwrap();
    cli.bench
        .write("runs/latest/journal.jsonl", format!("{first}\n"));
    cli.run(&["--resume", "latest"]).code(4);
    assert_eq!(outcomes(&cli.results()), whole);
}

#[test]
fn half_a_run_on_another_firmware_is_none() {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let whole = cli.results();
    let digest = &whole["devices"][0]["digests"]["boot"];
    assert_eq!(digest.as_str().unwrap().len(), 64);
    cli.bench.write("targets/sensor/boot.bin", b"another one");
    let output = cli.run(&["--resume", "latest"]).code(2);
    let said = text(&output.get_output().stderr);
    assert!(
        said.contains("image `boot` of one has changed since run"),
        "{said}"
    );
}

#[rstest]
#[case::no_such_run(&["--resume", "yesterday"], "there is no run `yesterday`")]
#[case::with_a_filter(&["--resume", "latest", "one"], "cannot be used with")]
fn what_can_not_be_resumed(#[case] arguments: &[&str], #[case] message: &str) {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let output = cli.run(arguments).code(2);
    let said = text(&output.get_output().stderr);
    assert!(said.contains(message), "{said}");
}

#[test]
fn a_run_that_did_not_begin_is_no_run() {
    let cli = Cli::new();
    cli.passing();
    cli.bench
        .write("runs/early/journal.jsonl", "{\"time\":\"2026");
    let output = cli.run(&["--resume", "early"]).code(2);
    let said = text(&output.get_output().stderr);
    assert!(said.contains("never started"), "{said}");
}

/// What a crash leaves at the end of a journal is no line yet, for all who read it.
#[rstest]
#[case::half_a_line(b"{\"time\":\"2026-01-01T00:00:00Z\",\"eve")]
#[case::half_a_character(b"{\"text\":\"K\xc3")]
#[case::nul_bytes(&[0; 5000])]
#[case::half_a_line_and_nul_bytes(b"{\"time\":\"20\0\0\0\0")]
fn all_readers_take_a_journal_that_a_crash_cut(#[case] end: &[u8]) {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    let whole = cli.results();
    let id = whole["run"].as_str().unwrap().to_owned();
    cli.bench.write(
        "before.json",
        whole.to_string().replace(&id, "20260314T150926Z-3f9a1c"),
    );
    cli.bench.remove("runs/latest/results.json");
    let mut cut = std::fs::read(&journal).unwrap();
    cut.extend(end);
    std::fs::write(&journal, cut).unwrap();
    for arguments in [
        &["compare", "before.json", &id][..],
        &["plan", "-E", "passed(latest)"],
        &["run", "one", "--baseline", &id, "--fail-on", "new"],
        &["run", "--resume", &id],
    ] {
        cli.command(arguments).assert().code(0);
    }
    let resumed = cli.bench.root().join(format!("runs/{id}/journal.jsonl"));
    let lines = std::fs::read_to_string(resumed).unwrap();
    for (n, line) in lines.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(line["seq"], n + 1, "it is counted on: {lines}");
        assert_eq!(line["source"], lines_source(&lines), "{lines}");
    }
}

fn lines_source(journal: &str) -> Value {
    let first = journal.lines().next().unwrap();
    serde_json::from_str::<Value>(first).unwrap()["source"].clone()
}

/// A journal is what somebody may have sent. What no run writes is refused, with its line.
#[rstest]
#[case::round_0(
    "\"case\":\"5.1-1-2\",\"evid",
    "\"case\":\"5.1-1-2\",\"attempt\":{\"round\":0,\"retry\":0},\"evid",
    "line 3: there is no round 0"
)]
#[case::round_2_of_1(
    "\"case\":\"5.1-1-2\",\"evid",
    "\"case\":\"5.1-1-2\",\"attempt\":{\"round\":2,\"retry\":0},\"evid",
    "line 3: there is no round 2 of 1"
)]
#[case::retries(
    "\"case\":\"5.1-1-2\",\"evid",
    "\"case\":\"5.1-1-2\",\"attempt\":{\"round\":1,\"retry\":4294967295},\"evid",
    "line 3: there is no retry 4294967295"
)]
#[case::negative_retries(
    "\"case\":\"5.1-1-2\",\"evid",
    "\"case\":\"5.1-1-2\",\"attempt\":{\"round\":1,\"retry\":-1},\"evid",
    "line 3: "
)]
#[case::etc(
    "cases/one/5.1-1-2",
    "/etc",
    "line 3: \"/etc\" is not a valid path for evidence"
)]
#[case::upwards(
    "cases/one/5.1-1-2",
    "../..",
    "line 3: \"../..\" is not a valid path for evidence"
)]
#[case::of_another_device(
    "cases/one/5.1-1-2",
    "cases/two/5.1-1-2",
    "line 3: \"cases/two/5.1-1-2\" is not a valid path"
)]
#[case::file(
    "\"steps.jsonl\"",
    "\"../../../devices.toml\"",
    "line 6: \"../../../devices.toml\" is not a file name"
)]
#[case::no_such_case(
    "\"unit-started\",\"device\":\"one\",\"case\":\"5.1-1-2\"",
    "\"unit-started\",\"device\":\"one\",\"case\":\"5.1-9-2\"",
    "line 4: test case 5.1-9-2 was not begun"
)]
#[case::no_case(
    "\"unit-started\",\"device\":\"one\",\"case\":\"5.1-1-2\"",
    "\"unit-started\",\"device\":\"one\",\"case\":\"\"",
    "line 4: "
)]
#[case::no_such_device(
    "\"unit-started\",\"device\":\"one\"",
    "\"unit-started\",\"device\":\"three\"",
    "line 4: device \"three\" is none of this run"
)]
#[case::no_such_event("unit-started", "unit-stopped", "line 4: unknown variant")]
#[case::escapes(
    "unit-started",
    "\\u001b[2J\\u202e",
    "line 4: unknown variant `\\x1b[2J\\u{202e}`"
)]
#[case::no_such_outcome(
    "\"outcome\":\"pass\"",
    "\"outcome\":\"passed\"",
    "line 5: unknown variant"
)]
#[case::unit(
    "\"unit\":\"a\",\"outcome\"",
    "\"unit\":\"\\u0000\",\"outcome\"",
    "line 5: \"\\0\" is no test unit"
)]
#[case::negative_time("\"seconds\":", "\"seconds\":-", "line 5: nothing takes -")]
#[case::long_time(
    "\"seconds\":",
    "\"seconds\":1e308,\"x\":",
    "line 5: nothing takes 1e308 s"
)]
#[case::endless_time("\"seconds\":", "\"seconds\":1e999,\"x\":", "line 5: ")]
#[case::no_number("\"seconds\":", "\"seconds\":NaN,\"x\":", "line 5: ")]
#[case::key_twice(
    "\"event\":\"unit-started\"",
    "\"event\":\"unit-started\",\"event\":\"unit-started\"",
    "line 4: key \"event\" is there twice"
)]
#[case::repeat_0("\"repeat\":1", "\"repeat\":0", "line 1: no test case is run 0 times")]
#[case::no_identifier(
    "\"run\":\"2",
    "\"run\":\"\",\"x\":\"2",
    "line 1: the run has no identifier"
)]
#[case::another_version("\"version\":\"", "\"version\":\"9", "was started by provebench 9")]
#[case::gap("\"seq\":4,", "\"seq\":6,", "line 4: 2 events of ")]
#[case::twice("\"seq\":4,", "\"seq\":3,", "line 4: event 3 of ")]
#[case::before_versions(
    "\"format\":2,",
    "",
    "it has another format: none at all, and this provebench reads format 2 (provebench"
)]
#[case::another_format(
    "\"format\":2,",
    "\"format\":3,",
    "it has another format: format 3, and this provebench reads format 2 (provebench"
)]
#[case::another_run("{\"time\":\"2026-01-01T00:00:00Z\"", "", "")]
fn a_forged_journal_is_refused(#[case] old: &str, #[case] new: &str, #[case] reason: &str) {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let (forged, reason) = if reason.is_empty() {
        (journal.repeat(2), "another run begins")
    } else {
        assert!(journal.contains(old), "{old} in {journal}");
        (journal.replacen(old, new, 1), reason)
    };
    cli.bench.write("runs/latest/journal.jsonl", &forged);
    cli.bench.remove("runs/latest/results.json");
    let refused = |arguments: &[&str]| {
        let output = cli.command(arguments).assert().code(2);
        let said = text(&output.get_output().stderr).replace("\n  │ ", " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(reason), "{reason} in {said}");
    };
    refused(&["run", "--resume", "latest"]);
    assert_eq!(
        text(&cli.read("runs/latest/journal.jsonl")),
        forged,
        "it is left alone"
    );
    if !reason.starts_with("was started by") {
        refused(&["plan", "-E", "passed(latest)"]);
        refused(&["run", "one", "--baseline", "latest"]);
    }
}

/// Many rounds, many lines, deep lines: none of it takes the memory or the stack.
#[rstest]
#[case::rounds("\"repeat\":1", "\"repeat\":4294967295".into())]
#[case::retries("\"retry_errors\":1", "\"retry_errors\":4294967295".into())]
fn a_journal_that_wants_much_is_gone_on_with(#[case] old: &str, #[case] new: String) {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    assert!(journal.contains(old), "{old} in {journal}");
    cli.bench
        .write("runs/latest/journal.jsonl", journal.replacen(old, &new, 1));
    cli.run(&["--resume", "latest", "--deadline", "1"])
        .code(if old.contains("repeat") { 130 } else { 0 });
}

#[rstest]
#[case::depth("\"message\":".to_owned() + &"[".repeat(1_000_000) + &"]".repeat(1_000_000) + ",")]
#[case::deep_unknown_fields("\"x\":".to_owned() + &"{\"x\":".repeat(500_000) + "1" + &"}".repeat(500_000) + ",")]
fn a_deep_line_is_refused(#[case] bomb: String) {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let forged = journal.replacen("\"outcome\"", &(bomb + "\"outcome\""), 1);
    cli.bench.write("runs/latest/journal.jsonl", forged);
    let output = cli.run(&["--resume", "latest"]).code(2);
    let said = text(&output.get_output().stderr);
    assert!(said.contains("recursion limit"), "{said}");
}

/// Nothing outside of the run's folder is read, listed or written.
#[test]
fn links_lead_nowhere() {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let run = cli.bench.root().join("runs/latest").canonicalize().unwrap();
    cli.bench.write("elsewhere/secret.txt", "secret");
    let evidence = run.join("cases/one/5.1-1-2");
    std::fs::remove_dir_all(&evidence).unwrap();
    std::os::unix::fs::symlink(cli.bench.root().join("elsewhere"), &evidence).unwrap();
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let killed: Vec<&str> = journal.lines().take(4).collect();
    cli.bench
        .write("runs/latest/journal.jsonl", killed.join("\n") + "\n");
    cli.run(&["--resume", "latest"]).code(0);
    let results = cli.results().to_string();
    assert!(!results.contains("secret.txt"), "{results}");
    // The journal itself.
    let journal = run.join("journal.jsonl");
    std::fs::rename(&journal, cli.bench.root().join("elsewhere/journal.jsonl")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere/journal.jsonl", &journal).unwrap();
    let output = cli.run(&["--resume", "latest"]).code(3);
    let said = text(&output.get_output().stderr);
    assert!(said.contains("it is a link"), "{said}");
}

/// Whatever was told when the process was killed is in the journal, and it is behind by no more than what each device was
/// at.
#[test]
fn the_journal_is_never_behind() {
    let cli = Cli::new();
    let _consoles = with_devices(&cli, 16);
    for id in &IDS[..8] {
        cli.case(id, "", &[('a', "t.expect(True, \"never\")")]);
    }
    let mut run = cli
        .program(&["run", "--repeat", "1000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let mut told = 0;
    while told < 400 {
        let line = lines.next().expect("it goes on").unwrap();
        told += usize::from(line.contains("PASS"));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    told += lines
        .map_while(Result::ok)
        .filter(|line| line.contains("PASS ["))
        .count();
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let kept = journal.matches("\"event\":\"case-finished\"").count();
    let begun: usize = (0..16)
        .map(|n| {
            let folder = cli.bench.root().join(format!("runs/latest/cases/d{n}"));
            let cases = std::fs::read_dir(folder).unwrap().flatten();
            cases.filter(|entry| entry.path().is_dir()).count()
        })
        .sum();
    // Of each device one verdict may be on its way, and the folder for the next case be there, which does not begin before.
    println!("told {told}, in the journal {kept}, begun {begun}");
    assert!(told <= kept, "{told} were told, {kept} are in the journal");
    assert!(
        begun <= kept + 2 * 16,
        "{begun} were begun, {kept} are in the journal"
    );
}
