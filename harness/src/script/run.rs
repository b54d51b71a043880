//! Running a function of a loaded script, and what its end means.

use std::cell::Cell;

use serde_json::Value as Json;
use starlark::PrintHandler;
use starlark::environment::{FrozenModule, Module};
use starlark::eval::Evaluator;
use starlark::values::{Heap, Value};

use super::api::{DriverContext, Host, TestContext};
use super::error::{Location, message_of};
use super::limit::Stopped;
use super::module::HEAP;
use super::outcome::UnitResult;
use super::session::Session;
use super::show;
use super::stop::Stop;

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

/// Calls a function of a test case, or of the driver when there's none, to its end or the limit's.
pub(super) fn call(
    session: &Session<'_>,
    case: Option<&FrozenModule>,
    function: &str,
    arguments: &[Argument<'_>],
) -> Result<(), UnitResult> {
    // Set by the evaluator's own check, which an endless loop without any call meets, too.
    let stopped: Cell<Option<Stopped>> = Cell::new(None);
    let limit = session.limit();
    let host = Host(session);
    let print = PrintToSteps(session);
    let result = Module::with_temp_heap(|module| {
        let driver = session.setup.driver;
        // What is imported into a module can't be looked up in it: functions are taken from where they are defined.
        let public = |from: &FrozenModule, name: &str| {
            let function = from.get(name).ok()?;
            Some(module.heap().access_owned_frozen_value(&function))
        };
        for name in driver.functions() {
            if let Some(function) = public(&driver.module, name) {
                module.set(&dut_function(name), function);
            }
        }
        let function = public(case.unwrap_or(&driver.module), function).ok_or_else(|| {
            starlark::Error::new_other(anyhow::anyhow!("there is no function {function}"))
        })?;
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&host);
        eval.set_print_handler(&print);
        eval.set_check_cancelled(Box::new(|| {
            stopped.set(limit.check().err());
            stopped.get().is_some()
        }));
        eval.set_max_callstack_size(STACK)?;
        eval.set_max_heap_size(HEAP)?;
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| argument.alloc(session, module.heap()))
            .collect();
        eval.eval_function(function, &arguments, &[]).map(|_| ())
    });
    result.map_err(|error| ended(session, &error, stopped.get()))
}

/// Under which name a driver's function is kept beside those of the test case.
pub(super) fn dut_function(name: &str) -> String {
    format!("dut.{name}")
}

fn ended(session: &Session<'_>, error: &starlark::Error, stopped: Option<Stopped>) -> UnitResult {
    let script_fault = || Stop::Script(format!("fault in the script: {}", message_of(error)));
    let stop = match (Stop::of(error), stopped) {
        (Some(stop), _) => stop.clone(),
        (None, Some(stopped)) => stopped.into(),
        (None, None) => script_fault(),
    };
    let (outcome, message) = session.judge(&stop);
    UnitResult {
        outcome,
        message: show::plain(&message, 4000),
        at: error.span().map(Location::of),
        stack: stack(error),
        interrupted: stop == Stop::Stopped(Stopped::Interrupted),
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
        let arguments = serde_json::json!({ "message": show::plain(text, 4000) });
        self.0
            .step("print", arguments, |_| Ok(()))
            .map_err(starlark::Error::new_native)
    }
}
