//! The DUT's power.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant as StdInstant},
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    console::Forgetting,
    probe::PowerEpoch,
    switch::{CutState, Switch, SwitchError, WriteCut},
};

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
    left: PowerLeft,
    dark: Dark,
}

/// What the harness has done to the DUT's power. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PowerLeft(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    /// As it was switched last; none before the first time, and after a switching that failed.
    on: Option<bool>,
    /// Until when the DUT was, or may have been, without power.
    off_until: Option<StdInstant>,
}

impl PowerLeft {
    /// Whether the DUT had no power at some time since `begin`, as far as that is the harness's doing.
    pub(super) fn was_off_since(&self, begin: StdInstant) -> bool {
        let left = self.lock();
        left.on == Some(false) || left.off_until.is_some_and(|until| until >= begin)
    }

    fn set(&self, on: Option<bool>) {
        let mut left = self.lock();
        if left.on == Some(false) || on != Some(true) {
            left.off_until = Some(StdInstant::now());
        }
        left.on = on;
    }

    /// A cut that was armed has taken it.
    pub(super) fn cut(&self) {
        self.lock().off_until = Some(StdInstant::now());
    }

    /// As it was switched last.
    fn on(&self) -> Option<bool> {
        self.lock().on
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        // Plain data, written at once.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Switches, and remembers it.
async fn switch_to(switch: &dyn Switch, left: &PowerLeft, on: bool) -> Result<(), SwitchError> {
    let result = switch.set(on).await;
    left.set(result.is_ok().then_some(on));
    result
}

/// What the DUT printed before it lost its power answers no question that is asked afterwards. Clones share it.
#[derive(Debug, Clone, Default)]
struct Dark {
    console: Arc<OnceLock<Forgetting>>,
    /// It was switched off, or cut.
    lasts: Arc<AtomicBool>,
}

impl Dark {
    fn begins(&self) {
        self.lasts.store(true, Ordering::Release);
        self.forget();
    }

    /// What was under way when power went has arrived.
    fn ends(&self) {
        if self.lasts.swap(false, Ordering::AcqRel) {
            self.forget();
        }
    }

    fn forget(&self) {
        if let Some(console) = self.console.get() {
            console.forget();
        }
    }
}

impl Power {
    /// The power of a device, by what switches it. What the probe remembers of the chip ends with each `epoch`.
    pub(super) fn new(switch: Arc<dyn Switch>, device: &str, epoch: PowerEpoch) -> Self {
        Self {
            switch,
            name: format!("the power of {device}").into(),
            epoch,
            left: PowerLeft::default(),
            dark: Dark::default(),
        }
    }

    /// What is done to the power, for others to know.
    pub(super) fn left(&self) -> PowerLeft {
        self.left.clone()
    }

    /// What the console said before answers no question that is asked after power was away.
    pub(super) fn forgets_at(&self, console: Forgetting) {
        // There is one console, opened once.
        let _ = self.dark.console.set(console);
    }

    /// Switches on.
    pub async fn on(&self) -> Result<(), SwitchError> {
        let dark = self.dark.clone();
        self.finish(|switch, left| async move {
            dark.ends();
            switch_to(&*switch, &left, true).await
        })
        .await
    }

    /// Switches off.
    pub async fn off(&self) -> Result<(), SwitchError> {
        let dark = self.dark.clone();
        self.finish(|switch, left| async move {
            let cut = switch_to(&*switch, &left, false).await;
            dark.begins();
            cut
        })
        .await
    }

    /// Whether the DUT has power, once that is known to be as it was switched last, by us or by the write that a cut was
    /// armed for.
    ///
    /// # Errors
    /// [`SwitchError::NotObeyed`] when it is not: something else has switched it, or it has tripped. Whatever the switch
    /// fails with when it is asked.
    pub async fn is_on_as_left(&self) -> Result<bool, SwitchError> {
        let Some(left) = self.left.on() else {
            // A switching that failed is told by whoever asked for it.
            return Ok(false);
        };
        let is_on = self.is_on().await?;
        if is_on == left {
            return Ok(is_on);
        }
        if left && self.can_cut_at_write() && self.cut_state().await?.fired {
            self.left.cut();
            self.epoch.advance();
            self.dark.begins();
            return Ok(false);
        }
        let name = self.name.to_string();
        Err(SwitchError::not_obeyed(name, left, is_on))
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
        let dark = self.dark.clone();
        self.finish(move |switch, left| async move {
            let cut = switch_to(&*switch, &left, false).await;
            dark.begins();
            if cut.is_ok() {
                stop.run_until_cancelled(sleep(off)).await;
            }
            dark.ends();
            // Also after a failure: it may have been switched off all the same.
            let back = switch_to(&*switch, &left, true).await;
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
                self.left.cut();
                self.epoch.advance();
                self.dark.begins();
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

    async fn finish<F>(
        &self,
        work: impl FnOnce(Arc<dyn Switch>, PowerLeft) -> F,
    ) -> Result<(), SwitchError>
    where
        F: Future<Output = Result<(), SwitchError>> + Send + 'static,
    {
        let task = tokio::spawn(work(Arc::clone(&self.switch), self.left.clone()));
        let result = task.await.unwrap_or_else(|_| {
            Err(SwitchError::Interrupted {
                device: self.name.to_string(),
            })
        });
        self.epoch.advance();
        result
    }
}
