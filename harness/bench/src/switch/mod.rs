//! Things that can be switched on and off: power supplies, and relays that hold a button.
//!
//! [`Switch`] is what every driver can do, [`WriteCut`] and [`Meter`] what few can: ask for them explicitly.

use std::{fmt, ops::Range, pin::Pin, sync::Arc};

use serde::Serialize;

mod address;
mod apc;
mod believed;
mod command;
mod error;
mod gpio;
mod http;
mod lcus;
mod line;
mod mqtt;
mod reset_line;
mod scpi;
mod shelly;
mod tasmota;
#[cfg(test)]
mod tests;
mod tls;
mod usb;

pub use error::SwitchError;
pub(super) use reset_line::ResetLine;
use tasmota::Tasmota;

use super::Probe;
use crate::inventory::SwitchConfig;
use apc::ApcPdu;
use command::Command;
use gpio::GpioLine;
use lcus::Lcus;
use mqtt::MqttPlug;
use provebench_record::text::is_hostile;
use scpi::Scpi;
use shelly::Shelly;
use usb::UsbPort;

/// Longer answers are cut before they are shown.
const SHOWN: usize = 200;

pub(super) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// A driver for one switch.
pub(super) trait Switch: fmt::Debug + Send + Sync {
    /// Switches, and makes sure that the device says it did.
    fn set(&self, on: bool) -> BoxFuture<'_, Result<(), SwitchError>>;

    /// The state as the device tells it.
    fn is_on(&self) -> BoxFuture<'_, Result<bool, SwitchError>>;

    /// Present when power can be cut at a write of the DUT to its memory.
    fn write_cut(&self) -> Option<&dyn WriteCut> {
        None
    }

    /// Present when it measures what the DUT draws.
    fn meter(&self) -> Option<&dyn Meter> {
        None
    }
}

/// The driver for a switch; touches no equipment yet. `probe` is that of the device.
pub(super) fn open(
    config: &SwitchConfig,
    probe: Option<&Probe>,
) -> Result<Arc<dyn Switch>, SwitchError> {
    Ok(match config {
        SwitchConfig::Tasmota(config) => Arc::new(Tasmota::new(
            &config.url,
            config.relay.get(),
            config.cut_at_write,
        )?),
        SwitchConfig::Shelly(config) => Arc::new(Shelly::new(config, http::ANSWER_LIMIT)?),
        SwitchConfig::Command(config) => Arc::new(Command::new(config)),
        SwitchConfig::Lcus(config) => Arc::new(Lcus::new(config)),
        SwitchConfig::Scpi(config) => Arc::new(Scpi::new(config)),
        SwitchConfig::UsbHub(config) => Arc::new(UsbPort::new(config)),
        SwitchConfig::Gpio(config) => Arc::new(GpioLine::new(config)),
        SwitchConfig::Probe(_) => match probe {
            Some(probe) => Arc::new(ResetLine::new(probe.clone())),
            None => {
                return Err(SwitchError::Refused {
                    device: "nRST of the debug probe".into(),
                    reason: "there is no probe that could be used".into(),
                    remedy: "see what is wrong with the probe",
                });
            }
        },
        SwitchConfig::ApcPdu(config) => Arc::new(ApcPdu::new(config)),
        SwitchConfig::TasmotaMqtt(config) => Arc::new(MqttPlug::tasmota(config)?),
        SwitchConfig::Zigbee2mqtt(config) => Arc::new(MqttPlug::zigbee2mqtt(config)?),
    })
}

/// A supply that measures what the DUT draws.
pub(super) trait Meter: Send + Sync {
    /// Current in A.
    fn current(&self) -> BoxFuture<'_, Result<f64, SwitchError>>;
}

/// A supply that watches the DUT's memory and cuts power at the N-th write to a region.
pub(super) trait WriteCut: Send + Sync {
    /// Cuts power once, at the `count`-th write to `region`; only counts when `count` is 0.
    fn arm(&self, region: Range<u64>, count: u64) -> BoxFuture<'_, Result<(), SwitchError>>;

    /// Neither cuts nor counts any longer.
    fn disarm(&self) -> BoxFuture<'_, Result<(), SwitchError>>;

    /// How far it is.
    fn state(&self) -> BoxFuture<'_, Result<CutState, SwitchError>>;
}

/// How far a power cut is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CutState {
    /// Waiting for the write.
    pub armed: bool,
    /// Power was cut.
    pub fired: bool,
    /// Writes seen.
    pub writes: u64,
}

/// That a switch is as it was told to be, or the error that says that it is not.
fn obeyed(device: impl FnOnce() -> String, wanted: bool, state: bool) -> Result<(), SwitchError> {
    if state == wanted {
        return Ok(());
    }
    Err(SwitchError::not_obeyed(device(), wanted, state))
}

/// What a device said, short enough for a message and on one line.
fn shorten(answer: &str) -> String {
    let mut text = String::new();
    for char in answer.chars().take(SHOWN) {
        if is_hostile(char) {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    if answer.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}
