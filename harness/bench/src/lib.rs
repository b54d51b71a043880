//! What touches the DUT: probe, console, power, actuators, network.
//!
//! A [`Bench`] is everything wired to one DUT. Nothing here decides on verdicts; [`Bench::health`] tells whether the
//! bench itself is sound, so that its faults are not taken for the DUT's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use switch::{Switch as _, Tasmota};
use tokio::sync::Mutex;
use virtual_board::BoardProcess;

pub mod actuator;
mod capability;
pub mod confine;
pub mod console;
mod error;
pub mod inventory;
mod parts;
pub mod power;
pub mod probe;
mod starvation;
mod switch;
pub mod usb;
mod virtual_board;

pub use actuator::Actuator;
pub use capability::{Capability, UnknownCapability};
pub use console::{Console, ConsoleError, ConsoleSetup};
pub use error::BenchError;
pub use parts::{Parts, power_console};
pub use power::Power;
pub use probe::{Probe, ProbeError, ProbeSetup};
pub use switch::{CutState, SwitchError};
pub use virtual_board::{VirtualBoardError, memory_of};

use provebench_network::{
    self as network, Cable, CaptureConfig, Network, NetworkConfig,
    losses::{Loss, Losses},
    services::{ServiceError, Services, ServicesConfig, TestCa},
};

use crate::inventory::{Attachment, Device, LogLimit, TargetNetwork, Wiring};

/// How long a sound probe takes at most to say so.
const HEALTH_LIMIT: Duration = Duration::from_secs(10);

/// Where the bench writes down what it sees.
#[derive(Debug, Clone)]
pub struct BenchLogs {
    /// The console's log.
    pub console: PathBuf,
    /// How large it may become.
    pub limit: LogLimit,
    /// What its times count from.
    pub origin: Instant,
    /// Folder for captures of the DUT's network. Without one, the DUT is not put on a network.
    pub network: Option<PathBuf>,
}

impl BenchLogs {
    /// For when nobody wants a log.
    pub fn nowhere() -> Self {
        Self {
            console: "/dev/null".into(),
            limit: LogLimit::default(),
            origin: Instant::now(),
            network: None,
        }
    }
}

/// Everything wired to one DUT.
///
/// Call [`close`](Self::close) at the end: it leaves the DUT running and stops what was started for it.
#[derive(Debug)]
pub struct Bench {
    device: String,
    probe: Option<Probe>,
    console: Option<Console>,
    power: Option<Power>,
    actuators: BTreeMap<String, Actuator>,
    /// Where the harness had to start the board itself.
    board: Option<Mutex<BoardProcess>>,
    /// Dropped before the network that they listen on.
    services: Option<Services>,
    network: Option<Network>,
    /// Where the DUT can be made to see that its cable is pulled.
    carrier: Option<Tasmota>,
}

impl Bench {
    /// Opens the console, then switches the DUT on: no output is missed. The probe is opened when it is first used.
    ///
    /// # Errors
    /// What is configured for the device but can't be used.
    pub async fn open(device: &Device, logs: &BenchLogs) -> Result<Self, BenchError> {
        if let (Some(dir), Some(expected)) = (&logs.network, &device.target.network)
            && let Some(cable) = cable_of(device)
        {
            return Self::open_with_services(device, logs, dir, expected, cable).await;
        }
        match &device.attachment {
            Attachment::Real(wiring) => Self::wire(device, wiring, logs, None).await,
            Attachment::Virtual(config) => {
                let (board, wiring) =
                    BoardProcess::start(&device.name, config, device.target.console.baud, None)
                        .await?;
                Self::wire(device, &wiring, logs, Some(board)).await
            }
        }
    }

    /// As [`open`](Self::open), with the DUT on the cable of a network of its own, which is up before the DUT has power.
    ///
    /// # Errors
    /// [`BenchError::Network`], or what is configured for the device but can't be used. Only virtual boards can be put
    /// on a cable that is not an interface of this machine.
    pub async fn open_on_network(
        device: &Device,
        logs: &BenchLogs,
        config: NetworkConfig,
    ) -> Result<Self, BenchError> {
        Self::open_on(device, logs, Network::start(config).await?).await
    }

    async fn open_on(
        device: &Device,
        logs: &BenchLogs,
        network: Network,
    ) -> Result<Self, BenchError> {
        let board = match &device.attachment {
            Attachment::Virtual(board) => board,
            Attachment::Real(wiring) if wiring.network.is_some() => {
                let mut bench = Self::wire(device, wiring, logs, None).await?;
                bench.network = Some(network);
                return Ok(bench);
            }
            Attachment::Real(_) => {
                return Err(BenchError::missing(&device.name, "network", "net"));
            }
        };
        let cable = network.cable_for_dut()?;
        let baud = device.target.console.baud;
        let (board, wiring) = BoardProcess::start(&device.name, board, baud, Some(cable)).await?;
        let carrier = board.carrier()?;
        let mut bench = Self::wire(device, &wiring, logs, Some(board)).await?;
        bench.network = Some(network);
        bench.carrier = Some(carrier);
        Ok(bench)
    }

    /// On a network with all services, which run before the DUT has power.
    async fn open_with_services(
        device: &Device,
        logs: &BenchLogs,
        dir: &Path,
        expected: &TargetNetwork,
        cable: Cable,
    ) -> Result<Self, BenchError> {
        let config = NetworkConfig {
            origin: logs.origin,
            capture: Some(CaptureConfig::new(dir)),
            addressing: expected.addressing,
            cable,
            ..NetworkConfig::new(&device.name)
        };
        let network = Network::start(config).await?;
        let ca = TestCa::new().map_err(ServiceError::from)?;
        let config =
            ServicesConfig::at_gateway(ca, logs.origin, &network.gateway(), &expected.services);
        let services = Services::start(network.handle(), config).await?;
        let mut bench = Self::open_on(device, logs, network).await?;
        bench.services = Some(services);
        Ok(bench)
    }

    async fn wire(
        device: &Device,
        wiring: &Wiring,
        logs: &BenchLogs,
        board: Option<BoardProcess>,
    ) -> Result<Self, BenchError> {
        parts::power_console(device, wiring).await?;
        let parts = Parts::of(device, wiring, logs).await;
        let (probe, console) = (parts.probe.transpose()?, parts.console.transpose()?);
        let power = parts.power.transpose()?;
        let mut actuators = BTreeMap::new();
        for (name, actuator) in parts.actuators {
            actuators.insert(name, actuator?);
        }
        if let Some(power) = &power {
            power.on().await?;
        }
        Ok(Self {
            device: device.name.clone(),
            probe,
            console,
            power,
            actuators,
            board: board.map(Mutex::new),
            services: None,
            network: None,
            carrier: None,
        })
    }

    /// What this bench can do, in the words of a test case's `needs`.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let can = |ability: fn(&Power) -> bool| self.power.as_ref().is_some_and(ability);
        let single = [
            (self.probe.is_some(), Capability::Probe),
            (self.console.is_some(), Capability::Console),
            (self.power.is_some(), Capability::Power),
            (can(Power::can_cut_at_write), Capability::PowerCutAtWrite),
            (can(Power::can_measure), Capability::PowerCurrent),
            (self.network.is_some(), Capability::Net),
            (self.services.is_some(), Capability::Services),
        ];
        let single = single
            .into_iter()
            .filter_map(|(has, capability)| has.then_some(capability));
        let buttons = self.actuators.keys().cloned().map(Capability::Press);
        single.chain(buttons).collect()
    }

    /// What holds the buttons.
    pub fn actuators(&self) -> impl Iterator<Item = &Actuator> {
        self.actuators.values()
    }

    /// The debug probe.
    ///
    /// # Errors
    /// [`BenchError::Missing`].
    pub fn probe(&self) -> Result<&Probe, BenchError> {
        self.probe
            .as_ref()
            .ok_or_else(|| self.missing("debug probe", "probe"))
    }

    /// The serial console.
    ///
    /// # Errors
    /// [`BenchError::Missing`].
    pub fn console(&self) -> Result<&Console, BenchError> {
        self.console
            .as_ref()
            .ok_or_else(|| self.missing("console", "console"))
    }

    /// The power switch.
    ///
    /// # Errors
    /// [`BenchError::Missing`].
    pub fn power(&self) -> Result<&Power, BenchError> {
        self.power
            .as_ref()
            .ok_or_else(|| self.missing("power switch", "power"))
    }

    /// The DUT's network.
    ///
    /// # Errors
    /// [`BenchError::Missing`].
    pub fn network(&self) -> Result<&Network, BenchError> {
        self.network
            .as_ref()
            .ok_or_else(|| self.missing("network", "net"))
    }

    /// The services around the DUT.
    ///
    /// # Errors
    /// [`BenchError::Missing`].
    pub fn services(&self) -> Result<&Services, BenchError> {
        self.services
            .as_ref()
            .ok_or_else(|| self.missing("services", "services"))
    }

    /// Plugs the network cable in or pulls it. No frame passes once it is pulled, and the DUT sees no carrier; for
    /// interfaces of this machine see [`Network::set_carrier`].
    ///
    /// # Errors
    /// [`BenchError::Missing`] without a network; [`BenchError::Switch`] or [`BenchError::Network`] when the carrier
    /// can't be switched.
    pub async fn set_link(&self, up: bool) -> Result<(), BenchError> {
        let network = self.network()?;
        network.link(up);
        network.set_carrier(up).await?;
        if let Some(carrier) = &self.carrier {
            carrier.set(up).await?;
        }
        Ok(())
    }

    /// Puts network and services back as they were at the start: cable plugged in, frames treated well, every service
    /// answering rightly.
    ///
    /// # Errors
    /// The first thing that could not be put back.
    pub async fn restore_network(&self) -> Result<(), BenchError> {
        let (Some(network), Some(services)) = (&self.network, &self.services) else {
            return Ok(());
        };
        if !network.is_link_up() {
            self.set_link(true).await?;
        }
        network.impair(network::Impairment::default())?;
        network.watch_for(&[]);
        Ok(services.restore().await?)
    }

    /// What holds the button of that name.
    ///
    /// # Errors
    /// [`BenchError::Missing`].
    pub fn actuator(&self, name: &str) -> Result<&Actuator, BenchError> {
        self.actuators
            .get(name)
            .ok_or_else(|| self.missing(&format!("actuator `{name}`"), &format!("press.{name}")))
    }

    /// Whether the bench is sound, and the DUT can answer: power on, console open, debug port answering.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn health(&self) -> Result<(), BenchError> {
        self.world_since(Instant::now()).await?;
        self.lets_answer(true).await
    }

    /// Whether the bench was sound since then, so that a DUT that did not do its part has itself to blame. All of it is
    /// asked, whatever was used. What a script does is no fault: power that it switched off, and what goes away with
    /// it. Nor need the chip's debug port answer, which a product may lock. Gives what else is to be known, in words.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn sound_since(&self, since: Instant) -> Result<Option<String>, BenchError> {
        self.world_since(since).await?;
        let remark = self.heard_since(since)?;
        if self.is_powered_as_left().await?
            && let Some(probe) = &self.probe
        {
            probe.presence(HEALTH_LIMIT).await?;
        }
        Ok(remark)
    }

    /// Whether the console, if there is one, was open since then. Gives what else is to be known, in words.
    ///
    /// # Errors
    /// [`BenchError::Console`].
    pub fn heard_since(&self, since: Instant) -> Result<Option<String>, BenchError> {
        match &self.console {
            Some(console) => Ok(console.was_open_since(since)?),
            None => Ok(None),
        }
    }

    /// Whether the DUT has power, once that is known to be as it was left by the harness; true where nothing switches it.
    ///
    /// # Errors
    /// [`BenchError::Switch`].
    pub async fn is_powered_as_left(&self) -> Result<bool, BenchError> {
        match &self.power {
            Some(power) => Ok(power.is_on_as_left().await?),
            None => Ok(true),
        }
    }

    /// Whether a DUT that is asked could answer: power on, console open, and, where that `can_be_asked`, debug port
    /// answering, locked or not.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn lets_answer(&self, can_be_asked: bool) -> Result<(), BenchError> {
        if let Some(power) = &self.power
            && !power.is_on().await?
        {
            return Err(BenchError::PoweredOff {
                device: self.device.clone(),
            });
        }
        if let Some(console) = &self.console {
            console.health()?;
        }
        if let (true, Some(probe)) = (can_be_asked, &self.probe) {
            probe.health(HEALTH_LIMIT).await?;
        }
        Ok(())
    }

    /// Whether the virtual board, the DUT's network and the services on it were sound since then, without a word to other
    /// equipment.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn world_since(&self, since: Instant) -> Result<(), BenchError> {
        if let Some(board) = &self.board {
            board.lock().await.health()?;
        }
        if let Some(network) = &self.network {
            network.sound_since(since).await?;
        }
        if let Some(services) = &self.services {
            services.health().await?;
        }
        Ok(())
    }

    /// Begins a time in which all is to be sound: what was before is forgotten.
    pub async fn begin(&self) {
        if let Some(board) = &self.board {
            let mut board = board.lock().await;
            // It tells once that it was stopped; that it is dead it tells again.
            let _ = board.health();
            board.begin();
        }
    }

    /// How long a virtual board waited for a processor of this machine since [`begin`](Self::begin), and how long it ran,
    /// if it got less than half of what it asked for.
    pub async fn starved(&self) -> Option<(Duration, Duration)> {
        match &self.board {
            Some(board) => board.lock().await.starved(),
            None => None,
        }
    }

    /// All that was not seen of what the DUT did over the network, or not kept, so far.
    pub fn losses(&self) -> Losses {
        let network = self.network.as_ref().map(Network::losses);
        let mut losses = network.unwrap_or_default();
        for totals in self
            .services
            .iter()
            .flat_map(|all| all.totals().into_values())
        {
            losses.add(Loss::RecordsDropped, totals.dropped);
        }
        losses
    }

    /// Completes the logs of a bench that can't be closed: what is written into them later would not be what was hashed.
    pub fn end_logs(&self) {
        if let Some(console) = &self.console {
            console.end_log();
        }
    }

    /// Leaves the DUT powered and running, with no button held, and stops what was started for it.
    ///
    /// # Errors
    /// The first thing that could not be left in order; all else is closed nevertheless.
    pub async fn close(self) -> Result<(), BenchError> {
        let mut result = Ok(());
        let mut keep = |outcome: Result<(), BenchError>| {
            if result.is_ok() {
                result = outcome;
            }
        };
        if let Some(power) = &self.power
            && power.can_cut_at_write()
        {
            keep(power.disarm().await.map_err(Into::into));
        }
        for actuator in self.actuators.values() {
            keep(actuator.release().await.map_err(Into::into));
        }
        if let Some(power) = &self.power {
            keep(power.on().await.map_err(Into::into));
        }
        if let Some(probe) = self.probe {
            keep(probe.detach().await.map_err(Into::into));
        }
        if let Some(console) = self.console {
            console.close().await;
        }
        if let Some(board) = self.board {
            board.into_inner().stop().await;
        }
        drop(self.services);
        if let Some(network) = self.network {
            keep(network.close().await.map_err(Into::into));
        }
        result
    }

    fn missing(&self, what: &str, capability: &str) -> BenchError {
        BenchError::missing(&self.device, what, capability)
    }
}

/// Where the DUT's network is, as far as this process may have one; the plan says what can't be run without.
fn cable_of(device: &Device) -> Option<Cable> {
    if !network::is_allowed() {
        return None;
    }
    match &device.attachment {
        Attachment::Virtual(_) => Some(Cable::New),
        Attachment::Real(wiring) if network::may_take_interfaces() => {
            wiring.network.clone().map(Cable::Port)
        }
        Attachment::Real(_) => None,
    }
}
