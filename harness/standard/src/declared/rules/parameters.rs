//! Security parameters.

use super::{Check, DeclaredRow};

fn critical<'a>(check: &Check<'a>) -> Vec<&'a DeclaredRow> {
    let rows = check.rows("10-SecParam").iter();
    rows.filter(|row| row.is_word("type", "critical")).collect()
}

pub(super) fn communication(check: &mut Check<'_>) {
    for row in critical(check) {
        check.confidential_transfer(row, "enters or leaves the device");
    }
}

/// Whether a mechanism serves an interface that can be reached from outside.
fn is_remote<'a>(check: &mut Check<'a>, mechanism: &'a DeclaredRow) -> bool {
    let interfaces = check.resolved(&["28-LogIntf"], &mechanism.ids("interface"));
    interfaces
        .into_iter()
        .any(|interface| check.is(interface, "remote") == Some(true))
}

pub(super) fn remote(check: &mut Check<'_>) {
    for row in critical(check) {
        let ids = row.ids("secure_communication_mechanisms");
        for mechanism in check.resolved(&["11-SecComMech"], &ids) {
            if is_remote(check, mechanism)
                && check.has_word(mechanism, "security_guarantees", "confidentiality")
                    == Some(false)
            {
                check.breach(
                    format!(
                        "{} goes over a remotely accessible interface by {} without confidentiality",
                        row.name(),
                        mechanism.name()
                    ),
                    &[row, mechanism],
                );
            }
        }
    }
}

pub(super) fn guarantees(check: &mut Check<'_>) {
    for row in check.rows("10-SecParam") {
        let needed: &[&str] = if row.is_word("type", "critical") {
            &["confidentiality", "integrity"]
        } else if row.is_word("type", "public") {
            &["integrity"]
        } else {
            continue;
        };
        for guarantee in needed {
            if check.has_word(row, "security_guarantees", guarantee) == Some(false) {
                check.breach(format!("{} is not assured {guarantee}", row.name()), &[row]);
            }
        }
    }
}

pub(super) fn generation(check: &mut Check<'_>) {
    for row in critical(check) {
        let Some(uses) = check.fact_words(row, "use") else {
            continue;
        };
        if !uses
            .iter()
            .any(|word| word == "updates" || word == "services")
        {
            continue;
        }
        if row.field("generation_mechanism").is_none() {
            check.breach(
                format!("{} does not say how its value is made", row.name()),
                &[row],
            );
        }
        if check.is(row, "unique") == Some(false) {
            check.breach(format!("{} is not unique per device", row.name()), &[row]);
        }
    }
}
