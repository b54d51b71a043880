//! How a unit or a call into the driver ended.

use std::fmt;

use super::error::Location;
use provebench_record::event::Outcome;

/// How a test unit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitResult {
    /// The DUT's part and the bench's told apart.
    pub outcome: Outcome,
    /// Why it isn't PASS, on one line; empty if it is.
    pub message: String,
    /// When it ended so, if that may be the bench's doing: `while this machine stood still for 3.2 s`. It is to show again
    /// before it counts.
    pub doubt: Option<String>,
    /// The line of the script that ended it.
    pub at: Option<Location>,
    /// How the script got there, outermost first: `FILE:LINE in FUNCTION`.
    pub stack: Vec<String>,
    /// The operator interrupted the unit; it says nothing.
    pub interrupted: bool,
    /// The bench failed, and may do better another time; unlike a script that is wrong.
    pub is_bench_fault: bool,
}

impl UnitResult {
    pub(super) fn pass() -> Self {
        Self {
            outcome: Outcome::Pass,
            message: String::new(),
            doubt: None,
            at: None,
            stack: Vec::new(),
            interrupted: false,
            is_bench_fault: false,
        }
    }
}

/// Why the driver could not do what the runner asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DriverFailure {
    /// FAIL: the DUT did not do its part, on a bench that proved itself healthy.
    pub outcome: Outcome,
    /// The function of the driver, and why it ended.
    pub message: String,
    /// The line of the driver that ended it.
    pub at: Option<Location>,
    /// How the driver got there, outermost first.
    pub stack: Vec<String>,
    /// The operator interrupted it.
    pub interrupted: bool,
    /// As for a unit.
    pub is_bench_fault: bool,
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
