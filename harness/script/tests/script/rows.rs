//! Units that run for each row of an IXIT table.

use provebench_record::event::Outcome;
use rstest::rstest;

use crate::bench::{Report, World};

const IXIT: &str = "[[1-AuthMech]]\nid = \"AuthMech-Console\"\nfree = 3\n\n\
    [[1-AuthMech]]\nid = \"AuthMech-Api\"\npassword = false\n\n\
    [[1-AuthMech]]\nfree = 5\n\n\
    [[25-DelFunc]]\nid = \"AuthMech-Api\"\n";

/// Unit a of a case with these arguments, on a product that declares the rows above.
fn run(arguments: &str, body: &str) -> Report {
    let world = World::new();
    world.files.write("targets/sensor/ixit.toml", IXIT);
    let script = format!(
        "\"\"\"A case.\"\"\"\n\ndef takes_passwords(row):\n    \"takes a password.\"\n    return row.get(\"password\", True)\n\n\
         case(id = \"5.11-1-2\", {arguments})\n\ndef unit_a(t, row):\n    \"A unit.\"\n    {body}\n"
    );
    world.run_file(&script)
}

fn names(report: &Report) -> Vec<&str> {
    report.runs.iter().map(|(name, _)| name.as_str()).collect()
}

#[rstest]
#[case::all(
    "for_each = '1-AuthMech'",
    &["a [AuthMech-Console]", "a [AuthMech-Api]", "a [row 3 of 1-AuthMech]"]
)]
#[case::some(
    "for_each = '1-AuthMech', where = takes_passwords",
    &["a [AuthMech-Console]", "a [row 3 of 1-AuthMech]"]
)]
#[case::of_this_unit(
    "for_each = {'a': '1-AuthMech'}, where = {'a': lambda row: row.id == 'AuthMech-Api'}",
    &["a [AuthMech-Api]"]
)]
#[case::of_another_unit(
    "for_each = {'a': '25-DelFunc'}, where = {'b': lambda row: False}",
    &["a [AuthMech-Api]"]
)]
#[case::of_two_tables(
    "for_each = {'a': ['1-AuthMech', '25-DelFunc']}, where = lambda row: row.id == 'AuthMech-Api'",
    &["a [AuthMech-Api]", "a [25-DelFunc: AuthMech-Api]"]
)]
fn a_unit_runs_once_for_each_row_that_it_is_for(
    #[case] arguments: &str,
    #[case] expected: &[&str],
) {
    let report = run(arguments, "t.log(\"{} of {}\", row, row.table)");
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
    assert_eq!(names(&report), expected);
    let logged = report.steps.iter().filter(|step| step.name == "log");
    let units: Vec<String> = logged
        .map(|step| {
            step.unit
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(units, expected);
}

#[test]
fn a_row_that_does_not_say_what_is_asked_spoils_itself_alone() {
    let report = run(
        "for_each = '1-AuthMech'",
        "t.expect(row[\"free\"] < 4, \"{} are free\", row[\"free\"])",
    );
    let outcomes: Vec<Outcome> = report.runs.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Pass, Outcome::Inconclusive, Outcome::Fail]
    );
    assert_eq!(report.result.message, "5 are free");
}

#[test]
fn what_a_row_does_not_say_is_named() {
    let report = run("for_each = '25-DelFunc'", "t.log(row[\"target\"])");
    assert_eq!(report.result.outcome(), Outcome::Inconclusive);
    assert_eq!(
        report.result.message,
        "IXIT 25-DelFunc: AuthMech-Api does not say `target`"
    );
}

/// Whoever asks about a row what it does not say does not know whether the unit is for it.
#[rstest]
#[case::a_field(
    "row['password']",
    Outcome::Inconclusive,
    "IXIT 1-AuthMech: AuthMech-Console does not say `password`"
)]
#[case::a_fault("row.id + 1", Outcome::Error, "`where` of the case: ")]
fn a_row_that_cannot_be_asked_about_is_told(
    #[case] is_it: &str,
    #[case] outcome: Outcome,
    #[case] message: &str,
) {
    let arguments = format!("for_each = '1-AuthMech', where = lambda row: {is_it}");
    let report = run(&arguments, "t.log(\"it runs\")");
    assert_eq!(report.result.outcome(), outcome);
    assert!(
        report.result.message.starts_with(message),
        "{:?}",
        report.result
    );
}

#[rstest]
#[case::no_rows(
    "for_each = '7-UpdMech'",
    "IXIT 7-UpdMech declares nothing: nothing to try"
)]
#[case::none_that_matches(
    "for_each = '1-AuthMech', where = lambda row: False",
    "IXIT 1-AuthMech has no row that this unit is for: nothing to try"
)]
#[case::none_as_is_said(
    "for_each = '7-UpdMech', where = takes_passwords",
    "IXIT 7-UpdMech has no row that takes a password: nothing to try"
)]
fn a_unit_without_rows_does_not_pass(#[case] arguments: &str, #[case] message: &str) {
    let report = run(arguments, "t.log(\"it runs\")");
    assert_eq!(report.result.outcome(), Outcome::Inconclusive);
    assert_eq!(report.result.message, message);
    assert_eq!(names(&report), ["a"]);
    assert_eq!(report.names(), [""; 0]);
}

#[test]
fn an_endless_question_ends() {
    let report = run(
        "for_each = '1-AuthMech', where = lambda row: [x for x in range(1 << 30) if x < 0]",
        "t.log(\"it runs\")",
    );
    assert_eq!(
        report.result.outcome(),
        Outcome::Error,
        "{:?}",
        report.result
    );
}

#[rstest]
#[case::field("row['free'] == 3")]
#[case::default("row.get('none', 4) == 4 and row.get('none') == None")]
#[case::has("'free' in row and 'none' not in row")]
#[case::same(
    "row == t.ixit('1-AuthMech')[0] and row in t.ixit('1-AuthMech') and row not in t.ixit('25-DelFunc')"
)]
#[case::key("{row: 1}[t.ixit('1-AuthMech')[0]] == 1")]
#[case::fields("row.fields == {'id': 'AuthMech-Console', 'free': 3}")]
#[case::shown("str(row) == 'AuthMech-Console' and row.id == str(row)")]
fn rows_have_what_scripts_need(#[case] expression: &str) {
    let arguments = "for_each = '1-AuthMech', where = lambda row: row.id == 'AuthMech-Console'";
    let report = run(arguments, &format!("t.expect({expression}, \"no\")"));
    assert_eq!(
        report.result.outcome(),
        Outcome::Pass,
        "{:?}",
        report.result
    );
}
