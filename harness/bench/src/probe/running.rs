//! What the probe's thread is busy with, as seen by those who wait for it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::ProbeError;

/// Shared between the probe's handles and its thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    current: Option<(String, Instant)>,
    /// Somebody waited for the current operation as long as it may take.
    stuck: bool,
}

impl Running {
    pub(super) fn begin(&self, what: &str) {
        let mut state = self.lock();
        state.current = Some((what.to_owned(), Instant::now()));
        state.stuck = false;
    }

    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.current = None;
        state.stuck = false;
    }

    /// Nobody waits a second time for an operation that has outlived its limit.
    pub(super) fn check_not_stuck(&self) -> Result<(), ProbeError> {
        let state = self.lock();
        match &state.current {
            Some((what, since)) if state.stuck => Err(ProbeError::Stuck {
                what: what.clone(),
                elapsed: since.elapsed(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn timed_out(&self, what: String, limit: Duration) -> ProbeError {
        let mut state = self.lock();
        state.stuck = state.current.is_some();
        match &state.current {
            Some((other, since)) if *other != what => ProbeError::Stuck {
                what: other.clone(),
                elapsed: since.elapsed(),
            },
            _ => ProbeError::Timeout { what, limit },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is plain data: still good after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
