//! What a unit runs for: the product as a whole, or each row of an IXIT table that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use starlark::environment::{FrozenModule, Module};
use starlark::eval::Evaluator;
use starlark::values::dict::DictRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::{UnpackValue, Value};

use super::api::IxitRow;
use super::confined;
use super::error::message_of;
use super::stop::Stop;
use super::suite::{Case, Unit};
use provebench_record::event::{End, Fault};
use provebench_standard::{IXIT_TABLES, Ixit, Row, UnitName};

/// How long asking may take. Generous: it only ends what would hang.
const LONGEST: Duration = Duration::from_mins(1);
/// Bytes that `where` may take, and how many thousand steps.
const MEMORY: usize = 256 << 20;
const CHECKS: u64 = 500;

/// One run of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitRun {
    /// What its result is called.
    pub name: UnitName,
    /// The row that it is for; none for the product as a whole.
    pub row: Option<Row>,
    /// How it ends without being run, and why: there is no row for it, or it can't be told whether the row is one.
    pub settled: Option<(End, String)>,
}

impl UnitRun {
    /// Of a unit that is about the product as a whole.
    pub fn of_product(letter: char) -> Self {
        Self {
            name: letter.into(),
            row: None,
            settled: None,
        }
    }

    fn settled(name: UnitName, end: End, why: String) -> Self {
        Self {
            name,
            row: None,
            settled: Some((end, why)),
        }
    }
}

/// `for_each` of a case: the tables whose rows units run for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForEach {
    /// Of all units that take a row.
    pub(super) all: Vec<String>,
    /// Of single ones, by their letters.
    pub(super) of_unit: BTreeMap<char, Vec<String>>,
}

impl ForEach {
    /// From the argument of `case`: a table, a list of tables, or either by the letters of units.
    pub(super) fn parse(argument: Value<'_>) -> anyhow::Result<Self> {
        let mut parsed = Self::default();
        if argument.is_none() {
            return Ok(parsed);
        }
        let Some(units) = DictRef::from_value(argument) else {
            parsed.all = tables(argument)?;
            return Ok(parsed);
        };
        for (key, value) in units.iter() {
            let letter = letter(key).ok_or_else(|| {
                anyhow::anyhow!(
                    "for_each has the key {key}; its keys are letters of units, such as \"a\""
                )
            })?;
            parsed.of_unit.insert(letter, tables(value)?);
        }
        Ok(parsed)
    }

    pub(super) fn tables(&self, letter: char) -> &[String] {
        self.of_unit.get(&letter).unwrap_or(&self.all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.of_unit.is_empty()
    }
}

fn letter(key: Value<'_>) -> Option<char> {
    let mut letters = key.unpack_str()?.chars();
    match (letters.next(), letters.next()) {
        (Some(letter @ 'a'..='z'), None) => Some(letter),
        _ => None,
    }
}

fn tables(value: Value<'_>) -> anyhow::Result<Vec<String>> {
    let names = match value.unpack_str() {
        Some(name) => vec![name.to_owned()],
        None => UnpackListOrTuple::<String>::unpack_value(value)
            .ok()
            .flatten()
            .map(|all| all.items)
            .ok_or_else(|| {
                anyhow::anyhow!("for_each = {value} is neither an IXIT table nor a list of such")
            })?,
    };
    known_tables("for_each", names.iter())?;
    Ok(names)
}

pub(super) fn known_tables<'a>(
    argument: &str,
    mut names: impl Iterator<Item = &'a String>,
) -> anyhow::Result<()> {
    match names.find(|name| !IXIT_TABLES.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(anyhow::anyhow!(
            "{argument} names an IXIT table \"{name}\"; there are {}",
            IXIT_TABLES.join(", ")
        )),
    }
}

impl Case {
    /// What is run on a product that declares this: its units in order, each for every row that it is for. A unit that
    /// no row is for has a run that says so.
    pub fn runs(&self, ixit: &Ixit) -> Vec<UnitRun> {
        let mut runs = Vec::new();
        for unit in &self.units {
            runs.extend(self.runs_of(unit, ixit));
        }
        runs
    }

    /// The same of one unit.
    pub fn runs_of(&self, unit: &Unit, ixit: &Ixit) -> Vec<UnitRun> {
        let letter = unit.letter;
        if unit.for_each.is_empty() {
            return vec![UnitRun::of_product(letter)];
        }
        let rows: Vec<Row> = unit.for_each.iter().flat_map(|t| ixit.rows(t)).collect();
        let all = rows.len();
        let (rows, words) = match self.matching(letter, rows) {
            Ok(matching) => matching,
            Err(fault) => {
                let fault =
                    format!("which rows of the IXIT this unit is for can't be told: {fault}");
                return vec![UnitRun::settled(
                    letter.into(),
                    End::Fault(Fault::Script),
                    fault,
                )];
            }
        };
        if rows.is_empty() {
            let tables = unit.for_each.join(" and ");
            let why = match (all, words) {
                (_, Some(words)) => {
                    format!("IXIT {tables} has no row that {words}: nothing to try")
                }
                (0, None) => format!("IXIT {tables} declares nothing: nothing to try"),
                (_, None) => {
                    format!("IXIT {tables} has no row that this unit is for: nothing to try")
                }
            };
            return vec![UnitRun::settled(letter.into(), End::Inconclusive, why)];
        }
        let mut names = BTreeSet::new();
        rows.into_iter()
            .map(|(row, settled)| {
                let mut name = UnitName::of_row(letter, &row.id);
                if !names.insert(name.clone()) {
                    // Of two tables.
                    name = UnitName::of_row(letter, &format!("{}: {}", row.table, row.id));
                    names.insert(name.clone());
                }
                UnitRun {
                    name,
                    row: Some(row),
                    settled,
                }
            })
            .collect()
    }

    /// The rows that `where` of a unit holds for, or can't be asked about; and what it asks for, in words.
    fn matching(
        &self,
        letter: char,
        rows: Vec<Row>,
    ) -> Result<(Vec<Matching>, Option<String>), String> {
        let has_where = self.script.0.extra_value().is_some();
        if !has_where {
            return Ok((rows.into_iter().map(|row| (row, None)).collect(), None));
        }
        let script = self.script.clone();
        let work = move |_: &_| ask(&script.0, letter, rows);
        let began = Instant::now();
        let is_over = || began.elapsed() > LONGEST;
        confined::run(MEMORY, confined::GRACE, is_over, work)
            .unwrap_or_else(|lost| Err(lost.to_string()))
    }
}

/// A row, and how its run ends if it can't be told whether the unit is for it.
type Matching = (Row, Option<(End, String)>);

/// Asks `where` about each of the rows.
fn ask(
    script: &FrozenModule,
    letter: char,
    rows: Vec<Row>,
) -> Result<(Vec<Matching>, Option<String>), String> {
    let Some(argument) = script.owned_extra_value() else {
        return Ok((Vec::new(), None));
    };
    let checks = AtomicU64::new(0);
    let asked = Module::with_temp_heap(|module| {
        let argument = module.heap().access_owned_frozen_value(&argument);
        let is_it = match DictRef::from_value(argument) {
            Some(units) => units.get_str(&letter.to_string()),
            None => Some(argument),
        };
        let Some(is_it) = is_it else {
            return Ok((rows.into_iter().map(|row| (row, None)).collect(), None));
        };
        let mut eval = Evaluator::new(&module);
        eval.set_check_cancelled(Box::new(|| checks.fetch_add(1, Relaxed) + 1 == CHECKS));
        eval.set_max_heap_size(MEMORY)?;
        let mut matching = Vec::new();
        for row in rows {
            let value = module.heap().alloc(IxitRow::new(row.clone()));
            match eval.eval_function(is_it, &[value], &[]) {
                Ok(answer) if answer.to_bool() => matching.push((row, None)),
                Ok(_) => {}
                Err(error) => {
                    let settled = match Stop::of(&error) {
                        Some(Stop::Inconclusive(why)) => (End::Inconclusive, why.clone()),
                        _ => (
                            End::Fault(Fault::Script),
                            format!("`where` of the case: {}", message_of(&error)),
                        ),
                    };
                    matching.push((row, Some(settled)));
                }
            }
        }
        Ok::<_, starlark::Error>((matching, words(is_it)))
    });
    asked.map_err(|error| message_of(&error))
}

/// The docstring of `where`, which says what it asks of a row.
fn words(is_it: Value<'_>) -> Option<String> {
    let doc = is_it.documentation();
    let doc = doc.get_doc_string()?;
    let words = doc.summary.trim().trim_end_matches('.');
    (!words.is_empty()).then(|| words.to_owned())
}
