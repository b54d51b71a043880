//! Running a function of a loaded script, and what its end means.

use serde_json::Value as Json;
use starlark::PrintHandler;
use starlark::environment::Module;
use starlark::eval::Evaluator;
use starlark::values::{Heap, Value};

use super::api::{DriverContext, Host, TestContext};
use super::error::{Location, message_of};
use super::limit::Stopped;
use super::module::{HEAP, Script};
use super::outcome::UnitResult;
use super::session::Session;
use super::show;
use super::stop::Stop;
use crate::event::Outcome;

/// Calls within calls that a script may make.
const STACK: usize = 60;

/// An argument of a called function.
pub(super) enum Argument<'a> {
    /// The `t` of a unit.
    Test,
    /// The `d` of a driver.
    Driver,
    /// Plain data.
    Json(&'a Json),
}

impl Argument<'_> {
    fn alloc<'v>(&self, session: &Session<'_>, heap: Heap<'v>) -> Value<'v> {
        match self {
            Self::Test => heap.alloc(TestContext::new(session.facts.clone())),
            Self::Driver => heap.alloc(DriverContext::new(session.facts.clone())),
            Self::Json(json) => heap.alloc(*json),
        }
    }
}

/// Calls a function of a script, to its end or the limit's.
pub(super) fn call(
    session: &Session<'_>,
    script: &Script,
    function: &str,
    arguments: &[Argument<'_>],
) -> Result<(), UnitResult> {
    let function = script.0.get(function).map_err(|error| UnitResult {
        outcome: Outcome::Error,
        message: format!("{error:#}"),
        at: None,
        stack: Vec::new(),
        interrupted: false,
        is_bench_fault: false,
    })?;
    session.stopping.set(None);
    let host = Host(session);
    let print = PrintToSteps(session);
    let result = Module::with_temp_heap(|module| {
        let function = module.heap().access_owned_frozen_value(&function);
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&host);
        eval.set_print_handler(&print);
        // Met by an endless loop without any call, too.
        eval.set_check_cancelled(Box::new(|| session.must_stop()));
        eval.set_max_callstack_size(STACK)?;
        eval.set_max_heap_size(HEAP)?;
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| argument.alloc(session, module.heap()))
            .collect();
        eval.eval_function(function, &arguments, &[]).map(|_| ())
    });
    result.map_err(|error| ended(session, &error))
}

fn ended(session: &Session<'_>, error: &starlark::Error) -> UnitResult {
    let script_fault = || Stop::Script(format!("fault in the script: {}", message_of(error)));
    let stop = match (Stop::of(error), session.stopping.get()) {
        (Some(stop), _) => stop.clone(),
        (None, Some(stopped)) => stopped.into(),
        (None, None) => script_fault(),
    };
    let (outcome, message) = session.judge(&stop);
    UnitResult {
        outcome,
        message: show::plain(&message, show::MESSAGE),
        at: error.span().map(Location::of),
        stack: stack(error),
        interrupted: stop == Stop::Stopped(Stopped::Interrupted),
        is_bench_fault: outcome == Outcome::Error
            && matches!(
                stop,
                Stop::Bench(_) | Stop::Silent(_) | Stop::Stopped(Stopped::Deadline)
            ),
    }
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
struct PrintToSteps<'a>(&'a Session<'a>);

impl PrintHandler for PrintToSteps<'_> {
    fn println(&self, text: &str) -> starlark::Result<()> {
        let arguments = serde_json::json!({ "message": show::plain(text, show::MESSAGE) });
        self.0
            .step("print", arguments, |_| Ok(()))
            .map_err(starlark::Error::new_native)
    }
}
