//! One device and its equipment.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    Findings, History, act,
    listen::{Heard, listen},
    rights,
};
use crate::runner::{Lease, lease::LeaseError};
use provebench_bench::{
    BenchError, BenchOptions, CableEnd, Console, Equipment, Extent, Power, Probe, ProbeError,
    SwitchError,
    inventory::{Device, Wiring},
    probe::{ChipIdentity, FlashJob, Protection},
};
use provebench_network::check_port;

/// How long a console is listened to that has no reason to say anything.
const BY_CHANCE: Duration = Duration::from_secs(1);

/// How a device is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is switched, reset or pressed.
    Passive,
    /// It is reset, switched off and on, and its buttons are pressed.
    Active,
}

/// Examines a device: first what needs no touching, then, if nobody else has it, its equipment. `busy` is told what is
/// being done. Once `stop` is cancelled nothing more is begun, and what was switched off is switched on again.
pub async fn examine(
    device: &Device,
    mode: Mode,
    history: &History,
    stop: &CancellationToken,
    busy: &(dyn Fn(&str) + Sync),
) -> Findings {
    let mut findings = Findings::default();
    if let Some(wiring) = device.provider.wiring() {
        equipment(&mut findings, wiring);
    } else if device.provider.cable() == Some(CableEnd::Socket) {
        findings.good("its network comes with it");
    }
    history.tell(&device.name, &mut findings);
    let lease = match Lease::acquire(device, "provebench doctor", None).await {
        Ok(lease) => lease,
        Err(LeaseError::Held { holder, .. }) => {
            findings.note(
                format!("in use by {holder}: its equipment was not touched"),
                "look again when it is free; `provebench devices` shows who has what",
            );
            return findings;
        }
        Err(error) => {
            findings.error(&error);
            return findings;
        }
    };
    busy("opening its equipment");
    let options = BenchOptions {
        claim: Some(Arc::new(lease)),
        ..BenchOptions::default()
    };
    let extent = match mode {
        Mode::Passive => Extent::Untouched,
        Mode::Active => Extent::Powered,
    };
    match Equipment::open(device, &options, extent).await {
        Ok(parts) => {
            if device.provider.wiring().is_none() && !parts.provided.ends_with_lease {
                equipment(&mut findings, &parts.provided.wiring);
            }
            let mut examination = Examination {
                device,
                mode,
                parts: &parts,
                stop,
                busy,
                findings: &mut findings,
            };
            examination.all().await;
            busy("closing its equipment");
            parts.close().await;
        }
        Err(error) => findings.error(&error),
    }
    findings
}

/// What shows of it without touching it.
fn equipment(findings: &mut Findings, wiring: &Wiring) {
    rights::look(findings, &rights::root(), wiring);
    let port = wiring.network.as_ref();
    match port.map(|port| (port, check_port(port))) {
        None => findings.good("it has no network (devices.toml)"),
        Some((port, Ok(()))) => findings.good(format!("it can have {port}")),
        Some((_, Err(error))) => findings.error(&error),
    }
}

/// What is known in the middle of it.
pub(super) struct Examination<'e> {
    pub(super) device: &'e Device,
    pub(super) mode: Mode,
    parts: &'e Equipment,
    pub(super) stop: &'e CancellationToken,
    pub(super) busy: &'e (dyn Fn(&str) + Sync),
    pub(super) findings: &'e mut Findings,
}

impl<'e> Examination<'e> {
    async fn all(&mut self) {
        let power = self.usable(self.parts.power.as_ref());
        let open = self
            .parts
            .console
            .as_ref()
            .and_then(|part| part.as_ref().ok());
        let mark = open.map_or(0, Console::mark);
        let (is_on, was_switched_on) = self.power(power).await;
        if !is_on || self.stop.is_cancelled() {
            return;
        }
        let (probe, console) = (
            self.usable(self.parts.probe.as_ref()),
            self.usable(self.parts.console.as_ref()),
        );
        let chip = match probe {
            Some(probe) => self.probe(probe).await,
            None => None,
        };
        if self.mode == Mode::Active {
            act::on(self, probe, console, power, chip.as_ref()).await;
            for (name, button) in &self.parts.actuators {
                if self.stop.is_cancelled() {
                    return;
                }
                match button {
                    Ok(button) => act::press(self, name, button, console).await,
                    Err(error) => self.findings.error(error),
                }
            }
        } else {
            if let Some(console) = console {
                let wait = if was_switched_on {
                    self.boot()
                } else {
                    BY_CHANCE
                };
                self.console(console, mark, wait, was_switched_on, probe)
                    .await;
            }
            self.held_buttons().await;
        }
    }

    /// What can be used of the equipment; what can't is told.
    fn usable<T>(&mut self, part: Option<&'e Result<T, BenchError>>) -> Option<&'e T> {
        match part {
            Some(Ok(part)) => Some(part),
            Some(Err(error)) => {
                self.findings.error(error);
                None
            }
            None => None,
        }
    }

    /// From power-on until it serves; slow benches and boards that check their memory get more.
    pub(super) fn boot(&self) -> Duration {
        self.device.target.timing.boot.max(Duration::from_secs(5))
    }

    /// Whether it has power, and whether that is our doing.
    async fn power(&mut self, power: Option<&Power>) -> (bool, bool) {
        let Some(power) = power else {
            return (true, false);
        };
        (self.busy)("asking its power switch");
        let is_ours = self.parts.provided.ends_with_lease;
        let state = power.is_on().await;
        match state {
            Ok(true) => {
                self.findings.good("the power switch answers: on");
                (true, false)
            }
            // It is nobody else's, and on only while it is used.
            Ok(false) if is_ours || self.mode == Mode::Active => {
                let what = "the power switch answers: off, and now on";
                self.switch_on(power, what).await
            }
            Err(SwitchError::Unknown { .. }) if self.mode == Mode::Active => {
                let what = "the power switch does not tell its state, and was switched on";
                self.switch_on(power, what).await
            }
            Err(SwitchError::Unknown { .. }) => {
                self.findings.note(
                    "the power switch does not tell its state",
                    "it is taken for on; `provebench doctor --exercise` switches it",
                );
                (true, false)
            }
            Ok(false) => {
                self.findings.note(
                    "it is switched off: neither probe nor console can be looked at",
                    format!(
                        "`provebench power {} on`, or `provebench doctor --exercise`, which switches",
                        self.device.name
                    ),
                );
                (false, false)
            }
            Err(error) => {
                self.findings.error(&error);
                // It may have power all the same.
                (true, false)
            }
        }
    }

    /// Whether it has power now, and whether that is our doing.
    async fn switch_on(&mut self, power: &Power, what: &str) -> (bool, bool) {
        let outcome = power.on().await;
        match &outcome {
            Ok(()) => self.findings.good(what),
            Err(error) => self.findings.error(error),
        }
        (outcome.is_ok(), outcome.is_ok())
    }

    async fn probe(&mut self, probe: &Probe) -> Option<ChipIdentity> {
        (self.busy)("asking the chip who it is");
        let selector = probe.selector();
        match probe.check_identity().await {
            Ok(identity) => {
                let chip = self.device.target.chip.as_deref().unwrap_or_default();
                self.findings.good(format!(
                    "debug probe {selector} answers, and is wired to {chip}: {identity}"
                ));
                if !identity.is_told_apart {
                    self.findings.note(
                        format!("nothing tells {chip} from other chips with that core"),
                        "name a register that does in [[identity]] of target.toml: then no other is programmed",
                    );
                }
                Some(identity)
            }
            Err(ProbeError::Locked { .. }) => {
                self.findings.good(format!(
                    "debug probe {selector} answers; the chip's debug port is locked, so that it can't be asked who it is"
                ));
                None
            }
            Err(error) => {
                self.findings.error(&error);
                None
            }
        }
    }

    /// What the console says, after something that makes a board say something or by chance.
    pub(super) async fn console(
        &mut self,
        console: &Console,
        mark: u64,
        wait: Duration,
        is_due: bool,
        probe: Option<&Probe>,
    ) -> bool {
        (self.busy)("listening to its console");
        let heard = match listen(console, mark, wait).await {
            Ok(heard) => heard,
            Err(error) => {
                self.findings.error(&error);
                return false;
            }
        };
        match heard {
            Heard::Text(line) => {
                self.findings.good(format!("the console says \"{line}\""));
                true
            }
            Heard::Garbled { bad, all } => {
                self.garbled(bad, all);
                false
            }
            Heard::Nothing if !is_due => {
                self.findings.good(
                    "the console can be opened, and is silent; `provebench doctor --exercise` resets the board to hear it",
                );
                false
            }
            Heard::Nothing => {
                self.silent(wait, probe).await;
                false
            }
        }
    }

    fn garbled(&mut self, bad: usize, all: usize) {
        let console = self.parts.provided.wiring.console.as_ref();
        let baud = console.map_or(self.device.target.console.baud, |console| console.baud);
        self.findings.wrong(
            format!(
                "the console says mostly nonsense at {baud} Bd: {bad} of {all} bytes are no text"
            ),
            "is `baud` (console in devices.toml, [console] in target.toml) that of the board, and is ground connected?",
        );
    }

    async fn silent(&mut self, waited: Duration, probe: Option<&Probe>) {
        let what = format!(
            "the console says nothing within {} s after the board was started",
            waited.as_secs()
        );
        (self.busy)("comparing what it is programmed with");
        let programmed = match probe {
            Some(probe) => self.is_programmed(probe).await,
            None => None,
        };
        match programmed {
            Some(false) => self.findings.note(
                format!("{what}; its images are not in it"),
                format!(
                    "`provebench flash {}` programs it, as the next run does; then look again",
                    self.device.name
                ),
            ),
            Some(true) | None => self.findings.wrong(
                what,
                "are the board's TX and the adapter's RX connected, and ground; is it the right port, and its `baud`; is the \
                 board programmed?",
            ),
        }
    }

    /// Whether the images that the next run would bring into it are in it; `None` if that can't be told.
    async fn is_programmed(&self, probe: &Probe) -> Option<bool> {
        if probe.protection().await.ok()? == Protection::Locked {
            return None;
        }
        let jobs = FlashJob::of(self.device.firmware(None).ok()?);
        if jobs.is_empty() {
            return None;
        }
        probe.verify(&jobs).await.ok()
    }

    /// That each button's switch answers, and holds nothing.
    async fn held_buttons(&mut self) {
        for (name, button) in &self.parts.actuators {
            (self.busy)(&format!("asking what holds button {name}"));
            let held = match button {
                Ok(button) => button.is_held().await.map_err(BenchError::from),
                Err(error) => {
                    self.findings.error(error);
                    continue;
                }
            };
            match held {
                Ok(false) => self.findings.good(format!("what holds button {name} answers: not held")),
                Ok(true) => self.findings.wrong(
                    format!("button {name} is held"),
                    "a run that was killed, or somebody by hand, left it so; a run lets it go, and so does \
                     `provebench doctor --exercise`",
                ),
                Err(error) => self.unknown(&format!("what holds button {name}"), &error),
            }
        }
    }

    /// What does not tell its state is used as it is.
    fn unknown(&mut self, what: &str, error: &BenchError) {
        if matches!(error, BenchError::Switch(SwitchError::Unknown { .. })) {
            self.findings
                .note(format!("{what} does not tell its state"), "");
        } else {
            self.findings.error(error);
        }
    }
}
