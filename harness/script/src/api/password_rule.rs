//! The rule by which passwords are drawn, as a row of the IXIT declares it, and what chance makes of it.

use std::fmt;

use allocative::Allocative;
use num_bigint::BigInt;
use starlark::any::ProvidesStaticType;
use starlark::environment::{GlobalsBuilder, Methods, MethodsBuilder};
use starlark::values::none::NoneOr;
use starlark::values::{
    NoSerialize, StarlarkPagablePanic, StarlarkValue, Value, ValueLike, starlark_value,
};
use starlark::{starlark_module, starlark_simple_value};

use super::row::IxitRow;
use crate::chance::Rule;
use crate::show;
use crate::stop::Stop;
use provebench_standard::Row;

/// Characters that a password may have: nobody types more.
const LONGEST: i64 = 1024;

/// A rule by which passwords are drawn.
#[derive(Debug, Clone, ProvidesStaticType, NoSerialize, StarlarkPagablePanic, Allocative)]
pub(crate) struct PasswordRule {
    #[allocative(skip)]
    rule: Rule,
}
starlark_simple_value!(PasswordRule);
starlark::methods_static!(RULE_METHODS = rule_methods);

impl fmt::Display for PasswordRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule {
            shortest, longest, ..
        } = &self.rule;
        write!(f, "password_rule({shortest} to {longest} characters)")
    }
}

#[allow(clippy::elidable_lifetime_names)] // the macro takes no other
#[starlark_value(type = "password_rule")]
impl<'v> StarlarkValue<'v> for PasswordRule {
    fn get_methods() -> Option<&'static Methods> {
        Some(RULE_METHODS.methods())
    }
}

impl PasswordRule {
    /// What a row says; that it does not say it, or says what can't be, spoils the row.
    fn of(row: &Row) -> Result<Self, Stop> {
        let said = |field: &str| {
            row.get(field).ok_or_else(|| {
                Stop::Inconclusive(format!(
                    "IXIT {}: {} does not say `{field}`",
                    row.table, row.id
                ))
            })
        };
        let wrong = |field: &str, should: &str| {
            let Row { table, id, .. } = row;
            Stop::Inconclusive(format!(
                "IXIT {table}: `{field}` of {id} has to be {should}"
            ))
        };
        let a_length = || {
            wrong(
                "password_length",
                "a number of characters, or [shortest, longest]",
            )
        };
        let length = |value: &toml::Value| {
            let number = value.as_integer().filter(|n| (1..=LONGEST).contains(n));
            number
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(a_length)
        };
        let (shortest, longest) = match said("password_length")? {
            toml::Value::Array(both) => match both.as_slice() {
                [shortest, longest] => (length(shortest)?, length(longest)?),
                _ => return Err(a_length()),
            },
            both => (length(both)?, length(both)?),
        };
        if shortest > longest {
            return Err(a_length());
        }
        let text = |field: &str, value: &toml::Value| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| wrong(field, "a text"))
        };
        let alphabet = text("password_alphabet", said("password_alphabet")?)?;
        if alphabet.is_empty() {
            return Err(wrong(
                "password_alphabet",
                "the characters that are drawn from",
            ));
        }
        let prefix = row.get("password_prefix");
        let prefix = prefix.map_or(Ok(String::new()), |prefix| text("password_prefix", prefix))?;
        Ok(Self {
            rule: Rule {
                shortest,
                longest,
                alphabet,
                prefix,
            },
        })
    }
}

#[starlark_module]
fn rule_methods(builder: &mut MethodsBuilder) {
    /// Characters of the shortest password.
    #[starlark(attribute)]
    fn shortest(this: &PasswordRule) -> anyhow::Result<u64> {
        Ok(this.rule.shortest as u64)
    }

    /// Characters of the longest password.
    #[starlark(attribute)]
    fn longest(this: &PasswordRule) -> anyhow::Result<u64> {
        Ok(this.rule.longest as u64)
    }

    /// What is drawn from.
    #[starlark(attribute)]
    fn alphabet(this: &PasswordRule) -> anyhow::Result<String> {
        Ok(this.rule.alphabet.clone())
    }

    /// What all passwords begin with.
    #[starlark(attribute)]
    fn prefix(this: &PasswordRule) -> anyhow::Result<String> {
        Ok(this.rule.prefix.clone())
    }

    /// How many passwords it allows; of the shortest ones, which are tried first.
    fn size(this: &PasswordRule) -> anyhow::Result<BigInt> {
        Ok(this.rule.size().into())
    }

    /// Days in which half of the passwords are tried, with a guess in so many milliseconds, by so many at once.
    fn days_to_search(
        this: &PasswordRule,
        milliseconds: u64,
        #[starlark(default = 1)] at_once: u32,
    ) -> anyhow::Result<BigInt> {
        Ok(this
            .rule
            .days_to_search(&milliseconds.into(), at_once)
            .into())
    }

    /// Whether this very password may be found at one of so many places by chance.
    fn is_coincidence(this: &PasswordRule, password: &str, places: u64) -> anyhow::Result<bool> {
        Ok(this.rule.is_coincidence(password, places))
    }

    /// The part that a password and a text share, if it is no coincidence; when so many texts are compared, and each of so
    /// many devices has to share such a part.
    fn shared(
        this: &PasswordRule,
        password: &str,
        text: &str,
        #[starlark(default = 1)] comparisons: u64,
        #[starlark(default = 1)] devices: u32,
    ) -> anyhow::Result<NoneOr<String>> {
        let shared = this.rule.shared(password, text, comparisons, devices);
        Ok(NoneOr::from_option(shared))
    }

    /// Whether any part that they share would be no coincidence, were it the whole password.
    fn can_tell(
        this: &PasswordRule,
        password: &str,
        text: &str,
        #[starlark(default = 1)] comparisons: u64,
        #[starlark(default = 1)] devices: u32,
    ) -> anyhow::Result<bool> {
        let length = this
            .rule
            .telling_length(password, text, comparisons, devices);
        Ok(length.is_some())
    }

    /// How many different letters and digits such a password has at least, but by chance.
    fn fewest_different(this: &PasswordRule, password: &str) -> anyhow::Result<u64> {
        Ok(this.rule.fewest_different(password) as u64)
    }
}

/// Constructor of rules.
#[starlark_module]
pub(crate) fn rule_globals(builder: &mut GlobalsBuilder) {
    /// The rule by which passwords are drawn that a row of IXIT 1-AuthMech declares.
    fn password_rule(#[starlark(require = pos)] row: Value<'_>) -> starlark::Result<PasswordRule> {
        let row = row.downcast_ref::<IxitRow>().ok_or_else(|| {
            let given = show::value(row);
            anyhow::anyhow!("password_rule takes a row of IXIT 1-AuthMech, not {given}")
        })?;
        PasswordRule::of(row.row()).map_err(starlark::Error::new_native)
    }
}
