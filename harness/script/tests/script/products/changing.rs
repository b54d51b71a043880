//! Passwords of the user's own.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

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
    expect(format!("5.1-4-2 {unit}"), &product, Outcome::Pass, "");
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
    expect(format!("5.1-4-2 {unit}"), &product, Outcome::Fail, why);
}
