//! What is said when ixit.toml is wrong.

use provebench_bench::inventory::Inventory;
use rstest::rstest;

use crate::message_text::said;
use provebench_testing::TestBench;

#[rstest]
#[case::not_toml(
    "[[1-AuthMech]\n",
    r"
unclosed array table, expected `]`
  targets/sensor/ixit.toml:1:14 `` here
  help: `provebench schema ixit` prints what the file may hold
"
)]
#[case::unknown_table(
    "[[1-AuthMec]]\nid = \"x\"\n\n[[30-Other]]\nid = \"y\"\n",
    r"
no IXIT table is called `1-AuthMec`
  targets/sensor/ixit.toml:1:3 `1-AuthMec` not known
  help: did you mean `1-AuthMech`?
no IXIT table is called `30-Other`
  targets/sensor/ixit.toml:4:3 `30-Other` not known
  help: there are 29, but none is like it
"
)]
#[case::not_a_list(
    "[1-AuthMech]\nid = \"x\"\n",
    r"
invalid type: map, expected a sequence
  targets/sensor/ixit.toml:1:1 `[1-AuthMech]` here
  help: did you mean `[[1-AuthMech]]`?
"
)]
fn of_an_ixit_it_says(#[case] text: &str, #[case] expected: &str) {
    let bench = TestBench::new();
    bench.write(TestBench::IXIT_FILE, text);
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}
