//! The equipment of a device, each piece by itself: what is broken does not hide what works.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Actuator, BenchError, BenchLogs, Console, ConsoleSetup, Power, Probe, ProbeSetup, SwitchError,
    power::PowerLeft, probe::PowerEpoch, switch, virtual_board::BoardProcess,
};
use crate::inventory::{Attachment, ConsolePort, Device, SwitchConfig, Wiring};

/// The equipment of a device, opened as far as that is possible. Nothing is switched.
///
/// What is `None` is not there; what is an error is there, and can't be used.
#[derive(Debug)]
pub struct Parts {
    /// Debug probe. It is opened when it is first used.
    pub probe: Option<Result<Probe, BenchError>>,
    /// Console, open.
    pub console: Option<Result<Console, BenchError>>,
    /// Power switch.
    pub power: Option<Result<Power, BenchError>>,
    /// What works the buttons, by name.
    pub actuators: BTreeMap<String, Result<Actuator, BenchError>>,
    board: Option<BoardProcess>,
}

/// How often it is looked whether a port has come: no event tells.
const LOOK: Duration = Duration::from_millis(50);
/// A port of a board that has started is there after this time, or never.
const ENUMERATION: Duration = Duration::from_secs(5);

/// A console inside the DUT is a serial port only while the DUT has power: where there is none, power is switched on, and
/// the port waited for.
///
/// # Errors
/// The power switch's. That the port does not come is seen when it is opened.
pub async fn power_console(device: &Device, wiring: &Wiring) -> Result<(), SwitchError> {
    let (Some(power), Some(console)) = (&wiring.power, &wiring.console) else {
        return Ok(());
    };
    let ConsolePort::Serial(port) = &console.port else {
        return Ok(());
    };
    if port.exists() {
        return Ok(());
    }
    Power::open(power, &device.name, PowerEpoch::default())?
        .on()
        .await?;
    let deadline = Instant::now() + device.target.timing.boot.max(ENUMERATION);
    while !port.exists() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    Ok(())
}

impl Parts {
    /// Opens what there is. A virtual board is started for it, with its power off.
    ///
    /// # Errors
    /// [`BenchError::VirtualBoard`] if it can't be had.
    pub async fn open(device: &Device, logs: &BenchLogs) -> Result<Self, BenchError> {
        match &device.attachment {
            Attachment::Real(wiring) => Ok(Self::of(device, wiring, logs).await),
            Attachment::Virtual(config) => {
                let baud = device.target.console.baud;
                let (board, wiring) = BoardProcess::start(&device.name, config, baud, None).await?;
                let mut parts = Self::of(device, &wiring, logs).await;
                parts.board = Some(board);
                Ok(parts)
            }
        }
    }

    /// The pieces that are wired to the device so.
    pub(super) async fn of(device: &Device, wiring: &Wiring, logs: &BenchLogs) -> Self {
        let probe: Option<Result<Probe, BenchError>> = wiring.probe.as_ref().map(|config| {
            let mut setup = ProbeSetup::new(config.clone(), &device.target);
            setup.drives_reset = wiring.actuators.values().any(SwitchConfig::is_probe);
            Ok(Probe::new(setup)?)
        });
        let left = PowerLeft::default();
        let console = match &wiring.console {
            Some(config) => {
                let setup = ConsoleSetup {
                    port: config.port.clone(),
                    baud: config.baud,
                    probe: probe
                        .as_ref()
                        .and_then(|probe| probe.as_ref().ok())
                        .cloned(),
                    log: logs.console.clone(),
                    limit: logs.limit,
                    origin: logs.origin,
                    title: format!("console of {}", device.name),
                    power: left.clone(),
                };
                Some(Console::open(setup).await.map_err(BenchError::from))
            }
            None => None,
        };
        let working: Option<&Probe> = probe.as_ref().and_then(|probe| probe.as_ref().ok());
        let power = wiring.power.as_ref().map(|config| {
            let epoch = working.map(Probe::power_epoch).unwrap_or_default();
            let console = console.as_ref().and_then(|console| console.as_ref().ok());
            let power = Power::open(config, &device.name, epoch)?.telling(left);
            Ok(power.with_console(console.map(Console::forgetting)))
        });
        let actuators = wiring.actuators.iter().map(|(name, config)| {
            let actuator = switch::open(config, working).map(|switch| Actuator::new(switch, name));
            (name.clone(), actuator.map_err(BenchError::from))
        });
        Self {
            actuators: actuators.collect(),
            probe,
            console,
            power,
            board: None,
        }
    }

    /// Closes what was opened. Power and buttons stay as they are; a virtual board ends.
    pub async fn close(self) {
        if let Some(Ok(probe)) = self.probe {
            // The probe that does not let go of the chip is told of by all else that is asked of it.
            let _ = probe.detach().await;
        }
        if let Some(Ok(console)) = self.console {
            console.close().await;
        }
        if let Some(board) = self.board {
            board.stop().await;
        }
    }
}
