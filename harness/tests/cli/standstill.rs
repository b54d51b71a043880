//! The harness does not run for a while, as on a suspended machine: no device is blamed for that.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Cli;

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
