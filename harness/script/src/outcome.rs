//! How a unit or a call into the driver ended.

use std::fmt;

use super::error::Location;
use provebench_record::event::{End, Outcome};

/// How a test unit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitEnd {
    /// Whose doing it is.
    pub end: End,
    /// Why it isn't PASS, on one line; empty if it is.
    pub message: String,
    /// When it ended so, if that may be the bench's doing: `while this machine stood still for 3.2 s`. It is to show again
    /// before it counts.
    pub doubt: Option<String>,
    /// The line of the script that ended it.
    pub at: Option<Location>,
    /// How the script got there, outermost first: `FILE:LINE in FUNCTION`.
    pub stack: Vec<String>,
}

impl UnitEnd {
    pub(super) fn new(end: End, message: String) -> Self {
        Self {
            end,
            message,
            doubt: None,
            at: None,
            stack: Vec::new(),
        }
    }

    pub(super) fn pass() -> Self {
        Self::new(End::Pass, String::new())
    }

    /// The DUT's part and that of all others told apart.
    pub fn outcome(&self) -> Outcome {
        self.end.outcome()
    }
}

/// Why the driver could not do what the runner asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DriverFailure {
    /// Whose doing it is; the DUT's on a bench that proved itself healthy.
    pub end: End,
    /// The function of the driver, and why it ended.
    pub message: String,
    /// The line of the driver that ended it.
    pub at: Option<Location>,
    /// How the driver got there, outermost first.
    pub stack: Vec<String>,
}

impl fmt::Display for DriverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.at {
            Some(at) => write!(f, " ({at})"),
            None => Ok(()),
        }
    }
}
