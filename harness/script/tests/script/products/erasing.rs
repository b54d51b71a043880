//! User data of products without a debug probe.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

#[rstest]
#[case::raw("'raw'")]
#[case::base64("'base64'")]
#[case::hex("'hex-upper'")]
fn what_the_driver_finds_before_and_not_after_is_erased(
    #[case] form: &str,
    #[values('a', 'c')] unit: char,
) {
    let product = format!("erasing: erasable([], form = {form})");
    expect(format!("5.11-1-2 {unit}"), &product, Outcome::Pass, "");
}

#[rstest]
#[case::left(
    "['app']",
    "user data survives erasing by app: ssid at /data/ssid (raw)"
)]
#[case::left_by_the_first(
    "['button', 'app']",
    "user data survives erasing by button: ssid at /data/ssid (raw)"
)]
#[case::in_another_form("['app'], form = 'base64'", "at /data/ssid (base64)")]
fn what_the_driver_still_finds_is_left(#[case] product: &str, #[case] message: &str) {
    expect(
        "5.11-1-2 c",
        format!("erasing: erasable({product})"),
        Outcome::Fail,
        message,
    );
}

/// Without probe and function, an assessor looks.
#[rstest]
#[case::not_asked('a', "{}", Outcome::Inconclusive, "question 5.11-1-2-a")]
#[case::found('a', "{'5.11-1-2-a': 'yes'}", Outcome::Pass, "")]
#[case::not_found(
    'a',
    "{'5.11-1-2-a': 'no'}",
    Outcome::Inconclusive,
    "would prove nothing"
)]
#[case::not_asked_for_the_rest('c', "{}", Outcome::Inconclusive, "question 5.11-1-2-c")]
#[case::gone('c', "{'5.11-1-2-c': 'no'}", Outcome::Pass, "")]
#[case::left(
    'c',
    "{'5.11-1-2-c': 'yes'}",
    Outcome::Fail,
    "survives erasing, and says: yes"
)]
fn an_assessor_searches_where_nothing_else_can(
    #[case] unit: char,
    #[case] answers: &str,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let product = format!("erasing: erasable([], None, answers = {answers})");
    expect(format!("5.11-1-2 {unit}"), &product, outcome, message);
}
