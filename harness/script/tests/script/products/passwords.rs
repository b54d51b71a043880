//! Passwords that products are delivered with.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::{assert_judged, expect, judge_many};

/// What once was no coincidence befell one of twelve of the first kind.
#[rstest]
#[case::hex("'hex', 8, 2", 60)]
#[case::long_hex("'hex', 16, 3", 20)]
#[case::lower_case("'lower', 10, 2", 20)]
#[case::mixed("'mixed', 12, 3", 20)]
#[case::number("'digits', 12, 2", 20)]
#[case::with_name("'mixed', 8, 2, 14, 'thing-'", 20)]
fn that_are_drawn_pass(#[case] drawn: &str, #[case] products: u32) {
    let product = format!("passwords: drawn({drawn})");
    let result = judge_many("5.1-1-2 c", &product, products);
    assert_judged(&result, Outcome::Pass, "");
}

/// Chance can't be ruled out with few digits: then there is no verdict, but never a wrong one.
#[rstest]
#[case(4, 2)]
#[case(5, 2)]
#[case(6, 3)]
fn that_are_short_numbers_do_not_fail(#[case] length: u32, #[case] devices: u32) {
    let product = format!("passwords: drawn('digits', {length}, {devices})");
    let result = judge_many("5.1-1-2 c", &product, 40);
    let is_fair = matches!(result.outcome(), Outcome::Pass | Outcome::Inconclusive);
    assert!(is_fair, "{result:?}");
}

/// Two devices with numbers of four digits have the same by chance: more devices would tell.
#[test]
fn that_are_short_and_alike_are_inconclusive() {
    let product = "passwords: derived('digits', 4, 2, lambda label: '4711')";
    expect(
        "5.1-1-2 c",
        product,
        Outcome::Inconclusive,
        "has the same password",
    );
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
    expect(
        "5.1-1-2 c",
        format!("passwords: {call}"),
        Outcome::Fail,
        why,
    );
}

#[rstest]
#[case::short("5", "[6, 9]", "5 characters, declared are 6 to 9")]
#[case::long("10", "[6, 9]", "10 characters, declared are 6 to 9")]
fn of_no_declared_length_fail(#[case] length: &str, #[case] declared: &str, #[case] why: &str) {
    let call = format!("drawn('mixed', {length}, 2, {declared})");
    expect(
        "5.1-1-2 c",
        format!("passwords: {call}"),
        Outcome::Fail,
        why,
    );
}

#[test]
fn of_any_declared_length_pass() {
    let product = "passwords: drawn('mixed', 8, 2, [8, 12])";
    expect("5.1-1-2 c", product, Outcome::Pass, "");
}

#[rstest]
#[case("a")]
#[case("b")]
#[case("c")]
fn that_users_set_pass(#[case] letter: &str) {
    let product = "passwords: set_by_user(None)";
    expect(format!("5.1-1-2 {letter}"), product, Outcome::Pass, "");
}

#[test]
fn that_users_have_still_to_set_open_nothing() {
    expect(
        "5.1-1-2 b",
        "passwords: set_by_user('admin')",
        Outcome::Fail,
        "before its user has set a password",
    );
}
