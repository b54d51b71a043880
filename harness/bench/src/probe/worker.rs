//! The thread that owns the probe-rs session.

use std::{
    any::Any,
    cell::Cell,
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    str::FromStr,
    sync::{Once, mpsc},
    thread,
    time::Duration,
};

use probe_rs::{
    Core, MemoryInterface, Permissions, Session, Target,
    config::{Registry, TargetSelector},
    probe::{DebugProbeError, DebugProbeSelector, Probe as DebugProbe, WireProtocol, list::Lister},
    rtt::Rtt,
};

use super::{
    Cancel, PowerEpoch, ProbeError, ProbeSetup, Protection, rtt::Search, running::Running,
};
use crate::{
    inventory::{MemoryRegion, Protocol},
    usb::{is_in_network, usb_devices},
};
use provebench_network::search::{Hit, Needle, Searcher};

/// How long a core may take to stop.
const HALT_LIMIT: Duration = Duration::from_secs(2);
/// Read at once while searching and comparing: between two pieces the caller may cancel.
pub(super) const PIECE: usize = 16 * 1024;

/// One operation for the thread.
pub(super) struct Job {
    what: String,
    cancel: Cancel,
    work: Box<dyn FnOnce(&mut Worker) + Send>,
}

impl Job {
    pub(super) fn new(
        what: String,
        cancel: Cancel,
        work: Box<dyn FnOnce(&mut Worker) + Send>,
    ) -> Self {
        Self { what, cancel, work }
    }
}

/// The thread's state.
pub(super) struct Worker {
    pub(super) setup: ProbeSetup,
    selector: DebugProbeSelector,
    target: Option<Target>,
    session: Option<Session>,
    power_epoch: PowerEpoch,
    /// The epoch in which `session` was opened.
    attached_in: u64,
    /// The probe, while it holds the chip in reset.
    pub(super) holding: Option<DebugProbe>,
    pub(super) has_let_go: bool,
    /// Where the chip's RTT is, once it was found.
    pub(super) rtt: Option<Rtt>,
    /// From where on it is looked for next.
    pub(super) rtt_search: Search,
}

impl Worker {
    pub(super) fn new(setup: ProbeSetup, power_epoch: PowerEpoch) -> Result<Self, ProbeError> {
        let selector = DebugProbeSelector::from_str(&setup.probe.selector).map_err(|error| {
            ProbeError::Selector {
                selector: setup.probe.selector.clone(),
                reason: error.to_string(),
            }
        })?;
        Ok(Self {
            setup,
            selector,
            target: None,
            session: None,
            power_epoch,
            attached_in: 0,
            holding: None,
            has_let_go: false,
            rtt: None,
            rtt_search: Search::default(),
        })
    }

    /// Runs jobs until the last handle is gone.
    pub(super) fn spawn(self, running: Running) -> mpsc::Sender<Job> {
        let (sender, jobs) = mpsc::channel::<Job>();
        silence_caught_panics();
        let mut worker = self;
        thread::Builder::new()
            .name("probe".into())
            .spawn(move || {
                CATCHES_PANICS.set(true);
                for job in jobs {
                    if job.cancel.is_cancelled() {
                        continue;
                    }
                    running.begin(&job.what);
                    (job.work)(&mut worker);
                    running.end();
                }
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    worker.detach();
                    worker.release_reset()
                }));
            })
            .map_or_else(|_| mpsc::channel().0, |_| sender)
    }

    /// Drivers of probe-rs panic on some faults of the line. That must not take the harness along.
    pub(super) fn guarded<T>(
        &mut self,
        what: String,
        work: impl FnOnce(&mut Self) -> Result<T, ProbeError>,
    ) -> Result<T, ProbeError> {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|payload| {
            // Closing a session talks to the chip, and may panic once more.
            let session = self.session.take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(session)));
            let message = panic_message(&*payload);
            Err(ProbeError::Driver { what, message })
        })
    }

    pub(super) fn detach(&mut self) {
        self.session = None;
    }

    /// Whether the probe is there, whatever becomes of its chip.
    pub(super) fn presence(&mut self) -> Result<(), ProbeError> {
        if self.holding.is_some() || (self.is_attached() && self.ping().is_ok()) {
            return Ok(());
        }
        self.detach();
        self.open().map(drop)
    }

    pub(super) fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>, ProbeError> {
        self.with_core(|core| {
            let mut data = vec![0; length];
            core.read(address, &mut data)
                .map_err(memory_error("read", address, length))?;
            Ok(data)
        })
    }

    pub(super) fn try_read(
        &mut self,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, ProbeError> {
        match self.read(address, length) {
            Ok(data) => Ok(Some(data)),
            Err(ProbeError::Locked { .. }) => Ok(None),
            // Nothing is known of how this chip locks itself: a port that answers but lets nobody in is closed.
            Err(ProbeError::Attach { .. })
                if self.setup.debug_port.is_none() && self.ping().is_ok() =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&mut self, address: u64, data: &[u8]) -> Result<(), ProbeError> {
        self.with_core(|core| {
            core.write(address, data)
                .and_then(|()| core.flush())
                .map_err(memory_error("write", address, data.len()))
        })
    }

    pub(super) fn find(
        &mut self,
        needles: &[Needle],
        regions: &[MemoryRegion],
        limit: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Hit>, ProbeError> {
        let mut hits = Vec::new();
        let Some(searcher) = Searcher::new(needles) else {
            return Ok(hits);
        };
        for region in regions {
            let mut search = searcher.region(&region.name, region.range.start);
            let mut address = region.range.start;
            while address < region.range.end && hits.len() < limit && !cancel.is_cancelled() {
                let length = (region.range.end - address).min(PIECE as u64) as usize;
                search.feed(&self.read(address, length)?, &mut hits, limit);
                address += length as u64;
            }
        }
        Ok(hits)
    }

    pub(super) fn reset(&mut self) -> Result<(), ProbeError> {
        self.with_core(|core| core.reset().map_err(core_error("reset")))
    }

    pub(super) fn reset_and_halt(&mut self) -> Result<(), ProbeError> {
        self.with_core(|core| {
            core.reset_and_halt(HALT_LIMIT)
                .map(drop)
                .map_err(core_error("reset and halt"))
        })
    }

    pub(super) fn halt(&mut self) -> Result<(), ProbeError> {
        self.with_core(|core| core.halt(HALT_LIMIT).map(drop).map_err(core_error("halt")))
    }

    pub(super) fn run(&mut self) -> Result<(), ProbeError> {
        self.with_core(|core| core.run().map_err(core_error("run")))
    }

    pub(super) fn registers(&mut self) -> Result<BTreeMap<String, u32>, ProbeError> {
        self.with_core(|core| {
            let read_all = |core: &mut Core<'_>| {
                let was_halted = core.core_halted()?;
                if !was_halted {
                    core.halt(HALT_LIMIT)?;
                }
                let registers = core
                    .registers()
                    .core_registers()
                    .copied()
                    .collect::<Vec<_>>();
                let values = registers
                    .iter()
                    .map(|register| {
                        Ok((
                            register.to_string(),
                            core.read_core_reg::<u32>(register.id())?,
                        ))
                    })
                    .collect::<Result<_, probe_rs::Error>>();
                if !was_halted {
                    core.run()?;
                }
                values
            };
            read_all(core).map_err(core_error("reading the registers"))
        })
    }

    /// Runs `work` on the first core, and once more on a fresh connection when the old one turns out to be dead.
    pub(super) fn with_core<T>(
        &mut self,
        mut work: impl FnMut(&mut Core<'_>) -> Result<T, ProbeError>,
    ) -> Result<T, ProbeError> {
        self.with_session(|session| {
            let mut core = session.core(0).map_err(core_error("access to the core"))?;
            work(&mut core)
        })
    }

    /// As [`with_core`](Self::with_core), for what needs the whole session.
    pub(super) fn with_session<T>(
        &mut self,
        mut work: impl FnMut(&mut Session) -> Result<T, ProbeError>,
    ) -> Result<T, ProbeError> {
        let was_attached = self.is_attached();
        let first = self.attach().and_then(&mut work);
        let result = match first {
            Err(error) if was_attached && error.is_access() => {
                tracing::debug!(%error, "access through the open session failed, attaching again");
                self.detach();
                self.attach().and_then(work)
            }
            result => result,
        };
        result.map_err(|error| {
            if !error.is_access() {
                return error;
            }
            self.detach();
            // "Locked" is the better message where it is the reason.
            match self.protection() {
                Ok(Protection::Locked) => ProbeError::Locked {
                    chip: self.setup.chip.clone(),
                },
                _ => error,
            }
        })
    }

    pub(super) fn is_attached(&self) -> bool {
        self.session.is_some() && self.attached_in == self.power_epoch.now()
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        if self.is_attached() {
            self.session.as_mut()
        } else {
            None
        }
    }

    fn attach(&mut self) -> Result<&mut Session, ProbeError> {
        if !self.is_attached() {
            self.detach();
            let target = self.target()?.clone();
            self.attached_in = self.power_epoch.now();
            let session = self
                .open()?
                .attach_with_registry(
                    TargetSelector::Specified(target),
                    Permissions::new(),
                    &Registry::new(),
                )
                .map_err(|source| self.attach_error(source))?;
            self.session = Some(session);
        }
        match &mut self.session {
            Some(session) => Ok(session),
            None => unreachable!("attached above"),
        }
    }

    /// Opens the probe itself, with nothing said to the chip yet.
    pub(super) fn open(&mut self) -> Result<DebugProbe, ProbeError> {
        if self.holding.is_some() {
            return Err(ProbeError::InReset {
                chip: self.setup.chip.clone(),
            });
        }
        only_one(Path::new("/"), &self.setup.probe.selector, &self.selector)?;
        let mut open = || {
            let mut probe = Lister::new().open(self.selector.clone())?;
            probe.select_protocol(match self.setup.probe.protocol {
                Protocol::Swd => WireProtocol::Swd,
                Protocol::Jtag => WireProtocol::Jtag,
            })?;
            if let Some(speed_khz) = self.setup.probe.speed_khz {
                probe.set_speed(speed_khz)?;
            }
            self.let_go_at_first(&mut probe)?;
            Ok(probe)
        };
        let opened: Result<DebugProbe, DebugProbeError> = open();
        opened.map_err(|source| ProbeError::Open {
            selector: self.setup.probe.selector.clone(),
            source: Box::new(source),
        })
    }

    pub(super) fn attach_error(&self, source: probe_rs::Error) -> ProbeError {
        ProbeError::Attach {
            selector: self.setup.probe.selector.clone(),
            chip: self.setup.chip.clone(),
            source: Box::new(source),
        }
    }

    pub(super) fn target(&mut self) -> Result<&Target, ProbeError> {
        let target = match self.target.take() {
            Some(target) => target,
            None => self
                .registry()?
                .get_target_by_name(&self.setup.chip)
                .map_err(|source| ProbeError::Chip {
                    chip: self.setup.chip.clone(),
                    source: Box::new(source),
                })?,
        };
        Ok(self.target.insert(target))
    }

    /// The chips to choose from: those of the description, else all that probe-rs knows.
    pub(super) fn registry(&self) -> Result<Registry, ProbeError> {
        let Some(path) = &self.setup.chip_description else {
            return Ok(Registry::from_builtin_families());
        };
        let fail = |source| ProbeError::ChipDescription {
            path: path.clone(),
            source,
        };
        let yaml = fs::read_to_string(path).map_err(|error| fail(error.into()))?;
        let mut registry = Registry::new();
        registry
            .add_target_family_from_yaml(&yaml)
            .map_err(|error| fail(error.into()))?;
        Ok(registry)
    }
}

/// Of several that may be meant, probe-rs takes one, and does not tell.
fn only_one(root: &Path, text: &str, selector: &DebugProbeSelector) -> Result<(), ProbeError> {
    if is_in_network(selector) {
        return Ok(());
    }
    let plugged_in = usb_devices(root).into_iter();
    let matching = plugged_in.filter(|device| device.is_probe(selector));
    let places: Vec<String> = matching.map(|device| device.place).collect();
    if places.len() < 2 {
        return Ok(());
    }
    Err(ProbeError::Ambiguous {
        selector: text.into(),
        places,
    })
}

pub(super) fn core_error(action: &'static str) -> impl Fn(probe_rs::Error) -> ProbeError {
    move |source| ProbeError::Core {
        action,
        source: Box::new(source),
    }
}

pub(super) fn memory_error(
    access: &'static str,
    address: u64,
    length: usize,
) -> impl Fn(probe_rs::Error) -> ProbeError {
    move |source| ProbeError::Memory {
        access,
        address,
        length,
        source: Box::new(source),
    }
}

thread_local! {
    static CATCHES_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// A panic on a probe's thread is reported as an error; the default hook would print it a second time.
fn silence_caught_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHES_PANICS.get() {
                tracing::debug!("caught on the probe's thread: {info}");
            } else {
                default(info);
            }
        }));
    });
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".into())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;
    use provebench_testing::usb::plug_in_a_j_link;

    #[rstest]
    #[case::one_of_two("1366:1015", false)]
    #[case::clones("1366:1015:0001", false)]
    #[case::none("1366:1015:0002", true)]
    #[case::in_the_network("1d50:6018:127.0.0.1:2022", true)]
    fn a_probe_that_may_be_another_is_not_opened(#[case] selector: &str, #[case] is_clear: bool) {
        let root = TempDir::new().unwrap();
        for (place, device) in [("1-1", 4), ("1-2", 5)] {
            plug_in_a_j_link(root.path(), place, device, "0001");
        }
        let found = only_one(root.path(), selector, &selector.parse().unwrap());
        assert_eq!(found.is_ok(), is_clear, "{found:?}");
        if let Err(error) = found {
            assert!(error.to_string().contains("1-1, 1-2"), "{error}");
        }
    }
}
