//! What is open in which state.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

const SETUP: &str = "enabled = {'transport': 'tcp', 'port': 8080, 'enabled': ['factory-default']}";

#[rstest]
#[case::nothing_else("")]
#[case::not_in_the_network_before_it_is_set_up("online = ['initialized']")]
#[case::declared_for_the_set_up(&format!("tcp = {{'factory-default': [8080]}}, {SETUP}"))]
#[case::declared_for_both(
    "udp = {'factory-default': [5683], 'initialized': [5683]}, enabled = {'transport': 'udp', 'port': 5683}"
)]
fn what_is_open_when_it_may_be_passes(
    #[case] product: &str,
    #[values("5.6-1-2 c", "5.5-5-2 b", "5.3-10-1 c")] unit: &str,
) {
    let product = format!("opening: opening({product})");
    expect(unit, &product, Outcome::Pass, "");
}

#[rstest]
#[case::when_set_up("tcp = {'initialized': [2323]}", "initialized: 2323")]
#[case::before("tcp = {'factory-default': [2323]}", "factory-default: 2323")]
#[case::any_udp_when_set_up("udp = {'initialized': [9999]}", "initialized: 9999")]
#[case::any_udp_before("udp = {'factory-default': [9999]}", "factory-default: 9999")]
#[case::the_set_up_left_open(
    &format!("tcp = {{'factory-default': [8080], 'initialized': [8080]}}, {SETUP}"),
    "initialized: 8080"
)]
fn what_is_open_in_one_state_only_fails(#[case] product: &str, #[case] why: &str) {
    let product = format!("opening: opening({product})");
    expect("5.6-1-2 c", &product, Outcome::Fail, why);
}

#[rstest]
#[case::when_set_up("tcp = {'initialized': [2323]}", "initialized: 2323")]
#[case::before("tcp = {'factory-default': [2323]}", "factory-default: 2323")]
#[case::usual_udp_before("udp = {'factory-default': [69]}", "factory-default: 69")]
fn what_changes_settings_or_takes_updates_is_looked_for_in_either_state(
    #[case] product: &str,
    #[case] why: &str,
    #[values("5.5-5-2 b", "5.3-10-1 c")] unit: &str,
) {
    let product = format!("opening: opening({product})");
    expect(unit, &product, Outcome::Fail, why);
}

#[rstest]
#[case("5.6-1-2 c")]
#[case("5.5-5-2 b")]
#[case("5.3-10-1 c")]
fn a_state_that_was_not_seen_is_named(#[case] unit: &str) {
    expect(
        unit,
        "opening: opening(resets = False)",
        Outcome::Inconclusive,
        "to_factory_default",
    );
}
