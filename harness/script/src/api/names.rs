//! The names and parameters of the API: what scripts are checked against before they run.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use starlark::docs::{DocMember, DocParams, DocType};

use super::{DriverContext, TestContext, console, net, power, probe, services};

/// Members of an object by name; none for what is no function.
pub(crate) type Members = BTreeMap<String, Option<Signature>>;

/// The members of `t` or `d`, and of the namespaces in it.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) own: Members,
    pub(crate) spaces: BTreeMap<String, Members>,
    /// Of a service of a target, which is in that space.
    pub(crate) service: Members,
}

/// The space in which each target has names of its own.
pub(crate) const OPEN_SPACE: &str = "services";

/// The parameters of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// Parameters by position, and whether they have to be given.
    pub(crate) positional: Vec<(String, bool)>,
    /// Parameters that can be given by name.
    pub(crate) named: Vec<String>,
    /// Takes any number of further arguments by position.
    pub(crate) open: bool,
}

static OF_T: LazyLock<Names> =
    LazyLock::new(|| names(&DocType::from_starlark_value::<TestContext>()));
static OF_D: LazyLock<Names> =
    LazyLock::new(|| names(&DocType::from_starlark_value::<DriverContext>()));

/// What a parameter of that name is by convention: `t` of a unit, `d` of a driver.
pub(crate) fn of_parameter(name: &str) -> Option<&'static Names> {
    match name {
        "t" => Some(&OF_T),
        "d" => Some(&OF_D),
        _ => None,
    }
}

fn names(own: &DocType) -> Names {
    let spaces = [
        (
            "console",
            DocType::from_starlark_value::<console::Console>(),
        ),
        ("probe", DocType::from_starlark_value::<probe::Probe>()),
        ("power", DocType::from_starlark_value::<power::Power>()),
        ("net", DocType::from_starlark_value::<net::Net>()),
        (
            "services",
            DocType::from_starlark_value::<services::Services>(),
        ),
    ];
    let spaces = spaces
        .iter()
        .map(|(name, doc)| ((*name).to_owned(), members(doc)));
    Names {
        own: members(own),
        spaces: spaces.collect(),
        service: members(&DocType::from_starlark_value::<services::Service>()),
    }
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
    pub(crate) fn fault(&self, positional: usize, named: &[&str]) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;
    use crate::api::blob::Blob;
    use crate::api::password_rule::PasswordRule;
    use crate::module;

    const REFERENCE: &str = include_str!("../../../../docs/writing-tests.md");

    /// What the tables under a heading say: `name(parameter, optional = value, *rest)` or `name`.
    fn described(heading: &str) -> BTreeSet<String> {
        let (_, section) = REFERENCE
            .split_once(&format!("\n### {heading}\n"))
            .unwrap_or_else(|| panic!("a section {heading}"));
        let section = section.split("\n#").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        let code = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        code.map(without_values).collect()
    }

    /// `f(a, b = ?)` for `f(a, b = 1)`: what values stand for is not known to starlark.
    fn without_values(signature: &str) -> String {
        let Some((name, parameters)) = signature.split_once('(') else {
            return signature.to_owned();
        };
        let parameters = parameters.trim_end_matches(')').split(", ");
        let parameters = parameters.map(|parameter| match parameter.split_once(" = ") {
            Some((name, _)) => format!("{name} = ?"),
            None => parameter.to_owned(),
        });
        format!("{name}({})", parameters.collect::<Vec<_>>().join(", "))
    }

    fn real(members: &Members) -> BTreeSet<String> {
        let shown = members.iter().map(|(name, signature)| match signature {
            None => name.clone(),
            Some(signature) => shown(name, signature),
        });
        shown.collect()
    }

    fn shown(name: &str, signature: &Signature) -> String {
        let mut parameters: Vec<_> = signature
            .positional
            .iter()
            .map(|(name, required)| name.clone() + if *required { "" } else { " = ?" })
            .collect();
        if signature.open {
            parameters.push("*args".into());
        }
        format!("{name}({})", parameters.join(", "))
    }

    fn space(name: &str) -> Members {
        let t = of_parameter("t").expect("t is known");
        t.spaces[name].clone()
    }

    #[rstest]
    #[case("`t`", of_parameter("t").expect("t is known").own.clone())]
    #[case("`t.console`", space("console"))]
    #[case("`t.probe`", space("probe"))]
    #[case("`t.power`", space("power"))]
    #[case("`t.net`", space("net"))]
    #[case("`t.services`", space("services"))]
    #[case("A service", members(&DocType::from_starlark_value::<services::Service>()))]
    #[case("Blobs", members(&DocType::from_starlark_value::<Blob>()))]
    #[case("Password rules", members(&DocType::from_starlark_value::<PasswordRule>()))]
    fn the_reference_tells_all_there_is(#[case] heading: &str, #[case] members: Members) {
        assert_eq!(described(heading), real(&members));
    }

    #[test]
    fn the_reference_tells_all_globals() {
        let names = |all: BTreeSet<String>| -> BTreeSet<String> {
            let names = all.into_iter();
            names
                .filter_map(|s| Some(s.split_once('(')?.0.to_owned()))
                .collect()
        };
        let told = names(described("Globals"));
        let globals: BTreeSet<_> = module::globals()
            .names()
            .map(|name| name.as_str().to_owned())
            .filter(|name| {
                name.starts_with("blob")
                    || ["case", "hex", "password_rule"].contains(&name.as_str())
            })
            .collect();
        assert_eq!(told, globals);
    }

    #[test]
    fn no_service_hides_behind_a_function() {
        let words: BTreeSet<String> = provebench_network::services::SCRIPT_WORDS
            .map(str::to_owned)
            .into();
        assert_eq!(
            space(OPEN_SPACE).into_keys().collect::<BTreeSet<_>>(),
            words
        );
    }

    #[test]
    fn d_does_not_judge_and_knows_secrets() {
        let names = |name| -> BTreeSet<String> {
            let own = &of_parameter(name).expect("known").own;
            own.keys().cloned().collect()
        };
        let t = names("t");
        let d = names("d");
        let only_t: Vec<_> = t.difference(&d).map(String::as_str).collect();
        assert_eq!(only_t, ["ask", "dut", "expect", "inconclusive"]);
        let only_d: Vec<_> = d.difference(&t).map(String::as_str).collect();
        assert_eq!(only_d, ["set_secret"]);
    }
}
