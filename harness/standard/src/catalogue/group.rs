//! Test groups of TS 103 701, their cases and units.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::compiled::compiled_in;
use crate::{CaseId, IXIT_TABLES, ProvisionId};

/// The test cases for one provision (TS 103 701, clause 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The provision.
    pub id: ProvisionId,
    /// When it applies, in words.
    pub applies: String,
    /// The IXIT tables that its units read.
    pub ixit: Vec<String>,
    /// Why the provision exists.
    pub why: String,
    /// How products fail.
    pub fails: Vec<String>,
    /// How products pass.
    pub passes: String,
    /// What is unclear, and where editions differ.
    pub note: Option<String>,
    /// Its test cases, in order.
    pub cases: Vec<CaseId>,
}

/// One test case of TS 103 701.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseInfo {
    /// Its identifier.
    pub id: CaseId,
    /// From documents, or on the device.
    pub kind: CaseKind,
    /// What it is for.
    pub purpose: String,
    /// The IXIT tables that its units read.
    pub ixit: Vec<String>,
    /// Its test units, by letter.
    pub units: BTreeMap<char, UnitInfo>,
    /// What is unclear, and where editions differ.
    pub note: Option<String>,
}

/// What a test case is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum CaseKind {
    /// Documents.
    Conceptual,
    /// The device.
    Functional,
    /// Units of both kinds in one case.
    Both,
}

/// One test unit of a test case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitInfo {
    /// What must be shown.
    pub shows: String,
    /// How that is decided.
    pub how: String,
    /// Who decides.
    pub who: Decision,
    /// What it reads of ICS and IXIT.
    #[serde(default)]
    pub fields: Vec<FieldRef>,
    /// What is unclear, and where editions differ.
    pub note: Option<String>,
}

/// Who can decide a test unit.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Decision {
    /// A rule, from fields of ICS and IXIT.
    Document,
    /// A person, from what the IXIT says.
    Judge,
    /// The bench, by machine.
    Bench,
    /// A person, from evidence that the bench gathers.
    Assist,
    /// Only a person: a page, a manual, the product in the hand.
    Person,
}

/// A field of an IXIT table, or a column of the ICS (table B.1 of EN 303 645), by their names there:
/// `1-AuthMech.Description`, `ICS.Support`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldRef {
    /// The table; [`FieldRef::ICS`] for the ICS.
    pub table: String,
    /// The field.
    pub field: String,
}

/// A test unit of TS 103 701: `5.1-1-2 a`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitId {
    /// Its test case.
    pub case: CaseId,
    /// Its letter.
    pub letter: char,
}

/// Text that does not have the shape that it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRef {
    /// Not a field.
    #[error("`{0}` is not a field of a table, such as `10-SecParam.Type` or `ICS.Support`")]
    Field(String),
    /// Not a unit.
    #[error("`{0}` is not a test unit, such as `5.1-1-2 a`")]
    Unit(String),
}

impl FieldRef {
    /// What stands for the table of the ICS.
    pub const ICS: &'static str = "ICS";

    /// Whether it is a column of the ICS.
    pub fn is_of_ics(&self) -> bool {
        self.table == Self::ICS
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.field)
    }
}

impl FromStr for FieldRef {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        text.split_once('.')
            .filter(|(table, field)| !table.is_empty() && !field.is_empty())
            .map(|(table, field)| Self {
                table: table.to_owned(),
                field: field.to_owned(),
            })
            .ok_or_else(|| InvalidRef::Field(text.to_owned()))
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.case, self.letter))
    }
}

impl FromStr for UnitId {
    type Err = InvalidRef;

    /// `5.1-1-2 a`, and `5.1-1-2:a`, as units are selected on the command line.
    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let wrong = || InvalidRef::Unit(text.to_owned());
        let (case, letter) = text.split_once([' ', ':']).ok_or_else(wrong)?;
        let letter = match letter.as_bytes() {
            [letter @ b'a'..=b'z'] => char::from(*letter),
            _ => return Err(wrong()),
        };
        let case = case.parse().map_err(|_| wrong())?;
        Ok(Self { case, letter })
    }
}

macro_rules! string_conversions {
    ($id:ty) => {
        impl TryFrom<String> for $id {
            type Error = InvalidRef;

            fn try_from(text: String) -> Result<Self, InvalidRef> {
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
string_conversions!(FieldRef);
string_conversions!(UnitId);

/// All groups and cases.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) groups: BTreeMap<ProvisionId, Group>,
    pub(super) cases: BTreeMap<CaseId, CaseInfo>,
}

/// The files, by clause.
const CLAUSES: [&str; 15] = [
    include_str!("../data/ts-103-701-v2.1.1/groups/5.0.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.1.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.2.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.3.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.4.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.5.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.6.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.7.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.8.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.9.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.10.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.11.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.12.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/5.13.toml"),
    include_str!("../data/ts-103-701-v2.1.1/groups/6.toml"),
];

impl Groups {
    pub(super) fn shipped(own: Vec<OwnCase>) -> Self {
        let mut all = Self {
            groups: BTreeMap::new(),
            cases: BTreeMap::new(),
        };
        let data = CLAUSES.iter().flat_map(|text| groups_of(text));
        for (group, cases) in data {
            all.cases.extend(cases);
            all.groups.insert(group.id.clone(), group);
        }
        for OwnCase { id, ixit, unit } in own {
            let case = CaseInfo {
                id: id.clone(),
                kind: CaseKind::Functional,
                purpose: String::new(),
                ixit,
                units: unit,
                note: None,
            };
            all.cases.insert(id, case);
        }
        all
    }
}

fn groups_of(text: &str) -> impl Iterator<Item = (Group, BTreeMap<CaseId, CaseInfo>)> {
    let GroupsFile { group } = compiled_in(text);
    group.into_iter().map(|data| {
        let group = Group {
            cases: data.case.iter().map(|case| case.id.clone()).collect(),
            id: data.id,
            applies: data.applies,
            ixit: data.ixit,
            why: data.why,
            fails: data.fails,
            passes: data.passes,
            note: data.note,
        };
        let cases = data.case.into_iter().map(|case| {
            let info = CaseInfo {
                id: case.id.clone(),
                kind: case.kind,
                purpose: case.purpose,
                ixit: tables_of(&case.unit),
                units: case.unit,
                note: case.note,
            };
            (case.id, info)
        });
        (group, cases.collect())
    })
}

/// The IXIT tables of the fields that units read, in their order.
fn tables_of(units: &BTreeMap<char, UnitInfo>) -> Vec<String> {
    let fields = units.values().flat_map(|unit| &unit.fields);
    let read: BTreeSet<&str> = fields.map(|field| field.table.as_str()).collect();
    let tables = IXIT_TABLES.iter().filter(|table| read.contains(*table));
    tables.map(|&table| table.to_owned()).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupsFile {
    pub(super) group: Vec<GroupData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupData {
    pub(super) id: ProvisionId,
    ixit: Vec<String>,
    applies: String,
    why: String,
    fails: Vec<String>,
    passes: String,
    note: Option<String>,
    pub(super) case: Vec<CaseData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseData {
    pub(super) id: CaseId,
    kind: CaseKind,
    purpose: String,
    note: Option<String>,
    pub(super) unit: BTreeMap<char, UnitInfo>,
}

/// A case under a name of ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnCase {
    id: CaseId,
    ixit: Vec<String>,
    unit: BTreeMap<char, UnitInfo>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("5.1-1-2 a")]
    #[case("5.1-1-2:a")]
    fn a_unit_is_read_as_reports_and_the_command_line_write_it(#[case] text: &str) {
        assert_eq!(text.parse::<UnitId>().unwrap().to_string(), "5.1-1-2 a");
    }

    #[rstest]
    #[case("5.1-1-2")]
    #[case("5.1-1-2 ab")]
    #[case("5.1-1-2 A")]
    #[case("5.1-1 a")]
    fn other_text_is_no_unit(#[case] text: &str) {
        assert!(text.parse::<UnitId>().is_err());
    }

    #[test]
    fn fields_keep_their_names() {
        let field: FieldRef = "13-SoftServ.Allows Configuration (Yes/No)".parse().unwrap();
        assert_eq!(
            (field.table.as_str(), field.field.as_str()),
            ("13-SoftServ", "Allows Configuration (Yes/No)")
        );
        assert!("13-SoftServ".parse::<FieldRef>().is_err());
    }

    /// The maps would hide what is there twice, and sort what is not in order.
    #[test]
    fn the_files_have_all_in_order_and_once() {
        let files = CLAUSES.iter().map(|text| compiled_in::<GroupsFile>(text));
        let groups: Vec<GroupData> = files.flat_map(|file| file.group).collect();
        assert!(groups.is_sorted_by(|a, b| a.id < b.id));
        let cases: Vec<&CaseId> = groups.iter().flat_map(|g| &g.case).map(|c| &c.id).collect();
        assert!(cases.is_sorted_by(|a, b| a < b));
        for group in &groups {
            let numbers: Vec<u16> = group.case.iter().map(|case| case.id.number).collect();
            let counted: Vec<u16> = (1..).take(numbers.len()).collect();
            assert_eq!(numbers, counted, "{}", group.id);
            assert!(group.case.iter().all(|case| case.id.provision == group.id));
        }
    }
}
