//! Which devices and cases a run is about.

mod expression;
mod parse;

pub use expression::Expression;
pub use parse::ExpressionError;

use provebench_bench::inventory::Device;
use provebench_script::Case;

/// Which devices and cases are selected. Of what is not named, all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Names of devices; identifiers of test cases, groups or clauses.
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
    pub(super) devices: Vec<(&'a Device, Vec<&'a Case>)>,
    /// All of them, in the standard's order.
    pub(super) cases: Vec<&'a Case>,
}

impl Filter<'_> {
    pub(super) fn select<'a>(
        &self,
        all_devices: &'a [Device],
        all_cases: &'a [Case],
    ) -> Result<Selected<'a>, FilterError> {
        let mut by_name = Vec::new();
        let mut by_id = Vec::new();
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
                return Err(FilterError::Word { word: word.clone() });
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
        let cases: Vec<&Case> = all_cases
            .iter()
            .filter(|c| by_id.is_empty() || by_id.iter().any(|word| c.id.is_within(word)))
            .filter(|c| case_tags.iter().all(|tag| c.tags.contains(tag)))
            .collect();
        if devices.is_empty() {
            return Err(FilterError::Nothing { what: "device" });
        }
        if cases.is_empty() {
            return Err(FilterError::Nothing { what: "test case" });
        }
        let Some(expression) = self.expression else {
            let devices = devices.into_iter().map(|d| (d, cases.clone())).collect();
            return Ok(Selected { devices, cases });
        };
        expression.check(all_devices, all_cases)?;
        let devices: Vec<(&Device, Vec<&Case>)> = devices
            .into_iter()
            .map(|device| {
                let cases = cases.iter().copied();
                let met = cases.filter(|case| expression.is_met(device, case));
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
            all.any(|selected| selected.id == case.id)
        };
        Ok(Selected {
            cases: cases.into_iter().filter(|case| is_selected(case)).collect(),
            devices,
        })
    }
}
