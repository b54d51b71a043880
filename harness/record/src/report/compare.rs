//! How a run is compared with an earlier one.
//!
//! A case on a device is compared with the same case on the device of that name. If that has none, because the board
//! was exchanged or boards share the work, then with all devices of the same target, the worst of them counting.

use std::collections::BTreeMap;

use super::attempts::CaseResult;
use super::changes::{Changes, Seen, Slower, Threshold, UnitChange};
use super::results::Results;
use crate::event::{DeviceInfo, SkipKind};
use provebench_standard::{CaseId, UnitName, Verdict};

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
