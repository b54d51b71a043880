//! How it looks on a terminal.

use miette::{GraphicalReportHandler, GraphicalTheme};
use provebench_bench::inventory::Inventory;

use provebench_testing::TestBench;

fn on_terminal(bench: &TestBench) -> String {
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut text, &err)
        .unwrap();
    let text = text.replace(&format!("{}/", bench.root().display()), "");
    text.lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect()
}

#[test]
fn one_problem_is_shown_by_itself() {
    let bench = TestBench::new();
    bench.replace("devices.toml", "tags = ", "tagz = ");
    let expected = r#"
  × unknown field `tagz`, expected one of `name`, `target`, `tags`, `images`, `label`, `options`,
  │ `provider`, `virtual`, `probe`, `console`, `power`, `network`, `carrier`, `actuators`
   ╭─[devices.toml:4:1]
 3 │ target = "sensor"
 4 │ tagz = ["bench1"]
   · ──┬─
   ·   ╰── here
 5 │ label = { serial = "S1", password = "*************" }
   ╰────
  help: did you mean `tags`?
"#;
    assert_eq!(format!("\n{}", on_terminal(&bench)), expected);
}

#[test]
fn several_problems_are_all_shown() {
    let bench = TestBench::new();
    bench.replace("devices.toml", "\"emulated\"", "\"wired\"");
    bench.replace("devices.toml", "flaw = ", "flow = ");
    let expected = r#"
  × 2 problems in the inventory

Error:
  × two devices are called `wired`
   ╭─[devices.toml:2:8]
 1 │ [[device]]
 2 │ name = "wired"
   ·        ───┬───
   ·           ╰── first here
 3 │ target = "sensor"
   ╰────
    ╭─[devices.toml:13:8]
 12 │ [[device]]
 13 │ name = "wired"
    ·        ───┬───
    ·           ╰── the same name again
 14 │ target = "sensor"
    ╰────
  help: give each device a name of its own

Error:
  × no option of target `sensor` is called `flow`
   ╭─[devices.toml:6:13]
 5 │ label = { serial = "S1", password = "*************" }
 6 │ options = { flow = "none" }
   ·             ──┬─
   ·               ╰── not known
 7 │ probe = { selector = "1366:1015:0001", protocol = "swd", speed_khz = 4000 }
   ╰────
  help: did you mean `flaw`?
"#;
    assert_eq!(format!("\n{}", on_terminal(&bench)), expected);
}
