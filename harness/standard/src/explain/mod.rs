//! What the standards say about something, for people: provisions, cases, units, fields of the IXIT, conditions,
//! states.

mod documents;
mod page;
mod provision;

use std::collections::{BTreeMap, BTreeSet};

pub use page::{Block, Page, Section};

use crate::cryptography::Cryptography;
use crate::editions::Editions;
use crate::model::Model;
use crate::rules::Rules;
use crate::schemes::{schemes, verticals};
use crate::{
    CaseId, Catalogue, FieldRef, IxitField, IxitTable, ProForma, ProvisionId, UnitId, suggest,
};

/// What provebench has scripts for.
pub type Scripts = BTreeMap<CaseId, Script>;

/// A script for a test case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Its file.
    pub file: String,
    /// The units that it has.
    pub units: BTreeMap<char, Takes>,
}

/// What a script takes to decide a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takes {
    /// Functions of the product's driver.
    pub driver: BTreeSet<String>,
    /// What the bench has to offer, in words of scripts and `devices.toml`.
    pub equipment: BTreeSet<String>,
}

/// A word that the standards do not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing is called `{word}`")]
pub struct Unknown {
    /// The word.
    pub word: String,
    /// Words that come near, the nearest first.
    pub near: Vec<String>,
}

/// Explains what a word stands for: a provision (which is its test group too), case, unit, clause, IXIT table or
/// field, condition, feature, device state, rule, scheme or cryptographic mechanism.
pub fn explain(word: &str, scripts: &Scripts) -> Result<Page, Unknown> {
    let word = word.trim();
    of_the_standard(word, scripts)
        .or_else(|| of_documents(word))
        .or_else(|| of_elsewhere(word))
        .ok_or_else(|| unknown(word))
}

fn of_the_standard(word: &str, scripts: &Scripts) -> Option<Page> {
    let catalogue = Catalogue::shipped();
    if let Ok(id) = word.parse::<ProvisionId>() {
        if let Some(provision) = catalogue.provision(&id).filter(|_| !id.is_word()) {
            return provision::provision(provision, scripts);
        }
        if let Some(old) = Editions::shipped().provision(&id) {
            return Some(provision::older(old));
        }
    }
    if let Ok(id) = word.parse::<CaseId>()
        && let Some(case) = catalogue.case(&id)
    {
        return Some(provision::case(case, scripts));
    }
    if let Ok(id) = word.parse::<UnitId>()
        && let Some(unit) = catalogue.unit(&id)
    {
        return Some(provision::unit(&id, unit, scripts));
    }
    let about = catalogue.clause(word)?;
    Some(provision::clause(word, about))
}

fn of_documents(word: &str) -> Option<Page> {
    let catalogue = Catalogue::shipped();
    let form = ProForma::shipped();
    if let Some(table) = form.tables().iter().find(|table| is_table(table, word)) {
        return Some(documents::table(table));
    }
    let fields = fields_called(word);
    if let [(table, field)] = fields[..] {
        return Some(documents::field(table, field));
    }
    if !fields.is_empty() {
        return Some(documents::fields(word, &fields));
    }
    let keys = [("condition", 'C'), ("feature", 'F')];
    for (kind, letter) in keys {
        let named = strip_word(word, kind).or_else(|| word.strip_prefix(letter).map(str::trim));
        let key = named.unwrap_or(word);
        let meaning = match letter {
            'C' => catalogue.condition(key),
            _ => catalogue.feature(key),
        };
        if let Some(meaning) = meaning {
            return Some(documents::applicability(kind, letter, key, meaning));
        }
    }
    None
}

fn of_elsewhere(word: &str) -> Option<Page> {
    let is = |name: &str| name.eq_ignore_ascii_case(word);
    let states = &Model::shipped().state;
    let state = states.state.iter();
    if let Some(state) = state.clone().find(|s| is(&s.id) || is(&s.name)) {
        return Some(documents::state(state, states));
    }
    if let Some(transition) = states.transition.iter().find(|t| is(&t.id)) {
        return Some(documents::transition(transition));
    }
    if let Some(rule) = Rules::shipped().rule.iter().find(|rule| is(&rule.id)) {
        return Some(documents::verdict_rule(rule));
    }
    if let Some(rule) = ProForma::shipped().rule(word) {
        return Some(documents::ixit_rule(rule));
    }
    if let Some(scheme) = schemes().iter().find(|scheme| is(&scheme.id)) {
        return Some(documents::scheme(scheme));
    }
    if let Some(vertical) = verticals().iter().find(|vertical| is(&vertical.id)) {
        return Some(documents::vertical(vertical));
    }
    let cryptography = Cryptography::shipped();
    if let Some(suite) = cryptography.suite.iter().find(|suite| is(&suite.name)) {
        return Some(documents::suite(suite, cryptography));
    }
    let mut entries = cryptography.entry.iter();
    entries
        .find(|entry| is(&entry.id) || is(&entry.name))
        .map(|entry| documents::entry(entry, cryptography))
}

/// `1-AuthMech`, in small letters too, and `AuthMech`.
fn is_table(table: &IxitTable, word: &str) -> bool {
    let name = table.id.split_once('-').map(|(_, name)| name);
    table.id.eq_ignore_ascii_case(word) || name.is_some_and(|name| name.eq_ignore_ascii_case(word))
}

/// `10-SecParam.Type`, `10-SecParam.type`; without a table, all fields of that name or key.
fn fields_called(word: &str) -> Vec<(&'static IxitTable, &'static IxitField)> {
    let form = ProForma::shipped();
    let reference = word.parse::<FieldRef>().ok();
    let name = reference.as_ref().map_or(word, |r| r.field.as_str());
    let tables = form.tables().iter().filter(|table| {
        let named = reference.as_ref();
        named.is_none_or(|reference| is_table(table, &reference.table))
    });
    let is = |field: &IxitField| {
        field.name.eq_ignore_ascii_case(name) || field.key.eq_ignore_ascii_case(name)
    };
    let fields = tables.flat_map(|table| table.fields.iter().map(move |field| (table, field)));
    fields.filter(|(_, field)| is(field)).collect()
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = text.split_once(' ')?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim())
}

/// How many words that come near are told.
const NEAR: usize = 5;

fn unknown(word: &str) -> Unknown {
    let mut near = suggest::by_likeness(word, names());
    near.dedup();
    near.truncate(NEAR);
    near.retain(|name| suggest::like(word, name));
    Unknown {
        word: word.to_owned(),
        near,
    }
}

/// All that can be explained.
pub fn names() -> BTreeSet<String> {
    let catalogue = Catalogue::shipped();
    let form = ProForma::shipped();
    let states = &Model::shipped().state;
    let cryptography = Cryptography::shipped();
    let mut names = BTreeSet::new();
    for group in catalogue.groups() {
        names.insert(group.id.to_string());
        names.insert(group.id.clause());
        names.extend(group.cases.iter().map(ToString::to_string));
    }
    names.extend(catalogue.units().map(|(id, _)| id.to_string()));
    names.extend(
        Editions::shipped()
            .provisions()
            .map(|old| old.id.to_string()),
    );
    for table in form.tables() {
        names.insert(table.id.clone());
        let fields = table.fields.iter();
        names.extend(fields.flat_map(|field| {
            [
                format!("{}.{}", table.id, field.name),
                format!("{}.{}", table.id, field.key),
                field.name.clone(),
                field.key.clone(),
            ]
        }));
    }
    let conditions = catalogue.conditions().into_iter();
    names.extend(conditions.map(|(key, _)| format!("condition {key}")));
    let features = catalogue.features().into_iter();
    names.extend(features.map(|(key, _)| format!("feature {key}")));
    names.extend(states.state.iter().map(|state| state.id.clone()));
    names.extend(states.transition.iter().map(|t| t.id.clone()));
    names.extend(Rules::shipped().rule.iter().map(|rule| rule.id.clone()));
    names.extend(form.rules().iter().map(|rule| rule.id.clone()));
    names.extend(schemes().iter().map(|scheme| scheme.id.clone()));
    names.extend(verticals().iter().map(|vertical| vertical.id.clone()));
    names.extend(cryptography.suite.iter().map(|suite| suite.name.clone()));
    names.extend(cryptography.entry.iter().map(|entry| entry.id.clone()));
    names
}

#[cfg(test)]
mod tests;
