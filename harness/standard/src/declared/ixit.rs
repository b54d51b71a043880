//! The IXIT: rows of the pro forma's tables with typed fields, references resolved.

use std::collections::BTreeMap;
use std::fmt;

use super::facts::{FactInfo, FactKind, facts_of};
use super::finding::{Finding, Kind};
use super::node::{self, Key, Node, NodeValue};
use super::{Place, Sources};
use crate::{Entry, FieldKind, IXIT_TABLES, IxitField, IxitTable, ProForma, ProvisionId, suggest};

/// The key of a row below which all is ours: facts that rules ask for, and parameters of test cases.
pub const OWN: &str = "provebench";

/// An IXIT as the supplier filled it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    rows: BTreeMap<&'static str, Vec<DeclaredRow>>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRow {
    /// The table.
    pub table: &'static IxitTable,
    /// Its identifier; `2-UserInfo` and the like for the row of a table that has one only, `row 2 of 7-UpdMech` for
    /// one without.
    pub id: String,
    /// Where it is.
    pub place: Place,
    fields: BTreeMap<&'static str, Field>,
    facts: BTreeMap<&'static str, Field>,
    own: Vec<String>,
}

/// A field that is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its value.
    pub value: Value,
    /// What else is said of it, in prose.
    pub detail: Option<String>,
    /// Where it is.
    pub place: Place,
}

/// A typed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Prose; or an address.
    Text(String),
    /// Words that rules can read.
    Words(Vec<String>),
    /// Identifiers of rows, each with its place. Empty says that there is none.
    Ids(Vec<(String, Place)>),
    /// There is none, for this reason.
    NoneFor(String),
    /// One of the words that the field takes.
    Choice(String),
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Number(i64),
}

/// What a field takes, be it the pro forma's or ours.
enum Takes<'a> {
    Text,
    Words(&'a [String]),
    Ids(&'a [String]),
    Choice(&'a [String]),
    Boolean,
    Number,
}

impl Declared {
    /// Reads an IXIT. What is wrong is told; all else is read.
    pub fn parse(sources: &Sources) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut declared = Self::default();
        for (key, node) in node::parse(sources, &mut findings) {
            let form = ProForma::shipped();
            let Some(table) = form.table(&key.name) else {
                findings.push(unknown("table of the IXIT", &key, &IXIT_TABLES));
                continue;
            };
            for row in rows_of(&key, node, &mut findings) {
                declared.add(table, row, &mut findings);
            }
        }
        findings.extend(declared.doubles());
        findings.extend(declared.unresolved());
        (declared, findings)
    }

    /// The rows of a table, in the order of the files.
    pub fn rows(&self, table: &str) -> &[DeclaredRow] {
        self.rows.get(table).map_or(&[], Vec::as_slice)
    }

    /// A row, by table and identifier.
    pub fn row(&self, table: &str, id: &str) -> Option<&DeclaredRow> {
        self.rows(table).iter().find(|row| row.id == id)
    }

    /// Fields that every row has to have and that are not there, as far as a group that is claimed reads them.
    pub fn missing(&self, is_claimed: impl Fn(&ProvisionId) -> bool) -> Vec<Finding> {
        let all = self.rows.values().flatten();
        let missing = all.flat_map(|row| {
            let fields = row.table.fields.iter();
            let missing = fields.filter(|field| field.required && row.field(&field.key).is_none());
            missing.map(move |field| (row, field))
        });
        missing
            .filter_map(|(row, field)| {
                let readers = row.table.readers_of(field).map(|unit| unit.case.provision);
                let groups: Vec<ProvisionId> = readers.filter(|id| is_claimed(id)).collect();
                // Whatever names rows needs their identifiers.
                let counts = !groups.is_empty() || field.key == "id";
                let message = format!("{} has no `{}`", row.name(), field.key);
                let finding = Finding::new(Kind::Missing, message)
                    .at(&row.place, row.name())
                    .with_help(format!("say {}", field.meaning))
                    .bearing_on(groups);
                counts.then_some(finding)
            })
            .collect()
    }

    fn add(&mut self, table: &'static IxitTable, row: Node, findings: &mut Vec<Finding>) {
        let place = row.place.clone();
        let NodeValue::Table(entries) = row.value else {
            let message = format!(
                "a row of {} is a table, and this is {}",
                table.id,
                row.is_a()
            );
            let help = format!("write [[\"{}\"]], and the fields below it", table.id);
            findings.push(
                Finding::new(Kind::Malformed, message)
                    .at(&place, "here")
                    .with_help(help),
            );
            return;
        };
        let rows = self.rows.entry(table.id.as_str()).or_default();
        if table.entry == Entry::Single && !rows.is_empty() {
            let message = format!("{} takes one row, and this is another", table.id);
            let first = &rows[0].place;
            findings.push(
                Finding::new(Kind::Double, message)
                    .at(&place, "here")
                    .at(first, "the first"),
            );
            return;
        }
        let mut row = DeclaredRow {
            table,
            id: match table.entry {
                Entry::Single => table.id.clone(),
                Entry::Many => format!("row {} of {}", rows.len() + 1, table.id),
            },
            place,
            fields: BTreeMap::new(),
            facts: BTreeMap::new(),
            own: Vec::new(),
        };
        // Its name first, so that what is wrong with the rest can be told by it.
        let (ids, rest): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| key.name == "id");
        for (key, node) in ids {
            row.add(&key, node, findings);
        }
        if let Some(Value::Text(id)) = row.fields.get("id").map(|field| &field.value) {
            row.id.clone_from(id);
        }
        for (key, node) in rest {
            row.add(&key, node, findings);
        }
        rows.push(row);
    }

    /// Rows whose identifier another one of the table has.
    fn doubles(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for rows in self.rows.values() {
            for (n, row) in rows.iter().enumerate() {
                if let Some(first) = rows[..n].iter().find(|other| other.id == row.id) {
                    let message = format!("{} has two rows with the id {}", row.table.id, row.id);
                    let mut finding = Finding::new(Kind::Double, message)
                        .at(&row.place, "the second")
                        .at(&first.place, "the first");
                    finding.rule = Some("ids-unique");
                    findings.push(finding);
                }
            }
        }
        findings
    }

    /// Identifiers that no row of the tables has that they may be of.
    fn unresolved(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for row in self.rows.values().flatten() {
            let of_form = row.table.fields.iter().filter_map(|info| match &info.kind {
                FieldKind::Reference { refers_to } => {
                    Some((row.fields.get(info.key.as_str())?, refers_to))
                }
                _ => None,
            });
            let ours = facts_of(&row.table.id).filter(|fact| fact.kind == FactKind::Ids);
            let ours =
                ours.filter_map(|info| Some((row.facts.get(info.key.as_str())?, &info.refers_to)));
            for (field, refers_to) in of_form.chain(ours) {
                let Value::Ids(ids) = &field.value else {
                    continue;
                };
                for (id, place) in ids {
                    if !refers_to.iter().any(|table| self.row(table, id).is_some()) {
                        findings.push(self.leads_nowhere(row, id, place, refers_to));
                    }
                }
            }
        }
        findings
    }

    fn leads_nowhere(
        &self,
        row: &DeclaredRow,
        id: &str,
        place: &Place,
        refers_to: &[String],
    ) -> Finding {
        let tables = refers_to.join(" or ");
        let message = format!("{} refers to {id}, which is no row of {tables}", row.name());
        let ids = refers_to.iter().flat_map(|table| self.rows(table));
        let near = suggest::by_likeness(id, ids.map(|row| row.id.clone()));
        let near = near
            .into_iter()
            .next()
            .filter(|near| suggest::like(id, near));
        let elsewhere = self.rows.values().flatten().find(|other| other.id == id);
        let help = match (elsewhere, near) {
            (Some(other), _) => format!("{id} is a row of {}", other.table.id),
            (None, Some(near)) => format!("is {near} meant?"),
            (None, None) => format!("add the row to {tables}, or leave the reference out"),
        };
        let readers = row.table.readers().map(|unit| unit.case.provision);
        let mut finding = Finding::new(Kind::Unresolved, message)
            .at(place, "here")
            .with_help(help)
            .bearing_on(readers);
        finding.rule = Some("references-resolve");
        finding
    }
}

impl DeclaredRow {
    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.id
    }

    /// A field of the pro forma, by its key; `None` if it is not there, or empty.
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.get(key)
    }

    /// Something of ours, by its key.
    pub fn fact(&self, key: &str) -> Option<&Field> {
        self.facts.get(key)
    }

    /// Keys below [`OWN`] that are no facts: parameters of test cases.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(String::as_str)
    }

    fn add(&mut self, key: &Key, node: Node, findings: &mut Vec<Finding>) {
        if key.name == OWN {
            self.add_own(node, findings);
            return;
        }
        let Some(info) = self.table.field(&key.name) else {
            let keys = self.table.fields.iter().map(|field| field.key.as_str());
            let keys: Vec<&str> = keys.chain([OWN]).collect();
            let what = format!("field of {}", self.table.id);
            let finding = match (self.table.entry, key.name.as_str()) {
                (Entry::Single, "id") => unknown(&what, key, &keys)
                    .with_help(format!("{} has one row, which needs no id", self.table.id)),
                _ => unknown(&what, key, &keys),
            };
            findings.push(finding);
            return;
        };
        if let Some(field) = self.typed(&info.key, &takes(info), node, findings) {
            self.fields.insert(info.key.as_str(), field);
        }
    }

    fn add_own(&mut self, node: Node, findings: &mut Vec<Finding>) {
        let NodeValue::Table(entries) = node.value else {
            let message = format!(
                "`{OWN}` of {} is {}, and has to be a table",
                self.name(),
                node.is_a()
            );
            findings.push(Finding::new(Kind::Malformed, message).at(&node.place, "here"));
            return;
        };
        for (key, node) in entries {
            let known = || facts_of(&self.table.id);
            if let Some(fact) = known().find(|fact| fact.key == key.name) {
                if let Some(field) = self.typed(&fact.key, &takes_fact(fact), node, findings) {
                    self.facts.insert(fact.key.as_str(), field);
                }
                continue;
            }
            // A parameter of a test case, or a slip of the pen.
            let keys: Vec<&str> = known().map(|fact| fact.key.as_str()).collect();
            let is_slip = |known: &&&str| strsim::damerau_levenshtein(known, &key.name) == 1;
            if keys.iter().any(|known| is_slip(&known)) {
                findings.push(unknown(&format!("fact of {}", self.table.id), &key, &keys));
            } else {
                self.own.push(key.name);
            }
        }
    }

    /// Reads a value; `None` if it is empty or of another kind, which is told.
    fn typed(
        &self,
        key: &str,
        takes: &Takes<'_>,
        node: Node,
        findings: &mut Vec<Finding>,
    ) -> Option<Field> {
        let place = node.place.clone();
        let (node, detail) = with_detail(node);
        let read = takes.read(&node);
        match read {
            Ok(value) => value.map(|value| Field {
                value,
                detail,
                place,
            }),
            Err(Unfit { place, why, known }) => {
                let message = format!("`{key}` of {}: {why}", self.name());
                let near = known.and_then(|(word, known)| {
                    let near = suggest::by_likeness(&word, known).into_iter().next()?;
                    suggest::like(&word, &near).then_some(near)
                });
                let mut finding = Finding::new(Kind::WrongValue, message).at(&place, "here");
                finding.help = near.map(|near| format!("is `{near}` meant?"));
                findings.push(finding);
                None
            }
        }
    }
}

/// Why a value does not do.
struct Unfit {
    place: Place,
    why: String,
    /// A word that is none of these.
    known: Option<(String, Vec<String>)>,
}

impl Takes<'_> {
    /// `None` for what is empty, and says nothing.
    fn read(&self, node: &Node) -> Result<Option<Value>, Unfit> {
        let value = match (self, &node.value) {
            (Self::Text, NodeValue::Text(text)) => {
                let text = text.trim();
                return Ok((!text.is_empty()).then(|| Value::Text(text.to_owned())));
            }
            (Self::Text, NodeValue::List(_)) => {
                let words = self.words(node, &[])?;
                return Ok((!words.is_empty()).then_some(Value::Words(words)));
            }
            // An empty list says that there are none; an empty text says nothing.
            (Self::Words(_), NodeValue::Text(text)) if text.trim().is_empty() => return Ok(None),
            (Self::Words(choices), NodeValue::List(_) | NodeValue::Text(_)) => {
                Value::Words(self.words(node, choices)?)
            }
            (Self::Choice(choices), NodeValue::Text(word)) => {
                Value::Choice(of(choices, word, &node.place)?)
            }
            (Self::Boolean, NodeValue::Boolean(value)) => Value::Boolean(*value),
            (Self::Number, NodeValue::Number(number)) => Value::Number(*number),
            (Self::Ids(_), NodeValue::List(ids)) => {
                let ids = ids.iter().map(|id| match &id.value {
                    NodeValue::Text(text) => Ok((text.trim().to_owned(), id.place.clone())),
                    _ => Err(self.unfit(id)),
                });
                Value::Ids(ids.collect::<Result<_, _>>()?)
            }
            (Self::Ids(_), NodeValue::Text(text)) => match none_for(text) {
                Some(reason) => Value::NoneFor(reason.to_owned()),
                None if text.trim().is_empty() => return Ok(None),
                None => Value::Ids(vec![(text.trim().to_owned(), node.place.clone())]),
            },
            _ => return Err(self.unfit(node)),
        };
        Ok(Some(value))
    }

    fn words(&self, node: &Node, choices: &[String]) -> Result<Vec<String>, Unfit> {
        let nodes = match &node.value {
            NodeValue::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let words = nodes.iter().map(|node| match &node.value {
            NodeValue::Text(word) => of(choices, word, &node.place),
            _ => Err(self.unfit(node)),
        });
        words.collect()
    }

    fn unfit(&self, node: &Node) -> Unfit {
        Unfit {
            place: node.place.clone(),
            why: format!("{self} is wanted, and this is {}", node.is_a()),
            known: None,
        }
    }
}

impl fmt::Display for Takes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text, or a list of words,"),
            Self::Words([]) => f.write_str("a list of texts"),
            Self::Words(choices) => write!(f, "a list of {}", choices.join(", ")),
            Self::Ids(tables) => write!(
                f,
                "a list of ids of {}, or \"none: ...\" with a reason,",
                tables.join(" or ")
            ),
            Self::Choice(choices) => f.write_str(&choices.join(" or ")),
            Self::Boolean => f.write_str("true or false"),
            Self::Number => f.write_str("a number"),
        }
    }
}

/// A word as the choices write it, whatever the case of its letters; any, if there are none.
fn of(choices: &[String], word: &str, place: &Place) -> Result<String, Unfit> {
    let word = word.trim();
    if choices.is_empty() {
        return Ok(word.to_owned());
    }
    let choice = choices
        .iter()
        .find(|choice| choice.eq_ignore_ascii_case(word));
    choice.cloned().ok_or_else(|| Unfit {
        place: place.clone(),
        why: format!("{word:?} is none of {}", choices.join(", ")),
        known: Some((word.to_owned(), choices.to_vec())),
    })
}

/// The reason in `none: immutable`; empty in `none`.
fn none_for(text: &str) -> Option<&str> {
    let text = text.trim();
    let rest = text
        .get(..4)
        .filter(|none| none.eq_ignore_ascii_case("none"));
    let rest = rest.and_then(|_| text.get(4..))?;
    let is_word = rest.is_empty() || rest.starts_with([':', ',', ' ', '.', ';']);
    is_word.then(|| rest.trim_start_matches([':', ',', ' ', '.', ';']).trim())
}

/// `{ is = true, detail = "..." }`: a value, and what else there is to be said.
fn with_detail(node: Node) -> (Node, Option<String>) {
    let NodeValue::Table(entries) = &node.value else {
        return (node, None);
    };
    let get = |name: &str| entries.iter().find(|(key, _)| key.name == name);
    let is_pair = entries.len() == 2 || (entries.len() == 1 && get("detail").is_none());
    match (get("is"), get("detail").map(|(_, detail)| &detail.value)) {
        (Some((_, value)), Some(NodeValue::Text(detail))) if is_pair => {
            (value.clone(), Some(detail.clone()))
        }
        (Some((_, value)), None) if is_pair => (value.clone(), None),
        _ => (node, None),
    }
}

fn takes(field: &IxitField) -> Takes<'_> {
    match &field.kind {
        FieldKind::Text | FieldKind::Address => Takes::Text,
        FieldKind::List { choices } => Takes::Words(choices),
        FieldKind::Reference { refers_to } => Takes::Ids(refers_to),
        FieldKind::Choice { choices } => Takes::Choice(choices),
        FieldKind::Boolean => Takes::Boolean,
    }
}

fn takes_fact(fact: &FactInfo) -> Takes<'_> {
    match fact.kind {
        FactKind::Boolean => Takes::Boolean,
        FactKind::Word => Takes::Choice(&fact.choices),
        FactKind::Words => Takes::Words(&fact.choices),
        FactKind::Ids => Takes::Ids(&fact.refers_to),
        FactKind::Number => Takes::Number,
        FactKind::Text => Takes::Text,
    }
}

/// `[[table]]` gives several rows, `[table]` one.
fn rows_of(key: &Key, node: Node, findings: &mut Vec<Finding>) -> Vec<Node> {
    match node.value {
        NodeValue::List(rows) => rows,
        NodeValue::Table(_) => vec![node],
        _ => {
            let message = format!("{} is {}, and has to be a table", key.name, node.is_a());
            findings.push(
                Finding::new(Kind::Malformed, message)
                    .at(&key.place, "here")
                    .with_help(format!(
                        "write [[\"{}\"]], and the fields below it",
                        key.name
                    )),
            );
            Vec::new()
        }
    }
}

/// A name that nobody knows, with the nearest that is known.
pub(super) fn unknown(what: &str, key: &Key, known: &[&str]) -> Finding {
    let near = suggest::by_likeness(&key.name, known.iter().copied());
    let near = near.into_iter().next().unwrap_or_default();
    let help = if suggest::like(&key.name, &near) {
        format!("is `{near}` meant?")
    } else {
        format!("known are {}", known.join(", "))
    };
    Finding::new(Kind::Unknown, format!("`{}` is no {what}", key.name))
        .at(&key.place, "here")
        .with_help(help)
}

#[cfg(test)]
mod tests;
