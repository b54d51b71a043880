use std::collections::BTreeSet;

use rstest::rstest;

use super::*;
use crate::declared::{Kind, Sources, Statement};

/// A product that keeps all rules, and states all that they ask for.
const SOUND: &str = include_str!("sound.toml");

const ICS: &str = r#"
"5.0-1" = { support = "yes" }

[features]
a = true
b = true
d = true
e = true
f = true
g = true
h = true
j = true
k = true
l = false
m = true
n = true
o = true
q = true
r = true
s = true
t = true
u = false
v = true
w = true
x = true
y = true
z = true
aa = false

[conditions]
3 = true
12 = true
16 = true
"#;

fn declared(text: &str) -> Declared {
    let (declared, findings) = Declared::parse(&Sources::one("ixit.toml", text));
    let told: Vec<String> = findings.iter().map(Finding::told).collect();
    assert_eq!(told, Vec::<String>::new());
    declared
}

fn statement(text: &str) -> Statement {
    let (statement, findings) = Statement::parse(&Sources::one("ics.toml", text));
    assert_eq!(findings, []);
    statement
}

/// Replaces the first occurrence, which has to be there.
#[track_caller]
fn changed(what: &str, with: &str) -> String {
    assert!(SOUND.contains(what), "{what}");
    SOUND.replacen(what, with, 1)
}

#[test]
fn every_machine_rule_is_there() {
    let here: BTreeSet<&str> = RULES.iter().map(|(id, _)| *id).collect();
    let read = ["ids-unique", "references-resolve"];
    let here: BTreeSet<&str> = here.into_iter().chain(read).collect();
    let rules = ProForma::shipped().rules().iter();
    let machine: BTreeSet<&str> = rules
        .filter(|rule| rule.machine)
        .map(|rule| rule.id.as_str())
        .collect();
    assert_eq!(here, machine);
}

#[test]
fn a_sound_product_breaks_none_and_leaves_none_unchecked() {
    let declared = declared(SOUND);
    assert_eq!(check(&declared, None), []);
    let statement = statement(ICS);
    let features = check(&declared, Some(&statement));
    assert_eq!(features, []);
    assert_eq!(declared.missing(|_| true), []);
}

/// Each rule has a flaw in a document that it finds, and that no other rule does.
#[rstest]
#[case(
    "secparam-communication",
    "secure_communication_mechanisms = [\"SecComMech-Api\"]",
    ""
)]
#[case(
    "secparam-communication",
    "security_guarantees = [\"confidentiality\", \"integrity\", \"local\"]",
    "security_guarantees = [\"integrity\"]"
)]
#[case(
    "secparam-guarantees",
    "security_guarantees = [\"confidentiality\", \"integrity\", \"of the key\"]",
    "security_guarantees = [\"confidentiality\"]"
)]
#[case(
    "secparam-guarantees",
    "security_guarantees = [\"integrity\", \"of the authority\"]",
    "security_guarantees = [\"authenticity\"]"
)]
#[case(
    "secparam-generation",
    "generation_mechanism = \"drawn in the factory\"",
    ""
)]
#[case("secparam-generation", "unique = true", "unique = false")]
#[case(
    "confirmations",
    "confirmation_of_secure_development = true",
    "confirmation_of_secure_development = false"
)]
#[case(
    "softcomp-updmech",
    "update_mechanism = \"none: the mask ROM\"",
    "update_mechanism = []"
)]
#[case(
    "updmech-used",
    "update_mechanism = [\"UpdMech-Ota\", \"UpdMech-Usb\"]",
    "update_mechanism = [\"UpdMech-Ota\"]"
)]
#[case(
    "softcomp-crypto",
    "side_effects_considered = true",
    "side_effects_considered = false"
)]
#[case("softcomp-checking", "checks = true", "checks = false")]
#[case("nonupdatable", "isolation = \"pull the plug\"", "")]
#[case(
    "nonupdatable",
    "publication_of_non_updatable = \"https://example.org/rom\"",
    ""
)]
#[case(
    "updmech-network",
    "security_guarantees = [\"authenticity\", \"integrity\", \"over the air\"]",
    "security_guarantees = [\"integrity\"]"
)]
#[case(
    "updmech-network-interface",
    "interface = [\"LogIntf-Updates\"]",
    "interface = []"
)]
#[case(
    "updmech-network-interface",
    "interface = [\"LogIntf-Updates\"] # protected",
    "interface = [\"LogIntf-Mdns\"]"
)]
#[case(
    "updmech-automatic-consent",
    "about = [\"UpdMech-Ota\", \"PersData-Name\"]",
    "about = [\"PersData-Name\"]"
)]
#[case(
    "updmech-automatic-consent",
    "default = \"on\"",
    "default = \"sometimes\""
)]
#[case(
    "authmech-network-bruteforce",
    "brute_force_prevention = \"delays\"",
    ""
)]
#[case(
    "authmech-generation",
    "password_generation_mechanism = \"12 characters\"",
    ""
)]
#[case(
    "authmech-generation",
    "generation = \"random\"",
    "generation = \"counter\""
)]
#[case(
    "authmech-generation",
    "generation = \"random\"",
    "generation = \"derived\", generation_inputs = [\"MAC\"]"
)]
#[case(
    "authmech-machine-password",
    "factor = [\"certificate\"]",
    "factor = [\"password\"]"
)]
#[case(
    "authmech-change",
    "documentation_of_change_mechanisms = \"manual, page 3\"",
    ""
)]
#[case(
    "authmech-interface",
    "authentication_mechanism = [\"AuthMech-Api\", \"AuthMech-Machine\"]",
    "authentication_mechanism = [\"AuthMech-Api\"]"
)]
#[case("softserv-justified", "justification = \"management\"", "")]
#[case("softserv-logintf", "port = 443 }\n\n[[15", "port = 444 }\n\n[[15")]
#[case(
    "seccommech-interface",
    "interface = [\"LogIntf-Broker\"]",
    "interface = []"
)]
#[case(
    "logintf-disclosed",
    "disclosed_information = [\"the name of the host\"]",
    ""
)]
#[case(
    "phyintf-debug",
    "protection = \"locked by software, under the lid\"",
    ""
)]
#[case("phyintf-debug", "needed = \"at times\"", "needed = \"never\"")]
#[case(
    "phyintf-debug-port",
    "physically_protected = true",
    "physically_protected = false"
)]
#[case("secboot-notification", "user_notification = \"a red light\"", "")]
#[case(
    "persdata-communication",
    "secure_communication_mechanisms = [\"SecComMech-Broker\"]",
    ""
)]
#[case(
    "persdata-documented",
    "documentation_of_personal_data = \"manual, page 8\"",
    ""
)]
#[case("persdata-consent", "storing_consent = \"in flash\"", "")]
#[case(
    "persdata-consent",
    "about = [\"UpdMech-Ota\", \"PersData-Name\"]",
    "about = [\"UpdMech-Ota\"]"
)]
#[case(
    "delfunc-documented",
    "documentation_of_deletion = \"manual, page 9\"",
    ""
)]
#[case(
    "extsens-documented",
    "documentation_of_sensors = \"manual, page 5\"",
    ""
)]
#[case(
    "teldata-documented",
    "documentation_of_telemetry_data = \"manual, page 7\"",
    ""
)]
#[case("teldata-personal", "personal_data = [\"PersData-Name\"]", "")]
#[case("teldata-examined", "security_examination = \"alarms\"", "")]
#[case(
    "resmech-both",
    "type = [\"network connectivity\", \"power outage\"]",
    "type = [\"power outage\"]"
)]
#[case("logintf-reconnect", "resilience_measures = \"growing delays\"", "")]
#[case("inpval-user", "source = [\"UserIntf-Button\", ", "source = [")]
#[case(
    "inpval-network",
    "\"LogIntf-Updates\", \"LogIntf-Mdns\"]",
    "\"LogIntf-Updates\"]"
)]
#[case("userintf-underlying", "type = [\"PhyIntf-Button\"]", "type = []")]
#[case(
    "model-designation",
    "shown_designation = \"S-1\"",
    "shown_designation = \"S-2\""
)]
#[case(
    "phyintf-network-used",
    "# another interface",
    "[[15-PhyIntf]]\nid = \"PhyIntf-Radio\"\ndescription = \"x\"\ntype = [\"network\"]\nstatus = \"enabled\"\ndebug_interface = false\n"
)]
#[case(
    "logintf-access",
    "# another logical interface",
    "[[28-LogIntf]]\nid = \"LogIntf-X\"\ndescription = \"x\"\naccess = \"none: x\"\nstatus = \"enabled\"\nprovebench = { remote = false, listens = false, connects = false }\n"
)]
fn each_rule_finds_its_flaw_and_no_other_does(
    #[case] rule: &str,
    #[case] what: &str,
    #[case] with: &str,
) {
    let found = check(&declared(&changed(what, with)), None);
    let rules: BTreeSet<&str> = found.iter().filter_map(|finding| finding.rule).collect();
    assert_eq!(rules.into_iter().collect::<Vec<_>>(), [rule], "{found:#?}");
    for finding in &found {
        assert_eq!(finding.kind, Kind::Breach, "{finding:?}");
        let mut groups = ProForma::shipped().rule(rule).unwrap().groups.clone();
        groups.sort();
        assert_eq!(finding.groups, groups);
        assert!(!finding.places.is_empty() && finding.help.is_some());
    }
}

/// What several rules are about is found by all of them.
#[rstest]
#[case::leaves_the_device_unprotected("security_guarantees = [\"confidentiality\", \"integrity\", \"to the broker\"]", "security_guarantees = [\"integrity\"]", &["persdata-communication", "secparam-communication", "secparam-remote"])]
#[case::a_service_that_lets_anybody_in("authentication_mechanism = [\"AuthMech-Api\", \"AuthMech-Machine\"]", "authentication_mechanism = \"none: open\"", &["authmech-interface", "softserv-authentication", "softserv-configuration"])]
#[case::the_device_verifies_nothing("device_verifies = true", "device_verifies = false", &["updmech-device-verifies", "updmech-network"])]
fn flaws_of_several(#[case] what: &str, #[case] with: &str, #[case] rules: &[&str]) {
    let found = check(&declared(&changed(what, with)), None);
    let found: BTreeSet<&str> = found.iter().filter_map(|finding| finding.rule).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), rules);
}

#[rstest]
#[case::shown("a = true", "a = false")]
#[case::pre_installed("b = true", "b = false")]
#[case::absent("u = false", "u = true")]
#[case::rows("w = true", "w = false")]
#[case::debug("r = true", "r = false")]
#[case::condition("12 = true", "12 = false")]
#[case::stuck("3 = true", "3 = false")]
fn what_the_ics_declares_is_what_the_ixit_shows(#[case] what: &str, #[case] with: &str) {
    assert!(ICS.contains(what));
    let statement = statement(&ICS.replacen(&format!("\n{what}"), &format!("\n{with}"), 1));
    let found = check(&declared(SOUND), Some(&statement));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].rule, Some("features-agree"));
    assert!(
        found[0].told().starts_with("ics.toml:"),
        "{}",
        found[0].told()
    );
}

/// A rule is never guessed from prose, and never from what nobody says.
#[rstest]
#[case::prose(
    "secparam-guarantees",
    "security_guarantees = [\"confidentiality\", \"integrity\", \"of the key\"]",
    "security_guarantees = \"confidentiality and integrity\""
)]
#[case::nothing_stated(
    "authmech-network-bruteforce",
    "network = true, factor = [\"password\"]",
    "factor = [\"password\"]"
)]
fn what_can_not_be_checked_is_told(#[case] rule: &str, #[case] what: &str, #[case] with: &str) {
    let found = check(&declared(&changed(what, with)), None);
    assert!(
        found.iter().all(|finding| finding.kind == Kind::Unchecked),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|finding| finding.rule == Some(rule)),
        "{found:#?}"
    );
}

#[test]
fn what_nobody_claims_is_not_checked() {
    let text = changed("documentation_of_deletion = \"manual, page 9\"", "");
    let claim = |id: &str| statement(&format!("\"{id}\" = {{ support = \"yes\" }}"));
    assert_eq!(check(&declared(&text), Some(&claim("5.1-1"))), []);
    assert_eq!(check(&declared(&text), Some(&claim("5.11-3"))).len(), 1);
}

#[test]
fn an_empty_ixit_breaks_no_rule() {
    assert_eq!(check(&Declared::default(), None), []);
}
