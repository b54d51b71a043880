//! Boards whose power is switched: what there is only while they have it, and that they have it in the end.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
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
    let (code, said) = talker.doctor(&["--exercise"]);
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
    let (_, said) = talker.doctor(&["--exercise"]);
    assert!(said.contains("and was switched on"), "{said}");
    assert_eq!(talker.state(), "on");
}

/// It has switched off when it fails.
const FAILS: &str = r#"on = ["sh", "-c", "echo on > STATE"], off = ["sh", "-c", "echo off > STATE; exit 1"], state = ["cat", "STATE"]"#;

#[rstest]
#[case::power(&["power", "board", "cycle"])]
#[case::doctor(&["doctor", "board", "--exercise"])]
fn power_is_on_also_after_a_failure(#[case] words: &[&str]) {
    let talker = Talker::new("PORT", FAILS);
    talker.cli.bench.write("state", "on");
    talker.cli.command(words).assert().code(3);
    assert_eq!(talker.state(), "on");
}

/// A cycle that has switched off, and stays so for an hour.
fn dark(talker: &Talker, stdout: Stdio, stderr: Stdio) -> Child {
    talker.cli.bench.write("state", "on");
    let cycle = talker
        .cli
        .program(&["power", "board", "cycle", "--off", "3600"])
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap();
    until("it switches off", || talker.state() == "off");
    cycle
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: Signal, to: &Child) {
    kill(Pid::from_raw(to.id().cast_signed()), signal).unwrap();
}

#[rstest]
#[case::interrupt(&[Signal::SIGINT])]
#[case::terminate(&[Signal::SIGTERM])]
#[case::hangup(&[Signal::SIGHUP])]
#[case::terminal_closed(&[Signal::SIGHUP, Signal::SIGTERM, Signal::SIGHUP])]
#[case::twice_in_a_moment(&[Signal::SIGTERM, Signal::SIGTERM])]
fn a_cycle_that_is_interrupted_ends_with_power(#[case] signals: &[Signal]) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let mut cycle = dark(&talker, Stdio::null(), Stdio::null());
    for signal in signals {
        send(*signal, &cycle);
    }
    assert_eq!(cycle.wait().unwrap().code(), Some(130));
    assert_eq!(talker.state(), "on");
}

/// `2>&1 | tee log`, and tee is gone first.
#[rstest]
#[case::interrupt(Signal::SIGINT)]
#[case::terminate(Signal::SIGTERM)]
fn it_can_be_stopped_though_nobody_reads_what_it_says(#[case] signal: Signal) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let mut cycle = dark(&talker, Stdio::null(), Stdio::piped());
    drop(cycle.stderr.take());
    send(signal, &cycle);
    assert_eq!(cycle.wait().unwrap().code(), Some(130));
    assert_eq!(talker.state(), "on");
}

#[rstest]
#[case::interrupt(Signal::SIGINT)]
#[case::terminate(Signal::SIGTERM)]
#[case::hangup(Signal::SIGHUP)]
fn a_doctor_who_is_not_heard_can_be_stopped_and_leaves_power(#[case] signal: Signal) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    talker.cli.bench.write("state", "on");
    let mut doctor = talker
        .cli
        .program(&["doctor", "board", "--exercise"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(doctor.stderr.take());
    // Off, it waits for a silence that this board never keeps.
    until("it switches off", || talker.state() == "off");
    send(signal, &doctor);
    assert_eq!(doctor.wait().unwrap().code(), Some(130));
    assert_eq!(talker.state(), "on");
}

#[test]
fn a_cycle_whose_reader_is_gone_ends_with_power() {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let mut cycle = dark(&talker, Stdio::piped(), Stdio::null());
    drop(cycle.stdout.take());
    assert_eq!(cycle.wait().unwrap().code(), Some(130));
    assert_eq!(talker.state(), "on");
}

/// `provebench console board | head`
#[rstest]
#[case::it_talks(None)]
#[case::it_says_nothing_more(Some("power.off"))]
fn the_console_ends_with_whoever_reads_it(#[case] silenced: Option<&str>) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let mut console = talker
        .cli
        .program(&["console", "board", "--idle", "3600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 20];
    let mut stdout = console.stdout.take().unwrap();
    stdout.read_exact(&mut said).unwrap();
    if silenced.is_some() {
        talker.talks.store(false, Ordering::Relaxed);
    }
    drop(stdout);
    let ended = console.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "",
        "nothing is wrong"
    );
    let free = talker.cli.command(&["power", "board", "on"]).assert();
    free.code(0);
}

/// What a terminal is set to.
fn modes(terminal: &OwnedFd) -> LocalFlags {
    tcgetattr(terminal).unwrap().local_flags
}

#[rstest]
#[case::interrupt(&[Signal::SIGINT])]
#[case::terminate(&[Signal::SIGTERM])]
#[case::hangup(&[Signal::SIGHUP])]
fn the_terminal_is_as_it_was_after_a_signal(#[case] signals: &[Signal]) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let terminal = openpty(None, None).unwrap();
    let before = modes(&terminal.slave);
    assert!(before.contains(LocalFlags::ICANON | LocalFlags::ECHO));
    let mut console = talker
        .cli
        .program(&["console", "board"])
        .stdin(terminal.slave.try_clone().unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("keys are handed over", || {
        !modes(&terminal.slave).contains(LocalFlags::ICANON)
    });
    for signal in signals {
        send(*signal, &console);
    }
    assert_eq!(console.wait().unwrap().code(), Some(130));
    assert_eq!(modes(&terminal.slave), before);
}

/// What was printed before is not what it says now.
#[rstest]
#[case::off("t.power.off()")]
#[case::cycle("t.power.cycle(off = 0.0)")]
#[case::off_and_on("t.power.off()\n    t.power.on()")]
fn what_was_printed_before_a_power_cut_answers_no_question_after_it(#[case] cut: &str) {
    let talker = Talker::new("PORT", &FAILS.replace("; exit 1", ""));
    let cli = &talker.cli;
    cli.bench.write("state", "on");
    // It talks on, as no board does: what it says after the cut is further on.
    let body = format!(
        "t.console.expect(\"all is well\", timeout = 60)\n    t.wait(0.5, \"more of it\")\n    mark = t.console.mark()\n    {cut}\n    \
         found = t.console.expect(\"all is well\", timeout = 60)\n    \
         t.expect(found.end > mark, \"it was said before: {{}} {{}}\", mark, found.end)"
    );
    cli.case("5.1-1-2", "needs = [\"power\"]", &[('a', &body)]);
    cli.run(&[]).code(0);
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
    let (_, said) = talker.doctor(&["--exercise"]);
    let told = "button reset was pressed and let go; the console speaks all the time";
    assert!(said.contains(told), "{said}");
}
