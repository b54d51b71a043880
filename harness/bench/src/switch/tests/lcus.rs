//! The driver of serial relay boards against a board on a pseudo-terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::{NonZeroU8, NonZeroU32},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use nix::{pty::openpty, sys::termios, unistd::ttyname};
use rstest::rstest;
use tokio_serial::SerialPortBuilderExt as _;

use crate::{
    inventory::LcusConfig,
    switch::{Switch as _, SwitchError, lcus::Lcus},
};

const PATIENCE: Duration = Duration::from_mins(1);
const IMPATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
struct Board {
    relays: [bool; 2],
    /// So many questions are answered with the state before the last command.
    stale: usize,
    before: [bool; 2],
    /// Its relays do not move.
    stuck: bool,
    /// Knows no question.
    mute: bool,
    /// Answers this, whatever the state.
    says: Option<&'static [u8]>,
    commands: Vec<[u8; 4]>,
}

impl Board {
    fn obey(&mut self, command: [u8; 4]) {
        let [start, relay, on, sum] = command;
        assert_eq!(sum, start.wrapping_add(relay).wrapping_add(on));
        self.commands.push(command);
        self.before = self.relays;
        if !self.stuck {
            self.relays[usize::from(relay) - 1] = on == 1;
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        if let Some(says) = self.says {
            return says.into();
        }
        let relays = match self.stale.checked_sub(1) {
            Some(left) => {
                self.stale = left;
                self.before
            }
            None => self.relays,
        };
        let lines = relays.iter().zip(1..).map(|(on, number)| {
            let state = if *on { "ON " } else { "OFF" };
            format!("CH{number}: {state}\r\n")
        });
        lines.collect::<String>().into()
    }
}

struct Wired {
    board: Arc<Mutex<Board>>,
    port: PathBuf,
    /// Holds the terminal while the driver does not.
    _port: OwnedFd,
}

fn wire(board: Board) -> Wired {
    let pty = openpty(None, None).unwrap();
    // As the real port: what it gets is not sent back.
    let mut raw = termios::tcgetattr(&pty.slave).unwrap();
    termios::cfmakeraw(&mut raw);
    termios::tcsetattr(&pty.slave, termios::SetArg::TCSANOW, &raw).unwrap();
    let port = ttyname(&pty.slave).unwrap();
    let board = Arc::new(Mutex::new(board));
    let mut terminal = File::from(pty.master);
    let shared = Arc::clone(&board);
    thread::spawn(move || {
        let mut frame = Vec::new();
        let mut byte = [0];
        while terminal.read_exact(&mut byte).is_ok() {
            let mut board = shared.lock().unwrap();
            match (frame.len(), byte[0]) {
                (0, 0xFF) if board.mute => {}
                (0, 0xFF) => {
                    // In two parts, as a slow port brings it.
                    let answer = board.answer();
                    let (head, tail) = answer.split_at(answer.len() / 3);
                    terminal.write_all(head).unwrap();
                    terminal.flush().unwrap();
                    terminal.write_all(tail).unwrap();
                }
                (0, other) => {
                    assert_eq!(other, 0xA0, "a command begins so");
                    frame.push(other);
                }
                (1 | 2, other) => frame.push(other),
                (_, sum) => {
                    board.obey([frame[0], frame[1], frame[2], sum]);
                    frame.clear();
                }
            }
        }
    });
    Wired {
        board,
        port,
        _port: pty.slave,
    }
}

impl Wired {
    fn relay(&self, relay: u8, feedback: bool, limit: Duration) -> Lcus {
        let config = LcusConfig {
            port: self.port.clone(),
            baud: NonZeroU32::new(9600).unwrap(),
            relay: NonZeroU8::new(relay).unwrap(),
            feedback,
        };
        Lcus::new(&config).with_limit(limit)
    }
}

#[rstest]
#[tokio::test]
async fn a_relay_is_switched_and_read_back(#[values(0, 2)] stale: usize) {
    let wired = wire(Board {
        stale,
        ..Board::default()
    });
    let relay = wired.relay(2, true, PATIENCE);
    relay.set(true).await.unwrap();
    assert!(relay.is_on().await.unwrap());
    assert!(!wired.relay(1, true, PATIENCE).is_on().await.unwrap());
    relay.set(false).await.unwrap();
    assert!(!relay.is_on().await.unwrap());
    let commands = wired.board.lock().unwrap().commands.clone();
    assert_eq!(commands, [[0xA0, 2, 1, 0xA3], [0xA0, 2, 0, 0xA2]]);
}

#[tokio::test]
async fn relays_of_one_board_get_their_turn() {
    let wired = wire(Board::default());
    let relays = [1, 2].map(|relay| wired.relay(relay, true, PATIENCE));
    for on in [true, false, true] {
        let (one, two) = tokio::join!(relays[0].set(on), relays[1].set(on));
        one.unwrap();
        two.unwrap();
        assert_eq!(wired.board.lock().unwrap().relays, [on, on]);
    }
}

#[tokio::test]
async fn a_port_that_another_process_uses_is_awaited() {
    let wired = wire(Board::default());
    let path = wired.port.to_str().unwrap();
    let other = tokio_serial::new(path, 9600).open_native_async().unwrap();
    let relay = wired.relay(1, true, IMPATIENCE);
    let error = relay.set(true).await.unwrap_err();
    assert!(
        matches!(error, SwitchError::Unreachable { .. }),
        "{error:?}"
    );
    let relay = wired.relay(1, true, PATIENCE);
    let switching = tokio::spawn(async move { relay.set(true).await });
    tokio::task::yield_now().await;
    drop(other);
    switching.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_board_without_feedback_is_believed() {
    let wired = wire(Board {
        mute: true,
        ..Board::default()
    });
    let relay = wired.relay(1, false, PATIENCE);
    let unknown = relay.is_on().await.unwrap_err();
    assert!(
        matches!(unknown, SwitchError::Unknown { .. }),
        "{unknown:?}"
    );
    relay.set(true).await.unwrap();
    assert!(relay.is_on().await.unwrap());
}

#[tokio::test]
async fn a_relay_that_does_not_move_is_an_error() {
    let wired = wire(Board {
        stuck: true,
        ..Board::default()
    });
    let error = wired.relay(1, true, PATIENCE).set(true).await.unwrap_err();
    super::stayed_off(&error);
}

#[rstest]
#[case::no_such_relay(b"CH1: ON \r\nCH2: OFF\r\n", "CH2: OFF")]
#[case::another_device(b"login: ", "login: ")]
#[case::not_text(b"\xff\xfe\n", "\\n")]
#[case::another_word(b"CH3: PERHAPS\r\n", "PERHAPS")]
#[tokio::test]
async fn nonsense_is_shown_as_what_it_is(#[case] says: &'static [u8], #[case] shown: &str) {
    let wired = wire(Board {
        says: Some(says),
        ..Board::default()
    });
    let error = wired.relay(3, true, IMPATIENCE).is_on().await.unwrap_err();
    assert!(matches!(error, SwitchError::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains(shown), "{error}");
}

#[tokio::test]
async fn a_board_that_can_not_be_asked_is_told() {
    let wired = wire(Board {
        mute: true,
        ..Board::default()
    });
    let relay = wired.relay(1, true, IMPATIENCE);
    let error = relay.set(true).await.unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("feedback = false"), "{help}");
}

#[tokio::test]
async fn a_port_that_is_not_there_is_named_at_once() {
    let config = LcusConfig {
        port: "/dev/serial/by-id/none".into(),
        baud: NonZeroU32::new(9600).unwrap(),
        relay: NonZeroU8::MIN,
        feedback: true,
    };
    let error = Lcus::new(&config).set(true).await.unwrap_err();
    assert!(
        matches!(error, SwitchError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("/dev/serial/by-id/none"),
        "{error}"
    );
}
