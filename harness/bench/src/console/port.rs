//! The task that owns the serial port: reads always, writes on request, opens it again when it vanished.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as StdInstant},
};

use super::{
    ConsoleError, Pace,
    log::Log,
    whose::Whose,
    window::Window,
    wire::{self, Line, Wire},
};
use crate::inventory::ConsolePort;
use crate::power::PowerLeft;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout_at},
};

/// Of a line that has not ended, nobody knows whether more will come: it is logged after this silence.
const SILENCE: Duration = Duration::from_millis(50);
/// No event tells that a port is back: it is tried this often.
const RETRY: Duration = Duration::from_millis(100);

/// As many absences are remembered.
const KEPT_ABSENCES: usize = 256;
/// The system notices this long after its power went, at the latest, that an adapter is gone.
const NOTICED: Duration = Duration::from_secs(5);

/// What the port's task and those who wait for output share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) port: ConsolePort,
    pub(super) whose: Whose,
    /// What the harness has done to the DUT's power.
    pub(super) power: PowerLeft,
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
    /// When something was printed last.
    pub(super) received: StdInstant,
    pub(super) is_open: bool,
    /// When the port was away, the latest last.
    absences: VecDeque<Absence>,
    pub(super) log: Log,
    pub(super) log_error: Option<io::ErrorKind>,
}

/// A time in which the port was not open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    pub(super) since: StdInstant,
    /// None while it lasts.
    pub(super) until: Option<StdInstant>,
}

impl State {
    fn vanished(&mut self) {
        self.is_open = false;
        if self.absences.len() == KEPT_ABSENCES {
            self.absences.pop_front();
        }
        self.absences.push_back(Absence {
            since: StdInstant::now(),
            until: None,
        });
    }

    fn is_back(&mut self) {
        self.is_open = true;
        if let Some(absence) = self.absences.back_mut() {
            absence.until = Some(StdInstant::now());
        }
    }

    /// The first time after `begin` in which the port was not open, those aside that `power` accounts for.
    pub(super) fn absence_since(
        &self,
        begin: StdInstant,
        whose: Whose,
        power: &PowerLeft,
    ) -> Option<Absence> {
        let accounted_for = |absence: &Absence| {
            let before = absence.since.checked_sub(NOTICED);
            whose != Whose::Bench && before.is_some_and(|before| power.was_off_since(before))
        };
        let mut absences = self.absences.iter();
        let found = absences.find(|absence| {
            absence.until.is_none_or(|until| until > begin) && !accounted_for(absence)
        });
        found.copied()
    }
}

impl Shared {
    pub(super) fn new(
        port: ConsolePort,
        whose: Whose,
        power: PowerLeft,
        log_path: PathBuf,
        log: Log,
    ) -> Self {
        let state = State {
            window: Window::default(),
            consumed: 0,
            received: StdInstant::now(),
            is_open: true,
            absences: VecDeque::new(),
            log,
            log_error: None,
        };
        Self {
            port,
            whose,
            power,
            log_path,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Whole bytes go in and out under the lock: what is there is good even if somebody panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was printed so far.
    pub(super) fn skip(&self) {
        let mut state = self.lock();
        state.consumed = state.window.end();
    }

    pub(super) fn log_error(&self, source: io::Error) -> ConsoleError {
        ConsoleError::Log {
            path: self.log_path.clone(),
            source,
        }
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

impl State {
    pub(super) fn check_log(&self, shared: &Shared) -> Result<(), ConsoleError> {
        self.log_error
            .map_or(Ok(()), |kind| Err(shared.log_error(kind.into())))
    }
}

/// Data to be sent.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) data: Vec<u8>,
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
    pace: Pace,
    shared: Arc<Shared>,
    mut requests: mpsc::Receiver<Send>,
) {
    let mut stream = Some(stream);
    loop {
        let Some(open) = stream.take() else { break };
        let Some(reason) = exchange(open, pace, &shared, &mut requests).await else {
            break;
        };
        shared.update(|state| {
            state.vanished();
            state
                .log
                .remark(&format!("the port has vanished: {reason}"))
        });
        stream = reopen(&line, &shared, &mut requests).await;
        if stream.is_some() {
            shared.update(|state| {
                state.is_back();
                state.log.remark("the port is back")
            });
        }
    }
    shared.update(|state| {
        state.is_open = false;
        state.log.finish()
    });
}

/// `None` when nobody needs the port any more, else why it can't be used any more.
async fn exchange(
    stream: Wire,
    pace: Pace,
    shared: &Shared,
    requests: &mut mpsc::Receiver<Send>,
) -> Option<io::Error> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut chunk = vec![0; 64 * 1024];
    let mut sending: Option<Sending> = None;
    let mut silence = Instant::now();
    let reason = loop {
        let has_pending = shared.lock().log.has_pending();
        let send_deadline = sending.as_ref().map_or(silence, Sending::deadline);
        tokio::select! {
            read = read(&mut reader, &mut chunk) => match read {
                Ok(received) => {
                    shared.update(|state| {
                        state.window.push(received);
                        state.received = StdInstant::now();
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
                    sending = Some(Sending::new(request, pace));
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
    pace: Pace,
    began: Instant,
    /// When the port took something last.
    taken: Instant,
}

impl Sending {
    fn new(request: Send, pace: Pace) -> Self {
        let now = Instant::now();
        Self {
            request,
            sent: 0,
            pace,
            began: now,
            taken: now,
        }
    }

    fn deadline(&self) -> Instant {
        let all = self.began + self.pace.limit(self.request.data.len());
        let next = self.taken + self.pace.stall(self.request.data.len());
        all.min(next)
    }

    fn advance(mut self, count: usize) -> Option<Self> {
        self.sent += count;
        self.taken = Instant::now();
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
            waited: self.began.elapsed(),
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::console::{Log, Whose};
    use crate::inventory::LogLimit;

    /// With the DUT's power an adapter on its board goes away, too; a terminal server does not.
    #[rstest]
    #[case::server(Whose::Bench, true)]
    #[case::adapter(Whose::Adapter, false)]
    #[case::of_the_dut(Whose::Dut, false)]
    fn a_power_cut_accounts_for_some_absences(#[case] whose: Whose, #[case] is_absence: bool) {
        let begin = StdInstant::now();
        let log = Log::open("/dev/null".as_ref(), LogLimit::default(), begin, "test").unwrap();
        let port = ConsolePort::Serial("/dev/ttyX0".into());
        let power = PowerLeft::default();
        let shared = Shared::new(port, whose, power.clone(), "/dev/null".into(), log);
        let mut state = shared.lock();
        state.vanished();
        assert!(state.absence_since(begin, whose, &power).is_some());
        power.cut();
        assert_eq!(
            state.absence_since(begin, whose, &power).is_some(),
            is_absence
        );
        state.is_back();
        let now = StdInstant::now();
        assert!(state.absence_since(now, whose, &power).is_none());
    }
}
