//! Who is called, what is open, and what is told to whom.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

#[rstest]
#[case::nobody_else("")]
#[case::declared_again("calls = [('tcp', '10.77.0.2:50000', '10.77.0.1:8883', ['cloud.example'])]")]
fn products_that_call_whom_they_declare_pass(#[case] product: &str) {
    let product = format!("wire: calling({product})");
    expect("5.6-1-2 c", &product, Outcome::Pass, "");
}

/// A port of theirs, or of the other one, excuses nobody.
#[rstest]
#[case::from_a_served_port(
    "('tcp', '10.77.0.2:443', '203.0.113.9:4444')",
    "tcp to 203.0.113.9:4444"
)]
#[case::from_a_served_udp_port(
    "('udp', '10.77.0.2:5683', '203.0.113.9:5683')",
    "udp to 203.0.113.9:5683"
)]
#[case::to_all_from_elsewhere(
    "('udp', '10.77.0.2:5000', '224.0.0.251:5353')",
    "udp to 224.0.0.251:5353"
)]
#[case::bootp_server_far_away("('udp', '10.77.0.2:68', '203.0.113.9:67')", "udp to 203.0.113.9:67")]
#[case::bootp_client("('udp', '10.77.0.2:5000', '203.0.113.9:68')", "udp to 203.0.113.9:68")]
#[case::bootp_over_tcp("('tcp', '10.77.0.2:5000', '10.77.0.1:67')", "tcp to 10.77.0.1:67")]
#[case::lease_that_is_none("('udp', '10.77.0.2:68', '10.77.0.1:67')", "udp to 10.77.0.1:67")]
#[case::tunnel_of_echoes("('icmp', '10.77.0.2:0', '198.51.100.7:0')", "icmp to 198.51.100.7")]
#[case::tunnel("('ip-47', '10.77.0.2:0', '10.77.0.1:0')", "ip-47 to 10.77.0.1")]
#[case::leases_of_ipv6(
    "('udp', '[fd77::2]:546', '[2001:db8::9]:547')",
    "udp to [2001:db8::9]:547"
)]
fn products_that_call_others_fail(#[case] call: &str, #[case] why: &str) {
    let product = format!("wire: calling(calls = [{call}])");
    let why = format!("undeclared calls: {why}");
    expect("5.6-1-2 c", &product, Outcome::Fail, &why);
}

#[rstest]
#[case::undeclared("{'88e1': 1, '88b5': 7}", "EtherType (how many): 88b5 (7)")]
#[case::ip_that_cannot_be_read("{'0800': 1}", "0800 (1)")]
fn frames_that_are_no_ip_are_named(#[case] ethernet: &str, #[case] why: &str) {
    let product = format!("wire: calling(ethernet = {ethernet})");
    expect("5.6-1-2 c", &product, Outcome::Inconclusive, why);
}

#[test]
fn names_that_nobody_declared_fail() {
    let product = "wire: calling(asked = ['cloud.example', 'stats.example'])";
    expect("5.6-1-2 c", product, Outcome::Fail, "stats.example");
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
    expect("5.5-7-2 a", &product, Outcome::Pass, "");
}

#[rstest]
#[case::to_a_service("('tcp', '10.77.0.2:40001', '10.77.0.1:8883')")]
#[case::by_a_service("('tcp', '10.77.0.1:8883', '10.77.0.2:40001')")]
#[case::without_a_name("('udp', '10.77.0.2:40002', '203.0.113.9:514')")]
#[case::without_a_name_of_ipv6("('udp', '10.77.0.2:40002', '[2001:db8::9]:514')")]
fn what_leaves_the_local_network_fails(#[case] hit: &str) {
    let product = format!("wire: telling(hits = [{hit}])");
    expect("5.5-7-2 a", &product, Outcome::Fail, "in the clear");
}

#[rstest]
#[case::a_query("'/ok?d=H4sIAAAA'", Outcome::Inconclusive, "HTTP GET /ok?d=H4sIAAAA")]
#[case::a_path("'/latest'", Outcome::Pass, "")]
fn what_goes_in_the_clear_may_be_a_secret(
    #[case] path: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values("5.5-6-2 a", "5.5-7-2 a")] unit: &str,
) {
    let product = format!("wire: telling(asks = [{path}])");
    expect(unit, &product, outcome, why);
}

#[test]
fn who_began_must_be_known() {
    let product = "wire: telling(hits = [('tcp', '10.77.0.1:50000', '10.77.0.2:80')])";
    expect(
        "5.5-7-2 a",
        product,
        Outcome::Inconclusive,
        "who began to speak",
    );
}

#[rstest]
#[case::a_quiet_port(
    "udp_silent = [5353, 5683, 48101]",
    "10.77.0.2: UDP 48101 (it refuses others)"
)]
#[case::of_a_stack_that_limits_its_refusals(
    "udp_silent = list(range(1000, 65001)), udp_untold = list(range(1000, 65001))",
    "63998 of 65535 UDP ports could not be told: the device refuses none, or too seldom. Its own list of sockets tells"
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
    expect("5.6-1-2 c", &product, Outcome::Inconclusive, why);
}

#[rstest]
#[case::tcp("tcp_open = [{'port': 443}, {'port': 23}]", "undeclared TCP ports")]
#[case::udp(
    "udp_open = [{'port': 48101}], udp_silent = list(range(1000, 9000)), udp_untold = list(range(1000, 9000))",
    "undeclared UDP ports"
)]
fn open_ports_that_nobody_declared_fail(#[case] product: &str, #[case] why: &str) {
    let product = format!("wire: calling({product})");
    expect("5.6-1-2 c", &product, Outcome::Fail, why);
}

const UNTOLD: &str = "udp_silent = list(range(1000, 65001)), udp_untold = list(range(1000, 65001))";

/// What the product's own list of sockets settles, told by its driver or by an assessor: never against what a scan shows.
#[rstest]
#[case::as_declared("[5353, 5683]", Outcome::Pass, "")]
#[case::with_the_client_for_addresses("[68, 546, 5353, 5683]", Outcome::Pass, "")]
#[case::with_the_port_of_a_call("[5353, 40000]", Outcome::Pass, "")]
#[case::nothing("[]", Outcome::Pass, "")]
#[case::undeclared(
    "[5353, 5683, 9000]",
    Outcome::Fail,
    "listens at ports that nobody declared: 9000"
)]
#[case::maybe_a_client("[5353, 48101]", Outcome::Inconclusive, "48101")]
fn lists_of_sockets_settle_what_could_not_be_told(
    #[case] list: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values("sockets", "assessor")] by: &str,
) {
    let product = format!("wire: calling({by} = {list}, {UNTOLD})");
    for unit in ["5.6-1-2 c", "5.5-5-2 b", "5.3-10-1 c"] {
        expect(unit, &product, outcome, why);
    }
}

#[rstest]
#[case::of_which_one_answered(
    "assessor = [5353], udp_open = [{'port': 5683}]",
    "5683 answered, and is not in it"
)]
#[case::in_words("said = 'only the declared ones'", "Numbers are needed")]
#[case::empty("said = ' '", "Numbers are needed")]
#[case::out_of_range("said = '70000'", "Numbers are needed")]
fn lists_of_sockets_that_cannot_be_right_settle_nothing(#[case] product: &str, #[case] why: &str) {
    let product = format!("wire: calling({product}, {UNTOLD})");
    expect("5.6-1-2 c", &product, Outcome::Inconclusive, why);
}

/// A port that is quiet where others refuse is one at which something listens, whatever a list says.
#[test]
fn lists_of_sockets_settle_no_port_of_which_something_is_known() {
    let product =
        "wire: calling(sockets = [5353, 5683], udp_silent = [9000, 9001], udp_untold = [9001])";
    expect(
        "5.6-1-2 c",
        product,
        Outcome::Inconclusive,
        "UDP 9000 (it refuses others)",
    );
}

#[rstest]
#[case::udp("udp_open = [{'port': 69}]", Outcome::Fail, "undeclared UDP ports")]
#[case::tcp(
    "tcp_open = [{'port': 443}, {'port': 21}]",
    Outcome::Fail,
    "undeclared TCP ports"
)]
#[case::udp_of_a_tcp_port("udp_open = [{'port': 443}]", Outcome::Fail, "undeclared UDP ports")]
#[case::quiet(
    "udp_silent = [69]",
    Outcome::Inconclusive,
    "UDP 69 (it refuses others)"
)]
#[case::quiet_tcp("tcp_silent = [21]", Outcome::Inconclusive, "TCP 21")]
#[case::none("", Outcome::Pass, "")]
fn ways_for_updates_are_looked_for_on_tcp_and_udp(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("wire: calling({product})");
    expect("5.3-10-1 c", &product, outcome, why);
}

const PHYSICAL: &str = "{'id': 'PhyIntf-Lan', 'interface': 'network'}";

#[rstest]
#[case::declared(PHYSICAL, Outcome::Pass, "")]
#[case::nothing("", Outcome::Inconclusive, "declares no physical interface")]
#[case::another(
    "{'id': 'PhyIntf-Usb', 'description': 'USB'}",
    Outcome::Inconclusive,
    "reaches the device by network"
)]
fn physical_interfaces_are_declared(
    #[case] rows: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("wire: calling(physical = [{rows}])");
    expect("5.6-1-2 b", &product, outcome, why);
}

#[rstest]
#[case::all_enabled(PHYSICAL, Outcome::Pass, "")]
#[case::online_though_disabled(
    "{'id': 'PhyIntf-Lan', 'interface': 'network', 'status': 'disabled'}",
    Outcome::Fail,
    "PhyIntf-Lan is declared as disabled, and the device is online"
)]
#[case::a_radio(
    "{'id': 'PhyIntf-Radio', 'status': 'disabled: not used'}",
    Outcome::Inconclusive,
    "PhyIntf-Radio"
)]
#[case::a_console_that_is_silent(
    "{'id': 'PhyIntf-Uart', 'interface': 'console', 'status': 'disabled'}",
    Outcome::Pass,
    ""
)]
#[case::a_console_that_is_not(
    "{'id': 'PhyIntf-Uart', 'debug': 'console', 'status': 'disabled'}], prints = ['U-Boot']+[",
    Outcome::Fail,
    "PhyIntf-Uart is declared as disabled, and the console says"
)]
fn physical_interfaces_are_in_their_declared_state(
    #[case] rows: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("wire: calling(physical = [{rows}])");
    expect("5.6-1-2 a", &product, outcome, why);
}

/// What is declared and was neither used nor could be looked for is named.
#[rstest]
#[case::login(
    "'1-AuthMech': [{'id': 'web', 'interface': 'network'}, {'id': 'AuthMech-Ssh', 'interface': 'ssh'}]",
    "AuthMech-Ssh"
)]
#[case::secret(
    "'10-SecParam': [{'id': 'password', 'label': 'password'}, {'id': 'SecParam-Wifi'}]",
    "SecParam-Wifi"
)]
#[case::protection(
    "'11-SecComMech': [{'id': 'cloud', 'service': 'mqtt'}, {'id': 'SecComMech-Ble'}]",
    "SecComMech-Ble"
)]
fn what_was_not_used_is_named(
    #[case] rows: &str,
    #[case] why: &str,
    #[values("5.5-6-2 a", "5.5-7-2 a")] unit: &str,
) {
    let product = format!("wire: telling(rows = {{{rows}}})");
    expect(unit, &product, Outcome::Inconclusive, why);
}

#[test]
fn secrets_in_the_clear_fail_beside_what_was_not_used() {
    let product = "wire: telling(hits = [('tcp', '10.77.0.2:40001', '10.77.0.1:8883')], rows = {'11-SecComMech': [{'id': 'SecComMech-Ble'}]})";
    for unit in ["5.5-6-2 a", "5.5-7-2 a"] {
        expect(unit, product, Outcome::Fail, "in the clear");
    }
}
