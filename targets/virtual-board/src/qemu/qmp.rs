//! QEMU's machine protocol: resets, saving memory, and what the machine reports.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Duration, timeout},
};

use crate::error::{BoardError, shorten};

const NAME: &str = "qmp";
/// The network backend that stands for the cable.
pub(crate) const ETHERNET: &str = "ethernet";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the machine says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Firmware asked for a reset; the machine is stopped and waits.
    ResetRequest {
        /// The watchdog did it.
        watchdog: bool,
    },
    /// The emulator has closed the socket: it is dead or dying.
    Closed,
}

pub(crate) struct Qmp {
    writer: OwnedWriteHalf,
    answers: mpsc::UnboundedReceiver<Value>,
    resets: watch::Receiver<u64>,
}

impl Qmp {
    /// Negotiates; also returns the stream of events.
    pub(crate) async fn new(
        stream: UnixStream,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Event>), BoardError> {
        let (reader, writer) = stream.into_split();
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::unbounded_channel();
        let (reset_sender, resets) = watch::channel(0);
        tokio::spawn(read_loop(reader, answer_sender, event_sender, reset_sender));
        let mut qmp = Qmp {
            writer,
            answers,
            resets,
        };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok((qmp, events))
    }

    /// Resets the stopped machine and returns when that is done; it stays stopped.
    pub(crate) async fn system_reset(&mut self) -> Result<(), BoardError> {
        // Firmware's own requests stop the machine instead (see the command line).
        self.reboot_action("reset").await?;
        let before = *self.resets.borrow_and_update();
        self.execute("system_reset", json!({})).await?;
        timeout(
            ANSWER_TIMEOUT,
            self.resets.wait_for(|count| *count > before),
        )
        .await
        .map_err(|_| lost(std::io::ErrorKind::TimedOut))?
        .map_err(|_| lost(std::io::ErrorKind::UnexpectedEof))?;
        self.reboot_action("shutdown").await
    }

    /// Writes physical memory to a file.
    pub(crate) async fn save_memory(
        &mut self,
        address: u32,
        len: u32,
        file: &str,
    ) -> Result<(), BoardError> {
        let arguments = json!({"val": address, "size": len, "filename": file});
        self.execute("pmemsave", arguments).await.map(drop)
    }

    /// Gives the Ethernet interface a carrier or takes it away.
    pub(crate) async fn set_link(&mut self, up: bool) -> Result<(), BoardError> {
        let arguments = json!({"name": ETHERNET, "up": up});
        self.execute("set_link", arguments).await.map(drop)
    }

    async fn reboot_action(&mut self, action: &str) -> Result<(), BoardError> {
        self.execute("set-action", json!({"reboot": action}))
            .await
            .map(drop)
    }

    async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, BoardError> {
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.writer
            .write_all(line.as_bytes())
            .await
            .map_err(|source| BoardError::Link { link: NAME, source })?;
        let mut answer = timeout(ANSWER_TIMEOUT, self.answers.recv())
            .await
            .map_err(|_| lost(std::io::ErrorKind::TimedOut))?
            .ok_or_else(|| lost(std::io::ErrorKind::UnexpectedEof))?;
        match answer.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(BoardError::Answer {
                link: NAME,
                request: shorten(line.as_bytes()),
                answer: shorten(answer.to_string().as_bytes()),
            }),
        }
    }
}

async fn read_loop(
    reader: OwnedReadHalf,
    answers: mpsc::UnboundedSender<Value>,
    events: mpsc::UnboundedSender<Event>,
    resets: watch::Sender<u64>,
) {
    let mut lines = BufReader::new(reader).lines();
    let mut watchdog = false;
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            break;
        };
        match message.get("event").and_then(Value::as_str) {
            Some("RESET") => resets.send_modify(|count| *count += 1),
            Some("WATCHDOG") => watchdog = true,
            Some("SHUTDOWN") if message["data"]["reason"] == "guest-reset" => {
                let _ = events.send(Event::ResetRequest {
                    watchdog: std::mem::take(&mut watchdog),
                });
            }
            Some(_) => {}
            None if message.get("QMP").is_some() => {}
            None => {
                let _ = answers.send(message);
            }
        }
    }
    let _ = events.send(Event::Closed);
}

fn lost(kind: std::io::ErrorKind) -> BoardError {
    BoardError::Link {
        link: NAME,
        source: kind.into(),
    }
}
