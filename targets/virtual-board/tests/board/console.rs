//! The console: a terminal at a path that stays, which loses nothing that it should keep.

use std::{fs, time::Duration};

use probe_rs::MemoryInterface as _;
use rstest::rstest;

use crate::support::{Board, PATIENCE, RAM, board, eventually};

/// What is kept for a reader that is not there, not counting what the terminal itself keeps.
const KEPT: usize = 256 * 1024;
/// What the test firmware sends for the key `f`, without the full stop at its end.
const FLOOD: usize = 64 * 1024;

fn flood() -> Vec<u8> {
    let mut flood = vec![b'f'; FLOOD];
    flood.push(b'.');
    flood
}

/// Keys that the test firmware echoes.
fn echoed() -> Vec<u8> {
    (0..=255)
        .filter(|key| !b"wordxbskf".contains(key))
        .collect()
}

#[rstest]
fn the_path_and_an_open_console_outlive_power_cycles(board: Board) {
    let mut console = board.load_firmware();
    let path = board.console_path();
    assert_eq!(path, board.dir.join("console"));
    let terminal = fs::read_link(&path).unwrap();
    for _ in 0..3 {
        board.power(false);
        assert_eq!(fs::read_link(&path).unwrap(), terminal);
        board.power(true);
        assert_eq!(fs::read_link(&path).unwrap(), terminal);
        assert_eq!(console.take(3), b"R1\n");
        console.send("HELLO");
        assert_eq!(console.take(5), b"HELLO");
    }
}

#[rstest]
fn the_path_outlives_the_board() {
    let temporary = tempfile::TempDir::new().unwrap();
    let dir = temporary.path().to_owned();
    let board = Board::start(dir.clone(), &["--power", "on"]);
    let path = board.console_path();
    drop(board.load_firmware());
    assert_eq!(board.stop(), Some(0));
    assert!(
        fs::symlink_metadata(&path).is_err(),
        "nothing is left behind"
    );

    let mut board = Board::start(dir.clone(), &["--power", "on"]);
    assert_eq!(board.console_path(), path);
    assert_eq!(board.console().take(3), b"R1\n");
    board.kill();

    // The killed board has left its link.
    assert!(fs::symlink_metadata(&path).is_ok());
    let board = Board::start(dir, &["--power", "on"]);
    assert_eq!(board.console_path(), path);
    assert_eq!(board.console().take(3), b"R1\n");
}

#[rstest]
fn every_byte_passes_both_ways(board: Board) {
    let mut console = board.load_firmware();
    let keys = echoed();
    assert_eq!(keys.len(), 247);
    for _ in 0..4 {
        console.send_bytes(&keys);
    }
    assert_eq!(console.take(4 * keys.len()), keys.repeat(4));
}

#[rstest]
fn boot_output_is_whole_for_a_reader_that_comes_late(board: Board) {
    drop(board.load_firmware());
    board.power(false);
    board.power(true);
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    eventually("it is past its boot output", || {
        core.read_word_32(RAM).unwrap() > 0
    });
    assert_eq!(board.console().take(3), b"R1\n");
}

#[rstest]
fn a_reader_that_closes_misses_nothing(board: Board) {
    let mut console = board.load_firmware();
    console.send("1ST");
    assert_eq!(console.take(3), b"1ST");
    console.send("2nD");
    // Whether its echo is there already or not, it is for the next reader.
    drop(console);
    let mut console = board.console();
    assert_eq!(console.take(3), b"2nD");
    console.send("3RD!!");
    assert_eq!(console.take(5), b"3RD!!");
}

#[rstest]
fn nothing_is_lost_up_to_what_is_kept(board: Board) {
    let mut console = board.load_firmware();
    let floods = KEPT / FLOOD;
    console.send(&"f".repeat(floods));
    // The store comes after all floods, and nobody reads until it is done.
    console.send("o");
    eventually("all of it was sent", || board.nvm()[0] == b'o');
    assert!(console.take(floods * (FLOOD + 1)) == flood().repeat(floods));
    assert_eq!(console.take(1), b".");
    assert_eq!(board.console_lost(), 0);
}

#[rstest]
fn a_reader_that_keeps_up_loses_nothing(board: Board) {
    let mut console = board.load_firmware();
    let floods = 3 * KEPT / FLOOD;
    console.send(&"f".repeat(floods));
    for _ in 0..floods {
        assert!(console.take(FLOOD + 1) == flood());
    }
    assert_eq!(board.console_lost(), 0);
}

#[rstest]
fn what_nobody_reads_is_lost_from_its_start_and_counted(board: Board) {
    let mut console = board.load_firmware();
    let floods = 3 * KEPT / FLOOD;
    console.send(&"f".repeat(floods));
    // The firmware waits for its UART, for up to a second, and then goes on.
    eventually("something is lost", || board.console_lost() > 0);
    console.send("!");
    let rest = console.take_until(b'!');
    let lost = usize::try_from(board.console_lost()).unwrap();
    assert_eq!(rest.len() + lost, floods * (FLOOD + 1) + 1);
}

#[rstest]
fn what_is_typed_while_power_is_off_is_not_heard(board: Board) {
    let mut console = board.load_firmware();
    board.power(false);
    console.send("nobody hears this");
    board.power(true);
    assert_eq!(console.take(3), b"R1\n");
    console.send("!");
    assert_eq!(console.take(1), b"!");
}

#[rstest]
fn what_is_typed_ahead_of_firmware_that_does_not_read_waits(board: Board) {
    let mut console = board.load_firmware();
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.halt(PATIENCE).unwrap();
    console.send("AHEAD");
    console.expect_silence(Duration::from_millis(50));
    core.run().unwrap();
    assert_eq!(console.take(5), b"AHEAD");
}

#[rstest]
fn a_console_without_power_is_silent(board: Board) {
    let mut console = board.load_firmware();
    board.power(false);
    console.send("?");
    console.expect_silence(Duration::from_millis(100));
}
