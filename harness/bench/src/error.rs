//! What the bench could not do. None of it is a verdict on the DUT, [`ConsoleError::Timeout`] excepted.

use miette::Diagnostic;
use thiserror::Error;

use super::{ConsoleError, ProbeError, SwitchError, provider::ProviderError};
use provebench_network::{NetworkError, services::ServiceError};

/// A failure of the bench.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum BenchError {
    /// Of the debug probe.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Probe(#[from] ProbeError),
    /// Of the console.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Console(#[from] ConsoleError),
    /// Of what switches power or holds a button.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Switch(#[from] SwitchError),
    /// Of what provides the equipment.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Provider(#[from] ProviderError),
    /// What was provided belongs to somebody else.
    #[error("what the provider of `{device}` gave can't be used: {reason}")]
    #[diagnostic(help(
        "two providers, or a provider and devices.toml, name the same equipment; wait until it is free, or correct them"
    ))]
    InUse {
        /// The device.
        device: String,
        /// Who has it.
        reason: String,
    },
    /// Of the DUT's network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetworkError),
    /// Of the services around the DUT.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Service(#[from] ServiceError),
    /// This bench does not have that.
    #[error("device `{device}` has no {what}")]
    #[diagnostic(help(
        "add it to the device in devices.toml, or let the test case need `{capability}`: then it is not run here"
    ))]
    Missing {
        /// The device.
        device: String,
        /// What is not there.
        what: String,
        /// The word for it in `needs`.
        capability: String,
    },
    /// The DUT can't answer: it has no power.
    #[error("device `{device}` is switched off")]
    #[diagnostic(help("switch it on (t.power.on) before it is asked anything"))]
    PoweredOff {
        /// The device.
        device: String,
    },
}

impl BenchError {
    /// Whether nothing but opening the bench again can help: what has failed does not come back.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Provider(error) => !matches!(error, ProviderError::StoodStill { .. }),
            Self::Network(_) | Self::Service(_) | Self::InUse { .. } | Self::Missing { .. } => true,
            Self::Probe(_) | Self::Console(_) | Self::Switch(_) | Self::PoweredOff { .. } => false,
        }
    }

    /// Something that a device's bench has not got.
    pub fn missing(device: &str, what: &str, capability: &str) -> Self {
        Self::Missing {
            device: device.into(),
            what: what.into(),
            capability: capability.into(),
        }
    }
}
