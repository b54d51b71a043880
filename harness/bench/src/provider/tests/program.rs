//! Programs that provide equipment, as they should be and otherwise.

use std::{path::Path, time::Instant};

use rstest::{fixture, rstest};
use tempfile::TempDir;

use super::*;
use crate::inventory::ConsolePort;

/// For a product with a console.
fn request() -> Request<'static> {
    Request {
        device: "gateway",
        baud: 9600,
        has_network: false,
        cable: None,
    }
}

/// What is expected to last is not waited for.
const MOMENT: Duration = Duration::from_millis(50);

#[fixture]
fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn boards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provider/tests/boards")
}

async fn start(program: &str, dir: &TempDir) -> Result<Provided, ProviderError> {
    let dir = dir.path().join("new/board");
    let program = boards().join(program);
    let board = super::super::virtual_board("test", Some(dir), Some(program), Path::new(""));
    board.start("test", 115_200, None).await
}

/// A board that got ready.
async fn ready(program: &str, dir: &TempDir) -> (Process, Wiring) {
    let provided = start(program, dir).await.unwrap();
    assert!(provided.ends_with_lease);
    (provided.process.unwrap(), provided.wiring)
}

#[rstest]
#[tokio::test]
async fn a_board_tells_its_wiring_and_ends_when_told(dir: TempDir) {
    let (mut board, wiring) = ready("ready", &dir).await;
    let dir = dir.path().join("new/board");
    assert_eq!(wiring.probe.unwrap().selector, "1d50:6018:127.0.0.1:1");
    assert_eq!(
        wiring.console.unwrap().port,
        ConsolePort::Serial(dir.join("console"))
    );
    assert!(wiring.actuators.contains_key("reset"));
    board.health().unwrap();
    board.end().await;
    assert_eq!(
        std::fs::read_to_string(dir.join("stopped")).unwrap(),
        "stopped\n"
    );
}

#[rstest]
#[tokio::test]
async fn a_board_that_is_dropped_ends_as_well(dir: TempDir) {
    let (board, _) = ready("ready", &dir).await;
    let pid = board.pid().unwrap();
    drop(board);
    let process = PathBuf::from(format!("/proc/{pid}/cmdline"));
    let deadline = Instant::now() + Duration::from_mins(1);
    // A dead child that has not been reaped yet has no command line.
    while std::fs::read(&process).is_ok_and(|line| !line.is_empty()) {
        assert!(Instant::now() < deadline, "still running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[rstest]
#[case::missing("no-such-program", "is not at")]
#[case::refuses("refuses", "(exit status: 2): qemu-system-arm is not installed")]
#[case::garbled("garbled", "Usage: garbled FILE...")]
#[tokio::test]
async fn a_board_that_does_not_start_says_why(
    dir: TempDir,
    #[case] program: &str,
    #[case] says: &str,
) {
    let error = start(program, &dir).await.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[rstest]
#[tokio::test]
async fn a_board_that_died_is_a_fault_of_the_bench(dir: TempDir) {
    let (mut board, _) = ready("dies", &dir).await;
    board.running.as_mut().unwrap().child.wait().await.unwrap();
    board.messages.complete().await;
    let error = board.health().unwrap_err().to_string();
    assert!(
        error.contains("(exit status: 3): QEMU has gone away"),
        "{error}"
    );
}

#[rstest]
#[tokio::test]
async fn a_board_that_was_stopped_is_told_once(dir: TempDir) {
    use nix::sys::signal::{Signal, kill};

    let (mut board, _) = ready("ready", &dir).await;
    let pid = Pid::from_raw(board.pid().unwrap().cast_signed());
    board.health().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    for (signal, again) in [(Signal::SIGSTOP, true), (Signal::SIGCONT, false)] {
        kill(pid, signal).unwrap();
        // The kernel tells as soon as the process has got it.
        while board.health().is_ok() {
            assert!(Instant::now() < deadline, "{signal} is not told");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(board.health().is_err(), again, "{signal}");
    }
    board.end().await;
}

#[rstest]
#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named(dir: TempDir) {
    std::fs::write(dir.path().join("new"), "a file").unwrap();
    let error = start("ready", &dir).await.unwrap_err();
    assert!(matches!(error, ProviderError::Folder { .. }), "{error:?}");
}

/// Any program, in any language.
fn shell(script: &str, provides: &[&str]) -> Program {
    let command = ["sh", "-c", script].map(OsString::from);
    let provides = provides.iter().map(|word| word.parse().unwrap());
    Program::new(
        command.into(),
        provides.collect(),
        false,
        Program::START_LIMIT,
        Path::new("/bench"),
    )
}

#[tokio::test]
async fn any_program_can_tell_a_wiring() {
    let script = r#"echo '{"wiring": {"console": {"port": "tty"}, "power": {"driver": "gpio", "line": 7}, "actuators": {"reset": {"driver": "command", "on": ["x", "1"], "off": ["x", "0"]}}}}'; cat"#;
    let program = shell(script, &[]);
    let provided = program.start("gateway", 9600, None).await.unwrap();
    let console = provided.wiring.console.as_ref().unwrap();
    assert_eq!(console.port, ConsolePort::Serial("/bench/tty".into()));
    assert_eq!(console.baud, 9600);
    assert!(provided.wiring.power.is_some());
    assert!(provided.wiring.actuators.contains_key("reset"));
    assert!(!provided.ends_with_lease, "unless it says so");
    provided.end().await;
}

#[tokio::test]
async fn a_program_knows_which_device_it_is_for() {
    let script =
        r#"echo "{\"wiring\": {\"console\": {\"port\": \"/dev/$PROVEBENCH_DEVICE\"}}}"; cat"#;
    let provided = shell(script, &[]).start("one", 9600, None).await.unwrap();
    let console = provided.wiring.console.as_ref().unwrap();
    assert_eq!(console.port, ConsolePort::Serial("/dev/one".into()));
    provided.end().await;
}

#[rstest]
#[case::no_wiring(r#"{"about": {}}"#, "missing field `wiring`")]
#[case::not_of_a_line(r#"{"console": {"port": "x"}}"#, "unknown field `console`")]
#[case::unknown(r#"{"wiring": {"consol": {"port": "x"}}}"#, "unknown field `consol`")]
#[case::list("[]", "expected a map")]
#[case::deep(&["{\"about\": {\"x\": ", &"[".repeat(60_000)].concat(), "recursion limit")]
#[case::terminal("\u{1b}[2J\u{202e}", "in `\\x1b[2J\\u{202e}`")]
#[case::null(r#"{"wiring": {"console": null}}"#, "null")]
#[case::switch(
    r#"{"wiring": {"power": {"driver": "tasmota", "url": "plug"}}}"#,
    "`plug` is not the URL of a plug"
)]
#[case::selector(r#"{"wiring": {"probe": {"selector": "x"}}}"#, "not a probe selector")]
#[case::rtt_without_probe(r#"{"wiring": {"console": {"port": "rtt://"}}}"#, "probe")]
#[case::no_json("ready", "expected value")]
#[tokio::test]
async fn what_is_no_wiring_is_told(#[case] line: &str, #[case] says: &str) {
    let script = format!("cat <<'END'\n{line}\nEND\ncat > /dev/null");
    let error = shell(&script, &[]).start("gateway", 9600, None).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("the provider of `gateway` is not ready: "),
        "{error}"
    );
    assert!(error.contains(says), "{error}");
}

#[tokio::test]
async fn a_program_that_says_nothing_is_not_waited_for_for_ever() {
    let program = Program {
        limit: MOMENT,
        ..shell("cat > /dev/null", &[])
    };
    let error = program
        .start("gateway", 9600, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing printed within 50ms"), "{error}");
}

#[rstest]
#[case::no_end("head -c 70000 /dev/zero | tr '\\0' x", "longer than 65536 bytes")]
#[case::no_text("printf '\\377\\n'", "not UTF-8")]
#[case::half("printf '{\"wiring\"'", "no whole line printed within")]
#[tokio::test]
async fn what_is_no_line_is_told(#[case] prints: &str, #[case] says: &str) {
    let program = Program {
        limit: if says.contains("within") {
            MOMENT
        } else {
            Program::START_LIMIT
        },
        ..shell(&format!("echo oh dear >&2; {prints}; cat > /dev/null"), &[])
    };
    let error = program.start("gateway", 9600, None).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains(says), "{error}");
    assert!(error.ends_with("on standard error: oh dear"), "{error}");
    assert!(error.len() < 1000, "{error}");
}

#[tokio::test]
async fn its_messages_are_nothing_that_terminals_obey() {
    let program = shell("printf '\\033[2J\\n%02000d' 7 >&2; exit 2", &[]);
    let error = program.start("gateway", 9600, None).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("(exit status: 2): \\x1b[2J"), "{error}");
    assert!(
        !error.contains(char::is_control) && error.len() < 1500,
        "{error}"
    );
}

/// A line without end of line is one, if nothing more can come.
#[tokio::test]
async fn what_says_all_at_once_and_ends_was_ready_and_has_died() {
    let program = shell("printf '{\"wiring\": {}}'; exit 1", &[]);
    let mut process = program
        .start("gateway", 9600, None)
        .await
        .unwrap()
        .process
        .unwrap();
    process
        .running
        .as_mut()
        .unwrap()
        .child
        .wait()
        .await
        .unwrap();
    let error = process.health().unwrap_err().to_string();
    assert!(
        error.starts_with("the provider of `gateway` has died (exit status: 1)"),
        "{error}"
    );
}

#[tokio::test]
async fn what_it_says_it_provides_has_to_be_there() {
    let wiring = r#"echo '{"wiring": {"console": {"port": "tty"}}}'; cat"#;
    let good = shell(wiring, &["console"]);
    good.provide(request()).await.unwrap().end().await;
    let lacking = shell(wiring, &["console", "power"]);
    let error = lacking.provide(request()).await.unwrap_err();
    assert!(error.to_string().contains("provides no power"), "{error}");
}

/// Those who do not end by themselves are killed, with what they have started.
#[tokio::test]
async fn what_does_not_end_is_killed_with_its_children() {
    let program = shell(
        "sleep 3600 & echo $! >&2; echo '{\"wiring\": {}}'; wait",
        &[],
    );
    let provided = program.start("gateway", 9600, None).await.unwrap();
    let mut process = provided.process.unwrap();
    let running = process.running.take().unwrap();
    let ended = running.end_within(MOMENT, "gateway").await;
    assert_eq!(ended, None);
    let messages = process.messages.clone();
    // The pipe of its messages ends with the last who could say something.
    messages.complete().await;
    let child: i32 = messages.text().parse().unwrap();
    assert!(!Path::new(&format!("/proc/{child}/exe")).exists());
}

/// Ctrl-C reaches all processes of a terminal's group: what is provided ends in order, when nobody uses it any more.
#[tokio::test]
async fn it_is_in_no_group_of_ours() {
    let program = shell(r#"echo '{"wiring": {}}'; cat"#, &[]);
    let provided = program.start("gateway", 9600, None).await.unwrap();
    let pid = provided.process.as_ref().unwrap().pid().unwrap();
    let group = nix::unistd::getpgid(Some(Pid::from_raw(pid.cast_signed()))).unwrap();
    assert_ne!(group, nix::unistd::getpgrp());
    provided.end().await;
}

/// A run that is given up while it opens a bench: the program ends in order.
#[rstest]
#[tokio::test]
async fn what_is_given_up_is_told_to_end(dir: TempDir) {
    let (board, _) = ready("ready", &dir).await;
    drop(board);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !dir.path().join("new/board/stopped").exists() {
        assert!(Instant::now() < deadline, "it was not told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
