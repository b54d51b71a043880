//! How TS 103 701 comes to verdicts, and what it asks of those who take part: rules with their clauses.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::compiled::compiled_in;
use crate::{CaseId, InvalidRef, UnitId};

/// All that is known of how verdicts are formed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The edition of TS 103 701 whose clauses are named.
    pub edition: String,
    /// The edition of EN 303 645 that was read beside it.
    pub with: String,
    /// The rules.
    pub rule: Vec<Rule>,
    /// What is asked first.
    pub precedence: Vec<Precedence>,
    /// States of the device in which cases look at it.
    pub state: Vec<InState>,
    /// Cases whose PASS is not simply that every unit holds for every entry.
    pub exception: Vec<Exception>,
    /// Units that apply units of other cases.
    pub reuse: Vec<Reuse>,
    /// Which units compare, and which take expertise.
    pub verbs: Verbs,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub topic: String,
    /// What holds.
    pub rule: String,
    /// How strong it is.
    pub force: Force,
    /// The clause of TS 103 701 v1.1.1.
    pub clause: String,
    /// What EN 303 645 v3.1.3 changes or adds.
    pub en: Option<String>,
    /// What is seen of TS 103 701 v2.1.1.
    pub v2: Option<String>,
    /// What provebench makes of it where the text is silent or leaves a choice.
    pub ours: Option<String>,
}

/// How strong a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Force {
    /// Binding.
    Shall,
    /// Advised.
    Should,
    /// Allowed.
    May,
    /// A note, an example or an informative annex.
    Informative,
    /// What a term means.
    Definition,
    /// The text says nothing.
    Silent,
}

/// In which order a verdict is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precedence {
    /// Case, group or overall.
    pub of: String,
    /// What is asked, first to last.
    pub order: Vec<String>,
}

/// A state of the device in which cases or units look at it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InState {
    /// The cases and units.
    #[serde(rename = "where")]
    pub places: Vec<Place>,
    /// The state.
    pub state: String,
    /// Where that is said.
    pub clause: String,
}

/// A case, or a unit of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    /// The case.
    pub case: CaseId,
    /// The unit; all of the case, if none.
    pub letter: Option<char>,
}

/// Cases whose PASS is not simply that every unit holds for every entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The cases.
    pub cases: Vec<CaseId>,
    /// Units that hold as a whole as soon as they hold for one entry.
    #[serde(default)]
    pub one_row: Vec<UnitId>,
    /// What holds for them.
    pub rule: String,
    /// Where that is said.
    pub clause: String,
    /// What EN 303 645 v3.1.3 says to it.
    pub en: Option<String>,
}

/// A unit that applies units of another case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reuse {
    /// The unit.
    pub unit: UnitId,
    /// The units that it applies.
    pub of: Vec<UnitId>,
    /// What it applies them to.
    pub over: String,
    /// Where that is said.
    pub clause: String,
}

/// What units ask of who performs them (TS 103 701 v1.1.1, clause 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verbs {
    /// Conceptual units that are plain comparisons.
    pub check: Vec<UnitId>,
    /// Conceptual units that take an expert, and that a rule decides here: open to a person's objection.
    pub assess_by_rule: Vec<UnitId>,
    /// Units that are comparisons, and left to a person here.
    pub check_by_person: Vec<UnitId>,
}

impl Rules {
    /// What is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Rules> =
            LazyLock::new(|| compiled_in(include_str!("data/ts-103-701-v2.1.1/verdicts.toml")));
        &SHIPPED
    }

    /// A rule, by its name.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rule.iter().find(|rule| rule.id == id)
    }

    /// What is special about the PASS of a case.
    pub fn exceptions<'a>(&'a self, case: &'a CaseId) -> impl Iterator<Item = &'a Exception> {
        let exceptions = self.exception.iter();
        exceptions.filter(|exception| exception.cases.contains(case))
    }

    /// Whether a unit holds as a whole as soon as it holds for one entry.
    pub fn is_one_row_enough(&self, unit: &UnitId) -> bool {
        self.exception.iter().any(|e| e.one_row.contains(unit))
    }

    /// The units that a unit applies.
    pub fn reused<'a>(&'a self, unit: &'a UnitId) -> impl Iterator<Item = &'a Reuse> {
        self.reuse.iter().filter(|reuse| reuse.unit == *unit)
    }

    /// The states in which a unit looks at the device.
    pub fn states<'a>(&'a self, unit: &'a UnitId) -> impl Iterator<Item = &'a InState> {
        let states = self.state.iter();
        states.filter(|state| state.places.iter().any(|place| place.has(unit)))
    }
}

impl Place {
    /// Whether it is that unit, or the case that it is of.
    pub fn has(&self, unit: &UnitId) -> bool {
        self.case == unit.case && self.letter.is_none_or(|letter| letter == unit.letter)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.case)?;
        self.letter.map_or(Ok(()), |letter| write!(f, " {letter}"))
    }
}

impl FromStr for Place {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        if let Ok(case) = text.parse() {
            return Ok(Self { case, letter: None });
        }
        let UnitId { case, letter } = text.parse()?;
        let letter = Some(letter);
        Ok(Self { case, letter })
    }
}

impl TryFrom<String> for Place {
    type Error = InvalidRef;

    fn try_from(text: String) -> Result<Self, InvalidRef> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_about_a_case_is_found() {
        let rules = Rules::shipped();
        let case = "5.3-2-2".parse().unwrap();
        assert_eq!(rules.exceptions(&case).count(), 1);
        let unit = "5.3-1-2 a".parse().unwrap();
        let of: Vec<String> = rules
            .reused(&unit)
            .flat_map(|r| &r.of)
            .map(ToString::to_string)
            .collect();
        assert_eq!(of, ["5.3-2-2 a", "5.3-2-2 b"]);
    }

    #[test]
    fn a_state_of_a_case_is_one_of_its_units() {
        let states = |unit: &str| Rules::shipped().states(&unit.parse().unwrap()).count();
        assert_eq!(states("5.9-1-2 a"), 1);
        assert_eq!(states("5.1-1-2 c"), 1);
        assert_eq!(states("5.1-1-2 a"), 0);
    }
}
