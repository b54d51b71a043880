//! Editions of the standards, and the provisions of EN 303 645 v2.1.1 as a view on those of v3.1.3.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::ProvisionId;
use crate::compiled::compiled_in;

/// An edition of EN 303 645 that can be looked at.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, strum::Display, strum::EnumString,
)]
pub enum Edition {
    /// v3.1.3 (2024-09), assessed by TS 103 701 v2.1.1.
    #[default]
    #[serde(rename = "v3.1.3")]
    #[strum(serialize = "v3.1.3")]
    V3,
    /// v2.1.1 (2020-06), which UK PSTI names: through what became of its provisions.
    #[serde(rename = "v2.1.1")]
    #[strum(serialize = "v2.1.1")]
    V2,
}

/// Documents, their editions, and the provisions of the older one.
#[derive(Debug)]
pub struct Editions {
    documents: Vec<Document>,
    renamed: Vec<RenamedTable>,
    conditions: BTreeMap<String, String>,
    provisions: BTreeMap<ProvisionId, OlderProvision>,
    added: Vec<Added>,
}

/// An edition of a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `en-303-645-v3.1.3`.
    pub id: String,
    /// `EN 303 645`.
    pub document: String,
    /// `v3.1.3`.
    pub version: String,
    /// Year and month, where known.
    pub date: Option<String>,
    /// How many provisions it has.
    pub provisions: Option<usize>,
    /// How many of them are mandatory.
    pub mandatory: Option<usize>,
    /// How many of them are recommended.
    pub recommended: Option<usize>,
    /// Whether the date was read somewhere; else it is from memory.
    pub date_checked: bool,
    /// Where that was read, and what matters about it.
    pub note: String,
}

/// An IXIT table of TS 103 701 v1.1.1 that has another name in v2.1.1.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenamedTable {
    /// Its name in v1.1.1.
    #[serde(rename = "v1")]
    pub old: String,
    /// The tables that took its place.
    #[serde(rename = "v2")]
    pub new: Vec<String>,
    /// What went where.
    pub note: String,
}

/// A provision of EN 303 645 v2.1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderProvision {
    /// Its identifier there.
    pub id: ProvisionId,
    /// What it is about, in our words.
    pub title: String,
    /// Whether it binds, and when.
    pub status: OlderStatus,
    /// What became of it in v3.1.3.
    pub became: Vec<Became>,
    /// What the newer text asks for that the older did not, or no longer asks.
    pub change: Option<String>,
    /// What is to be known of the source.
    pub note: Option<String>,
}

/// Status of a provision of v2.1.1: `M C 11 12`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OlderStatus {
    /// Mandatory, else recommended.
    pub mandatory: bool,
    /// All these conditions must hold for it to apply: keys of [`Editions::condition`].
    pub conditions: Vec<String>,
}

/// Where a provision of v2.1.1 is in v3.1.3.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Became {
    /// The provision of v3.1.3.
    pub id: ProvisionId,
    /// How it got there.
    pub how: Change,
}

/// What happened to a provision from v2.1.1 to v3.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Change {
    /// It stayed, perhaps in other words and with other conditions.
    Same,
    /// It has another number.
    Moved,
    /// This is a part of it.
    Split,
    /// This took over some of what it said.
    Content,
    /// This is new, under a number that belongs to the old one.
    #[serde(rename = "added beside")]
    #[strum(serialize = "added beside")]
    AddedBeside,
}

/// A provision of v3.1.3 that nothing of v2.1.1 became, or that stands beside an old one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Added {
    /// The provision.
    pub id: ProvisionId,
    /// Its status in v3.1.3, as [`crate::Status`] has it.
    pub status: crate::Status,
    /// What it is about.
    pub about: String,
    /// The number of v2.1.1 that it stands beside; empty if there is none.
    pub beside: String,
}

impl Editions {
    /// What is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Editions> = LazyLock::new(|| {
            let EditionsFile {
                edition,
                ixit_table,
            } = compiled_in(include_str!("data/editions.toml"));
            let OlderFile {
                condition,
                provision,
                added,
            } = compiled_in(include_str!("data/en-303-645-v2.1.1/provisions.toml"));
            let provisions = provision.into_iter().map(|(id, data)| {
                let provision = OlderProvision {
                    id: id.clone(),
                    title: data.title,
                    status: data.status,
                    became: data.became,
                    change: data.change,
                    note: data.note,
                };
                (id, provision)
            });
            Editions {
                documents: edition,
                renamed: ixit_table,
                conditions: condition,
                provisions: provisions.collect(),
                added,
            }
        });
        &SHIPPED
    }

    /// All editions of all documents.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// An edition of a document, by its identifier.
    pub fn document(&self, id: &str) -> Option<&Document> {
        self.documents.iter().find(|document| document.id == id)
    }

    /// IXIT tables with other names in TS 103 701 v1.1.1.
    pub fn renamed_tables(&self) -> &[RenamedTable] {
        &self.renamed
    }

    /// All provisions of v2.1.1, in its order.
    pub fn provisions(&self) -> impl Iterator<Item = &OlderProvision> {
        self.provisions.values()
    }

    /// A provision of v2.1.1.
    pub fn provision(&self, id: &ProvisionId) -> Option<&OlderProvision> {
        self.provisions.get(id)
    }

    /// What a condition of v2.1.1 says.
    pub fn condition(&self, key: &str) -> Option<&str> {
        self.conditions.get(key).map(String::as_str)
    }

    /// The provisions of v2.1.1 that a provision of v3.1.3 took the place of, with how. None for one that is new.
    pub fn before<'a>(
        &'a self,
        id: &'a ProvisionId,
    ) -> impl Iterator<Item = (&'a OlderProvision, Change)> {
        let became = self.provisions().flat_map(|old| {
            let became = old.became.iter();
            became.map(move |became| (old, became))
        });
        became
            .filter(move |(_, became)| became.id == *id && became.how != Change::AddedBeside)
            .map(|(old, became)| (old, became.how))
    }

    /// Provisions of v3.1.3 that v2.1.1 did not have.
    pub fn added(&self) -> &[Added] {
        &self.added
    }
}

impl fmt::Display for OlderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.mandatory { "M" } else { "R" })?;
        if !self.conditions.is_empty() {
            write!(f, " C ({})", self.conditions.join(", "))?;
        }
        Ok(())
    }
}

impl FromStr for OlderStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a status of v2.1.1, such as `M` or `R C 3 4`");
        let mut words = text.split(' ');
        let mandatory = match words.next() {
            Some("M") => true,
            Some("R") => false,
            _ => return Err(wrong()),
        };
        let conditions: Vec<String> = match words.next() {
            None => Vec::new(),
            Some("C") => words.map(str::to_owned).collect(),
            Some(_) => return Err(wrong()),
        };
        let is_short = text.len() == 1;
        if conditions.is_empty() != is_short || conditions.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self {
            mandatory,
            conditions,
        })
    }
}

impl TryFrom<String> for OlderStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditionsFile {
    edition: Vec<Document>,
    ixit_table: Vec<RenamedTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OlderFile {
    condition: BTreeMap<String, String>,
    provision: BTreeMap<ProvisionId, OlderData>,
    added: Vec<Added>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OlderData {
    title: String,
    status: OlderStatus,
    became: Vec<Became>,
    change: Option<String>,
    note: Option<String>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("M", true, &[])]
    #[case("R C 3 4", false, &["3", "4"])]
    fn status_is_read(#[case] text: &str, #[case] mandatory: bool, #[case] conditions: &[&str]) {
        let status: OlderStatus = text.parse().unwrap();
        assert_eq!(status.mandatory, mandatory);
        assert_eq!(status.conditions, conditions);
    }

    #[rstest]
    #[case("")]
    #[case("M C")]
    #[case("M C ")]
    #[case("M F a")]
    #[case("O")]
    fn other_text_is_no_status(#[case] text: &str) {
        assert!(text.parse::<OlderStatus>().is_err());
    }

    #[test]
    fn what_a_provision_was_before_is_found() {
        let before = |id: &str| -> Vec<String> {
            let id = id.parse().unwrap();
            let before = Editions::shipped().before(&id);
            before
                .map(|(old, how)| format!("{} {how}", old.id))
                .collect()
        };
        assert_eq!(before("5.0-1"), ["4-1 moved"]);
        assert_eq!(before("5.13-1B"), ["5.13-1 split"]);
        assert_eq!(before("6-3B"), Vec::<String>::new());
        assert_eq!(before("6-8"), Vec::<String>::new());
    }

    #[test]
    fn editions_have_names() {
        assert_eq!("v2.1.1".parse(), Ok(Edition::V2));
        assert_eq!(Edition::default().to_string(), "v3.1.3");
    }
}
