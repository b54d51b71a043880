//! What decides a unit: `t.expect`, `t.fail`, `t.inconclusive`, `t.ask`.

use serde_json::json;
use starlark::environment::MethodsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::none::NoneType;
use starlark::values::tuple::UnpackTuple;

use super::session;
use crate::show;
use crate::stop::Stop;

/// Functions of `t` only.
#[starlark_module]
pub(super) fn test_methods(builder: &mut MethodsBuilder) {
    /// Fails the unit unless the condition holds.
    fn expect<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(require = pos)] condition: Value<'v>,
        #[starlark(require = pos)] message: &str,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let message = show::format(message, &args.items);
        let holds = condition.to_bool();
        let arguments = json!({ "condition": show::json(condition), "message": message });
        session(eval)?.step("expect", arguments, |_| {
            if holds {
                Ok(NoneType)
            } else {
                Err(Stop::Fail(message.clone()))
            }
        })
    }

    /// Ends the unit: it can't be decided.
    fn inconclusive<'v>(
        #[starlark(this)] _this: Value<'v>,
        #[starlark(require = pos)] message: &str,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let message = show::format(message, &args.items);
        session(eval)?.step("inconclusive", json!({ "message": message }), |_| {
            Err(Stop::Inconclusive(message.clone()))
        })
    }

    /// An assessor's answer to a question; INCONCLUSIVE without one.
    fn ask<'v>(
        #[starlark(this)] _this: Value<'v>,
        id: &str,
        question: &str,
        #[starlark(default = "")] why: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<String> {
        let session = session(eval)?;
        session.step("ask", json!({ "id": id, "question": question }), |note| {
            let attestations = &session.setup.attestations;
            let answer = attestations
                .answer(id, question, &session.setup.device.name)
                .map_err(|missing| {
                    let colon = if why.is_empty() { "" } else { ": " };
                    let message = format!("{why}{colon}question {id}: {question} ({missing})");
                    Stop::Inconclusive(message)
                })?;
            note.result = json!({
                "answer": answer.answer,
                "name": answer.name,
                "date": answer.date.to_string(),
            });
            if let Some((path, content)) = attestations.evidence(answer) {
                let content = content.map_err(|error| {
                    Stop::Inconclusive(format!(
                        "question {id}: its evidence {} cannot be read: {error}",
                        path.display()
                    ))
                })?;
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                let saved = session.keep(&name.unwrap_or_default(), &content)?;
                note.artefacts.push(saved);
            }
            Ok(answer.answer.clone())
        })
    }
}
