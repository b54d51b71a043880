//! The smart plug: Tasmota's commands, and what they do to the board.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use probe_rs::MemoryInterface as _;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Board, PAGE, PATIENCE, board, eventually, get};

/// Asks with the query as it stands, to be in charge of its encoding.
fn raw(board: &Board, query: &str) -> (u16, Value) {
    let (status, text) = get(&format!("{}/cm{query}", board.plug_address()));
    (status, serde_json::from_str(&text).expect("JSON"))
}

#[rstest]
#[case::as_documented("Power1 OFF", "Power1 ON")]
#[case::lower_case("power1 off", "power1 on")]
#[case::upper_case("POWER1 OFF", "POWER1 ON")]
#[case::without_number("Power Off", "Power On")]
#[case::numbers("Power1 0", "Power1 1")]
#[case::words("Power1 false", "Power1 true")]
#[case::spaces("  Power1   off ", "  Power1   on ")]
fn mains_are_switched_in_any_spelling(board: Board, #[case] off: &str, #[case] on: &str) {
    let first = board.emulator();
    assert!(first.is_some());
    assert_eq!(board.plug(off), json!({"POWER1": "OFF"}));
    assert_eq!(board.emulator(), None);
    assert_eq!(board.plug(off), json!({"POWER1": "OFF"}), "once more");
    assert_eq!(board.plug("Power1"), json!({"POWER1": "OFF"}));
    assert_eq!(board.plug(on), json!({"POWER1": "ON"}));
    let second = board.emulator();
    assert!(second.is_some() && second != first);
    assert_eq!(board.plug(on), json!({"POWER1": "ON"}), "once more");
    assert_eq!(board.emulator(), second, "on is on: no power cycle");
    assert_eq!(board.plug("Power"), json!({"POWER1": "ON"}));
}

#[rstest]
fn toggle_toggles(board: Board) {
    assert_eq!(board.plug("Power1 Toggle"), json!({"POWER1": "OFF"}));
    assert_eq!(board.plug("Power1 2"), json!({"POWER1": "ON"}));
    assert_eq!(board.plug("Power2 TOGGLE"), json!({"POWER2": "ON"}));
    assert_eq!(board.plug("Power2 2"), json!({"POWER2": "OFF"}));
}

#[rstest]
#[case("?cmnd=Power1%20Off")]
#[case("?cmnd=Power1+Off")]
#[case("?cmnd=%50%6fwer1%20%4f%46%46")]
#[case("?user=admin&password=x&cmnd=Power1%20Off")]
fn queries_are_decoded(board: Board, #[case] query: &str) {
    assert_eq!(raw(&board, query), (200, json!({"POWER1": "OFF"})));
    assert_eq!(board.emulator(), None);
}

#[rstest]
#[case::nothing("")]
#[case::empty("?cmnd=")]
#[case::nonsense("?cmnd=Brew%20Coffee")]
#[case::no_such_relay("?cmnd=Power3%20On")]
#[case::delay_alone("?cmnd=Delay%205")]
#[case::no_text("?cmnd=%FF%FE")]
#[case::long("?cmnd=PowerPowerPowerPowerPowerPowerPowerPowerPowerPowerPower%20On")]
fn an_unknown_command_is_answered_as_tasmota_does(board: Board, #[case] query: &str) {
    assert_eq!(raw(&board, query), (200, json!({"Command": "Unknown"})));
}

#[rstest]
fn an_unknown_argument_only_asks(board: Board) {
    assert_eq!(board.plug("Power1 maybe"), json!({"POWER1": "ON"}));
    assert_eq!(board.plug("Power2 maybe"), json!({"POWER2": "OFF"}));
}

#[rstest]
fn other_pages_are_not_there(board: Board) {
    assert_eq!(get(&format!("{}/", board.plug_address())).0, 404);
}

#[rstest]
fn the_button_reaches_the_firmware_and_its_led_the_status(board: Board) {
    let _console = board.load_firmware();
    eventually("the LED is dark", || board.status("leds") == 0);
    assert_eq!(board.plug("Power2 ON"), json!({"POWER2": "ON"}));
    eventually("the LED is lit", || board.status("leds") == 1);
    assert_eq!(board.plug("Power2 OFF"), json!({"POWER2": "OFF"}));
    eventually("the LED is dark again", || board.status("leds") == 0);
}

#[rstest]
fn the_button_can_be_held_over_power_on_and_reset(board: Board) {
    let mut console = board.load_firmware();
    board.power(false);
    assert_eq!(board.plug("Power2 ON"), json!({"POWER2": "ON"}));
    assert_eq!(board.status("leds"), Value::Null);
    board.power(true);
    console.expect("R1\n");
    eventually("the LED is lit", || board.status("leds") == 1);
    console.send("r");
    console.expect("R4\n");
    let mut session = board.attach();
    assert_eq!(
        session.core(0).unwrap().read_word_32(PAGE + 4).unwrap(),
        1,
        "the register page is renewed with the button held"
    );
}

#[rstest]
fn a_backlog_is_carried_out_in_order_with_its_delays(board: Board) {
    let mut console = board.load_firmware();
    let start = Instant::now();
    assert_eq!(
        board.plug("Backlog Power1 OFF; Delay 5; nonsense; power2 on; POWER1 on"),
        json!({"Backlog": "Appended"})
    );
    console.expect("R1\n");
    assert!(start.elapsed() >= Duration::from_millis(500));
    eventually("both are on", || {
        board.plug("Status 0")["Status"]["Power"] == 3
    });
}

#[rstest]
fn a_backlog_has_thirty_commands_at_most(board: Board) {
    let mut commands = vec!["Power2"; 30];
    commands.push("Power2 ON");
    board.plug(&format!("Backlog {}", commands.join(";")));
    // A second one, whose end can be seen, is behind it or the first one is done.
    board.plug("Backlog Delay 1; Power1 OFF");
    eventually("it is done", || {
        board.plug("Power1") == json!({"POWER1": "OFF"})
    });
    assert_eq!(board.plug("Power2"), json!({"POWER2": "OFF"}));
}

#[rstest]
#[case("Status 0")]
#[case("Status")]
#[case("state")]
fn the_status_tells_all(board: Board, #[case] command: &str) {
    let status = board.plug(command);
    assert_eq!(
        status["Status"],
        json!({
            "DeviceName": "test", "FriendlyName": ["mains", "button"], "Topic": "test", "Power": 1,
        })
    );
    assert_eq!(
        status["StatusSTS"],
        json!({"POWER1": "ON", "POWER2": "OFF"})
    );
    let pid = status["StatusBoard"]["emulator"].as_u64().unwrap();
    let program = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(program.starts_with("qemu-system-arm\0"), "{program:?}");
    assert_eq!(status["StatusBoard"]["locked"], false);
    assert_eq!(status["StatusBoard"]["console_lost"], 0);

    board.power(false);
    let status = board.plug(command);
    assert_eq!(status["Status"]["Power"], 0);
    assert_eq!(status["StatusBoard"]["emulator"], Value::Null);
    assert_eq!(status["StatusBoard"]["locked"], Value::Null);
}

#[rstest]
fn the_chip_identity_is_told_and_stays() {
    let temporary = tempfile::TempDir::new().unwrap();
    let arguments = ["--power", "on", "--chip-id", "0x0123456789abcdef"];
    let board = Board::start(temporary.path().to_owned(), &arguments);
    assert_eq!(board.status("chip_id"), "0123456789abcdef");
    let mut id = [0; 8];
    board
        .attach()
        .core(0)
        .unwrap()
        .read(PAGE + 0x10, &mut id)
        .unwrap();
    assert_eq!(u64::from_le_bytes(id), 0x0123_4567_89AB_CDEF);
}

#[rstest]
fn without_mains_the_probe_is_there_and_the_target_is_not(board: Board) {
    board.power(false);
    assert_eq!(voltage(&board), "0.0V");
    let error = board.try_attach().unwrap_err();
    let text = causes(&error);
    assert!(text.contains("did not respond"), "{text}");

    board.power(true);
    assert_eq!(voltage(&board), "3.3V");
    board.attach();
}

/// What the probe measures, asked for in its own protocol: probe-rs does not.
fn voltage(board: &Board) -> String {
    let selector = board.ready["probe"].as_str().unwrap();
    let address = selector.strip_prefix("1d50:6018:").unwrap();
    let mut probe = TcpStream::connect(address).unwrap();
    probe.set_read_timeout(Some(PATIENCE)).unwrap();
    probe.write_all(b"!GV#").unwrap();
    let mut answer = [0; 7];
    probe.read_exact(&mut answer).unwrap();
    let text = std::str::from_utf8(&answer).unwrap();
    text.trim_matches(['&', 'K', '#']).to_owned()
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[rstest]
fn mains_off_under_a_debugger_is_an_error_of_the_access(board: Board) {
    let mut session = board.attach();
    let mut core = session.core(0).unwrap();
    core.read_word_32(PAGE).unwrap();
    board.power(false);
    core.read_word_32(PAGE).unwrap_err();
    drop(core);
    drop(session);
    board.power(true);
    board.attach().core(0).unwrap().read_word_32(PAGE).unwrap();
}
