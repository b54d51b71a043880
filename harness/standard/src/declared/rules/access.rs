//! Who gets in: authentication mechanisms and software services.

use super::{Check, DeclaredRow};

const MECHANISMS: &str = "1-AuthMech";
const SERVICES: &str = "13-SoftServ";
const INTERFACES: &str = "28-LogIntf";

pub(super) fn brute_force(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.is(row, "network") == Some(true) && row.field("brute_force_prevention").is_none() {
            check.breach(
                format!(
                    "{} can be addressed over a network, and says not what prevents brute force",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

/// What anybody can know.
const PUBLIC: [&str; 6] = ["MAC", "serial number", "SSID", "model", "batch", "date"];

pub(super) fn generation(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.word(row, "password") != Some("pre-installed") {
            continue;
        }
        if row.field("password_generation_mechanism").is_none() {
            check.breach(
                format!(
                    "{} has a pre-installed password, and does not say how it is made",
                    row.name()
                ),
                &[row],
            );
        }
        match check.word(row, "generation") {
            Some(how @ ("counter" | "fixed")) => {
                check.breach(
                    format!(
                        "the pre-installed password of {} is made by: {how}",
                        row.name()
                    ),
                    &[row],
                );
            }
            // What is drawn at random has no inputs to speak of.
            Some("derived") => {
                let inputs = check
                    .fact_words(row, "generation_inputs")
                    .unwrap_or_default();
                let has_secret = inputs
                    .iter()
                    .any(|input| input == "secret key" || input == "random");
                let public: Vec<&str> = PUBLIC
                    .into_iter()
                    .filter(|public| inputs.iter().any(|i| i == public))
                    .collect();
                if !public.is_empty() && !has_secret {
                    check.breach(
                        format!(
                            "the pre-installed password of {} is derived from public data: {}",
                            row.name(),
                            public.join(", ")
                        ),
                        &[row],
                    );
                }
            }
            _ => {}
        }
    }
}

pub(super) fn machines(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.word(row, "subject") != Some("machine") {
            continue;
        }
        let factors = check.fact_words(row, "factor").unwrap_or_default();
        let is_password = |factor: &String| factor == "password" || factor == "PIN";
        if !factors.is_empty() && factors.iter().all(is_password) {
            check.breach(
                format!("{} authenticates machines by a password", row.name()),
                &[row],
            );
        }
    }
}

pub(super) fn change(check: &mut Check<'_>) {
    let rows = check.rows(MECHANISMS).iter();
    let users: Vec<&DeclaredRow> = rows
        .filter(|row| check.word(row, "subject") == Some("user"))
        .collect();
    check.documented(
        &users,
        "documentation_of_change_mechanisms",
        "users read how to change what they authenticate with",
    );
}

pub(super) fn interface(check: &mut Check<'_>) {
    for row in check.rows(MECHANISMS) {
        if check.is(row, "network") != Some(true) {
            continue;
        }
        let services = check.rows(SERVICES).iter();
        let guarded: Vec<&DeclaredRow> = services
            .filter(|service| {
                service
                    .ids("authentication_mechanism")
                    .contains(&row.name())
            })
            .collect();
        if guarded.is_empty() {
            check.breach(
                format!(
                    "{} can be addressed over a network, and no software service names it",
                    row.name()
                ),
                &[row],
            );
            continue;
        }
        // All are asked, so that all that is not stated is told.
        let with_interface = guarded
            .iter()
            .filter(|service| check.fact(service, "interface").is_some())
            .count();
        let are_empty = guarded
            .iter()
            .all(|s| s.fact("interface").is_some() && s.fact_ids("interface").is_empty());
        if with_interface > 0 && are_empty {
            let at: Vec<&DeclaredRow> = [row].into_iter().chain(guarded).collect();
            check.breach(
                format!(
                    "no service that {} guards has a logical interface",
                    row.name()
                ),
                &at,
            );
        }
    }
}

/// Enabled, unless it is said to be disabled.
fn is_enabled(service: &DeclaredRow) -> bool {
    !service.is_word("status", "disabled")
}

pub(super) fn services_authenticate(check: &mut Check<'_>) {
    for row in check.rows(SERVICES) {
        if is_enabled(row)
            && check.is(row, "network") == Some(true)
            && row.ids("authentication_mechanism").is_empty()
        {
            check.breach(
                format!(
                    "{} can be reached over a network without authentication",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn configuration_authenticates(check: &mut Check<'_>) {
    for row in check.rows(SERVICES) {
        if row.says_yes("allows_configuration")
            && check.is(row, "network") == Some(true)
            && row.ids("authentication_mechanism").is_empty()
        {
            check.breach(
                format!(
                    "{} allows configuration over a network without authentication",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn services_are_justified(check: &mut Check<'_>) {
    for row in check.rows(SERVICES) {
        if is_enabled(row) && row.field("status").is_some() && row.field("justification").is_none()
        {
            check.breach(
                format!("{} is enabled, and nothing justifies it", row.name()),
                &[row],
            );
        }
    }
}

pub(super) fn services_have_interfaces(check: &mut Check<'_>) {
    for row in check.rows(SERVICES) {
        if check.is(row, "network") != Some(true) {
            continue;
        }
        if check.fact(row, "interface").is_none() {
            continue;
        }
        let ids = row.fact_ids("interface");
        if ids.is_empty() {
            check.breach(
                format!(
                    "{} can be reached over a network, and has no logical interface",
                    row.name()
                ),
                &[row],
            );
        }
        for interface in check.resolved(&[INTERFACES], &ids) {
            let ports = (
                row.fact("port").map(|f| &f.value),
                interface.fact("port").map(|f| &f.value),
            );
            if let (Some(one), Some(other)) = ports
                && one != other
            {
                check.breach(
                    format!(
                        "{} and {} have different ports",
                        row.name(),
                        interface.name()
                    ),
                    &[row, interface],
                );
            }
        }
    }
    for row in check.rows(INTERFACES) {
        if check.is(row, "listens") != Some(true) {
            continue;
        }
        let mut services = check.rows(SERVICES).iter();
        if !services.any(|service| service.fact_ids("interface").contains(&row.name())) {
            check.breach(
                format!(
                    "something listens at {}, and no software service names it",
                    row.name()
                ),
                &[row],
            );
        }
    }
}
