//! The DUT's serial console: everything it prints is logged, and scripts wait for what they expect of it.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use log::Log;
use port::{Send, Shared};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

mod error;
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod pattern;
mod port;
mod rfc2217;
mod rtt;
mod whose;
mod window;
mod wire;

#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod tests;

pub use error::ConsoleError;
pub use pattern::{Pattern, PatternError};

use pattern::{Place, Progress, Search};
use whose::Whose;
use wire::Line;

use super::{Probe, power::PowerLeft};
use crate::inventory::{ConsolePort, LONGEST, LogLimit};
use provebench_network::host;

/// How long a port may take no data, beside the time that its speed takes; and to be closed.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Receivers that are so many times slower than their line are still taken for working.
const SLOWEST: u32 = 20;
/// A match that what comes next could still change holds after this silence.
const SETTLED: Duration = Duration::from_secs(1);
/// How much is searched at a time.
const PIECE: usize = 64 * 1024;
/// How much of the latest output an error shows.
const TAIL: usize = 400;

/// Which port, and where its log goes.
#[derive(Debug, Clone)]
pub struct ConsoleSetup {
    /// The port.
    pub port: ConsolePort,
    /// Bits per second.
    pub baud: u32,
    /// The debug probe, for RTT.
    pub probe: Option<Probe>,
    /// The log; appended to.
    pub log: PathBuf,
    /// How large it may become.
    pub limit: LogLimit,
    /// What the log's times count from.
    pub origin: StdInstant,
    /// First remark in the log.
    pub title: String,
    /// What the harness has done to the DUT's power: adapters may go away with it.
    pub power: PowerLeft,
}

/// An open console. All the DUT prints is read and logged from [`open`](Self::open) on, whether anybody waits or not.
#[derive(Debug)]
pub struct Console {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Send>,
    task: JoinHandle<()>,
}

/// What an expected pattern matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The whole match.
    pub bytes: Vec<u8>,
    /// The pattern's groups, in order, without the whole match.
    pub groups: Vec<Option<Vec<u8>>>,
    /// The pattern's named groups that took part.
    pub named: BTreeMap<String, Vec<u8>>,
    /// Position in the output where the match ends.
    pub end: u64,
}

impl Console {
    /// Opens the port, one of this machine for exclusive use, and starts to read and log.
    ///
    /// # Errors
    /// [`ConsoleError::Open`], [`ConsoleError::Log`].
    pub async fn open(setup: ConsoleSetup) -> Result<Self, ConsoleError> {
        let pace = Pace::of(&setup.port, setup.baud);
        Self::open_at(setup, pace).await
    }

    async fn open_at(setup: ConsoleSetup, pace: Pace) -> Result<Self, ConsoleError> {
        let log = Log::open(&setup.log, setup.limit, setup.origin, &setup.title);
        let log = log.map_err(|source| ConsoleError::Log {
            path: setup.log.clone(),
            source,
        })?;
        let line = Line {
            port: setup.port.clone(),
            baud: setup.baud,
            probe: setup.probe,
        };
        let stream = port::open(&line).await?;
        let probe = line.probe.as_ref().map(Probe::selector);
        let whose = Whose::of(&setup.port, probe, Path::new("/"));
        let shared = Shared::new(setup.port, whose, setup.power, setup.log, log);
        let shared = Arc::new(shared);
        let (requests, to_do) = mpsc::channel(16);
        let task = tokio::spawn(port::serve(stream, line, pace, Arc::clone(&shared), to_do));
        Ok(Self {
            shared,
            requests,
            task,
        })
    }

    /// Sends `data` as it is; returns when the port has taken it.
    ///
    /// # Errors
    /// [`ConsoleError::SendTimeout`] when the port takes nothing for ten seconds, or takes much longer than its speed
    /// says.
    pub async fn send(&self, data: &[u8]) -> Result<(), ConsoleError> {
        let (done, result) = oneshot::channel();
        let request = Send {
            data: data.to_vec(),
            done,
        };
        if data.is_empty() {
            return Ok(());
        }
        self.requests
            .send(request)
            .await
            .map_err(|_| ConsoleError::Closed)?;
        result.await.map_err(|_| ConsoleError::Closed)?
    }

    /// Waits until `pattern` matches what was printed since the last match, and consumes all up to its end.
    ///
    /// What matches depends on what is printed, not on the pieces in which it arrives: a match that what comes next could
    /// still make longer, or undo, counts when the DUT has been silent for a second, or at the end of `wait`.
    ///
    /// # Errors
    /// [`ConsoleError::Timeout`] is the DUT's doing, all others are not.
    pub async fn expect(&self, pattern: &Pattern, wait: Duration) -> Result<Match, ConsoleError> {
        let begin = StdInstant::now();
        let mut waiting = Waiting::new(&self.shared, pattern);
        match host::within(wait, waiting.run()).await {
            Ok(found) => found,
            // What there is by then.
            Err(_) => match waiting.settle()? {
                Some(found) => Ok(found),
                None => Err(self.not_found(pattern, wait, waiting.lost, begin)),
            },
        }
    }

    /// Waits for output after a position, and gives what there is of it; nothing if nothing comes in time. What is not in
    /// memory any more is left out.
    ///
    /// # Errors
    /// Those of the bench.
    pub async fn output(&self, from: u64, wait: Duration) -> Result<Output, ConsoleError> {
        let mut changed = self.shared.changed.subscribe();
        let output = async {
            loop {
                {
                    let state = self.shared.lock();
                    state.check_log(&self.shared)?;
                    let end = state.window.end();
                    if end > from {
                        return Ok(Output {
                            bytes: state.window.since(from).to_vec(),
                            lost: state.window.start().saturating_sub(from),
                            end,
                        });
                    }
                }
                changed.changed().await.map_err(|_| ConsoleError::Closed)?;
            }
        };
        match host::within(wait, output).await {
            Ok(output) => output,
            Err(_) => self.health().map(|()| Output {
                bytes: Vec::new(),
                lost: 0,
                end: from,
            }),
        }
    }

    /// Forgets what was printed so far: the next [`expect`](Self::expect) sees only what comes now.
    pub fn skip(&self) {
        self.shared.skip();
    }

    /// What forgets the output when the DUT loses its power.
    pub(crate) fn forgetting(&self) -> Forgetting {
        Forgetting(Arc::clone(&self.shared))
    }

    /// The present position in the output.
    pub fn mark(&self) -> u64 {
        self.shared.lock().window.end()
    }

    /// What was printed since `mark`.
    ///
    /// # Errors
    /// [`ConsoleError::Overrun`] when that is more than is kept in memory.
    pub fn since(&self, mark: u64) -> Result<Vec<u8>, ConsoleError> {
        let state = self.shared.lock();
        state.check_log(&self.shared)?;
        match state.window.start().saturating_sub(mark) {
            0 => Ok(state.window.since(mark).to_vec()),
            lost => Err(ConsoleError::Overrun {
                lost,
                kept: window::KEPT,
            }),
        }
    }

    /// Writes the log to this file, too, from now on.
    ///
    /// # Errors
    /// [`ConsoleError::Log`].
    pub fn begin_part(&self, path: &Path) -> Result<(), ConsoleError> {
        let begun = self.shared.lock().log.begin_part(path);
        begun.map_err(|source| ConsoleError::Log {
            path: path.into(),
            source,
        })
    }

    /// Completes that file.
    ///
    /// # Errors
    /// [`ConsoleError::Log`].
    pub fn end_part(&self) -> Result<(), ConsoleError> {
        let ended = self.shared.lock().log.end_part();
        ended.map_err(|source| self.log_error(source))
    }

    /// What is not in that file so far, in words.
    pub fn left_out(&self) -> Option<String> {
        self.shared.lock().log.left_out()
    }

    /// Writes a remark of the bench into the log.
    pub fn remark(&self, remark: &str) -> Result<(), ConsoleError> {
        self.shared
            .lock()
            .log
            .remark(remark)
            .map_err(|source| self.log_error(source))
    }

    /// Whether the port is open and the log written.
    pub fn health(&self) -> Result<(), ConsoleError> {
        let state = self.shared.lock();
        state.check_log(&self.shared)?;
        if state.is_open {
            Ok(())
        } else {
            Err(ConsoleError::Vanished {
                port: self.shared.port.clone(),
            })
        }
    }

    /// Whether the port was open all the time since `begin`, power cuts by the harness that take it along aside. A port
    /// that the DUT makes itself may come and go: that is told in words, and no error.
    ///
    /// # Errors
    /// [`ConsoleError::WasAway`], [`ConsoleError::Vanished`], [`ConsoleError::Log`].
    pub fn was_open_since(&self, begin: StdInstant) -> Result<Option<String>, ConsoleError> {
        let state = self.shared.lock();
        state.check_log(&self.shared)?;
        let Shared { whose, power, .. } = &*self.shared;
        let Some(absence) = state.absence_since(begin, *whose, power) else {
            return Ok(None);
        };
        let port = self.shared.port.clone();
        let away = absence.until.map(|until| until - absence.since);
        match (whose, away) {
            (Whose::Dut, None) => Ok(Some(format!(
                "console {port}, which may be the device's own, is gone"
            ))),
            (Whose::Dut, Some(away)) => Ok(Some(format!(
                "console {port}, which may be the device's own, was away for {away:.1?} meanwhile"
            ))),
            (_, None) => Err(ConsoleError::Vanished { port }),
            (_, Some(away)) => Err(ConsoleError::WasAway { port, away }),
        }
    }

    /// Completes the log, though the port stays open: what comes later is not written any more.
    pub fn end_log(&self) {
        self.shared.lock().log.end();
    }

    /// Closes the port; the log is complete afterwards.
    pub async fn close(self) {
        let Self {
            requests, mut task, ..
        } = self;
        drop(requests);
        if timeout(SEND_LIMIT, &mut task).await.is_err() {
            task.abort();
        }
    }

    fn log_error(&self, source: io::Error) -> ConsoleError {
        self.shared.log_error(source)
    }

    fn not_found(
        &self,
        pattern: &Pattern,
        waited: Duration,
        lost: u64,
        begin: StdInstant,
    ) -> ConsoleError {
        // It may have answered meanwhile.
        let remark = match self.was_open_since(begin) {
            Ok(remark) => remark,
            Err(error) => return error,
        };
        let state = self.shared.lock();
        if !state.is_open {
            return ConsoleError::Vanished {
                port: self.shared.port.clone(),
            };
        }
        if lost > 0 {
            return ConsoleError::Overrun {
                lost,
                kept: window::KEPT,
            };
        }
        let unseen = state.window.since(state.consumed);
        let mut tail = String::new();
        log::escape(&unseen[unseen.len().saturating_sub(TAIL)..], &mut tail);
        ConsoleError::Timeout {
            pattern: pattern.to_string(),
            waited,
            tail,
            remark: remark.map_or_else(String::new, |remark| format!("; {remark}")),
        }
    }
}

/// How long sending may take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Beside the time that the speed takes.
    patience: Duration,
    /// What one byte takes, start and stop bit included.
    byte: Duration,
    /// As many bytes may wait somewhere below: so many have to leave before more are taken.
    buffered: usize,
}

impl Pace {
    fn of(port: &ConsolePort, baud: u32) -> Self {
        let buffered = match port {
            ConsolePort::Serial(_) | ConsolePort::Rtt(_) => 4 * 1024,
            ConsolePort::Socket(_) | ConsolePort::Rfc2217(_) => 128 * 1024,
        };
        Self {
            patience: SEND_LIMIT,
            byte: Duration::from_secs(10) / baud.max(1),
            buffered,
        }
    }

    /// For all of the data.
    fn limit(self, length: usize) -> Duration {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let all = self.byte.saturating_mul(length).saturating_mul(SLOWEST);
        self.patience + all.min(LONGEST)
    }

    /// For the next byte to be taken.
    fn stall(self, length: usize) -> Duration {
        self.limit(length.min(self.buffered))
    }
}

/// Output of the DUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What was printed.
    pub bytes: Vec<u8>,
    /// How much before that is not in memory any more.
    pub lost: u64,
    /// The position behind it.
    pub end: u64,
}

/// Forgets a console's output: see [`Console::skip`].
#[derive(Debug, Clone)]
pub(crate) struct Forgetting(Arc<Shared>);

impl Forgetting {
    pub(crate) fn forget(&self) {
        self.0.skip();
    }
}

/// An `expect` under way.
struct Waiting<'c> {
    shared: &'c Shared,
    pattern: &'c Pattern,
    search: Search<'c>,
    /// Bytes that were gone before they were looked at.
    lost: u64,
    /// As far as the text was searched as if nothing more came.
    settled: Option<u64>,
}

/// What came of a look at a piece.
enum Look {
    Found(Match),
    More,
    Nothing,
}

impl<'c> Waiting<'c> {
    fn new(shared: &'c Shared, pattern: &'c Pattern) -> Self {
        let from = shared.lock().consumed;
        Self {
            shared,
            pattern,
            search: Search::new(pattern, from, None),
            lost: 0,
            settled: None,
        }
    }

    /// Until there is a match that counts.
    async fn run(&mut self) -> Result<Match, ConsoleError> {
        let mut changed = self.shared.changed.subscribe();
        let mut quiet_since = None;
        loop {
            changed.mark_unchanged();
            loop {
                match self.look()? {
                    Look::Found(found) => return Ok(found),
                    Look::Nothing => break,
                    // What comes faster than it can be searched must not outlast the limit.
                    Look::More => tokio::task::yield_now().await,
                }
            }
            let is_settled = self.settled == Some(self.search.at());
            let silence = self.silence(&mut quiet_since);
            if !is_settled
                && silence.is_zero()
                && let Some(found) = self.settle()?
            {
                return Ok(found);
            }
            tokio::select! {
                biased;
                told = changed.changed() => told.map_err(|_| ConsoleError::Closed)?,
                () = tokio::time::sleep(silence), if !is_settled => {}
            }
        }
    }

    /// For how long the DUT has to be silent from now on until what there is counts.
    fn silence(&self, quiet_since: &mut Option<StdInstant>) -> Duration {
        let received = self.shared.lock().received;
        // While this machine stands still, silence is its own.
        let since = match *quiet_since {
            Some(since) if since > received => since,
            _ => received,
        };
        let since = match host::standstill_since(since) {
            Some(_) => StdInstant::now(),
            None => since,
        };
        *quiet_since = Some(since);
        SETTLED.saturating_sub(since.elapsed())
    }

    /// Looks at a piece of what has come.
    fn look(&mut self) -> Result<Look, ConsoleError> {
        let piece = {
            let state = self.shared.lock();
            state.check_log(self.shared)?;
            let missed = state.window.start().saturating_sub(self.search.at());
            if missed > 0 {
                self.lost += missed;
                let (from, before) = state.window.restart();
                self.search = Search::new(self.pattern, from, before);
            }
            let piece = state.window.since(self.search.at());
            piece[..piece.len().min(PIECE)].to_vec()
        };
        if piece.is_empty() {
            return Ok(Look::Nothing);
        }
        let (shared, pattern, (from, has_context)) =
            (self.shared, self.pattern, self.search.from());
        let progress = self.search.feed(&piece, |upto| {
            let (text, is_cut) = text(shared, from, has_context, upto);
            pattern.find(&text, is_cut || has_context).is_some()
        });
        match progress {
            Progress::Certain { upto, end } => self.found(upto, end).map(Look::Found),
            Progress::Open => Ok(Look::More),
        }
    }

    /// The match that is certain, in the text up to there.
    fn found(&self, upto: u64, end: Option<u64>) -> Result<Match, ConsoleError> {
        let (from, has_context) = self.search.from();
        let (text, is_cut) = text(self.shared, from, has_context, upto);
        let begin = upto - text.len() as u64;
        let end = end.map(|end| end.saturating_sub(begin) as usize);
        match self.search.certain(&text, is_cut, end) {
            Some(place) => Ok(self.take(&place, &text, begin)),
            None => Err(ConsoleError::Overrun {
                lost: begin.saturating_sub(from),
                kept: window::KEPT,
            }),
        }
    }

    /// The match in what there is, if nothing more comes.
    fn settle(&mut self) -> Result<Option<Match>, ConsoleError> {
        // Of a DUT that goes on printing, what it has printed so far.
        let end = self.shared.lock().window.end();
        while self.search.at() < end {
            match self.look()? {
                Look::Found(found) => return Ok(Some(found)),
                Look::Nothing => break,
                Look::More => {}
            }
        }
        self.settled = Some(self.search.at());
        let (from, has_context) = self.search.from();
        let (text, is_cut) = text(self.shared, from, has_context, self.search.at());
        let begin = self.search.at() - text.len() as u64;
        let place = self.pattern.find(&text, is_cut || has_context);
        Ok(place.map(|place| self.take(&place, &text, begin)))
    }

    fn take(&self, place: &Place, text: &[u8], begin: u64) -> Match {
        let found = Match::new(self.pattern, place, text, begin);
        self.shared.lock().consumed = found.end;
        found
    }
}

/// What is in memory of the text between two positions, and what stands before it where that matters; whether its
/// beginning is not in memory any more.
fn text(shared: &Shared, from: u64, has_context: bool, upto: u64) -> (Vec<u8>, bool) {
    let state = shared.lock();
    let from = from - u64::from(has_context);
    let (begin, end) = (state.window.index(from), state.window.index(upto));
    let text = state.window.bytes()[begin..end].to_vec();
    (text, state.window.start() > from)
}

impl Match {
    fn new(pattern: &Pattern, place: &Place, text: &[u8], begin: u64) -> Self {
        let bytes = |range: &Range<usize>| text[range.clone()].to_vec();
        let groups: Vec<_> = place
            .groups
            .iter()
            .map(|group| group.as_ref().map(bytes))
            .collect();
        let named = pattern.group_names().zip(&groups);
        Self {
            bytes: bytes(&place.whole),
            named: named
                .filter_map(|(name, group)| Some((name?.to_owned(), group.clone()?)))
                .collect(),
            groups,
            end: begin + place.whole.end as u64,
        }
    }
}
