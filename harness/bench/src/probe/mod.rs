//! The debug probe: attach, program, read, search, reset, read-out protection.
//!
//! probe-rs is blocking and its sessions belong to one thread: [`Probe`] is the handle, [`worker`] the thread.
//! Every method may be dropped at any time; what the thread has begun it finishes, and a probe that never answers
//! holds up nobody but that thread.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use running::Running;
use tokio::sync::oneshot;
use worker::{Job, Worker};

mod debug_port;
mod error;
mod flash;
mod identity;
mod reset_line;
pub(crate) mod rtt;
mod running;
#[cfg(test)]
mod tests;
mod worker;

pub use debug_port::Protection;
pub use error::ProbeError;
pub use flash::{FlashJob, FlashPhase, FlashProgress, FlashReport};
pub use identity::ChipIdentity;

use provebench_network::search::{Hit, Needle};

use crate::inventory::{DebugPort, IdentityRegister, MemoryRegion, ProbeConfig, Target};

/// How long an operation that moves hardly any data may take.
const SHORT: Duration = Duration::from_secs(30);
/// The slowest probe worth waiting for, in bytes per second.
const SLOWEST: u64 = 4 * 1024;
/// How long the system takes to find a probe that was plugged in.
const COMING_BACK: Duration = Duration::from_secs(3);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(250);
/// Hits beyond this are not reported: the first ones prove the point.
const MAX_HITS: usize = 1000;

/// Which probe, wired to which chip.
#[derive(Debug, Clone)]
pub struct ProbeSetup {
    /// The probe, and how it talks to the chip.
    pub probe: ProbeConfig,
    /// The chip's name at probe-rs, or in `chip_description`.
    pub chip: String,
    /// A probe-rs target description, for chips that probe-rs does not bring along.
    pub chip_description: Option<PathBuf>,
    /// What tells the chip from others.
    pub identity: Vec<IdentityRegister>,
    /// How read-out protection is seen and cleared.
    pub debug_port: Option<DebugPort>,
    /// Whether a button is wired to its reset line.
    pub drives_reset: bool,
}

impl ProbeSetup {
    /// A probe wired to a product.
    pub fn new(probe: ProbeConfig, target: &Target) -> Self {
        Self {
            probe,
            // Whoever has a probe has a chip: the inventory was checked for that.
            chip: target.chip.clone().unwrap_or_default(),
            chip_description: target.chip_description.clone(),
            identity: target.identity.clone(),
            debug_port: target.debug_port.clone(),
            drives_reset: false,
        }
    }
}

/// A debug probe and the chip behind it. Cheap to clone; all clones share one connection.
///
/// Nothing is opened before the first operation needs it, and it is opened again when the device was switched off in
/// between.
#[derive(Debug, Clone)]
pub struct Probe {
    jobs: mpsc::Sender<Job>,
    running: Running,
    power_epoch: PowerEpoch,
    selector: Arc<str>,
}

/// Counts power cycles, so that a debug session which did not live through one is not used after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PowerEpoch(Arc<AtomicU64>);

impl PowerEpoch {
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Probe {
    /// Starts the probe's thread; touches no hardware.
    ///
    /// # Errors
    /// [`ProbeError::Selector`] for a selector of the wrong form.
    pub fn new(setup: ProbeSetup) -> Result<Self, ProbeError> {
        let power_epoch = PowerEpoch::default();
        let selector = setup.probe.selector.as_str().into();
        let worker = Worker::new(setup, power_epoch.clone())?;
        let running = Running::default();
        let jobs = worker.spawn(running.clone());
        Ok(Self {
            jobs,
            running,
            power_epoch,
            selector,
        })
    }

    /// The probe's selector, for messages.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    pub(super) fn power_epoch(&self) -> PowerEpoch {
        self.power_epoch.clone()
    }

    /// Reads memory; the core keeps running.
    pub async fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, ProbeError> {
        let limit = limit_for(length as u64);
        self.call(
            format!("read at {address:#010x}"),
            limit,
            move |worker, _| worker.read(address, length),
        )
        .await
    }

    /// Like [`read`](Self::read); `None` when the debug port answers but refuses access.
    pub async fn try_read(
        &self,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, ProbeError> {
        let limit = limit_for(length as u64);
        self.call(
            format!("read at {address:#010x}"),
            limit,
            move |worker, _| worker.try_read(address, length),
        )
        .await
    }

    /// Writes RAM or registers; for flash use [`write_nvm`](Self::write_nvm).
    pub async fn write(&self, address: u64, data: &[u8]) -> Result<(), ProbeError> {
        let data = data.to_vec();
        let limit = limit_for(data.len() as u64);
        self.call(
            format!("write at {address:#010x}"),
            limit,
            move |worker, _| worker.write(address, &data),
        )
        .await
    }

    /// Writes flash through the chip's flash algorithm, keeping the rest of the sectors; verified.
    ///
    /// The core is halted afterwards: [`reset`](Self::reset) it.
    pub async fn write_nvm(&self, address: u64, data: &[u8]) -> Result<(), ProbeError> {
        let data = data.to_vec();
        let limit = limit_for(data.len() as u64) * 2;
        self.call(
            format!("programming at {address:#010x}"),
            limit,
            move |worker, _| worker.write_nvm(address, &data),
        )
        .await
    }

    /// Brings the images into flash, verified. Images that are there already are left alone; the chip's identity is
    /// checked first.
    ///
    /// When anything was written the core is halted afterwards: [`reset`](Self::reset) it.
    pub async fn flash(
        &self,
        jobs: &[FlashJob],
        mut progress: impl FnMut(FlashProgress),
    ) -> Result<FlashReport, ProbeError> {
        let jobs = jobs.to_vec();
        let limit = limit_for(jobs.iter().map(FlashJob::size).sum::<u64>() * 4);
        let names = flash::names(&jobs);
        let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let work = self.call(
            format!("programming of {names}"),
            limit,
            move |worker, cancel| {
                worker.flash(&jobs, cancel, &mut |event| {
                    // Nobody left to watch is no reason to stop in the middle of a sector.
                    let _ = events.send(event);
                })
            },
        );
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(event) = seen.recv() => progress(event),
                result = &mut work => {
                    while let Ok(event) = seen.try_recv() {
                        progress(event);
                    }
                    return result;
                }
            }
        }
    }

    /// Whether every image is in flash, byte for byte; programs nothing.
    pub async fn verify(&self, jobs: &[FlashJob]) -> Result<bool, ProbeError> {
        let jobs = jobs.to_vec();
        let limit = limit_for(jobs.iter().map(FlashJob::size).sum());
        self.call(
            format!("verification of {}", flash::names(&jobs)),
            limit,
            move |worker, cancel| worker.verify(&jobs, cancel),
        )
        .await
    }

    /// Searches memory for `needles` in all their [`Encoding`]s. At most 1000 hits are reported.
    pub async fn find(
        &self,
        needles: &[Needle],
        regions: &[MemoryRegion],
    ) -> Result<Vec<Hit>, ProbeError> {
        let (needles, regions) = (needles.to_vec(), regions.to_vec());
        let size = regions
            .iter()
            .map(|region| region.range.end - region.range.start)
            .sum();
        self.call(
            "memory search".into(),
            limit_for(size),
            move |worker, cancel| worker.find(&needles, &regions, MAX_HITS, cancel),
        )
        .await
    }

    /// The state of read-out protection, as the chip's control access port tells it.
    pub async fn protection(&self) -> Result<Protection, ProbeError> {
        self.call("reading the protection state".into(), SHORT, |worker, _| {
            worker.protection()
        })
        .await
    }

    /// Erases the whole chip, which unlocks its debug port. A chip that lets itself be read is checked for its identity
    /// first, a locked one only for that of its control access port.
    pub async fn recover(&self) -> Result<(), ProbeError> {
        self.call("recovery".into(), SHORT * 2, |worker, _| worker.recover())
            .await
    }

    /// Resets the chip and lets it run.
    pub async fn reset(&self) -> Result<(), ProbeError> {
        self.call("reset".into(), SHORT, |worker, _| worker.reset())
            .await
    }

    /// Resets the chip and stops it before its first instruction.
    pub async fn reset_and_halt(&self) -> Result<(), ProbeError> {
        self.call("reset".into(), SHORT, |worker, _| worker.reset_and_halt())
            .await
    }

    /// Stops the core.
    pub async fn halt(&self) -> Result<(), ProbeError> {
        self.call("halt".into(), SHORT, |worker, _| worker.halt())
            .await
    }

    /// Lets the core run.
    pub async fn run(&self) -> Result<(), ProbeError> {
        self.call("run".into(), SHORT, |worker, _| worker.run())
            .await
    }

    /// The core's registers by name. A running core is stopped for the moment it takes.
    pub async fn registers(&self) -> Result<BTreeMap<String, u32>, ProbeError> {
        self.call("reading the registers".into(), SHORT, |worker, _| {
            worker.registers()
        })
        .await
    }

    /// What the chip says it is.
    pub async fn identity(&self) -> Result<ChipIdentity, ProbeError> {
        self.call("reading the chip's identity".into(), SHORT, |worker, _| {
            worker.identity()
        })
        .await
    }

    /// What the chip says it is, once that is known to be what the target says: [`ProbeError::WrongChip`] else.
    pub async fn check_identity(&self) -> Result<ChipIdentity, ProbeError> {
        self.call("checking the chip's identity".into(), SHORT, |worker, _| {
            worker.check_identity()
        })
        .await
    }

    /// Whether probe and debug port answer, locked or not, within `limit`.
    pub async fn health(&self, limit: Duration) -> Result<(), ProbeError> {
        self.call(
            "asking the debug port for its identity".into(),
            limit,
            |worker, _| worker.ping(),
        )
        .await
    }

    /// Whether the probe itself is there, within `limit`; its chip need not answer. A probe that has just come back with
    /// the power of the board that it is on is waited for.
    pub async fn presence(&self, limit: Duration) -> Result<(), ProbeError> {
        let deadline = Instant::now() + COMING_BACK;
        loop {
            let present = self.call("opening the probe".into(), limit, |worker, _| {
                worker.presence()
            });
            match present.await {
                Err(ProbeError::Open { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(LOOK).await;
                }
                result => return result,
            }
        }
    }

    /// Closes the connection; the next operation opens it again.
    pub async fn detach(&self) -> Result<(), ProbeError> {
        self.call("detaching".into(), SHORT, |worker, _| {
            worker.detach();
            Ok(())
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        what: String,
        limit: Duration,
        work: impl FnOnce(&mut Worker, &Cancel) -> Result<T, ProbeError> + Send + 'static,
    ) -> Result<T, ProbeError> {
        self.running.check_not_stuck()?;
        let started = Instant::now();
        let (reply, answer) = oneshot::channel();
        let cancel = Cancel::default();
        let _cancel_when_dropped = CancelGuard(cancel.clone());
        let doing = what.clone();
        let job = Job::new(
            what.clone(),
            cancel.clone(),
            Box::new(move |worker| {
                let _ = reply.send(worker.guarded(doing, |worker| work(worker, &cancel)));
            }),
        );
        let ended = |what| ProbeError::Driver {
            what,
            message: "its thread has ended".into(),
        };
        if self.jobs.send(job).is_err() {
            return Err(ended(what));
        }
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ended(what)),
            Err(_) => Err(self.running.timed_out(what, started.elapsed())),
        }
    }
}

fn limit_for(bytes: u64) -> Duration {
    SHORT + Duration::from_secs(bytes / SLOWEST)
}

/// Set when nobody waits for the result any more.
#[derive(Debug, Clone, Default)]
struct Cancel(Arc<AtomicBool>);

impl Cancel {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct CancelGuard(Cancel);

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
