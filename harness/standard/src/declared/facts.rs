//! What rules ask of rows that the pro forma has in prose only: ours, under a key of its own in each row.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::compiled::compiled_in;

/// Something that a row can state beside the fields of the pro forma.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactInfo {
    /// The table whose rows state it.
    pub table: String,
    /// Its key.
    pub key: String,
    /// What kind of value it takes.
    #[serde(rename = "type")]
    pub kind: FactKind,
    /// The words that it may have; any, if there are none.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The tables that its identifiers are of.
    #[serde(default)]
    pub refers_to: Vec<String>,
    /// What it states.
    pub meaning: String,
}

/// What kind of value a fact takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactKind {
    /// True or false.
    Boolean,
    /// One of `choices`.
    Word,
    /// Several of `choices`.
    Words,
    /// Identifiers of rows.
    Ids,
    /// A number.
    Number,
    /// Any text.
    Text,
}

/// All of them.
pub fn facts() -> &'static [FactInfo] {
    static SHIPPED: LazyLock<File> =
        LazyLock::new(|| compiled_in(include_str!("../data/ixit-facts.toml")));
    &SHIPPED.fact
}

/// Those that rows of a table can state.
pub fn facts_of(table: &str) -> impl Iterator<Item = &'static FactInfo> + use<'_> {
    facts().iter().filter(move |fact| fact.table == table)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    fact: Vec<FactInfo>,
}
