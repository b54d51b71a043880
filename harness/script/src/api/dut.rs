//! `t.dut`: the functions of the product's driver.

use std::fmt;

use allocative::Allocative;
use serde_json::{Value as Json, json};
use starlark::any::ProvidesStaticType;
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_simple_value;
use starlark::values::{Heap, NoSerialize, StarlarkPagable, StarlarkValue, Value, starlark_value};

use super::{DriverContext, session};
use crate::error::message_of;
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
    ("change_password", Gives::Struct(&["ok"])),
    ("find_user_data", Gives::List),
    ("has_consent", Gives::Bool),
    ("login", Gives::Bool),
    ("login_interfaces", Gives::List),
    ("measure", Gives::Bool),
    ("model", Gives::Text),
    ("open_session", Gives::Struct(&["ok"])),
    ("own_password", Gives::Text),
    ("read_user_data", Gives::Dict),
    ("reset_methods", Gives::List),
    ("status", Gives::Dict),
    ("try_login", Gives::Struct(&["ok"])),
    ("try_store", Gives::Struct(&["accepted"])),
    ("update", Gives::Struct(&["accepted"])),
    ("update_mechanisms", Gives::List),
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

    /// The password that it has set, if it is the function that changes it, and says that it has.
    fn changed_password<'v>(
        &self,
        result: Value<'v>,
        positional: &[Value<'v>],
        named: &[(&str, Value<'v>)],
        heap: Heap<'v>,
    ) -> Option<String> {
        let is_done = || {
            let ok = result.get_attr("ok", heap).ok().flatten();
            ok.is_some_and(Value::to_bool)
        };
        if self.name != "change_password" || !is_done() {
            return None;
        }
        // change_password(d, old, new)
        let by_name = || {
            named
                .iter()
                .find(|(name, _)| *name == "new")
                .map(|(_, v)| v)
        };
        let new = positional.get(2).or_else(by_name)?;
        new.unpack_str().map(str::to_owned)
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

        let mut arguments = json!({});
        for (i, value) in positional.iter().enumerate().skip(1) {
            arguments[i.to_string()] = show::json(*value);
        }
        for (name, value) in &named {
            arguments[*name] = show::json(*value);
        }
        let said = facts.memory().said();
        recorded(
            &format!("dut.{}", self.name),
            arguments,
            eval,
            |note, eval| {
                let result = eval.eval_function(function, &positional, &named)?;
                self.check(result, &file, heap)?;
                let changed = self.changed_password(result, &positional, &named, heap);
                facts.memory().follow(&self.name, changed, said);
                note.result = show::json(result);
                Ok(result)
            },
        )
    }
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
