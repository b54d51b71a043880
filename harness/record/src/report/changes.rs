//! What is other in a run than in an earlier one: the question after every change of a firmware.
//!
//! A case on a device is compared with the same case on the device of that name. If that has none, because the board
//! was exchanged or boards share the work, then with all devices of the same target, the worst of them counting.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::results::{CaseResult, Results};
use crate::event::{DeviceInfo, Outcome, SkipKind};
use provebench_standard::{CaseId, UnitName, Verdict};

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

    fn is_exceeded(self, before: f64, after: f64) -> bool {
        after - before >= Self::LEAST && after > before * (1.0 + self.share)
    }
}

impl Changes {
    /// Compares a run with an earlier one.
    pub fn between(before: &Results, after: &Results, threshold: Threshold) -> Self {
        let mut changes = Self {
            baseline: before.run.clone(),
            ..Self::default()
        };
        changes.compare_cases(before, after);
        changes.compare_devices(before, after);
        for device in &after.devices {
            for (id, case) in &device.cases {
                let counterparts = before.of_case(&device.info, id);
                changes.compare_units(&device.info.name, id, &counterparts, case);
                changes.compare_times(&device.info.name, id, &counterparts, case, threshold);
            }
        }
        changes
    }

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

    fn compare_cases(&mut self, before: &Results, after: &Results) {
        for id in before.cases.keys() {
            if after.unselected.contains(id) {
                self.unselected.push(id.clone());
            } else if !after.cases.contains_key(id) {
                self.gone.push(id.clone());
            }
        }
        let is_new =
            |id: &&CaseId| !before.cases.contains_key(id) && !before.unselected.contains(id);
        self.added = after.cases.keys().filter(is_new).cloned().collect();
    }

    fn compare_devices(&mut self, before: &Results, after: &Results) {
        let only_in = |these: &Results, those: &Results| {
            let names = these.devices.iter().map(|d| &d.info.name);
            names
                .filter(|name| those.devices.iter().all(|d| d.info.name != **name))
                .cloned()
                .collect()
        };
        self.devices_added = only_in(after, before);
        self.devices_gone = only_in(before, after);
    }

    fn compare_units(
        &mut self,
        device: &str,
        id: &CaseId,
        before: &[&CaseResult],
        after: &CaseResult,
    ) {
        let mut units: BTreeMap<UnitName, Option<Seen>> = BTreeMap::new();
        for case in before {
            for unit in &case.units {
                let worst = units.entry(unit.unit.clone()).or_default();
                *worst = (*worst).max(Some(unit.outcome.into()));
            }
        }
        // What was not run before has no units to be listed.
        let unlisted = before.iter().filter_map(|case| case.unlisted()).max();
        for unit in &after.units {
            units.entry(unit.unit.clone()).or_insert(unlisted);
        }
        for (unit, before) in units {
            let result = after.units.iter().find(|u| u.unit == unit);
            if result.is_none() && after.unselected.contains(&unit.letter) {
                let units = self.unselected_units.entry(id.clone());
                units.or_default().insert(unit.letter);
                continue;
            }
            let now = result.map(|u| u.outcome.into()).or(after.unlisted());
            let message = match result {
                Some(result) => result.message.clone(),
                None => after.why_not_run().map(str::to_owned),
            };
            self.add(UnitChange {
                device: device.to_owned(),
                case: id.clone(),
                unit,
                before,
                after: now,
                message,
            });
        }
    }

    fn add(&mut self, change: UnitChange) {
        let list = match (change.before, change.after) {
            (Some(Seen::Fail), Some(Seen::Fail)) => {
                self.known_failures += 1;
                return;
            }
            (_, Some(Seen::Fail)) => &mut self.new_failures,
            (Some(Seen::Fail), Some(Seen::Pass)) => &mut self.fixed,
            (Some(Seen::Pass), Some(Seen::Pass)) => return,
            (Some(Seen::Pass | Seen::Fail), _) => &mut self.undecided,
            (Some(_), Some(Seen::Pass)) => &mut self.decided,
            _ => return,
        };
        list.push(change);
    }

    fn compare_times(
        &mut self,
        device: &str,
        id: &CaseId,
        before: &[&CaseResult],
        after: &CaseResult,
        threshold: Threshold,
    ) {
        let time = |case: &CaseResult| {
            let has_passed = case.verdict == Some(Verdict::Pass);
            has_passed.then(|| case.units.iter().map(|u| u.seconds).sum::<f64>())
        };
        let longest = before.iter().filter_map(|case| time(case));
        let longest = longest.max_by(f64::total_cmp);
        if let (Some(before), Some(after)) = (longest, time(after))
            && threshold.is_exceeded(before, after)
        {
            self.slower.push(Slower {
                device: device.to_owned(),
                case: id.clone(),
                before,
                after,
            });
        }
    }
}

impl Results {
    /// What the run has of a case on that device or, where it has nothing, on all others of the same target and images.
    pub fn of_case(&self, device: &DeviceInfo, id: &CaseId) -> Vec<&CaseResult> {
        let of_target = self.devices.iter();
        let of_target = of_target.filter(|d| d.info.target == device.target);
        let same = of_target
            .clone()
            .find(|d| d.info.name == device.name)
            .and_then(|d| d.cases.get(id));
        match same {
            Some(case) => vec![case],
            None => of_target
                .filter(|d| d.info.images == device.images)
                .filter_map(|d| d.cases.get(id))
                .collect(),
        }
    }
}

impl CaseResult {
    /// What is to be said of a unit that has no outcome.
    fn unlisted(&self) -> Option<Seen> {
        if self.not_met.is_some() {
            return Some(Seen::Fail);
        }
        Some(match self.skip.as_ref()?.kind {
            SkipKind::NotApplicable => Seen::NotApplicable,
            SkipKind::Missing | SkipKind::Interrupted | SkipKind::Quarantined => Seen::NotRun,
        })
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
