//! `t.dut`: the functions of the product's driver.

use std::fmt;

use allocative::Allocative;
use serde_json::{Value as Json, json};
use starlark::any::ProvidesStaticType;
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_simple_value;
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::structs::{AllocStruct, StructRef};
use starlark::values::{
    AllocValue, Heap, NoSerialize, StarlarkPagable, StarlarkPagablePanic, StarlarkValue, Trace,
    Value, starlark_value,
};

use super::{DriverContext, session};
use crate::error::message_of;
use crate::memory::Changed;
use crate::session::Note;
use crate::show;
use crate::stop::Stop;

/// The device under test, driven by its driver.
#[derive(Debug, Clone, Copy, ProvidesStaticType, NoSerialize, StarlarkPagable, Allocative)]
pub(super) struct Dut;
starlark_simple_value!(Dut);

impl fmt::Display for Dut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dut")
    }
}

#[starlark_value(type = "dut")]
impl<'v> StarlarkValue<'v> for Dut {
    // Which functions there are is known when one is called: the driver is the session's.
    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        Some(heap.alloc(DriverFunction {
            name: attribute.to_owned(),
        }))
    }
}

/// What a function of a driver gives.
#[derive(Debug, Clone, Copy)]
enum Gives {
    Text,
    /// None where there is none at present.
    TextOrNone,
    Bool,
    List,
    Dict,
    /// A struct that has at least these.
    Struct(&'static [&'static str]),
}

/// Of the functions that test cases ask for something (docs/targets.md, "Driver"): a driver that gives something else is
/// told so, before a case trips over it or takes it for the product's answer.
const GIVES: &[(&str, Gives)] = &[
    ("address", Gives::TextOrNone),
    ("await_online", Gives::Bool),
    ("find_user_data", Gives::List),
    ("has_consent", Gives::Bool),
    ("login", Gives::Bool),
    ("measure", Gives::Bool),
    ("model", Gives::Text),
    ("read_user_data", Gives::Dict),
    ("status", Gives::Dict),
    ("try_store", Gives::Struct(&["accepted"])),
    ("user_data_fields", Gives::List),
    ("version", Gives::Text),
];

impl Gives {
    fn is_it<'v>(self, value: Value<'v>, heap: Heap<'v>) -> bool {
        match self {
            Self::Text => value.unpack_str().is_some(),
            Self::TextOrNone => value.is_none() || value.unpack_str().is_some(),
            Self::Bool => value.unpack_bool().is_some(),
            Self::List => ["list", "tuple"].contains(&value.get_type()),
            Self::Dict => value.get_type() == "dict",
            Self::Struct(members) => members.iter().all(|name| {
                value
                    .get_attr(name, heap)
                    .is_ok_and(|found| found.is_some())
            }),
        }
    }
}

impl fmt::Display for Gives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::TextOrNone => f.write_str("a text, or None"),
            Self::Bool => f.write_str("True or False"),
            Self::List => f.write_str("a list"),
            Self::Dict => f.write_str("a dict"),
            Self::Struct(members) => write!(f, "a struct with {}", members.join(", ")),
        }
    }
}

/// A function of the driver, bound to the DUT.
#[derive(Debug, Clone, ProvidesStaticType, NoSerialize, StarlarkPagable, Allocative)]
struct DriverFunction {
    name: String,
}
starlark_simple_value!(DriverFunction);

impl fmt::Display for DriverFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dut.{}", self.name)
    }
}

impl DriverFunction {
    fn check<'v>(&self, result: Value<'v>, file: &str, heap: Heap<'v>) -> starlark::Result<()> {
        let known = GIVES.iter().find(|(name, _)| *name == self.name);
        match known {
            Some((name, gives)) if !gives.is_it(result, heap) => {
                Err(starlark::Error::new_native(Stop::Script(format!(
                    "{name} of the driver {file} returns {}; it has to return {gives} (docs/targets.md, Driver)",
                    show::value(result)
                ))))
            }
            _ => Ok(()),
        }
    }
}

#[starlark_value(type = "dut_function")]
impl<'v> StarlarkValue<'v> for DriverFunction {
    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let session = session(eval)?;
        let driver = &session.setup.driver;
        if !driver.functions().contains(&self.name) {
            let known: Vec<_> = driver.functions().iter().map(String::as_str).collect();
            return Err(starlark::Error::new_native(Stop::Script(format!(
                "the driver {} has no function {}; it has {}. Let the case need dut.{}: then it is not run",
                driver.file(),
                self.name,
                known.join(", "),
                self.name
            ))));
        }
        let heap = eval.heap();
        let function = driver.script.0.get(&self.name)?;
        let function = heap.access_owned_frozen_value(&function);
        let facts = session.facts.clone();
        let mut positional = vec![heap.alloc(DriverContext::new(facts.clone()))];
        let file = driver.file().to_owned();
        drop(session);
        positional.extend(args.positions(heap)?);
        let named = args.names_map()?;
        let named: Vec<_> = named.iter().map(|(k, v)| (k.as_str(), *v)).collect();

        let arguments = arguments_of(&positional[1..], &named);
        let said = facts.memory().said();
        recorded(
            &format!("dut.{}", self.name),
            arguments,
            eval,
            |note, eval| {
                let result = eval.eval_function(function, &positional, &named)?;
                self.check(result, &file, heap)?;
                facts.memory().follow(Changed::by(&self.name), said);
                note.result = show::json(result);
                if BY_ROW.iter().any(|(name, _)| *name == self.name) {
                    return bound(&self.name, result, heap);
                }
                Ok(result)
            },
        )
    }
}

/// Arguments of a call, for its step.
fn arguments_of<'v>(positional: &[Value<'v>], named: &[(&str, Value<'v>)]) -> Json {
    let mut arguments = json!({});
    for (i, value) in positional.iter().enumerate() {
        arguments[(i + 1).to_string()] = show::json(*value);
    }
    for (name, value) in named {
        arguments[*name] = show::json(*value);
    }
    arguments
}

/// Records what `body` lets the script do as a step. The script has the session only while it calls into it.
pub(super) fn recorded<'v, 'a, 'e, R>(
    name: &str,
    arguments: Json,
    eval: &mut Evaluator<'v, 'a, 'e>,
    body: impl FnOnce(&mut Note, &mut Evaluator<'v, 'a, 'e>) -> starlark::Result<R>,
) -> starlark::Result<R> {
    let started = session(eval)?.begin();
    let mut note = Note::default();
    let result = body(&mut note, eval);
    let error = result.as_ref().err().map(message_of);
    session(eval)?.end(&started, name, arguments, note, error.as_deref());
    result
}

/// Functions of a driver that give actions for the rows of an IXIT table: `{row id: struct of functions}`.
pub(crate) const BY_ROW: [(&str, &str); 4] = [
    ("auth_mechanisms", "1-AuthMech"),
    ("update_mechanisms", "7-UpdMech"),
    ("services", "13-SoftServ"),
    ("deletion_functions", "25-DelFunc"),
];

/// Of the actions that test cases ask for something.
const ACTIONS_GIVE: &[(&str, &str, Gives)] = &[
    ("auth_mechanisms", "attempt", Gives::Struct(&["ok"])),
    ("auth_mechanisms", "change", Gives::Struct(&["ok"])),
    ("auth_mechanisms", "own_secret", Gives::Text),
    ("update_mechanisms", "offer", Gives::Struct(&["accepted"])),
    ("services", "open_session", Gives::Struct(&["ok"])),
];

/// An action of a driver for a row, bound to the DUT. Lives as long as the unit.
#[derive(
    Debug, Clone, Trace, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative,
)]
struct Action<'v> {
    function: String,
    row: String,
    name: String,
    #[allocative(skip)]
    does: Value<'v>,
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dut.{}[{}].{}", self.function, self.row, self.name)
    }
}

impl<'v> AllocValue<'v> for Action<'v> {
    fn alloc_value(self, heap: Heap<'v>) -> Value<'v> {
        heap.alloc_complex_no_freeze(self)
    }
}

#[starlark_value(type = "action")]
impl<'v> StarlarkValue<'v> for Action<'v> {
    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let (facts, file) = {
            let session = session(eval)?;
            (
                session.facts.clone(),
                session.setup.driver.file().to_owned(),
            )
        };
        let heap = eval.heap();
        let positional: Vec<_> = args.positions(heap)?.collect();
        let named = args.names_map()?;
        let named: Vec<_> = named.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        let arguments = arguments_of(&positional, &named);
        let said = facts.memory().said();
        recorded(&self.to_string(), arguments, eval, |note, eval| {
            let result = eval.eval_function(self.does, &positional, &named)?;
            let gives = ACTIONS_GIVE
                .iter()
                .find(|(function, name, _)| (*function, *name) == (&self.function, &self.name));
            if let Some((_, _, gives)) = gives
                && !gives.is_it(result, heap)
            {
                return Err(starlark::Error::new_native(Stop::Script(format!(
                    "{self} of the driver {file} returns {}; it has to return {gives} (docs/targets.md, Driver)",
                    show::value(result)
                ))));
            }
            let changed = match (self.function.as_str(), self.name.as_str()) {
                ("deletion_functions", _) => Changed::BackToLabel,
                ("auth_mechanisms", "change") => {
                    let is_done = result.get_attr("ok", heap)?.is_some_and(Value::to_bool);
                    let by_name = || {
                        named
                            .iter()
                            .find(|(name, _)| *name == "new")
                            .map(|(_, v)| v)
                    };
                    let new = positional.get(1).or_else(by_name);
                    match (facts.secret_field("1-AuthMech", &self.row), new) {
                        (Some(field), Some(new)) if is_done => {
                            Changed::of(field, new.unpack_str().unwrap_or_default())
                        }
                        _ => Changed::Nothing,
                    }
                }
                _ => Changed::Nothing,
            };
            facts.memory().follow(changed, said);
            note.result = show::json(result);
            Ok(result)
        })
    }
}

/// What a function of [`BY_ROW`] gave, with its functions bound to the DUT.
fn bound<'v>(function: &str, given: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    let wrong = |what: String| {
        starlark::Error::new_native(Stop::Script(format!(
            "{function} of the driver gives {what}; it has to give a dict of row ids, each with a struct of functions (docs/targets.md, Driver)"
        )))
    };
    let rows = DictRef::from_value(given).ok_or_else(|| wrong(show::value(given)))?;
    let mut bound = Vec::new();
    for (row, actions) in rows.iter() {
        let id = row
            .unpack_str()
            .ok_or_else(|| wrong(format!("a row {}", show::value(row))))?;
        let actions = StructRef::from_value(actions)
            .ok_or_else(|| wrong(format!("{} for {id}", show::value(actions))))?;
        let actions: Vec<(String, Value<'v>)> = actions
            .iter()
            .map(|(name, does)| {
                let action = Action {
                    function: function.to_owned(),
                    row: id.to_owned(),
                    name: name.as_str().to_owned(),
                    does,
                };
                (name.as_str().to_owned(), heap.alloc(action))
            })
            .collect();
        bound.push((row, heap.alloc(AllocStruct(actions))));
    }
    Ok(heap.alloc(AllocDict(bound)))
}
