//! Debug interfaces of products as they are sold.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

#[rstest]
#[case::locked("rows = [{'id': 'PhyIntf-Swd', 'debug': 'probe'}]", Outcome::Pass, "")]
#[case::by_its_effect("says_locked = False", Outcome::Pass, "")]
#[case::another_interface(
    "rows = [{'id': 'PhyIntf-Swd', 'debug': 'probe'}, {'id': 'PhyIntf-Jtag', 'debug': 'jtag'}]",
    Outcome::Inconclusive,
    "PhyIntf-Jtag"
)]
#[case::open("opens = 'factory default'", Outcome::Fail, "in factory default")]
#[case::open_when_set_up(
    "opens = 'initialised', rows = [{'id': 'PhyIntf-Jtag', 'debug': 'jtag'}]",
    Outcome::Fail,
    "when initialised"
)]
#[case::open_for_a_moment("opens = 'power-on'", Outcome::Fail, "right after power-on")]
fn debug_ports_are_locked(#[case] product: &str, #[case] outcome: Outcome, #[case] why: &str) {
    let product = format!("locked: locked({product})");
    expect("5.6-4A-2 a", &product, outcome, why);
}

#[rstest]
#[case::declared("rows = [{'id': 'PhyIntf-Swd', 'debug': 'probe'}]", Outcome::Pass, "")]
#[case::nothing("", Outcome::Inconclusive, "declares no physical interface")]
fn debug_interfaces_are_declared(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("locked: locked({product})");
    expect("5.6-4A-2 b", &product, outcome, why);
}
