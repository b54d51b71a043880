//! Units that run for each row of the IXIT: their results wherever results are told.

use std::process::Stdio;

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
