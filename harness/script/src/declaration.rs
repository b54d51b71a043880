//! `case(...)`: what a test case says about itself.

// Named ones, in scripts.
#![allow(clippy::too_many_arguments)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use starlark::any::ProvidesStaticType;
use starlark::codemap::FileSpan;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::dict::UnpackDictEntries;
use starlark::values::float::UnpackFloat;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::{NoneOr, NoneType};

use super::rows::{ForEach, known_tables};
use provebench_bench::Capability;
use provebench_record::text::number;
use provebench_standard::CaseId;

/// State of the DUT, as in annex A of TS 103 701.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// As delivered, or after a factory reset.
    FactoryDefault,
    /// Set up by a user.
    Initialized,
    /// The case takes any.
    Any,
}

/// Which sample of the product the DUT is personalised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sample {
    /// Debug port open.
    Engineering,
    /// As shipped to customers.
    Production,
    /// The case takes any.
    Any,
}

macro_rules! words {
    ($type:ty, $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The word in scripts.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            const WORDS: &[&str] = &[$($word),+];
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
words!(
    State,
    FactoryDefault = "factory-default",
    Initialized = "initialized",
    Any = "any"
);
words!(
    Sample,
    Engineering = "engineering",
    Production = "production",
    Any = "any"
);

/// The arguments of `case(...)`, checked.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) id: CaseId,
    pub(super) state: State,
    pub(super) sample: Sample,
    pub(super) needs: Vec<Capability>,
    pub(super) unit_needs: UnitNeeds,
    pub(super) pass_needs: UnitNeeds,
    pub(super) alters_firmware: bool,
    pub(super) deadline: Duration,
    pub(super) tags: Vec<String>,
    pub(super) for_each: ForEach,
    /// IXIT tables of the catalogue that its code does not read, each with the reason.
    pub(super) unread: BTreeMap<String, String>,
}

/// Needs of single units, by their letters.
pub(super) type UnitNeeds = BTreeMap<char, Vec<Capability>>;

/// What `case(...)` leaves behind while a file is loaded.
// No unsafe code is written here: the derive of `ProvidesStaticType` expands to `unsafe impl`.
#[allow(unsafe_code)]
mod declared {
    use super::{Declaration, FileSpan, ProvidesStaticType, RefCell};

    #[derive(Debug, Default, ProvidesStaticType)]
    pub(crate) struct Declared(pub(crate) RefCell<Vec<(Declaration, Option<FileSpan>)>>);
}
pub(super) use declared::Declared;

const DEFAULT_DEADLINE: f64 = 120.0;

/// A deadline longer than this is a slip of the pen.
const LONGEST_DEADLINE: f64 = 7.0 * 86_400.0;

/// The global function `case`.
#[starlark_module]
pub(super) fn case_global(builder: &mut GlobalsBuilder) {
    /// Declares the test case. Called exactly once, when the file is loaded.
    fn case<'v>(
        #[starlark(require = named)] id: &str,
        #[starlark(require = named, default = "any")] state: &str,
        #[starlark(require = named, default = "any")] sample: &str,
        #[starlark(require = named, default = UnpackListOrTuple::default())]
        needs: UnpackListOrTuple<String>,
        #[starlark(require = named, default = UnpackDictEntries::default())]
        unit_needs: UnpackDictEntries<String, UnpackListOrTuple<String>>,
        #[starlark(require = named, default = UnpackDictEntries::default())]
        pass_needs: UnpackDictEntries<String, UnpackListOrTuple<String>>,
        #[starlark(require = named, default = false)] alters_firmware: bool,
        #[starlark(require = named, default = UnpackFloat(DEFAULT_DEADLINE))] deadline: UnpackFloat,
        #[starlark(require = named, default = UnpackListOrTuple::default())]
        tags: UnpackListOrTuple<String>,
        #[starlark(require = named, default = NoneOr::None)] for_each: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] r#where: NoneOr<Value<'v>>,
        #[starlark(require = named, default = UnpackDictEntries::default())]
        unread: UnpackDictEntries<String, String>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let declared = eval
            .extra
            .and_then(|extra| extra.downcast_ref::<Declared>())
            .ok_or_else(|| {
                anyhow::anyhow!("case() is called once, at the top level of a test case's file")
            })?;
        anyhow::ensure!(
            deadline.0 > 0.0 && deadline.0 <= LONGEST_DEADLINE,
            "deadline = {} is not a valid duration: seconds above 0, up to a week",
            number(deadline.0)
        );
        let declaration = Declaration {
            id: id.parse()?,
            state: State::parse(state).ok_or_else(|| unknown("state", state, State::WORDS))?,
            sample: Sample::parse(sample)
                .ok_or_else(|| unknown("sample", sample, Sample::WORDS))?,
            needs: parsed(&needs)?,
            unit_needs: by_unit("unit_needs", &unit_needs)?,
            pass_needs: by_unit("pass_needs", &pass_needs)?,
            alters_firmware,
            deadline: Duration::from_secs_f64(deadline.0),
            tags: tags.items,
            for_each: ForEach::parse(for_each.into_option().unwrap_or_else(Value::new_none))?,
            unread: unread.entries.into_iter().collect(),
        };
        known_tables("unread", declaration.unread.keys())?;
        anyhow::ensure!(
            !declaration
                .unread
                .values()
                .any(|reason| reason.trim().is_empty()),
            "unread = ... gives a reason for each table"
        );
        if let Some(is_it) = r#where.into_option() {
            anyhow::ensure!(
                !declaration.for_each.is_empty(),
                "where = ... says for which rows of a table units run; say which table with for_each"
            );
            // Functions are frozen with the file; they are asked when there is a product.
            eval.module().set_extra_value(is_it);
        }
        let at = eval.call_stack_top_location();
        declared.0.borrow_mut().push((declaration, at));
        Ok(NoneType)
    }
}

fn parsed(words: &UnpackListOrTuple<String>) -> anyhow::Result<Vec<Capability>> {
    let words = words.items.iter();
    Ok(words.map(|word| word.parse()).collect::<Result<_, _>>()?)
}

fn by_unit(
    argument: &str,
    entries: &UnpackDictEntries<String, UnpackListOrTuple<String>>,
) -> anyhow::Result<UnitNeeds> {
    let mut needs = UnitNeeds::new();
    for (key, words) in &entries.entries {
        let mut letters = key.chars();
        let (Some(letter @ 'a'..='z'), None) = (letters.next(), letters.next()) else {
            anyhow::bail!(
                "{argument} has the key \"{key}\"; its keys are letters of units, such as \"a\""
            );
        };
        needs.insert(letter, parsed(words)?);
    }
    Ok(needs)
}

fn unknown(what: &str, word: &str, known: &[&str]) -> anyhow::Error {
    anyhow::anyhow!("unknown {what} \"{word}\"; known are {}", known.join(", "))
}
