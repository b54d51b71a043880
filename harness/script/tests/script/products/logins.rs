//! Where and how one logs in.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

const CONSOLE: &str = "{'id': 'AuthMech-Console', 'interface': 'console'}";

/// A getty's `login:` is the declared login, whatever is typed there.
#[rstest]
#[case::getty("getty", CONSOLE)]
#[case::a_prompt_that_is_declared(
    "password",
    "{'interface': 'console', 'login_prompt': 'Password: $'}"
)]
fn a_prompt_at_the_declared_login_passes(
    #[case] shell: &str,
    #[case] row: &str,
    #[values("5.1-1-2 a", "5.1-5-2 a")] unit: &str,
) {
    let product = format!("logins: at_console('{shell}', [{row}])");
    expect(unit, &product, Outcome::Pass, "");
}

#[rstest]
#[case::undeclared_getty(
    "getty",
    "{'interface': 'network'}",
    Outcome::Fail,
    "prompts for a secret after: \"root\""
)]
#[case::su("su", CONSOLE, Outcome::Fail, "prompts for a secret after: \"su\"")]
#[case::at_once("password", CONSOLE, Outcome::Inconclusive, "login_prompt")]
#[case::at_once_and_undeclared(
    "password",
    "{'interface': 'network'}",
    Outcome::Fail,
    "prompts for a secret"
)]
fn other_prompts_do_not(
    #[case] shell: &str,
    #[case] row: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values("5.1-1-2 a", "5.1-5-2 a")] unit: &str,
) {
    let product = format!("logins: at_console('{shell}', [{row}])");
    expect(unit, &product, outcome, why);
}

#[rstest]
#[case::random("'kD4fRw9nQ1xz', 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789'")]
#[case::with_name("'thing-pq7k2mzv', 'abcdefghijklmnopqrstuvwxyz0123456789', 14, 'thing-'")]
#[case::digits("'73615094', '0123456789'")]
#[case::nothing_declared("'kD4fRw9nQ1xz'")]
fn a_password_that_is_hard_to_guess_passes(#[case] label: &str) {
    let product = format!("logins: labelled({label})");
    expect("5.1-1-2 b", &product, Outcome::Pass, "");
}

#[rstest]
#[case::on_every_list("'admin'", "5 characters")]
#[case::empty("''", "is empty")]
#[case::short("'7361', '0123456789'", "4 characters")]
#[case::of_few("'abbaab', 'ab'", "only 64 passwords")]
#[case::number("'123456', '0123456789'", "well-known password")]
#[case::keys("'qwertyuiop', 'abcdefghijklmnopqrstuvwxyz'", "a run of keys")]
#[case::word("'sunshine', 'abcdefghijklmnopqrstuvwxyz'", "a word")]
#[case::leet(
    "'P@ssw0rd', 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@'",
    "made of such"
)]
#[case::of_a_botnet("'xc3511'", "well-known")]
#[case::product("'thing2024', 'abcdefghijklmnopqrstuvwxyz0123456789'", "made of such")]
#[case::serial(
    "'LX2407011', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'",
    "the serial of the product"
)]
fn a_password_that_is_soon_guessed_fails(#[case] label: &str, #[case] why: &str) {
    let product = format!("logins: labelled({label})");
    expect("5.1-1-2 b", &product, Outcome::Fail, why);
}

/// Silence is one if somebody says that it was heard.
#[rstest]
#[case::declared("[{'debug': 'console', 'input': False}]", "yes", Outcome::Pass, "")]
#[case::not_wired(
    "[{'debug': 'console', 'input': False}]",
    "no",
    Outcome::Inconclusive,
    "can reach the product"
)]
#[case::of_another(
    "[{'debug': 'probe', 'input': False}]",
    "yes",
    Outcome::Inconclusive,
    "`input = false`"
)]
#[case::undeclared("[]", "yes", Outcome::Inconclusive, "does not even echo")]
fn a_console_that_only_prints_passes_if_it_is_declared(
    #[case] rows: &str,
    #[case] answers: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values("5.1-1-2 a", "5.1-5-2 a")] unit: &str,
) {
    let product = format!("logins: mute({rows}, '{answers}')");
    expect(unit, product, outcome, why);
}

#[rstest]
#[case::short("1234")]
#[case::of_another_user("root")]
#[case::long("123456789")]
fn a_well_known_password_beside_the_label_s_fails(#[case] backdoor: &str) {
    let product = format!(
        "logins: with_logins([{CONSOLE}], ['console'], try_login = lambda p, i = None: struct(ok = p in ['kD4fRw9nQ1xz', '{backdoor}'], wait = 0))"
    );
    let why = format!("\"{backdoor}\" opens the device");
    expect("5.1-1-2 b", product, Outcome::Fail, &why);
}

#[rstest]
#[case::no_other_user("getty", Outcome::Pass, "")]
#[case::no_login("su", Outcome::Pass, "")]
#[case::without_a_password("getty of debug", Outcome::Fail, "user \"debug\" gets in")]
#[case::whose_password_is_its_name("getty of guest", Outcome::Fail, "user \"guest\" gets in")]
fn a_user_that_nobody_declares_fails(
    #[case] shell: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("logins: at_console('{shell}', [{CONSOLE}])");
    expect("5.1-1-2 b", product, outcome, why);
}

#[rstest]
#[case::each_by_itself("counting(600, 5)")]
#[case::all_together("counting(600, 5, shared = True)")]
#[case::two_free("counting(30, 2)")]
fn what_ends_a_row_is_offered_where_the_row_is(
    #[case] product: &str,
    #[values("5.1-1-2 b", "5.1-1-2 c")] unit: &str,
) {
    // With one deadline for both: waiting for a single delay would be too long.
    let product = format!("logins: {product}").replace(')', ", deadline = 600.0)");
    expect(unit, &product, Outcome::Pass, "");
}

#[test]
fn delays_that_leave_no_time_are_told_with_the_sum() {
    expect(
        "5.1-1-2 c",
        "logins: forgetful(60, 600.0)",
        Outcome::Inconclusive,
        "are delayed for 60 s",
    );
    expect(
        "5.1-1-2 b",
        "logins: forgetful(900, 600.0)",
        Outcome::Inconclusive,
        "are left for this case",
    );
}

/// An answer that is kept back delays whoever waits for it.
#[rstest]
#[case::measured("blocking(3)")]
#[case::told("blocking(3, told = True)")]
#[case::told_and_short("blocking(0.8, told = True, delays = [0.5])")]
#[case::as_declared("blocking(4, delays = [3])")]
#[case::after_some("blocking(30, free = 3, delays = [30])")]
#[case::says_nothing_for_a_time("blocking(0, locked = 60, free = 3, delays = [60])")]
fn delays_that_block_are_delays(#[case] product: &str) {
    let product = format!("logins: {product}");
    expect("5.1-5-2 b", &product, Outcome::Pass, "");
}

#[rstest]
#[case::never("blocking(0)", "1 wrong passwords in")]
#[case::never_though_told("blocking(0, told = True)", "1 wrong passwords in")]
#[case::shorter("blocking(2, delays = [10])", "declared are [10]")]
#[case::too_few("blocking(3, alphabet = 'digits')", "half of the passwords take")]
fn delays_that_do_not_block_fail(#[case] product: &str, #[case] why: &str) {
    let product = format!("logins: {product}");
    expect("5.1-5-2 b", &product, Outcome::Fail, why);
}

#[test]
fn silence_of_no_declared_length_is_inconclusive() {
    expect(
        "5.1-5-2 b",
        "logins: blocking(0, locked = 60, free = 3)",
        Outcome::Inconclusive,
        "does not tell for how long",
    );
}

/// A mechanism that the driver can't drive spoils nothing but itself.
#[rstest]
fn a_login_that_nothing_drives_is_named(
    #[values("5.1-1-2 a", "5.1-1-2 b", "5.1-1-2 c", "5.1-5-2 a", "5.1-5-2 b")] unit: &str,
    #[values("{'id': 'AuthMech-Ssh', 'interface': 'ssh'}", "{'id': 'AuthMech-Ssh'}")] row: &str,
) {
    let console = "{'id': 'AuthMech-Console', 'interface': 'console', 'attempts_before_delay': 0}";
    let product = format!(
        "logins: with_logins([{console}, {row}], ['console'], try_login = lambda p, i = None: struct(ok = p == 'kD4fRw9nQ1xz', wait = 0 if p == 'kD4fRw9nQ1xz' else 0, took = 0.0 if p == 'kD4fRw9nQ1xz' else 5.0))"
    );
    expect(unit, &product, Outcome::Inconclusive, "AuthMech-Ssh");
}

#[rstest]
#[case::by_its_id(
    "{'id': 'AuthMech-Ssh'}, {'id': 'console'}",
    "['console', 'AuthMech-Ssh']"
)]
#[case::not_with_a_password(
    "{'id': 'AuthMech-Key', 'password': False}, {'id': 'console'}",
    "['console']"
)]
#[case::the_only_one("{'id': 'AuthMech-Owner'}", "['console']")]
fn a_login_that_is_driven_is_not(#[case] rows: &str, #[case] used: &str) {
    let product = format!("logins: with_logins([{rows}], {used})");
    expect("5.1-1-2 b", &product, Outcome::Pass, "");
}

#[test]
fn a_default_password_fails_beside_a_login_that_nothing_drives() {
    let rows = "[{'id': 'AuthMech-Console', 'interface': 'console'}, {'id': 'AuthMech-Ssh', 'interface': 'ssh'}]";
    let product = format!(
        "logins: with_logins({rows}, ['console'], try_login = lambda p, i = None: struct(ok = p in ['kD4fRw9nQ1xz', 'admin'], wait = 0))"
    );
    expect(
        "5.1-1-2 b",
        &product,
        Outcome::Fail,
        "\"admin\" opens the device",
    );
}

/// What greets at a port of TCP as a login does.
#[rstest]
#[case::none("{443: None, 80: 'HTTP/1.1 200 OK'}", Outcome::Pass, "")]
#[case::telnet("{23: '\\\\xff\\\\xfd\\\\x18'}", Outcome::Fail, "TCP 23 (telnet)")]
#[case::a_prompt("{2323: 'hub login: '}", Outcome::Fail, "TCP 2323 (telnet)")]
#[case::ssh("{22: 'SSH-2.0-dropbear_2022.83'}", Outcome::Fail, "TCP 22 (ssh)")]
#[case::basic(
    "{8080: 'HTTP/1.1 401 Unauthorized'}",
    Outcome::Fail,
    "TCP 8080 (http)"
)]
#[case::at_a_declared_port(
    "{22: 'SSH-2.0-x'}, ports = [22, 443]",
    Outcome::Inconclusive,
    "no row of IXIT 1-AuthMech says that it is them, with `port` or `interface`: TCP 22 (ssh)"
)]
#[case::basic_at_a_service("{443: 'HTTP/1.1 401 Unauthorized'}", Outcome::Inconclusive, "TCP 443")]
fn logins_that_greet_are_declared(
    #[case] open: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values("5.1-1-2 a", "5.1-5-2 a")] unit: &str,
) {
    let product = format!("logins: at_console('getty', [{CONSOLE}], open = {open})");
    expect(unit, &product, outcome, why);
}

/// The driver need not take them: then they are named.
#[rstest]
#[case::by_its_port("{'id': 'AuthMech-Ssh', 'interface': 'shell', 'port': 22}")]
#[case::by_its_protocol("{'id': 'AuthMech-Ssh', 'interface': 'ssh'}")]
fn logins_that_are_declared_are_not_held_against_anybody(#[case] row: &str) {
    let product =
        format!("logins: at_console('getty', [{CONSOLE}, {row}], open = {{22: 'SSH-2.0-x'}})");
    expect("5.1-1-2 a", &product, Outcome::Inconclusive, "AuthMech-Ssh");
}
