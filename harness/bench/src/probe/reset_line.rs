//! nRST, the wire by which a probe resets a chip whatever that is doing.
//!
//! Many probes let go of it when they are closed: while the chip is held in reset, the probe stays open, and nothing else
//! can be done with it.

use probe_rs::probe::{DebugProbeError, Probe as DebugProbe};

use super::{Probe, ProbeError, SHORT, worker::Worker};

impl Probe {
    /// Holds the chip in reset until [`release_reset`](Self::release_reset). Nothing else can be asked of the probe
    /// meanwhile.
    pub async fn hold_reset(&self) -> Result<(), ProbeError> {
        self.call("holding the chip in reset".into(), SHORT, |worker, _| {
            worker.hold_reset()
        })
        .await
    }

    /// Lets the chip go; it starts.
    pub async fn release_reset(&self) -> Result<(), ProbeError> {
        let what = "letting the chip out of reset".into();
        self.call(what, SHORT, |worker, _| worker.release_reset())
            .await
    }

    /// Whether the chip is held in reset by us.
    pub async fn is_reset_held(&self) -> Result<bool, ProbeError> {
        let what = "asking whether the chip is held in reset".into();
        self.call(what, SHORT, |worker, _| Ok(worker.holding.is_some()))
            .await
    }
}

impl Worker {
    fn hold_reset(&mut self) -> Result<(), ProbeError> {
        if self.holding.is_some() {
            return Ok(());
        }
        self.detach();
        let mut probe = self.open()?;
        let held = probe.target_reset_assert();
        held.map_err(|source| self.line_error(source))?;
        self.holding = Some(probe);
        Ok(())
    }

    pub(super) fn release_reset(&mut self) -> Result<(), ProbeError> {
        let Some(mut probe) = self.holding.take() else {
            return Ok(());
        };
        let released = probe.target_reset_deassert();
        released.map_err(|source| self.line_error(source))
    }

    /// What a run that was killed may have left held. Once, and only where the line is used at all.
    pub(super) fn let_go_at_first(
        &mut self,
        probe: &mut DebugProbe,
    ) -> Result<(), DebugProbeError> {
        if self.setup.drives_reset && !self.has_let_go {
            match probe.target_reset_deassert() {
                // Nor can it have been held; who presses the button is told.
                Ok(()) | Err(DebugProbeError::NotImplemented { .. }) => self.has_let_go = true,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn line_error(&self, source: DebugProbeError) -> ProbeError {
        ProbeError::ResetLine {
            selector: self.setup.probe.selector.clone(),
            source: Box::new(source),
        }
    }
}
