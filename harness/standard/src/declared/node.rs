//! TOML with the place of everything.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Finding, Kind};
use super::source::Lines;
use super::{Place, Sources};

/// A value, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) value: NodeValue,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeValue {
    Text(String),
    Boolean(bool),
    Number(i64),
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
    /// What no field takes, by its name in TOML.
    Other(&'static str),
}

/// A key, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Place,
}

/// The entries of all files, and what is not TOML in them.
pub(super) fn parse(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<(Key, Node)> {
    let mut entries = Vec::new();
    for source in sources.files() {
        let lines = Lines::of(source);
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        for error in errors {
            let place = lines.place(error.span().unwrap_or(0..0));
            let message = error.message().trim().replace('\n', "; ");
            findings.push(Finding::new(Kind::Malformed, message).at(&place, "here"));
        }
        entries.extend(entries_of(&lines, table.get_ref()));
    }
    entries
}

/// In the order of the file.
fn entries_of(lines: &Lines, table: &DeTable<'_>) -> Vec<(Key, Node)> {
    let entries = table.iter().map(|(name, value)| {
        let key = Key {
            name: name.get_ref().to_string(),
            place: lines.place(name.span()),
        };
        (key, node(lines, value))
    });
    let mut entries: Vec<(Key, Node)> = entries.collect();
    entries.sort_by_key(|(key, _)| key.place.span.start);
    entries
}

fn node(lines: &Lines, value: &Spanned<DeValue<'_>>) -> Node {
    let place = lines.place(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => NodeValue::Text(text.to_string()),
        DeValue::Boolean(value) => NodeValue::Boolean(*value),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or(NodeValue::Other("integer"), NodeValue::Number)
        }
        DeValue::Array(values) => {
            NodeValue::List(values.iter().map(|value| node(lines, value)).collect())
        }
        DeValue::Table(table) => NodeValue::Table(entries_of(lines, table)),
        other @ (DeValue::Float(_) | DeValue::Datetime(_)) => NodeValue::Other(other.type_str()),
    };
    Node { value, place }
}

impl Node {
    /// What it is, for messages.
    pub(super) fn is_a(&self) -> &'static str {
        match self.value {
            NodeValue::Text(_) => "a text",
            NodeValue::Boolean(_) => "true or false",
            NodeValue::Number(_) => "a number",
            NodeValue::List(_) => "a list",
            NodeValue::Table(_) => "a table",
            NodeValue::Other(name) => name,
        }
    }
}
