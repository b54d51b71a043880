//! What is offered over the network, to whom.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::{assert_judged, expect, judge};

const LOGIN: &str = "{'status': 200, 'body': 'Please log in'}";

#[rstest]
#[case::cookie("")]
#[case::bearer("'bearer', refuses = {'status': 403}")]
#[case::header_of_its_own("'own', 'base64', {'status': 404}")]
#[case::password_each_time(
    "'basic', 'none', said = {'session_token_bits': None, 'session_idle': None, 'session_ends': []}, ends = []"
)]
#[case::in_the_path("'query', 'base64', {'status': 400}")]
#[case::to_its_login("refuses = {'status': 302, 'headers': {'location': '/login?next=settings'}}")]
#[case::to_the_login_it_has(
    "refuses = {'status': 303, 'headers': {'location': 'https://thing.local/ui/hello'}}, row = {'login': '/ui/hello'}"
)]
#[case::says_no_in_words(&format!("refuses = {LOGIN}, row = {{'refusal_text': 'Please log in'}}"))]
#[case::with_a_status_of_its_own("refuses = {'status': 418}, row = {'refusals': [418]}")]
#[case::says_where_to_go_on("grants = {'status': 303, 'headers': {'location': '/done'}}")]
#[case::uuid("kind = 'uuid'")]
#[case::jwt("'bearer', 'jwt'")]
#[case::without_idle_time("said = {'session_idle': None}, ends = ['logout']")]
#[case::outlives_a_restart("ends = ['logout', 'idle']")]
#[case::outlives_a_logout("said = {'session_ends': ['restart']}, ends = ['restart', 'idle']")]
#[case::with_a_certificate_of_its_own("trouble = 'self-signed'")]
fn as_others_do_passes(#[case] product: &str, #[values('a', 'b', 'c')] unit: char) {
    let product = format!("serving: serving({product})");
    expect(format!("5.5-4-2 {unit}"), &product, Outcome::Pass, "");
}

#[rstest]
#[case::everybody('a', "asks = False", "without a session is answered with status 200")]
#[case::any_token(
    'a',
    "believes = True",
    "with a made-up token is answered with status 200"
)]
#[case::any_bearer('a', "'bearer', 'jwt', believes = True", "made-up token is answered")]
#[case::any_header('a', "'basic', 'none', believes = True", "made-up token is answered")]
#[case::any_path('a', "'query', believes = True", "with a made-up token is answered")]
#[case::does_it_anyway(
    'a',
    "obeys_anyway = True, row = {'requests': [{'method': 'PUT', 'path': '/settings', 'body': 'changed'}]}",
    "refused requests changed"
)]
#[case::nobody(
    'b',
    "grants = {'status': 500}",
    "with a session is answered with status 500"
)]
#[case::nobody_in_words(
    'b',
    "grants = {'status': 200, 'body': 'Please log in'}, row = {'refusal_text': 'Please log in'}",
    "with a session is answered"
)]
#[case::numbered('c', "kind = 'numbered'", "which can't hold the declared 120 bits")]
#[case::named(
    'c',
    "'bearer', kind = 'named'",
    "which can't hold the declared 120 bits"
)]
#[case::not_logged_out(
    'c',
    "ends = ['restart', 'idle']",
    "after logout is answered with status 200"
)]
#[case::not_restarted(
    'c',
    "ends = ['logout', 'idle'], said = {'session_ends': ['restart']}",
    "before the restart is answered"
)]
#[case::never_idle(
    'c',
    "ends = ['logout', 'restart']",
    "not used for the declared time is answered"
)]
#[case::certificate(
    'c',
    "trouble = 'expired', certificate = 'authority'",
    "not in order: expired"
)]
fn otherwise_than_declared_fails(#[case] unit: char, #[case] product: &str, #[case] why: &str) {
    let product = format!("serving: serving({product})");
    expect(format!("5.5-4-2 {unit}"), &product, Outcome::Fail, why);
}

#[rstest]
#[case("{'status': 500}")]
#[case("{'status': 302, 'headers': {'location': '/somewhere'}}")]
fn what_is_neither_granted_nor_refused_is_inconclusive(#[case] refuses: &str) {
    let product = format!("serving: serving(refuses = {refuses})");
    let result = judge("5.5-4-2 a", &product);
    assert_judged(
        &result,
        Outcome::Inconclusive,
        "neither granted nor refused",
    );
}

#[rstest]
#[case::nothing("")]
#[case::page_of_the_login("pages = {'/': 'Log in'}, row = {'public': ['/']}")]
#[case::the_same_page_for_all(
    "pages = {'/': 'Log in', '*': {'status': 200, 'body': 'Log in'}}, row = {'public': ['/']}"
)]
#[case::to_the_login("pages = {'*': {'status': 302, 'headers': {'location': '/login'}}}")]
#[case::server_without_version("headers = {'server': 'tiny'}")]
#[case::declared_server("headers = {'server': 'tiny/1.4'}, row = {'headers': ['server']}")]
#[case::banner_of_a_protocol("shows = 'SSH-2.0-Server\\r\\n'")]
#[case::banner_without_version("shows = '220 Service ready for 10.77.0.2:21, UTF-8\\r\\n'")]
#[case::declared_banner("shows = 'SSH-2.0-dropbear_2022.83', discloses = ['dropbear_2022.83']")]
#[case::banner_of_a_declared_server(
    "shows = 'HTTP/1.1 400\\r\\nServer: tiny/1.4\\r\\n', headers = {'server': 'tiny/1.4'}, row = {'headers': ['server']}"
)]
fn pages_that_tell_nothing_pass(#[case] product: &str) {
    let product = format!("serving: serving({product})");
    expect("5.6-2-2 a", &product, Outcome::Pass, "");
}

#[rstest]
#[case::settings("asks = False", "the answer to GET /settings holds")]
#[case::login(
    "pages = {'/': 'of the label'}, row = {'public': ['/']}",
    "the answer to GET / holds password"
)]
#[case::undeclared(
    "pages = {'/backup': 'of the label'}",
    "the answer to GET /backup holds password"
)]
#[case::version(
    "headers = {'server': 'tiny/1.4'}",
    "tells the version of the software: server"
)]
#[case::banner("row = {}, shows = 'of the label'", "port 443 tells password")]
#[case::banner_in_other_words("shows = 'b2YgdGhlIGxhYmVs'", "port 443 tells password (base64)")]
#[case::escaped("pages = {'/backup': 'of%20the%20label'}", "holds password (escaped)")]
#[case::digest(
    "pages = {'/backup': blob('of the label').sha256()}",
    "holds password (sha-256)"
)]
#[case::firmware(
    "shows = 'HG-200 firmware 1.0.0', version = '1.0.0'",
    "the version of the device's software"
)]
fn pages_that_tell_secrets_fail(#[case] product: &str, #[case] why: &str) {
    let product = format!("serving: serving({product})");
    expect("5.6-2-2 a", &product, Outcome::Fail, why);
}

#[rstest]
#[case::ssh("shows = 'SSH-2.0-dropbear_2022.83\\r\\n'", "dropbear_2022.83")]
#[case::ftp("shows = '220 (vsFTPd 3.0.3)\\r\\n'", "3.0.3")]
#[case::smtp("shows = '220 hub ESMTP Postfix\\r\\n'", "Postfix")]
#[case::telnet("shows = 'Thing OS v2 login: '", "v2")]
#[case::rtsp("shows = 'RTSP/1.0 200 OK\\r\\nServer: H264DVR 1.0\\r\\n'", "1.0")]
#[case::model("shows = 'Welcome to HG-200'", "HG-200")]
#[case::server_name("headers = {'server': 'nginx'}", "nginx")]
#[case::page_of_an_error(
    "refuses = {'status': 401, 'body': '<hr><center>nginx/1.18.0</center>'}",
    "nginx/1.18.0"
)]
fn banners_that_nobody_declared_are_for_an_assessor(#[case] product: &str, #[case] why: &str) {
    let product = format!("serving: serving({product})");
    expect("5.6-2-2 a", &product, Outcome::Inconclusive, why);
}

#[rstest]
#[case("5.5-4-2 a")]
#[case("5.6-2-2 a")]
fn services_that_cannot_be_asked_are_named(#[case] unit: &str) {
    let product = "serving: serving(services = [{'id': 'SoftServ-Coap', 'port': 5683}])";
    expect(unit, product, Outcome::Inconclusive, "SoftServ-Coap");
}

#[test]
fn pages_that_nobody_declared_are_for_an_assessor() {
    let product = "serving: serving(pages = {'/': 'Welcome'})";
    expect("5.6-2-2 a", product, Outcome::Inconclusive, "GET /");
}
