//! What a result is about: a test unit, and the row of the IXIT that it was tried on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A test unit of a case, as results name it: `b`, or `b [AuthMech-Api]` where it runs for each row of an IXIT table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName {
    /// `a` to `z`.
    pub letter: char,
    /// The row, by its id; none where the unit is about the product as a whole.
    pub row: Option<String>,
}

/// A text that names no unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no test unit: it is a letter, or a letter and the row of an IXIT table, as in `b [AuthMech-Api]`"
)]
pub struct InvalidUnitName(String);

/// Longest id of a row in a unit's name, in characters.
pub(super) const LONGEST_ROW: usize = 100;

impl UnitName {
    /// A unit for one row.
    pub fn of_row(letter: char, row: &str) -> Self {
        Self {
            letter,
            row: Some(row.to_owned()),
        }
    }
}

impl From<char> for UnitName {
    fn from(letter: char) -> Self {
        Self { letter, row: None }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.row {
            None => write!(f, "{}", self.letter),
            Some(row) => write!(f, "{} [{row}]", self.letter),
        }
    }
}

impl FromStr for UnitName {
    type Err = InvalidUnitName;

    fn from_str(text: &str) -> Result<Self, InvalidUnitName> {
        let invalid = || InvalidUnitName(text.to_owned());
        let mut rest = text.chars();
        let letter = rest.next().filter(char::is_ascii_lowercase);
        let letter = letter.ok_or_else(invalid)?;
        let row = match rest.as_str() {
            "" => None,
            row => {
                let row = row.strip_prefix(" [").and_then(|row| row.strip_suffix(']'));
                let is_row = |row: &&str| {
                    !row.is_empty()
                        && row.chars().count() <= LONGEST_ROW
                        && !row.chars().any(char::is_control)
                };
                Some(row.filter(is_row).ok_or_else(invalid)?.to_owned())
            }
        };
        Ok(Self { letter, row })
    }
}

impl TryFrom<String> for UnitName {
    type Error = InvalidUnitName;

    fn try_from(text: String) -> Result<Self, InvalidUnitName> {
        text.parse()
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("b", UnitName::from('b'))]
    #[case("b [AuthMech-Api]", UnitName::of_row('b', "AuthMech-Api"))]
    #[case("b [odd] name]", UnitName::of_row('b', "odd] name"))]
    fn names_are_read_as_they_are_shown(#[case] text: &str, #[case] name: UnitName) {
        assert_eq!(text.parse(), Ok(name.clone()));
        assert_eq!(name.to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("B")]
    #[case("ab")]
    #[case("b []")]
    #[case("b AuthMech-Api")]
    #[case("b [a\nb]")]
    fn other_texts_are_none(#[case] text: &str) {
        assert!(text.parse::<UnitName>().is_err());
    }

    #[test]
    fn rows_of_a_unit_follow_it() {
        let mut names = [
            UnitName::from('c'),
            UnitName::of_row('b', "B"),
            UnitName::of_row('b', "A"),
            UnitName::from('a'),
        ];
        names.sort();
        let shown: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a", "b [A]", "b [B]", "c"]);
    }
}
