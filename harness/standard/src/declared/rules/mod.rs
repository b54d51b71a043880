//! Rules within and between tables of the IXIT, each named as in the pro forma's data.

mod access;
mod data;
mod features;
mod interfaces;
mod parameters;
mod updates;

use super::Statement;
use super::facts::facts_of;
use super::finding::{Finding, Kind};
use super::ixit::{Declared, DeclaredRow, Field, OWN, Value};
use crate::{IxitRule, ProForma};

/// Checks what has to agree in an IXIT, and between it and the ICS. With an ICS, only what bears upon provisions that
/// it claims.
pub fn check(declared: &Declared, statement: Option<&Statement>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (id, rule) in RULES {
        let Some(info) = ProForma::shipped().rule(id) else {
            continue;
        };
        let is_claimed = |statement: &Statement| {
            info.groups.is_empty() || info.groups.iter().any(|group| statement.claims(group))
        };
        if statement.is_none_or(is_claimed) {
            rule(&mut Check {
                ixit: declared,
                statement,
                rule: info,
                findings: &mut findings,
            });
        }
    }
    findings
}

type Rule = fn(&mut Check<'_>);

/// All but those that reading an IXIT checks already: `ids-unique` and `references-resolve`.
const RULES: [(&str, Rule); 45] = [
    ("secparam-communication", parameters::communication),
    ("secparam-remote", parameters::remote),
    ("secparam-guarantees", parameters::guarantees),
    ("secparam-generation", parameters::generation),
    ("confirmations", data::confirmations),
    ("softcomp-updmech", updates::components_name_mechanisms),
    ("updmech-used", updates::mechanisms_are_used),
    ("softcomp-crypto", updates::cryptography_can_be_replaced),
    ("softcomp-checking", updates::updates_are_looked_for),
    ("nonupdatable", updates::what_cannot_be_updated),
    ("updmech-network", updates::over_a_network),
    ("updmech-device-verifies", updates::device_verifies),
    ("updmech-network-interface", updates::interfaces),
    ("updmech-automatic-consent", updates::decisions),
    ("authmech-network-bruteforce", access::brute_force),
    ("authmech-generation", access::generation),
    ("authmech-machine-password", access::machines),
    ("authmech-change", access::change),
    ("authmech-interface", access::interface),
    ("softserv-authentication", access::services_authenticate),
    (
        "softserv-configuration",
        access::configuration_authenticates,
    ),
    ("softserv-justified", access::services_are_justified),
    ("softserv-logintf", access::services_have_interfaces),
    (
        "seccommech-interface",
        interfaces::mechanisms_protect_something,
    ),
    ("logintf-access", interfaces::access),
    ("logintf-disclosed", interfaces::disclosed),
    ("phyintf-network-used", interfaces::network_is_used),
    ("phyintf-debug", interfaces::debug),
    ("phyintf-debug-port", interfaces::debug_port),
    ("secboot-notification", interfaces::boot_notification),
    ("persdata-communication", data::communication),
    ("persdata-documented", data::personal_data_is_documented),
    ("persdata-consent", data::consent),
    ("delfunc-documented", data::deletion_is_documented),
    ("extsens-documented", data::sensors_are_documented),
    ("teldata-documented", data::telemetry_is_documented),
    ("teldata-personal", data::telemetry_names_personal_data),
    ("teldata-examined", data::telemetry_is_examined),
    ("resmech-both", interfaces::outages),
    ("logintf-reconnect", interfaces::reconnect),
    ("inpval-user", interfaces::user_input),
    ("inpval-network", interfaces::network_input),
    ("userintf-underlying", interfaces::underlying),
    ("model-designation", data::model_designation),
    ("features-agree", features::agree),
];

/// One rule at work.
struct Check<'a> {
    ixit: &'a Declared,
    statement: Option<&'a Statement>,
    rule: &'static IxitRule,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Check<'a> {
    fn rows(&self, table: &str) -> &'a [DeclaredRow] {
        self.ixit.rows(table)
    }

    /// The row of a table that has one only.
    fn single(&self, table: &str) -> Option<&'a DeclaredRow> {
        self.rows(table).first()
    }

    /// Rows that references lead to; what leads nowhere is told elsewhere.
    fn resolved(&self, tables: &[&str], ids: &[&str]) -> Vec<&'a DeclaredRow> {
        let found = ids
            .iter()
            .filter_map(|id| tables.iter().find_map(|table| self.ixit.row(table, id)));
        found.collect()
    }

    fn breach(&mut self, message: impl Into<String>, rows: &[&DeclaredRow]) {
        self.tell(
            Kind::Breach,
            message.into(),
            Some(self.rule.rule.clone()),
            rows,
        );
    }

    fn tell(&mut self, kind: Kind, message: String, help: Option<String>, rows: &[&DeclaredRow]) {
        let finding = Finding::new(kind, message).bearing_on(self.rule.groups.iter().cloned());
        let mut finding = rows
            .iter()
            .fold(finding, |finding, row| finding.at(&row.place, row.name()));
        finding.rule = Some(self.rule.id.as_str());
        finding.help = help;
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// A fact that is not stated.
    fn not_stated(&mut self, row: &DeclaredRow, key: &str) {
        let meaning = facts_of(&row.table.id).find(|fact| fact.key == key);
        let meaning = meaning
            .map(|fact| fact.meaning.as_str())
            .unwrap_or_default();
        let message = format!(
            "{}: not checked, since {} does not state `{OWN}.{key}`",
            self.rule.id,
            row.name()
        );
        self.tell(
            Kind::Unchecked,
            message,
            Some(format!("state {meaning}")),
            &[row],
        );
    }

    fn fact(&mut self, row: &'a DeclaredRow, key: &str) -> Option<&'a Field> {
        let fact = row.fact(key);
        if fact.is_none() {
            self.not_stated(row, key);
        }
        fact
    }

    /// Yes or no; `None` if it is not stated, which is told.
    fn is(&mut self, row: &'a DeclaredRow, key: &str) -> Option<bool> {
        self.fact(row, key).and_then(Field::as_bool)
    }

    fn word(&mut self, row: &'a DeclaredRow, key: &str) -> Option<&'a str> {
        self.fact(row, key).and_then(Field::as_word)
    }

    fn fact_words(&mut self, row: &'a DeclaredRow, key: &str) -> Option<&'a [String]> {
        self.fact(row, key).and_then(Field::as_words)
    }

    /// What leaves the device, or enters it, as `how` says, is transferred by mechanisms that assure confidentiality.
    fn confidential_transfer(&mut self, row: &'a DeclaredRow, how: &str) {
        if self.is(row, "leaves") != Some(true) {
            return;
        }
        let ids = row.ids("secure_communication_mechanisms");
        if ids.is_empty() {
            let message = format!(
                "{} {how}, and names no secure communication mechanism",
                row.name()
            );
            self.breach(message, &[row]);
        }
        for mechanism in self.resolved(&["11-SecComMech"], &ids) {
            if self.has_word(mechanism, "security_guarantees", "confidentiality") == Some(false) {
                let message = format!(
                    "{} is transferred by {}, which does not assure confidentiality",
                    row.name(),
                    mechanism.name()
                );
                self.breach(message, &[row, mechanism]);
            }
        }
    }

    /// Whether a field that takes words has one; `None` if it is prose, which is told, or missing, which is told
    /// elsewhere.
    fn has_word(&mut self, row: &'a DeclaredRow, key: &str, word: &str) -> Option<bool> {
        let field = row.field(key)?;
        let Some(words) = field.as_words() else {
            let message = format!(
                "{}: not checked, since `{key}` of {} is prose",
                self.rule.id,
                row.name()
            );
            let help = format!("write it as a list of words: {key} = [\"{word}\", ...]");
            self.tell(Kind::Unchecked, message, Some(help), &[row]);
            return None;
        };
        Some(words.iter().any(|other| other.eq_ignore_ascii_case(word)))
    }

    /// Says where users find something, if there is anything that they should.
    fn documented(&mut self, rows: &[&DeclaredRow], key: &str, what: &str) {
        let says = self
            .single("2-UserInfo")
            .is_some_and(|info| info.field(key).is_some());
        if !rows.is_empty() && !says {
            let at: Vec<&DeclaredRow> = self
                .single("2-UserInfo")
                .into_iter()
                .chain(rows.iter().copied())
                .collect();
            self.breach(
                format!("2-UserInfo has no `{key}`: nobody knows where {what}"),
                &at,
            );
        }
    }
}

impl Field {
    /// Yes or no.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Boolean(is) => Some(is),
            _ => None,
        }
    }

    /// One word, or text.
    pub fn as_word(&self) -> Option<&str> {
        match &self.value {
            Value::Choice(word) | Value::Text(word) => Some(word),
            _ => None,
        }
    }

    /// Words that rules can read; not prose.
    pub fn as_words(&self) -> Option<&[String]> {
        match &self.value {
            Value::Words(words) => Some(words),
            _ => None,
        }
    }

    /// Identifiers of rows; none for what says that there is none.
    pub fn ids(&self) -> Vec<&str> {
        match &self.value {
            Value::Ids(ids) => ids.iter().map(|(id, _)| id.as_str()).collect(),
            _ => Vec::new(),
        }
    }
}

impl DeclaredRow {
    /// Identifiers that a field refers to.
    pub fn ids(&self, key: &str) -> Vec<&str> {
        self.field(key).map(Field::ids).unwrap_or_default()
    }

    /// Identifiers that something of ours refers to.
    pub fn fact_ids(&self, key: &str) -> Vec<&str> {
        self.fact(key).map(Field::ids).unwrap_or_default()
    }

    /// Whether a field is exactly that word.
    fn is_word(&self, key: &str, word: &str) -> bool {
        let said = self.field(key).and_then(Field::as_word);
        said.is_some_and(|said| said.eq_ignore_ascii_case(word))
    }

    /// Whether a boolean field says yes.
    fn says_yes(&self, key: &str) -> bool {
        self.field(key).and_then(Field::as_bool) == Some(true)
    }

    /// Whether a list has a word.
    fn lists(&self, key: &str, word: &str) -> bool {
        let words = self
            .field(key)
            .and_then(Field::as_words)
            .unwrap_or_default();
        words.iter().any(|other| other.eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests;
