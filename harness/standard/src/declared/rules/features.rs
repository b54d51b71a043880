//! Whether the conditions and features that the ICS declares are those that the IXIT shows.

use super::{Check, DeclaredRow, Field, Value};
use crate::Catalogue;
use crate::declared::finding::{Finding, Kind};
use crate::declared::ics::Holds;

/// What the tables show of a condition or feature.
struct Shown<'a> {
    /// `None` if rows do not state enough.
    is: Option<bool>,
    /// The rows that show it.
    rows: Vec<&'a DeclaredRow>,
}

pub(super) fn agree(check: &mut Check<'_>) {
    let Some(statement) = check.statement else {
        return;
    };
    let catalogue = Catalogue::shipped();
    for (key, meaning) in catalogue.features() {
        if let (Some(holds), Some(shown)) = (statement.feature(key), feature(check, key)) {
            compare(check, &format!("feature {key} ({meaning})"), holds, shown);
        }
    }
    for (key, meaning) in catalogue.conditions() {
        if let (Some(holds), Some(shown)) = (statement.condition(key), condition(check, key)) {
            compare(check, &format!("condition {key} ({meaning})"), holds, shown);
        }
    }
}

fn compare(check: &mut Check<'_>, what: &str, declared: &Holds, shown: Shown<'_>) {
    if shown.is.is_none_or(|is| is == declared.is) {
        return;
    }
    let message = if declared.is {
        format!("the ICS declares {what}, and the IXIT shows that it is absent")
    } else {
        format!("the ICS declares that {what} is absent, and the IXIT shows it")
    };
    let mut finding = Finding::new(Kind::Breach, message)
        .at(&declared.place, "what the ICS declares")
        .with_help("one of the two is wrong")
        .bearing_on(check.rule.groups.iter().cloned());
    finding = shown
        .rows
        .into_iter()
        .fold(finding, |finding, row| finding.at(&row.place, row.name()));
    finding.rule = Some(check.rule.id.as_str());
    check.findings.push(finding);
}

/// Shown by any row of a table for which a test is true; absent if it is false for all.
fn any<'a>(
    check: &Check<'a>,
    table: &str,
    test: impl Fn(&DeclaredRow) -> Option<bool>,
) -> Shown<'a> {
    let tested: Vec<_> = check
        .rows(table)
        .iter()
        .map(|row| (row, test(row)))
        .collect();
    let shown: Vec<_> = tested
        .iter()
        .filter(|(_, is)| *is == Some(true))
        .map(|(row, _)| *row)
        .collect();
    let is = if !shown.is_empty() {
        Some(true)
    } else if tested.iter().all(|(_, is)| *is == Some(false)) {
        Some(false)
    } else {
        None
    };
    Shown { is, rows: shown }
}

fn fact(row: &DeclaredRow, key: &str) -> Option<bool> {
    row.fact(key).and_then(Field::as_bool)
}

/// All of several; false as soon as one is.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn says(row: &DeclaredRow, key: &str) -> Option<bool> {
    row.field(key).and_then(Field::as_bool)
}

fn is_critical(row: &DeclaredRow) -> Option<bool> {
    row.field("type").map(|_| row.is_word("type", "critical"))
}

fn has_words(row: &DeclaredRow, key: &str, words: &[&str]) -> Option<bool> {
    let stated = row.fact(key).and_then(Field::as_words)?;
    Some(stated.iter().any(|word| words.contains(&word.as_str())))
}

fn has_mechanism(row: &DeclaredRow) -> Option<bool> {
    match &row.field("update_mechanism")?.value {
        Value::Ids(ids) => Some(!ids.is_empty()),
        Value::NoneFor(_) => Some(false),
        _ => None,
    }
}

/// `None` where the tables show nothing of it.
fn feature<'a>(check: &Check<'a>, key: &str) -> Option<Shown<'a>> {
    let word = |row: &DeclaredRow, key: &str, word: &str| {
        let stated = row.fact(key).and_then(Field::as_word)?;
        Some(stated == word)
    };
    let debug_port = |row: &DeclaredRow| {
        both(
            says(row, "debug_interface"),
            row.field("type")
                .map(|_| row.lists("type", "physical port")),
        )
    };
    Some(match key {
        "a" => any(check, "1-AuthMech", |row| {
            has_words(row, "factor", &["password", "PIN"])
        }),
        "b" => any(check, "1-AuthMech", |row| {
            word(row, "password", "pre-installed")
        }),
        "d" => any(check, "1-AuthMech", |row| word(row, "subject", "user")),
        "e" => any(check, "1-AuthMech", |row| fact(row, "network")),
        "f" => any(check, "6-SoftComp", |row| {
            fact(row, "immutable").map(|is| !is)
        }),
        "g" => any(check, "6-SoftComp", has_mechanism),
        "h" => any(check, "7-UpdMech", |row| fact(row, "automatic")),
        "j" => any(check, "7-UpdMech", |row| fact(row, "network")),
        "k" => any(check, "10-SecParam", |row| fact(row, "stored")),
        "l" => any(check, "10-SecParam", |row| fact(row, "hard_coded_identity")),
        "m" => any(check, "10-SecParam", |row| {
            both(
                is_critical(row),
                has_words(row, "use", &["updates", "services"]),
            )
        }),
        "n" => any(check, "13-SoftServ", |row| {
            both(says(row, "allows_configuration"), fact(row, "network"))
        }),
        "o" => any(check, "10-SecParam", |row| {
            both(is_critical(row), fact(row, "leaves"))
        }),
        "q" => any(check, "15-PhyIntf", |row| says(row, "debug_interface")),
        "r" => any(check, "15-PhyIntf", debug_port),
        "s" => any(check, "20-SecBoot", |row| fact(row, "detects")),
        "t" => any(check, "21-PersData", |row| fact(row, "services")),
        "u" => any(check, "21-PersData", |row| {
            both(fact(row, "services"), says(row, "sensitive"))
        }),
        "v" => any(check, "22-ExtSens", |_| Some(true)),
        "w" => any(check, "24-TelData", |_| Some(true)),
        "x" => any(check, "21-PersData", |row| fact(row, "stored_by_services")),
        "y" => any(check, "21-PersData", |row| fact(row, "consent")),
        "z" => any(check, "21-PersData", |_| Some(true)),
        "aa" => any(check, "21-PersData", |row| says(row, "aggregation")),
        _ => return None,
    })
}

fn condition<'a>(check: &Check<'a>, key: &str) -> Option<Shown<'a>> {
    Some(match key {
        "3" => any(check, "6-SoftComp", |row| {
            has_mechanism(row).map(|has| !has)
        }),
        "12" => any(check, "7-UpdMech", |_| Some(true)),
        "16" => any(check, "10-SecParam", is_critical),
        _ => return None,
    })
}
