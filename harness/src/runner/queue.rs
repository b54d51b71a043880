//! The cases that are still to run, for one device or for all devices of a target that share them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::plan::{DevicePlan, PlannedCase};
use crate::script::Sample;
use crate::standard::CaseId;

/// How long cases took before, in seconds.
pub type Times = BTreeMap<CaseId, f64>;

/// Work for one or several devices. Each case is given out once.
#[derive(Debug)]
pub(super) struct Queue {
    order: Order,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Not given out yet.
    pending: BTreeSet<CaseId>,
    /// What devices that still take work can run, by device.
    able: BTreeMap<String, BTreeMap<CaseId, Work>>,
}

/// What matters of a case to the order.
#[derive(Clone, Copy, Debug)]
struct Work {
    sample: Option<Sample>,
    alters_firmware: bool,
}

impl Work {
    fn of(planned: &PlannedCase<'_>) -> Self {
        Self {
            sample: planned.sample,
            alters_firmware: planned.case.alters_firmware,
        }
    }
}

#[derive(Debug)]
enum Order {
    /// As planned for the only device.
    Planned(Vec<CaseId>),
    /// Longest first, so that no device is left with a long one at the end.
    LongestFirst(Times),
}

impl Queue {
    /// The cases of one device, in their order.
    pub(super) fn of(plan: &DevicePlan<'_>) -> Self {
        let order = plan.run.iter().map(|p| p.case.id.clone()).collect();
        Self::new(Order::Planned(order), [plan])
    }

    /// The cases that some of the devices can run, each for whoever comes first.
    pub(super) fn shared<'a>(
        plans: impl IntoIterator<Item = &'a DevicePlan<'a>>,
        times: &Times,
    ) -> Self {
        Self::new(Order::LongestFirst(times.clone()), plans)
    }

    fn new<'a>(order: Order, plans: impl IntoIterator<Item = &'a DevicePlan<'a>>) -> Self {
        let able: BTreeMap<String, BTreeMap<CaseId, Work>> = plans
            .into_iter()
            .map(|plan| {
                let cases = plan.run.iter();
                let cases = cases.map(|p| (p.case.id.clone(), Work::of(p)));
                (plan.device.name.clone(), cases.collect())
            })
            .collect();
        let pending = able.values().flat_map(BTreeMap::keys).cloned().collect();
        Self {
            order,
            state: Mutex::new(State { pending, able }),
        }
    }

    /// The next case for a device that is personalised as `sample`.
    pub(super) fn take(&self, device: &str, sample: Option<Sample>) -> Option<CaseId> {
        let mut state = self.state();
        let able = state.able.get(device)?;
        let pending = state.pending.iter().filter(|id| able.contains_key(id));
        let next = match &self.order {
            Order::Planned(order) => {
                let place = |id: &&CaseId| order.iter().position(|planned| planned == *id);
                pending.min_by_key(place)
            }
            Order::LongestFirst(times) => {
                let cost = |id: &CaseId| {
                    let work = able[id];
                    // Another sample costs programming, a production sample at least a mass erase to turn back.
                    let is_other =
                        sample.is_some() && work.sample.is_some() && work.sample != sample;
                    let is_production = work.sample == Some(Sample::Production);
                    (is_other, is_production, work.alters_firmware)
                };
                // What has never been timed may take long.
                let time = |id: &CaseId| times.get(id).copied().unwrap_or(f64::INFINITY);
                pending.min_by(|a, b| cost(a).cmp(&cost(b)).then(time(b).total_cmp(&time(a))))
            }
        };
        let next = next.cloned()?;
        state.pending.remove(&next);
        Some(next)
    }

    /// The device takes no more. Gives what is left that no other device can take over.
    pub(super) fn leave(&self, device: &str) -> Vec<CaseId> {
        let mut state = self.state();
        let able = state.able.remove(device).unwrap_or_default();
        let orphans: Vec<CaseId> = able
            .into_keys()
            .filter(|id| {
                let mut others = state.able.values();
                state.pending.contains(id) && !others.any(|cases| cases.contains_key(id))
            })
            .collect();
        for id in &orphans {
            state.pending.remove(id);
        }
        orphans
    }

    /// How many cases are left for a device.
    pub(super) fn left(&self, device: &str) -> usize {
        let state = self.state();
        let able = state.able.get(device);
        able.map_or(0, |able| {
            state
                .pending
                .iter()
                .filter(|id| able.contains_key(id))
                .count()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could be left half done happens under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
