//! For switches that do not tell their state.

use std::sync::{Mutex, PoisonError};

use super::SwitchError;

/// What a switch was last told to be, while nobody else is known to have told it otherwise.
#[derive(Debug, Default)]
pub(super) struct Believed(Mutex<Option<bool>>);

impl Believed {
    pub(super) fn set(&self, on: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(on);
    }

    /// Whatever comes of the switching that begins: if it fails, nothing is known.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn get(
        &self,
        device: impl FnOnce() -> String,
        remedy: &'static str,
    ) -> Result<bool, SwitchError> {
        let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ok_or_else(|| SwitchError::Unknown {
            device: device(),
            remedy,
        })
    }
}
