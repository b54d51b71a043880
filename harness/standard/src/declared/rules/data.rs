//! Personal data, telemetry, deletion; what users are told; confirmations.

use super::{Check, DeclaredRow};

pub(super) fn confirmations(check: &mut Check<'_>) {
    let confirmed = [
        ("3-VulnTypes", "confirmation_of_vulnerability_actions"),
        ("5-VulnMon", "confirmation_of_vulnerability_monitoring"),
        ("8-UpdProc", "confirmation_of_update_procedures"),
        ("14-SecMgmt", "confirmation_of_secure_management"),
        ("19-SecDev", "confirmation_of_secure_development"),
    ];
    for (table, key) in confirmed {
        let Some(first) = check.rows(table).first() else {
            continue;
        };
        let conf = check.single("4-Conf");
        if !conf.is_some_and(|conf| conf.says_yes(key)) {
            let at: Vec<&DeclaredRow> = conf.into_iter().chain([first]).collect();
            check.breach(
                format!("{table} has rows, and 4-Conf does not confirm them: `{key}`"),
                &at,
            );
        }
    }
}

pub(super) fn communication(check: &mut Check<'_>) {
    for row in check.rows("21-PersData") {
        check.confidential_transfer(row, "leaves the device");
    }
}

/// The rows of a table.
fn all<'a>(check: &Check<'a>, table: &str) -> Vec<&'a DeclaredRow> {
    check.rows(table).iter().collect()
}

pub(super) fn personal_data_is_documented(check: &mut Check<'_>) {
    let rows = all(check, "21-PersData");
    check.documented(
        &rows,
        "documentation_of_personal_data",
        "users read of their personal data",
    );
}

pub(super) fn deletion_is_documented(check: &mut Check<'_>) {
    let rows = all(check, "25-DelFunc");
    check.documented(
        &rows,
        "documentation_of_deletion",
        "users read how to delete their data",
    );
}

pub(super) fn sensors_are_documented(check: &mut Check<'_>) {
    let rows = all(check, "22-ExtSens");
    check.documented(
        &rows,
        "documentation_of_sensors",
        "users read what the device senses",
    );
}

pub(super) fn telemetry_is_documented(check: &mut Check<'_>) {
    let rows = all(check, "24-TelData");
    check.documented(
        &rows,
        "documentation_of_telemetry_data",
        "users read of telemetry",
    );
}

pub(super) fn consent(check: &mut Check<'_>) {
    for row in check.rows("21-PersData") {
        if check.is(row, "consent") != Some(true) {
            continue;
        }
        for key in [
            "obtaining_consent",
            "withdrawing_consent",
            "storing_consent",
        ] {
            if row.field(key).is_none() {
                check.breach(
                    format!("{} is processed by consent, and has no `{key}`", row.name()),
                    &[row],
                );
            }
        }
        let mut decisions = check.rows("26-UserDec").iter();
        if decisions
            .clone()
            .any(|decision| decision.fact_ids("about").contains(&row.name()))
        {
            continue;
        }
        match decisions.find(|decision| decision.fact("about").is_none()) {
            Some(silent) => check.not_stated(silent, "about"),
            None => check.breach(
                format!(
                    "{} is processed by consent, and no user decision is about it",
                    row.name()
                ),
                &[row],
            ),
        }
    }
}

pub(super) fn telemetry_names_personal_data(check: &mut Check<'_>) {
    for row in check.rows("24-TelData") {
        if check.is(row, "personal") == Some(true) && row.ids("personal_data").is_empty() {
            check.breach(
                format!(
                    "{} contains personal data, and does not name it",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn telemetry_is_examined(check: &mut Check<'_>) {
    for row in check.rows("24-TelData") {
        if row.field("security_examination").is_none() {
            check.breach(
                format!(
                    "{} does not say how it is examined for anomalies",
                    row.name()
                ),
                &[row],
            );
        }
    }
}

pub(super) fn model_designation(check: &mut Check<'_>) {
    let Some(info) = check.single("2-UserInfo") else {
        return;
    };
    let declared = info
        .field("model_designation")
        .and_then(super::Field::as_word);
    let Some(declared) = declared else {
        return;
    };
    if let Some(shown) = check.word(info, "shown_designation")
        && shown != declared
    {
        check.breach(
            format!("the model designation is {declared:?}, and what is shown is {shown:?}"),
            &[info],
        );
    }
}
