//! Identifiers of provisions and test cases, in the standard's notation and its order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A provision of EN 303 645, e.g. `5.11-1` or `5.6-4A`, ordered as in the standard: `5.2-1` before `5.11-1`. Or a
/// word: `telemetry` for several provisions that are tested together, any other for what is no provision, but tested by
/// a lab's own cases. Words come last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProvisionId(Id);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Id {
    Provision {
        clause: Clause,
        number: u16,
        part: Option<char>,
    },
    Several(String),
}

/// `5.11`, or `6` for data protection, whose provisions are numbered without a sub-clause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Clause {
    main: u16,
    sub: Option<u16>,
}

impl ProvisionId {
    /// The clause that the provision is in, e.g. `5.11`; of several provisions, their word.
    pub fn clause(&self) -> String {
        match &self.0 {
            Id::Provision { clause, .. } => clause.to_string(),
            Id::Several(word) => word.clone(),
        }
    }

    /// Whether it is a word, and no number of the standard.
    pub fn is_word(&self) -> bool {
        matches!(self.0, Id::Several(_))
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.main)?;
        self.sub.map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

impl fmt::Display for ProvisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Provision {
                clause,
                number,
                part,
            } => {
                let mut text = format!("{clause}-{number}");
                text.extend(part);
                f.pad(&text)
            }
            Id::Several(word) => f.pad(word),
        }
    }
}

impl FromStr for ProvisionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_provision(text).ok_or_else(|| IdError::Provision(text.to_owned()))
    }
}

fn parse_provision(text: &str) -> Option<ProvisionId> {
    let is_word = !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase());
    if is_word {
        return Some(ProvisionId(Id::Several(text.to_owned())));
    }
    let (clause, number) = text.split_once('-')?;
    let clause = match clause.split_once('.') {
        Some((main, sub)) => Clause {
            main: parse_number(main)?,
            sub: Some(parse_number(sub)?),
        },
        None => Clause {
            main: parse_number(clause)?,
            sub: None,
        },
    };
    let (number, part) = match number.char_indices().next_back()? {
        (at, part) if part.is_ascii_uppercase() => (&number[..at], Some(part)),
        _ => (number, None),
    };
    Some(ProvisionId(Id::Provision {
        clause,
        number: parse_ordinal(number)?,
        part,
    }))
}

/// Only the canonical spelling, so that an identifier has one text: no sign, no leading zero.
fn parse_number(text: &str) -> Option<u16> {
    let canonical =
        (text == "0" || !text.starts_with('0')) && text.bytes().all(|c| c.is_ascii_digit());
    if canonical { text.parse().ok() } else { None }
}

/// Provisions and cases are numbered from 1; only clause 5.0 has a zero.
fn parse_ordinal(text: &str) -> Option<u16> {
    parse_number(text).filter(|&number| number > 0)
}

/// A test case of TS 103 701, e.g. `5.11-1-2`: the second case of test group `5.11-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaseId {
    /// The provision that the test group is about.
    pub provision: ProvisionId,
    /// Number of the case in its group, from 1.
    pub number: u16,
}

impl CaseId {
    /// Whether it is that test case, or of that test group or clause: `5.1` has `5.1-1-2`, not `5.11-1-2`.
    pub fn is_within(&self, word: &str) -> bool {
        let id = self.to_string();
        let rest = id.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.provision, self.number))
    }
}

impl FromStr for CaseId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.rsplit_once('-')
            .and_then(|(provision, number)| {
                Some(Self {
                    provision: parse_provision(provision)?,
                    number: parse_ordinal(number)?,
                })
            })
            .ok_or_else(|| IdError::Case(text.to_owned()))
    }
}

/// Text that is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a provision.
    #[error("`{0}` is not a provision identifier, such as `5.11-1` or `5.6-4A`")]
    Provision(String),
    /// Not a test case.
    #[error(
        "`{0}` is not a test case identifier, such as `5.11-1-2` (provision, then number of the case)"
    )]
    Case(String),
}

macro_rules! string_conversions {
    ($id:ty) => {
        impl TryFrom<String> for $id {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }
    };
}
string_conversions!(ProvisionId);
string_conversions!(CaseId);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("5.11-1")]
    #[case("5.1-2A")]
    #[case("5.13-1B")]
    #[case("6-1")]
    #[case("5.0-1")]
    #[case("telemetry")]
    fn provision_keeps_its_text(#[case] text: &str) {
        assert_eq!(text.parse::<ProvisionId>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("5")]
    #[case("5.1")]
    #[case("5.1-")]
    #[case("-1")]
    #[case("5.1-A")]
    #[case("5.1-1a")]
    #[case("5.01-1")]
    #[case("5.1-+1")]
    #[case("5.1-0")]
    #[case("5.1-1-2")]
    #[case("5.1.1-1")]
    #[case("5.1-1é")]
    #[case("telemetry-x")]
    #[case("Telemetry")]
    #[case("99999.1-1")]
    #[case(" 5.1-1")]
    fn other_text_is_no_provision(#[case] text: &str) {
        assert_eq!(
            text.parse::<ProvisionId>(),
            Err(IdError::Provision(text.to_owned()))
        );
    }

    #[rstest]
    #[case("5.1-1-2", "5.1-1", 2)]
    #[case("5.13-1A-2", "5.13-1A", 2)]
    #[case("6-3-1", "6-3", 1)]
    #[case("telemetry-1", "telemetry", 1)]
    fn case_is_a_provision_and_a_number(
        #[case] text: &str,
        #[case] provision: &str,
        #[case] number: u16,
    ) {
        let id: CaseId = text.parse().unwrap();
        assert_eq!(
            (id.provision.to_string().as_str(), id.number),
            (provision, number)
        );
        assert_eq!(id.to_string(), text);
    }

    #[rstest]
    #[case("5.1-1")]
    #[case("5.1-1-2A")]
    #[case("5.1-1-0")]
    #[case("case")]
    fn other_text_is_no_case(#[case] text: &str) {
        assert_eq!(text.parse::<CaseId>(), Err(IdError::Case(text.to_owned())));
    }

    #[test]
    fn order_is_that_of_the_standard() {
        let sorted = [
            "5.1-1",
            "5.1-2",
            "5.1-2A",
            "5.1-10",
            "5.2-1",
            "5.11-1",
            "6-1",
            "telemetry",
        ];
        let mut shuffled: Vec<ProvisionId> =
            sorted.iter().rev().map(|id| id.parse().unwrap()).collect();
        shuffled.sort();
        assert_eq!(
            shuffled.iter().map(ToString::to_string).collect::<Vec<_>>(),
            sorted
        );
    }

    #[test]
    fn is_a_string_in_files() {
        let id: CaseId = serde_json::from_str("\"5.6-4A-2\"").unwrap();
        assert_eq!(id.provision.clause(), "5.6");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"5.6-4A-2\"");
        let wrong = serde_json::from_str::<CaseId>("\"5.6\"").unwrap_err();
        assert!(
            wrong
                .to_string()
                .starts_with("`5.6` is not a test case identifier"),
            "{wrong}"
        );
    }

    #[rstest]
    #[case("5.11-1-2", true)]
    #[case("5.11-1", true)]
    #[case("5.11", true)]
    #[case("5", true)]
    #[case("5.1", false)]
    #[case("5.11-", false)]
    #[case("5.11-1-2-3", false)]
    #[case("", false)]
    fn a_case_is_within_its_group_and_clause(#[case] word: &str, #[case] within: bool) {
        let id: CaseId = "5.11-1-2".parse().unwrap();
        assert_eq!(id.is_within(word), within);
    }

    #[test]
    fn parts_of_provisions_are_others() {
        let id: CaseId = "5.6-4A-2".parse().unwrap();
        assert!(!id.is_within("5.6-4"));
    }
}
