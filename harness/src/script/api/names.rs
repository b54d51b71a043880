//! The names and parameters of the API: what scripts are checked against before they run.

use std::collections::BTreeMap;

use starlark::docs::{DocMember, DocParams, DocType};

use super::{DriverContext, TestContext, console, power, probe};

/// Members of an object by name; none for what is no function.
pub(in crate::script) type Members = BTreeMap<String, Option<Signature>>;

/// The members of `t` or `d`, and of the namespaces in it.
#[derive(Debug)]
pub(in crate::script) struct Names {
    pub(in crate::script) own: Members,
    pub(in crate::script) spaces: BTreeMap<String, Members>,
}

/// The parameters of a function.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::script) struct Signature {
    /// Parameters by position, and whether they have to be given.
    pub(in crate::script) positional: Vec<(String, bool)>,
    /// Parameters that can be given by name.
    pub(in crate::script) named: Vec<String>,
    /// Takes any number of further arguments by position.
    pub(in crate::script) open: bool,
}

/// What a parameter of that name is by convention: `t` of a unit, `d` of a driver.
pub(in crate::script) fn of_parameter(name: &str) -> Option<Names> {
    let own = match name {
        "t" => members(&DocType::from_starlark_value::<TestContext>()),
        "d" => members(&DocType::from_starlark_value::<DriverContext>()),
        _ => return None,
    };
    let spaces = [
        (
            "console",
            DocType::from_starlark_value::<console::Console>(),
        ),
        ("probe", DocType::from_starlark_value::<probe::Probe>()),
        ("power", DocType::from_starlark_value::<power::Power>()),
    ];
    let spaces = spaces
        .iter()
        .map(|(name, doc)| ((*name).to_owned(), members(doc)));
    Some(Names {
        own,
        spaces: spaces.collect(),
    })
}

/// The members of a type.
pub(super) fn members(doc: &DocType) -> Members {
    let member = |member: &DocMember| match member {
        DocMember::Property(_) => None,
        DocMember::Function(function) => Some(Signature::of(&function.params)),
    };
    let members = doc.members.iter();
    members.map(|(name, m)| (name.clone(), member(m))).collect()
}

impl Signature {
    fn of(params: &DocParams) -> Self {
        let by_position = params.pos_only.iter().chain(&params.pos_or_named);
        let by_name = params.pos_or_named.iter().chain(&params.named_only);
        Self {
            positional: by_position
                .map(|p| (p.name.clone(), p.default_value.is_none()))
                .collect(),
            named: by_name.map(|p| p.name.clone()).collect(),
            open: params.args.is_some(),
        }
    }

    /// What is wrong with a call that gives so many arguments by position and these by name.
    pub(in crate::script) fn fault(&self, positional: usize, named: &[&str]) -> Option<String> {
        if positional > self.positional.len() && !self.open {
            return Some(match self.positional.len() {
                0 => "takes no arguments".to_owned(),
                most => format!("takes at most {most} arguments, not {positional}"),
            });
        }
        if let Some(unknown) = named.iter().find(|n| !self.named.iter().any(|k| k == *n)) {
            return Some(format!("has no parameter {unknown} to be given by name"));
        }
        let missing = self.positional.iter().skip(positional);
        missing
            .filter(|(name, required)| *required && !named.contains(&name.as_str()))
            .map(|(name, _)| format!("needs an argument {name}"))
            .next()
    }
}
