//! Interfaces, what guards them, and what comes in by them; outages; secure boot.

use super::{Check, DeclaredRow};

const PHYSICAL: &str = "15-PhyIntf";
const LOGICAL: &str = "28-LogIntf";

/// Whether a network reaches a logical interface, by the physical ones that lead to it.
fn is_on_network(check: &Check<'_>, interface: &DeclaredRow) -> bool {
    let physical = check.resolved(&[PHYSICAL], &interface.ids("access"));
    physical.into_iter().any(|row| row.lists("type", "network"))
}

fn is_enabled(interface: &DeclaredRow) -> bool {
    interface.is_word("status", "enabled")
}

pub(super) fn mechanisms_protect_something(check: &mut Check<'_>) {
    for row in check.rows("11-SecComMech") {
        let interfaces = check.resolved(&[LOGICAL, PHYSICAL], &row.ids("interface"));
        if interfaces.is_empty() {
            if row.field("interface").is_some() {
                check.breach(format!("{} protects no interface", row.name()), &[row]);
            }
        } else if interfaces
            .iter()
            .all(|interface| interface.is_word("status", "disabled"))
        {
            let at: Vec<&DeclaredRow> = [row].into_iter().chain(interfaces).collect();
            check.breach(
                format!("{} protects interfaces that are disabled", row.name()),
                &at,
            );
        }
    }
}

pub(super) fn access(check: &mut Check<'_>) {
    for row in check.rows(LOGICAL) {
        if row.field("access").is_none() {
            continue;
        }
        let physical = check.resolved(&[PHYSICAL], &row.ids("access"));
        if physical.is_empty() {
            check.breach(
                format!(
                    "{} names no physical interface through which it is reached",
                    row.name()
                ),
                &[row],
            );
        } else if is_enabled(row)
            && physical
                .iter()
                .all(|physical| physical.is_word("status", "disabled"))
        {
            let at: Vec<&DeclaredRow> = [row].into_iter().chain(physical).collect();
            check.breach(
                format!(
                    "{} is enabled, and all through which it is reached is disabled",
                    row.name()
                ),
                &at,
            );
        }
    }
}

pub(super) fn disclosed(check: &mut Check<'_>) {
    for row in check.rows(LOGICAL) {
        if is_enabled(row)
            && is_on_network(check, row)
            && row.field("disclosed_information").is_none()
        {
            check.breach(
                format!(
                    "{} is on a network, and does not say what it discloses without authentication",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn network_is_used(check: &mut Check<'_>) {
    for row in check.rows(PHYSICAL) {
        let mut logical = check.rows(LOGICAL).iter();
        if row.lists("type", "network")
            && is_enabled(row)
            && !logical.any(|logical| logical.ids("access").contains(&row.name()))
        {
            check.breach(
                format!(
                    "{} is a network interface that is enabled, and nothing uses it",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn debug(check: &mut Check<'_>) {
    for row in check.rows(PHYSICAL) {
        if !row.says_yes("debug_interface") || !is_enabled(row) {
            continue;
        }
        match check.word(row, "needed") {
            Some("never") => {
                check.breach(
                    format!(
                        "{} is a debug interface that is never needed, and enabled",
                        row.name()
                    ),
                    &[row],
                );
            }
            Some(_) if row.field("protection").is_none() => {
                check.breach(
                    format!(
                        "{} is a debug interface, enabled and without protection",
                        row.name()
                    ),
                    &[row],
                );
            }
            _ => {}
        }
    }
}

pub(super) fn debug_port(check: &mut Check<'_>) {
    for row in check.rows(PHYSICAL) {
        // One that is disabled needs no physical protection (EN 303 645, 5.6-4B, note 1).
        if row.says_yes("debug_interface")
            && row.lists("type", "physical port")
            && is_enabled(row)
            && check.is(row, "physically_protected") == Some(false)
        {
            check.breach(
                format!("{} is a debug port without physical protection", row.name()),
                &[row],
            );
        }
    }
}

pub(super) fn boot_notification(check: &mut Check<'_>) {
    for row in check.rows("20-SecBoot") {
        if check.is(row, "detects") != Some(true) {
            continue;
        }
        for (key, what) in [
            ("user_notification", "how the user learns of it"),
            (
                "notification_functionality",
                "which network functions remain to tell it",
            ),
        ] {
            if row.field(key).is_none() {
                check.breach(
                    format!("{} detects changes, and does not say {what}", row.name()),
                    &[row],
                );
            }
        }
    }
}

pub(super) fn outages(check: &mut Check<'_>) {
    let rows = check.rows("23-ResMech");
    if rows.is_empty() {
        return;
    }
    for outage in ["network connectivity", "power outage"] {
        if !rows.iter().any(|row| row.lists("type", outage)) {
            let at: Vec<&DeclaredRow> = rows.iter().collect();
            check.breach(format!("no row of 23-ResMech is against: {outage}"), &at);
        }
    }
}

pub(super) fn reconnect(check: &mut Check<'_>) {
    for row in check.rows(LOGICAL) {
        if check.is(row, "connects") == Some(true) && row.field("resilience_measures").is_none() {
            check.breach(
                format!(
                    "the device connects over {}, and nothing says what makes that orderly",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

/// Whether a row of 29-InpVal validates the input that comes from there.
fn is_validated(check: &Check<'_>, source: &DeclaredRow) -> bool {
    let mut rows = check.rows("29-InpVal").iter();
    rows.any(|row| row.ids("source").contains(&source.name()))
}

pub(super) fn user_input(check: &mut Check<'_>) {
    for row in check.rows("27-UserIntf") {
        if !is_validated(check, row) {
            check.breach(
                format!("no row of 29-InpVal validates the input of {}", row.name()),
                &[row],
            );
        }
    }
}

pub(super) fn network_input(check: &mut Check<'_>) {
    for row in check.rows(LOGICAL) {
        if is_enabled(row) && is_on_network(check, row) && !is_validated(check, row) {
            check.breach(
                format!(
                    "no row of 29-InpVal validates what comes in by {}",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn underlying(check: &mut Check<'_>) {
    for row in check.rows("27-UserIntf") {
        if row.field("type").is_some() && row.ids("type").is_empty() {
            check.breach(
                format!("{} names no interface that it runs over", row.name()),
                &[row],
            );
        }
    }
}
