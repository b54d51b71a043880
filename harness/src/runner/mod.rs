//! Plan, execution, leases.
//!
//! [`Plan::new`] says what will run; [`run`] runs it: a thread per device, all devices at once, and
//! one thread that gathers their events into journal and results. Nothing that goes wrong on one
//! device stops another.

mod attempt;
mod dut;
mod filter;
pub mod lease;
mod panics;
mod plan;
mod queue;
mod resume;
mod share;
mod worker;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::num::NonZeroU32;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use filter::{Expression, ExpressionError, Filter, FilterError};
pub use lease::{Lease, LeaseError};
pub use plan::{DevicePlan, Plan, PlanError, PlannedCase, UnitLacks, title};
pub use queue::Times;
pub use resume::{Earlier, ResumeError};

use crate::event::{Event, Settings, Skip, SkipKind, Stamped};
use crate::evidence::{EvidenceError, JsonLines, RunDir};
use crate::report::Results;
use crate::script::Attestations;
use crate::standard::CaseId;
use queue::Queue;
use worker::Worker;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for a device that is in use.
    pub wait: Option<Duration>,
    /// What has a part in the results.
    pub settings: Settings,
    /// Answers of human assessors that replace those kept with the target.
    pub attestations: Option<Attestations>,
    /// After so many test cases in a row that the bench of a device has spoiled, it is left out. None: never.
    pub quarantine_after: Option<NonZeroU32>,
    /// Time for each unit, within its case's.
    pub unit_deadline: Option<Duration>,
    /// How long cases took before, for the order of those that devices share.
    pub times: Times,
    /// Cancelled to stop the run between steps.
    pub interrupt: Interrupt,
}

/// Stops a run, and says so in it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    token: CancellationToken,
    told: Arc<Mutex<Told>>,
}

/// Who is to be told of an interruption.
#[derive(Debug, Default)]
enum Told {
    /// Nobody yet.
    #[default]
    Nobody,
    /// The run that is under way.
    Run(Events),
    /// It was told, by this signal.
    Stopped(String),
}

impl Interrupt {
    /// Stops the run; false if that was asked for before.
    pub fn stop(&self, signal: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *told, Told::Stopped(signal.to_owned()));
        if let Told::Run(events) = &before {
            // First in the journal, before what stops because of it.
            events.send(Event::Interrupted {
                signal: signal.to_owned(),
            });
        }
        self.token.cancel();
        !matches!(before, Told::Stopped(_))
    }

    /// Whether the run is to stop.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    fn tell(&self, events: Events) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &*told {
            Told::Stopped(signal) => events.send(Event::Interrupted {
                signal: signal.clone(),
            }),
            Told::Nobody | Told::Run(_) => *told = Told::Run(events),
        }
    }
}

/// Runs a plan. `watch` sees every event, after it is in the journal. With `earlier`, goes on with the run in `dir`,
/// the plan being narrowed to what it left.
///
/// # Errors
/// Evidence could not be kept. The devices are left in order nevertheless.
pub fn run(
    plan: &Plan<'_>,
    dir: &RunDir,
    options: &Options,
    earlier: Option<Earlier>,
    runtime: &Handle,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<Results, EvidenceError> {
    let origin = Instant::now();
    let (results, before, first, journal) = if let Some(earlier) = earlier {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let first = Event::RunResumed { version };
        (earlier.results, earlier.seconds, first, earlier.journal)
    } else {
        let first = run_started(plan, dir, options);
        (Results::new(), 0.0, first, dir.journal()?)
    };
    let mut gather = Gather {
        journal,
        results,
        watch,
        lost: None,
        interrupt: &options.interrupt,
    };
    if matches!(first, Event::RunResumed { .. }) {
        // Until new ones are made, the journal says what there is.
        dir.unseal()?;
        // Those who watch have seen nothing of it; the journal has it.
        (gather.watch)(&Stamped::now(run_started(plan, dir, options)));
    }
    gather.take(&Stamped::now(first));
    for device in &plan.devices {
        for (case, skip) in &device.skip {
            gather.take(&Stamped::now(Event::CaseSkipped {
                device: device.device.name.clone(),
                case: case.clone(),
                skip: skip.clone(),
            }));
        }
    }

    panics::keep_for_results();
    let queues = share::queues(plan, options);
    thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        options.interrupt.tell(Events(sender.clone()));
        for (device, queue) in plan.devices.iter().zip(queues) {
            let events = Events(sender.clone());
            let worker = Worker {
                plan: device,
                queue: queue.clone(),
                current: RefCell::default(),
                dir,
                options,
                runtime,
                origin,
                events,
            };
            let name = format!("{}{}", panics::THREADS, device.device.name);
            let spawned = thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || worker.run());
            if let Err(error) = spawned {
                give_up(&Events(sender.clone()), device, &queue, &error);
            }
        }
        gather.take_all(&events, plan.devices.len());
    });

    gather.take(&Stamped::now(Event::RunFinished {
        interrupted: options.interrupt.is_stopped() && gather.lost.is_none(),
        seconds: before + origin.elapsed().as_secs_f64(),
    }));
    match gather.lost {
        Some(error) => Err(error),
        None => Ok(gather.results),
    }
}

fn run_started(plan: &Plan<'_>, dir: &RunDir, options: &Options) -> Event {
    Event::RunStarted {
        run: dir.id().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        devices: plan.device_infos(),
        cases: plan.case_infos(),
        unselected: plan.unselected.clone(),
        planned: plan.planned(),
        settings: options.settings,
    }
}

fn give_up(events: &Events, plan: &DevicePlan<'_>, queue: &Queue, error: &io::Error) {
    let device = plan.device.name.clone();
    let message = format!("cannot start a thread: {error}");
    events.skip_left(&device, queue, SkipKind::Quarantined, &message);
    events.send(Event::DeviceError {
        device: device.clone(),
        message,
    });
    events.send(Event::DeviceFinished {
        device,
        seconds: 0.0,
    });
}

/// Where a device's worker tells what happens.
#[derive(Clone, Debug)]
struct Events(Sender<Stamped>);

impl Events {
    fn send(&self, event: Event) {
        // The receiver outlives all workers.
        let _ = self.0.send(Stamped::now(event));
    }

    fn skip(&self, device: &str, case: &CaseId, kind: SkipKind, reason: String) {
        self.send(Event::CaseSkipped {
            device: device.to_owned(),
            case: case.clone(),
            skip: Skip { kind, reason },
        });
    }

    /// The device leaves the queue. Gives how many cases are not run because of that.
    fn skip_left(&self, device: &str, queue: &Queue, kind: SkipKind, reason: &str) -> usize {
        let left = queue.leave(device);
        for item in &left {
            self.skip(device, &item.case, kind, reason.to_owned());
        }
        left.len()
    }
}

struct Gather<'a> {
    journal: JsonLines,
    results: Results,
    watch: &'a mut dyn FnMut(&Stamped),
    /// Why the journal could not be kept: the run stops.
    lost: Option<EvidenceError>,
    interrupt: &'a Interrupt,
}

impl Gather<'_> {
    fn take_all(&mut self, events: &Receiver<Stamped>, devices: usize) {
        let mut running = devices;
        while running > 0 {
            let Ok(stamped) = events.recv() else { return };
            running -= usize::from(matches!(stamped.event, Event::DeviceFinished { .. }));
            self.take(&stamped);
        }
    }

    fn take(&mut self, stamped: &Stamped) {
        let kept = match &stamped.event {
            // A line that is not whole must stay the last.
            _ if self.lost.is_some() => Ok(()),
            event if event.is_verdict() => self.journal.append_synced(stamped),
            event if event.is_journaled() => self.journal.append(stamped),
            _ => Ok(()),
        };
        if let (Err(error), None) = (kept, &self.lost) {
            self.lost = Some(error);
            self.interrupt.token.cancel();
        }
        self.results.apply(stamped);
        (self.watch)(stamped);
    }
}
