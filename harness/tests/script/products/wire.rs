//! Who is called, what is open, and what is told to whom.

use provebench::event::Outcome;
use rstest::rstest;

use super::{assert_judged, judge};

#[rstest]
#[case::nobody_else("")]
#[case::declared_again("calls = [('tcp', '10.77.0.2:50000', '10.77.0.1:8883', ['cloud.example'])]")]
fn products_that_call_whom_they_declare_pass(#[case] product: &str) {
    let product = format!("wire: calling({product})");
    assert_judged(&judge("5.6-1-2 c", &product), Outcome::Pass, "");
}

/// A port of theirs, or of the other one, excuses nobody.
#[rstest]
#[case::from_a_served_port(
    "('tcp', '10.77.0.2:443', '203.0.113.9:4444')",
    "tcp to 203.0.113.9:4444"
)]
#[case::from_a_served_udp_port("('udp', '10.77.0.2:5683', '203.0.113.9:5683')", "203.0.113.9:5683")]
#[case::to_all_from_elsewhere("('udp', '10.77.0.2:5000', '224.0.0.251:5353')", "224.0.0.251:5353")]
#[case::bootp_server_far_away("('udp', '10.77.0.2:68', '203.0.113.9:67')", "203.0.113.9:67")]
#[case::bootp_client("('udp', '10.77.0.2:5000', '203.0.113.9:68')", "203.0.113.9:68")]
#[case::bootp_over_tcp("('tcp', '10.77.0.2:5000', '10.77.0.1:67')", "tcp to 10.77.0.1:67")]
#[case::leases_of_ipv6("('udp', '[fd77::2]:546', '[2001:db8::9]:547')", "2001:db8::9")]
fn products_that_call_others_fail(#[case] call: &str, #[case] why: &str) {
    let product = format!("wire: calling(calls = [{call}])");
    let result = judge("5.6-1-2 c", &product);
    assert_judged(&result, Outcome::Fail, "undeclared calls");
    assert_judged(&result, Outcome::Fail, why);
}

#[test]
fn names_that_nobody_declared_fail() {
    let product = "wire: calling(asked = ['cloud.example', 'stats.example'])";
    assert_judged(&judge("5.6-1-2 c", product), Outcome::Fail, "stats.example");
}

#[rstest]
#[case::nothing("")]
#[case::login_in_the_local_network(
    "hits = [('tcp', '10.77.0.1:50000', '10.77.0.2:80'), ('tcp', '10.77.0.2:80', '10.77.0.1:50000')], \
     flows = [(('tcp', '10.77.0.1:50000', '10.77.0.2:80'), 'to-dut')]"
)]
#[case::no_ip("hits = [(None, None, None)]")]
fn what_stays_in_the_local_network_passes(#[case] product: &str) {
    let product = format!("wire: telling({product})");
    assert_judged(&judge("5.5-7-2 a", &product), Outcome::Pass, "");
}

#[rstest]
#[case::to_a_service("('tcp', '10.77.0.2:40001', '10.77.0.1:8883')")]
#[case::by_a_service("('tcp', '10.77.0.1:8883', '10.77.0.2:40001')")]
#[case::without_a_name("('udp', '10.77.0.2:40002', '203.0.113.9:514')")]
#[case::without_a_name_of_ipv6("('udp', '10.77.0.2:40002', '[2001:db8::9]:514')")]
fn what_leaves_the_local_network_fails(#[case] hit: &str) {
    let product = format!("wire: telling(hits = [{hit}])");
    assert_judged(&judge("5.5-7-2 a", &product), Outcome::Fail, "in the clear");
}

#[test]
fn who_began_must_be_known() {
    let product = "wire: telling(hits = [('tcp', '10.77.0.1:50000', '10.77.0.2:80')])";
    let result = judge("5.5-7-2 a", product);
    assert_judged(&result, Outcome::Inconclusive, "who began to speak");
}

#[rstest]
#[case::a_quiet_port(
    "udp_silent = [5353, 5683, 48101]",
    "10.77.0.2: UDP 48101 (it refuses others)"
)]
#[case::of_a_stack_that_limits_its_refusals(
    "udp_silent = list(range(1000, 66000)), udp_untold = list(range(1000, 66000)), udp_closed = 60",
    "64997 of 65535 UDP ports could not be told"
)]
#[case::quiet_among_untold(
    "udp_silent = [53, 5353, 9000], udp_untold = [53]",
    "UDP 9000 (it refuses others); 10.77.0.2: 1 of 65535 UDP ports"
)]
#[case::tcp_behind_a_filter(
    "tcp_silent = list(range(1000, 65000)), tcp_closed = 3",
    "63999 of 65535 TCP ports could not be told: the device drops what comes, and refuses 3"
)]
#[case::quiet_tcp("tcp_silent = [7, 9]", "10.77.0.2: TCP 7, 9")]
fn ports_that_were_not_told_are_not_closed(#[case] product: &str, #[case] why: &str) {
    let product = format!("wire: calling({product})");
    let result = judge("5.6-1-2 c", &product);
    assert_judged(&result, Outcome::Inconclusive, why);
}

#[rstest]
#[case::tcp("tcp_open = [{'port': 443}, {'port': 23}]", "undeclared TCP ports")]
#[case::udp(
    "udp_open = [{'port': 48101}], udp_silent = list(range(1000, 66000)), udp_untold = list(range(1000, 66000))",
    "undeclared UDP ports"
)]
fn open_ports_that_nobody_declared_fail(#[case] product: &str, #[case] why: &str) {
    let product = format!("wire: calling({product})");
    assert_judged(&judge("5.6-1-2 c", &product), Outcome::Fail, why);
}
