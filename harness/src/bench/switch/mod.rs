//! Things that can be switched on and off: power supplies, and relays that hold a button.
//!
//! [`Switch`] is what every driver can do, [`WriteCut`] what few can: ask for it explicitly.

use std::{fmt, ops::Range, pin::Pin};

use miette::Diagnostic;
use serde::Serialize;
use thiserror::Error;

mod tasmota;
#[cfg(test)]
mod tests;

pub(super) use tasmota::Tasmota;

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

/// A failure of a plug, relay or supply: always the bench's, never the DUT's.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum SwitchError {
    /// The address is not one.
    #[error("`{url}` is not the address of a switch: {reason}")]
    #[diagnostic(help("write url in devices.toml as http://HOST or http://HOST:PORT"))]
    Url {
        /// What was configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer.
    #[error("{device} does not answer")]
    #[diagnostic(help(
        "is it powered and in the network, and is url in devices.toml right? Open that address in a browser"
    ))]
    Unreachable {
        /// The switch.
        device: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that makes no sense.
    #[error("{device} answered `{command}` with {answer}")]
    #[diagnostic(help(
        "does the device run the firmware that `driver` in devices.toml names, and has it that relay?"
    ))]
    Answer {
        /// The switch.
        device: String,
        /// What it was told.
        command: String,
        /// What it said, shortened.
        answer: String,
    },
    /// The device did not do as told.
    #[error("{device} was switched {wanted}, but says it is {state}")]
    #[diagnostic(help(
        "is something else switching it (a timer, a rule, another run), or has it tripped?"
    ))]
    NotObeyed {
        /// The switch.
        device: String,
        /// on or off.
        wanted: &'static str,
        /// on or off.
        state: &'static str,
    },
    /// Not every supply can do that.
    #[error("{device} can't cut power at a write to memory")]
    #[diagnostic(help(
        "let the test case need `power.cut_at_write`: then it is not run on this bench"
    ))]
    NoWriteCut {
        /// The switch.
        device: String,
    },
    /// The task that switches was stopped together with the runtime.
    #[error("switching {device} was interrupted")]
    #[diagnostic(help("the run is ending; check the state of the switch"))]
    Interrupted {
        /// The switch.
        device: String,
    },
}

pub(super) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
