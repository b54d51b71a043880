//! Stopping a run.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::gather::Events;
use provebench_record::event::Event;

/// Stops a run, and says so in it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    token: CancellationToken,
    told: Arc<Mutex<Recipient>>,
}

/// Who is to be told of an interruption.
#[derive(Debug, Default)]
enum Recipient {
    /// Nobody yet.
    #[default]
    Nobody,
    /// The run that is under way.
    Run(Events),
    /// It was told, by this signal.
    Stopped(String),
}

impl Interrupt {
    /// Stops the run; false if that was asked for before.
    pub fn stop(&self, signal: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *told, Recipient::Stopped(signal.to_owned()));
        if let Recipient::Run(events) = &before {
            // First in the journal, before what stops because of it.
            events.send_at_once(Event::Interrupted {
                signal: signal.to_owned(),
            });
        }
        self.token.cancel();
        !matches!(before, Recipient::Stopped(_))
    }

    /// Whether the run is to stop.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// What is cancelled then; whoever cancels it stops the run for a reason that it knows already.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Has a run told when it is stopped.
    pub(super) fn tell(&self, events: Events) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &*told {
            Recipient::Stopped(signal) => events.send_at_once(Event::Interrupted {
                signal: signal.clone(),
            }),
            Recipient::Nobody | Recipient::Run(_) => *told = Recipient::Run(events),
        }
    }
}
