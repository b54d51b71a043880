//! nRST of the device's debug probe.

use super::{BoxFuture, Switch, SwitchError};
use crate::{Probe, ProbeError};

/// The line. On means that the chip is held in reset.
#[derive(Debug)]
pub(crate) struct ResetLine {
    probe: Probe,
}

impl ResetLine {
    pub(crate) fn new(probe: Probe) -> Self {
        Self { probe }
    }

    fn unreachable(&self, error: ProbeError) -> SwitchError {
        SwitchError::Unreachable {
            device: format!("nRST of debug probe {}", self.probe.selector()),
            remedy: "is the probe plugged in and its nRST wired to the board's, and can probe-rs drive it with that \
                probe? Otherwise hold the button by a relay",
            source: error.into(),
        }
    }
}

impl Switch for ResetLine {
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>> {
        Box::pin(async move {
            let set = if on {
                self.probe.hold_reset().await
            } else {
                self.probe.release_reset().await
            };
            set.map_err(|error| self.unreachable(error))
        })
    }

    /// Probes do not read the line back: this is what it was told.
    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>> {
        Box::pin(async move {
            let held = self.probe.is_reset_held().await;
            held.map_err(|error| self.unreachable(error))
        })
    }
}
