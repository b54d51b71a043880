//! The shipped test cases are fair to other products than the reference sensor: good ones of other kinds pass, and bad
//! ones fail. The products are scripts (`products/`), so that thousands of them can be tried, and a delay of hours takes
//! no time.

use std::fs;
use std::path::Path;

use provebench::event::Outcome;
use provebench::script::UnitResult;
use rstest::rstest;

use crate::bench::World;
use crate::common::repository;

/// Runs a unit of a shipped case, such as `5.1-1-2 c`, on a product: a file of products, and a call of a function of it,
/// which gets `t` as its first argument.
fn judge(unit: &str, product: &str) -> UnitResult {
    judge_many(unit, product, 1)
}

/// The same on so many products of that kind, until one does not pass.
fn judge_many(unit: &str, product: &str, products: u32) -> UnitResult {
    let (case, letter) = unit.split_once(' ').expect("a case and a unit");
    let (file, call) = product.split_once(": ").expect("a file and a call");
    let (function, arguments) = call.split_once('(').expect("a call");
    let clause = case.split('-').next().expect("a clause");
    let world = World::new();
    copy(&world, &repository().join("testcases/lib"), "cases/lib");
    let folder = repository().join("harness/tests/script/products");
    copy(&world, &folder, "cases/products");

    // The case itself, under a name that is free to have any units, and the unit behind one that hands it the product.
    let path = repository().join(format!("testcases/{clause}/{case}.star"));
    let shipped = fs::read_to_string(path).expect("it is shipped");
    let unit = format!("def unit_{letter}(t):");
    assert!(shipped.contains(&unit), "{case} has unit {letter}");
    let load = format!("load(\"//products/{file}.star\", on_bench = \"{function}\")");
    let script = shipped
        .replace(&format!("id = \"{case}\""), "id = \"products-1\"")
        .replace(&unit, &format!("def shipped_{letter}(t):"))
        .replacen("\ncase(", &format!("\n{load}\n\ncase("), 1)
        + &format!(
            "\n{unit}\n    \"On products.\"\n    for _ in range({products}):\n        shipped_{letter}(on_bench(t, {arguments})\n"
        );
    world.files.write("cases/products-1.star", script);
    let letter = letter.chars().next().expect("a letter");
    world.run_unit(letter).result
}

fn copy(world: &World, from: &Path, to: &str) {
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let text = fs::read(entry.path()).expect("a file");
        world.files.write(&format!("{to}/{name}"), text);
    }
}

#[track_caller]
fn assert_judged(result: &UnitResult, outcome: Outcome, message: &str) {
    assert_eq!(result.outcome, outcome, "{result:?}");
    assert!(result.message.contains(message), "{result:?}");
}

mod passwords {
    use super::*;

    /// What once was no coincidence befell one of twelve of them.
    #[rstest]
    #[case::hex("'hex', 8, 2")]
    #[case::long_hex("'hex', 16, 3")]
    #[case::lower_case("'lower', 10, 2")]
    #[case::mixed("'mixed', 12, 3")]
    #[case::number("'digits', 12, 2")]
    #[case::with_name("'mixed', 8, 2, 14, 'thing-'")]
    fn that_are_drawn_pass(#[case] drawn: &str) {
        let result = judge_many("5.1-1-2 c", &format!("passwords: drawn({drawn})"), 60);
        assert_judged(&result, Outcome::Pass, "");
    }

    /// Chance can't be ruled out with few digits: then there is no verdict, but never a wrong one.
    #[rstest]
    #[case(4, 2)]
    #[case(5, 2)]
    #[case(6, 3)]
    fn that_are_short_numbers_do_not_fail(#[case] length: u32, #[case] devices: u32) {
        for _ in 0..3 {
            let product = format!("passwords: drawn('digits', {length}, {devices})");
            let result = judge_many("5.1-1-2 c", &product, 50);
            assert_ne!(result.outcome, Outcome::Fail, "{result:?}");
            assert_ne!(result.outcome, Outcome::Error, "{result:?}");
        }
    }

    #[rstest]
    #[case::serial_number("mixed", 9, 2, "label['serial']", "serial (itself)")]
    #[case::its_end("digits", 6, 3, "label['serial'][-6:]", "serial (itself)")]
    #[case::mac("hex", 6, 2, "label['mac'].replace(':', '')[-6:]", "mac (itself)")]
    #[case::mac_and_more("mixed", 10, 2, "label['mac'].replace(':', '')[-6:] + 'wifi'", "mac")]
    #[case::backwards("mixed", 9, 2, "label['serial'][::-1]", "serial (reversed)")]
    #[case::base64(
        "mixed",
        10,
        2,
        "blob(label['serial']).base64()[-10:]",
        "serial (base64)"
    )]
    #[case::digest("hex", 8, 2, "blob(label['serial']).sha256()[:8]", "serial (SHA-256)")]
    #[case::its_end("hex", 8, 2, "blob(label['mac']).sha256()[-8:]", "mac (SHA-256)")]
    #[case::upper_case("mixed", 8, 2, "blob(label['serial']).sha256()[:8].upper()", "SHA-256")]
    #[case::checksum("hex", 8, 2, "'%x' % blob(label['serial']).crc32()", "serial (CRC-32)")]
    #[case::all_the_same("mixed", 12, 2, "'Thing-123456'", "the same password")]
    #[case::counted(
        "mixed",
        12,
        2,
        "'kD4fRw9nQ1' + label['serial'][-2:]",
        "with the password of other"
    )]
    #[case::one_letter(
        "lower",
        10,
        2,
        "'a' * 5 + 'b' * 5 if label['serial'][-1] == '1' else 'qwxecrtvyb'",
        "different letters"
    )]
    fn that_are_derived_fail(
        #[case] alphabet: &str,
        #[case] length: u32,
        #[case] devices: u32,
        #[case] from: &str,
        #[case] why: &str,
    ) {
        let derive = format!("lambda label: {from}");
        let call = format!("derived('{alphabet}', {length}, {devices}, {derive})");
        let result = judge("5.1-1-2 c", &format!("passwords: {call}"));
        assert_judged(&result, Outcome::Fail, why);
    }

    #[rstest]
    #[case::short("5", "[6, 9]", "5 characters, declared are 6 to 9")]
    #[case::long("10", "[6, 9]", "10 characters, declared are 6 to 9")]
    fn of_no_declared_length_fail(#[case] length: &str, #[case] declared: &str, #[case] why: &str) {
        let call = format!("drawn('mixed', {length}, 2, {declared})");
        let result = judge("5.1-1-2 c", &format!("passwords: {call}"));
        assert_judged(&result, Outcome::Fail, why);
    }

    #[test]
    fn of_any_declared_length_pass() {
        let product = "passwords: drawn('mixed', 8, 2, [8, 12])";
        assert_judged(&judge("5.1-1-2 c", product), Outcome::Pass, "");
    }

    #[rstest]
    #[case("a")]
    #[case("b")]
    #[case("c")]
    fn that_users_set_pass(#[case] letter: &str) {
        let product = "passwords: set_by_user(None)";
        let result = judge(&format!("5.1-1-2 {letter}"), product);
        assert_judged(&result, Outcome::Pass, "");
    }

    #[test]
    fn that_users_have_still_to_set_open_nothing() {
        let result = judge("5.1-1-2 b", "passwords: set_by_user('admin')");
        assert_judged(&result, Outcome::Fail, "before its user has set a password");
    }
}

mod guessing {
    use super::*;

    /// By what limits guesses: alphabet, length, free attempts, delay after the n-th wrong password, seconds that a
    /// start takes, or None if delays outlive it.
    #[rstest]
    #[case::growing("'mixed', 12, 2, lambda n: 1 << min(n - 3, 12) if n > 2 else 0, None")]
    #[case::fixed("'mixed', 12, 2, lambda n: 5 if n > 2 else 0, None")]
    #[case::locks_for_a_time("'mixed', 8, 4, lambda n: 300 if n % 5 == 0 else 0, None")]
    #[case::locks_for_an_hour("'digits', 8, 2, lambda n: 1200 if n % 3 == 0 else 0, None")]
    #[case::until_power_cycle("'mixed', 8, 4, lambda n: None if n == 5 else 0, 5")]
    #[case::forgets_without_power("'mixed', 8, 2, lambda n: 10 if n > 2 else 0, 5")]
    #[case::number(
        "'digits', 6, 2, lambda n: 1 << min(n - 3, 12) if n > 2 else 0, None, [1, 2, 4, 8, 4096]"
    )]
    #[case::each_on_its_own("'mixed', 10, 2, lambda n: 5 if n > 2 else 0, None, shared = False")]
    #[case::unlocked_by_support(
        "'digits', 4, 2, lambda n: None if n == 3 else 0, None, unlocks = True"
    )]
    fn that_does_not_pay_passes(#[case] limited: &str) {
        let result = judge("5.1-5-2 b", &format!("guessing: limited({limited})"));
        assert_judged(&result, Outcome::Pass, "");
    }

    #[rstest]
    #[case::never("'mixed', 12, 2, lambda n: 0, None", "3 wrong passwords in")]
    #[case::once(
        "'mixed', 12, 2, lambda n: 5 if n == 3 else 0, None",
        "no delay after 1 earlier"
    )]
    #[case::number("'digits', 6, 2, lambda n: 2 if n > 2 else 0, None", "5 days")]
    #[case::number_without_power("'digits', 6, 2, lambda n: 3600 if n > 2 else 0, 5", "5 days")]
    #[case::less_than_declared(
        "'mixed', 12, 2, lambda n: 5 if n > 2 else 0, None, [1, 10]",
        "declared are [1, 10]"
    )]
    #[case::told_only(
        "'mixed', 12, 2, lambda n: 5 if n > 2 else 0, None, enforced = False",
        "taken during a delay"
    )]
    #[case::elsewhere(
        "'mixed', 12, 2, lambda n: 5 if n > 2 else 0, None, unlimited = ['network']",
        "network: 3 wrong"
    )]
    #[case::locked_out(
        "'mixed', 12, 2, lambda n: 5 if n > 2 else 0, None, forgives = False",
        "refused when the delay is over"
    )]
    fn that_pays_fails(#[case] limited: &str, #[case] why: &str) {
        let result = judge("5.1-5-2 b", &format!("guessing: limited({limited})"));
        assert_judged(&result, Outcome::Fail, why);
    }

    #[rstest]
    #[case::between(
        "'digits', 6, 2, lambda n: 60 if n > 2 else 0, None",
        "an assessor's to say"
    )]
    #[case::locked(
        "'mixed', 12, 2, lambda n: None if n == 3 else 0, None",
        "no function unlock"
    )]
    #[case::locked_for_days(
        "'mixed', 12, 2, lambda n: 200000 if n > 2 else 0, None",
        "longer than this case can wait"
    )]
    fn that_cannot_be_judged_is_inconclusive(#[case] limited: &str, #[case] why: &str) {
        let result = judge("5.1-5-2 b", &format!("guessing: limited({limited})"));
        assert_judged(&result, Outcome::Inconclusive, why);
    }
}

mod changing {
    use super::*;

    #[rstest]
    #[case::says_nothing("")]
    #[case::takes_short_and_common_words(
        "{'shortest_own_password': 4}, takes = lambda new: len(new) > 3"
    )]
    #[case::takes_any("{}, takes = lambda new: True")]
    #[case::does_not_ask_for_the_old_one("{}, asks_old = False")]
    #[case::keeps_it_over_a_reset("{'password_after_reset': 'own'}, 'own'")]
    #[case::keeps_it_and_does_not_say("{}, 'own'")]
    #[case::asks_for_a_new_one("{'password_after_reset': 'none'}, 'none'")]
    #[case::asks_and_does_not_say("{}, 'none'")]
    #[case::short_ones("{'longest_own_password': 8}, takes = lambda new: len(new) < 9")]
    #[case::numbers(
        "{'longest_own_password': 6}, takes = lambda new: new.isdigit(), \
         own = lambda random: ''.join([str(ord(c) % 10) for c in random.elems()])"
    )]
    fn as_others_do_passes(#[case] product: &str, #[values('a', 'b')] unit: char) {
        let product = format!("changing: changeable({product})");
        let result = judge(&format!("5.1-4-2 {unit}"), &product);
        assert_judged(&result, Outcome::Pass, "");
    }

    #[rstest]
    #[case::short('a', "{'shortest_own_password': 8}", "is taken as new password")]
    #[case::excluded(
        'a',
        "{'refused_own_passwords': ['admin']}",
        "\"admin\" is taken as new"
    )]
    #[case::the_labels(
        'a',
        "{'refused_own_passwords': ['LABEL']}",
        "\"of the label\" is taken"
    )]
    #[case::wrong_old_one(
        'a',
        "{'asks_old_password': True}, asks_old = False",
        "a wrong old one"
    )]
    #[case::impossible('a', "{}, takes = lambda new: False", "can't be changed")]
    #[case::old_one_works('b', "{}, works_on = True", "the old password still opens")]
    #[case::lost_without_power('b', "{}, keeps = False", "after a power cycle")]
    #[case::kept(
        'b',
        "{'password_after_reset': 'label'}, 'own'",
        "the password on the label is refused"
    )]
    #[case::reset(
        'b',
        "{'password_after_reset': 'own'}",
        "the user's own password is refused after"
    )]
    #[case::open('b', "{'password_after_reset': 'none'}", "before the user has set one")]
    fn otherwise_than_declared_fails(#[case] unit: char, #[case] product: &str, #[case] why: &str) {
        let product = format!("changing: changeable({product})");
        let result = judge(&format!("5.1-4-2 {unit}"), &product);
        assert_judged(&result, Outcome::Fail, why);
    }
}

mod serving {
    use super::*;

    const LOGIN: &str = "{'status': 200, 'body': 'Please log in'}";

    #[rstest]
    #[case::cookie("")]
    #[case::bearer("'bearer', refuses = {'status': 403}")]
    #[case::header_of_its_own("'own', 'base64', {'status': 404}")]
    #[case::password_each_time(
        "'basic', 'none', said = {'session_token_bits': None, 'session_idle': None, 'session_ends': []}, ends = []"
    )]
    #[case::in_the_path("'query', 'base64', {'status': 400}")]
    #[case::to_its_login(
        "refuses = {'status': 302, 'headers': {'location': '/login?next=settings'}}"
    )]
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
        let result = judge(&format!("5.5-4-2 {unit}"), &product);
        assert_judged(&result, Outcome::Pass, "");
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
        let result = judge(&format!("5.5-4-2 {unit}"), &product);
        assert_judged(&result, Outcome::Fail, why);
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
    fn pages_that_tell_nothing_pass(#[case] product: &str) {
        let product = format!("serving: serving({product})");
        assert_judged(&judge("5.6-2-2 a", &product), Outcome::Pass, "");
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
    fn pages_that_tell_secrets_fail(#[case] product: &str, #[case] why: &str) {
        let product = format!("serving: serving({product})");
        assert_judged(&judge("5.6-2-2 a", &product), Outcome::Fail, why);
    }

    #[test]
    fn pages_that_nobody_declared_are_for_an_assessor() {
        let product = "serving: serving(pages = {'/': 'Welcome'})";
        let result = judge("5.6-2-2 a", product);
        assert_judged(&result, Outcome::Inconclusive, "GET /");
    }
}

mod updating {
    use super::*;

    #[rstest]
    #[case::one_slot("")]
    #[case::two_slots("slots = 2")]
    #[case::one_that_forgets_by_itself("forgets = False")]
    #[case::goes_back("goes_back = True")]
    #[case::says_that_it_goes_back("{'rollback': 'none'}, goes_back = True")]
    #[case::does_not_go_back("{'rollback': 'nothing older is accepted'}")]
    #[case::without_older_image("has_older = False")]
    fn what_is_not_authentic_is_refused(#[case] product: &str, #[values('a', 'b')] unit: char) {
        let product = format!("updating: updating({product})");
        let result = judge(&format!("5.3-9-2 {unit}"), &product);
        assert_judged(&result, Outcome::Pass, "");
    }

    #[rstest]
    #[case::unsigned('a', "accepts = ['unsigned']", "accepts: image unsigned")]
    #[case::two_slots('a', "slots = 2, accepts = ['wrong-key']", "accepts: image wrong-key")]
    #[case::damaged('b', "accepts = ['damaged']", "bytes missing at the end")]
    #[case::older(
        'a',
        "{'rollback': 'nothing older'}, goes_back = True",
        "accepts: image older"
    )]
    #[case::in_words_only(
        'a',
        "installs = ['wrong-key'], keeps = True",
        "runs after images were refused"
    )]
    fn what_is_not_authentic_is_accepted(
        #[case] unit: char,
        #[case] product: &str,
        #[case] why: &str,
    ) {
        let product = format!("updating: updating({product})");
        let result = judge(&format!("5.3-9-2 {unit}"), &product);
        assert_judged(&result, Outcome::Fail, why);
    }

    #[rstest]
    #[case::nothing_forgets("slots = 2, forgets = False", "no function interrupt_update")]
    #[case::nothing_older("{'rollback': 'no'}, has_older = False", "no image `older`")]
    fn what_cannot_be_tried_is_inconclusive(#[case] product: &str, #[case] why: &str) {
        let product = format!("updating: updating({product})");
        let result = judge("5.3-9-2 a", &product);
        assert_judged(&result, Outcome::Inconclusive, why);
    }

    #[rstest]
    #[case::at_once("")]
    #[case::after_the_handshake("verifies = 'after the handshake'")]
    #[case::takes_orders("queues = True")]
    #[case::takes_orders_and_is_late("queues = True, verifies = 'after the handshake'")]
    fn servers_are_verified(#[case] product: &str) {
        let product = format!("updating: updating({product})");
        assert_judged(&judge("5.3-10-1 b", &product), Outcome::Pass, "");
    }

    #[rstest]
    #[case::never(
        "verifies = 'never'",
        "whose certificate is self-signed, unknown-ca, signed-by-device"
    )]
    #[case::never_though_later(
        "queues = True, verifies = 'never'",
        "whose certificate is self-signed"
    )]
    #[case::in_clear("in_clear = True", "in the clear")]
    fn servers_are_believed(#[case] product: &str, #[case] why: &str) {
        let product = format!("updating: updating({product})");
        assert_judged(&judge("5.3-10-1 b", &product), Outcome::Fail, why);
    }

    #[test]
    fn servers_that_are_not_called_prove_nothing() {
        let product = "updating: updating(queues = True, calls = False)";
        let result = judge("5.3-10-1 b", product);
        assert_judged(&result, Outcome::Inconclusive, "did not even call");
    }

    #[rstest]
    #[case::as_the_sensor_does("")]
    #[case::without_noticing("notices = False")]
    #[case::and_fetches_later("queues = True")]
    #[case::and_fetches_when_asked_again("queues = True, fetches = False")]
    fn outages_are_lived_through(
        #[case] product: &str,
        #[values("5.9-1-2 a", "5.9-2-2 a")] unit: &str,
    ) {
        let product = format!("updating: updating({product})");
        assert_judged(&judge(unit, &product), Outcome::Pass, "");
    }

    #[rstest]
    #[case::nothing_measured("5.9-1-2 a", "measures = False", "does not measure without mqtt")]
    #[case::nothing_kept("5.9-1-2 a", "delivers = False", "of 3 messages")]
    #[case::nothing_kept_unnoticed(
        "5.9-2-2 a",
        "delivers = False, notices = False",
        "of 3 messages"
    )]
    #[case::changed("5.9-1-2 a", "changes_without_server = True", "the version changed")]
    #[case::never_again("5.9-1-2 a", "calls = False", "is refused when its server is back")]
    fn outages_are_not_lived_through(#[case] unit: &str, #[case] product: &str, #[case] why: &str) {
        let product = format!("updating: updating({product})");
        assert_judged(&judge(unit, &product), Outcome::Fail, why);
    }

    /// The proof of an outage is the bench's.
    #[rstest]
    #[case("5.9-1-2 a")]
    #[case("5.9-2-2 a")]
    fn outages_that_are_none_prove_nothing(#[case] unit: &str) {
        let product = "updating: updating(pulled = False)";
        let result = judge(unit, product);
        assert_judged(&result, Outcome::Inconclusive, "but plugged in");
    }
}
