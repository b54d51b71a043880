use std::time::{Duration, Instant};

use rstest::rstest;

use crate::{Cli, TestBench, text};

#[test]
fn plan_says_what_runs_and_why_not_the_rest() {
    let cli = Cli::new();
    cli.passing();
    cli.case(
        "5.11-1-2",
        "needs = [\"power.cut_at_write\"]",
        &[('a', "pass")],
    );
    cli.case("5.3-2-2", "", &[('a', "pass")]);
    cli.bench.write(
        TestBench::ICS_FILE,
        "\"5.3-2\" = { support = \"n/a\", detail = \"never updated\" }\n",
    );
    let said = text(&cli.command(&["plan"]).assert().code(0).get_output().stdout);
    assert!(said.contains("3 test cases on 2 devices"), "{said}");
    assert!(
        said.contains("one, two"),
        "devices alike are told once: {said}"
    );
    assert!(said.contains("5.1-1-2"), "{said}");
    assert!(said.contains("has no power.cut_at_write"), "{said}");
    assert!(said.contains("never updated"), "{said}");
    assert!(!cli.bench.root().join("runs").exists());
}

#[test]
fn planning_takes_no_time() {
    let cli = Cli::new();
    for n in 1..=5 {
        cli.case(&format!("5.1-{n}-2"), "", &[('a', "pass")]);
    }
    let mut command = cli.command(&["plan"]);
    let began = Instant::now();
    command.assert().code(0);
    // The budget is 100 ms for the whole shipped suite; this allows for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[rstest]
#[case("devices", &["one", "two", "left"])]
#[case("cases", &["5.1-1-2", "What 5.1-1-2 shows."])]
#[case("targets", &["sensor", "S-1", "nRF52840_xxAA"])]
fn lists(#[case] what: &str, #[case] shown: &[&str]) {
    let cli = Cli::new();
    cli.passing();
    let said = text(
        &cli.command(&["list", what])
            .assert()
            .code(0)
            .get_output()
            .stdout,
    );
    for word in shown {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[rstest]
#[case("devices")]
#[case("target")]
#[case("ics")]
#[case("ixit")]
#[case("wiring")]
fn schemas_are_json(#[case] what: &str) {
    let cli = Cli::new();
    let said = cli
        .command(&["schema", what])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let schema: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert!(schema["$schema"].is_string(), "{schema}");
}

#[test]
fn check_is_content_with_what_is_right() {
    let cli = Cli::new();
    cli.passing();
    let said = text(&cli.command(&["check"]).assert().code(0).get_output().stdout);
    assert!(said.contains("1 test case, 2 devices, 1 target"), "{said}");
}

#[test]
fn check_tells_all_that_is_wrong() {
    let cli = Cli::new();
    cli.passing();
    cli.case("5.11-1-2", "state = \"broken\"", &[('a', "pass")]);
    cli.bench
        .write("testcases/5.1/5.1-5-2.star", "def unit_a(t)\n");
    cli.bench.write(
        "targets/sensor/driver.star",
        "def login():\n    return undefined\n",
    );
    cli.bench.remove("targets/sensor/boot.bin");
    let said = text(&cli.command(&["check"]).assert().code(2).get_output().stderr);
    for wrong in ["5.11-1-2.star", "5.1-5-2.star", "driver.star", "boot.bin"] {
        assert!(said.contains(wrong), "{wrong} in {said}");
    }
}

#[rstest]
#[case::power(&["power", "one", "status"], "power switch")]
#[case::flash(&["flash", "one"], "debug probe")]
fn equipment_that_is_missing_is_named(#[case] arguments: &[&str], #[case] missing: &str) {
    let cli = Cli::new();
    let output = cli.command(arguments).assert().code(3).get_output().clone();
    let said = text(&output.stderr);
    assert!(
        said.contains(missing) && said.contains("devices.toml"),
        "{said}"
    );
}
