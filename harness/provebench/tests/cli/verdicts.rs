use rstest::rstest;
use serde_json::{Value, json};

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";
const FAIL: &str = "t.expect(False, \"{} is left\", \"user data\")";
const INCONCLUSIVE: &str = "t.inconclusive(\"can't tell\")";
const ERROR: &str = "t.probe.read(0, 4)";

/// FAIL outweighs what the bench could not do, that outweighs INCONCLUSIVE.
#[rstest]
#[case::pass(&[PASS, PASS], 0)]
#[case::fail(&[PASS, FAIL], 1)]
#[case::error(&[ERROR, PASS], 3)]
#[case::inconclusive(&[PASS, INCONCLUSIVE], 4)]
#[case::fail_and_error(&[ERROR, FAIL], 1)]
#[case::fail_and_inconclusive(&[FAIL, INCONCLUSIVE], 1)]
#[case::error_and_inconclusive(&[INCONCLUSIVE, ERROR], 3)]
fn exit_codes_tell_the_worst(#[case] bodies: &[&str], #[case] code: i32) {
    let cli = Cli::new();
    let units: Vec<(char, &str)> = ('a'..).zip(bodies.iter().copied()).collect();
    cli.case("5.1-1-2", "", &units);
    cli.run(&[]).code(code);
}

#[rstest]
#[case::missing_probe("needs = [\"probe\"]", "has no probe", "missing")]
#[case::missing_function("needs = [\"dut.update\"]", "no function update", "missing")]
#[case::missing_for_state("state = \"initialized\"", "no function to_initialized", "missing")]
#[case::missing_to_bring_it_back(
    "alters_firmware = True",
    "alters the firmware, and nothing can bring it back",
    "missing"
)]
#[case::missing_of_all_units(
    "unit_needs = {\"a\": [\"siblings\"]}",
    "no other device of the target has a label",
    "missing"
)]
fn what_could_not_be_run_is_inconclusive(
    #[case] arguments: &str,
    #[case] reason: &str,
    #[case] kind: &str,
) {
    let cli = Cli::new();
    cli.passing();
    cli.case("5.11-1-2", arguments, &[('a', PASS)]);
    let output = text(&cli.run(&[]).code(4).get_output().stdout);
    assert!(output.contains(reason), "in the plan: {output}");
    let results = cli.results();
    let skip = &results["devices"][0]["cases"]["5.11-1-2"]["skip"];
    assert_eq!(skip["kind"], kind);
    assert!(skip["reason"].as_str().unwrap().contains(reason), "{skip}");
    assert_eq!(results["counts"]["skipped"], 2);
    assert_eq!(results["verdict"], "inconclusive");
}

/// A unit that lacks something is left out, and told with its reason; one that could not try everything may fail, but
/// does not pass.
#[rstest]
#[case::passes(PASS, "inconclusive", 4)]
#[case::fails(FAIL, "fail", 1)]
fn units_lack_what_they_lack_one_by_one(
    #[case] body: &str,
    #[case] verdict: &str,
    #[case] code: i32,
) {
    let cli = Cli::new();
    cli.case(
        "5.1-1-2",
        "unit_needs = {\"a\": [\"power\"]}, pass_needs = {\"b\": [\"siblings\"], \"c\": [\"console\"]}",
        &[('a', FAIL), ('b', body), ('c', PASS)],
    );
    let plan = text(&cli.command(&["plan"]).assert().code(0).get_output().stdout);
    for told in [
        "not run: 5.1-1-2 a  the bench of this device has no power",
        "can't pass: 5.1-1-2 b  no other device of the target has a label",
    ] {
        assert!(plan.contains(told), "{told} in {plan}");
    }
    cli.run(&[]).code(code);
    let case = &cli.results()["devices"][0]["cases"]["5.1-1-2"];
    assert_eq!(case["verdict"], verdict);
    let told = |unit: &Value| {
        let message = unit["message"].as_str().unwrap_or_default();
        format!("{} {message}", unit["outcome"].as_str().unwrap())
    };
    let told: Vec<String> = case["units"].as_array().unwrap().iter().map(told).collect();
    assert!(
        told[0].starts_with("inconclusive not run: the bench of this device has no power"),
        "{told:?}"
    );
    let second = match verdict {
        "fail" => "fail user data is left",
        _ => {
            "inconclusive what could be tried passed; but no other device of the target has a label"
        }
    };
    assert!(told[1].starts_with(second), "{told:?}");
    assert_eq!(told[2], "pass ");
    let junit = text(&cli.read("runs/latest/junit.xml"));
    assert!(
        junit.contains("not run: the bench of this device has no power"),
        "{junit}"
    );
}

#[rstest]
#[case::recommended("5.11-2", "no", "not-applicable", "recommended, and not met", json!(null), 0)]
#[case::not_applicable("5.1-4", "n/a", "not-applicable", "is not applicable according", json!(null), 0)]
#[case::recommended_and_not_applicable("5.11-2", "n/a", "not-applicable", "is not applicable according", json!(null), 0)]
#[case::mandatory("5.11-1", "no", "not-met", "mandatory, and not met", json!("fail"), 1)]
#[case::mandatory_without_condition("5.11-1", "n/a", "not-met", "mandatory for every product, and not applicable", json!("fail"), 1)]
fn what_the_supplier_says_of_a_provision_counts(
    #[case] provision: &str,
    #[case] support: &str,
    #[case] kind: &str,
    #[case] why: &str,
    #[case] verdict: Value,
    #[case] code: i32,
) {
    let cli = Cli::new();
    cli.passing();
    let id = format!("{provision}-2");
    cli.case(&id, "", &[('a', FAIL)]);
    let claim =
        format!("\"{provision}\" = {{ support = \"{support}\", detail = \"no user data\" }}\n");
    cli.bench.write(crate::TestBench::ICS_FILE, claim);
    let output = text(&cli.run(&[]).code(code).get_output().stdout);
    assert!(output.contains("no user data"), "{output}");
    let results = cli.results();
    let case = &results["devices"][0]["cases"][&id];
    let reason = if kind == "not-met" {
        &case["not_met"]
    } else {
        assert_eq!(case["skip"]["kind"], kind);
        &case["skip"]["reason"]
    };
    let reason = reason.as_str().unwrap();
    assert!(reason.contains(why), "{reason}");
    assert_eq!(case["verdict"], verdict);
    let junit = text(&cli.read("runs/latest/junit.xml"));
    assert_eq!(junit.contains("<failure"), verdict == "fail", "{junit}");
}

#[test]
fn nothing_applicable_is_no_success() {
    let cli = Cli::new();
    cli.passing();
    let claim = "\"5.1-1\" = { support = \"n/a\", detail = \"no passwords\" }\n";
    cli.bench.write(crate::TestBench::ICS_FILE, claim);
    cli.run(&[]).code(4);
}

/// All units run, on all devices, and each outcome is told with its reason and place.
#[test]
fn one_failure_hides_nothing() {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', FAIL), ('b', ERROR), ('c', PASS)]);
    cli.case("5.1-5-2", "", &[('a', PASS), ('b', INCONCLUSIVE)]);
    let output = text(&cli.run(&[]).code(1).get_output().stdout);
    for said in [
        "user data is left",
        "5.1-1-2.star:7",
        "can't tell",
        "no debug probe",
    ] {
        assert!(output.contains(said), "{said} in {output}");
    }
    let results = cli.results();
    assert_eq!(
        results["counts"],
        json!({"pass": 4, "fail": 2, "error": 2, "inconclusive": 2, "skipped": 0})
    );
    for device in results["devices"].as_array().unwrap() {
        let outcomes = |case: &str| -> Vec<String> {
            let units = device["cases"][case]["units"].as_array().unwrap();
            let text = |unit: &serde_json::Value| unit["outcome"].as_str().unwrap().to_owned();
            units.iter().map(text).collect()
        };
        assert_eq!(outcomes("5.1-1-2"), ["fail", "error", "pass"]);
        assert_eq!(outcomes("5.1-5-2"), ["pass", "inconclusive"]);
        assert_eq!(device["cases"]["5.1-1-2"]["verdict"], "fail");
        assert_eq!(device["cases"]["5.1-5-2"]["verdict"], "inconclusive");
    }
}

#[test]
fn a_broken_bench_stops_no_other_device() {
    let cli = Cli::new();
    cli.passing();
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    let devices = text(&cli.read("devices.toml"));
    cli.bench.write(
        "devices.toml",
        devices.replacen("/dev/pts/", "/dev/no-such-port", 1),
    );
    let output = text(&cli.run(&[]).code(3).get_output().stdout);
    assert!(output.contains("/dev/no-such-port"), "{output}");
    let results = cli.results();
    assert_eq!(
        results["counts"],
        json!({"pass": 2, "fail": 0, "error": 1, "inconclusive": 0, "skipped": 1})
    );
    assert_eq!(results["devices"][0]["errors"].as_array().unwrap().len(), 1);
    assert_eq!(results["devices"][0]["verdict"], "inconclusive");
    assert_eq!(results["devices"][1]["verdict"], "pass");
}

#[test]
fn a_case_past_its_deadline_is_an_error_of_the_rest() {
    let cli = Cli::new();
    cli.case(
        "5.1-1-2",
        "deadline = 0.2",
        &[('a', PASS), ('b', "t.wait(600, \"too long\")"), ('c', PASS)],
    );
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    cli.run(&["one"]).code(3);
    let results = cli.results();
    let units = &results["devices"][0]["cases"]["5.1-1-2"]["units"];
    assert_eq!(units[0]["outcome"], "pass");
    assert_eq!(units[1]["outcome"], "error");
    assert_eq!(units[2]["outcome"], "error");
    assert!(units[2]["message"].as_str().unwrap().contains("deadline"));
    assert_eq!(
        results["devices"][0]["cases"]["5.11-1-2"]["verdict"],
        "pass"
    );
}

#[test]
fn an_endless_script_ends_at_its_deadline() {
    let cli = Cli::new();
    let endless = "[x for a in range(100000) for b in range(100000) for x in [a]]";
    cli.case("5.1-1-2", "deadline = 0.5", &[('a', endless)]);
    cli.run(&["one"]).code(3);
}

#[rstest]
#[case::device(&["one"], &["one"], &["5.1-1-2", "5.11-1-2", "5.3-2-2"])]
#[case::clause(&["5.1"], &["one", "two"], &["5.1-1-2"])]
#[case::group(&["5.11-1"], &["one", "two"], &["5.11-1-2"])]
#[case::several(&["5.1", "5.3-2-2", "two"], &["two"], &["5.1-1-2", "5.3-2-2"])]
#[case::tag_of_a_case(&["--tag", "erase"], &["one", "two"], &["5.11-1-2"])]
#[case::tag_of_a_device(&["--tag", "right"], &["two"], &["5.1-1-2", "5.11-1-2", "5.3-2-2"])]
#[case::both(&["--tag", "right", "--tag", "erase"], &["two"], &["5.11-1-2"])]
fn filters_select(#[case] filter: &[&str], #[case] devices: &[&str], #[case] cases: &[&str]) {
    let cli = Cli::new();
    cli.passing();
    cli.case("5.11-1-2", "tags = [\"erase\"]", &[('a', PASS)]);
    cli.case("5.3-2-2", "", &[('a', PASS)]);
    cli.run(filter).code(0);
    let results = cli.results();
    let ran = results["devices"].as_array().unwrap();
    let names: Vec<&str> = ran.iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, devices);
    for device in ran {
        let mut ids: Vec<&String> = device["cases"].as_object().unwrap().keys().collect();
        let mut expected = cases.to_vec();
        ids.sort();
        expected.sort_unstable();
        assert_eq!(ids, expected);
    }
}

#[test]
fn the_same_seed_gives_the_same_random_data() {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', "t.fail(\"{}\", t.canary(\"x\"))")]);
    let draw = |seed: &str| {
        cli.run(&["one", "--seed", seed]).code(1);
        let results = cli.results();
        let unit = &results["devices"][0]["cases"]["5.1-1-2"]["units"][0];
        unit["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(draw("7"), draw("7"));
    assert_ne!(draw("7"), draw("8"));
}
