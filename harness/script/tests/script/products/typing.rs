//! What users enter, and how they erase it.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

/// A terminal makes something of many bytes before the product sees them, and what tells of a crash is not the same on all.
#[rstest]
#[case::uptime("")]
#[case::console("tells = 'console'")]
#[case::dhcp("tells = 'dhcp'")]
fn hostile_input_that_is_refused_passes(#[case] product: &str) {
    let product = format!("typing: typing({product})");
    expect("5.13-1A-2 b", &product, Outcome::Pass, "");
}

#[rstest]
#[case::uptime("crashes = True", "it was up for")]
#[case::console(
    "crashes = True, tells = 'console'",
    "its console shows \"Thing OS 1.0 starting\""
)]
#[case::dhcp("crashes = True, tells = 'dhcp'", "asks for an address once more")]
fn hostile_input_that_ends_in_a_crash_fails(#[case] product: &str, #[case] why: &str) {
    let product = format!("typing: typing({product})");
    expect("5.13-1A-2 b", &product, Outcome::Fail, why);
}

#[rstest]
#[case::crash("tells = 'nothing'", "`status` has no `uptime`")]
#[case::uptime_in_words("tells = 'nothing', status = {'uptime': 'two days'}", "no `uptime`")]
#[case::interface("interfaces = ['console', 'network']", "InpVal-Room (network)")]
#[case::another_interface("interfaces = ['console', 'voice']", "InpVal-Room (voice)")]
fn hostile_input_of_which_little_is_seen_is_inconclusive(#[case] product: &str, #[case] why: &str) {
    let product = format!("typing: typing({product})");
    expect("5.13-1A-2 b", &product, Outcome::Inconclusive, why);
}

#[rstest]
#[case::by_its_word("['button'], [{'id': 'DelFunc-Button', 'method': 'button'}]")]
#[case::by_its_id("['DelFunc-Button'], [{'id': 'DelFunc-Button'}]")]
#[case::the_only_one("['button'], [{'id': 'DelFunc-Button'}]")]
#[case::not_at_a_service(
    "['button'], [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-Cloud', 'target': 'service'}]"
)]
fn erasing_as_declared_passes(
    #[case] product: &str,
    #[values("5.11-1-2 b", "5.11-1-2 c", "5.11-1-2 d")] unit: &str,
) {
    let product = format!("typing: erasing({product})");
    expect(unit, &product, Outcome::Pass, "");
}

/// What is declared and can't be tried is named, after all else was tried.
#[rstest]
#[case::by_its_word(
    "['button'], [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-App', 'method': 'app'}]",
    "DelFunc-App"
)]
#[case::without_a_word(
    "['button'], [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-App'}]",
    "DelFunc-App"
)]
#[case::two_of_two(
    "['button', 'app'], [{'id': 'DelFunc-A'}, {'id': 'DelFunc-B'}]",
    "DelFunc-A"
)]
fn erasing_that_nothing_drives_is_named(
    #[case] product: &str,
    #[case] why: &str,
    #[values("5.11-1-2 b", "5.11-1-2 c", "5.11-1-2 d")] unit: &str,
) {
    let product = format!("typing: erasing({product})");
    expect(unit, &product, Outcome::Inconclusive, why);
}

#[test]
fn erasing_that_does_not_erase_fails_beside_one_that_nothing_drives() {
    let product = "typing: erasing(['button'], [{'id': 'DelFunc-Button', 'method': 'button'}, {'id': 'DelFunc-App'}], erases = False)";
    expect(
        "5.11-1-2 c",
        product,
        Outcome::Fail,
        "still shown after erasing by DelFunc-Button",
    );
    expect(
        "5.11-1-2 b",
        product,
        Outcome::Fail,
        "after erasing by DelFunc-Button",
    );
}

#[rstest]
#[case::state(
    "5.11-1-2 b",
    "['button'], [{'id': 'D'}], keeps_state = True",
    "`status` has no `state`"
)]
#[case::data(
    "5.11-1-2 c",
    "['button'], [{'id': 'D'}], data = [{'id': 'PersData-Room', 'fields': ['room']}, {'id': 'PersData-Voice', 'fields': ['voice']}]",
    "PersData-Voice"
)]
fn erasing_of_which_little_is_seen_is_inconclusive(
    #[case] unit: &str,
    #[case] product: &str,
    #[case] why: &str,
) {
    let product = format!("typing: erasing({product})");
    expect(unit, &product, Outcome::Inconclusive, why);
}
