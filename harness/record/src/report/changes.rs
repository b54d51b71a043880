//! What is other in a run than in an earlier one: the question after every change of a firmware.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::Outcome;
use provebench_standard::{CaseId, UnitName};

/// What is other than in an earlier run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The earlier run.
    pub baseline: String,
    /// FAIL now, and not before; whether there was another outcome before or none.
    pub new_failures: Vec<UnitChange>,
    /// FAIL before, PASS now.
    pub fixed: Vec<UnitChange>,
    /// PASS or FAIL before, and now neither.
    pub undecided: Vec<UnitChange>,
    /// Neither before, and PASS now.
    pub decided: Vec<UnitChange>,
    /// Units that failed before and fail now.
    pub known_failures: usize,
    /// Cases that there were not before.
    pub added: Vec<CaseId>,
    /// Cases that there are no more.
    pub gone: Vec<CaseId>,
    /// Cases that ran before, and were not selected now.
    pub unselected: Vec<CaseId>,
    /// Units that ran before, and were not selected now beside others of their cases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unselected_units: BTreeMap<CaseId, BTreeSet<char>>,
    /// Devices that took no part before.
    pub devices_added: Vec<String>,
    /// Devices that take no part any more.
    pub devices_gone: Vec<String>,
    /// Cases that passed and pass, and take longer.
    pub slower: Vec<Slower>,
}

/// A unit with another outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    /// The device that it ran on now.
    pub device: String,
    /// The case.
    pub case: CaseId,
    /// Its unit.
    pub unit: UnitName,
    /// None if there was no such unit.
    pub before: Option<Seen>,
    /// None if there is no such unit any more.
    pub after: Option<Seen>,
    /// Why it did not pass, or was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a run has of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words of event::Outcome")]
pub enum Seen {
    /// The ICS says that the provision does not apply.
    NotApplicable,
    Pass,
    /// The case was not run, or not so far.
    NotRun,
    Inconclusive,
    Error,
    Fail,
}

/// A case that takes longer than before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slower {
    /// The device that it ran on now.
    pub device: String,
    /// The case.
    pub case: CaseId,
    /// Time of its units before, in seconds. What the runner needs to prepare a case depends on the case before it.
    pub before: f64,
    /// The same now.
    pub after: f64,
}

/// How much longer a case must take to be told.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// More than that share of the time before: 0.3 is 30 %.
    pub share: f64,
}

impl Threshold {
    /// Less than that is noise, whatever the share: seconds.
    const LEAST: f64 = 1.0;

    pub(super) fn is_exceeded(self, before: f64, after: f64) -> bool {
        after - before >= Self::LEAST && after > before * (1.0 + self.share)
    }
}

impl Changes {
    /// Whether nothing is other.
    pub fn is_empty(&self) -> bool {
        let same = Self {
            baseline: self.baseline.clone(),
            known_failures: self.known_failures,
            ..Self::default()
        };
        *self == same
    }

    /// Units that the earlier run decided and this one could not, for another reason than that they do not apply.
    pub fn lost(&self) -> impl Iterator<Item = &UnitChange> {
        let is_lost = |change: &&UnitChange| {
            matches!(
                change.after,
                Some(Seen::Error | Seen::Inconclusive | Seen::NotRun)
            )
        };
        self.undecided.iter().filter(is_lost)
    }
}

impl From<Outcome> for Seen {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pass => Self::Pass,
            Outcome::Inconclusive => Self::Inconclusive,
            Outcome::Error => Self::Error,
            Outcome::Fail => Self::Fail,
        }
    }
}
