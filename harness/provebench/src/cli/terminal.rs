//! The terminal that a person types at.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// How the terminal was before; None while it is as it was.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Has the terminal hand over each key as it is, until dropped.
pub(super) struct Raw;

impl Raw {
    pub(super) fn enter() -> Self {
        if let Ok(before) = tcgetattr(io::stdin()) {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            *kept() = Some(before);
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw);
        }
        Self
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// As it was, also when the process ends without dropping anything.
pub(super) fn restore() {
    if let Some(before) = kept().take() {
        // Not after what is still to be printed: a terminal that is stopped would hold it up.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    }
}

pub(super) fn is_raw() -> bool {
    kept().is_some()
}

fn kept() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
