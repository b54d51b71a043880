//! Whom products tell what, when, and whether that is telemetry.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

const POST: &str = "[('update', 'POST', '/collect', '{\"version\": \"1.4.0\", \"value\": 3}')]";
const NESTED: &str = "[('update', 'POST', '/collect', '{\"data\": [{\"value\": 3}]}')]";
const CHECK: &str = "[('update', 'POST', '/check', '{\"model\": \"T\", \"version\": \"1.4.0\"}')]";
const QUERY: &str = "[('update', 'GET', '/check?model=T&version=1.4.0', '')]";
const PATH: &str = "[('update', 'GET', '/T/manifest', '')]";
const CLEAR: &str = "[('update-plain', 'GET', '/ok?d=H4sIAAAA', '')]";

fn declared(requests: &str) -> String {
    format!("declared = {{'7-UpdMech': [{{'id': 'UpdMech-One', 'requests': [{requests}]}}]}}")
}

#[rstest]
#[case::nobody("")]
#[case::a_path_only(&format!("requests = {PATH}"))]
#[case::a_declared_check(&format!("requests = {CHECK}, {}", declared("{'method': 'POST', 'path': '/check'}")))]
#[case::with_declared_fields(&format!(
    "requests = {CHECK}, {}",
    declared("{'method': 'POST', 'path': '/check', 'fields': ['model', 'version']}")
))]
#[case::a_declared_query(&format!("requests = {QUERY}, {}", declared("{'method': 'GET', 'path': '/check?model&version'}")))]
#[case::a_path_with_a_part_of_its_own(&format!(
    "requests = {PATH}, {}",
    declared("{'method': 'GET', 'path': '/*/manifest'}")
))]
#[case::revocation("requests = [('crl', 'GET', '/ca.crl', '')]")]
#[case::for_each_message("for_each = True")]
fn who_only_looks_for_updates_without_consent_passes(
    #[case] product: &str,
    #[values("telemetry-1 a", "telemetry-1 b", "telemetry-1 d", "5.11-2-2 c")] unit: &str,
) {
    let product = format!("telling: telling({product})");
    expect(unit, &product, Outcome::Pass, "");
}

#[rstest]
#[case::within_tls(&format!("requests = {POST}"), "HTTP POST /collect")]
#[case::nested(&format!("requests = {NESTED}"), "HTTP POST /collect")]
#[case::as_a_query(
    "requests = [('update', 'GET', '/c?v=1&value=3', '')]",
    "HTTP GET /c?v=1&value=3"
)]
#[case::as_a_form("requests = [('update', 'PUT', '/c', 'v=1&value=3')]", "HTTP PUT /c")]
#[case::beside_what_is_declared(
    &format!("requests = {CHECK}, {}", declared("{'method': 'POST', 'path': '/other'}")),
    "HTTP POST /check"
)]
#[case::more_than_is_declared(
    &format!("requests = {CHECK}, {}", declared("{'method': 'POST', 'path': '/check', 'fields': ['model']}")),
    "HTTP POST /check"
)]
#[case::something_else_than_is_declared(
    &format!(
        "requests = [('update', 'POST', '/check', 'H4sIAAAA')], {}",
        declared("{'method': 'POST', 'path': '/check', 'fields': ['model']}")
    ),
    "HTTP POST /check"
)]
#[case::a_longer_query_than_declared(
    &format!("requests = {QUERY}, {}", declared("{'method': 'GET', 'path': '/check?model'}")),
    "HTTP GET /check"
)]
#[case::in_the_clear(&format!("requests = {CLEAR}"), "HTTP GET /ok?d=H4sIAAAA")]
#[case::where_certificates_are_revoked(
    "requests = [('crl', 'GET', '/ca.crl?d=1', '')]",
    "HTTP GET /ca.crl?d=1"
)]
fn who_tells_others_without_consent_fails(
    #[case] product: &str,
    #[case] why: &str,
    #[values("telemetry-1 a", "telemetry-1 b", "telemetry-1 d", "5.11-2-2 c")] unit: &str,
) {
    let product = format!("telling: telling({product})");
    expect(unit, &product, Outcome::Fail, why);
}

#[rstest]
#[case::fresh("at_start = lambda stored: [('update', 'POST', '/hello', 'value=1')]")]
fn who_tells_others_when_it_starts_fails(#[case] product: &str) {
    let product = format!("telling: telling({product})");
    expect("telemetry-1 a", &product, Outcome::Fail, "/hello");
}

#[rstest]
#[case::a_body(CHECK, "HTTP POST /check")]
#[case::a_query(QUERY, "HTTP GET /check?model=T")]
#[case::in_the_clear("[('update-plain', 'GET', '/latest', '')]", "HTTP GET /latest")]
fn what_may_be_a_look_for_updates_is_to_be_declared(
    #[case] requests: &str,
    #[case] why: &str,
    #[values("telemetry-1 a", "telemetry-1 b", "telemetry-1 d", "5.11-2-2 c")] unit: &str,
) {
    let product = format!("telling: telling(requests = {requests})");
    expect(unit, &product, Outcome::Inconclusive, why);
}

#[rstest]
#[case::nothing("", Outcome::Pass, "")]
#[case::within_tls(&format!("requests = {CHECK}"), Outcome::Pass, "")]
#[case::in_the_clear(&format!("requests = {CLEAR}"), Outcome::Inconclusive, "HTTP GET /ok?d=H4sIAAAA")]
#[case::a_path(
    "requests = [('update-plain', 'GET', '/latest', '')]",
    Outcome::Inconclusive,
    "HTTP GET /latest"
)]
#[case::a_declared_path(
    &format!("requests = [('update-plain', 'GET', '/latest', '')], {}", declared("{'method': 'GET', 'path': '/latest'}")),
    Outcome::Pass,
    ""
)]
fn what_goes_in_the_clear_may_be_personal(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("telling: telling({product})");
    expect("5.8-1-2 a", &product, outcome, why);
}

#[rstest]
#[case::flat("message = {'value': 1}")]
#[case::nested("message = {'power': {'w': 1}}, fields = ['power.w']")]
#[case::in_a_list("message = {'power': [{'w': 1}, {'w': 2}]}, fields = ['power.w']")]
#[case::a_list_of_values("message = {'value': [1, 2, 3]}")]
#[case::empty("message = {'power': {}}, fields = ['power.w']")]
#[case::all_that_is_in_there(
    "message = {'power': {'w': 1, 'v': [{'max': 2}]}}, fields = ['power.*']"
)]
fn declared_fields_pass(#[case] product: &str) {
    let product = format!("telling: telling({product})");
    expect("telemetry-1 b", &product, Outcome::Pass, "");
}

#[rstest]
#[case::flat("message = {'value': 1, 'ssid': 'HomeNet'}", "undeclared fields: ssid")]
#[case::nested(
    "message = {'value': {'w': 1, 'ssid': 'HomeNet'}}",
    "undeclared fields: value.ssid, value.w"
)]
#[case::beside_declared_ones(
    "message = {'power': {'w': 1, 'ssid': 'HomeNet'}}, fields = ['power.w']",
    "undeclared fields: power.ssid"
)]
#[case::in_a_list("message = {'value': [1, {'ssid': 'HomeNet'}]}", "value.ssid")]
#[case::in_a_text("message = {'value': '{\"ssid\": \"HomeNet\"}'}", "value.ssid")]
#[case::a_value_instead("message = {'power': 'HomeNet'}, fields = ['power.w']", "power")]
#[case::a_name_that_tells("message = {'value': {'HomeNet': {}}}", "value.HomeNet")]
#[case::another_prefix("message = {'powers': {'w': 1}}, fields = ['power.*']", "powers.w")]
fn undeclared_fields_fail_at_any_depth(#[case] product: &str, #[case] why: &str) {
    let product = format!("telling: telling({product})");
    expect("telemetry-1 b", &product, Outcome::Fail, why);
}

#[rstest]
#[case::nothing("")]
#[case::without_a_power_switch("power = False")]
#[case::for_each_message("for_each = True")]
fn who_introduces_itself_without_its_user_passes(#[case] product: &str) {
    let product = format!("telling: telling({product})");
    expect("telemetry-1 c", &product, Outcome::Pass, "");
}

#[rstest]
#[case::client_identifier("client = lambda stored: 'S1-' + stored.get('owner', '')")]
#[case::client_identifier_without_a_power_switch(
    "client = lambda stored: 'S1-' + stored.get('owner', ''), power = False"
)]
#[case::host_name("host = lambda stored: stored.get('owner', '') + '-thing'")]
#[case::host_name_without_a_power_switch(
    "host = lambda stored: stored.get('owner', '') + '-thing', power = False"
)]
#[case::at_the_start(
    "at_start = lambda stored: [('update', 'GET', '/T/' + stored.get('owner', ''), '')]"
)]
fn who_introduces_itself_by_its_user_fails(#[case] product: &str) {
    let product = format!("telling: telling({product})");
    expect(
        "telemetry-1 c",
        &product,
        Outcome::Fail,
        "telemetry tells: owner",
    );
}

#[test]
fn what_is_said_for_an_address_has_to_be_seen() {
    let product = "telling: telling(power = False, renews = False)";
    expect(
        "telemetry-1 c",
        product,
        Outcome::Inconclusive,
        "asked for an address before",
    );
}

/// What was on its way when consent was withdrawn is no fault; what begins afterwards is one.
#[rstest]
#[case::under_way("for_each = True, late = 0.0", Outcome::Pass, "")]
#[case::anew(
    "for_each = True, late = 2.5",
    Outcome::Fail,
    "after consent was withdrawn"
)]
#[case::anew_from_one("late = 2.5", Outcome::Fail, "after consent was withdrawn")]
fn who_tells_more_when_consent_was_withdrawn_fails(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("telling: telling({product})");
    expect("telemetry-1 d", product, outcome, why);
}

#[test]
fn who_stays_with_the_broker_fails() {
    let product = "telling: telling(leaves = 'never')";
    expect("telemetry-1 d", product, Outcome::Fail, "stays connected");
}
