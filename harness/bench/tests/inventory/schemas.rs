//! The schemas that are published must agree with what is read.

use provebench_bench::inventory::{SchemaKind, schema};
use rstest::rstest;
use serde_json::Value;

use provebench_testing::{DEVICES, TARGET};

const ICS: &str =
    "\"5.1-1\" = { support = \"n/a\" }\n\"5.6-4A\" = { support = \"yes\", detail = \"x\" }";
const IXIT: &str = "[[1-AuthMech]]\nid = \"x\"\nfactors = [1, 2]\n[[29-InpVal]]\n";
/// For the last device.
const NETWORK: &str = "network = { interface = \"enp3s0\", vlan = 42 }\n";

/// For a target.
const NETWORKS: &str = r#"
[networks.lan]
gateway = "192.168.8.1"
prefix = 28
leases = 2
ipv6 = "fd00::1"

[services]
time = { kind = "ntp", hosts = ["time.example"] }
api = { kind = "http", host = "api.example", port = 8443, plain_port = 8080, network = "lan" }
"#;

fn complaints(kind: SchemaKind, text: &str) -> Vec<String> {
    let file: Value = toml::from_str(text).expect("it is TOML");
    let validator = jsonschema::draft7::new(&schema(kind)).expect("it is a schema");
    validator
        .iter_errors(&file)
        .map(|error| error.to_string())
        .collect()
}

#[rstest]
#[case(SchemaKind::Devices, DEVICES)]
#[case(SchemaKind::Devices, include_str!("../../../../devices.toml"))]
#[case::with_network(SchemaKind::Devices, &format!("{DEVICES}{NETWORK}"))]
#[case(SchemaKind::Target, TARGET)]
#[case(SchemaKind::Target, include_str!("../../../../targets/reference-sensor/target.toml"))]
#[case::with_services(SchemaKind::Target, &format!("{TARGET}{NETWORKS}"))]
#[case::without_ipv6(SchemaKind::Target, &format!("{TARGET}{NETWORKS}").replace("\"fd00::1\"", "false"))]
#[case(SchemaKind::Ics, ICS)]
#[case(SchemaKind::Ics, include_str!("../../../../targets/reference-sensor/ics.toml"))]
#[case(SchemaKind::Ixit, IXIT)]
#[case(SchemaKind::Ixit, include_str!("../../../../targets/reference-sensor/ixit.toml"))]
fn a_right_file_is_accepted(#[case] kind: SchemaKind, #[case] text: &str) {
    assert_eq!(complaints(kind, text), Vec::<String>::new());
}

#[rstest]
#[case::unknown_key(SchemaKind::Devices, DEVICES.replace("tags", "tagz"))]
#[case::missing_key(SchemaKind::Devices, DEVICES.replace("name = \"wired\"", ""))]
#[case::unknown_driver(SchemaKind::Devices, DEVICES.replace("\"tasmota\"", "\"tasmotta\""))]
#[case::unknown_key_of_power(SchemaKind::Devices, DEVICES.replace("relay = 1", "relais = 1"))]
#[case::unknown_protocol(SchemaKind::Devices, DEVICES.replace("\"swd\"", "\"swdd\""))]
#[case::vlan_out_of_range(SchemaKind::Devices, format!("{DEVICES}{NETWORK}").replace("42", "4095"))]
#[case::unknown_key_of_network(SchemaKind::Devices, format!("{DEVICES}{NETWORK}").replace("interface", "tap"))]
#[case::wrong_type(SchemaKind::Devices, DEVICES.replace("4000", "\"fast\""))]
#[case::unknown_table(SchemaKind::Target, TARGET.replace("[timing]", "[timings]"))]
#[case::unknown_role(SchemaKind::Target, TARGET.replace("user-data", "userdata"))]
#[case::missing_model(SchemaKind::Target, TARGET.replace("model = \"S-1\"", ""))]
#[case::negative_address(SchemaKind::Target, TARGET.replace("address = 0x0", "address = -1"))]
#[case::unknown_key_of_service(SchemaKind::Target, format!("{TARGET}{NETWORKS}").replace("host =", "name ="))]
#[case::service_of_no_kind(SchemaKind::Target, format!("{TARGET}{NETWORKS}").replace("kind = \"http\", ", ""))]
#[case::too_many_leases(SchemaKind::Target, format!("{TARGET}{NETWORKS}").replace("leases = 2", "leases = 254"))]
#[case::no_prefix(SchemaKind::Target, format!("{TARGET}{NETWORKS}").replace("28", "31"))]
#[case::no_port(SchemaKind::Target, format!("{TARGET}{NETWORKS}").replace("8443", "0"))]
#[case::unknown_provision(SchemaKind::Ics, ICS.replace("5.6-4A", "5.6-4"))]
#[case::unknown_support(SchemaKind::Ics, ICS.replace("n/a", "none"))]
#[case::unknown_ixit_table(SchemaKind::Ixit, IXIT.replace("29-InpVal", "30-InpVal"))]
#[case::ixit_table_that_is_no_list(SchemaKind::Ixit, "[1-AuthMech]".to_owned())]
fn a_wrong_file_is_refused(#[case] kind: SchemaKind, #[case] text: String) {
    assert_ne!(complaints(kind, &text), Vec::<String>::new());
}

#[test]
fn editors_are_told_what_a_provision_is_about() {
    let ics = schema(SchemaKind::Ics);
    let about = ics["properties"]["5.6-4A"]["description"].as_str().unwrap();
    assert_eq!(
        about,
        "Debug interfaces are disabled or protected by software (M F (q))"
    );
}
