//! The equipment of a device, each piece by itself: what is broken does not hide what works.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Actuator, BenchError, BenchLogs, BenchOptions, Console, ConsoleSetup, Power, Probe, ProbeSetup,
    Provided, SwitchError, provide,
    switch::{self, Switch},
};
use crate::inventory::{ConsolePort, Device, SwitchConfig, Wiring};

/// The equipment of a device, opened as far as that is possible. Nothing is switched.
///
/// What is `None` is not there; what is an error is there, and can't be used.
#[derive(Debug)]
pub struct Equipment {
    /// Debug probe. It is opened when it is first used.
    pub probe: Option<Result<Probe, BenchError>>,
    /// Console, open.
    pub console: Option<Result<Console, BenchError>>,
    /// Power switch.
    pub power: Option<Result<Power, BenchError>>,
    /// What works the buttons, by name.
    pub actuators: BTreeMap<String, Result<Actuator, BenchError>>,
    /// What takes the carrier from its network cable.
    pub(super) carrier: Option<Result<Arc<dyn Switch>, BenchError>>,
    /// Where all of it comes from.
    pub provided: Provided,
}

/// What is opened of a device's equipment, and what may be done to it for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Its power switch. Nothing is switched.
    Power,
    /// All of it. Nothing is switched.
    Untouched,
    /// All of it. For a console inside the DUT, which is a serial port only while the DUT has power, power is switched on
    /// where there is none, and the port waited for.
    Powered,
}

/// How often it is looked whether a port has come: no event tells.
const LOOK: Duration = Duration::from_millis(50);
/// A port of a board that has started is there after this time, or never.
const ENUMERATION: Duration = Duration::from_secs(5);

impl Equipment {
    /// Opens what there is, once it is provided; without the DUT's network.
    ///
    /// # Errors
    /// [`BenchError::Provider`] and [`BenchError::InUse`] if it can't be had.
    pub async fn open(
        device: &Device,
        options: &BenchOptions,
        extent: Extent,
    ) -> Result<Self, BenchError> {
        let provided = provide(device, options, None).await?;
        Ok(Self::of(device, provided, &options.logs, extent).await)
    }

    /// The pieces of equipment that was provided.
    pub(super) async fn of(
        device: &Device,
        provided: Provided,
        logs: &BenchLogs,
        extent: Extent,
    ) -> Self {
        let Wiring {
            probe,
            console,
            power,
            carrier,
            actuators,
            network: _,
        } = &provided.wiring;
        let all = extent != Extent::Power;
        let drives_reset = actuators.values().any(SwitchConfig::is_probe);
        let probe = probe.as_ref().filter(|_| all).map(|config| {
            let mut setup = ProbeSetup::new(config.clone(), &device.target);
            setup.drives_reset = drives_reset;
            Probe::new(setup).map_err(BenchError::from)
        });
        let working: Option<&Probe> = probe.as_ref().and_then(|probe| probe.as_ref().ok());
        let switch = |config: &SwitchConfig| Ok::<_, BenchError>(switch::open(config, working)?);
        let mut power = power.as_ref().map(|config| {
            let epoch = working.map(Probe::power_epoch).unwrap_or_default();
            // A debug probe switches no power.
            let switch = switch::open(config, None)?;
            Ok::<_, BenchError>(Power::new(switch, &device.name, epoch))
        });
        if let (Extent::Powered, Some(console), Some(Ok(usable))) = (extent, console, &power)
            && let Err(error) = power_port(usable, &console.port, device).await
        {
            power = Some(Err(error.into()));
        }
        let usable = power.as_ref().and_then(|power| power.as_ref().ok());
        let console = match console.as_ref().filter(|_| all) {
            Some(config) => {
                let setup = ConsoleSetup {
                    port: config.port.clone(),
                    baud: config.baud,
                    probe: working.cloned(),
                    log: logs.console.clone(),
                    limit: logs.limit,
                    origin: logs.origin,
                    title: format!("console of {}", device.name),
                    power: usable.map(Power::left).unwrap_or_default(),
                };
                Some(Console::open(setup).await.map_err(BenchError::from))
            }
            None => None,
        };
        if let (Some(power), Some(Ok(console))) = (usable, &console) {
            power.forgets_at(console.forgetting());
        }
        let carrier = carrier.as_ref().filter(|_| all).map(switch);
        let actuators = actuators.iter().filter(|_| all).map(|(name, config)| {
            let actuator = switch(config).map(|switch| Actuator::new(switch, name));
            (name.clone(), actuator)
        });
        Self {
            actuators: actuators.collect(),
            carrier,
            probe,
            console,
            power,
            provided,
        }
    }

    /// Closes what was opened. Power and buttons stay as they are; what was started for them ends.
    pub async fn close(self) {
        if let Some(Ok(probe)) = self.probe {
            // The probe that does not let go of the chip is told of by all else that is asked of it.
            let _ = probe.detach().await;
        }
        if let Some(Ok(console)) = self.console {
            console.close().await;
        }
        self.provided.end().await;
    }
}

/// Where a console's port is away, its DUT gets power, and the port time to come.
///
/// # Errors
/// The power switch's. That the port does not come is seen when it is opened.
async fn power_port(power: &Power, port: &ConsolePort, device: &Device) -> Result<(), SwitchError> {
    let ConsolePort::Serial(port) = port else {
        return Ok(());
    };
    if port.exists() {
        return Ok(());
    }
    power.on().await?;
    let deadline = Instant::now() + device.target.timing.boot.max(ENUMERATION);
    while !port.exists() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    Ok(())
}
