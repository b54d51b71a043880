//! What is guarded by one name, and had by another; and what is told where nothing is guarded.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::{expect, judge};

#[rstest]
#[case::none("")]
#[case::the_same_page_for_all(
    "pages = {'*': {'status': 200, 'body': 'Log in'}}, row = {'public': ['/settings/'], 'refusal_text': 'Log in'}"
)]
#[case::sent_to_where_it_is("pages = {'*': {'status': 308, 'headers': {'location': '/settings'}}}")]
#[case::bad_requests("pages = {'*': {'status': 400}}")]
#[case::heads("lets_in = lambda method, path: method == 'HEAD'")]
#[case::a_page_that_needs_no_session(
    "lets_in = lambda method, path: path == '/settings/', row = {'public': ['/settings/']}"
)]
fn what_is_guarded_by_all_names_passes(#[case] product: &str) {
    let product = format!("serving: serving({product})");
    expect("5.5-4-2 a", &product, Outcome::Pass, "");
}

#[rstest]
#[case::slash("path == '/settings/'")]
#[case::slashes("path == '//settings'")]
#[case::dot("path == '/./settings'")]
#[case::folder("path == '/x/../settings'")]
#[case::parameter("path.startswith('/settings;')")]
#[case::query("path.endswith('.css') and path.startswith('/settings?')")]
#[case::below("path.startswith('/settings/') and path.endswith('.css')")]
#[case::capitals("path == '/SETTINGS'")]
#[case::percent("path == '/%73ettings'")]
#[case::other_method("path == '/settings' and method == 'POST'")]
fn what_is_had_by_another_name_fails(
    #[case] lets_in: &str,
    #[values("5.5-4-2 a", "5.6-2-2 a")] unit: &str,
) {
    let product = format!("serving: serving(lets_in = lambda method, path: {lets_in})");
    let result = judge(unit, &product);
    let is_about_user_data = result.message.contains("holds room");
    assert_eq!(result.outcome(), Outcome::Fail, "{result:?}");
    assert!(
        is_about_user_data || result.message.contains("granted without a"),
        "{result:?}"
    );
}

#[test]
fn what_is_done_by_another_name_fails() {
    let product =
        "serving: serving(lets_in = lambda method, path: method == 'PUT' and path == '/settings/')";
    expect("5.5-4-2 a", product, Outcome::Fail, "PUT /settings/");
}

fn info(fields: &str, says: &str) -> String {
    format!(
        "serving: serving(version = '1.4.0', row = {{'open': [{{'method': 'GET', 'path': '/info', 'fields': {fields}}}]}}, \
         pages = {{'/info': '{says}'}})"
    )
}

#[rstest]
#[case::flat("['model', 'support']", r#"{"model": "T", "support": "2031"}"#)]
#[case::nested("['support.until']", r#"{"support": {"until": "2031"}}"#)]
#[case::as_a_whole("['support.*']", r#"{"support": {"until": "2031"}}"#)]
#[case::its_version("['version']", r#"{"version": "1.4.0"}"#)]
#[case::its_version_by_another_name("['fw_rev']", r#"{"fw_rev": "v1.4.0"}"#)]
#[case::a_longer_number("['support']", r#"{"support": "11.4.0, 1.4.01, 2.1.4.0"}"#)]
fn declared_fields_of_open_answers_pass(#[case] fields: &str, #[case] says: &str) {
    expect("5.6-2-2 a", info(fields, says), Outcome::Pass, "");
}

#[rstest]
#[case::nested("['support']", r#"{"support": {"mac": "02:11"}}"#, "support.mac")]
#[case::in_a_list("['support']", r#"[{"support": 1}, {"ssid": "HomeNet"}]"#, "ssid")]
#[case::a_bare_list("['support']", r#"["HomeNet"]"#, "without a name")]
#[case::version_in_a_text(
    "['model']",
    r#"{"model": "T/1.4.0"}"#,
    "field model of the answer to GET /info tells everybody the version"
)]
#[case::password("['model']", r#"{"model": "of the label"}"#, "holds password")]
fn undeclared_ones_fail(#[case] fields: &str, #[case] says: &str, #[case] why: &str) {
    expect("5.6-2-2 a", info(fields, says), Outcome::Fail, why);
}

#[test]
fn a_version_by_another_name_is_for_an_assessor() {
    let product = info("['stand']", r#"{"stand": "1.4.0"}"#);
    expect("5.6-2-2 a", &product, Outcome::Inconclusive, "field stand");
}

#[rstest]
#[case::public("pages = {'/': 'Welcome to firmware 1.4.0'}, row = {'public': ['/']}")]
#[case::refused("refuses = {'status': 401, 'body': 'T 1.4.0: log in'}")]
#[case::header("headers = {'etag': 'w-1.4.0'}")]
fn the_version_fails_wherever_it_is_told(#[case] product: &str) {
    let product = format!("serving: serving(version = '1.4.0', {product})");
    expect(
        "5.6-2-2 a",
        &product,
        Outcome::Fail,
        "the version of the device's software",
    );
}

#[test]
fn a_declared_version_passes() {
    let product = "serving: serving(version = '1.4.0', discloses = ['1.4.0'], \
         pages = {'/': 'Firmware 1.4.0'}, row = {'public': ['/']})";
    expect("5.6-2-2 a", product, Outcome::Pass, "");
}
