//! Products without a debug probe: set up by their driver, with a label only, or as they stand.

use rstest::rstest;
use serde_json::Value;

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";

const DRIVER: &str = r#"
def await_ready(d):
    d.log("ready")

def provision(d, images, sample):
    d.log("provision {} as {}", ", ".join(images), sample)

def personalise(d, sample):
    d.log("personalise as {}", sample)
"#;

/// What the driver was asked for before each case, as `5.1-1-2: ready, ...`.
fn prepared(cli: &Cli) -> Vec<String> {
    ["5.1-1-2", "5.3-2-2", "5.3-9-2", "5.4-1-2"]
        .into_iter()
        .filter_map(|case| {
            let steps = format!("runs/latest/cases/one/{case}/steps.jsonl");
            let steps = std::fs::read_to_string(cli.bench.root().join(steps)).ok()?;
            let steps = steps
                .lines()
                .map(|line| -> Value { serde_json::from_str(line).unwrap() });
            let asked = steps.filter(|step| step["name"] == "log" && step["unit"].is_null());
            let asked = asked.map(|step| step["arguments"]["message"].as_str().unwrap().to_owned());
            Some(format!("{case}: {}", asked.collect::<Vec<_>>().join(", ")))
        })
        .collect()
}

/// Programmed and personalised at the start, when a case has altered the firmware, and for another sample.
#[rstest]
#[case::all(true, DRIVER.to_owned(), &[
    "5.1-1-2: ready, provision boot as engineering, personalise as engineering",
    "5.3-2-2: ",
    "5.3-9-2: ready, provision boot as engineering, personalise as engineering",
    "5.4-1-2: ready, provision boot as production, personalise as production",
])]
#[case::no_power(false, DRIVER.to_owned(), &[
    "5.1-1-2: provision boot as engineering, personalise as engineering",
    "5.3-2-2: ",
    "5.3-9-2: provision boot as engineering, personalise as engineering",
    "5.4-1-2: provision boot as production, personalise as production",
])]
#[case::personalised_only(true, DRIVER.replace("def provision", "def _provision"), &[
    "5.1-1-2: ready, personalise as engineering",
    "5.4-1-2: ready, personalise as production",
])]
#[case::as_it_stands(true, DRIVER.replace("def p", "def _p"), &["5.1-1-2: ", "5.4-1-2: "])]
fn the_driver_sets_up_what_has_no_probe(
    #[case] has_power: bool,
    #[case] driver: String,
    #[case] expected: &[&str],
) {
    let cli = Cli::new();
    cli.bench.write("targets/sensor/driver.star", driver);
    if has_power {
        let devices = text(&cli.read("devices.toml"));
        let state = cli.bench.root().join("state");
        let state = state.display();
        let power = format!(
            "power = {{ driver = \"command\", on = [\"sh\", \"-c\", \"echo on > {state}\"], off = [\"sh\", \"-c\", \"echo off > {state}\"], state = [\"cat\", \"{state}\"] }}\n"
        );
        cli.bench.write("state", "on");
        cli.bench.write(
            "devices.toml",
            devices.replacen("\n\n", &format!("\n{power}\n"), 1),
        );
    }
    cli.case("5.1-1-2", "sample = \"engineering\"", &[('a', PASS)]);
    for case in ["5.3-2-2", "5.3-9-2"] {
        cli.case(case, "alters_firmware = True", &[('a', PASS)]);
    }
    cli.case("5.4-1-2", "sample = \"production\"", &[('a', PASS)]);
    cli.run(&["one"]);
    assert_eq!(prepared(&cli), expected);
}

#[test]
fn a_label_is_compared_and_no_more() {
    let cli = Cli::new();
    let label =
        "[[device]]\nname = \"box\"\ntarget = \"sensor\"\nlabel = { password = \"horse\" }\n";
    cli.bench.append("devices.toml", label);
    let sees = "t.expect([s.name for s in t.siblings] == [\"box\"], \"{}\", t.siblings)";
    cli.case("5.1-1-2", "needs = [\"siblings\"]", &[('a', sees)]);
    let plan = text(&cli.command(&["plan"]).assert().code(0).get_output().stdout);
    assert!(
        plan.contains("box  label only: nothing is run on it"),
        "{plan}"
    );
    assert!(plan.contains("1 test case on 2 devices"), "{plan}");
    cli.run(&[]).code(0);
    assert_eq!(cli.results()["devices"].as_array().unwrap().len(), 2);
    let refused = cli.run(&["box"]).code(2);
    let said = text(&refused.get_output().stderr);
    assert!(said.contains("nothing is wired to box"), "{said}");
}

/// What a unit may have left in the firmware is not the next one's: after one that did not pass, all is as at the start.
#[rstest]
#[case::fails("alters_firmware = True", "t.fail(\"it takes a spoiled image\")", 2)]
#[case::is_open(
    "alters_firmware = True",
    "t.inconclusive(\"it takes a spoiled image\")",
    2
)]
#[case::passes("alters_firmware = True", PASS, 1)]
#[case::alters_nothing("", "t.fail(\"it tells a secret\")", 1)]
fn a_unit_that_does_not_pass_is_cleared_up_after(
    #[case] fields: &str,
    #[case] first: &str,
    #[case] provisioned: usize,
) {
    let cli = Cli::new();
    cli.bench.write("targets/sensor/driver.star", DRIVER);
    cli.case("5.3-9-2", fields, &[('a', first), ('b', PASS)]);
    cli.run(&["one"]);
    let steps = text(&cli.read("runs/latest/cases/one/5.3-9-2/steps.jsonl"));
    assert_eq!(
        steps.matches("provision boot as").count(),
        provisioned,
        "{steps}"
    );
    let units = &cli.results()["devices"][0]["cases"]["5.3-9-2"]["units"];
    let outcomes: Vec<_> = units
        .as_array()
        .unwrap()
        .iter()
        .map(|unit| unit["outcome"].clone())
        .collect();
    assert_eq!(outcomes[1..], ["pass"]);
}
