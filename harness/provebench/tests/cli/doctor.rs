//! `provebench doctor`: benches that are sound, and benches that are wrong in one way each.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, ttyname};
use rstest::rstest;

use crate::Cli;
use provebench_testing::board::{World, world};
use provebench_testing::{TestBench, repository};

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nobody's user.
const NOBODY: u32 = 65534;

trait WorldExt {
    /// With firmware in it.
    fn programmed(self) -> Self;
    /// With another word in its devices.toml.
    fn with(self, old: &str, new: &str) -> Self;
    /// Without the lines of its devices.toml that begin so.
    fn without(self, line: &str) -> Self;
    fn provebench(&self, words: &[&str]) -> Output;
    /// Exit code, and all that was printed.
    fn doctor(&self, words: &[&str]) -> (Option<i32>, String);
}

impl WorldExt for World {
    fn programmed(self) -> Self {
        let output = self.provebench(&["flash", "wired"]);
        assert!(output.status.success(), "{}", said(&output));
        self
    }

    fn with(self, old: &str, new: &str) -> Self {
        self.bench.replace("devices.toml", old, new);
        self
    }

    fn without(self, line: &str) -> Self {
        let text = fs::read_to_string(self.bench.devices()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with(line)).collect();
        assert_ne!(lines.len(), text.lines().count(), "{line}");
        self.bench.write("devices.toml", lines.join("\n") + "\n");
        self
    }

    fn provebench(&self, words: &[&str]) -> Output {
        command(&self.bench, words).output().unwrap()
    }

    fn doctor(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.provebench(&[&["doctor"], words].concat());
        (output.status.code(), said(&output))
    }
}

fn command(bench: &TestBench, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provebench"));
    command
        .current_dir(repository())
        .args(words)
        .args(bench.args())
        .env("PROVEBENCH_LEASES", bench.root().join("leases"));
    command
}

/// All that was printed, not broken into lines.
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_says(text: &str, all: &[&str]) {
    for words in all {
        assert!(text.contains(words), "{words} in {text}");
    }
}

fn pty() -> (OpenptyResult, String) {
    let pty = openpty(None, None).unwrap();
    let port = ttyname(&pty.slave).unwrap();
    (pty, port.to_str().unwrap().to_owned())
}

/// A switch that keeps its state in a file and switches nothing.
fn file_switch(state: &Path) -> String {
    let state = state.display();
    format!(
        r#"power = {{ driver = "command", on = ["sh", "-c", "echo on > {state}"], off = ["sh", "-c", "echo off > {state}"], state = ["cat", "{state}"] }}"#
    )
}

#[rstest]
fn looking_at_a_sound_bench_disturbs_nothing(world: World) {
    let world = world.programmed();
    let state = || {
        let url = format!("{}/cm?cmnd=Status%200", world.board.plug);
        let answer = reqwest_get(&url);
        answer.split("\"emulator\":").nth(1).unwrap()[..8].to_owned()
    };
    let before = state();
    let (code, text) = world.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_says(
        &text,
        &[
            "ok the power switch answers: on",
            "answers, and is wired to provebench-virtual: a chip with DPIDR 0x2ba01477",
            "0x52425650 at 0x01000000",
            "ok it has no network",
            "nothing wrong",
        ],
    );
    assert_eq!(before, state(), "its power was not cut");
}

/// Without a client's runtime: one request, as curl makes it.
fn reqwest_get(url: &str) -> String {
    use std::io::Read as _;
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[rstest]
fn a_sound_bench_does_what_it_is_told(world: World) {
    let plug = world.board.plug.clone();
    world.bench.append(
        "devices.toml",
        &format!("actuators.reset = {{ driver = \"tasmota\", url = \"{plug}\", relay = 2 }}\n"),
    );
    let world = world.programmed();
    let (code, text) = world.doctor(&["--exercise", "wired"]);
    assert_eq!(code, Some(0), "{text}");
    assert_says(
        &text,
        &[
            "ok the debug probe resets the chip",
            "ok the console says \"boot: PB-RS1 boot loader",
            "ok the power switch switches: its debug port and its console went silent, and it came back",
            "button reset was pressed and let go",
            "nothing wrong",
        ],
    );
}

/// A board from the shelf: nobody has programmed it yet.
#[rstest]
fn a_board_without_firmware_is_silent_for_a_reason(world: World) {
    let (code, text) = world.doctor(&["--exercise"]);
    assert_eq!(code, Some(0), "{text}");
    assert_says(
        &text,
        &[
            "note the console says nothing",
            "its images are not in it",
            "`provebench flash wired`",
        ],
    );
}

#[rstest]
fn a_switch_that_switches_something_else_is_found_out(world: World) {
    let state = world.bench.root().join("state");
    fs::write(&state, "on").unwrap();
    let world = world.programmed().without("power =");
    world
        .bench
        .append("devices.toml", &format!("{}\n", file_switch(&state)));
    let (code, text) = world.doctor(&["--exercise"]);
    assert_eq!(code, Some(3), "{text}");
    assert_says(
        &text,
        &[
            "wrong the board still answers its debug probe with its power off",
            "help: is the switch in the board's supply",
        ],
    );
    assert_eq!(fs::read_to_string(state).unwrap(), "on\n", "left on");
}

/// Without a probe, its console shows that it lives.
#[rstest]
fn a_console_that_goes_on_talking_shows_that_power_is_on() {
    let (bench, pty, state) = chatter(b"temperature 21.5\r\n");
    let output = command(&bench, &["doctor", "--exercise"]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_says(&text, &["wrong the board still prints with its power off"]);
    assert_eq!(fs::read_to_string(state).unwrap(), "on\n");
    drop(pty);
}

/// As a UART at another speed sounds: mostly bytes that are no text.
#[rstest]
fn a_wrong_baud_rate_is_told_by_what_is_heard() {
    let (bench, pty, _) = chatter(b"\x80\x80\x00\xf8\x00\x80\x78\x00\x80\xf8");
    let output = command(&bench, &["doctor"]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_says(
        &text,
        &[
            "wrong the console says mostly nonsense at 9600 Bd:",
            "bytes are no text",
            "is `baud`",
        ],
    );
    drop(pty);
}

/// A device with a switch that switches nothing, whose console says the same all the time.
fn chatter(says: &'static [u8]) -> (TestBench, File, PathBuf) {
    let bench = TestBench::new();
    let state = bench.root().join("state");
    fs::write(&state, "on").unwrap();
    let (pty, port) = pty();
    bench.write(
        "devices.toml",
        format!(
            "[[device]]\nname = \"one\"\ntarget = \"sensor\"\nconsole = {{ port = \"{port}\" }}\n{}\n",
            file_switch(&state)
        ),
    );
    let mut board = File::from(pty.master);
    thread::spawn(move || {
        // Until the test has ended, and the terminal with it.
        while board.write_all(says).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    (bench, File::from(pty.slave), state)
}

#[rstest]
fn a_console_that_is_wired_to_nothing_is_told(world: World) {
    let (_pty, port) = pty();
    let console = world.board.console.clone();
    let world = world.programmed().with(&console, &port);
    let (code, text) = world.doctor(&["--exercise"]);
    assert_eq!(code, Some(3), "{text}");
    assert_says(
        &text,
        &[
            "wrong the console says nothing within 5 s after the board was started",
            "help: are the board's TX and the adapter's RX connected",
            "ok the debug probe resets the chip",
        ],
    );
}

#[rstest]
fn a_board_of_another_kind_is_told(world: World) {
    world.bench.copy_target("reference-sensor");
    let core = ("type: armv7m\n", "type: armv7em\n");
    let chip = "targets/virtual-board/chip.yaml";
    world.bench.replace(chip, core.0, core.1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_provebench"));
    let output = command
        .args(["doctor", "--exercise", "--devices"])
        .arg(world.bench.devices())
        .arg("--targets")
        .arg(world.bench.root().join("targets"))
        .env("PROVEBENCH_LEASES", world.bench.root().join("leases"))
        .output()
        .unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_says(
        &text,
        &[
            "is wired to a chip with DPIDR 0x2ba01477",
            "not to provebench-virtual",
            "check which board the probe is plugged into",
        ],
    );
    assert!(!text.contains("resets the chip"), "{text}");
}

#[rstest]
fn a_board_that_is_off_stays_off_until_told_otherwise(world: World) {
    let world = world.programmed();
    let output = world.provebench(&["power", "wired", "off"]);
    assert!(output.status.success());
    let (code, text) = world.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_says(
        &text,
        &["note it is switched off: neither probe nor console can be looked at"],
    );
    let output = world.provebench(&["power", "wired", "status"]);
    assert_eq!(said(&output), "wired: off");
    let (code, text) = world.doctor(&["--exercise"]);
    assert_eq!(code, Some(0), "{text}");
    let output = world.provebench(&["power", "wired", "status"]);
    assert_eq!(said(&output), "wired: on");
}

#[rstest]
fn a_button_that_is_held_is_told(world: World) {
    let plug = world.board.plug.clone();
    world.bench.append(
        "devices.toml",
        &format!("actuators.reset = {{ driver = \"tasmota\", url = \"{plug}\", relay = 2 }}\n"),
    );
    reqwest_get(&format!("{plug}/cm?cmnd=Power2%20On"));
    let (code, text) = world.doctor(&[]);
    assert_eq!(code, Some(3), "{text}");
    assert_says(&text, &["wrong button reset is held", "a run lets it go"]);
}

#[rstest]
#[case::probe(
    "probe = { selector = \"1d50:6018:127.0.0.1:1\" }",
    "debug probe 1d50:6018:127.0.0.1:1 can't be opened"
)]
#[case::usb_probe(
    "probe = { selector = \"1366:1015:no-such\" }",
    "debug probe 1366:1015:no-such is not plugged in"
)]
#[case::port(
    "console = { port = \"/dev/serial/by-id/none\" }",
    "console: there is no /dev/serial/by-id/none"
)]
#[case::plug(
    "power = { driver = \"tasmota\", url = \"http://127.0.0.1:1\" }",
    "127.0.0.1:1 does not answer"
)]
#[case::chip(
    "actuators.reset = { driver = \"gpio\", chip = \"/dev/gpiochip77\", line = 1 }",
    "button reset: there is no /dev/gpiochip77"
)]
fn equipment_that_is_not_there_is_named_and_the_rest_is_looked_at(
    world: World,
    #[case] line: &str,
    #[case] says: &str,
) {
    let key = line.split(" =").next().unwrap();
    let world = if key.starts_with("actuators") {
        world
    } else {
        world.without(&format!("{key} ="))
    };
    world.bench.append("devices.toml", &format!("{line}\n"));
    let (code, text) = world.doctor(&[]);
    assert_eq!(code, Some(3), "{text}");
    let others = [
        ("probe", "is wired to provebench-virtual"),
        ("power", "the power switch answers: on"),
        ("console", "the console"),
    ];
    let others = others.iter().filter(|(other, _)| *other != key);
    let others: Vec<&str> = others.map(|(_, words)| *words).collect();
    assert_says(&text, &others);
    assert_says(&text, &["wrong", "help:", says]);
}

/// Root may open all: it is looked at with the eyes of a user.
#[test]
fn what_a_user_may_not_open_is_told_with_the_rules_that_let_him() {
    let cli = Cli::new();
    let port = ttyname(&cli.consoles[0].slave).unwrap();
    fs::set_permissions(&port, Permissions::from_mode(0o000)).unwrap();
    let mut command = command(&cli.bench, &["doctor", "one"]);
    if Uid::effective().is_root() {
        chown(cli.bench.root(), Some(NOBODY), None).unwrap();
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    let output = command.output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_says(
        &text,
        &[
            &format!("wrong console: you may not open {}", port.display()),
            "(mode 000)",
            "`provebench doctor --udev-rules | sudo tee /etc/udev/rules.d/69-provebench.rules`",
        ],
    );
}

#[test]
fn a_device_that_is_in_use_is_left_alone() {
    let cli = Cli::new();
    let mut holder = Command::new(env!("CARGO_BIN_EXE_provebench"))
        .args(["console", "one", "--wait"])
        .args(cli.bench.args())
        .env("PROVEBENCH_LEASES", cli.bench.root().join("leases"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let output = loop {
        let output = cli.command(&["doctor", "one"]).output().unwrap();
        // It waits in line should the first look have come before.
        if said(&output).contains("in use by") {
            break output;
        }
        assert!(Instant::now() < deadline, "{}", said(&output));
    };
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let process = format!(
        "note in use by process {} (provebench console)",
        holder.id()
    );
    assert_says(&text, &[&process, "its equipment was not touched"]);
    assert!(!text.contains("the console can be opened"), "{text}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

/// Whoever is switched off when it is interrupted is switched on again.
#[rstest]
#[case(Signal::SIGINT)]
#[case(Signal::SIGTERM)]
fn an_interruption_leaves_power_on(#[case] signal: Signal) {
    let (bench, _pty, state) = chatter(b"");
    let mut doctor = command(&bench, &["doctor", "--exercise"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(&state).unwrap() != "off\n" {
        assert!(Instant::now() < deadline, "it is never switched off");
        thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(doctor.id().cast_signed()), signal).unwrap();
    let status = doctor.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(fs::read_to_string(&state).unwrap(), "on\n");
}

#[test]
fn the_last_run_without_a_bench_error_is_told() {
    let cli = Cli::new();
    let (_, before) = doctor_of(&cli);
    assert_says(&before, &["note no run without an error of the bench"]);
    cli.passing().run(&["one"]).success();
    let good = cli.results()["run"].as_str().unwrap().to_owned();
    // What the bench could not do hides what it did before only from those who look at the last run.
    cli.case("5.1-1-2", "", &[('a', "t.power.on()")]);
    cli.run(&["one"]).code(3);
    let (code, text) = doctor_of(&cli);
    assert_eq!(code, Some(0), "{text}");
    assert_says(
        &text,
        &[
            "ok last run without an error of the bench: 20",
            &format!("({good}): PASS"),
        ],
    );
}

fn doctor_of(cli: &Cli) -> (Option<i32>, String) {
    let output = cli.command(&["doctor", "one"]).output().unwrap();
    (output.status.code(), said(&output))
}

#[test]
fn rules_for_udev_are_printed_and_cover_what_a_bench_has() {
    let cli = Cli::new();
    let output = cli.command(&["doctor", "--udev-rules"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let rules = String::from_utf8(output.stdout).unwrap();
    let rule = regex::Regex::new(r#"^([A-Z]+(\{\w+\})?(==|!=|=|\+=)"[^"]*"(, |$))+$"#).unwrap();
    let mut count = 0;
    for line in rules
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        assert!(rule.is_match(line), "no rule of udev: {line}");
        count += 1;
    }
    assert!(count > 10, "{rules}");
    for words in [
        "CMSIS-DAP",
        "0483",
        "1366",
        "0403",
        "303a",
        "1a86",
        "gpiochip",
        "uaccess",
        "plugdev",
        "dialout",
        "tty",
    ] {
        assert!(rules.contains(words), "{words}");
    }
}

#[rstest]
#[case::unknown(&["doctor", "nobody"], "no device is called `nobody`")]
#[case::two_things(&["doctor", "--clean", "--exercise"], "cannot be used with")]
fn what_makes_no_sense_is_refused(#[case] words: &[&str], #[case] says: &str) {
    let cli = Cli::new();
    let output = cli.command(words).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_says(&said(&output), &[says]);
}

/// Whatever this machine has: what is printed is TOML, and the list of devices is what it was.
#[test]
fn a_scan_prints_toml_and_devices_are_still_listed() {
    let cli = Cli::new();
    let output = cli.command(&["devices", "scan"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    toml::from_str::<toml::Table>(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert!(
        text.starts_with("# What is plugged into this machine"),
        "{text}"
    );
    let output = cli.command(&["devices"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_says(&said(&output), &["one", "two", "In use by"]);
}

/// nRST of the probe as a button: the board tells why it was reset.
#[rstest]
fn the_reset_line_of_the_probe_is_a_button(world: World) {
    world
        .bench
        .append("devices.toml", "actuators.reset = { driver = \"probe\" }\n");
    let world = world.programmed();
    let (code, text) = world.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_says(&text, &["what holds button reset answers: not held"]);
    let (code, text) = world.doctor(&["--exercise"]);
    assert_eq!(code, Some(0), "{text}");
    assert_says(
        &text,
        &[
            "button reset was pressed and let go, and the console says \"boot: PB-RS1 boot loader 0.1.0, reset: pin\"",
        ],
    );
}
