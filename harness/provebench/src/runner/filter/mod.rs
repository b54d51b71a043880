//! Which devices and cases a run is about.

mod error;
mod expression;
mod parse;

pub use error::ExpressionError;
pub use expression::Expression;

use std::collections::BTreeSet;

use provebench_bench::inventory::Device;
use provebench_script::{Case, Unit};
use provebench_standard::CaseId;

/// Which devices and cases are selected. Of what is not named, all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Names of devices; identifiers of test cases, groups or clauses; units of a test case (`5.11-1-2:b,d`).
    pub words: &'a [String],
    /// Tags of devices or test cases.
    pub tags: &'a [String],
    /// What is left of that must meet it, case by case on each device.
    pub expression: Option<&'a Expression>,
}

/// A filter that selects nothing.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FilterError {
    /// A word that is nothing's name.
    #[error("`{word}` matches no device, test case, test group or clause")]
    #[diagnostic(
        code(filter),
        help("`provebench list devices` and `provebench list cases` show what there is")
    )]
    Word {
        /// The word.
        word: String,
    },
    /// Units of what is no test case.
    #[error("`{word}`: there is no test case `{case}`")]
    #[diagnostic(
        code(filter),
        help(
            "units are selected of a test case, as in 5.11-1-2:b; `provebench list cases` shows what there is"
        )
    )]
    NoCase {
        /// The word.
        word: String,
        /// What stands for the test case.
        case: String,
    },
    /// A unit that a test case has not.
    #[error("`{word}`: test case {case} has no unit `{unit}`")]
    #[diagnostic(
        code(filter),
        help("its units are {known}; several are selected as in 5.11-1-2:b,d")
    )]
    NoUnit {
        /// The word.
        word: String,
        /// The test case.
        case: CaseId,
        /// What stands for the unit.
        unit: String,
        /// The units that there are.
        known: String,
    },
    /// A tag that nothing has.
    #[error("no device or test case has the tag `{tag}`")]
    #[diagnostic(
        code(filter),
        help("`provebench list devices` and `provebench list cases` show tags")
    )]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The expression.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Expression(#[from] ExpressionError),
    /// All is known, but together they select nothing.
    #[error("nothing is selected: no {what} has all that was asked for")]
    #[diagnostic(code(filter), help("leave out a filter, or a tag"))]
    Nothing {
        /// `device` or `test case`
        what: &'static str,
    },
}

/// What a filter selects.
pub(super) struct Selected<'a> {
    /// Each with the cases that are selected on it, in the standard's order.
    pub(super) devices: Vec<(&'a Device, Vec<SelectedCase<'a>>)>,
    /// All of them, in the standard's order.
    pub(super) cases: Vec<&'a Case>,
}

/// A case of which some units are selected.
#[derive(Clone)]
pub(super) struct SelectedCase<'a> {
    pub(super) case: &'a Case,
    /// The others.
    pub(super) unselected: BTreeSet<char>,
}

impl<'a> SelectedCase<'a> {
    /// None if no unit is selected.
    fn new(case: &'a Case, is_selected: impl Fn(&Unit) -> bool) -> Option<Self> {
        let left_out = case.units.iter().filter(|unit| !is_selected(unit));
        let unselected: BTreeSet<char> = left_out.map(|unit| unit.letter).collect();
        (unselected.len() < case.units.len()).then_some(Self { case, unselected })
    }

    fn narrowed(&self, is_selected: impl Fn(&Unit) -> bool) -> Option<Self> {
        Self::new(self.case, |unit| {
            !self.unselected.contains(&unit.letter) && is_selected(unit)
        })
    }
}

/// Units that a word such as `5.11-1-2:b,d` names; none if it names no units.
fn units_of(
    word: &str,
    all_cases: &[Case],
) -> Result<Option<(CaseId, BTreeSet<char>)>, FilterError> {
    let Some((id, letters)) = word.split_once(':') else {
        return Ok(None);
    };
    let id = id.trim();
    let mut cases = all_cases.iter();
    let case = cases.find(|case| case.id.to_string() == id);
    let case = case.ok_or_else(|| FilterError::NoCase {
        word: word.to_owned(),
        case: id.to_owned(),
    })?;
    let letters = letters.split(',').map(|unit| {
        let mut units = case.units.iter().map(|known| known.letter);
        let known = units.find(|known| known.to_string() == unit.trim());
        known.ok_or_else(|| {
            let known: Vec<String> = case.units.iter().map(|u| u.letter.to_string()).collect();
            FilterError::NoUnit {
                word: word.to_owned(),
                case: case.id.clone(),
                unit: unit.trim().to_owned(),
                known: known.join(", "),
            }
        })
    });
    Ok(Some((case.id.clone(), letters.collect::<Result<_, _>>()?)))
}

impl Filter<'_> {
    pub(super) fn select<'a>(
        &self,
        all_devices: &'a [Device],
        all_cases: &'a [Case],
    ) -> Result<Selected<'a>, FilterError> {
        let mut by_name = Vec::new();
        let mut by_id = Vec::new();
        let mut by_unit = Vec::new();
        for word in self.words {
            let is_device = all_devices.iter().any(|d| d.name == *word);
            let is_case = all_cases.iter().any(|c| c.id.is_within(word));
            if is_device {
                by_name.push(word);
            }
            if is_case {
                by_id.push(word);
            }
            if !is_device && !is_case {
                match units_of(word, all_cases)? {
                    Some(units) => by_unit.push(units),
                    None => return Err(FilterError::Word { word: word.clone() }),
                }
            }
        }
        let mut device_tags = Vec::new();
        let mut case_tags = Vec::new();
        for tag in self.tags {
            let of_device = all_devices.iter().any(|d| d.tags.contains(tag));
            let of_case = all_cases.iter().any(|c| c.tags.contains(tag));
            if of_device {
                device_tags.push(tag);
            }
            if of_case {
                case_tags.push(tag);
            }
            if !of_device && !of_case {
                return Err(FilterError::Tag { tag: tag.clone() });
            }
        }
        let devices: Vec<&Device> = all_devices
            .iter()
            .filter(|d| by_name.is_empty() || by_name.contains(&&d.name))
            .filter(|d| device_tags.iter().all(|tag| d.tags.contains(tag)))
            .collect();
        let names_cases = !by_id.is_empty() || !by_unit.is_empty();
        let is_named = |case: &Case, unit: &Unit| {
            let by_unit = || by_unit.iter().filter(|(id, _)| *id == case.id);
            !names_cases
                || by_id.iter().any(|word| case.id.is_within(word))
                || by_unit().any(|(_, letters)| letters.contains(&unit.letter))
        };
        let cases: Vec<SelectedCase<'_>> = all_cases
            .iter()
            .filter(|c| case_tags.iter().all(|tag| c.tags.contains(tag)))
            .filter_map(|case| SelectedCase::new(case, |unit| is_named(case, unit)))
            .collect();
        if devices.is_empty() {
            return Err(FilterError::Nothing { what: "device" });
        }
        if cases.is_empty() {
            return Err(FilterError::Nothing { what: "test case" });
        }
        let Some(expression) = self.expression else {
            let devices = devices.into_iter().map(|d| (d, cases.clone())).collect();
            let cases = cases.into_iter().map(|selected| selected.case).collect();
            return Ok(Selected { devices, cases });
        };
        expression.check(all_devices, all_cases)?;
        let devices: Vec<(&Device, Vec<SelectedCase<'_>>)> = devices
            .into_iter()
            .map(|device| {
                let cases = cases.iter();
                let met = cases.filter_map(|selected| {
                    selected.narrowed(|unit| expression.is_met(device, selected.case, unit))
                });
                (device, met.collect())
            })
            .filter(|(_, cases): &(_, Vec<_>)| !cases.is_empty())
            .collect();
        if devices.is_empty() {
            return Err(FilterError::Nothing {
                what: "test case on any device",
            });
        }
        let is_selected = |case: &Case| {
            let mut all = devices.iter().flat_map(|(_, cases)| cases);
            all.any(|selected| selected.case.id == case.id)
        };
        let cases = cases.iter().map(|selected| selected.case);
        Ok(Selected {
            cases: cases.filter(|case| is_selected(case)).collect(),
            devices,
        })
    }
}
