//! The task that owns the serial port: reads always, writes on request, opens it again when it vanished.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    ConsoleError,
    log::Log,
    window::Window,
    wire::{self, Line, Wire},
};
use crate::inventory::ConsolePort;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout_at},
};

/// Of a line that has not ended, nobody knows whether more will come: it is logged after this silence.
const SILENCE: Duration = Duration::from_millis(50);
/// No event tells that a port is back: it is tried this often.
const RETRY: Duration = Duration::from_millis(100);

/// What the port's task and those who wait for output share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) port: ConsolePort,
    pub(super) log_path: PathBuf,
    state: Mutex<State>,
    /// Told whenever `state` has changed.
    pub(super) changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) window: Window,
    /// Where the next `expect` begins.
    pub(super) consumed: u64,
    pub(super) is_open: bool,
    pub(super) log: Log,
    pub(super) log_error: Option<io::ErrorKind>,
}

impl Shared {
    pub(super) fn new(port: ConsolePort, log_path: PathBuf, log: Log) -> Self {
        let state = State {
            window: Window::default(),
            consumed: 0,
            is_open: true,
            log,
            log_error: None,
        };
        Self {
            port,
            log_path,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Whole bytes go in and out under the lock: what is there is good even if somebody panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State) -> io::Result<()>) {
        let mut state = self.lock();
        if let Err(error) = change(&mut state)
            && state.log_error.is_none()
        {
            tracing::error!(%error, log = %self.log_path.display(), "the console log can't be written");
            state.log_error = Some(error.kind());
        }
        drop(state);
        self.changed.send_replace(());
    }
}

/// Data to be sent.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) data: Vec<u8>,
    pub(super) deadline: Instant,
    pub(super) done: oneshot::Sender<Result<(), ConsoleError>>,
}

/// Opens the port.
pub(super) async fn open(line: &Line) -> Result<Wire, ConsoleError> {
    wire::open(line).await.map_err(|source| ConsoleError::Open {
        port: line.port.clone(),
        source,
    })
}

/// Serves the port until the last sender of `requests` is gone.
pub(super) async fn serve(
    stream: Wire,
    line: Line,
    shared: Arc<Shared>,
    mut requests: mpsc::Receiver<Send>,
) {
    let mut stream = Some(stream);
    loop {
        let Some(open) = stream.take() else { break };
        let Some(reason) = exchange(open, &shared, &mut requests).await else {
            break;
        };
        shared.update(|state| {
            state.is_open = false;
            state
                .log
                .remark(&format!("the port has vanished: {reason}"))
        });
        stream = reopen(&line, &shared, &mut requests).await;
        if stream.is_some() {
            shared.update(|state| {
                state.is_open = true;
                state.log.remark("the port is back")
            });
        }
    }
    shared.update(|state| {
        state.is_open = false;
        state.log.flush()
    });
}

/// `None` when nobody needs the port any more, else why it can't be used any more.
async fn exchange(
    stream: Wire,
    shared: &Shared,
    requests: &mut mpsc::Receiver<Send>,
) -> Option<io::Error> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut chunk = vec![0; 64 * 1024];
    let mut sending: Option<Sending> = None;
    let mut silence = Instant::now();
    let reason = loop {
        let has_pending = shared.lock().log.has_pending();
        let send_deadline = sending
            .as_ref()
            .map_or(silence, |sending| sending.request.deadline);
        tokio::select! {
            read = read(&mut reader, &mut chunk) => match read {
                Ok(received) => {
                    shared.update(|state| {
                        state.window.push(received);
                        state.log.received(received)
                    });
                    silence = Instant::now() + SILENCE;
                    // A DUT that floods the console must not keep this thread from its other tasks.
                    tokio::task::consume_budget().await;
                }
                Err(error) => break error,
            },
            request = requests.recv(), if sending.is_none() => match request {
                Some(request) => {
                    shared.update(|state| state.log.sent(&request.data));
                    sending = Some(Sending { request, sent: 0 });
                }
                None => return None,
            },
            written = write(&mut writer, sending.as_ref()), if sending.is_some() => match written {
                Ok(count) => sending = sending.and_then(|sending| sending.advance(count)),
                Err(error) => break error,
            },
            () = sleep_until(send_deadline), if sending.is_some() => {
                if let Some(sending) = sending.take() {
                    sending.give_up(&shared.port);
                }
            }
            () = sleep_until(silence), if has_pending => shared.update(|state| state.log.flush()),
        }
    };
    if let Some(sending) = sending {
        let _ = sending.request.done.send(Err(ConsoleError::Vanished {
            port: shared.port.clone(),
        }));
    }
    Some(reason)
}

async fn read<'c>(reader: &mut ReadHalf<Wire>, chunk: &'c mut [u8]) -> io::Result<&'c [u8]> {
    match reader.read(chunk).await? {
        // A terminal whose other end is gone reads as empty, and so does a connection.
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(&chunk[..length]),
    }
}

async fn write(writer: &mut WriteHalf<Wire>, sending: Option<&Sending>) -> io::Result<usize> {
    match sending {
        Some(sending) => writer.write(&sending.request.data[sending.sent..]).await,
        None => Ok(0),
    }
}

struct Sending {
    request: Send,
    sent: usize,
}

impl Sending {
    fn advance(mut self, count: usize) -> Option<Self> {
        self.sent += count;
        if self.sent < self.request.data.len() {
            return Some(self);
        }
        let _ = self.request.done.send(Ok(()));
        None
    }

    fn give_up(self, port: &ConsolePort) {
        let _ = self.request.done.send(Err(ConsoleError::SendTimeout {
            port: port.clone(),
            sent: self.sent,
            length: self.request.data.len(),
            waited: super::SEND_LIMIT,
        }));
    }
}

/// `None` when nobody needs the port any more.
async fn reopen(line: &Line, shared: &Shared, requests: &mut mpsc::Receiver<Send>) -> Option<Wire> {
    loop {
        let retry = Instant::now() + RETRY;
        // Nothing can be sent meanwhile; say so at once.
        while let Ok(request) = timeout_at(retry, requests.recv()).await {
            let _ = request?.done.send(Err(ConsoleError::Vanished {
                port: shared.port.clone(),
            }));
        }
        if let Ok(stream) = wire::open(line).await {
            return Some(stream);
        }
    }
}
