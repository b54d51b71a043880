//! `t.console`: the serial console.

use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::AllocDict;
use starlark::values::float::UnpackFloat;
use starlark::values::none::NoneType;
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, Value};

use super::blob::{Blob, Data};
use super::{namespace, seconds, session};
use crate::session::{Note, Session};
use crate::show;
use crate::stop::Stop;
use provebench_bench::console::{Match, Pattern};

namespace!(
    /// The serial console.
    Console,
    "console",
    console_methods,
    CONSOLE_METHODS
);

#[starlark_module]
fn console_methods(builder: &mut MethodsBuilder) {
    /// Sends text or bytes as they are.
    fn send<'v>(
        #[starlark(this)] _this: Value<'v>,
        data: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let arguments = json!({ "data": shown(data.0) });
        send_as(&*session(eval)?, "console.send", arguments, data.0)
    }

    /// Sends a line: the text and a carriage return.
    fn line<'v>(
        #[starlark(this)] _this: Value<'v>,
        text: Data<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let arguments = json!({ "text": shown(text.0) });
        send_as(
            &*session(eval)?,
            "console.line",
            arguments,
            &[text.0, b"\r"].concat(),
        )
    }

    /// Waits until a regular expression matches what came since the last match.
    fn expect<'v>(
        #[starlark(this)] _this: Value<'v>,
        regex: &str,
        #[starlark(default = UnpackFloat(5.0))] timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let arguments = json!({ "regex": regex, "timeout": timeout.0 });
        session.step("console.expect", arguments, |note| {
            let found = find(&session, regex, timeout.0)?;
            Ok(matched(&found, note, heap))
        })
    }

    /// Like `expect`, but None when nothing matches in time.
    fn try_expect<'v>(
        #[starlark(this)] _this: Value<'v>,
        regex: &str,
        #[starlark(default = UnpackFloat(5.0))] timeout: UnpackFloat,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let heap = eval.heap();
        let session = session(eval)?;
        let arguments = json!({ "regex": regex, "timeout": timeout.0 });
        session.step("console.try_expect", arguments, |note| {
            match find(&session, regex, timeout.0) {
                Ok(found) => Ok(matched(&found, note, heap)),
                Err(Stop::Silent(_)) => {
                    session.hears_nothing();
                    Ok(Value::new_none())
                }
                Err(stop) => Err(stop),
            }
        })
    }

    /// Forgets what was printed so far.
    fn skip<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let session = session(eval)?;
        session.step("console.skip", json!({}), |_| {
            session.setup.bench.console()?.skip();
            Ok(NoneType)
        })
    }

    /// The present position in what the DUT has printed.
    fn mark<'v>(
        #[starlark(this)] _this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<u64> {
        let session = session(eval)?;
        session.step("console.mark", json!({}), |note| {
            let mark = session.setup.bench.console()?.mark();
            note.result = mark.into();
            Ok(mark)
        })
    }

    /// What the DUT has printed since a mark, as a blob.
    fn since<'v>(
        #[starlark(this)] _this: Value<'v>,
        mark: u64,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Blob> {
        since_as(&*session(eval)?, "console.since", mark).map(Blob::new)
    }

    /// What the DUT has printed since a mark, as text.
    fn text_since<'v>(
        #[starlark(this)] _this: Value<'v>,
        mark: u64,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<String> {
        let bytes = since_as(&*session(eval)?, "console.text_since", mark)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn send_as(
    session: &Session,
    name: &str,
    arguments: serde_json::Value,
    data: &[u8],
) -> anyhow::Result<NoneType> {
    session.step(name, arguments, |_| {
        let console = session.setup.bench.console()?;
        session.wait(console.send(data))?;
        Ok(NoneType)
    })
}

fn find(session: &Session, regex: &str, timeout: f64) -> Result<Match, Stop> {
    let timeout = seconds("timeout", timeout)?;
    let pattern = Pattern::new(regex).map_err(|error| {
        Stop::Script(format!(
            "{} is not a valid regular expression: {error}",
            show::text(regex)
        ))
    })?;
    let console = session.setup.bench.console()?;
    session.listens();
    session.wait(console.expect(&pattern, timeout))
}

/// The match as scripts see it.
fn matched<'v>(found: &Match, note: &mut Note, heap: Heap<'v>) -> Value<'v> {
    let text = |bytes: &Vec<u8>| heap.alloc(String::from_utf8_lossy(bytes).into_owned());
    note.result = shown(&found.bytes).into();
    let groups: Vec<_> = found
        .groups
        .iter()
        .map(|group| group.as_ref().map_or(Value::new_none(), text))
        .collect();
    let named = found.named.iter().map(|(name, group)| (name, text(group)));
    heap.alloc(AllocStruct([
        ("text", text(&found.bytes)),
        ("groups", heap.alloc(groups)),
        ("named", heap.alloc(AllocDict(named))),
        ("end", heap.alloc(found.end)),
    ]))
}

fn since_as(session: &Session, name: &str, mark: u64) -> anyhow::Result<Vec<u8>> {
    session.step(name, json!({ "mark": mark }), |note| {
        let console = session.setup.bench.console()?;
        if mark > console.mark() {
            return Err(Stop::Script(format!(
                "{mark} is not a mark of this console"
            )));
        }
        session.listens();
        let bytes = console.since(mark)?;
        note.result = shown(&bytes).into();
        Ok(bytes)
    })
}

pub(super) fn shown(bytes: &[u8]) -> String {
    show::plain(&String::from_utf8_lossy(bytes), 400)
}
