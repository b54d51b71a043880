//! Until when a test case may run: its deadline, and the operator's interruption; and what it may take meanwhile.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::confined;

/// Bytes that a running function may take in all: blobs and what the bench hands over are not in the heap.
const MEMORY: usize = 2 << 30;

/// A deadline and a cancellation, whichever comes first.
#[derive(Clone, Debug)]
pub struct Limit {
    deadline: Instant,
    cancelled: CancellationToken,
    memory: usize,
    grace: Duration,
}

/// Why something was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The deadline passed.
    #[error("the deadline has passed")]
    Deadline,
    /// The operator interrupted the run.
    #[error("interrupted")]
    Interrupted,
}

impl Limit {
    /// From now on, for that long.
    pub fn new(time: Duration, cancelled: CancellationToken) -> Self {
        let now = Instant::now();
        // A deadline beyond what the clock can tell is none; a century is as good.
        let deadline = now
            .checked_add(time)
            .unwrap_or_else(|| now + Duration::from_hours(100 * 365 * 24));
        Self {
            deadline,
            cancelled,
            memory: MEMORY,
            grace: confined::GRACE,
        }
    }

    /// The same with so many bytes of memory for a running function, and so long for one operation of it to end after the
    /// deadline, before it is abandoned.
    #[must_use]
    pub fn bounded(self, memory: usize, grace: Duration) -> Self {
        Self {
            memory,
            grace,
            ..self
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// Time left; zero when it is over.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether it is over, and why.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.cancelled.is_cancelled() {
            Err(Stopped::Interrupted)
        } else if self.left().is_zero() {
            Err(Stopped::Deadline)
        } else {
            Ok(())
        }
    }

    /// Runs a future until it is done or the limit is reached.
    pub async fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(Stopped::Interrupted),
            done = future => Ok(done),
            () = tokio::time::sleep_until(self.deadline.into()) => Err(Stopped::Deadline),
        }
    }

    /// Until the operator has interrupted the run, and so long after.
    pub async fn interrupted_for(&self, time: Duration) {
        self.cancelled.cancelled().await;
        tokio::time::sleep(time).await;
    }

    /// The same interruption with another deadline: for what must be done after this one.
    #[must_use]
    pub fn renewed(&self, time: Duration) -> Self {
        Self::new(time, self.cancelled.clone()).bounded(self.memory, self.grace)
    }
}
