//! What keeps others from guessing passwords.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

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
    expect(
        "5.1-5-2 b",
        format!("guessing: limited({limited})"),
        Outcome::Pass,
        "",
    );
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
    expect(
        "5.1-5-2 b",
        format!("guessing: limited({limited})"),
        Outcome::Fail,
        why,
    );
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
    expect(
        "5.1-5-2 b",
        format!("guessing: limited({limited})"),
        Outcome::Inconclusive,
        why,
    );
}
