//! Running a function of a loaded script, and what its end means.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value as Json;
use starlark::PrintHandler;
use starlark::environment::Module;
use starlark::eval::Evaluator;
use starlark::values::{Heap, Value};

use super::api::facts::Facts;
use super::api::{DriverContext, Host, IxitRow, TestContext};
use super::confined::{self, Lost};
use super::error::{Location, message_of};
use super::limit::Stopped;
use super::module::Script;
use super::outcome::UnitEnd;
use super::session::{Judged, Session};
use super::show;
use super::stop::Stop;
use provebench_record::event::{End, Fault};
use provebench_standard::Row;

/// Calls within calls that a script may make.
const STACK: usize = 60;

/// An argument of a called function.
pub(super) enum Argument {
    /// The `t` of a unit.
    Test,
    /// The `d` of a driver.
    Driver,
    /// The row of the IXIT that a unit runs for.
    Row(Row),
    /// Plain data.
    Json(Json),
}

impl Argument {
    fn alloc<'v>(&self, facts: &Arc<Facts>, heap: Heap<'v>) -> Value<'v> {
        match self {
            Self::Test => heap.alloc(TestContext::new(facts.clone())),
            Self::Driver => heap.alloc(DriverContext::new(facts.clone())),
            Self::Row(row) => heap.alloc(IxitRow::new(row.clone())),
            Self::Json(json) => heap.alloc(json),
        }
    }
}

/// How a function ended, before anybody has judged it.
struct Ended {
    stop: Option<Stop>,
    message: String,
    at: Option<Location>,
    stack: Vec<String>,
}

/// Calls a function of a script, to its end or the limit's.
pub(super) fn call(
    session: &Arc<Session>,
    script: &Script,
    function: String,
    arguments: Vec<Argument>,
) -> Result<(), UnitEnd> {
    let limit = session.limit();
    let is_over = || limit.check().is_err();
    let facts = session.facts.clone();
    let weak = Arc::downgrade(session);
    let script = script.clone();
    let work = move |confined| {
        let host = Host {
            session: weak,
            confined,
        };
        evaluate(&host, &facts, &script, &function, &arguments)
    };
    match confined::run(limit.memory(), limit.grace(), is_over, work) {
        Ok(Ok(())) => session.unseen().map_or(Ok(()), Err),
        Ok(Err(end)) => Err(ended(session, end)),
        Err(lost) => Err(abandoned(session, &lost)),
    }
}

/// On a thread of its own. The session is with those who wait for it, and lent for each call into it.
fn evaluate(
    host: &Host,
    facts: &Arc<Facts>,
    script: &Script,
    function: &str,
    arguments: &[Argument],
) -> Result<(), Ended> {
    let print = PrintToSteps(host);
    let result = Module::with_temp_heap(|module| {
        let function = script.0.get(function)?;
        let function = module.heap().access_owned_frozen_value(&function);
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(host);
        eval.set_print_handler(&print);
        // Met by an endless loop without any call, too.
        eval.set_check_cancelled(Box::new(|| host.lend().is_none_or(|s| s.must_stop())));
        eval.set_max_callstack_size(STACK)?;
        eval.set_max_heap_size(host.confined.heap())?;
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| argument.alloc(facts, module.heap()))
            .collect();
        eval.eval_function(function, &arguments, &[]).map(|_| ())
    });
    result.map_err(|error| Ended {
        stop: Stop::of(&error).cloned(),
        message: message_of(&error),
        at: error.span().map(Location::of),
        stack: stack(&error),
    })
}

fn ended(session: &Session, end: Ended) -> UnitEnd {
    let stop = match (end.stop, session.stopping()) {
        (Some(stop), _) => stop,
        (None, Some(stopped)) => stopped.into(),
        (None, None) => Stop::Script(format!("fault in the script: {}", end.message)),
    };
    UnitEnd {
        at: end.at,
        stack: end.stack,
        ..judged(session, &stop)
    }
}

/// What a stop means, wherever in the script it was.
pub(super) fn judged(session: &Session, stop: &Stop) -> UnitEnd {
    let Judged {
        end,
        message,
        doubt,
    } = session.judge(stop);
    UnitEnd {
        doubt,
        ..UnitEnd::new(end, show::plain(&message, show::MESSAGE))
    }
}

/// It did not end by itself, and nobody knows where it is.
fn abandoned(session: &Session, lost: &Lost) -> UnitEnd {
    let stopped = session.limit().check().err();
    let mut message = match (lost, stopped) {
        (Lost::Late { .. }, Some(stopped)) => format!("{stopped}; {lost}"),
        (Lost::Thread(_) | Lost::MachineMemory(_), _) => lost.to_string(),
        _ => format!("fault in the script: {lost}"),
    };
    if let Some(at) = session.last_seen() {
        let _ = write!(message, "; it last called into the bench at {at}");
    }
    let fault = match lost {
        Lost::Late { .. } if stopped == Some(Stopped::Interrupted) => Fault::Operator,
        Lost::Thread(_) | Lost::MachineMemory(_) | Lost::Late { in_bench: true, .. } => {
            Fault::Bench
        }
        _ => Fault::Script,
    };
    UnitEnd::new(End::Fault(fault), message)
}

/// Where each function was called from, outermost first.
fn stack(error: &starlark::Error) -> Vec<String> {
    let frames = &error.call_stack().frames;
    let mut caller = "";
    let mut lines = Vec::new();
    for frame in frames {
        if let Some(at) = &frame.location {
            lines.push(format!("{} in {caller}", Location::of(at)));
        }
        caller = &frame.name;
    }
    if let Some(at) = error.span() {
        lines.push(format!("{} in {caller}", Location::of(at)));
    }
    lines
}

/// `print` goes into the evidence, as `t.log` does.
struct PrintToSteps<'a>(&'a Host);

impl PrintHandler for PrintToSteps<'_> {
    fn println(&self, text: &str) -> starlark::Result<()> {
        let Some(session) = self.0.lend() else {
            return Ok(());
        };
        let arguments = serde_json::json!({ "message": show::plain(text, show::MESSAGE) });
        session
            .step("print", arguments, |_| Ok(()))
            .map_err(starlark::Error::new_native)
    }
}
