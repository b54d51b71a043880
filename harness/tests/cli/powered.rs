//! Boards whose power is switched: what there is only while they have it, and that they have it in the end.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ttyname};
use rstest::rstest;

use crate::{Cli, text};

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A board that says something all the time, and whose power a command switches.
struct Talker {
    cli: Cli,
    talks: Arc<AtomicBool>,
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.talks.store(false, Ordering::Relaxed);
    }
}

impl Talker {
    /// `switch` has PORT for its terminal, and LINK and STATE for files.
    fn new(port: &str, switch: &str) -> Self {
        let cli = Cli::new();
        let terminal = openpty(None, None).unwrap();
        let talks = Arc::new(AtomicBool::new(true));
        let root = cli.bench.root().to_owned();
        let path = ttyname(&terminal.slave).unwrap();
        let entry = format!(
            "[[device]]\nname = \"board\"\ntarget = \"sensor\"\nconsole = {{ port = \"{port}\" }}\n\
             power = {{ driver = \"command\", {switch} }}\n"
        );
        let entry = entry
            .replace("PORT", &path.to_string_lossy())
            .replace("LINK", &root.join("link").to_string_lossy())
            .replace("STATE", &root.join("state").to_string_lossy());
        cli.bench.write("devices.toml", entry);
        let goes_on = Arc::clone(&talks);
        // One inside the board is silent without power.
        let link = (port == "LINK").then(|| root.join("link"));
        thread::spawn(move || {
            let mut master = File::from(terminal.master);
            let _slave = terminal.slave;
            while goes_on.load(Ordering::Relaxed) {
                if link.as_ref().is_none_or(|link| link.exists()) {
                    master.write_all(b"sensor: all is well\r\n").unwrap();
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { cli, talks }
    }

    fn doctor(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self
            .cli
            .command(&[&["doctor", "board"], words].concat())
            .output()
            .unwrap();
        let said = text(&output.stdout);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code(), said)
    }

    fn state(&self) -> String {
        let state = fs::read_to_string(self.cli.bench.root().join("state"));
        state.unwrap_or_default().trim().to_owned()
    }
}

/// A port of the board itself, on USB: udev makes the link when the board has power.
const INSIDE: &str = r#"on = ["ln", "-sfn", "PORT", "LINK"], off = ["rm", "-f", "LINK"], state = ["test", "-e", "LINK"]"#;

#[test]
fn a_console_inside_the_board_comes_with_its_power() {
    let talker = Talker::new("LINK", INSIDE);
    let cli = &talker.cli;
    cli.case(
        "5.1-1-2",
        "",
        &[('a', "t.console.expect(\"all is well\", timeout = 60)")],
    );
    cli.run(&[]).code(0);
    cli.command(&["power", "board", "off"]).assert().code(0);
    assert!(!cli.bench.root().join("link").exists());
    cli.run(&[]).code(0);

    cli.command(&["power", "board", "off"]).assert().code(0);
    let (code, said) = talker.doctor(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("only while it has power"), "{said}");
    assert!(said.contains("it is switched off"), "{said}");
    let (code, said) = talker.doctor(&["--act"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the power switch switches: its console went silent, and it came back"),
        "{said}"
    );
}

#[test]
fn a_power_switch_that_can_not_be_asked_is_not_wrong() {
    let talker = Talker::new(
        "PORT",
        r#"on = ["sh", "-c", "echo on > STATE"], off = ["sh", "-c", "echo off > STATE"]"#,
    );
    let (code, said) = talker.doctor(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("note the power switch does not tell its state"),
        "{said}"
    );
    assert!(
        said.contains("the console says \"sensor: all is well\""),
        "{said}"
    );
    assert_eq!(talker.state(), "", "nothing was switched");
    let (_, said) = talker.doctor(&["--act"]);
    assert!(said.contains("and was switched on"), "{said}");
    assert_eq!(talker.state(), "on");
}

/// It has switched off when it fails.
const FAILS: &str = r#"on = ["sh", "-c", "echo on > STATE"], off = ["sh", "-c", "echo off > STATE; exit 1"], state = ["cat", "STATE"]"#;

#[rstest]
#[case::power(&["power", "board", "cycle"])]
#[case::doctor(&["doctor", "board", "--act"])]
fn power_is_on_also_after_a_failure(#[case] words: &[&str]) {
    let talker = Talker::new("PORT", FAILS);
    talker.cli.bench.write("state", "on");
    talker.cli.command(words).assert().code(3);
    assert_eq!(talker.state(), "on");
}

#[rstest]
#[case::interrupt(Signal::SIGINT)]
#[case::terminate(Signal::SIGTERM)]
fn a_cycle_that_is_interrupted_ends_with_power(#[case] signal: Signal) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    talker.cli.bench.write("state", "on");
    let mut cycle = talker
        .cli
        .program(&["power", "board", "cycle", "--off", "3600"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while talker.state() != "off" {
        assert!(began.elapsed() < PATIENCE, "it switches off");
        thread::sleep(Duration::from_millis(10));
    }
    kill(Pid::from_raw(cycle.id().cast_signed()), signal).unwrap();
    assert_eq!(cycle.wait().unwrap().code(), Some(130));
    assert_eq!(talker.state(), "on");
}

/// What it says anyway is no answer to a button.
#[test]
fn a_board_that_talks_does_not_show_that_its_button_works() {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let bench = &talker.cli.bench;
    bench.append(
        "devices.toml",
        "actuators.reset = { driver = \"command\", on = [\"true\", \"on\"], off = [\"true\", \"off\"] }\n",
    );
    bench.write("state", "on");
    let (_, said) = talker.doctor(&["--act"]);
    let told = "button reset was pressed and let go; the console speaks all the time";
    assert!(said.contains(told), "{said}");
}
