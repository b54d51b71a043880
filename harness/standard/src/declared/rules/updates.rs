//! Software components and their updates.

use super::{Check, DeclaredRow, Value};

const COMPONENTS: &str = "6-SoftComp";
const MECHANISMS: &str = "7-UpdMech";

/// Says that it is not updated.
fn has_none(component: &DeclaredRow) -> bool {
    let field = component.field("update_mechanism");
    match field.map(|field| &field.value) {
        Some(Value::NoneFor(_)) => true,
        Some(Value::Ids(ids)) => ids.is_empty(),
        _ => false,
    }
}

pub(super) fn components_name_mechanisms(check: &mut Check<'_>) {
    for row in check.rows(COMPONENTS) {
        let field = row.field("update_mechanism");
        let is_without_reason = match field.map(|field| (&field.value, &field.detail)) {
            Some((Value::NoneFor(reason), detail)) => reason.is_empty() && detail.is_none(),
            Some((Value::Ids(ids), detail)) => ids.is_empty() && detail.is_none(),
            _ => false,
        };
        if is_without_reason {
            check.breach(
                format!(
                    "{} has no update mechanism, and no reason for that",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn mechanisms_are_used(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        let mut components = check.rows(COMPONENTS).iter();
        if !components.any(|component| component.ids("update_mechanism").contains(&row.name())) {
            check.breach(
                format!("no software component names {}", row.name()),
                &[row],
            );
        }
    }
}

pub(super) fn cryptography_can_be_replaced(check: &mut Check<'_>) {
    for row in check.rows(COMPONENTS) {
        if !row.says_yes("cryptographic_usage") {
            continue;
        }
        if has_none(row) {
            check.breach(
                format!("{} uses cryptography, and cannot be updated", row.name()),
                &[row],
            );
        } else if check.is(row, "side_effects_considered") == Some(false) {
            check.breach(
                format!(
                    "for {}, side effects of replacing algorithms were not considered",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn updates_are_looked_for(check: &mut Check<'_>) {
    for row in check.rows(COMPONENTS) {
        let mechanisms = check.resolved(&[MECHANISMS], &row.ids("update_mechanism"));
        // All are asked, so that all that is not stated is told.
        let checks: Vec<Option<bool>> = mechanisms
            .iter()
            .map(|mechanism| check.is(mechanism, "checks"))
            .collect();
        if !checks.is_empty() && checks.iter().all(|checks| *checks == Some(false)) {
            let at: Vec<&DeclaredRow> = [row].into_iter().chain(mechanisms).collect();
            check.breach(format!("nobody looks for updates of {}", row.name()), &at);
        }
    }
}

pub(super) fn what_cannot_be_updated(check: &mut Check<'_>) {
    let stuck: Vec<&DeclaredRow> = check
        .rows(COMPONENTS)
        .iter()
        .filter(|row| has_none(row))
        .collect();
    let needed = [
        ("9-ReplSup", "isolation"),
        ("9-ReplSup", "hardware_replacement"),
        ("2-UserInfo", "publication_of_non_updatable"),
        ("2-UserInfo", "documentation_of_replacement"),
    ];
    for row in stuck {
        // What is kept from updates for security needs no replacement.
        if check.is(row, "immutable") != Some(false) {
            continue;
        }
        for (table, key) in needed {
            let says = check
                .single(table)
                .is_some_and(|row| row.field(key).is_some());
            if !says {
                let at: Vec<&DeclaredRow> = [row].into_iter().chain(check.single(table)).collect();
                check.breach(
                    format!(
                        "{} cannot be updated, and {table} has no `{key}`",
                        row.name()
                    ),
                    &at,
                );
            }
        }
    }
}

pub(super) fn over_a_network(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.is(row, "network") != Some(true) {
            continue;
        }
        for guarantee in ["authenticity", "integrity"] {
            if check.has_word(row, "security_guarantees", guarantee) == Some(false) {
                check.breach(
                    format!(
                        "{} takes updates from a network without {guarantee}",
                        row.name()
                    ),
                    &[row],
                );
            }
        }
        if check.is(row, "device_verifies") == Some(false) {
            check.breach(
                format!(
                    "{} takes updates from a network that the device does not verify",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn device_verifies(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.is(row, "device_verifies") == Some(false) {
            check.breach(
                format!(
                    "the device itself does not verify updates by {}",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn interfaces(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.is(row, "network") != Some(true) {
            continue;
        }
        let interfaces = row.fact_ids("interface");
        if interfaces.is_empty() {
            check.breach(
                format!(
                    "{} takes updates from a network, and names no logical interface for that",
                    row.name()
                ),
                &[row],
            );
            continue;
        }
        if check.is(row, "protected_channel") == Some(true) {
            let mut channels = check.rows("11-SecComMech").iter();
            let protects = |channel: &DeclaredRow| {
                channel
                    .ids("interface")
                    .iter()
                    .any(|id| interfaces.contains(id))
            };
            if !channels.any(protects) {
                check.breach(
                    format!(
                        "no secure communication mechanism protects an interface of {}",
                        row.name()
                    ),
                    &[row],
                );
            }
        }
    }
}

pub(super) fn decisions(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        let Some(configurable) = check.fact_words(row, "configurable") else {
            continue;
        };
        if configurable.is_empty() {
            continue;
        }
        let decisions = check.rows("26-UserDec").iter();
        let decision = decisions
            .clone()
            .find(|decision| decision.fact_ids("about").contains(&row.name()));
        let Some(decision) = decision else {
            // It may be there, and nobody said what it is about.
            match decisions
                .clone()
                .find(|decision| decision.fact("about").is_none())
            {
                Some(silent) => check.not_stated(silent, "about"),
                None => check.breach(
                    format!(
                        "{} can be configured, and no user decision is about it",
                        row.name()
                    ),
                    &[row],
                ),
            }
            continue;
        };
        let options = decision
            .field("options")
            .and_then(super::Field::as_words)
            .unwrap_or_default();
        if let Some(default) = check.word(decision, "default")
            && !options
                .iter()
                .any(|option| option.eq_ignore_ascii_case(default))
        {
            check.breach(
                format!(
                    "the default of {}, {default:?}, is none of its options",
                    decision.name()
                ),
                &[decision, row],
            );
        }
    }
}
