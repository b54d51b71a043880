//! Which devices share their cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::options::Options;
use super::plan::{DevicePlan, Plan, PlannedCase};
use super::queue::Queue;
use provebench_standard::CaseId;

/// For each device of the plan, the queue that it takes its cases from.
pub(super) fn queues(plan: &Plan<'_>, options: &Options) -> Vec<Arc<Queue>> {
    let devices = plan.devices.iter();
    let repeat = options.settings.repeat;
    if !options.settings.is_shared {
        return devices
            .map(|device| Arc::new(Queue::of(device, repeat)))
            .collect();
    }
    let mut groups: BTreeMap<Group<'_>, Vec<&DevicePlan<'_>>> = BTreeMap::new();
    for device in devices.clone() {
        groups.entry(group(device)).or_default().push(device);
    }
    let queues: BTreeMap<Group<'_>, Arc<Queue>> = groups
        .into_iter()
        .map(|(group, devices)| {
            (
                group,
                Arc::new(Queue::shared(devices, repeat, &options.times)),
            )
        })
        .collect();
    devices
        .map(|device| queues[&group(device)].clone())
        .collect()
}

/// Devices that are the same to a test case: of one target, with the same images and options.
type Group<'a> = (&'a str, &'a str, String);

fn group<'a>(plan: &'a DevicePlan<'_>) -> Group<'a> {
    let device = plan.device;
    (
        &device.target.name,
        &device.images,
        format!("{:?}", device.options),
    )
}

/// Whether the devices may share cases.
pub(super) fn is_same_work(a: &DevicePlan<'_>, b: &DevicePlan<'_>) -> bool {
    group(a) == group(b)
}

impl Plan<'_> {
    /// Lets devices of the same target share their cases: what one of them can run is not missing on the others, what
    /// one can run more units of is left to it, and what none of them can run is told once.
    pub fn share(&mut self) {
        let key = |plan: &DevicePlan<'_>| format!("{:?}", group(plan));
        let mut told: BTreeSet<(String, CaseId)> = BTreeSet::new();
        for device in &self.devices {
            let cases = device.run.iter().map(|planned| planned.case.id.clone());
            told.extend(cases.map(|case| (key(device), case)));
        }
        let mut least: BTreeMap<(String, CaseId), usize> = BTreeMap::new();
        for device in &self.devices {
            for planned in &device.run {
                let least = least.entry((key(device), planned.case.id.clone()));
                let least = least.or_insert(usize::MAX);
                *least = lacking(planned).min(*least);
            }
        }
        for device in &mut self.devices {
            let group = key(device);
            device.run.retain(|planned| {
                let least = least.get(&(group.clone(), planned.case.id.clone()));
                least.is_none_or(|least| lacking(planned) == *least)
            });
            device
                .skip
                .retain(|(case, _)| told.insert((group.clone(), case.clone())));
        }
    }
}

/// How many units of a case lack something, or are not selected.
fn lacking(planned: &PlannedCase<'_>) -> usize {
    planned.lacks.to_run.len() + planned.lacks.to_pass.len() + planned.unselected.len()
}
