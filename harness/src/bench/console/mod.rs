//! The DUT's serial console: everything it prints is logged, and scripts wait for what they expect of it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use log::Log;
use port::{Send, Shared, State};
use regex::bytes::{Captures, Regex};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};

mod error;
mod log;
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

use whose::Whose;
use wire::Line;

use super::{Probe, host, power::PowerLeft};
use crate::inventory::ConsolePort;

/// How long data may take to leave through the port.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// A match that spans more than this is found only if it arrives at once.
const LONGEST_MATCH: usize = 64 * 1024;
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
        let log = Log::open(&setup.log, setup.origin, &setup.title).map_err(|source| {
            ConsoleError::Log {
                path: setup.log.clone(),
                source,
            }
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
        let task = tokio::spawn(port::serve(stream, line, Arc::clone(&shared), to_do));
        Ok(Self {
            shared,
            requests,
            task,
        })
    }

    /// Sends `data` as it is; returns when the port has taken it.
    pub async fn send(&self, data: &[u8]) -> Result<(), ConsoleError> {
        let (done, result) = oneshot::channel();
        let deadline = Instant::now() + SEND_LIMIT;
        let request = Send {
            data: data.to_vec(),
            deadline,
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
    /// A pattern sees only what has been printed so far: let it end with what follows the interesting part.
    ///
    /// # Errors
    /// [`ConsoleError::Timeout`] is the DUT's doing, all others are not.
    pub async fn expect(&self, pattern: &Regex, wait: Duration) -> Result<Match, ConsoleError> {
        let begin = StdInstant::now();
        let mut changed = self.shared.changed.subscribe();
        let mut searched = None;
        let mut lost = 0;
        let search = async {
            loop {
                {
                    let mut state = self.shared.lock();
                    self.check_log(&state)?;
                    let from = searched.map_or(state.consumed, |end: u64| {
                        end.saturating_sub(LONGEST_MATCH as u64).max(state.consumed)
                    });
                    lost += state
                        .window
                        .start()
                        .saturating_sub(searched.unwrap_or(from));
                    let from = state.window.index(from);
                    if let Some(captures) = pattern.captures_at(state.window.bytes(), from) {
                        let found = Match::new(pattern, &captures, state.window.start());
                        state.consumed = found.end;
                        return Ok(found);
                    }
                    searched = Some(state.window.end());
                }
                changed.changed().await.map_err(|_| ConsoleError::Closed)?;
            }
        };
        match host::within(wait, search).await {
            Ok(found) => found,
            Err(_) => Err(self.not_found(pattern, wait, lost, begin)),
        }
    }

    /// Forgets what was printed so far: the next [`expect`](Self::expect) sees only what comes now.
    pub fn skip(&self) {
        let mut state = self.shared.lock();
        state.consumed = state.window.end();
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
        self.check_log(&state)?;
        match state.window.start().saturating_sub(mark) {
            0 => Ok(state.window.since(mark).to_vec()),
            lost => Err(ConsoleError::Overrun {
                lost,
                kept: window::KEPT,
            }),
        }
    }

    /// The present position in the log file, for [`copy_log`](Self::copy_log).
    pub fn log_mark(&self) -> Result<u64, ConsoleError> {
        let mut state = self.shared.lock();
        state.log.flush().map_err(|source| self.log_error(source))?;
        Ok(state.log.position())
    }

    /// Copies the log since `mark` to a file; gives its size.
    pub async fn copy_log(&self, mark: u64, to: &Path) -> Result<u64, ConsoleError> {
        let length = self.log_mark()?.saturating_sub(mark);
        let (from, to_path) = (self.shared.log_path.clone(), to.to_owned());
        let copied =
            tokio::task::spawn_blocking(move || copy_part(&from, mark, length, &to_path)).await;
        copied
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| ConsoleError::Log {
                path: to.into(),
                source,
            })
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
        self.check_log(&state)?;
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
        self.check_log(&state)?;
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

    fn check_log(&self, state: &State) -> Result<(), ConsoleError> {
        state
            .log_error
            .map_or(Ok(()), |kind| Err(self.log_error(kind.into())))
    }

    fn log_error(&self, source: io::Error) -> ConsoleError {
        ConsoleError::Log {
            path: self.shared.log_path.clone(),
            source,
        }
    }

    fn not_found(
        &self,
        pattern: &Regex,
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

impl Match {
    fn new(pattern: &Regex, captures: &Captures<'_>, start: u64) -> Self {
        let bytes = |found: regex::bytes::Match<'_>| found.as_bytes().to_vec();
        let whole = captures.get_match();
        Self {
            bytes: bytes(whole),
            groups: captures
                .iter()
                .skip(1)
                .map(|group| group.map(bytes))
                .collect(),
            named: pattern
                .capture_names()
                .flatten()
                .filter_map(|name| Some((name.to_owned(), bytes(captures.name(name)?))))
                .collect(),
            end: start + whole.end() as u64,
        }
    }
}

fn copy_part(from: &Path, start: u64, length: u64, to: &Path) -> io::Result<u64> {
    use std::io::{Read, Seek};

    let mut from = std::fs::File::open(from)?;
    from.seek(io::SeekFrom::Start(start))?;
    io::copy(&mut from.take(length), &mut std::fs::File::create(to)?)
}
