//! What switches could not do.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use thiserror::Error;

use super::line::LineError;

/// A failure of a plug, relay or supply: always the bench's, never the DUT's.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum SwitchError {
    /// The address is not one.
    #[error("`{url}` is not the address of a switch: {reason}")]
    #[diagnostic(help("write it in devices.toml as {scheme}://HOST or {scheme}://HOST:PORT"))]
    Url {
        /// What was configured.
        url: String,
        /// What is wrong with it.
        reason: String,
        /// What it begins with.
        scheme: &'static str,
    },
    /// No certificate to trust.
    #[error("{} can't be used: {reason}", authorities(file.as_deref()))]
    #[diagnostic(help(
        "write `ca` in devices.toml as the path of a PEM file with the certificate of the authority that issued the \
         broker's"
    ))]
    Authorities {
        /// Where they were to be; none for those that this machine trusts.
        file: Option<PathBuf>,
        /// What is wrong.
        reason: String,
    },
    /// No answer.
    #[error("{device} does not answer")]
    #[diagnostic(help("{remedy}"))]
    Unreachable {
        /// The switch.
        device: String,
        /// What to do about it.
        remedy: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It wants to know who asks.
    #[error("{device} rejected the request: {reason}")]
    #[diagnostic(help("{remedy}"))]
    Refused {
        /// The switch.
        device: String,
        /// What it says.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// An answer that makes no sense.
    #[error("{device} answered `{command}` with {answer}")]
    #[diagnostic(help(
        "is it the device that `driver` in devices.toml names, and does it have that output?"
    ))]
    Answer {
        /// The switch.
        device: String,
        /// What it was told.
        command: String,
        /// What it said, shortened.
        answer: String,
    },
    /// A program that is to switch, or to tell the state, failed.
    #[error("`{command}` {what}{output}")]
    #[diagnostic(help("run it by hand, from the same folder and as the same user"))]
    Command {
        /// The program and its arguments.
        command: String,
        /// What became of it.
        what: String,
        /// What it printed, as the rest of the sentence.
        output: String,
    },
    /// Nobody knows whether it is on.
    #[error("{device} does not tell its state")]
    #[diagnostic(help("{remedy}"))]
    Unknown {
        /// The switch.
        device: String,
        /// What to do about it.
        remedy: &'static str,
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
    /// A supply is not set as it was told.
    #[error("{device} was set to {wanted} {unit}, but says it is {state} {unit}")]
    #[diagnostic(help(
        "is that within its range, and does nothing limit it, such as a protection?"
    ))]
    Setting {
        /// The supply.
        device: String,
        /// As it was told.
        wanted: f64,
        /// As it says.
        state: f64,
        /// Of both.
        unit: &'static str,
    },
    /// Not every supply measures.
    #[error("{device} does not measure current")]
    #[diagnostic(help("let the test case need `power.current`: then it is not run on this bench"))]
    NoMeter {
        /// The switch.
        device: String,
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

fn authorities(file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("`ca` = {}", file.display()),
        None => "the authorities that this machine trusts".into(),
    }
}

impl SwitchError {
    /// That it is not as it was told.
    pub fn not_obeyed(device: String, wanted: bool, state: bool) -> Self {
        Self::NotObeyed {
            device,
            wanted: on_off(wanted),
            state: on_off(state),
        }
    }

    /// Nothing, or nothing whole, came from a device on a line.
    pub(super) fn unreachable(device: String, remedy: &'static str, error: LineError) -> Self {
        let source: Box<dyn Error + Send + Sync> = match error {
            LineError::Io(error) => error.into(),
            LineError::Late(_) => io::Error::from(io::ErrorKind::TimedOut).into(),
        };
        Self::Unreachable {
            device,
            remedy,
            source,
        }
    }
}

/// The words of errors, and of some plugs.
pub(super) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
