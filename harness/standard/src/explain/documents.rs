//! Tables and fields of the IXIT, conditions, states, rules, schemes, cryptography.

use std::collections::BTreeMap;

use super::page::{Block, Page, and, items, note, term, text};
use crate::cryptography::{Cryptography, Entry as Mechanism, Source, Standing, Suite};
use crate::model::{State, States, Transition};
use crate::rules::Rule;
use crate::schemes::{Scheme, Vertical};
use crate::{
    Catalogue, Entry, FieldKind, IxitField, IxitRule, IxitTable, ProForma, Provision, ProvisionId,
    UnitId,
};

pub(super) fn table(table: &IxitTable) -> Page {
    let mut page = Page::new(format!("{}  {}", table.id, table.title));
    page.section("", [text("Table of the IXIT, TS 103 701 v2.1.1.")]);
    let rows = match table.entry {
        Entry::Single => "one row, without an identifier".to_owned(),
        Entry::Many => match &table.prefix {
            Some(prefix) => format!("any number of rows, with identifiers such as {prefix}1"),
            None => "any number of rows, with identifiers".to_owned(),
        },
    };
    page.section("A row is", [text(&table.each), text(rows)]);
    let fields = table.fields.iter().map(|field| {
        term(
            &field.key,
            format!(
                "{}: {} [{}; {}]",
                field.name,
                field.meaning,
                value(field),
                need(field)
            ),
        )
    });
    page.section("Fields", fields);
    page.section("Read by", readers(table.readers()));
    page.section("Rules", rules(table));
    let before = table.before.as_ref();
    page.section("Before", note(before));
    page.section("Notes", note(table.note.as_ref()));
    page
}

pub(super) fn field(table: &IxitTable, field: &IxitField) -> Page {
    let mut page = Page::new(format!("{}.{}", table.id, field.name));
    page.section(
        "",
        [text(format!(
            "Field of IXIT table {} ({}).",
            table.id, table.title
        ))],
    );
    page.section("Tells", [text(&field.meaning)]);
    page.section(
        "In files",
        [term(&field.key, value(field)), term("", need(field))],
    );
    page.section("Read by", readers(table.readers_of(field)));
    page.section("Rules about its table", rules(table));
    let uncertain = (!field.certain)
        .then(|| text("Seen in one vendor's tables only: it may be an addition of theirs."));
    let was = field
        .was
        .as_ref()
        .map(|was| text(format!("Called {was} in TS 103 701 v1.1.1.")));
    let notes = [note(field.note.as_ref()), was, uncertain];
    page.section("Notes", notes.into_iter().flatten());
    page
}

/// A name that several tables have a field of.
pub(super) fn fields(word: &str, fields: &[(&IxitTable, &IxitField)]) -> Page {
    let mut page = Page::new(word);
    page.section(
        "",
        [text(format!(
            "{} tables of the IXIT have a field of that name.",
            fields.len()
        ))],
    );
    let fields = fields.iter();
    let fields =
        fields.map(|(table, field)| term(format!("{}.{}", table.id, field.key), &field.meaning));
    page.section("Fields", fields);
    page
}

pub(super) fn applicability(kind: &str, letter: char, key: &str, meaning: &str) -> Page {
    let mut page = Page::new(format!("{kind} {key}"));
    page.section(
        "",
        [text(format!(
            "{letter} ({key}) in table B.1 of EN 303 645 v3.1.3."
        ))],
    );
    page.section("Holds if", [text(meaning)]);
    let depends = |provision: &&Provision| {
        let status = &provision.status;
        let of = if letter == 'C' {
            &status.condition
        } else {
            &status.feature
        };
        of.as_deref() == Some(key) && !provision.id.is_word()
    };
    let provisions = Catalogue::shipped().provisions().filter(depends);
    let provisions = provisions.map(|p| term(&p.id, format!("{} ({})", p.title, p.status)));
    page.section("Provisions that apply then", provisions);
    page
}

pub(super) fn state(state: &State, states: &States) -> Page {
    let mut page = Page::new(&*state.name);
    page.section(
        "",
        [text(format!(
            "State of the device, {}.",
            origin(state.ours)
        ))],
    );
    page.section("Is", [text(&state.meaning)]);
    page.section("Stored", items(&state.stores));
    page.section("Not stored", items(&state.stores_not));
    page.section("On the bench", [text(&state.bench)]);
    let ways = states.transition.iter();
    let ways = ways.filter(|way| way.from == state.id || way.to == state.id);
    let ways = ways.map(|way| {
        term(
            &way.id,
            format!("{} to {}: {}", way.from, way.to, way.meaning),
        )
    });
    page.section("Ways in and out", ways);
    page.section("Matters for", provisions(&state.provisions));
    page
}

pub(super) fn transition(way: &Transition) -> Page {
    let mut page = Page::new(&*way.id);
    page.section(
        "",
        [text(format!(
            "Way of the device from {} to {}, {}.",
            way.from,
            way.to,
            origin(way.ours)
        ))],
    );
    page.section("Is", [text(&way.meaning)]);
    page.section("Matters for", provisions(&way.provisions));
    page
}

pub(super) fn verdict_rule(rule: &Rule) -> Page {
    let mut page = Page::new(&*rule.id);
    page.section(
        "",
        [text(format!(
            "Rule on {}, {}; TS 103 701 v1.1.1, {}.",
            rule.topic, rule.force, rule.clause
        ))],
    );
    page.section("Rule", [text(&rule.rule)]);
    page.section("EN 303 645 v3.1.3", note(rule.en.as_ref()));
    page.section("TS 103 701 v2.1.1", note(rule.v2.as_ref()));
    page.section("In provebench", note(rule.ours.as_ref()));
    page
}

pub(super) fn ixit_rule(rule: &IxitRule) -> Page {
    let mut page = Page::new(&*rule.id);
    let by = if rule.machine {
        "checked by machine"
    } else {
        "for a person to see to"
    };
    let tables = match &rule.tables[..] {
        [all] if all == "*" => "all tables".to_owned(),
        tables => and(tables),
    };
    page.section(
        "",
        [text(format!(
            "Rule on the IXIT, {tables}; {by}, {}.",
            rule.basis
        ))],
    );
    page.section("Rule", [text(&rule.rule)]);
    page.section("Bears upon", provisions(&rule.groups));
    page
}

pub(super) fn scheme(scheme: &Scheme) -> Page {
    let mut page = Page::new(format!("{}  {}", scheme.id, scheme.name));
    page.section(
        "",
        [text(format!(
            "Scheme of {}; {}.",
            scheme.authority, scheme.status
        ))],
    );
    page.section("Asks", [text(&scheme.asks)]);
    page.section("Rests on", [text(&scheme.basis)]);
    let requirements = scheme.requirements.iter().map(|requirement| {
        let provisions: Vec<String> = requirement
            .provisions
            .iter()
            .map(ToString::to_string)
            .collect();
        let provisions = if provisions.is_empty() {
            "no provision".to_owned()
        } else {
            provisions.join(" ")
        };
        term(
            &requirement.id,
            format!(
                "{} [{provisions}; {}]",
                requirement.text, requirement.confidence
            ),
        )
    });
    page.section("Requirements", requirements);
    page.section("Looked for", note(scheme.seen.as_ref()));
    page
}

pub(super) fn vertical(vertical: &Vertical) -> Page {
    let mut page = Page::new(&*vertical.title);
    page.section(
        "",
        [text(format!(
            "For {}; {}; confidence: {}.",
            and(&vertical.products),
            vertical.status,
            vertical.confidence
        ))],
    );
    page.section("About", [text(&vertical.scope)]);
    page.section("Adds", items(&vertical.adds));
    page.section("Touches", provisions(&vertical.touches));
    page.section("Notes", note(vertical.note.as_ref()));
    page.section("See", items(&vertical.sources));
    page
}

pub(super) fn suite(suite: &Suite, cryptography: &Cryptography) -> Page {
    let mut page = Page::new(&*suite.name);
    let has = |has: bool, what: &str| {
        if has {
            what.to_owned()
        } else {
            format!("no {what}")
        }
    };
    page.section(
        "",
        [text(format!(
            "Cipher suite of {}, {}; {}, {}.",
            suite.version,
            suite.iana,
            has(suite.forward_secrecy, "forward secrecy"),
            has(suite.aead, "authenticated encryption")
        ))],
    );
    let verdict = standing(suite.verdict, suite.until, suite.is_fail());
    page.section(
        "Verdict",
        verdict.into_iter().chain(note(suite.why.as_ref())),
    );
    page.section(
        "Says who",
        sources(&suite.source, suite.source_checked, cryptography),
    );
    page
}

pub(super) fn entry(entry: &Mechanism, cryptography: &Cryptography) -> Page {
    let mut page = Page::new(&*entry.name);
    page.section("", [text(format!("Cryptography: {}.", entry.kind))]);
    let verdict = standing(entry.verdict, entry.until, entry.is_fail());
    page.section(
        "Verdict",
        verdict.into_iter().chain(note(entry.why.as_ref())),
    );
    page.section(
        "Catalogues differ",
        entry.by.iter().map(|(who, what)| term(who, what)),
    );
    page.section(
        "Says who",
        sources(&entry.source, entry.source_checked, cryptography),
    );
    page
}

fn standing(verdict: Standing, until: Option<u16>, is_fail: bool) -> Vec<Block> {
    let until = until
        .map(|year| format!(" until {year}"))
        .unwrap_or_default();
    let follows = match verdict {
        Standing::Recommended => "its use passes by rule",
        _ if is_fail => "its use fails by rule",
        _ => "an assessor looks at its use",
    };
    vec![text(format!("{verdict}{until}: {follows}"))]
}

fn sources(sources: &[Source], checked: bool, cryptography: &Cryptography) -> Vec<Block> {
    let told = sources.iter().map(|source| {
        let title = cryptography
            .source
            .get(&source.id)
            .map(|s| s.title.as_str());
        let clause = source.clause.as_deref().unwrap_or_default();
        term(title.unwrap_or(&source.id), clause)
    });
    let checked = (!checked).then(|| text("from memory: to be checked before a FAIL rests on it"));
    told.chain(checked).collect()
}

fn origin(ours: bool) -> &'static str {
    if ours {
        "a word of ours"
    } else {
        "EN 303 645 v3.1.3, annex A.2"
    }
}

fn provisions(ids: &[ProvisionId]) -> Vec<Block> {
    let catalogue = Catalogue::shipped();
    let titled = ids.iter().map(|id| {
        let title = catalogue.provision(id).map(|p| p.title.as_str());
        term(id, title.unwrap_or_default())
    });
    titled.collect()
}

/// Units, a group a line.
fn readers(units: impl Iterator<Item = UnitId>) -> Vec<Block> {
    let mut groups: BTreeMap<ProvisionId, Vec<String>> = BTreeMap::new();
    for unit in units {
        let of = groups.entry(unit.case.provision.clone()).or_default();
        of.push(unit.to_string());
    }
    let groups = groups.into_iter();
    groups
        .map(|(group, units)| term(group, units.join(", ")))
        .collect()
}

fn rules(table: &IxitTable) -> Vec<Block> {
    let rules = ProForma::shipped().rules().iter();
    let rules = rules.filter(|rule| rule.tables.contains(&table.id));
    rules.map(|rule| term(&rule.id, &rule.rule)).collect()
}

fn need(field: &IxitField) -> String {
    match &field.required_when {
        _ if field.required => "in each row".to_owned(),
        Some(when) => format!("when {when}"),
        None => "at will".to_owned(),
    }
}

fn value(field: &IxitField) -> String {
    match &field.kind {
        FieldKind::Text => "text".to_owned(),
        FieldKind::List { choices } if choices.is_empty() => "list".to_owned(),
        FieldKind::List { choices } => format!("list of {}", and(choices)),
        FieldKind::Reference { refers_to } => format!("ids of rows in {}", and(refers_to)),
        FieldKind::Choice { choices } => choices.join(" or "),
        FieldKind::Boolean => "yes or no".to_owned(),
        FieldKind::Address => "address: a URL, or another place where a user finds it".to_owned(),
    }
}
