//! Provisions, their test groups, cases and units.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{Block, Page, and, items, note, term, text};
use super::{Script, Scripts, Takes};
use crate::editions::{Editions, OlderProvision};
use crate::rules::Rules;
use crate::schemes::schemes;
use crate::{
    CaseInfo, Catalogue, Decision, FieldRef, Group, Guidance, IXIT_TABLES, Provision, ProvisionId,
    Status, UnitId, UnitInfo,
};

pub(super) fn provision(provision: &Provision, scripts: &Scripts) -> Option<Page> {
    let catalogue = Catalogue::shipped();
    let group = catalogue.group(&provision.id)?;
    let guidance = Guidance::on(&provision.id)?;
    let cases: Vec<&CaseInfo> = group
        .cases
        .iter()
        .filter_map(|id| catalogue.case(id))
        .collect();
    let units: Vec<(UnitId, &UnitInfo)> = cases.iter().flat_map(|case| units_of(case)).collect();
    let mut page = Page::new(format!("{}  {}", provision.id, provision.title));
    let kind = format!(
        "Provision of EN 303 645 v3.1.3 and test group of TS 103 701 v2.1.1; {}.",
        binding(&provision.status)
    );
    page.section("", [text(kind)]);
    page.section("Asked", [text(&guidance.asks)]);
    page.section("Why", [text(&group.why)]);
    page.section("Applies", applies(group, &provision.status));
    page.section("Products pass by", pass(group, guidance));
    page.section(
        "Products fail by",
        items(group.fails.iter().chain(&guidance.pitfalls)),
    );
    let constrained = Some(&guidance.constrained).filter(|text| !text.is_empty());
    let constrained = constrained.map(|text| term("constrained devices", text));
    let firmware = [text(&guidance.firmware)].into_iter().chain(constrained);
    page.section("For firmware engineers", firmware);
    page.section("For assessors", items(&guidance.evidence));
    let decided = cases.iter().flat_map(|case| {
        let purpose = term(format!("{} ({})", case.id, case.kind), &case.purpose);
        let units = units_of(case).map(|(id, unit)| decided(&id, unit, scripts));
        [purpose].into_iter().chain(units)
    });
    page.section("Decided by", decided);
    page.section("IXIT", fields(units.iter().map(|(_, unit)| *unit)));
    page.section("Takes", takes(units.iter().map(|(id, _)| id), scripts));
    page.section("Verdicts", verdicts(cases.iter().copied()));
    page.section("In EN 303 645 v2.1.1", before(&provision.id));
    page.section("Schemes", asked_by(&provision.id));
    let notes = [note(group.note.as_ref()), note(guidance.note.as_ref())];
    page.section("Notes", notes.into_iter().flatten());
    page.section("See", sources(guidance));
    Some(page)
}

pub(super) fn older(old: &OlderProvision) -> Page {
    let mut page = Page::new(format!("{}  {}", old.id, old.title));
    let binding = if old.status.mandatory {
        "mandatory"
    } else {
        "recommended"
    };
    page.section(
        "",
        [text(format!(
            "Provision of EN 303 645 v2.1.1, {binding}; not in v3.1.3 under this number."
        ))],
    );
    let conditions = old.status.conditions.iter().filter_map(|key| {
        let meaning = Editions::shipped().condition(key)?;
        Some(term(format!("condition {key}"), meaning))
    });
    page.section("Applies if", conditions);
    let became = old.became.iter().map(|became| {
        let title = Catalogue::shipped()
            .provision(&became.id)
            .map(|p| p.title.as_str());
        term(
            &became.id,
            format!("{} ({})", title.unwrap_or_default(), became.how),
        )
    });
    page.section("In v3.1.3", became);
    page.section("Change", note(old.change.as_ref()));
    page.section("Notes", note(old.note.as_ref()));
    page
}

pub(super) fn case(case: &CaseInfo, scripts: &Scripts) -> Page {
    let catalogue = Catalogue::shipped();
    let provision = catalogue.provision(&case.id.provision);
    let title = provision.map(|p| p.title.as_str()).unwrap_or_default();
    let mut page = Page::new(format!("{}  {title}", case.id));
    page.section(
        "",
        [text(format!(
            "Test case of TS 103 701 v2.1.1 in test group {}, {}.",
            case.id.provision, case.kind
        ))],
    );
    page.section("Purpose", [text(&case.purpose)]);
    if let Some(provision) = provision
        && let Some(group) = catalogue.group(&case.id.provision)
    {
        page.section("Applies", applies(group, &provision.status));
    }
    let units: Vec<(UnitId, &UnitInfo)> = units_of(case).collect();
    let decided = units
        .iter()
        .flat_map(|(id, unit)| [decided(id, unit, scripts), term("  how", &unit.how)]);
    page.section("Decided by", decided);
    page.section("IXIT", fields(units.iter().map(|(_, unit)| *unit)));
    page.section("Takes", takes(units.iter().map(|(id, _)| id), scripts));
    page.section("Verdicts", verdicts([case]));
    let notes = units
        .iter()
        .filter_map(|(id, unit)| Some(term(id.letter, unit.note.as_ref()?)));
    page.section("Notes", note(case.note.as_ref()).into_iter().chain(notes));
    page
}

pub(super) fn unit(id: &UnitId, unit: &UnitInfo, scripts: &Scripts) -> Page {
    let mut page = Page::new(id.to_string());
    page.section(
        "",
        [text(format!(
            "Test unit of TS 103 701 v2.1.1, decided by {}.",
            who(unit.who)
        ))],
    );
    page.section("Shows", [text(&unit.shows)]);
    page.section("How", [text(&unit.how)]);
    page.section("IXIT", fields([unit]));
    page.section("State of the device", states(id));
    let script = match script_of(id, scripts) {
        Some((script, _)) => format!("by {}", script.file),
        None => without_script(unit.who).to_owned(),
    };
    page.section("In provebench", [text(script)]);
    page.section("Takes", takes([id], scripts));
    let rules = Rules::shipped();
    let reused = rules.reused(id).map(|reuse| {
        let of: Vec<String> = reuse.of.iter().map(ToString::to_string).collect();
        text(format!("applies {} to {}", and(&of), reuse.over))
    });
    let verbs = &rules.verbs;
    let by_rule = verbs.assess_by_rule.contains(id).then(|| {
        text(
            "TS 103 701 v1.1.1 asks an expert for this; here a rule decides, and its result is open to a person's \
             objection.",
        )
    });
    let exceptions = rules.exceptions(&id.case).map(|e| text(&e.rule));
    page.section("Verdict", reused.chain(by_rule).chain(exceptions));
    page.section("Notes", note(unit.note.as_ref()));
    page
}

pub(super) fn clause(clause: &str, about: &str) -> Page {
    let mut page = Page::new(format!("{clause}  {about}"));
    page.section("", [text("Clause of EN 303 645 v3.1.3.")]);
    let provisions = Catalogue::shipped().provisions();
    let provisions = provisions.filter(|provision| provision.id.clause() == clause);
    let provisions = provisions.map(|p| term(&p.id, format!("{} ({})", p.title, p.status)));
    page.section("Provisions", provisions);
    page
}

fn units_of(case: &CaseInfo) -> impl Iterator<Item = (UnitId, &UnitInfo)> {
    case.units.iter().map(|(&letter, unit)| {
        let case = case.id.clone();
        (UnitId { case, letter }, unit)
    })
}

/// `mandatory if updates arrive over a network`.
fn binding(status: &Status) -> String {
    let binding = if status.mandatory {
        "mandatory"
    } else {
        "recommended"
    };
    let when = when(status);
    if when.is_empty() {
        format!("{binding} for every product")
    } else {
        let when: Vec<String> = when
            .into_iter()
            .map(|(_, meaning)| meaning.to_owned())
            .collect();
        format!("{binding} if {}", and(&when))
    }
}

/// Condition and feature that a status depends on, with what they mean.
fn when(status: &Status) -> Vec<(String, &'static str)> {
    let catalogue = Catalogue::shipped();
    let condition = status.condition.as_deref();
    let condition =
        condition.and_then(|key| Some((format!("condition {key}"), catalogue.condition(key)?)));
    let feature = status.feature.as_deref();
    let feature = feature.and_then(|key| Some((format!("feature {key}"), catalogue.feature(key)?)));
    condition.into_iter().chain(feature).collect()
}

fn applies(group: &Group, status: &Status) -> Vec<Block> {
    let when = when(status).into_iter();
    let when = when.map(|(name, meaning)| term(name, meaning));
    [text(&group.applies)].into_iter().chain(when).collect()
}

fn pass(group: &Group, guidance: &Guidance) -> Vec<Block> {
    let passes = Block::Item(group.passes.clone());
    [passes]
        .into_iter()
        .chain(items(&guidance.examples))
        .collect()
}

fn who(decision: Decision) -> &'static str {
    match decision {
        Decision::Document => "a rule over ICS and IXIT",
        Decision::Judge => "a person, from what the IXIT says",
        Decision::Bench => "the bench",
        Decision::Assist => "a person, from evidence of the bench",
        Decision::Person => "a person",
    }
}

fn without_script(decision: Decision) -> &'static str {
    match decision {
        Decision::Document => "no rule yet: a person decides",
        Decision::Bench | Decision::Assist => "no script yet: a person decides",
        Decision::Judge | Decision::Person => "a person decides",
    }
}

fn script_of<'a>(id: &UnitId, scripts: &'a Scripts) -> Option<(&'a Script, &'a Takes)> {
    let script = scripts.get(&id.case)?;
    Some((script, script.units.get(&id.letter)?))
}

fn decided(id: &UnitId, unit: &UnitInfo, scripts: &Scripts) -> Block {
    let by = match script_of(id, scripts) {
        Some((script, _)) => format!("provebench: {}", script.file),
        None => without_script(unit.who).to_owned(),
    };
    term(
        format!("  {}", id.letter),
        format!("{} [{}; {by}]", unit.shows, unit.who),
    )
}

/// The fields that units read, a table a line.
fn fields<'a>(units: impl IntoIterator<Item = &'a UnitInfo>) -> Vec<Block> {
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for field in units.into_iter().flat_map(|unit| &unit.fields) {
        let fields = tables.entry(&field.table).or_default();
        if !fields.contains(&field.field.as_str()) {
            fields.push(&field.field);
        }
    }
    let order = [FieldRef::ICS].into_iter().chain(IXIT_TABLES);
    order
        .filter_map(|table| Some(term(table, tables.get(table)?.join(", "))))
        .collect()
}

fn takes<'a>(units: impl IntoIterator<Item = &'a UnitId>, scripts: &Scripts) -> Vec<Block> {
    let mut driver: BTreeSet<&str> = BTreeSet::new();
    let mut equipment: BTreeSet<&str> = BTreeSet::new();
    for (_, takes) in units.into_iter().filter_map(|id| script_of(id, scripts)) {
        driver.extend(takes.driver.iter().map(String::as_str));
        equipment.extend(takes.equipment.iter().map(String::as_str));
    }
    let line = |name: &str, words: BTreeSet<&str>| {
        let words: Vec<&str> = words.into_iter().collect();
        (!words.is_empty()).then(|| term(name, words.join(", ")))
    };
    let lines = [line("driver functions", driver), line("bench", equipment)];
    lines.into_iter().flatten().collect()
}

fn states(id: &UnitId) -> Vec<Block> {
    Rules::shipped()
        .states(id)
        .map(|state| text(&state.state))
        .collect()
}

/// What is special about verdicts of cases: which entries count, units of other cases that are applied, states.
fn verdicts<'a>(cases: impl IntoIterator<Item = &'a CaseInfo>) -> Vec<Block> {
    let rules = Rules::shipped();
    let mut blocks = Vec::new();
    for case in cases {
        let exceptions = rules.exceptions(&case.id);
        blocks.extend(exceptions.map(|exception| term(&case.id, &exception.rule)));
        for (id, _) in units_of(case) {
            let reused = rules.reused(&id).map(|reuse| {
                let of: Vec<String> = reuse.of.iter().map(ToString::to_string).collect();
                term(&id, format!("applies {} to {}", and(&of), reuse.over))
            });
            blocks.extend(reused);
            let states = rules.states(&id);
            blocks.extend(
                states.map(|state| term(&id, format!("looks at the device: {}", state.state))),
            );
        }
    }
    blocks
}

fn before(id: &ProvisionId) -> Vec<Block> {
    let editions = Editions::shipped();
    let before = editions.before(id).flat_map(|(old, how)| {
        let is = term(&old.id, format!("{} ({}, {how})", old.title, old.status));
        let change = old
            .change
            .as_ref()
            .map(|change| term("  since then", change));
        [Some(is), change].into_iter().flatten()
    });
    let before: Vec<Block> = before.collect();
    if before.is_empty() {
        vec![text("not there")]
    } else {
        before
    }
}

fn asked_by(id: &ProvisionId) -> Vec<Block> {
    let asked = schemes().iter().flat_map(|scheme| {
        let requirements = scheme.requirements.iter();
        let requirements = requirements.filter(|r| r.provisions.contains(id));
        requirements.map(move |r| (scheme, r))
    });
    let mut by_scheme: Vec<(&str, Vec<String>)> = Vec::new();
    for (scheme, requirement) in asked {
        let told = format!("{} ({})", requirement.id, requirement.confidence);
        match by_scheme.last_mut() {
            Some((id, all)) if *id == scheme.id => all.push(told),
            _ => by_scheme.push((&scheme.id, vec![told])),
        }
    }
    by_scheme
        .into_iter()
        .map(|(scheme, all)| term(scheme, all.join(", ")))
        .collect()
}

fn sources(guidance: &Guidance) -> Vec<Block> {
    let sources = guidance.see.iter().map(|see| {
        let title = Guidance::source(see).map(|(_, source)| source.title.as_str());
        term(see, title.unwrap_or_default())
    });
    sources.collect()
}
