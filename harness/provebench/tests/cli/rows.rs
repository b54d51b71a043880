//! Units that run for each row of the IXIT: their results wherever results are told.

use std::process::Stdio;

use rstest::rstest;

use crate::resume::until_journal_has;
use crate::{Cli, text};

const IXIT: &str = "[[25-DelFunc]]\nid = \"DelFunc-Button\"\n\n[[25-DelFunc]]\nid = \"DelFunc-App\"\nfails = true\n\n[[25-DelFunc]]\nid = \"DelFunc-Cloud\"\nlong = true\n";

/// A unit for each way to delete.
fn bench(body: &str) -> Cli {
    let cli = Cli::new();
    cli.bench.write("targets/sensor/ixit.toml", IXIT);
    write_case(&cli, body);
    cli
}

fn write_case(cli: &Cli, body: &str) {
    let script = format!(
        "\"\"\"What is stored can be erased.\"\"\"\n\ncase(id = \"5.11-1-2\", for_each = \"25-DelFunc\", deadline = 3600)\n\n\
         def unit_a(t):\n    \"Once.\"\n    t.log(\"once\")\n\n\
         def unit_b(t, row):\n    \"For each.\"\n    {body}\n"
    );
    cli.bench.write("testcases/5.11-1-2.star", script);
}

#[test]
fn each_row_has_a_result_of_its_own() {
    let cli = bench("t.expect(not row.get(\"fails\"), \"{} does not erase\", row)");
    let output = cli.run(&["one"]).code(1);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("b [DelFunc-App] FAIL: DelFunc-App does not erase"),
        "{said}"
    );
    let results = cli.results();
    let case = &results["devices"][0]["cases"]["5.11-1-2"];
    let units = case["units"].as_array().unwrap().iter();
    let units: Vec<(&str, &str)> = units
        .map(|unit| {
            (
                unit["unit"].as_str().unwrap(),
                unit["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        units,
        [
            ("a", "pass"),
            ("b [DelFunc-Button]", "pass"),
            ("b [DelFunc-App]", "fail"),
            ("b [DelFunc-Cloud]", "pass"),
        ]
    );
    assert_eq!(case["verdict"], "fail");
    let junit = text(&cli.read("runs/latest/junit.xml"));
    assert!(junit.contains("name=\"5.11-1-2 b [DelFunc-App]"), "{junit}");
    assert!(text(&cli.read("runs/latest/journal.jsonl")).contains("\"unit\":\"b [DelFunc-App]\""));

    // What changed is told row by row.
    write_case(
        &cli,
        "t.expect(row.id == \"DelFunc-App\", \"{} does not erase\", row)",
    );
    let output = cli.run(&["one", "--baseline", "latest"]).code(1);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("5.11-1-2 b [DelFunc-Button]  PASS -> FAIL"),
        "{said}"
    );
    assert!(
        said.contains("5.11-1-2 b [DelFunc-App]  FAIL -> PASS"),
        "{said}"
    );
}

#[test]
fn the_plan_tells_rows_and_where_there_are_none() {
    let cli = bench("t.log(\"{}\", row)");
    let output = cli.command(&["plan"]).assert().code(0);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("for each of DelFunc-Button, DelFunc-App, DelFunc-Cloud: 5.11-1-2 b"),
        "{said}"
    );
    let output = cli.command(&["list", "cases"]).assert().code(0);
    let said = text(&output.get_output().stdout);
    assert!(said.contains("b [25-DelFunc]"), "{said}");
    cli.bench.write("targets/sensor/ixit.toml", "");
    let output = cli.command(&["plan"]).assert().code(0);
    let said = text(&output.get_output().stdout);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("can't pass: 5.11-1-2 b IXIT 25-DelFunc declares nothing"),
        "{said}"
    );
    cli.run(&["one"]).code(4);
}

/// A row that was decided before the kill is not run again; what was not decided is.
#[test]
fn a_row_that_was_decided_is_not_run_again() {
    let cli = bench(
        "t.wait(3600 if row.get(\"long\") else 0, \"{}\".format(row.id))\n    t.expect(not row.get(\"fails\"), \"first time\")",
    );
    let mut child = cli
        .program(&["run", "one"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = cli.bench.root().join("runs/latest/journal.jsonl");
    until_journal_has(&journal, "b [DelFunc-Cloud]");
    child.kill().unwrap();
    child.wait().unwrap();
    write_case(
        &cli,
        "t.expect(row.get(\"long\"), \"{} is run once more\", row)",
    );
    cli.run(&["--resume", "latest"]).code(1);
    let case = cli.results()["devices"][0]["cases"]["5.11-1-2"].clone();
    let units = case["units"].as_array().unwrap().iter();
    let units: Vec<String> = units
        .map(|unit| {
            format!("{} {} {}", unit["unit"], unit["outcome"], unit["message"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        units,
        [
            "a pass null",
            "b [DelFunc-Button] pass null",
            "b [DelFunc-App] fail first time",
            "b [DelFunc-Cloud] pass null",
        ]
    );
    let second = case["attempts"][1]["units"].as_array().unwrap();
    let second: Vec<&str> = second
        .iter()
        .map(|unit| unit["unit"].as_str().unwrap())
        .collect();
    assert_eq!(second, ["a", "b [DelFunc-Cloud]"]);
}

const MECHANISMS: &str = "[[1-AuthMech]]\nid = \"AuthMech-Shell\"\n\n[[1-AuthMech]]\nid = \"AuthMech-Web\"\n\n\
    [[1-AuthMech]]\nid = \"AuthMech-Key\"\npassword = false\n";

/// What a driver does by row, and what is declared: whether `check` is content, what it says of it, and what the plan of a
/// case that tries each row says.
#[rstest]
#[case::alike(
    MECHANISMS,
    "{\"AuthMech-Shell\": struct(), \"AuthMech-Web\": struct()}",
    &[],
    &[]
)]
#[case::a_row_that_needs_no_actions_has_some(
    MECHANISMS,
    "{\"AuthMech-Shell\": struct(), \"AuthMech-Web\": struct(), \"AuthMech-Key\": struct()}",
    &[],
    &[]
)]
#[case::a_row_without_actions(
    MECHANISMS,
    "{\"AuthMech-Shell\": struct()}",
    &[],
    &["IXIT 1-AuthMech declares AuthMech-Web, for which auth_mechanisms of the driver has no actions on this bench: INCONCLUSIVE"]
)]
#[case::a_misspelt_id(
    MECHANISMS,
    "{\"AuthMech-Shel\": struct(), \"AuthMech-Web\": struct()}",
    &["auth_mechanisms has actions for \"AuthMech-Shel\", and IXIT 1-AuthMech declares no such row"],
    &[
        "IXIT 1-AuthMech declares AuthMech-Shell, for which",
        "has actions for AuthMech-Shel, which IXIT 1-AuthMech does not declare: not tried",
    ]
)]
#[case::no_table(
    "",
    "{\"AuthMech-Shell\": struct()}",
    &["auth_mechanisms has actions for \"AuthMech-Shell\", and IXIT 1-AuthMech declares no such row"],
    &["has actions for AuthMech-Shell, which IXIT 1-AuthMech does not declare: not tried"]
)]
#[case::neither("", "{}", &[], &[])]
#[case::only_known_on_a_device(
    MECHANISMS,
    "{d.console.expect(\"x\").text: struct()}",
    &[],
    &["which rows of IXIT 1-AuthMech the driver has actions for is known when auth_mechanisms is called on a device only"]
)]
#[case::no_dict(
    MECHANISMS,
    "[\"AuthMech-Shell\"]",
    &[],
    &["it gives no dict"]
)]
fn driver_and_ixit_are_compared(
    #[case] ixit: &str,
    #[case] actions: &str,
    #[case] wrong: &[&str],
    #[case] noted: &[&str],
) {
    let cli = Cli::new();
    cli.bench.write("targets/sensor/ixit.toml", ixit);
    let driver = format!("def auth_mechanisms(d):\n    return {actions}\n");
    cli.bench.write("targets/sensor/driver.star", driver);
    let script = "\"\"\"Logins.\"\"\"\n\ncase(id = \"5.1-1-2\", for_each = \"1-AuthMech\", needs = [\"dut.auth_mechanisms\"])\n\n\
        def unit_a(t, row):\n    \"For each.\"\n    t.log(\"{}\", row)\n";
    cli.bench.write("testcases/5.1/5.1-1-2.star", script);
    let code = if wrong.is_empty() { 0 } else { 2 };
    let checked = cli.command(&["check"]).assert().code(code);
    let plan = cli.command(&["plan"]).assert().code(0);
    let told = unbroken(&checked.get_output().stderr);
    let notes = unbroken(&checked.get_output().stdout);
    let plan = unbroken(&plan.get_output().stdout);
    for wrong in wrong {
        let wrong = unbroken(wrong.as_bytes());
        assert!(told.contains(&wrong), "{wrong} in {told}");
    }
    for note in noted {
        let note = unbroken(note.as_bytes());
        assert!(notes.contains(&note), "{note} in {notes}");
        assert!(plan.contains(&note), "{note} in {plan}");
    }
    if noted.is_empty() {
        assert!(!notes.contains("note:"), "{notes}");
        assert!(!plan.contains("auth_mechanisms"), "{plan}");
    }
}

/// Without what it takes to fit a terminal.
fn unbroken(bytes: &[u8]) -> String {
    let text = text(bytes).replace(['│', '×'], "");
    text.split_whitespace().collect()
}

/// Without the function, the case that needs it is not run, and the plan says why.
#[test]
fn a_function_that_the_driver_does_not_have_is_in_the_plan() {
    let cli = Cli::new();
    cli.bench.write("targets/sensor/ixit.toml", MECHANISMS);
    let script = "\"\"\"Logins.\"\"\"\n\ncase(id = \"5.1-1-2\", for_each = \"1-AuthMech\", needs = [\"dut.auth_mechanisms\"])\n\n\
        def unit_a(t, row):\n    \"For each.\"\n    t.log(\"{}\", row)\n";
    cli.bench.write("testcases/5.1/5.1-1-2.star", script);
    cli.command(&["check"]).assert().code(0);
    let plan = cli.command(&["plan"]).assert().code(0);
    let plan = text(&plan.get_output().stdout);
    assert!(plan.contains("no function auth_mechanisms"), "{plan}");
}

/// Tables that the catalogue names for a case are read by its code, or the case says why they are not.
#[rstest]
#[case::read("", "t.log(\"{}\", t.ixit(\"1-AuthMech\"))", None)]
#[case::not_read("", "t.log(\"x\")", Some("never reads IXIT 1-AuthMech"))]
#[case::with_a_reason(
    "unread = {\"1-AuthMech\": \"only the label is looked at\"}",
    "t.log(\"x\")",
    None
)]
#[case::without_a_reason(
    "unread = {\"1-AuthMech\": \"\"}",
    "t.log(\"x\")",
    Some("gives a reason for each table")
)]
#[case::read_after_all(
    "unread = {\"1-AuthMech\": \"only the label is looked at\"}",
    "t.log(\"{}\", t.ixit(\"1-AuthMech\"))",
    Some("has IXIT 1-AuthMech, which the case's code reads")
)]
#[case::of_another_case(
    "unread = {\"1-AuthMech\": \"no\", \"7-UpdMech\": \"no\"}",
    "t.log(\"x\")",
    Some("has IXIT 7-UpdMech, which the catalogue does not name")
)]
fn tables_of_the_catalogue_are_read(
    #[case] arguments: &str,
    #[case] body: &str,
    #[case] wrong: Option<&str>,
) {
    let cli = Cli::new();
    cli.case("5.1-1-2", arguments, &[('a', body)]);
    let code = if wrong.is_some() { 2 } else { 0 };
    let checked = cli.command(&["check"]).assert().code(code);
    let told = unbroken(&checked.get_output().stderr);
    assert!(
        wrong.is_none_or(|wrong| told.contains(&unbroken(wrong.as_bytes()))),
        "{told}"
    );
}
