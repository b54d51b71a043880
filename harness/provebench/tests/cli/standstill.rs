//! The harness does not run for a while, as on a suspended machine: no device is blamed for that.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use serde_json::Value;

use crate::{Cli, text};

/// Longer than what a unit of these waits for, and than what counts as a standstill.
const STANDSTILL: Duration = Duration::from_millis(2500);

/// Begins a run whose only unit has asked the DUT, and waits a second for the answer.
fn asked(cli: &Cli) -> (Child, File) {
    let body = "t.console.line(\"question\")\n    t.console.expect(\"answer\", timeout = 1)";
    cli.case("5.1-1-2", "", &[('a', body)]);
    let mut dut = File::from(cli.consoles[0].master.try_clone().unwrap());
    let harness = cli.begin(&["one"]);
    hear(&mut dut, "question");
    (harness, dut)
}

/// Waits for what the harness sends to the DUT.
fn hear(dut: &mut File, wanted: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(wanted.as_bytes()) {
        let mut byte = [0];
        dut.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
}

/// Lets the harness stand still while `dut` does what it does.
fn stop(harness: &Child, dut: impl FnOnce()) {
    let harness = Pid::from_raw(harness.id().cast_signed());
    kill(harness, Signal::SIGSTOP).unwrap();
    thread::sleep(STANDSTILL);
    dut();
    kill(harness, Signal::SIGCONT).unwrap();
}

#[test]
fn an_answer_meanwhile_is_heard() {
    let cli = Cli::new();
    let (harness, mut dut) = asked(&cli);
    stop(&harness, || dut.write_all(b"answer\r\n").unwrap());
    let output = harness.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn silence_meanwhile_is_an_error_and_tried_again() {
    let cli = Cli::new();
    let (harness, _dut) = asked(&cli);
    stop(&harness, || ());
    let output = harness.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let attempts = &cli.results()["devices"][0]["cases"]["5.1-1-2"]["attempts"];
    let first = &attempts[0]["units"][0];
    assert_eq!(first["outcome"], "error", "{attempts}");
    let message = first["message"].as_str().unwrap();
    assert!(
        message.contains("within 1s") && message.contains("; but: this machine stood still for"),
        "{message}"
    );
    assert_eq!(attempts[1]["units"][0]["outcome"], "fail", "{attempts}");
}

/// Begins a run whose only unit asks the DUT, and judges the answer.
fn judged(cli: &Cli, words: &[&str]) -> (Child, File) {
    let body = "t.console.line(\"question\")\n    answer = t.console.expect(\"is (\\\\w+)\\r\\n\").groups[0]\n    t.expect(answer == \"good\", \"it is {}\", answer)";
    cli.case("5.1-1-2", "", &[('a', body)]);
    let mut dut = File::from(cli.consoles[0].master.try_clone().unwrap());
    let harness = cli.begin(words);
    hear(&mut dut, "question");
    (harness, dut)
}

fn attempts(results: &Value) -> Vec<(String, bool)> {
    let case = &results["devices"][0]["cases"]["5.1-1-2"];
    let attempts = case["attempts"].as_array().unwrap();
    let units = attempts.iter().map(|attempt| &attempt["units"][0]);
    units
        .map(|unit| {
            let outcome = unit["outcome"].as_str().unwrap_or_default();
            (outcome.to_owned(), unit["doubt"].is_string())
        })
        .collect()
}

/// The doubt goes to the device once: a flaw that is real shows again, and counts even on a machine that stands still
/// again.
#[rstest]
#[case::gone("is good\r\n", false, 0, "pass")]
#[case::real("is bad\r\n", false, 1, "fail")]
#[case::real_on_a_bad_machine("is bad\r\n", true, 1, "fail")]
fn a_fail_meanwhile_is_repeated_before_it_counts(
    #[case] second: &str,
    #[case] again: bool,
    #[case] code: i32,
    #[case] outcome: &str,
    // It is no error of the bench.
    #[values("0", "1")] retries: &str,
) {
    let cli = Cli::new();
    let (harness, mut dut) = judged(&cli, &["one", "--retry-errors", retries]);
    stop(&harness, || dut.write_all(b"is bad\r\n").unwrap());
    hear(&mut dut, "question");
    if again {
        stop(&harness, || dut.write_all(second.as_bytes()).unwrap());
    } else {
        dut.write_all(second.as_bytes()).unwrap();
    }
    let output = harness.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");

    let results = cli.results();
    let expected = [("fail".to_owned(), true), (outcome.to_owned(), false)];
    assert_eq!(attempts(&results), expected);
    let case = &results["devices"][0]["cases"]["5.1-1-2"];
    assert_eq!(case["units"][0]["outcome"], outcome, "{case}");
    assert_eq!(case["flaky"], Value::Null, "{case}");
    let told = "failed while this machine stood still for";
    let said = text(&output.stdout);
    assert!(
        said.contains(told) && said.contains("it is repeated"),
        "{said}"
    );
    let junit = text(&cli.read("runs/latest/junit.xml"));
    assert!(
        junit.contains(told) && junit.contains("; repeated"),
        "{junit}"
    );
}

/// Killed before it is repeated, a FAIL in doubt is no FAIL yet; the run that goes on repeats it, and knows that the doubt is
/// spent.
#[test]
fn a_fail_in_doubt_is_repeated_by_the_run_that_goes_on() {
    let cli = Cli::new();
    let (mut harness, mut dut) = judged(&cli, &["one"]);
    stop(&harness, || dut.write_all(b"is bad\r\n").unwrap());
    hear(&mut dut, "question");
    let journal = || text(&cli.read("runs/latest/journal.jsonl"));
    let deadline = Instant::now() + Duration::from_mins(1);
    while !journal().contains("stood still") {
        assert!(Instant::now() < deadline, "{}", journal());
        thread::sleep(Duration::from_millis(5));
    }
    harness.kill().unwrap();
    harness.wait().unwrap();

    let harness = cli.begin(&["--resume", "latest"]);
    hear(&mut dut, "question");
    stop(&harness, || dut.write_all(b"is bad\r\n").unwrap());
    let output = harness.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let attempts = attempts(&cli.results());
    assert_eq!(attempts.first(), Some(&("fail".to_owned(), true)));
    assert_eq!(attempts.last(), Some(&("fail".to_owned(), false)));
}
