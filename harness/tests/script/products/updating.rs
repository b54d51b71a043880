//! Updates, and outages of network and services.

use provebench::event::Outcome;
use rstest::rstest;

use super::{assert_judged, judge};

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
fn what_is_not_authentic_is_accepted(#[case] unit: char, #[case] product: &str, #[case] why: &str) {
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
#[case::nothing_kept_unnoticed("5.9-2-2 a", "delivers = False, notices = False", "of 3 messages")]
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
