//! Start and end: what a board needs, what it says when it can't have it, what is left.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use probe_rs::MemoryInterface as _;
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Board, Ended, PATIENCE, RAM, about, board, ended, eventually, flash, get, program,
};

fn signal(pid: u64, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).expect("it is there");
}

/// Dead, if not yet buried by whoever has inherited it.
fn is_dead(pid: u64) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state is behind the name, which is in parentheses.
        Ok(stat) => stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

/// Dead, and buried by its parent.
fn is_gone(pid: u64) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Starts a board that does not come up.
fn refused(dir: &Path, arguments: &[&str]) -> Ended {
    let mut command = program();
    command
        .args(["--name", "refused", "--dir"])
        .arg(dir)
        .args(arguments);
    run(command)
}

fn run(mut command: Command) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    ended(&mut child)
}

/// One clear message, nothing else.
fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} in {}", ended.stderr);
    }
}

#[rstest]
fn two_boards_do_not_know_each_other(board: Board, #[from(board)] other: Board) {
    let mut console = board.load_firmware();
    let mut other_console = other.load_firmware();
    assert_ne!(board.ready["probe"], other.ready["probe"]);
    assert_ne!(board.ready["plug"], other.ready["plug"]);
    assert_ne!(board.emulator(), other.emulator());
    console.send("o");
    console.expect(".");
    assert_eq!(board.nvm()[0], b'o');
    assert_eq!(other.nvm()[0], 0xFF);
    // Both are debugged at once.
    let mut session = board.attach();
    let mut other_session = other.attach();
    session.core(0).unwrap().halt(PATIENCE).unwrap();
    assert!(!other_session.core(0).unwrap().core_halted().unwrap());
    drop(session);
    board.power(false);
    other_console.send("!");
    other_console.expect("!");
    assert_eq!(board.stop(), Some(0));
    other_console.send("!");
    other_console.expect("!");
}

#[rstest]
#[case("--probe-port", "debug probe")]
#[case("--plug-port", "smart plug")]
fn a_port_in_use_is_told(#[case] option: &str, #[case] what: &str) {
    let temporary = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = refused(&temporary.path().join("board"), &[option, &port]);
    assert_refused(&ended, 2, &[what, &port, "free that port"]);
}

#[rstest]
fn ports_are_as_wished() {
    let temporary = TempDir::new().unwrap();
    let port = || {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let (probe, plug) = (port(), port());
    let arguments = ["--probe-port", &probe, "--plug-port", &plug];
    let board = Board::start(temporary.path().to_owned(), &arguments);
    assert_eq!(board.ready["probe"], format!("1d50:6018:127.0.0.1:{probe}"));
    assert_eq!(board.ready["plug"], format!("http://127.0.0.1:{plug}"));
}

#[rstest]
fn a_directory_in_use_is_told(board: Board) {
    let pid = board.pid().to_string();
    let ended = refused(&board.dir, &[]);
    let path = board.dir.display().to_string();
    assert_refused(&ended, 2, &[&path, "in use", "test", &pid, "--dir"]);
    // The one that was there does not notice.
    assert_eq!(board.status("console_lost"), 0);
    assert!(fs::symlink_metadata(board.console_path()).is_ok());
}

#[rstest]
fn a_directory_that_can_not_be_is_told() {
    let temporary = TempDir::new().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [
        file.clone(),
        file.join("board"),
        PathBuf::from("/proc/board"),
    ] {
        let ended = refused(&dir, &[]);
        assert_refused(&ended, 2, &[&dir.display().to_string(), "--dir"]);
    }
}

#[rstest]
#[case("nvm.bin")]
#[case("boot.bin")]
fn an_image_of_the_wrong_size_is_told(#[case] name: &str) {
    let temporary = TempDir::new().unwrap();
    let image = temporary.path().join(name);
    fs::write(&image, "short").unwrap();
    let ended = refused(temporary.path(), &[]);
    assert_refused(&ended, 2, &[name, "5 bytes", "delete"]);
    assert_eq!(fs::read(&image).unwrap(), b"short", "it is not touched");
}

#[rstest]
#[case::missing_without_power("off", "/nonexistent/qemu", &["/nonexistent/qemu", "--qemu"])]
#[case::missing("on", "/nonexistent/qemu", &["/nonexistent/qemu", "qemu-system-arm", "--qemu"])]
#[case::not_a_program("on", "/dev/null", &["/dev/null", "--qemu"])]
#[case::another_program("on", "/bin/false", &["ended by itself", "exit status: 1"])]
fn an_emulator_that_does_not_start_is_told(
    #[case] power: &str,
    #[case] qemu: &str,
    #[case] words: &[&str],
) {
    let temporary = TempDir::new().unwrap();
    let ended = refused(temporary.path(), &["--power", power, "--qemu", qemu]);
    assert_refused(&ended, 3, words);
}

#[rstest]
fn an_emulator_that_is_gone_is_told_to_who_switches_power_on() {
    let temporary = TempDir::new().unwrap();
    let qemu = temporary.path().join("qemu");
    std::os::unix::fs::symlink("/bin/true", &qemu).unwrap();
    let board = Board::start(
        temporary.path().to_owned(),
        &["--qemu", qemu.to_str().unwrap()],
    );
    fs::remove_file(&qemu).unwrap();
    let (status, text) = get(&format!("{}/cm?cmnd=Power1%20On", board.plug_address()));
    assert_eq!(status, 500);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["Error"].as_str().unwrap().contains("--qemu"));
    assert_eq!(board.plug("Power1")["POWER1"], "OFF");
    assert_eq!(board.stop(), Some(0));
}

#[rstest]
#[case::killed(Signal::SIGKILL)]
#[case::ended(Signal::SIGTERM)]
fn a_board_ends_with_its_emulator_and_says_why(#[case] how: Signal) {
    let temporary = TempDir::new().unwrap();
    let mut board = Board::start_quiet(temporary.path().to_owned(), &["--power", "on"]);
    let emulator = board.emulator().unwrap();
    signal(emulator, how);
    let ended = board.ended();
    assert_refused(&ended, 3, &["the emulator ended by itself"]);
    if how == Signal::SIGKILL {
        assert!(ended.stderr.contains("SIGKILL"), "{}", ended.stderr);
    }
    assert!(is_gone(emulator), "no zombie");
    assert!(fs::symlink_metadata(board.console_path()).is_err());
    // The directory can be used again.
    Board::start(temporary.path().to_owned(), &["--power", "on"]);
}

#[rstest]
fn an_emulator_that_dies_under_a_debugger_is_told() {
    let temporary = TempDir::new().unwrap();
    let mut board = Board::start_quiet(temporary.path().to_owned(), &["--power", "on"]);
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    let emulator = board.emulator().unwrap();
    signal(emulator, Signal::SIGKILL);
    eventually("an access fails", || core.read_word_32(RAM).is_err());
    let ended = board.ended();
    assert_refused(&ended, 3, &["the emulator ended by itself", "SIGKILL"]);
    assert!(is_gone(emulator), "no zombie");
}

#[rstest]
fn an_emulator_without_power_is_no_zombie(board: Board) {
    for _ in 0..3 {
        let emulator = board.emulator().unwrap();
        board.power(false);
        assert!(is_gone(emulator));
        board.power(true);
    }
}

#[rstest]
fn the_emulator_dies_with_a_killed_board(mut board: Board) {
    let emulator = board.emulator().unwrap();
    board.kill();
    eventually("the emulator is dead", || is_dead(emulator));
}

#[derive(Debug, Clone, Copy)]
enum End {
    Input,
    Signal(Signal),
}

#[rstest]
#[case::end_of_input(End::Input)]
#[case::terminate(End::Signal(Signal::SIGTERM))]
#[case::interrupt(End::Signal(Signal::SIGINT))]
#[case::hangup(End::Signal(Signal::SIGHUP))]
fn a_board_stops_when_told_to(#[case] end: End) {
    let temporary = TempDir::new().unwrap();
    let mut board = Board::start_quiet(temporary.path().to_owned(), &["--power", "on"]);
    // Not saved yet when the board is told to stop: the debugger is still there.
    let mut session = board.attach();
    flash(&mut session, 0x1000, b"kept").unwrap();
    let emulator = board.emulator().unwrap();
    match end {
        End::Input => board.end_input(),
        End::Signal(how) => signal(board.pid().into(), how),
    }
    let ended = board.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    assert!(is_gone(emulator));
    assert!(fs::symlink_metadata(board.console_path()).is_err());
    let boot = fs::read(temporary.path().join("boot.bin")).unwrap();
    assert_eq!(&boot[0x1000..0x1004], b"kept");
}

#[rstest]
fn a_board_that_is_told_to_stop_at_once_stops(#[values(0, 1, 5, 20)] rounds: u32) {
    let temporary = TempDir::new().unwrap();
    let mut board = Board::start_quiet(temporary.path().to_owned(), &["--power", "on"]);
    for _ in 0..=rounds {
        signal(board.pid().into(), Signal::SIGTERM);
    }
    assert_eq!(board.ended().code, Some(0));
}

#[rstest]
fn a_board_stops_when_its_parent_is_gone() {
    let temporary = TempDir::new().unwrap();
    // A shell would give a program in the background no input, which ends the board.
    let mut shell = Command::new("sh")
        .args(["-c", r#"exec 3<&0; "$@" <&3 & wait"#, "sh"])
        .arg(program().get_program())
        .args(["--name", "orphan", "--power", "on", "--dir"])
        .arg(temporary.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(shell.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let ready = about(&line);
    let pid = ready["pid"].as_u64().unwrap();
    assert_ne!(pid, u64::from(shell.id()));
    let console = PathBuf::from(ready["console"].as_str().unwrap());
    // Its input stays open, held by us.
    shell.kill().unwrap();
    let input = shell.stdin.take();
    shell.wait().unwrap();
    eventually("the board is gone", || is_dead(pid));
    assert!(fs::symlink_metadata(&console).is_err(), "it has cleaned up");
    drop(input);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

/// A limit on the size of files stands for a disk that is full.
fn with_file_limit(blocks: u32, dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            r#"trap "" XFSZ; ulimit -f "$1"; shift; exec "$@""#,
            "sh",
        ])
        .arg(blocks.to_string())
        .arg(program().get_program())
        .args(["--name", "test", "--dir"])
        .arg(dir)
        .args(arguments);
    command
}

#[rstest]
fn a_full_disk_is_told_and_no_half_image_is_left() {
    let temporary = TempDir::new().unwrap();
    let ended = run(with_file_limit(1000, temporary.path(), &[]));
    assert_refused(&ended, 3, &["can't write", "nvm.bin"]);
    let left: Vec<_> = fs::read_dir(temporary.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[rstest]
fn a_disk_that_is_full_at_power_off_is_told_and_keeps_the_old_image() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().to_owned();
    let board = Board::start(dir.clone(), &["--power", "on"]);
    flash(&mut board.attach(), 0x1000, b"old").unwrap();
    assert_eq!(board.stop(), Some(0));

    let command = with_file_limit(1000, &dir, &["--power", "on"]);
    let mut board = Board::start_command(command, dir.clone());
    let (status, text) = get(&format!("{}/cm?cmnd=Power1%20Off", board.plug_address()));
    assert_eq!(status, 500, "{text}");
    assert!(
        text.contains("can't write") && text.contains("boot.bin"),
        "{text}"
    );
    assert_eq!(board.plug("Power1")["POWER1"], "OFF");
    board.end_input();
    assert_eq!(board.ended().code, Some(0));
    let boot = fs::read(dir.join("boot.bin")).unwrap();
    assert_eq!(boot.len(), 0x40_0000);
    assert_eq!(&boot[0x1000..0x1003], b"old");
}

#[rstest]
#[case::no_name(&["--dir", "/tmp/unused"])]
#[case::bad_identity(&["--name", "x", "--dir", "/tmp/unused", "--chip-id", "xyz"])]
#[case::bad_port(&["--name", "x", "--dir", "/tmp/unused", "--probe-port", "65536"])]
fn bad_arguments_are_refused(#[case] arguments: &[&str]) {
    let mut command = program();
    command.args(arguments);
    let ended = run(command);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
}
