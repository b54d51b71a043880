//! Units that are selected of a test case.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";
const FAIL: &str = "t.fail(\"user data is left\")";

/// Two cases: one of three units, the second of which ends so, and one that passes.
fn cli(second: &str) -> Cli {
    let cli = Cli::new();
    cli.case(
        "5.11-1-2",
        "tags = [\"erase\"]",
        &[('a', PASS), ('b', second), ('c', PASS)],
    );
    cli.case("5.1-1-2", "", &[('a', PASS), ('b', PASS)]);
    cli
}

fn case<'a>(results: &'a Value, device: &str, id: &str) -> &'a Value {
    let devices = results["devices"].as_array().unwrap();
    let device = devices.iter().find(|d| d["name"] == device).unwrap();
    &device["cases"][id]
}

/// Units that ran, with those that were not selected in brackets, by device and case.
fn ran(results: &Value) -> String {
    let mut all = Vec::new();
    for device in results["devices"].as_array().unwrap() {
        for (id, case) in device["cases"].as_object().unwrap() {
            let units = case["units"].as_array().unwrap().iter();
            let units: String = units.map(|unit| unit["unit"].as_str().unwrap()).collect();
            let unselected = case["unselected"].as_array();
            let unselected: String = unselected
                .into_iter()
                .flatten()
                .map(|unit| unit.as_str().unwrap())
                .collect();
            let device = device["name"].as_str().unwrap();
            all.push(format!("{device}:{id}:{units}[{unselected}]"));
        }
    }
    all.join(" ")
}

#[rstest]
#[case::one(&["5.11-1-2:b"], "one:5.11-1-2:b[ac]")]
#[case::several(&["5.11-1-2:c,a"], "one:5.11-1-2:ac[b]")]
#[case::with_spaces(&["5.11-1-2: a , b"], "one:5.11-1-2:ab[c]")]
#[case::word_by_word(&["5.11-1-2:a", "5.11-1-2:b"], "one:5.11-1-2:ab[c]")]
#[case::twice(&["5.11-1-2:b,b"], "one:5.11-1-2:b[ac]")]
#[case::all_of_them(&["5.11-1-2:a,b,c"], "one:5.11-1-2:abc[]")]
#[case::beside_the_case(&["5.11-1-2:b", "5.11-1-2"], "one:5.11-1-2:abc[]")]
#[case::beside_its_clause(&["5.11-1-2:b", "5.11"], "one:5.11-1-2:abc[]")]
#[case::beside_another_case(&["5.11-1-2:b", "5.1-1-2"], "one:5.1-1-2:ab[] one:5.11-1-2:b[ac]")]
#[case::by_a_filter(&["-E", "unit(b)"], "one:5.1-1-2:b[a] one:5.11-1-2:b[ac]")]
#[case::by_a_filter_of_a_case(&["-E", "case(5.11-1-2) & unit([bc])"], "one:5.11-1-2:bc[a]")]
#[case::but_one(&["-E", "tag(erase) - unit(a)"], "one:5.11-1-2:bc[a]")]
#[case::narrowed(&["5.11-1-2:a,b", "-E", "unit(b) | unit(c)"], "one:5.11-1-2:b[ac]")]
#[case::unit_that_not_all_have(&["-E", "unit(c)"], "one:5.11-1-2:c[ab]")]
fn units_are_selected(#[case] words: &[&str], #[case] selected: &str) {
    let cli = cli(PASS);
    let mut words = words.to_vec();
    words.push("one");
    let all = !selected.contains("[a") && !selected.contains("[b") && !selected.contains("[c");
    cli.run(&words).code(if all { 0 } else { 4 });
    assert_eq!(ran(&cli.results()), selected);
}

/// A case of which not all units ran does not pass, whatever these came to.
#[rstest]
#[case::passes(PASS, "inconclusive", 4)]
#[case::fails(FAIL, "fail", 1)]
fn the_verdict_rests_on_what_ran(#[case] body: &str, #[case] verdict: &str, #[case] code: i32) {
    let cli = cli(body);
    let output = cli.run(&["one", "5.11-1-2:b"]).code(code);
    let said = text(&output.get_output().stdout);
    let told = if code == 1 {
        "FAIL b (a c not selected)"
    } else {
        "INCONCLUSIVE: PASS of b (a c not selected)"
    };
    let said_in_one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said_in_one_line.contains(told), "{told} in {said}");
    assert!(said.contains("not selected: 5.11-1-2 a, c"), "{said}");
    assert!(said.contains("units not selected: 2"), "{said}");
    assert!(!said.contains("STOPPED"), "{said}");

    let results = cli.results();
    assert_eq!(results["verdict"], verdict);
    assert_eq!(results["counts"]["unselected"], 2);
    assert_eq!(results["counts"]["skipped"], 0);
    let case = case(&results, "one", "5.11-1-2");
    assert_eq!(case["verdict"], verdict);
    assert_eq!(case["unselected"], json!(["a", "c"]));
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let finished = journal.lines().find(|line| line.contains("case-finished"));
    let finished: Value = serde_json::from_str(finished.unwrap()).unwrap();
    assert_eq!(
        finished["verdict"],
        Value::Null,
        "it is folded from the units"
    );

    let junit = text(&cli.read("runs/latest/junit.xml"));
    for unit in ["a", "c"] {
        let name = format!("name=\"5.11-1-2 {unit}\"");
        let (_, after) = junit.split_once(&name).unwrap_or_else(|| panic!("{junit}"));
        let (test, _) = after.split_once("</testcase>").unwrap();
        assert!(
            test.contains("<skipped>") && test.contains("not selected"),
            "{junit}"
        );
    }
    assert!(junit.contains("skipped=\"2\""), "{junit}");
}

#[test]
fn the_plan_says_which_units_run() {
    let cli = cli(PASS);
    let plan = cli
        .command(&["plan", "one", "5.11-1-2:b,c", "5.1"])
        .assert();
    let plan = text(&plan.code(0).get_output().stdout);
    assert!(plan.contains("run 2: 5.1-1-2 5.11-1-2:b,c"), "{plan}");
    assert!(plan.contains("not selected: 5.11-1-2 a"), "{plan}");
}

#[rstest]
#[case::unknown(
    "5.11-1-2:x",
    "test case 5.11-1-2 has no unit `x`",
    "its units are a, b, c"
)]
#[case::capital("5.11-1-2:B", "has no unit `B`", "its units are a, b, c")]
#[case::together("5.11-1-2:ab", "has no unit `ab`", "as in 5.11-1-2:b,d")]
#[case::one_of_two("5.11-1-2:a,d", "has no unit `d`", "its units are a, b, c")]
#[case::none("5.11-1-2:", "has no unit ``", "its units are a, b, c")]
#[case::of_a_group(
    "5.11-1:b",
    "there is no test case `5.11-1`",
    "units are selected of a test case"
)]
#[case::of_nothing("5.12-1-2:b", "there is no test case `5.12-1-2`", "list cases")]
fn wrong_units_are_told_with_those_that_there_are(
    #[case] word: &str,
    #[case] message: &str,
    #[case] help: &str,
) {
    let cli = cli(PASS);
    for command in ["plan", "run"] {
        let output = cli.command(&[command, word]).assert().code(2);
        let said = text(&output.get_output().stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(message), "{message} in {said}");
        assert!(said.contains(help), "{help} in {said}");
    }
}

/// What units that run lack is told, and not what the others do.
#[test]
fn only_selected_units_can_lack_something() {
    let cli = Cli::new();
    cli.case(
        "5.11-1-2",
        "unit_needs = {\"a\": [\"power\"]}",
        &[('a', PASS), ('b', PASS)],
    );
    cli.run(&["one", "5.11-1-2:b"]).code(4);
    let results = cli.results();
    let of_case = case(&results, "one", "5.11-1-2");
    assert_eq!(of_case["units"].as_array().unwrap().len(), 1, "{of_case}");

    let output = cli.run(&["one", "5.11-1-2:a"]).code(4);
    let said = text(&output.get_output().stdout);
    assert!(said.contains("not run: 5.11-1-2"), "{said}");
    let results = cli.results();
    let of_case = case(&results, "one", "5.11-1-2");
    assert_eq!(of_case["skip"]["kind"], "missing", "{of_case}");
}

/// What was not selected is no loss, and what ran is compared.
#[test]
fn units_that_were_not_selected_are_not_compared() {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let only = [
        "one",
        "5.11-1-2:a,b",
        "--baseline",
        "latest",
        "--fail-on",
        "new",
    ];
    let output = cli.run(&only).code(0);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("units not selected now: 5.11-1-2:c"),
        "{said}"
    );
    let results = cli.results();
    assert_eq!(results["changes"]["undecided"], json!([]));
    assert_eq!(results["changes"]["unselected"], json!(["5.1-1-2"]));

    cli.case("5.11-1-2", "", &[('a', PASS), ('b', FAIL), ('c', PASS)]);
    cli.run(&only).code(1);
    // Against a run of some units, the others are no change for the better.
    let output = cli.run(&["one", "5.11", "--baseline", "latest"]).code(1);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("nothing has changed; 1 failing as before"),
        "{said}"
    );
}

/// Whoever goes on with a run runs what that was to run.
#[test]
fn a_resumed_run_keeps_to_its_units() {
    let cli = cli(PASS);
    let words = [
        "one",
        "5.1-1-2:b",
        "5.3-2-2:b",
        "5.11-1-2:c",
        "--deadline",
        "1",
    ];
    cli.case(
        "5.3-2-2",
        "",
        &[('a', PASS), ('b', "t.wait(30.0, \"to be interrupted\")")],
    );
    cli.run(&words).code(130);
    cli.case("5.3-2-2", "", &[('a', PASS), ('b', PASS)]);
    cli.run(&["--resume", "latest"]).code(4);
    let results = cli.results();
    let ran = ran(&results);
    assert_eq!(ran, "one:5.1-1-2:b[a] one:5.11-1-2:c[ab] one:5.3-2-2:b[a]");
    assert_eq!(results["verdict"], "inconclusive");
    assert_eq!(results["counts"]["unselected"], 4);
}
