//! What is known of a device from one call of its driver to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The password in force, for as long as the bench of the device is open: drivers have no memory of their own.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// None: that on the label.
    password: Option<String>,
    /// How often a driver has said itself which is in force.
    said: u64,
}

/// After these, a device has the password of its label, if its driver does not say otherwise.
const BACK_TO_LABEL: [&str; 4] = [
    "factory_reset",
    "to_factory_default",
    "personalise",
    "provision",
];

impl Memory {
    /// The password that was set, unless it is that of the label.
    pub(super) fn password(&self) -> Option<String> {
        self.state().password.clone()
    }

    /// What a driver says itself; none for that of the label.
    pub(super) fn say(&self, password: Option<String>) {
        let mut state = self.state();
        state.password = password;
        state.said += 1;
    }

    /// To be given to [`Self::follow`] after a call.
    pub(super) fn said(&self) -> u64 {
        self.state().said
    }

    /// A function of the driver has come to its end. `changed` is the password that it has set, if it is the one that
    /// changes it, and has. What the driver said since `said` stands.
    pub(super) fn follow(&self, function: &str, changed: Option<String>, said: u64) {
        let mut state = self.state();
        if state.said != said {
            return;
        }
        if changed.is_some() {
            state.password = changed;
        } else if BACK_TO_LABEL.contains(&function) {
            state.password = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could be left half done happens under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
