//! What is other than in an earlier run, as `run --baseline` and `compare` tell it.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";
const FAIL: &str = "t.fail(\"user | data <b> is left\")";
const INCONCLUSIVE: &str = "t.inconclusive(\"can't tell\")";
const ERROR: &str = "t.probe.read(0, 4)";

fn cli(body: &str) -> Cli {
    let cli = Cli::new();
    cli.case("5.1-1-2", "", &[('a', PASS), ('b', body)]);
    cli
}

/// The section of `results.json` that a change from `before` to `after` is in.
#[rstest]
#[case::same_pass(PASS, PASS, None, 0)]
#[case::known_failure(FAIL, FAIL, None, 0)]
#[case::new_failure(PASS, FAIL, Some("new_failures"), 1)]
#[case::failure_where_nothing_was_known(ERROR, FAIL, Some("new_failures"), 1)]
#[case::fixed(FAIL, PASS, Some("fixed"), 0)]
#[case::bench_error(PASS, ERROR, Some("undecided"), 3)]
#[case::undecided(PASS, INCONCLUSIVE, Some("undecided"), 4)]
#[case::failure_hidden_by_an_error(FAIL, ERROR, Some("undecided"), 3)]
#[case::decided(INCONCLUSIVE, PASS, Some("decided"), 0)]
#[case::as_undecided_as_before(INCONCLUSIVE, ERROR, None, 0)]
fn only_what_is_worse_fails_the_run(
    #[case] before: &str,
    #[case] after: &str,
    #[case] section: Option<&str>,
    #[case] code: i32,
) {
    let cli = cli(before);
    cli.run(&["one"]);
    cli.case("5.1-1-2", "", &[('a', PASS), ('b', after)]);
    let arguments = ["one", "--baseline", "latest", "--fail-on", "new"];
    let said = text(&cli.run(&arguments).code(code).get_output().stdout);
    let results = cli.results();
    for name in ["new_failures", "fixed", "undecided", "decided"] {
        let units: Vec<&Value> = results["changes"][name]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| &change["unit"])
            .collect();
        let expected: &[&str] = if section == Some(name) { &["b"] } else { &[] };
        assert_eq!(units, expected, "{name} in {results}");
    }
    let known = usize::from(before == FAIL && after == FAIL);
    assert_eq!(results["changes"]["known_failures"], known);
    assert_eq!(
        said.contains("nothing has changed"),
        section.is_none(),
        "{said}"
    );
    // The same without running anything.
    let runs = folders(&cli);
    let arguments = ["compare", &runs[0], &runs[1]];
    cli.command(&arguments).assert().code(code);
}

#[test]
fn without_being_asked_every_failure_counts() {
    let cli = cli(FAIL);
    cli.run(&["one"]).code(1);
    cli.run(&["one", "--baseline", "latest"]).code(1);
}

#[test]
fn a_failure_is_told_everywhere() {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    cli.case("5.1-1-2", "", &[('a', PASS), ('b', FAIL)]);
    let output = cli.run(&["one", "--baseline", "latest"]).code(1);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("NEW FAILURE one 5.1-1-2 b  PASS -> FAIL"),
        "{said}"
    );
    let markdown = text(&cli.read("runs/latest/changes.md"));
    assert!(
        markdown.contains("| one | 5.1-1-2 | b | PASS | FAIL | user \\| data &lt;b&gt; is left |"),
        "{markdown}"
    );
    let manifest = text(&cli.read("runs/latest/manifest.sha256"));
    assert!(manifest.contains("changes.md"), "{manifest}");
}

/// Exchanged boards, added boards and cases, and what was just not selected.
#[test]
fn cases_and_devices_come_and_go() {
    let cli = cli(PASS);
    cli.case("5.3-2-2", "", &[('a', PASS)]);
    cli.case("5.11-1-2", "", &[('a', PASS)]);
    cli.run(&["one"]).code(0);
    cli.bench.remove("testcases/5.3/5.3-2-2.star");
    cli.case("5.9-1-2", "", &[('a', FAIL)]);
    cli.case("5.1-1-2", "", &[('a', PASS), ('b', FAIL)]);
    cli.run(&["two", "5.1", "5.9", "--baseline", "latest"])
        .code(1);
    let changes = &cli.results()["changes"];
    assert_eq!(changes["added"], json!(["5.9-1-2"]));
    assert_eq!(changes["gone"], json!(["5.3-2-2"]));
    assert_eq!(changes["unselected"], json!(["5.11-1-2"]));
    assert_eq!(changes["devices_added"], json!(["two"]));
    assert_eq!(changes["devices_gone"], json!(["one"]));
    let failures: Vec<Value> = changes["new_failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| json!([change["case"], change["unit"], change["before"]]))
        .collect();
    assert_eq!(
        failures,
        [
            json!(["5.1-1-2", "b", "pass"]),
            json!(["5.9-1-2", "a", null])
        ]
    );
}

#[test]
fn what_is_not_run_any_more_is_undecided() {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    cli.case(
        "5.1-1-2",
        "needs = [\"probe\"]",
        &[('a', PASS), ('b', PASS)],
    );
    cli.run(&["one", "--baseline", "latest", "--fail-on", "new"])
        .code(4);
    assert_eq!(cli.results()["changes"]["undecided"][1]["after"], "not-run");
    // That the ICS says so is a decision.
    let claim = "\"5.1-1\" = { support = \"n/a\", detail = \"no passwords\" }\n";
    cli.bench.write(crate::TestBench::ICS_FILE, claim);
    let first = folders(&cli)[0].clone();
    cli.run(&["one", "--baseline", &first, "--fail-on", "new"])
        .code(0);
}

/// Times are set in results.json: those of real runs are the machine's.
#[rstest]
#[case::as_before(10.0, 10.0, "30", false)]
#[case::a_bit(10.0, 12.9, "30", false)]
#[case::slower(10.0, 13.1, "30", true)]
#[case::much_but_nothing(0.01, 0.5, "30", false)]
#[case::as_asked(10.0, 11.5, "10", true)]
#[case::faster(10.0, 1.0, "30", false)]
fn slower_cases_are_told(
    #[case] before: f64,
    #[case] after: f64,
    #[case] percent: &str,
    #[case] is_told: bool,
) {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let mut results = cli.results();
    for (name, seconds) in [("before", before), ("after", after)] {
        results["run"] = json!(name);
        results["devices"][0]["cases"]["5.1-1-2"]["units"][0]["seconds"] = json!(0.0);
        results["devices"][0]["cases"]["5.1-1-2"]["units"][1]["seconds"] = json!(seconds);
        cli.bench
            .write(&format!("{name}.json"), results.to_string());
    }
    let arguments = [
        "compare",
        "before.json",
        "after.json",
        "--slower-than",
        percent,
    ];
    let said = cli.command(&arguments).assert().code(0);
    let said = text(&said.get_output().stdout);
    assert_eq!(said.contains("SLOWER one 5.1-1-2"), is_told, "{said}");
}

#[test]
fn a_killed_run_is_read_from_its_journal() {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let run = folders(&cli)[0].clone();
    cli.bench.write("whole.json", of_another_run(&cli, &run));
    cli.bench.remove(&format!("{run}/results.json"));
    let journal = format!("{run}/journal.jsonl");
    cli.bench
        .append(&journal, "{\"time\":\"2026-01-01T00:00:00Z\",\"eve");
    let said = cli
        .command(&["compare", "whole.json", &run])
        .assert()
        .code(0);
    let said = text(&said.get_output().stdout);
    assert!(said.contains("nothing has changed"), "{said}");
}

/// Killed after its first case: the second was not run, which is not "nothing has changed".
#[test]
fn what_a_killed_run_did_not_reach_is_told() {
    let cli = cli(PASS);
    cli.case("5.1-2-2", "", &[('a', PASS)]);
    cli.run(&["one"]).code(0);
    let run = folders(&cli)[0].clone();
    cli.bench.write("whole.json", of_another_run(&cli, &run));
    cli.bench.remove(&format!("{run}/results.json"));
    let journal = text(&cli.read(&format!("{run}/journal.jsonl")));
    let end = journal.find("\"event\":\"case-finished\"").unwrap();
    let end = end + journal[end..].find('\n').unwrap() + 1;
    cli.bench
        .write(&format!("{run}/journal.jsonl"), &journal[..end]);
    let said = cli
        .command(&["compare", "whole.json", &run])
        .assert()
        .code(4);
    let said = text(&said.get_output().stdout);
    assert!(
        said.contains("5.1-2-2") && !said.contains("5.1-1-2"),
        "{said}"
    );
    assert!(said.contains("the run was killed before"), "{said}");
}

/// Artifacts of CI servers are anybody's. What no run writes is refused, whatever is to be done with it.
#[rstest]
#[case::empty("", "", "EOF while parsing")]
#[case::nul("\0\0\0\0", "", "expected value")]
#[case::another_format("\"format\":2", "\"format\":1", "it has another format")]
#[case::round_0("\"repeat\":1", "\"repeat\":0", "no test case is run 0 times")]
#[case::etc(
    "cases/one/5.1-1-2",
    "/etc",
    "\"/etc\" is not a valid path for evidence"
)]
#[case::upwards(
    "cases/one/5.1-1-2",
    "cases/one/..",
    "is not a valid path for evidence"
)]
#[case::file("steps.jsonl", "../../../devices.toml", "is not a file name")]
#[case::negative("\"seconds\":", "\"seconds\":-", "nothing takes -")]
#[case::endless("\"seconds\":", "\"seconds\":1e308,\"x\":", "nothing takes 1e308 s")]
#[case::no_number("\"seconds\":", "\"seconds\":null,\"x\":", "invalid type: null")]
#[case::key_twice(
    "\"format\":2",
    "\"format\":2,\"format\":2",
    "key \"format\" is there twice"
)]
#[case::case_twice(
    "\"cases\":{",
    "\"cases\":{\"5.1-1-2\":{\"title\":\"\",\"file\":\"\",\"units\":{}},",
    "key \"5.1-1-2\" is there twice"
)]
#[case::count("\"pass\":2", "\"pass\":1e400", "is not the record of a run")]
#[case::unit("\"unit\":\"a\"", "\"unit\":\"aa\"", "is no test unit")]
#[case::case("5.1-1-2", "5.1-1-2-3", "5.1-1-2-3")]
#[case::no_identifier("\"run\":\"2", "\"run\":\"\",\"x\":\"2", "the run has no identifier")]
fn forged_results_are_refused(#[case] old: &str, #[case] new: &str, #[case] reason: &str) {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let results = cli.results().to_string();
    let forged = if new.is_empty() {
        old.to_owned()
    } else {
        assert!(results.contains(old), "{old} in {results}");
        results.replacen(old, new, if old == "5.1-1-2" { 9 } else { 1 })
    };
    cli.bench.write("forged.json", forged);
    are_refused(&cli, reason);
}

#[test]
fn results_without_end_are_refused() {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let results = cli.results().to_string();
    let depth = "[".repeat(1_000_000);
    cli.bench.write(
        "forged.json",
        results.replacen(":{", &format!(":{depth}"), 1),
    );
    are_refused(&cli, "recursion limit");
    let sparse = fs::File::create(cli.bench.root().join("forged.json")).unwrap();
    sparse.set_len(100 << 30).unwrap();
    are_refused(&cli, "it is larger than 512 MiB");
}

fn are_refused(cli: &Cli, reason: &str) {
    for arguments in [
        &["compare", "forged.json", "latest"][..],
        &["compare", "latest", "forged.json"],
        &["plan", "-E", "failed(forged.json)"],
        &["run", "--baseline", "forged.json"],
    ] {
        let output = cli.command(arguments).assert().code(2);
        let error = text(&output.get_output().stderr).replace("\n  │ ", " ");
        // Paths, too, are wrapped into lines.
        let unwrapped = |text: &str| text.split_whitespace().collect::<String>();
        let (error, reason) = (unwrapped(&error), unwrapped(reason));
        assert!(error.contains(&reason), "{reason} in {error}");
    }
}

/// The results of a run as if another one had had them.
fn of_another_run(cli: &Cli, run: &str) -> String {
    let whole = text(&cli.read(&format!("{run}/results.json")));
    let id = run.trim_start_matches("runs/");
    assert!(whole.contains(id), "{id} in {whole}");
    whole.replace(id, "20260314T150926Z-3f9a1c")
}

/// Nothing has ever changed there.
#[rstest]
#[case::by_name(&["compare", "latest"])]
#[case::by_folder(&["compare", "runs/latest/results.json", "latest"])]
#[case::of_a_copy(&["compare", "copy", "latest"])]
#[case::going_on(&["run", "--resume", "latest", "--baseline", "latest"])]
fn no_run_is_compared_with_itself(#[case] arguments: &[&str]) {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    cli.bench
        .write("copy/results.json", cli.read("runs/latest/results.json"));
    let output = cli.command(arguments).assert().code(2);
    let error = text(&output.get_output().stderr);
    assert!(error.contains("compared with itself"), "{error}");
    assert!(!cli.results()["verdict"].is_null(), "it is as it was");
}

/// `cp -rL`, artifacts of CI servers: a folder in place of the link would be the latest run for ever.
#[test]
fn a_latest_that_is_a_copy_is_told_before_anything_is_run() {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let copied = std::process::Command::new("cp")
        .args(["-rL", "runs", "copy"])
        .current_dir(cli.bench.root())
        .status();
    assert!(copied.unwrap().success());
    let output = cli.run(&["one", "--runs", "copy"]).code(3);
    let error = text(&output.get_output().stderr);
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(error.contains("cannot replace copy/latest"), "{error}");
    assert!(error.contains("give it another name"), "{error}");
    let runs = fs::read_dir(cli.bench.root().join("copy")).unwrap();
    assert_eq!(runs.count(), 2, "the run, and its copy");
    for arguments in [
        &["compare", "latest", "--runs", "copy"][..],
        &["plan", "-E", "failed(latest)", "--runs", "copy"],
        &["run", "--resume", "latest", "--runs", "copy"],
        &["run", "--baseline", "latest", "--runs", "copy"],
    ] {
        let output = cli.command(arguments).assert().code(2);
        let error = text(&output.get_output().stderr);
        assert!(error.contains("not a link to the latest run"), "{error}");
    }
    // Alone, as a folder of one run that was unpacked, it is what it says.
    let alone = cli.bench.root().join("alone");
    fs::create_dir(&alone).unwrap();
    fs::rename(cli.bench.root().join("copy/latest"), alone.join("latest")).unwrap();
    cli.command(&["plan", "-E", "passed(latest)", "--runs", "alone"])
        .assert()
        .code(0);
}

#[rstest]
#[case::no_such_run(&["compare", "yesterday", "latest"], "there is no run `yesterday`")]
#[case::not_a_run(&["compare", "devices.toml", "latest"], "devices.toml is not the record of a run")]
#[case::of_a_run(&["run", "--baseline", "yesterday"], "there is no run `yesterday`")]
#[case::without_baseline(&["run", "--fail-on", "new"], "--baseline")]
fn what_is_no_run_is_named(#[case] arguments: &[&str], #[case] said: &str) {
    let cli = cli(PASS);
    cli.run(&["one"]).code(0);
    let output = cli.command(arguments).assert().code(2);
    let error = text(&output.get_output().stderr).replace("\n  │ ", " ");
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(error.contains(said), "{error}");
    assert_eq!(folders(&cli).len(), 1, "nothing was run");
}

/// The folders of all runs, oldest first.
fn folders(cli: &Cli) -> Vec<String> {
    let mut folders: Vec<_> = fs::read_dir(cli.bench.root().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| (entry.metadata().unwrap().created().unwrap(), entry.path()))
        .collect();
    folders.sort();
    let relative = |path: &std::path::Path| {
        let path = path.strip_prefix(cli.bench.root()).unwrap();
        path.display().to_string()
    };
    folders.iter().map(|(_, path)| relative(path)).collect()
}
