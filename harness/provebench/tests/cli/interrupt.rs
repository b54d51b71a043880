use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ttyname};
use rstest::rstest;
use serde_json::json;

use crate::{Cli, text};

/// Begins a run and waits until its only device waits in unit b of its first case.
fn started(cli: &Cli) -> Child {
    cli.case(
        "5.1-1-2",
        "deadline = 3600",
        &[
            ('a', "t.expect(True, \"never\")"),
            ('b', "t.wait(3600, \"for the signal\")"),
            ('c', "t.expect(True, \"never\")"),
        ],
    );
    cli.case("5.11-1-2", "", &[('a', "t.expect(True, \"never\")")]);
    let child = cli.begin(&["one"]);
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    until(|| {
        let journal = std::fs::read_to_string(&journal).unwrap_or_default();
        journal.contains(r#""event":"unit-started","device":"one","case":"5.1-1-2","unit":"b""#)
    });
    child
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen within a minute");
        thread::sleep(Duration::from_millis(10));
    }
}

fn interrupted(child: Child, signal: Signal) -> Output {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[rstest]
#[case(Signal::SIGINT)]
#[case(Signal::SIGTERM)]
#[case(Signal::SIGHUP)]
fn what_is_done_is_reported(#[case] signal: Signal) {
    let cli = Cli::new();
    let output = interrupted(started(&cli), signal);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.contains(signal.as_str()), "{said}");
    assert!(said.contains("junit.xml"), "{said}");

    let results = cli.results();
    assert_eq!(results["interrupted"], true);
    assert_eq!(
        results["counts"],
        json!({"pass": 1, "fail": 0, "error": 0, "inconclusive": 0, "skipped": 2})
    );
    let cases = &results["devices"][0]["cases"];
    for case in ["5.1-1-2", "5.11-1-2"] {
        assert_eq!(cases[case]["skip"]["kind"], "interrupted");
        assert_eq!(cases[case]["verdict"], "inconclusive");
    }
    let check = Command::new("sha256sum")
        .args(["--check", "--quiet", "manifest.sha256"])
        .current_dir(cli.bench.root().join("runs/latest"))
        .status();
    assert!(check.unwrap().success());
}

/// timeout(1) sends its signal to its child, and then to the child's group.
#[rstest]
#[case(&[Signal::SIGTERM, Signal::SIGTERM])]
#[case(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])]
fn a_signal_that_comes_twice_in_a_moment_is_one(#[case] signals: &[Signal]) {
    let cli = Cli::new();
    let child = started(&cli);
    for signal in signals {
        kill(Pid::from_raw(child.id().cast_signed()), *signal).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(cli.results()["interrupted"], true);
    assert!(cli.bench.root().join("runs/latest/junit.xml").exists());
    cli.run(&["one", "5.11"]).code(0);
}

/// `provebench run | head`
#[test]
fn a_run_whose_reader_is_gone_is_stopped_in_order() {
    let cli = Cli::new();
    let mut child = started(&cli);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(cli.results()["interrupted"], true);
    cli.run(&["one", "5.11"]).code(0);
}

/// Whoever says so wants it to outlive the terminal.
#[test]
fn nohup_is_obeyed() {
    let cli = Cli::new();
    cli.case(
        "5.1-1-2",
        "deadline = 3600",
        &[('a', "t.wait(3600, \"for the signal\")")],
    );
    let child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" run one"])
        .arg(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(cli.bench.root())
        .env("PROVEBENCH_LEASES", cli.bench.root().join("leases"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    until(|| {
        let journal = fs::read_to_string(&journal).unwrap_or_default();
        journal.contains("unit-started")
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
    interrupted(child, Signal::SIGTERM);
    let journal = fs::read_to_string(&journal).unwrap();
    assert!(
        journal.contains("SIGTERM") && !journal.contains("SIGHUP"),
        "{journal}"
    );
}

#[test]
fn the_lease_is_free_afterwards() {
    let cli = Cli::new();
    let child = started(&cli);

    let busy = cli.run(&["one"]).code(3).get_output().clone();
    let said = text(&busy.stdout);
    assert!(
        said.contains("is in use by process") && said.contains("provebench run"),
        "{said}"
    );
    // The other device is free.
    cli.run(&["two", "5.11"]).code(0);

    assert_eq!(interrupted(child, Signal::SIGINT).status.code(), Some(130));
    cli.run(&["one", "5.11"]).code(0);
}

#[test]
fn a_killed_run_leaves_its_journal_and_no_lease() {
    let cli = Cli::new();
    let output = interrupted(started(&cli), Signal::SIGKILL);
    assert_eq!(output.status.code(), None);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let finished: Vec<&str> = journal
        .lines()
        .filter(|line| line.contains("unit-finished"))
        .collect();
    assert_eq!(finished.len(), 1, "{journal}");
    let event: serde_json::Value = serde_json::from_str(finished[0]).unwrap();
    assert_eq!(event["outcome"], "pass");
    cli.run(&["one", "5.11"]).code(0);
}

#[test]
fn waiting_for_a_device_can_be_interrupted_and_succeeds() {
    let cli = Cli::new();
    let first = started(&cli);
    let waiting = cli
        .program(&["run", "one", "5.11", "--wait", "600", "--runs", "second"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until(|| {
        cli.bench
            .root()
            .join("second/latest/journal.jsonl")
            .exists()
    });
    interrupted(first, Signal::SIGINT);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn devices_shows_who_has_which_and_who_waits() {
    let cli = Cli::new();
    let first = started(&cli);
    let shown = || {
        let output = cli
            .command(&["devices"])
            .env("COLUMNS", "200")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    // Tables break words where they must: the parts that are short enough are looked for.
    let said = shown();
    assert!(said.contains("provebench run"), "{said}");
    assert!(said.contains(&first.id().to_string()), "{said}");
    assert!(!said.contains("waits:"), "{said}");
    let waiting = cli
        .program(&["run", "one", "5.11", "--runs", "second", "--wait"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until(|| shown().contains("waits:"));
    // Who does not wait does not get in between.
    cli.run(&["one", "5.11"]).code(3);
    let pid = first.id().to_string();
    interrupted(first, Signal::SIGINT);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains("WAITING one: in use by process") && said.contains(&pid),
        "{said}"
    );
    assert!(!shown().contains("provebench run"), "free again");
}

/// Whatever an inventory calls it, and whoever asks.
#[test]
fn a_board_is_leased_whatever_its_name() {
    let cli = Cli::new();
    let child = started(&cli);
    let devices = text(&cli.read("devices.toml"));
    cli.bench.write(
        "others.toml",
        devices.replacen("name = \"one\"", "name = \"mine\"", 1),
    );
    let output = cli.run(&["mine", "--devices", "others.toml"]).code(3);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("device `mine` is in use by process"),
        "{said}"
    );
    interrupted(child, Signal::SIGINT);
}

/// One inventory has the probe of the board, the other only its console.
#[test]
fn a_board_is_leased_by_each_of_its_parts() {
    let cli = Cli::new();
    cli.passing();
    let devices = text(&cli.read("devices.toml"));
    let probe = "name = \"one\"\nprobe = { selector = \"1366:1015\" }";
    cli.bench
        .write("whole.toml", devices.replacen("name = \"one\"", probe, 1));
    let mut holder = cli
        .program(&["console", "one", "--devices", "whole.toml"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    until(|| {
        let shown = cli.command(&["devices"]).output().unwrap();
        text(&shown.stdout).contains(&holder.id().to_string())
    });
    let said = text(&cli.run(&["one"]).code(3).get_output().stdout);
    assert!(
        said.contains(&format!("is in use by process {}", holder.id())),
        "{said}"
    );
    drop(holder.stdin.take());
    holder.wait().unwrap();
    cli.run(&["one"]).code(0);
}

/// Two inventories have nothing in common but a relay board: its relays are told apart, however its port is written.
#[test]
fn the_power_of_a_board_in_use_is_not_switched() {
    let cli = Cli::new();
    let relays = openpty(None, None).unwrap();
    let port = ttyname(&relays.slave).unwrap();
    let link = cli.bench.root().join("relays");
    symlink(&port, &link).unwrap();
    let devices = text(&cli.read("devices.toml"));
    let (one, two) = devices.split_at(devices.rfind("[[device]]").unwrap());
    let powered = |entry: &str, name: &str, port: &Path, relay: u8| {
        let port = port.display();
        let power = format!(
            "power = {{ driver = \"lcus\", port = \"{port}\", relay = {relay}, feedback = false }}\n"
        );
        let start = format!("name = \"{name}\"");
        entry
            .trim_end()
            .replacen(&start, &format!("{power}{start}"), 1)
            + "\n"
    };
    cli.bench
        .write("devices.toml", powered(one, "one", &link, 1));
    let child = started(&cli);
    let switch = |relay: u8| {
        cli.bench
            .write("others.toml", powered(two, "two", &port, relay));
        cli.command(&["power", "two", "off", "--devices", "others.toml"])
            .assert()
    };
    let said = text(&switch(1).code(3).get_output().stderr);
    assert!(
        said.contains(&format!("`two` is in use by process {}", child.id())),
        "{said}"
    );
    switch(2).code(0);
    // Before the run restores power when it ends.
    let (on, off) = ([0xA0, 1, 1, 0xA2], [0xA0, 2, 0, 0xA2]);
    let mut sent = Vec::new();
    let mut some = [0; 256];
    // It may come in parts.
    while !sent.chunks(4).any(|command| command == off) {
        let length = nix::unistd::read(&relays.master, &mut some).unwrap();
        sent.extend_from_slice(&some[..length]);
    }
    let sent: Vec<&[u8]> = sent.chunks(4).collect();
    assert!(
        sent.iter()
            .all(|command| [on, off].iter().any(|c| c == command)),
        "{sent:x?}"
    );
    interrupted(child, Signal::SIGINT);
}

/// Only root can become somebody else, for which this looks.
#[test]
fn other_users_of_the_host_are_kept_off_too() {
    const NOBODY: u32 = 65534;
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("not root: not tried");
        return;
    }
    let cli = Cli::new();
    let child = started(&cli);
    // For the other user: the bench, and the program, wherever it was built.
    let root = cli.bench.root();
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(root, 0o755);
    let program = root.join("provebench");
    fs::copy(env!("CARGO_BIN_EXE_provebench"), &program).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(&program)
            .args(arguments)
            .current_dir(root)
            .env("PROVEBENCH_LEASES", root.join("leases"))
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    let pid = child.id().to_string();
    let said = run(&["console", "one"]);
    assert!(
        said.contains("is in use by") && said.contains(&pid),
        "{said}"
    );
    interrupted(child, Signal::SIGINT);
    // The port belongs to root: the lease is not what stops it.
    let said = run(&["console", "one"]);
    assert!(
        !said.contains("lease") && !said.contains("is in use by"),
        "{said}"
    );
    cli.run(&["one", "5.11"]).code(0);
}
