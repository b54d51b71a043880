//! The one vocabulary between the runner and everyone who watches it: terminal, journal, reports.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a test unit ended, with the bench's own faults told apart from the DUT's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The unit showed what it had to show.
    Pass,
    /// Neither shown nor refuted, for a reason that the unit gives.
    Inconclusive,
    /// The bench or the script could not do its part; says nothing about the DUT.
    Error,
    /// The DUT's doing, shown by evidence.
    Fail,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Error => "ERROR",
            Self::Fail => "FAIL",
        })
    }
}

/// One call of a script into the bench: the evidence trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Counts from 1 within a case.
    pub seq: u32,
    /// The unit that made the call; none while the runner brings the DUT into a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<char>,
    /// What was called, as scripts write it: `console.expect`, `power.cut_at_write`.
    pub name: String,
    /// Arguments by name. Long byte strings are abbreviated or stored as artefacts.
    pub arguments: Value,
    /// What the call gave back; null if nothing, or if it failed.
    pub result: Value,
    /// Why the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the call began, in milliseconds since the run's start.
    pub at_ms: f64,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// Files that it left, relative to the case's evidence folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<String>,
}
