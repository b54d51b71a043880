//! What is known of a device from one call of its driver to the next.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The secrets in force, for as long as the bench of the device is open: drivers have no memory of their own.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the field of the label that has the one which the device was delivered with, and has again after a reset.
    secrets: BTreeMap<String, String>,
    /// How often a driver has said itself which is in force.
    said: u64,
}

/// What a call of a driver has done to the secrets of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Nothing,
    /// One is other than on the label.
    Secret {
        field: String,
        new: String,
    },
    /// All are as on the label again.
    BackToLabel,
}

impl Changed {
    pub(crate) fn of(field: impl Into<String>, new: impl Into<String>) -> Self {
        Self::Secret {
            field: field.into(),
            new: new.into(),
        }
    }

    /// After these functions, a device has the secrets of its label, if its driver does not say otherwise.
    pub(crate) fn by(function: &str) -> Self {
        match function {
            "to_factory_default" | "personalise" | "provision" => Self::BackToLabel,
            _ => Self::Nothing,
        }
    }
}

impl Memory {
    /// The secret that was set, unless it is that of the label.
    pub(super) fn secret(&self, field: &str) -> Option<String> {
        self.state().secrets.get(field).cloned()
    }

    /// What a driver says itself; none for that of the label.
    pub(super) fn say(&self, field: &str, secret: Option<String>) {
        let mut state = self.state();
        match secret {
            Some(secret) => state.secrets.insert(field.to_owned(), secret),
            None => state.secrets.remove(field),
        };
        state.said += 1;
    }

    /// To be given to [`Self::follow`] after a call.
    pub(super) fn said(&self) -> u64 {
        self.state().said
    }

    /// A function of the driver has come to its end, and done that. What the driver said since `said` stands.
    pub(super) fn follow(&self, changed: Changed, said: u64) {
        let mut state = self.state();
        if state.said != said {
            return;
        }
        match changed {
            Changed::Nothing => {}
            Changed::Secret { field, new } => {
                state.secrets.insert(field, new);
            }
            Changed::BackToLabel => state.secrets.clear(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could be left half done happens under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
