//! What floods the evidence does not fill the disk, and does not change a verdict.

use std::fs::File;
use std::io::Write as _;
use std::thread;

use serde_json::{Value, json};

use crate::{Cli, text};

/// 64 KiB, the least.
fn limited(cli: &Cli) {
    let devices = text(&cli.read("devices.toml"));
    cli.bench
        .write("devices.toml", format!("log_limit = \"64 KiB\"\n{devices}"));
}

fn notes(cli: &Cli) -> (String, String) {
    let results = cli.results();
    let unit = &results["devices"][0]["cases"]["5.11-1-2"]["units"][0];
    assert_eq!(unit["outcome"], "pass", "{unit}");
    let junit = text(&cli.read("runs/latest/junit.xml"));
    (unit["notes"].to_string(), junit)
}

#[test]
fn a_console_that_floods_leaves_a_bounded_log_that_says_so() {
    let cli = Cli::new();
    limited(&cli);
    cli.case(
        "5.11-1-2",
        "",
        &[(
            'a',
            "t.console.line(\"go\")\n    t.console.expect(\"line 000000\", timeout = 60)\n    \
             t.console.expect(\"that was all\", timeout = 60)",
        )],
    );
    let mut dut = File::from(cli.consoles[0].master.try_clone().unwrap());
    let mut go = dut.try_clone().unwrap();
    thread::spawn(move || {
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"go") {
            let read = std::io::Read::read(&mut go, &mut byte).unwrap();
            asked.extend_from_slice(&byte[..read]);
        }
        for n in 0..20_000 {
            writeln!(dut, "line {n:06}").unwrap();
        }
        dut.write_all(b"that was all\n").unwrap();
    });
    let said = cli.run(&["one"]).code(0).get_output().stdout.clone();
    let told = "console.log is not whole: ";
    assert!(text(&said).contains(told), "{}", text(&said));
    let (notes, junit) = notes(&cli);
    assert!(notes.contains(told) && notes.contains("64 KiB"), "{notes}");
    assert!(junit.contains(told), "{junit}");
    let log = text(&cli.read("runs/latest/cases/one/5.11-1-2/console.log"));
    assert!((60_000..66_000).contains(&log.len()), "{} bytes", log.len());
    for kept in ["line 000000", "that was all", "were left out here"] {
        assert!(log.contains(kept), "{kept}");
    }
}

#[test]
fn a_script_that_floods_leaves_bounded_steps_that_say_so() {
    let cli = Cli::new();
    limited(&cli);
    let body = "for n in range(2000):\n        t.log(\"step {} of many\", n)";
    cli.case("5.11-1-2", "", &[('a', body)]);
    let said = cli.run(&["one"]).code(0).get_output().stdout.clone();
    let told = "steps.jsonl is not whole: ";
    assert!(text(&said).contains(told), "{}", text(&said));
    let (notes, junit) = notes(&cli);
    assert!(
        notes.contains(told) && junit.contains(told),
        "{notes} {junit}"
    );
    let steps = text(&cli.read("runs/latest/cases/one/5.11-1-2/steps.jsonl"));
    assert!(
        (60_000..66_000).contains(&steps.len()),
        "{} bytes",
        steps.len()
    );
    let steps: Vec<Value> = steps
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let marks = steps.iter().filter(|step| step["name"] == "left_out");
    let marks: Vec<&Value> = marks.map(|step| &step["result"]).collect();
    let kept = steps.len() - marks.len();
    assert_eq!(marks[0], &json!({ "from": "here on" }));
    assert_eq!(marks[1]["steps"], 2000 - kept, "{marks:?}");
    assert_eq!(steps[0]["number"], 1);
    assert_eq!(steps.last().unwrap()["number"], 2000);
}

#[test]
fn a_limit_that_is_none_is_told_with_its_place() {
    let cli = Cli::new();
    cli.passing();
    let devices = text(&cli.read("devices.toml"));
    cli.bench
        .write("devices.toml", format!("log_limit = \"much\"\n{devices}"));
    let output = cli.command(&["check"]).assert().code(2);
    let output = output.get_output();
    let said = text(&[&output.stderr[..], &output.stdout].concat()).replace("\n  │ ", " ");
    assert!(said.contains("devices.toml:1"), "{said}");
    assert!(said.contains("64 MiB"), "{said}");
}
