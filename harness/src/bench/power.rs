//! The DUT's power.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    BenchError,
    probe::PowerEpoch,
    switch::{self, CutState, Switch, SwitchError, WriteCut},
};
use crate::inventory::{Attachment, Device, SwitchConfig, Wiring};

/// A plug does not tell by itself that it has cut power: it is asked this often.
const CUT_POLL: Duration = Duration::from_millis(20);

/// Switches the DUT's power.
///
/// Whatever is begun is finished even if the caller stops waiting: a cancelled [`cycle`](Self::cycle) does not leave
/// the DUT without power.
#[derive(Debug, Clone)]
pub struct Power {
    switch: Arc<dyn Switch>,
    name: Arc<str>,
    epoch: PowerEpoch,
}

impl Power {
    /// The power switch of a device that is really there, without the rest of its bench.
    ///
    /// # Errors
    /// [`BenchError::Missing`] when it has none; a virtual board has one only while its bench is open.
    pub fn of(device: &Device) -> Result<Self, BenchError> {
        match &device.attachment {
            Attachment::Real(Wiring {
                power: Some(config),
                ..
            }) => Ok(Self::open(config, &device.name, PowerEpoch::default())?),
            _ => Err(BenchError::missing(&device.name, "power switch", "power")),
        }
    }

    pub(super) fn open(
        config: &SwitchConfig,
        device: &str,
        epoch: PowerEpoch,
    ) -> Result<Self, SwitchError> {
        let name = format!("the power of {device}");
        // A debug probe switches no power.
        Ok(Self::new(switch::open(config, None)?, &name, epoch))
    }

    pub(super) fn new(switch: Arc<dyn Switch>, name: &str, epoch: PowerEpoch) -> Self {
        Self {
            switch,
            name: name.into(),
            epoch,
        }
    }

    /// Switches on.
    pub async fn on(&self) -> Result<(), SwitchError> {
        self.finish(|switch| async move { switch.set(true).await })
            .await
    }

    /// Switches off.
    pub async fn off(&self) -> Result<(), SwitchError> {
        self.finish(|switch| async move { switch.set(false).await })
            .await
    }

    /// Whether the DUT has power.
    pub async fn is_on(&self) -> Result<bool, SwitchError> {
        self.switch.is_on().await
    }

    /// Off, for as long as `off`, and on again.
    pub async fn cycle(&self, off: Duration) -> Result<(), SwitchError> {
        self.cycle_until(off, CancellationToken::new()).await
    }

    /// The same, and on again at once when `stop` is cancelled.
    pub async fn cycle_until(
        &self,
        off: Duration,
        stop: CancellationToken,
    ) -> Result<(), SwitchError> {
        self.finish(move |switch| async move {
            let cut = switch.set(false).await;
            if cut.is_ok() {
                stop.run_until_cancelled(sleep(off)).await;
            }
            // Also after a failure: it may have been switched off all the same.
            let back = switch.set(true).await;
            cut.and(back)
        })
        .await
    }

    /// Whether [`current`](Self::current) is possible.
    pub fn can_measure(&self) -> bool {
        self.switch.meter().is_some()
    }

    /// The current that the DUT draws, in A.
    pub async fn current(&self) -> Result<f64, SwitchError> {
        let meter = self.switch.meter().ok_or_else(|| SwitchError::NoMeter {
            device: self.name.to_string(),
        })?;
        meter.current().await
    }

    /// Whether [`cut_at_write`](Self::cut_at_write) is possible.
    pub fn can_cut_at_write(&self) -> bool {
        self.switch.write_cut().is_some()
    }

    /// Arms one power cut at the `count`-th write (from 1) of the DUT to `region`.
    pub async fn cut_at_write(&self, region: Range<u64>, count: u64) -> Result<(), SwitchError> {
        self.write_cut()?.arm(region, count.max(1)).await
    }

    /// Counts the writes to `region` and cuts nothing: how many does an operation take?
    pub async fn count_writes(&self, region: Range<u64>) -> Result<(), SwitchError> {
        self.write_cut()?.arm(region, 0).await
    }

    /// Writes seen since [`cut_at_write`](Self::cut_at_write) or [`count_writes`](Self::count_writes).
    pub async fn writes(&self) -> Result<u64, SwitchError> {
        Ok(self.cut_state().await?.writes)
    }

    /// How far the cut is.
    pub async fn cut_state(&self) -> Result<CutState, SwitchError> {
        self.write_cut()?.state().await
    }

    /// Waits for the cut; `false` when it did not happen within `limit`.
    pub async fn wait_cut(&self, limit: Duration) -> Result<bool, SwitchError> {
        let deadline = Instant::now() + limit;
        loop {
            let state = self.cut_state().await?;
            if state.fired {
                self.epoch.advance();
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(CUT_POLL).await;
        }
    }

    /// Calls off cut and count.
    pub async fn disarm(&self) -> Result<(), SwitchError> {
        self.write_cut()?.disarm().await
    }

    fn write_cut(&self) -> Result<&dyn WriteCut, SwitchError> {
        self.switch
            .write_cut()
            .ok_or_else(|| SwitchError::NoWriteCut {
                device: self.name.to_string(),
            })
    }

    async fn finish<F>(&self, work: impl FnOnce(Arc<dyn Switch>) -> F) -> Result<(), SwitchError>
    where
        F: Future<Output = Result<(), SwitchError>> + Send + 'static,
    {
        let task = tokio::spawn(work(Arc::clone(&self.switch)));
        let result = task.await.unwrap_or_else(|_| {
            Err(SwitchError::Interrupted {
                device: self.name.to_string(),
            })
        });
        self.epoch.advance();
        result
    }
}
