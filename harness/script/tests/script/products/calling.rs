//! Products that call services: whom they trust, what they tell, and how they come back.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

#[rstest]
#[case::at_once("")]
#[case::without_consent("asks_consent = False")]
#[case::after_the_handshake("refuses = 'after the handshake'")]
#[case::after_the_handshake_for_each_message("refuses = 'after the handshake', for_each = True")]
fn clients_that_refuse_pass(#[case] product: &str) {
    let product = format!("calling: calling({product})");
    expect("5.5-1-2 a", &product, Outcome::Pass, "");
}

#[rstest]
#[case::never("refuses = 'never'")]
#[case::for_each_message("refuses = 'never', for_each = True")]
#[case::says_something_and_goes("refuses = 'says something and goes'")]
#[case::comes_back("refuses = 'comes back'")]
fn clients_that_accept_fail(#[case] product: &str) {
    let product = format!("calling: calling({product})");
    expect(
        "5.5-1-2 a",
        &product,
        Outcome::Fail,
        "it sent data after the handshake",
    );
}

#[rstest]
#[case::says_nothing("refuses = 'stays and says nothing'", "says nothing")]
#[case::does_not_call("never = True", "does not call service mqtt")]
#[case::elsewhere(
    "rows = {'11-SecComMech': [{'id': 'SecComMech-A', 'service': 'mqtt', 'tls_versions': ['TLS 1.3', 'TLS 1.2'], \
     'cipher_suites': ['x'], 'verifies': ['chain']}, {'id': 'SecComMech-Coap', 'service': 'coap'}]}",
    "SecComMech-Coap"
)]
fn clients_that_show_nothing_are_inconclusive(#[case] product: &str, #[case] why: &str) {
    let product = format!("calling: calling({product})");
    expect("5.5-1-2 a", &product, Outcome::Inconclusive, why);
}

#[rstest]
#[case(
    "5.4-3-2 a",
    "key = '00112233445566778899aabbccddeeff'",
    Outcome::Pass,
    ""
)]
#[case(
    "5.4-3-2 a",
    "never = True",
    Outcome::Inconclusive,
    "does not connect to service mqtt"
)]
#[case("5.8-1-2 a", "", Outcome::Pass, "")]
#[case("5.8-1-2 a", "never = True", Outcome::Inconclusive, "no telemetry")]
#[case(
    "5.9-3-2 a",
    "never = True",
    Outcome::Inconclusive,
    "does not call mqtt"
)]
#[case("telemetry-1 b", "never = True", Outcome::Inconclusive, "no telemetry")]
fn what_is_about_something_else_does_not_fail_for_silence(
    #[case] unit: &str,
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("calling: calling({product})");
    expect(unit, &product, outcome, why);
}

#[rstest]
#[case::held("waits = lambda n, outage: (1 << n) * 1.2 + 0.3 * outage")]
#[case::for_each("for_each = True, waits = lambda n, outage: (1 << n) * 1.2 + 0.3 * outage")]
#[case::cut_in_its_last_moment(
    "for_each = True, lasts = True, waits = lambda n, outage: (1 << n) * 1.2 + 0.3 * outage"
)]
#[case::alike_by_chance("waits = lambda n, outage: (1 << n) * 1.2 + (0.0 if outage < 3 else 0.3)")]
fn clients_that_back_off_pass(#[case] product: &str) {
    let product = format!("calling: calling({product})");
    expect("5.9-3-2 a", &product, Outcome::Pass, "");
}

#[rstest]
#[case::five_a_second("waits = lambda n, outage: 0.2", "wait 1 for mqtt is")]
#[case::five_a_second_for_each("for_each = True, waits = lambda n, outage: 0.2", "wait 1 for mqtt")]
#[case::no_longer(
    "for_each = True, waits = lambda n, outage: 5.0 + 0.1 * outage",
    "do not grow"
)]
#[case::no_spread(
    "for_each = True, waits = lambda n, outage: (2 << n) * 1.0",
    "in each outage"
)]
#[case::hardly_any_spread(
    "waits = lambda n, outage: (2 << n) * 1.0 + 0.03 * (outage % 3)",
    "in each outage"
)]
#[case::no_more(
    "waits = lambda n, outage: (1 << n) * 1.2 + 0.3 * outage if n < 1 else None",
    "only 1 tries"
)]
fn clients_that_do_not_back_off_fail(#[case] product: &str, #[case] why: &str) {
    let product = format!("calling: calling({product})");
    expect("5.9-3-2 a", &product, Outcome::Fail, why);
}

#[rstest]
#[case::gives_the_message_up(
    "for_each = True, waits = lambda n, outage: 0.0 if n < 1 else None",
    "given that message up"
)]
#[case::another_service(
    "waits = lambda n, outage: (1 << n) * 1.2 + 0.3 * outage, rows = {'28-LogIntf': \
     [{'id': 'LogIntf-Update', 'direction': 'out', 'transport': 'tcp', 'port': 443}]}",
    "LogIntf-Update"
)]
fn clients_of_which_little_is_seen_are_inconclusive(#[case] product: &str, #[case] why: &str) {
    let product = format!("calling: calling({product})");
    expect("5.9-3-2 a", &product, Outcome::Inconclusive, why);
}

/// The goodbye of an earlier connection is none for the one that is ended.
#[rstest]
#[case::without_a_word("without a word", "without a DISCONNECT")]
#[case::stays("never", "stays connected")]
fn clients_that_do_not_say_goodbye_fail(#[case] leaves: &str, #[case] why: &str) {
    let product = format!(
        "calling: calling(leaves = '{leaves}', waits = lambda n, outage: (1 << n) * 1.2 + 0.3 * outage)"
    );
    expect("5.9-3-2 a", &product, Outcome::Fail, why);
}

const OWNER: &str = "tells = lambda stored: stored.get('owner', '')";

#[rstest]
#[case::personal("5.8-1-2 a", &format!("plain = 'mqtt', {OWNER}"), Outcome::Fail, "telemetry goes in the clear")]
#[case::other(
    "5.8-1-2 a",
    "plain = 'mqtt'",
    Outcome::Inconclusive,
    "telemetry goes in the clear"
)]
#[case::http("5.8-1-2 a", &format!("plain = 'http', {OWNER}"), Outcome::Fail, "HTTP POST /telemetry")]
#[case::telemetry(
    "telemetry-1 b",
    "plain = 'mqtt'",
    Outcome::Fail,
    "telemetry goes in the clear"
)]
#[case::telemetry_http(
    "telemetry-1 b",
    "plain = 'http'",
    Outcome::Fail,
    "telemetry goes in the clear: HTTP"
)]
#[case::told("telemetry-1 c", &format!("plain = 'mqtt', {OWNER}"), Outcome::Fail, "telemetry tells: owner")]
fn telemetry_in_the_clear_is_seen(
    #[case] unit: &str,
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("calling: calling({product})");
    expect(unit, &product, outcome, why);
}

#[rstest]
#[case("stored.get('owner', '')", "telemetry tells: owner (raw)")]
#[case(
    "stored.get('owner', '').upper()",
    "telemetry tells: owner (other-case)"
)]
#[case(
    "blob(stored.get('owner', '')).sha256()",
    "telemetry tells: owner (sha-256)"
)]
#[case(
    "''.join(['%%%x' % ord(c) for c in stored.get('owner', '').elems()])",
    "owner (escaped)"
)]
fn telemetry_that_tells_who_it_is_fails_however_it_says_it(#[case] says: &str, #[case] why: &str) {
    let product = format!("calling: calling(tells = lambda stored: {says})");
    expect("telemetry-1 c", &product, Outcome::Fail, why);
}

#[rstest]
#[case(
    "rows = {'21-PersData': [{'id': 'PersData-A', 'fields': ['owner']}]}",
    Outcome::Pass,
    ""
)]
#[case(
    "rows = {'21-PersData': [{'id': 'PersData-A', 'fields': ['owner']}, {'id': 'PersData-Voice'}]}",
    Outcome::Inconclusive,
    "PersData-Voice"
)]
fn personal_data_that_nothing_stores_is_named(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("calling: calling({product})");
    expect("telemetry-1 c", &product, outcome, why);
}

/// What is declared and nothing on the bench does or looks for is named, after all else was tried.
#[rstest]
#[case::secret(
    "5.4-3-2 a",
    "rows = {'10-SecParam': [{'id': 'SecParam-Password', 'label': 'password'}, {'id': 'SecParam-Wifi'}]}",
    "SecParam-Wifi"
)]
#[case::deletion(
    "5.11-2-2 b",
    "rows = {'25-DelFunc': [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-App'}]}",
    "DelFunc-App"
)]
#[case::deletion_of_what_a_service_has(
    "5.11-2-2 c",
    "rows = {'25-DelFunc': [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-App', 'method': 'app'}]}",
    "DelFunc-App"
)]
fn what_nothing_drives_is_named(#[case] unit: &str, #[case] product: &str, #[case] why: &str) {
    let product = format!("calling: calling({product})");
    expect(unit, &product, Outcome::Inconclusive, why);
}

const DELETION: &str = "rows = {'25-DelFunc': [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-Cloud', 'target': 'service'}]}";

#[rstest]
#[case::secret(
    "5.4-3-2 a",
    "rows = {'10-SecParam': [{'id': 'SecParam-Password', 'label': 'password'}, {'id': 'SecParam-Key', 'form': 'private-key'}]}"
)]
#[case::deletion("5.11-2-2 b", DELETION)]
#[case::deletion_of_what_a_service_has("5.11-2-2 c", DELETION)]
fn what_is_driven_as_declared_passes(#[case] unit: &str, #[case] product: &str) {
    let product = format!("calling: calling({product})");
    expect(unit, &product, Outcome::Pass, "");
}

#[test]
fn consent_that_outlives_an_erasure_fails_beside_what_nothing_drives() {
    let product = "calling: calling(forgets_consent = False, rows = {'25-DelFunc': [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-App'}]})";
    expect(
        "5.11-2-2 c",
        product,
        Outcome::Fail,
        "outlives erasing by DelFunc-Button",
    );
}
