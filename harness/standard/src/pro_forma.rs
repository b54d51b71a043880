//! The IXIT pro forma (TS 103 701 v2.1.1): its tables, their fields, and what has to agree between them.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::compiled::compiled_in;
use crate::{Catalogue, FieldRef, ProvisionId, UnitId};

/// The tables of the IXIT, and the rules within and between them.
#[derive(Debug)]
pub struct ProForma {
    tables: Vec<IxitTable>,
    rules: Vec<IxitRule>,
}

/// A table of the IXIT.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IxitTable {
    /// `1-AuthMech`.
    pub id: String,
    /// In words.
    pub title: String,
    /// How many rows it takes.
    pub entry: Entry,
    /// What a row is.
    pub each: String,
    /// How identifiers of its rows begin, by custom.
    pub prefix: Option<String>,
    /// Its fields, in order.
    #[serde(rename = "field")]
    pub fields: Vec<IxitField>,
    /// What it was in TS 103 701 v1.1.1, where that had another one.
    pub before: Option<String>,
    /// Test groups that TS 103 701 v1.1.1 names for it beside those of v2.1.1.
    #[serde(default)]
    pub groups_v1: Vec<ProvisionId>,
    /// What is to be known of the source.
    pub note: Option<String>,
}

/// How many rows a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// One, without an identifier.
    Single,
    /// Any number, each with an identifier.
    Many,
}

/// A field of an IXIT table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FieldData")]
pub struct IxitField {
    /// Its name in TS 103 701.
    pub name: String,
    /// Its name in files.
    pub key: String,
    /// What it tells.
    pub meaning: String,
    /// What kind of value it takes.
    pub kind: FieldKind,
    /// Whether each row has to have it.
    pub required: bool,
    /// When a row has to have it although it is not required always.
    pub required_when: Option<String>,
    /// The edition of TS 103 701 that had it first.
    pub since: String,
    /// Its name in TS 103 701 v1.1.1, where that was another one.
    pub was: Option<String>,
    /// False if it was seen in one vendor's tables only, and may be an addition of theirs.
    pub certain: bool,
    /// What is to be known of it.
    pub note: Option<String>,
}

/// What kind of value a field takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum FieldKind {
    /// Prose.
    Text,
    /// Several values; of `choices`, if there are any.
    List {
        /// The values that it may have; empty for any.
        choices: Vec<String>,
    },
    /// Identifiers of rows of other tables.
    Reference {
        /// The tables.
        refers_to: Vec<String>,
    },
    /// One of some words.
    Choice {
        /// The words.
        choices: Vec<String>,
    },
    /// Yes or no.
    Boolean,
    /// A URL, or another place where a user finds it.
    Address,
}

/// Something that has to agree within or between tables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IxitRule {
    /// Its name.
    pub id: String,
    /// The tables that it is about; `*` for all.
    pub tables: Vec<String>,
    /// What has to hold.
    pub rule: String,
    /// Test groups that a breach bears upon.
    pub groups: Vec<ProvisionId>,
    /// Whether software can check it, on structured fields.
    pub machine: bool,
    /// Whether a source says it.
    pub basis: Basis,
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Basis {
    /// Said in a vendor's self-assessment of the test group, or by units of TS 103 701 v1.1.1.
    Seen,
    /// Follows from what the fields mean.
    Derived,
}

impl ProForma {
    /// What is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<ProForma> = LazyLock::new(|| {
            let File { table, rule } =
                compiled_in(include_str!("data/ts-103-701-v2.1.1/ixit.toml"));
            ProForma {
                tables: table,
                rules: rule,
            }
        });
        &SHIPPED
    }

    /// The tables, in their order.
    pub fn tables(&self) -> &[IxitTable] {
        &self.tables
    }

    /// A table, by its name in TS 103 701.
    pub fn table(&self, id: &str) -> Option<&IxitTable> {
        self.tables.iter().find(|table| table.id == id)
    }

    /// A field, by the names that TS 103 701 has for it and its table.
    pub fn field(&self, field: &FieldRef) -> Option<&IxitField> {
        let fields = &self.table(&field.table)?.fields;
        fields.iter().find(|other| other.name == field.field)
    }

    /// What has to agree.
    pub fn rules(&self) -> &[IxitRule] {
        &self.rules
    }

    /// A rule, by its name.
    pub fn rule(&self, id: &str) -> Option<&IxitRule> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}

impl IxitTable {
    /// Its number.
    pub fn number(&self) -> u8 {
        let number = self.id.split('-').next().and_then(|n| n.parse().ok());
        number.unwrap_or_default()
    }

    /// A field, by its key.
    pub fn field(&self, key: &str) -> Option<&IxitField> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// The test units that read it.
    pub fn readers(&self) -> impl Iterator<Item = UnitId> {
        readers(|field| field.table == self.id)
    }

    /// The test units that read one of its fields.
    pub fn readers_of(&self, field: &IxitField) -> impl Iterator<Item = UnitId> {
        readers(|read| read.table == self.id && read.field == field.name)
    }
}

fn readers(is_read: impl Fn(&FieldRef) -> bool) -> impl Iterator<Item = UnitId> {
    let units = Catalogue::shipped().units();
    units.filter_map(move |(id, unit)| unit.fields.iter().any(&is_read).then_some(id))
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldData {
    name: String,
    key: String,
    meaning: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    refers_to: Vec<String>,
    required: bool,
    required_when: Option<String>,
    since: String,
    was: Option<String>,
    certain: Option<bool>,
    note: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    List,
    Reference,
    Choice,
    Boolean,
    Address,
}

impl TryFrom<FieldData> for IxitField {
    type Error = String;

    fn try_from(data: FieldData) -> Result<Self, String> {
        let has_choices = !data.choices.is_empty();
        let refers = !data.refers_to.is_empty();
        let fits = match data.kind {
            Kind::Choice => has_choices && !refers,
            Kind::List => !refers,
            Kind::Reference => refers && !has_choices,
            Kind::Text | Kind::Boolean | Kind::Address => !refers && !has_choices,
        };
        if !fits {
            return Err(format!(
                "choices or refers_to of {} do not fit its type",
                data.key
            ));
        }
        let choices = data.choices;
        let refers_to = data.refers_to;
        Ok(Self {
            name: data.name,
            key: data.key,
            meaning: data.meaning,
            kind: match data.kind {
                Kind::Text => FieldKind::Text,
                Kind::List => FieldKind::List { choices },
                Kind::Reference => FieldKind::Reference { refers_to },
                Kind::Choice => FieldKind::Choice { choices },
                Kind::Boolean => FieldKind::Boolean,
                Kind::Address => FieldKind::Address,
            },
            required: data.required,
            required_when: data.required_when,
            since: data.since,
            was: data.was,
            certain: data.certain.unwrap_or(true),
            note: data.note,
        })
    }
}

#[derive(Deserialize)]
struct File {
    table: Vec<IxitTable>,
    rule: Vec<IxitRule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_kinds() {
        let form = ProForma::shipped();
        let kind = |field: &str| &form.field(&field.parse().unwrap()).unwrap().kind;
        assert_eq!(*kind("5-VulnMon.Description"), FieldKind::Text);
        assert_eq!(
            *kind("10-SecParam.Type"),
            FieldKind::Choice {
                choices: vec!["critical".into(), "public".into()]
            }
        );
        assert_eq!(
            *kind("6-SoftComp.Update Mechanism"),
            FieldKind::Reference {
                refers_to: vec!["7-UpdMech".into()]
            }
        );
        assert_eq!(
            *kind("21-PersData.Authorized Parties"),
            FieldKind::List { choices: vec![] }
        );
    }

    #[test]
    fn who_reads_a_table_is_told_by_units() {
        let table = ProForma::shipped().table("16-CodeMin").unwrap();
        let readers: Vec<String> = table.readers().map(|unit| unit.to_string()).collect();
        assert_eq!(readers, ["5.6-6-1 a"]);
    }
}
