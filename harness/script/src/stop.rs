//! Why a script ends before its end.

use super::limit::Stopped;
use provebench_bench::{BenchError, ConsoleError, ProbeError, SwitchError};
use provebench_network::NetworkError;
use provebench_record::explain::explain;

/// Ends a script. Carried through starlark as a native error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    /// The DUT did what it must not, or not what it must.
    #[error("{0}")]
    Fail(String),
    /// It can't be decided.
    #[error("{0}")]
    Inconclusive(String),
    /// The DUT did not answer: its doing if the bench is healthy.
    #[error("{0}")]
    Silent(String),
    /// The bench could not do its part.
    #[error("{0}")]
    Bench(String),
    /// This machine stood still while the DUT was to answer.
    #[error("{0}")]
    Missed(String),
    /// The script asks for something that cannot be.
    #[error("{0}")]
    Script(String),
    /// The power cut of `cut_during` fired.
    #[error("power was cut")]
    Cut,
    /// Deadline or interruption.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Stop {
    /// What ended a script, if it was one of these.
    pub(super) fn of(error: &starlark::Error) -> Option<&Self> {
        use starlark::ErrorKind as Kind;
        match error.kind() {
            Kind::Native(e) | Kind::Other(e) | Kind::Value(e) => e.downcast_ref(),
            _ => None,
        }
    }
}

impl From<BenchError> for Stop {
    fn from(error: BenchError) -> Self {
        let text = explain(&error);
        match error {
            BenchError::Console(ConsoleError::Timeout { .. }) => Self::Silent(text),
            // A script must say what it needs.
            BenchError::Missing { .. } => Self::Script(text),
            _ => Self::Bench(text),
        }
    }
}

impl From<ConsoleError> for Stop {
    fn from(error: ConsoleError) -> Self {
        BenchError::from(error).into()
    }
}

impl From<ProbeError> for Stop {
    fn from(error: ProbeError) -> Self {
        BenchError::from(error).into()
    }
}

impl From<NetworkError> for Stop {
    fn from(error: NetworkError) -> Self {
        BenchError::from(error).into()
    }
}

impl From<SwitchError> for Stop {
    fn from(error: SwitchError) -> Self {
        BenchError::from(error).into()
    }
}
