//! QEMU's gdbstub: core registers, run control, breakpoints.

use std::{sync::Arc, time::Duration};

use tokio::{net::UnixStream, sync::watch, time::timeout};

use super::link::Link;
use crate::error::{BoardError, shorten};

const NAME: &str = "gdb";
const STEP_TIMEOUT: Duration = Duration::from_millis(500);

/// Why the core stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// We asked for it.
    Interrupt,
    /// A breakpoint, or the end of a step.
    Trap,
    /// A store to the watched range is about to be executed.
    Watch,
    /// The machine asked for a reset and waits for it.
    Shutdown,
}

/// Kinds of the stub's `Z` packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    Breakpoint = 1,
    WriteWatch = 2,
}

pub(crate) struct Gdb {
    link: Link,
    running: watch::Sender<bool>,
}

/// Lets another task wait for the core to stop by itself.
pub(crate) struct StopWatch {
    stream: Arc<UnixStream>,
    running: watch::Receiver<bool>,
}

impl StopWatch {
    /// Returns when there is something to poll for. Cancel safe.
    pub(crate) async fn ready(&mut self) {
        // An error (sender gone, socket closed) is for the one who polls.
        let _ = self.running.wait_for(|running| *running).await;
        let _ = self.stream.readable().await;
    }
}

impl Gdb {
    pub(crate) async fn new(stream: UnixStream) -> Result<Self, BoardError> {
        let mut gdb = Gdb {
            link: Link::new(NAME, stream),
            running: watch::Sender::new(false),
        };
        gdb.request("qSupported:xmlRegisters=arm").await?;
        // The stub serves single registers only to those who have read this.
        gdb.request("qXfer:features:read:target.xml:0,ffb").await?;
        Ok(gdb)
    }

    pub(crate) fn stop_watch(&self) -> StopWatch {
        StopWatch {
            stream: self.link.stream(),
            running: self.running.subscribe(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        *self.running.borrow()
    }

    pub(crate) async fn resume(&mut self) -> Result<(), BoardError> {
        debug_assert!(!self.is_running());
        self.send("c").await?;
        self.running.send_replace(true);
        Ok(())
    }

    /// Stops the core; if it has stopped by itself just before, says why.
    pub(crate) async fn interrupt(&mut self) -> Result<Stop, BoardError> {
        debug_assert!(self.is_running());
        if let Some(stop) = self.poll_stop().await? {
            return Ok(stop);
        }
        self.link.send(&[0x03]).await?;
        self.wait_stop().await
    }

    /// Executes one instruction, with interrupts held off.
    pub(crate) async fn step(&mut self) -> Result<Stop, BoardError> {
        debug_assert!(!self.is_running());
        self.send("s").await?;
        self.running.send_replace(true);
        match timeout(STEP_TIMEOUT, self.wait_stop()).await {
            Ok(stop) => stop,
            // It waits for something that does not come.
            Err(_) => self.interrupt().await,
        }
    }

    /// The stop that has come in since the core was resumed, if any.
    pub(crate) async fn poll_stop(&mut self) -> Result<Option<Stop>, BoardError> {
        if !self.is_running() {
            return Ok(None);
        }
        self.link.try_fill()?;
        let Some(packet) = self.take_packet() else {
            return Ok(None);
        };
        self.acknowledge().await?;
        self.stopped(&packet).map(Some)
    }

    pub(crate) async fn wait_stop(&mut self) -> Result<Stop, BoardError> {
        let packet = self.read_packet().await?;
        self.stopped(&packet)
    }

    pub(crate) async fn read_register(&mut self, number: u8) -> Result<u32, BoardError> {
        let request = format!("p{number:x}");
        let answer = self.request(&request).await?;
        let mut bytes = [0; 4];
        match hex::decode_to_slice(&answer, &mut bytes) {
            Ok(()) => Ok(u32::from_le_bytes(bytes)),
            Err(_) => Err(unexpected(&request, &answer)),
        }
    }

    pub(crate) async fn write_register(
        &mut self,
        number: u8,
        value: u32,
    ) -> Result<(), BoardError> {
        let value = hex::encode(value.to_le_bytes());
        self.expect_ok(&format!("P{number:x}={value}")).await
    }

    pub(crate) async fn insert(
        &mut self,
        point: Point,
        address: u32,
        len: u32,
    ) -> Result<(), BoardError> {
        self.expect_ok(&format!("Z{},{address:x},{len:x}", point as u8))
            .await
    }

    pub(crate) async fn remove(
        &mut self,
        point: Point,
        address: u32,
        len: u32,
    ) -> Result<(), BoardError> {
        self.expect_ok(&format!("z{},{address:x},{len:x}", point as u8))
            .await
    }

    /// From a stop at a watched store: executes it, and resumes unless the core stopped for
    /// something else meanwhile. Each store pays for this, so it takes two round trips, not four.
    pub(crate) async fn step_over_store(
        &mut self,
        start: u32,
        len: u32,
    ) -> Result<Option<Stop>, BoardError> {
        debug_assert!(!self.is_running());
        let watch = format!("{},{start:x},{len:x}", Point::WriteWatch as u8);
        // The second packet acknowledges the answer to the first.
        let off = format!("z{watch}");
        self.link
            .send(&[packet(&off), packet("s")].concat())
            .await?;
        ok(&off, &self.next_packet().await?)?;
        let stopped = self.next_packet().await?;
        let stop = self.stopped(&stopped)?;
        let on = format!("Z{watch}");
        if stop != Stop::Trap {
            self.acknowledge().await?;
            self.expect_ok(&on).await?;
            return Ok(Some(stop));
        }
        self.link.send(&[packet(&on), packet("c")].concat()).await?;
        ok(&on, &self.next_packet().await?)?;
        self.running.send_replace(true);
        Ok(None)
    }

    fn stopped(&mut self, packet: &[u8]) -> Result<Stop, BoardError> {
        self.running.send_replace(false);
        match packet {
            [b'T', b'0', b'2', ..] => Ok(Stop::Interrupt),
            [b'T', b'0', b'3', ..] => Ok(Stop::Shutdown),
            [b'T', b'0', b'5', rest @ ..] => {
                let watch = rest.windows(6).any(|window| window == b"watch:");
                Ok(if watch { Stop::Watch } else { Stop::Trap })
            }
            other => Err(unexpected("continue", other)),
        }
    }

    async fn expect_ok(&mut self, request: &str) -> Result<(), BoardError> {
        let answer = self.request(request).await?;
        ok(request, &answer)
    }

    async fn request(&mut self, request: &str) -> Result<Vec<u8>, BoardError> {
        debug_assert!(!self.is_running(), "the stub stops the core to answer");
        self.send(request).await?;
        self.read_packet().await
    }

    async fn send(&mut self, payload: &str) -> Result<(), BoardError> {
        self.link.send(&packet(payload)).await
    }

    async fn read_packet(&mut self) -> Result<Vec<u8>, BoardError> {
        let packet = self.next_packet().await?;
        self.acknowledge().await?;
        Ok(packet)
    }

    async fn next_packet(&mut self) -> Result<Vec<u8>, BoardError> {
        loop {
            if let Some(packet) = self.take_packet() {
                return Ok(packet);
            }
            self.link.fill().await?;
        }
    }

    /// A socket loses nothing, but the stub drops an interrupt until it has this.
    async fn acknowledge(&mut self) -> Result<(), BoardError> {
        self.link.send(b"+").await
    }

    fn take_packet(&mut self) -> Option<Vec<u8>> {
        let pending = self.link.pending();
        let start = pending.iter().position(|&b| b == b'$')?;
        let len = pending[start..].iter().position(|&b| b == b'#')?;
        let end = start + len + 3;
        if pending.len() < end {
            return None;
        }
        let packet = pending[start + 1..start + len].to_vec();
        self.link.consume(end);
        Some(packet)
    }
}

fn packet(payload: &str) -> Vec<u8> {
    let sum = payload.bytes().fold(0u8, u8::wrapping_add);
    format!("${payload}#{sum:02x}").into_bytes()
}

fn ok(request: &str, answer: &[u8]) -> Result<(), BoardError> {
    match answer {
        b"OK" => Ok(()),
        other => Err(unexpected(request, other)),
    }
}

fn unexpected(request: &str, answer: &[u8]) -> BoardError {
    BoardError::Answer {
        link: NAME,
        request: shorten(request.as_bytes()),
        answer: shorten(answer),
    }
}
