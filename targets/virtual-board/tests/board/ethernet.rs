//! The Ethernet cable: there over power cycles, its carrier switched by the plug.

use std::{
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{net::UnixDatagram, process::CommandExt as _},
    },
    process::{Command, Stdio},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Board, program};

const MAC: &str = "02:00:00:12:34:56";

/// A board on a cable, and the bench's end of it.
fn cabled(folder: &TempDir) -> (Board, UnixDatagram) {
    let (bench, cable) = UnixDatagram::pair().expect("a cable");
    let cable = OwnedFd::from(cable);
    let fd = cable.as_raw_fd().to_string();
    // Inherited by all that is started from here; the board takes what it is told.
    fcntl(&cable, FcntlArg::F_SETFD(FdFlag::empty())).expect("inherited");
    let arguments = ["--power", "on", "--ethernet-fd", &fd, "--mac", MAC];
    let board = Board::start(folder.path().join("board"), &arguments);
    (board, bench)
}

/// The emulator's command line.
fn emulator_arguments(board: &Board) -> Vec<String> {
    let pid = board.emulator().expect("it is on");
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("a command line");
    line.split('\0').map(str::to_owned).collect()
}

#[rstest]
fn the_cable_stays_over_power_cycles() {
    let folder = TempDir::new().expect("a folder");
    let (board, bench) = cabled(&folder);
    let first = board.emulator();
    for cycle in 0..2 {
        let arguments = emulator_arguments(&board);
        let has = |text: &str| arguments.iter().any(|argument| argument.contains(text));
        assert!(
            has("local.type=fd") && has(MAC),
            "cycle {cycle}: {arguments:?}"
        );
        assert!(!has("none,"), "{arguments:?}");
        // Somebody is there to take it.
        bench.send(&[0xFF; 60]).expect("the cable is whole");
        board.power(false);
        board.power(true);
    }
    assert_ne!(board.emulator(), first);
    assert_eq!(board.stop(), Some(0));
}

#[rstest]
fn frames_for_a_board_without_power_are_gone_when_it_comes_back() {
    let folder = TempDir::new().expect("a folder");
    let (board, bench) = cabled(&folder);
    board.power(false);
    bench.set_nonblocking(true).expect("a socket");
    let mut sent = 0;
    while sent < 100_000 && bench.send(&[0xFF; 1000]).is_ok() {
        sent += 1;
    }
    assert!(
        (1..100_000).contains(&sent),
        "{sent} frames fit into a cable"
    );
    board.power(true);
    bench.send(&[0xFF; 1000]).expect("there is room again");
}

#[rstest]
fn the_carrier_is_switched_by_the_plug_and_stays_over_power_cycles() {
    let folder = TempDir::new().expect("a folder");
    let (board, _bench) = cabled(&folder);
    assert_eq!(board.plug("Power3"), json!({"POWER3": "ON"}));
    assert_eq!(board.plug("Power3 off"), json!({"POWER3": "OFF"}));
    board.power(false);
    assert_eq!(board.plug("Power3"), json!({"POWER3": "OFF"}));
    board.power(true);
    assert_eq!(board.plug("Status 0")["StatusBoard"]["link"], json!(false));
    assert_eq!(board.plug("Power3 on"), json!({"POWER3": "ON"}));
    assert_eq!(board.plug("Power3 toggle"), json!({"POWER3": "OFF"}));
}

#[rstest]
fn without_a_cable_there_is_no_carrier_to_switch() {
    let folder = TempDir::new().expect("a folder");
    let board = Board::start(folder.path().join("board"), &["--power", "on"]);
    assert_eq!(board.plug("Power3 on"), json!({"Command": "Unknown"}));
    assert_eq!(board.plug("Status 0")["StatusBoard"]["link"], json!(null));
    let arguments = emulator_arguments(&board);
    assert!(arguments.windows(2).any(|pair| pair == ["-nic", "none"]));
}

#[rstest]
#[case::not_open("97")]
#[case::no_socket("0")]
fn what_is_no_cable_is_refused(#[case] fd: &str) {
    let folder = TempDir::new().expect("a folder");
    let mut command: Command = program();
    let output = command
        .args(["--name", "test", "--ethernet-fd", fd, "--dir"])
        .arg(folder.path().join("board"))
        .arg0("virtual-board")
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--ethernet-fd"), "{said}");
}
