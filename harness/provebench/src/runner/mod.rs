//! Plan, execution, leases.
//!
//! [`Plan::new`] says what will run; [`run`] runs it: a thread per device, all devices at once, and
//! one thread that gathers their events into journal and results. Nothing that goes wrong on one
//! device stops another.

mod attempt;
mod dut;
mod filter;
mod gather;
mod interrupt;
pub mod lease;
mod options;
mod panics;
mod plan;
mod progress;
mod queue;
mod resume;
mod share;
mod worker;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::iter;
use std::thread;
use std::time::Instant;

use tokio::runtime::Handle;

pub use filter::{Expression, ExpressionError, Filter, FilterError};
pub use interrupt::Interrupt;
pub use lease::{Lease, LeaseError};
pub use options::Options;
pub use plan::{DevicePlan, NotRun, Plan, PlanError, PlannedCase, UnitLacks, title};
pub use queue::Times;
pub use resume::{PreviousRun, ResumeError};

use gather::Gather;
use provebench_record::event::{Event, SkipKind, Stamper};
use provebench_record::evidence::{EvidenceError, RunDir};
use provebench_record::report::{Reporter, Results};
use provebench_record::text::one_line;
use queue::Queue;
use worker::Worker;

/// Linux' own limit on names of machines, in characters.
const LONGEST_NAME: usize = 64;

/// What a run came to.
#[derive(Debug)]
pub struct Finished {
    /// All that was found, also what the journal could not take any more.
    pub results: Results,
    /// Why the journal ends before the run did.
    pub lost: Option<EvidenceError>,
}

/// Runs a plan. Reporters are told of every event, after it is in the journal. With `earlier`, goes on with the run in `dir`,
/// the plan being narrowed to what it left.
///
/// # Errors
/// The journal can't be begun: nothing was run.
pub fn run(
    plan: &Plan<'_>,
    dir: &RunDir,
    options: &Options,
    earlier: Option<PreviousRun>,
    runtime: &Handle,
    reporters: &mut [&mut dyn Reporter],
) -> Result<Finished, EvidenceError> {
    let origin = Instant::now();
    let source = machine();
    let (results, before, first, journal, latest) = if let Some(earlier) = earlier {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let first = Event::RunResumed { version };
        let latest = earlier.sources.get(&source).copied().unwrap_or(0);
        (
            earlier.results,
            earlier.seconds,
            first,
            earlier.journal,
            latest,
        )
    } else {
        let first = run_started(plan, dir, options);
        (Results::new(), 0.0, first, dir.journal()?, 0)
    };
    let mut gather = Gather {
        journal,
        stamper: Stamper::new(&source, latest),
        results,
        reporters,
        lost: None,
        stop: options.interrupt.token(),
    };
    if matches!(first, Event::RunResumed { .. }) {
        // Until new ones are made, the journal says what there is.
        dir.unseal()?;
        // Those who watch have seen nothing of it; the journal has it.
        gather.show(run_started(plan, dir, options));
    }
    let skipped = plan.devices.iter().flat_map(|device| {
        let skip = device.skip.iter();
        skip.map(|(case, why)| why.event(&device.device.name, case))
    });
    gather.take_own(iter::once(first).chain(skipped));

    panics::keep_for_results();
    let queues = share::queues(plan, options);
    thread::scope(|scope| {
        let (events, sent) = gather::channel(options.secrets.clone());
        options.interrupt.tell(events.of_another());
        let mut running = 0;
        for (device, queue) in plan.devices.iter().zip(queues) {
            let worker = Worker {
                plan: device,
                queue: queue.clone(),
                current: RefCell::default(),
                dir,
                options,
                runtime,
                origin,
                events: events.of_another(),
            };
            let name = format!("{}{}", panics::THREADS, device.device.name);
            let spawned = thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || worker.run());
            if let Err(error) = spawned {
                gather.take_own(given_up(device, &queue, &error));
            } else {
                running += 1;
            }
        }
        gather.take_all(&sent, running);
    });

    gather.take_own([Event::RunFinished {
        interrupted: options.interrupt.is_stopped(),
        seconds: before + origin.elapsed().as_secs_f64(),
    }]);
    Ok(Finished {
        results: gather.results,
        lost: gather.lost,
    })
}

/// The name of this machine, which tells what happens at its bench.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = one_line(name.trim(), LONGEST_NAME);
    if name.is_empty() {
        "bench".into()
    } else {
        name
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
        unselected_units: plan.unselected_units(),
        settings: options.settings,
    }
}

fn given_up(plan: &DevicePlan<'_>, queue: &Queue, error: &io::Error) -> Vec<Event> {
    let device = &plan.device.name;
    let message = format!("cannot start a thread: {error}");
    let left = queue.withdraw(device).into_iter();
    let mut events: Vec<Event> = left
        .map(|item| gather::skipped(device, &item.case, SkipKind::Quarantined, &message))
        .collect();
    events.push(Event::DeviceError {
        device: device.clone(),
        message,
    });
    events.push(Event::DeviceFinished {
        device: device.clone(),
        seconds: 0.0,
    });
    events
}
