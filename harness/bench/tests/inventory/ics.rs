//! What is said when ics.toml is wrong.

use provebench_bench::inventory::Inventory;
use rstest::rstest;

use crate::message_text::said;
use provebench_testing::TestBench;

#[rstest]
#[case::not_toml(
    "\"5.1-1\" = \n",
    r"
string values must be quoted, expected literal string
  targets/sensor/ics.toml:1:11 `` here
  help: `provebench schema ics` prints what the file may hold
"
)]
#[case::unknown_provision(
    "\"5.1-9\" = { support = \"yes\" }\n",
    r#"
no provision is called `5.1-9`
  targets/sensor/ics.toml:1:1 `"5.1-9"` not known
  help: did you mean `5.1-1`?
"#
)]
#[case::not_a_provision(
    "\"5.1\" = { support = \"yes\" }\n",
    r#"
`5.1` is not a provision identifier, such as `5.11-1` or `5.6-4A`
  targets/sensor/ics.toml:1:1 `"5.1"` here
  help: `provebench schema ics` prints what the file may hold
"#
)]
#[case::unknown_support(
    "\"5.1-1\" = { support = \"maybe\" }\n",
    r#"
unknown variant `maybe`, expected one of `yes`, `no`, `n/a`
  targets/sensor/ics.toml:1:23 `"maybe"` here
  help: `provebench schema ics` prints what the file may hold
"#
)]
#[case::no_support(
    "\"5.1-1\" = { detail = \"on the label\" }\n",
    r#"
missing field `support`
  targets/sensor/ics.toml:1:11 `{ detail = "on the label" }` here
  help: `provebench schema ics` prints what the file may hold
"#
)]
#[case::unknown_key(
    "\"5.1-1\" = { support = \"yes\", details = \"x\" }\n",
    r"
unknown field `details`, expected `support` or `detail`
  targets/sensor/ics.toml:1:30 `details` here
  help: did you mean `detail`?
"
)]
#[case::twice(
    "\"5.1-1\" = { support = \"yes\" }\n\"5.1-1\" = { support = \"no\" }\n",
    r#"
duplicate key
  targets/sensor/ics.toml:2:1 `"5.1-1"` here
  help: `provebench schema ics` prints what the file may hold
"#
)]
fn of_an_ics_it_says(#[case] text: &str, #[case] expected: &str) {
    let bench = TestBench::new();
    bench.write(TestBench::ICS_FILE, text);
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}
