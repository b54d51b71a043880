//! What is found wrong with scripts before any of them runs.

use std::fs;
use std::path::Path;

use provebench_bench::Capability;
use provebench_script::{Driver, ScriptError, Suite};
use rstest::{fixture, rstest};
use tempfile::TempDir;

const GOOD: &str = r#""""A case."""

case(id = "5.11-1-2", needs = ["probe", "dut.login"], deadline = 3)

def unit_a(t):
    "A unit."
    t.log("fine")
"#;

#[fixture]
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &TempDir, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, content).expect("written");
}

/// Each fault as `FILE:LINE: MESSAGE`, with the file's path in the folder.
fn faults(folder: &TempDir, error: &ScriptError) -> Vec<String> {
    let root = format!("{}/", folder.path().display());
    let problems = error.problems().iter();
    problems.map(|p| p.to_string().replace(&root, "")).collect()
}

fn suite_faults(folder: &TempDir) -> Vec<String> {
    let error = Suite::load(Some(folder.path())).expect_err("the suite is faulty");
    faults(folder, &error)
}

#[rstest]
fn a_case_says_all_about_itself(folder: TempDir) {
    write(&folder, "5.11/5.11-1-2.star", GOOD);
    let suite = Suite::load(Some(folder.path())).expect("it is in order");
    let case = &suite.cases()[0];
    assert_eq!(case.id.to_string(), "5.11-1-2");
    assert_eq!(case.doc, "A case.");
    assert_eq!(case.deadline.as_secs(), 3);
    let needs: Vec<_> = case.needs.iter().map(ToString::to_string).collect();
    assert_eq!(needs, ["probe", "dut.login"]);
    assert_eq!(case.units[0].doc, "A unit.");
    assert!(suite.case(&case.id).is_some());
}

#[rstest]
fn cases_come_in_the_standards_order(folder: TempDir) {
    for id in ["5.11-1-2", "5.3-10-1", "5.3-9-2", "5.1-1-2"] {
        write(&folder, &format!("{id}.star"), GOOD.replace("5.11-1-2", id));
    }
    let suite = Suite::load(Some(folder.path())).expect("it is in order");
    let ids: Vec<_> = suite.cases().iter().map(|c| c.id.to_string()).collect();
    assert_eq!(ids, ["5.1-1-2", "5.3-9-2", "5.3-10-1", "5.11-1-2"]);
}

/// The parser takes 12 kB for each bracket.
#[rstest]
#[case::brackets("(", ")")]
#[case::lists("[", "]")]
#[case::signs("-", "")]
#[case::negations("not ", "")]
fn what_is_nested_deeply_is_not_even_parsed(
    folder: TempDir,
    #[case] open: &str,
    #[case] close: &str,
) {
    let x = format!("X = {}1{}\n", open.repeat(5001), close.repeat(5001));
    write(&folder, "lib/x.star", format!("\"Deep.\"\n\n{x}"));
    let found = suite_faults(&folder);
    assert!(
        found[0].starts_with("lib/x.star:3: nested more than 5000"),
        "{found:?}"
    );
    let many = [
        format!("{open}1{close}, "),
        "# (\n".into(),
        format!("{open}\"((\"{close}, "),
    ];
    let x = format!("X = [{}]\n", many.concat().repeat(4000));
    write(&folder, "lib/x.star", format!("\"Long.\"\n\n{x}"));
    let all = Suite::load(Some(folder.path()));
    let deep = all
        .err()
        .is_some_and(|e| faults(&folder, &e).concat().contains("nested"));
    assert!(!deep, "a long list is none");
}

#[rstest]
#[case::syntax("\"A unit.\"", "\"A unit.", ":6: ")]
#[case::no_docstring("\"\"\"A case.\"\"\"", "", ":3: the file has no docstring")]
#[case::no_unit("def unit_a", "def other", ":3: the test case has no unit")]
#[case::unknown_unit("def unit_a", "def unit_z", ":5: test case 5.11-1-2 has no unit z")]
#[case::odd_unit("def unit_a", "def unit_a1", ":5: unit_a1 is not a test unit")]
#[case::no_parameter(
    "(t):\n    \"A unit.\"\n    t.log(\"fine\")",
    "():\n    \"A unit.\"",
    ":5: unit_a takes 0 parameters"
)]
#[case::two_parameters("unit_a(t)", "unit_a(t, u)", ":5: unit_a takes 2 parameters")]
#[case::row_without_table(
    "def unit_a(t):\n    \"A unit.\"",
    "def unit_a(t, row):\n    \"A unit.\"",
    ":5: unit_a takes 2 parameters, and no for_each of case() says of which IXIT table"
)]
#[case::table_without_row(
    "deadline = 3",
    "for_each = \"25-DelFunc\"",
    ":3: for_each is given, and no unit takes a row"
)]
#[case::unit_of_rows_without_row(
    "deadline = 3",
    "for_each = {\"a\": \"25-DelFunc\"}",
    ":5: unit_a takes 1 parameters; a unit that runs for each row takes two: unit_a(t, row)"
)]
#[case::rows_of_no_unit(
    "deadline = 3",
    "for_each = {\"b\": [\"25-DelFunc\"]}",
    ":3: for_each is about unit b, which the test case does not have"
)]
#[case::no_table(
    "deadline = 3",
    "for_each = \"25-DelFun\"",
    ":3: for_each names an IXIT table \"25-DelFun\""
)]
#[case::no_tables("deadline = 3", "for_each = 25", ":3: for_each = 25 is neither")]
#[case::rows_of_nothing(
    "deadline = 3",
    "where = lambda row: True",
    ":3: where = ... says for which rows"
)]
#[case::undocumented("    \"A unit.\"\n", "", ":5: unit_a has no docstring")]
#[case::other_name(
    "id = \"5.11-1-2\"",
    "id = \"5.1-1-2\"",
    ":3: test case 5.1-1-2 in a file of another name"
)]
#[case::no_case("case(", "struct(", ":1: case(id = \"5.11-1-2\", ...) is missing")]
#[case::no_id("id = \"5.11-1-2\", ", "", ":3: ")]
#[case::bad_id("\"5.11-1-2\"", "\"5.11\"", ":3: `5.11` is not a test case identifier")]
#[case::unknown_word("deadline = 3", "dedline = 3", ":3: ")]
#[case::state(
    "deadline = 3",
    "state = \"new\"",
    ":3: unknown state \"new\"; known are factory-default, initialized, any"
)]
#[case::sample("deadline = 3", "sample = \"golden\"", ":3: unknown sample")]
#[case::need(
    "\"probe\"",
    "\"prob\"",
    ":3: unknown need \"prob\"; known are probe, console"
)]
#[case::deadline("deadline = 3", "deadline = -3", ":3: deadline = -3")]
#[case::wrong_type("deadline = 3", "deadline = \"3\"", ":3: ")]
#[case::undefined("t.log(\"fine\")", "u.log(\"fine\")", ":7: Variable `u` not found")]
#[case::attribute("t.log(\"fine\")", "t.lug()", ":7: t has no lug")]
#[case::namespace("t.log(\"fine\")", "t.console.expct", ":7: t.console has no expct")]
#[case::argument(
    "t.log(\"fine\")",
    "t.console.expect(\"x\", timout = 1)",
    ":7: t.console.expect has no parameter timout"
)]
#[case::arguments(
    "t.log(\"fine\")",
    "t.power.on(1)",
    ":7: t.power.on takes no arguments"
)]
#[case::missing(
    "t.log(\"fine\")",
    "t.probe.read(0)",
    ":7: t.probe.read needs an argument length"
)]
#[case::answer(
    "t.log(\"fine\")",
    "if True:\n        t.ask(\"x\", \"?\")",
    ":8: the answer is not looked at"
)]
#[case::bytes(
    "t.log(\"fine\")",
    "t.fail(\"x\" if blob(\"x\") != b\"x\" else \"y\")",
    ":7: b\"...\" is not used here"
)]
#[case::in_lambda(
    "t.log(\"fine\")",
    "[lambda: t.probe.red(x) for x in []]",
    ":7: t.probe has no red"
)]
#[case::load(
    "\ncase(",
    "load(\"//lib/none.star\", \"x\")\ncase(",
    ":2: there is no file lib/none.star"
)]
#[case::outside(
    "\ncase(",
    "load(\"//../x.star\", \"x\")\ncase(",
    ":2: \"//../x.star\" is not how"
)]
#[case::absolute(
    "\ncase(",
    "load(\"/etc/passwd\", \"x\")\ncase(",
    ":2: \"/etc/passwd\" is not how"
)]
#[case::endless(
    "\ncase(",
    "x = [y for y in range(2000000000) if y < 0]\ncase(",
    ":2: the file runs for too long while it is loaded"
)]
#[case::device("\ncase(", "x = blob(\"x\").u32(0)\ncase(", ":2: 4 bytes at offset 0")]
fn each_fault_has_its_place(
    folder: TempDir,
    #[case] old: &str,
    #[case] new: &str,
    #[case] expected: &str,
) {
    assert!(GOOD.contains(old), "{old}");
    let script = GOOD.replacen(old, new, 1);
    write(&folder, "5.11/5.11-1-2.star", script);
    let faults = suite_faults(&folder);
    let expected = format!("5.11/5.11-1-2.star{expected}");
    assert!(faults[0].starts_with(&expected), "{faults:#?}");
    assert_eq!(faults.len(), 1, "{faults:#?}");
}

#[rstest]
fn a_byte_order_mark_is_passed_over(folder: TempDir) {
    write(&folder, "5.11-1-2.star", format!("\u{feff}{GOOD}"));
    let suite = Suite::load(Some(folder.path())).expect("it is in order");
    assert_eq!(suite.cases().len(), 1);
}

#[rstest]
fn a_linked_folder_is_told(folder: TempDir) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    write(&folder, "5.11-1-2.star", GOOD);
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("more")).expect("linked");
    let faults = suite_faults(&folder);
    assert!(faults[0].contains("linked"), "{faults:?}");
}

#[rstest]
fn all_faults_are_told_at_once(folder: TempDir) {
    write(&folder, "5.11-1-2.star", GOOD.replace("t.log(", "t.lug("));
    write(&folder, "5.1-1-2.star", GOOD);
    write(&folder, "lib/broken.star", "def f(:\n");
    write(&folder, "lib/binary.star", b"\xff\xfe\x00");
    assert_eq!(
        suite_faults(&folder),
        ["lib/binary.star:1: not a script: it is UTF-16, not UTF-8"]
    );
    fs::remove_file(folder.path().join("lib/binary.star")).expect("removed");
    let faults = suite_faults(&folder);
    assert_eq!(faults.len(), 3, "{faults:#?}");
}

#[rstest]
fn a_case_is_called_once(folder: TempDir) {
    let twice = GOOD.replace("\ndef", "case(id = \"5.11-1-2\")\ndef");
    write(&folder, "5.11-1-2.star", twice);
    assert_eq!(
        suite_faults(&folder),
        ["5.11-1-2.star:4: case() is called a second time"]
    );
}

#[rstest]
fn a_case_is_in_one_file(folder: TempDir) {
    write(&folder, "5.11/5.11-1-2.star", GOOD);
    write(&folder, "copy/5.11-1-2.star", GOOD);
    let faults = suite_faults(&folder);
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("copy/5.11-1-2.star:1: "),
        "{faults:#?}"
    );
    assert!(
        faults[0].ends_with("5.11/5.11-1-2.star is the same test case"),
        "{faults:#?}"
    );
}

#[rstest]
fn files_are_loaded_from_below_and_beside(folder: TempDir) {
    let head = "load(\"//lib/words.star\", \"WORD\")\nload(\":near.star\", \"twice\")\n\"\"\"";
    let uses = GOOD
        .replacen("\"\"\"", head, 1)
        .replace("\"fine\"", "twice(WORD)");
    // The docstring comes first.
    let uses = uses.replacen(
        head,
        &format!("\"\"\"A case.\"\"\"\n{}", &head[..head.len() - 3]),
        1,
    );
    write(
        &folder,
        "5.11/5.11-1-2.star",
        uses.replacen("A case.\"\"\"\n\ncase", "\ncase", 1),
    );
    write(&folder, "lib/words.star", "WORD = \"word\"\n");
    write(
        &folder,
        "5.11/near.star",
        "def twice(x):\n    return x + x\n",
    );
    Suite::load(Some(folder.path())).unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
}

#[rstest]
fn files_that_load_each_other_are_told(folder: TempDir) {
    write(&folder, "5.11-1-2.star", GOOD);
    write(&folder, "lib/a.star", "load(\":b.star\", \"b\")\na = 1\n");
    write(&folder, "lib/b.star", "load(\":a.star\", \"a\")\nb = 1\n");
    assert_eq!(
        suite_faults(&folder),
        ["lib/b.star:1: lib/a.star loads this file in turn"]
    );
}

#[rstest]
#[case::empty("")]
#[case::helpers("def helper(x):\n    return x\n")]
fn a_folder_without_cases_is_told(folder: TempDir, #[case] helper: &str) {
    write(&folder, "lib/x.star", helper);
    let error = Suite::load(Some(folder.path())).expect_err("no cases");
    assert!(matches!(error, ScriptError::NoCases { .. }), "{error:?}");
    let error = Suite::load(Some(&folder.path().join("none"))).expect_err("no folder");
    assert!(matches!(error, ScriptError::Read { .. }), "{error:?}");
}

#[rstest]
fn the_built_in_cases_are_those_of_the_repository() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testcases");
    let described = |suite: Result<Suite, ScriptError>| -> Vec<_> {
        let suite = suite.unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        let cases = suite.cases().iter();
        cases
            .map(|case| (case.id.clone(), case.doc.clone(), case.units.clone()))
            .collect()
    };
    assert_eq!(
        described(Suite::load(None)),
        described(Suite::load(Some(&folder)))
    );
}

/// Words stand for what is no provision: whoever wants tests them. What the standard numbers, it names, too.
#[rstest]
#[case("acme-1", None)]
#[case("acme-12", None)]
#[case(
    "5.11-1-9",
    Some("5.11-1-9.star:3: the catalogue has no test case 5.11-1-9")
)]
#[case(
    "telemetry-9",
    Some("telemetry-9.star:3: the catalogue has no test case telemetry-9")
)]
fn cases_of_ones_own_have_a_word(
    folder: TempDir,
    #[case] id: &str,
    #[case] expected: Option<&str>,
) {
    let script = format!(
        "\"\"\"A case.\"\"\"\n\ncase(id = \"{id}\")\n\ndef unit_a(t):\n    \"A unit.\"\n    t.log(\"fine\")\n"
    );
    write(&folder, &format!("{id}.star"), script);
    match (Suite::load(Some(folder.path())), expected) {
        (Ok(suite), None) => assert_eq!(suite.cases()[0].id.to_string(), id),
        (Err(error), Some(expected)) => assert_eq!(faults(&folder, &error), [expected]),
        (result, _) => panic!("{result:?}"),
    }
}

#[rstest]
fn the_example_of_the_reference_is_in_order(folder: TempDir) {
    let readme = include_str!("../../../../testcases/README.md");
    let (_, example) = readme.split_once("```python\n\"\"\"").expect("an example");
    let (example, _) = example.split_once("```").expect("it ends");
    write(&folder, "5.11-1-2.star", format!("\"\"\"{example}"));
    Suite::load(Some(folder.path())).unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
}

#[rstest]
fn the_reference_driver_has_what_the_built_in_cases_need() {
    let path = "../../targets/reference-sensor/driver.star";
    let driver = Driver::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
    let suite = Suite::load(None).unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
    for case in suite.cases() {
        for need in &case.needs {
            if let Capability::Dut(function) = need {
                assert!(
                    driver.functions().contains(function),
                    "{}: {function}",
                    case.id
                );
            }
        }
    }
}

#[rstest]
fn a_driver_says_its_functions(folder: TempDir) {
    write(
        &folder,
        "driver.star",
        "load(\":x.star\", \"helper\")\ndef login(d):\n    return helper\n\ndef _own():\n    pass\n",
    );
    write(&folder, "x.star", "helper = 1\n");
    let driver = Driver::load(&folder.path().join("driver.star")).expect("it is in order");
    let functions: Vec<_> = driver.functions().iter().map(String::as_str).collect();
    assert_eq!(functions, ["login"]);
}

#[rstest]
#[case(
    "def login():\n    pass\n",
    "driver.star:1: login must take 1 parameters: d"
)]
#[case(
    "def personalise(d):\n    pass\n",
    "driver.star:1: personalise must take 2 parameters: d"
)]
#[case(
    "def await_ready(d, x):\n    pass\n",
    "driver.star:1: await_ready must take 1 parameters: d"
)]
#[case("def f(d):\n    d.expect(1)\n", "driver.star:2: d has no expect")]
#[case("def f(d):\n    d.dut.login()\n", "driver.star:2: d has no dut")]
#[case("def f(d):\n    return x\n", "driver.star:2: Variable `x` not found")]
#[case(
    "case(id = \"5.1-1-2\")\n",
    "driver.star:1: a driver is not a test case"
)]
#[case(
    "load(\":x.star\", \"x\")\n",
    "driver.star:1: there is no file x.star to load"
)]
fn faults_of_a_driver_have_their_place(
    folder: TempDir,
    #[case] text: &str,
    #[case] expected: &str,
) {
    write(&folder, "driver.star", text);
    let error = Driver::load(&folder.path().join("driver.star")).expect_err("it is faulty");
    let faults = faults(&folder, &error);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].starts_with(expected), "{faults:#?}");
}
