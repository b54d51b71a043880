//! The cases that are still to run, for one device or for all devices of a target that share them.

use std::collections::{BTreeMap, BTreeSet};
use std::future;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::plan::{DevicePlan, PlannedCase};
use provebench_script::Sample;
use provebench_standard::CaseId;

/// How long cases took before, in seconds.
pub type Times = BTreeMap<CaseId, f64>;

/// A case to run, and which rounds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) case: CaseId,
    pub(super) rounds: RangeInclusive<u32>,
}

/// Work for one or several devices. Each item is given out once.
#[derive(Debug)]
pub(super) enum Queue {
    /// As planned for the only device: all cases, then the next round of all.
    Own(Mutex<Own>),
    /// The cases of several devices, with all rounds on the one that takes it.
    Shared {
        times: Times,
        repeat: u32,
        state: Mutex<State>,
        /// Told whenever one of them was given out.
        taken: Notify,
    },
}

/// Rounds may be many: none is written down before it is begun.
#[derive(Debug)]
pub(super) struct Own {
    /// With how many rounds of each are over already.
    cases: Vec<(CaseId, u32)>,
    repeat: u32,
    /// What is to be looked at next: a round, and a place in `cases`.
    round: u32,
    place: usize,
}

impl Own {
    fn take(&mut self) -> Option<Item> {
        while self.round <= self.repeat && !self.cases.is_empty() {
            let round = self.round;
            let (case, done) = &self.cases[self.place];
            let item = (*done < round).then(|| Item {
                case: case.clone(),
                rounds: round..=round,
            });
            self.place += 1;
            if self.place == self.cases.len() {
                self.place = 0;
                // There are less than `u32::MAX` rounds, or this would have no end.
                self.round = self.round.saturating_add(1);
            }
            if item.is_some() {
                return item;
            }
        }
        None
    }

    /// What is still to be taken, each case once, the next one first.
    fn remaining(&self) -> impl Iterator<Item = Item> {
        let places = (self.place..self.cases.len()).chain(0..self.place);
        places.filter_map(|place| {
            let (case, done) = &self.cases[place];
            let next = self.round.saturating_add(u32::from(place < self.place));
            let rounds = next.max(done.saturating_add(1))..=self.repeat;
            (!rounds.is_empty()).then(|| Item {
                case: case.clone(),
                rounds,
            })
        })
    }
}

#[derive(Debug)]
pub(super) struct State {
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
    /// Rounds that are over already.
    done: u32,
}

impl Work {
    fn of(plan: &DevicePlan<'_>, planned: &PlannedCase<'_>) -> Self {
        Self {
            sample: planned.sample,
            alters_firmware: planned.case.alters_firmware,
            done: plan.begun(&planned.case.id).rounds,
        }
    }
}

impl Queue {
    /// The cases of one device, in their order.
    pub(super) fn of(plan: &DevicePlan<'_>, repeat: u32) -> Self {
        let cases = plan.run.iter().map(|planned| &planned.case.id);
        let cases = cases.map(|id| (id.clone(), plan.begun(id).rounds));
        Self::Own(Mutex::new(Own {
            cases: cases.collect(),
            repeat,
            round: 1,
            place: 0,
        }))
    }

    /// The cases that some of the devices can run, each for whoever comes first; the longest first, so that no device is
    /// left with a long one at the end.
    pub(super) fn shared<'a>(
        plans: impl IntoIterator<Item = &'a DevicePlan<'a>>,
        repeat: u32,
        times: &Times,
    ) -> Self {
        let able: BTreeMap<String, BTreeMap<CaseId, Work>> = plans
            .into_iter()
            .map(|plan| {
                let cases = plan.run.iter();
                let cases = cases.map(|p| (p.case.id.clone(), Work::of(plan, p)));
                (plan.device.name.clone(), cases.collect())
            })
            .collect();
        let pending = able.values().flat_map(BTreeMap::keys).cloned().collect();
        Self::Shared {
            times: times.clone(),
            repeat,
            state: Mutex::new(State { pending, able }),
            taken: Notify::new(),
        }
    }

    /// What is next for a device that is personalised as `sample`.
    pub(super) fn take(&self, device: &str, sample: Option<Sample>) -> Option<Item> {
        match self {
            Self::Own(own) => lock(own).take(),
            Self::Shared {
                times,
                repeat,
                state,
                taken,
            } => {
                let (case, work) = lock(state).take(device, sample, times)?;
                taken.notify_waiters();
                Some(Item {
                    case,
                    rounds: work.done + 1..=*repeat,
                })
            }
        }
    }

    /// The device takes no more. Gives what is left that no other device can take over, each case once.
    pub(super) fn withdraw(&self, device: &str) -> Vec<Item> {
        match self {
            Self::Own(own) => {
                let mut own = lock(own);
                let left = own.remaining().collect();
                own.cases.clear();
                own.place = 0;
                left
            }
            Self::Shared { repeat, state, .. } => {
                let orphans = lock(state).withdraw(device).into_iter();
                let item = |(case, work): (CaseId, Work)| Item {
                    case,
                    rounds: work.done + 1..=*repeat,
                };
                orphans.map(item).collect()
            }
        }
    }

    /// Waits until others have taken all that was left for a device. Its own cases nobody takes.
    pub(super) async fn none_left(&self, device: &str) {
        let Self::Shared { taken, .. } = self else {
            return future::pending().await;
        };
        loop {
            // Listens before it looks: what is taken in between is heard, too.
            let told = taken.notified();
            if self.remaining(device) == 0 {
                return;
            }
            told.await;
        }
    }

    /// How many rounds of cases are left for a device.
    pub(super) fn remaining(&self, device: &str) -> usize {
        match self {
            Self::Own(own) => {
                let rounds = |item: Item| (item.rounds.end() - item.rounds.start()) as usize + 1;
                lock(own).remaining().map(rounds).sum()
            }
            Self::Shared { repeat, state, .. } => {
                let state = lock(state);
                let able = state.able.get(device).into_iter().flatten();
                let pending = able.filter(|(id, _)| state.pending.contains(id));
                pending
                    .map(|(_, work)| repeat.saturating_sub(work.done) as usize)
                    .sum()
            }
        }
    }
}

impl State {
    fn take(
        &mut self,
        device: &str,
        sample: Option<Sample>,
        times: &Times,
    ) -> Option<(CaseId, Work)> {
        let able = self.able.get(device)?;
        let cost = |work: &Work| {
            // Another sample costs programming, a production sample at least a mass erase to turn back.
            let is_other = sample.is_some() && work.sample.is_some() && work.sample != sample;
            let is_production = work.sample == Some(Sample::Production);
            (is_other, is_production, work.alters_firmware)
        };
        // What has never been timed may take long.
        let time = |id: &CaseId| times.get(id).copied().unwrap_or(f64::INFINITY);
        let pending = able.iter().filter(|(id, _)| self.pending.contains(id));
        let next = pending.min_by(|(a, a_work), (b, b_work)| {
            let costs = cost(a_work).cmp(&cost(b_work));
            costs.then(time(b).total_cmp(&time(a)))
        });
        let (id, work) = next.map(|(id, work)| (id.clone(), *work))?;
        self.pending.remove(&id);
        Some((id, work))
    }

    fn withdraw(&mut self, device: &str) -> Vec<(CaseId, Work)> {
        let able = self.able.remove(device).unwrap_or_default();
        let orphans: Vec<(CaseId, Work)> = able
            .into_iter()
            .filter(|(id, _)| {
                let mut others = self.able.values();
                self.pending.contains(id) && !others.any(|cases| cases.contains_key(id))
            })
            .collect();
        for (id, _) in &orphans {
            self.pending.remove(id);
        }
        orphans
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that could be left half done happens under it.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use rstest::rstest;

    use super::*;

    fn own(cases: &[(&str, u32)], repeat: u32) -> Queue {
        let cases = cases.iter();
        let cases = cases.map(|(id, done)| (id.parse().unwrap(), *done));
        Queue::Own(Mutex::new(Own {
            cases: cases.collect(),
            repeat,
            round: 1,
            place: 0,
        }))
    }

    #[test]
    fn rounds_go_over_all_cases() {
        let queue = own(&[("5.1-1-2", 1), ("5.1-2-2", 0), ("5.1-3-2", 3)], 3);
        let mut order = Vec::new();
        let mut left = Vec::new();
        while let Some(item) = {
            left.push(queue.remaining("a"));
            queue.take("a", None)
        } {
            order.push(format!("{} {}", item.case, item.rounds.start()));
        }
        let all = [
            "5.1-2-2 1",
            "5.1-1-2 2",
            "5.1-2-2 2",
            "5.1-1-2 3",
            "5.1-2-2 3",
        ];
        assert_eq!(order, all);
        assert_eq!(left, [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn who_leaves_tells_each_case_once() {
        let queue = own(&[("5.1-1-2", 0), ("5.1-2-2", 0), ("5.1-3-2", 1)], 2);
        queue.take("a", None).unwrap();
        let left = queue.withdraw("a").into_iter();
        let left: Vec<_> = left.map(|i| (i.case.to_string(), i.rounds)).collect();
        let item = |case: &str, rounds| (case.to_owned(), rounds);
        let all = [
            item("5.1-2-2", 1..=2),
            item("5.1-3-2", 2..=2),
            item("5.1-1-2", 2..=2),
        ];
        assert_eq!(left, all);
        assert_eq!((queue.remaining("a"), queue.take("a", None)), (0, None));
    }

    /// More rounds than there is memory for.
    #[test]
    fn rounds_without_number_take_no_room() {
        let queue = own(&[("5.1-1-2", 0)], u32::MAX);
        assert_eq!(queue.remaining("a"), u32::MAX as usize);
        assert_eq!(queue.take("a", None).unwrap().rounds, 1..=1);
    }

    fn shared(devices: usize, times: &Times) -> Queue {
        let work = Work {
            sample: None,
            alters_firmware: false,
            done: 0,
        };
        let cases: BTreeMap<CaseId, Work> = times.keys().map(|id| (id.clone(), work)).collect();
        Queue::Shared {
            times: times.clone(),
            repeat: 1,
            state: Mutex::new(State {
                pending: times.keys().cloned().collect(),
                able: (0..devices)
                    .map(|n| (format!("d{n:02}"), cases.clone()))
                    .collect(),
            }),
            taken: Notify::new(),
        }
    }

    /// When the last of the devices is ready, if each takes the next case as soon as it is free.
    fn makespan(queue: &Queue, devices: usize, times: &Times) -> u64 {
        let mut free: BinaryHeap<Reverse<(u64, String)>> = (0..devices)
            .map(|n| Reverse((0, format!("d{n:02}"))))
            .collect();
        let mut last = 0;
        while let Some(Reverse((now, device))) = free.pop() {
            if let Some(item) = queue.take(&device, None) {
                let over = now + milliseconds(times[&item.case]);
                last = last.max(over);
                free.push(Reverse((over, device)));
            }
        }
        last
    }

    #[expect(clippy::cast_sign_loss, reason = "they are positive")]
    fn milliseconds(seconds: f64) -> u64 {
        (seconds * 1000.0) as u64
    }

    /// 200 cases, many of them short, some long: they end within 3 % of what no order could do better.
    #[rstest]
    #[case::few(8)]
    #[case::many(64)]
    fn devices_that_share_end_together(#[case] devices: usize) {
        let times: Times = (0..200_u16)
            .map(|n| {
                let id = format!("5.{}-{}-2", 1 + n % 10, 1 + n / 10);
                let share = f64::from((n * 37) % 101) / 101.0;
                (id.parse().unwrap(), 2.0 + 90.0 * share.powi(4))
            })
            .collect();
        let queue = shared(devices, &times);
        let all: u64 = times.values().map(|time| milliseconds(*time)).sum();
        let longest = times
            .values()
            .map(|time| milliseconds(*time))
            .max()
            .unwrap();
        let least = longest.max(all / devices as u64);
        let took = makespan(&queue, devices, &times);
        assert!(
            took >= least && took * 100 <= least * 103,
            "{took} ms for {least} ms"
        );
        assert_eq!(queue.remaining("d00"), 0);
    }
}
