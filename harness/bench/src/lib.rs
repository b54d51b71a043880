//! What touches the DUT: probe, console, power, actuators, network.
//!
//! A [`Bench`] is everything wired to one DUT. Nothing here decides on verdicts; [`Bench::health`] tells whether the
//! bench itself is sound, so that its faults are not taken for the DUT's.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

pub mod actuator;
mod capability;
pub mod confine;
pub mod console;
mod equipment;
mod error;
pub mod inventory;
pub mod power;
pub mod probe;
mod provider;
mod switch;
pub mod usb;

pub use actuator::Actuator;
pub use capability::{Capability, UnknownCapability};
pub use console::{Console, ConsoleError, ConsoleSetup};
pub use equipment::{Equipment, Extent};
pub use error::BenchError;
pub use power::Power;
pub use probe::{Probe, ProbeError, ProbeSetup};
pub use provider::{
    CableEnd, Claim, LeasedBy, Program, Provided, Provider, ProviderError, Providing, Request,
};
pub use switch::{CutState, SwitchError};

use provebench_network::{
    self as network, Cable, CaptureConfig, Network, NetworkConfig,
    losses::{Loss, Losses},
    services::{ServiceError, Services, ServicesConfig, TestCa},
};

use crate::inventory::{Device, LogLimit};
use provider::Process;
use switch::Switch;

/// How long a sound probe takes at most to say so.
const HEALTH_LIMIT: Duration = Duration::from_secs(10);

/// Where the bench writes down what it hears on the console.
#[derive(Debug, Clone)]
pub struct BenchLogs {
    /// The console's log.
    pub console: PathBuf,
    /// How large it may become.
    pub limit: LogLimit,
    /// What times in all logs count from.
    pub origin: Instant,
}

/// For when nobody wants a log.
impl Default for BenchLogs {
    fn default() -> Self {
        Self {
            console: "/dev/null".into(),
            limit: LogLimit::default(),
            origin: Instant::now(),
        }
    }
}

/// How a bench is opened. By default, without the DUT's network, and nothing is kept.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// What is kept.
    pub logs: BenchLogs,
    /// Puts the DUT on a network with all services, where its target expects one and this process may have one.
    pub network: Option<NetworkOptions>,
    /// Keeps others from equipment that is known only once it was provided.
    pub claim: Option<Arc<dyn Claim>>,
}

/// How the DUT's network is to be.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Folder for captures of its frames; none are kept without.
    pub captures: Option<PathBuf>,
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
    /// Where a program provides the equipment.
    process: Option<Mutex<Process>>,
    /// Dropped before the network that they listen on.
    services: Option<Services>,
    network: Option<Network>,
    /// Where the DUT can be made to see that its cable is pulled.
    carrier: Option<Arc<dyn Switch>>,
}

impl Bench {
    /// Has the equipment provided, opens the console, then switches the DUT on: no output is missed. Its network is up
    /// before it has power. The probe is opened when it is first used.
    ///
    /// # Errors
    /// What is configured for the device but can't be used.
    pub async fn open(device: &Device, options: &BenchOptions) -> Result<Self, BenchError> {
        let end = cable_end(device).filter(|_| options.network.is_some());
        let mut world = match end {
            Some(CableEnd::Socket) => Some(World::start(device, options, Cable::New).await?),
            Some(CableEnd::Interface) | None => None,
        };
        let cable = world.as_ref().map(|world| world.network.cable_for_dut());
        let provided = provide(device, options, cable.transpose()?).await?;
        let port = provided.wiring.network.clone();
        if let (Some(CableEnd::Interface), Some(port)) = (end, port) {
            match World::start(device, options, Cable::Port(port)).await {
                Ok(started) => world = Some(started),
                Err(error) => {
                    provided.end().await;
                    return Err(error);
                }
            }
        }
        let parts = Equipment::of(device, provided, &options.logs, Extent::Powered).await;
        Self::wire(device, parts, world).await
    }

    /// A bench of nothing: all that is asked of it is missing.
    fn empty(device: &Device) -> Self {
        Self {
            device: device.name.clone(),
            probe: None,
            console: None,
            power: None,
            actuators: BTreeMap::new(),
            process: None,
            services: None,
            network: None,
            carrier: None,
        }
    }

    async fn wire(
        device: &Device,
        parts: Equipment,
        world: Option<World>,
    ) -> Result<Self, BenchError> {
        let process = parts.provided.process.map(Mutex::new);
        let mut bench = Self {
            process,
            ..Self::empty(device)
        };
        if let Some(World { services, network }) = world {
            bench.services = Some(services);
            bench.network = Some(network);
        }
        let opened = async {
            bench.probe = parts.probe.transpose()?;
            bench.console = parts.console.transpose()?;
            bench.power = parts.power.transpose()?;
            bench.carrier = parts.carrier.transpose()?;
            for (name, actuator) in parts.actuators {
                bench.actuators.insert(name, actuator?);
            }
            if let Some(power) = &bench.power {
                power.on().await?;
            }
            Ok(())
        };
        match opened.await {
            Ok(()) => Ok(bench),
            Err(error) => {
                if let Some(process) = bench.process {
                    process.into_inner().end().await;
                }
                Err(error)
            }
        }
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
        self.network_health_since(Instant::now()).await?;
        self.lets_answer(true).await
    }

    /// Whether the bench was sound since then, so that a DUT that did not do its part has itself to blame. All of it is
    /// asked, whatever was used. What a script does is no fault: power that it switched off, and what goes away with
    /// it. Nor need the chip's debug port answer, which a product may lock. Gives what else is to be known, in words.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn sound_since(&self, since: Instant) -> Result<Option<String>, BenchError> {
        self.network_health_since(since).await?;
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

    /// Whether what provides the equipment, the DUT's network and the services on it were sound since then, without a word
    /// to other equipment.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn network_health_since(&self, since: Instant) -> Result<(), BenchError> {
        if let Some(process) = &self.process {
            process.lock().await.health()?;
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
        if let Some(process) = &self.process {
            let mut process = process.lock().await;
            // It tells once that it was stopped; that it is dead it tells again.
            let _ = process.health();
            process.begin();
        }
    }

    /// How long the program that provides the DUT waited for a processor of this machine since [`begin`](Self::begin), and
    /// how long it ran, if it got less than half of what it asked for.
    pub async fn starved(&self) -> Option<(Duration, Duration)> {
        match &self.process {
            Some(process) => process.lock().await.starved(),
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
        if let Some(process) = self.process {
            process.into_inner().end().await;
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

/// The DUT's network, and the services on it.
struct World {
    services: Services,
    network: Network,
}

impl World {
    async fn start(
        device: &Device,
        options: &BenchOptions,
        cable: Cable,
    ) -> Result<Self, BenchError> {
        let origin = options.logs.origin;
        let captures = options.network.as_ref().and_then(|n| n.captures.as_ref());
        let expected = device.target.network.as_ref();
        let expected =
            expected.ok_or_else(|| BenchError::missing(&device.name, "network", "net"))?;
        let config = NetworkConfig {
            origin,
            capture: captures.map(CaptureConfig::new),
            addressing: expected.addressing,
            cable,
            ..NetworkConfig::new(&device.name)
        };
        let network = Network::start(config).await?;
        let ca = TestCa::new().map_err(ServiceError::from)?;
        let config = ServicesConfig::at_gateway(ca, origin, &network.gateway(), &expected.services);
        let services = Services::start(network.handle(), config).await?;
        Ok(Self { services, network })
    }
}

/// Has the equipment provided, for nobody else to use.
async fn provide(
    device: &Device,
    options: &BenchOptions,
    cable: Option<OwnedFd>,
) -> Result<Provided, BenchError> {
    let request = Request {
        device: &device.name,
        baud: device.target.console.baud,
        has_network: device.target.network.is_some(),
        cable,
    };
    let provided = device.provider.provide(request).await?;
    if let (Some(claim), false) = (&options.claim, provided.ends_with_lease)
        && let Err(reason) = claim.claim(&provided.wiring)
    {
        provided.end().await;
        return Err(BenchError::InUse {
            device: device.name.clone(),
            reason,
        });
    }
    Ok(provided)
}

/// Where the DUT's cable ends, if its target expects a network and this process may have one there; the plan says what
/// can't be run without.
fn cable_end(device: &Device) -> Option<CableEnd> {
    device.target.network.as_ref()?;
    device.provider.cable().filter(|end| may_have_network(*end))
}

/// Whether this process may have a network whose cable ends there.
pub fn may_have_network(end: CableEnd) -> bool {
    network::is_allowed() && (end == CableEnd::Socket || network::may_take_interfaces())
}
