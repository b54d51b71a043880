//! The DUT as the runner knows it, and how it is brought into the state that a case needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plan::PlannedCase;
use super::worker::Worker;
use provebench_bench::probe::{FlashJob, FlashProgress, Protection};
use provebench_bench::{Bench, BenchError, BenchOptions, Console, Probe};
use provebench_record::event::{End, Fault, KeptFile, Step};
use provebench_record::evidence::{EvidenceError, Growing, RunDir};
use provebench_record::explain::explain;
use provebench_script::{
    Limit, Memory, PERSONALISE, PROVISION, Sample, Session, Sink, State, Stopped,
};

/// An open bench, and what is known of its DUT.
pub(super) struct Dut {
    pub(super) bench: Arc<Bench>,
    pub(super) known: Provisioned,
    /// What its driver is to know from one call to the next.
    pub(super) memory: Arc<Memory>,
    /// Where its frames are, and what they are so far.
    network: Option<PathBuf>,
    frames: Growing,
}

// Generous: these only end what would hang.
const OPENING: Duration = Duration::from_mins(3);
const HEALTH: Duration = Duration::from_mins(1);
const CLOSING: Duration = Duration::from_mins(2);

/// What was done to the DUT. Nobody knows at first: another run may have left it anyhow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Provisioned {
    /// The device's images are in it and no others, as far as the bench can see to that, and it was personalised.
    is_set_up: bool,
    sample: Option<Sample>,
    /// A case broke off in it. What the bench can't program is brought back by the driver, as far as that goes.
    was_left_anyhow: bool,
}

impl Provisioned {
    /// What the DUT is personalised as.
    pub(super) fn sample(self) -> Option<Sample> {
        self.sample
    }
}

impl Dut {
    /// Opens the bench.
    pub(super) fn open(worker: &Worker<'_>, options: &BenchOptions) -> Result<Self, String> {
        let opening = Bench::open(worker.plan.device, options);
        Ok(Self {
            bench: Arc::new(worker.within(OPENING, "open", opening)?),
            known: Provisioned::default(),
            memory: Arc::default(),
            network: options
                .network
                .as_ref()
                .and_then(|network| network.captures.clone()),
            frames: Growing::default(),
        })
    }

    /// Whether the bench can go on as it is.
    pub(super) fn is_healthy(&self, worker: &Worker<'_>) -> bool {
        worker.within(HEALTH, "answer", self.bench.health()).is_ok()
    }

    /// Leaves the device powered, with nothing held.
    pub(super) fn close(mut self, worker: &Worker<'_>) -> Result<(), String> {
        let kept = self.keep_network(worker.dir).map(|files| {
            worker.kept(None, files);
        });
        let bench = Arc::try_unwrap(self.bench).map_err(|bench| {
            bench.end_logs();
            "the bench can't be closed: a call of a script into it does not end; what it holds is free when provebench ends"
        })?;
        let closed = worker.within(CLOSING, "close", bench.close());
        closed.and(kept)
    }

    /// Writes down what was seen so far on the device's network and at its services, beside the frames. None of it is lost
    /// if this process is killed from now on.
    pub(super) fn keep_network(&mut self, dir: &RunDir) -> Result<Vec<KeptFile>, String> {
        let (Some(folder), Ok(network), Ok(services)) =
            (&self.network, self.bench.network(), self.bench.services())
        else {
            return Ok(Vec::new());
        };
        let captured = network.captured();
        let traffic = json!({
            "frames": network.traffic(),
            "capture": &captured,
            "seen": network.flows(),
        });
        let keep = || -> Result<Vec<KeptFile>, EvidenceError> {
            let mut files = Vec::new();
            for (name, content) in [
                ("flows.json", traffic),
                ("services.json", json!(services.records())),
            ] {
                files.push(dir.keep(&folder.join(name), format!("{content:#}\n").as_bytes())?);
            }
            for path in captured.iter().flat_map(|captured| &captured.files) {
                files.push(self.frames.look(dir, path)?);
            }
            Ok(files)
        };
        keep().map_err(|e| explain(&e))
    }

    /// After a case. One that broke off may have left anything in the device: another password, for one.
    pub(super) fn finish(&mut self, planned: &PlannedCase<'_>, has_broken_off: bool) {
        if planned.case.alters_firmware || has_broken_off {
            self.known = Provisioned {
                was_left_anyhow: has_broken_off,
                ..Provisioned::default()
            };
        }
    }

    /// Keeps what the console says from now on in this file, too.
    pub(super) fn begin_log(&self, path: &Path) -> Result<(), String> {
        let console = self.bench.console().ok();
        let begun = console.map_or(Ok(()), |console| console.begin_part(path));
        begun.map_err(|error| explain(&error))
    }

    /// Completes that file.
    pub(super) fn end_log(&self) -> Result<(), String> {
        let console = self.bench.console().ok();
        let ended = console.map_or(Ok(()), Console::end_part);
        ended.map_err(|error| explain(&error))
    }

    /// What is not in that file so far, in words.
    pub(super) fn left_out(&self) -> Option<String> {
        self.bench.console().ok()?.left_out()
    }

    /// Position in what the console said.
    pub(super) fn console_mark(&self) -> u64 {
        self.bench.console().map_or(0, Console::mark)
    }

    /// What the console said since `mark`, or the end of it if that is more than is kept.
    pub(super) fn console_since(&self, mark: u64) -> Vec<u8> {
        const ENOUGH: u64 = 8000;
        let Ok(console) = self.bench.console() else {
            return Vec::new();
        };
        let latest = console.mark().saturating_sub(ENOUGH);
        console.since(mark.max(latest)).unwrap_or_default()
    }
}

/// Why a case can't begin.
#[derive(Debug)]
pub(super) enum SetupError {
    /// The state was not reached. The DUT's fault or not, it is no FAIL of the case.
    Failed {
        /// Whose doing that is: not the DUT's.
        end: End,
        message: String,
    },
    /// The operator stopped the run.
    Interrupted,
}

/// How firmware and sample get into a DUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A debug probe programs it, and the driver personalises it before it starts.
    Probe,
    /// The driver does what there is to do, on the device as it runs.
    Driver,
}

/// Brings a DUT into the state that a case needs.
pub(super) struct Preparation<'a> {
    pub(super) worker: &'a Worker<'a>,
    pub(super) bench: &'a Bench,
    pub(super) session: &'a Arc<Session>,
    pub(super) sink: &'a Sink,
}

/// How long power is off when the DUT is restarted.
const OFF: Duration = Duration::from_millis(200);

/// For programming or a change of state, beside what the target says that it takes. Generous: it
/// only ends what would hang.
const PREPARATION: Duration = Duration::from_mins(5);

impl Preparation<'_> {
    /// Programs, personalises and changes state as far as needed. A device that does not get there,
    /// maybe because the case before broke it, is programmed afresh and tried once more.
    pub(super) fn prepare(
        &self,
        known: &mut Provisioned,
        planned: &PlannedCase<'_>,
    ) -> Result<(), SetupError> {
        let was_fresh = !self.has_what_it_takes(*known, planned);
        match self.attempt(known, planned) {
            Err(SetupError::Failed { message, .. }) if !was_fresh && self.way().is_some() => {
                *known = Provisioned::default();
                self.progress(&format!("setting it up afresh: {message}"));
                self.attempt(known, planned)
            }
            result => result,
        }
    }

    fn attempt(
        &self,
        known: &mut Provisioned,
        planned: &PlannedCase<'_>,
    ) -> Result<(), SetupError> {
        let mut was_off = self.restore_power()?;
        self.wait(self.bench.restore_network())?;
        if !self.has_what_it_takes(*known, planned) {
            was_off |= self.set_up(*known, planned.sample)?;
            *known = Provisioned {
                is_set_up: true,
                sample: planned.sample,
                ..*known
            };
        }
        if was_off {
            self.await_ready()?;
        }
        let was_left_anyhow = std::mem::take(&mut known.was_left_anyhow);
        let is_erased = self.way() == Some(Way::Probe);
        if was_left_anyhow
            && !is_erased
            && planned.case.state == State::Initialized
            && self.driver_has("to_factory_default")
        {
            self.drive("to_factory_default", &[])?;
        }
        match planned.case.state {
            State::FactoryDefault => self.drive("to_factory_default", &[]),
            State::Initialized => self.drive("to_initialized", &[]),
            State::Any => Ok(()),
        }
    }

    fn has_what_it_takes(&self, known: Provisioned, planned: &PlannedCase<'_>) -> bool {
        self.way().is_none() || (known.is_set_up && known.sample == planned.sample)
    }

    /// How this device is set up on this bench; none if it is taken as it stands.
    fn way(&self) -> Option<Way> {
        let images = self.worker.plan.device.image_set();
        let has_images = images.values().any(|image| image.flash);
        let has_probe = self.bench.probe().is_ok();
        let provides = self.driver_has(PROVISION);
        if has_probe && (has_images || !provides) {
            Some(Way::Probe)
        } else if provides || self.driver_has(PERSONALISE) {
            Some(Way::Driver)
        } else {
            None
        }
    }

    /// Brings images and sample about. True if the device was restarted after that, and has to become ready.
    fn set_up(&self, known: Provisioned, sample: Option<Sample>) -> Result<bool, SetupError> {
        match self.way() {
            Some(Way::Probe) => {
                self.program(known)?;
                self.personalise(sample)?;
                self.restart()
            }
            // The driver talks to a device that runs, and nobody knows at what it was left.
            Some(Way::Driver) => {
                if self.restart()? {
                    self.await_ready()?;
                }
                self.provision(sample)?;
                self.personalise(sample)?;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Has the driver install the images of the set.
    fn provision(&self, sample: Option<Sample>) -> Result<(), SetupError> {
        if !self.driver_has(PROVISION) {
            return Ok(());
        }
        let images = self.worker.plan.device.image_set().values();
        let images = images.filter(|image| image.flash);
        let images: Vec<&str> = images.map(|image| image.name.as_str()).collect();
        let sample = sample.unwrap_or(Sample::Engineering);
        self.drive(PROVISION, &[json!(images), json!(sample.as_str())])
    }

    fn await_ready(&self) -> Result<(), SetupError> {
        if self.driver_has("await_ready") {
            self.drive("await_ready", &[])?;
        }
        Ok(())
    }

    /// A case may have left the power off, a cut armed or a button held. True if power was off.
    fn restore_power(&self) -> Result<bool, SetupError> {
        self.wait(async {
            for button in self.bench.actuators() {
                button.release().await?;
            }
            let Ok(power) = self.bench.power() else {
                return Ok(false);
            };
            if power.can_cut_at_write() {
                power.disarm().await?;
            }
            let was_on = power.is_on().await?;
            if !was_on {
                power.on().await?;
            }
            Ok::<_, BenchError>(!was_on)
        })
    }

    /// Brings the images into the DUT. One that may have been left anyhow is erased first, where
    /// that is possible: old updates and settings outlive the programming of other regions.
    fn program(&self, known: Provisioned) -> Result<(), SetupError> {
        let Ok(probe) = self.bench.probe() else {
            return Ok(());
        };
        let firmware = self.worker.plan.device.firmware(None);
        let jobs = FlashJob::of(firmware.map_err(|e| failed(explain(&e)))?);
        if jobs.is_empty() {
            return Ok(());
        }
        self.progress("reading the protection state");
        let protection = self.wait(probe.protection())?;
        let is_erasable = self.worker.plan.device.target.debug_port.is_some();
        if protection == Protection::Locked || (!known.is_set_up && is_erasable) {
            self.progress("erasing");
            self.recorded("recover", Value::Null, || {
                self.wait(probe.recover()).map(|()| Value::Null)
            })?;
        }
        self.flash(probe, &jobs)
    }

    fn flash(&self, probe: &Probe, jobs: &[FlashJob]) -> Result<(), SetupError> {
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        let shown = |progress: FlashProgress| {
            let share = match progress.total {
                Some(total) if total > 0 => format!(" {} %", progress.done * 100 / total),
                _ => String::new(),
            };
            self.progress(&format!("{} {}{share}", progress.phase, names.join(", ")));
        };
        self.recorded("flash", json!({ "images": names }), || {
            let report = self.wait(probe.flash(jobs, shown))?;
            Ok(json!(report))
        })
    }

    fn personalise(&self, sample: Option<Sample>) -> Result<(), SetupError> {
        match sample {
            Some(sample) if self.driver_has(PERSONALISE) => {
                self.progress(&format!("personalising as {sample} sample"));
                self.drive(PERSONALISE, &[json!(sample.as_str())])
            }
            _ => Ok(()),
        }
    }

    /// False if the bench has nothing that restarts the device.
    fn restart(&self) -> Result<bool, SetupError> {
        let (power, probe) = (self.bench.power().ok(), self.bench.probe().ok());
        if power.is_none() && probe.is_none() {
            return Ok(false);
        }
        self.progress("restarting");
        if let Ok(console) = self.bench.console() {
            console.skip();
        }
        self.wait(async {
            match (power, probe) {
                (Some(power), _) => power.cycle(OFF).await.map_err(BenchError::from),
                (None, Some(probe)) => probe.reset().await.map_err(BenchError::from),
                (None, None) => Ok(()),
            }
        })?;
        Ok(true)
    }

    fn driver_has(&self, function: &str) -> bool {
        self.worker.plan.driver.functions().contains(function)
    }

    fn drive(&self, function: &str, arguments: &[Value]) -> Result<(), SetupError> {
        self.progress(function);
        let driven = self.session.call_driver(function, arguments, &self.limit());
        driven.map_err(|failure| match failure.end {
            End::Fault(Fault::Operator) => SetupError::Interrupted,
            end @ End::Fault(Fault::Bench | Fault::Script) => SetupError::Failed {
                end,
                message: failure.to_string(),
            },
            // The DUT's doing, but not what the case is about.
            End::Fault(Fault::Device) | End::Inconclusive | End::Pass => SetupError::Failed {
                end: End::Inconclusive,
                message: format!(
                    "the device was not brought into the state that the case needs: {failure}"
                ),
            },
        })
    }

    fn wait<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, SetupError>
    where
        E: Into<BenchError>,
    {
        let limit = self.limit();
        match self.worker.runtime.block_on(limit.run(work)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(failed(explain(&error.into()))),
            Err(Stopped::Interrupted) => Err(SetupError::Interrupted),
            Err(Stopped::Deadline) => Err(failed(format!(
                "the bench did not finish within {} s",
                PREPARATION.as_secs()
            ))),
        }
    }

    fn limit(&self) -> Limit {
        let timing = self.worker.plan.device.target.timing;
        let time = PREPARATION + timing.boot + timing.reset + timing.update;
        Limit::new(time, self.worker.options.interrupt.token().clone())
    }

    /// Records what the runner does by itself among the steps of the scripts.
    fn recorded(
        &self,
        name: &str,
        arguments: Value,
        act: impl FnOnce() -> Result<Value, SetupError>,
    ) -> Result<(), SetupError> {
        let began = Instant::now();
        let result = act();
        let error = match &result {
            Ok(_) => None,
            Err(SetupError::Failed { message, .. }) => Some(message.clone()),
            Err(SetupError::Interrupted) => Some("interrupted".into()),
        };
        let at = began.saturating_duration_since(self.worker.origin);
        (self.sink)(Step {
            number: 0,
            unit: None,
            name: name.to_owned(),
            arguments,
            error,
            at: at.as_secs_f64(),
            seconds: began.elapsed().as_secs_f64(),
            artefacts: Vec::new(),
            result: result.as_ref().cloned().unwrap_or_default(),
        });
        result.map(|_| ())
    }

    fn progress(&self, text: &str) {
        self.worker.progress(text);
    }
}

/// By the bench.
fn failed(message: String) -> SetupError {
    SetupError::Failed {
        end: End::Fault(Fault::Bench),
        message,
    }
}
