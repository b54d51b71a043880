//! Filter expressions.

use rstest::{fixture, rstest};
use serde_json::Value;

use crate::{Cli, text};

const PASS: &str = "t.expect(True, \"never\")";

/// One passed everywhere, 5.11-1-2 failed on `two`, 5.3-2-2 was an error, 5.9-1-2 can't run.
#[fixture]
fn cli() -> Cli {
    let cli = Cli::new();
    cli.case("5.1-1-2", "tags = [\"quick\"]", &[('a', PASS)]);
    let only_two = "t.expect(t.device.name != \"two\", \"it is two\")";
    cli.case("5.11-1-2", "tags = [\"erase\"]", &[('a', only_two)]);
    cli.case("5.3-2-2", "", &[('a', "t.probe.read(0, 4)")]);
    cli.case("5.9-1-2", "needs = [\"probe\"]", &[('a', PASS)]);
    cli
}

#[rstest]
#[case::case("case(5.1-1-2)", "one:5.1-1-2 two:5.1-1-2")]
#[case::wildcard("case(5.1*) & device(o?e)", "one:5.1-1-2 one:5.11-1-2")]
#[case::group("group(5.11-1) & device(one)", "one:5.11-1-2")]
#[case::clause("clause(5.1) and device(one)", "one:5.1-1-2")]
#[case::tag_of_a_case("tag(erase)", "one:5.11-1-2 two:5.11-1-2")]
#[case::tag_of_a_device("tag(left) & tag(quick)", "one:5.1-1-2")]
#[case::per_device(
    "tag(left) & tag(quick) | tag(right) & tag(erase)",
    "one:5.1-1-2 two:5.11-1-2"
)]
#[case::not(
    "target(sensor) - case(5.[39]*) & !device(two)",
    "one:5.1-1-2 one:5.11-1-2"
)]
#[case::binding("device(one) & (tag(quick) | tag(erase))", "one:5.1-1-2 one:5.11-1-2")]
#[case::words(
    "not device(two) and not case(5.3-2-2) and not case(5.9-1-2)",
    "one:5.1-1-2 one:5.11-1-2"
)]
#[case::failed("failed(latest)", "two:5.11-1-2")]
#[case::errored("errored(latest) & device(two)", "two:5.3-2-2")]
#[case::skipped("skipped(latest) & device(two)", "two:5.9-1-2")]
#[case::passed("passed(latest) - tag(quick)", "one:5.11-1-2")]
#[case::affected("affected(erasing) & device(one) & case(5.11-*)", "one:5.11-1-2")]
#[case::not_affected(
    "affected(erasing) & case(5.1-*) | affected(login) & device(two) & case(5.1-*)",
    "two:5.1-1-2"
)]
#[case::all("all() & device(one) & case(5.1-*)", "one:5.1-1-2")]
fn selects(cli: Cli, #[case] expression: &str, #[case] selected: &str) {
    cli.run(&["--retry-errors", "0"]).code(1);
    cli.run(&["-E", expression]);
    assert_eq!(ran(&cli.results()), selected);
}

#[rstest]
#[case::with_words(&["5.1", "--filter", "device(one)"], "one:5.1-1-2")]
#[case::changed(&["--changed-only", "login,erasing", "one", "5.1", "5.11"], "one:5.1-1-2 one:5.11-1-2")]
#[case::one_changed(&["--changed-only", "erasing", "one", "5.1", "5.11"], "one:5.11-1-2")]
#[case::changed_and_more(&["--changed-only", "login", "-E", "device(one) | device(two)", "--tag", "left", "5.1"], "one:5.1-1-2")]
#[case::with_tags(&["--tag", "right", "--filter", "clause(5.11)"], "two:5.11-1-2")]
fn narrows_what_words_and_tags_select(
    cli: Cli,
    #[case] arguments: &[&str],
    #[case] selected: &str,
) {
    cli.run(arguments);
    assert_eq!(ran(&cli.results()), selected);
}

/// The message, and the text that the caret points at.
#[rstest]
#[case("tga(x)", "there is no predicate `tga`", "did you mean `tag`?")]
#[case("tag(x", "never closed", "╭")]
#[case("(tag(quick)", "never closed", "╭")]
#[case("tag()", "`tag` needs an argument", "╭")]
#[case("tag", "needs its argument in parentheses", "╭")]
#[case("tag(quick) case(5.1-1-2)", "an operator is missing", "case(5.1-1-2)")]
#[case("tag(quick) &", "a predicate is missing", "case, unit, group, clause")]
#[case("& tag(quick)", "a predicate is missing", "╭")]
#[case("case(5.99-*)", "there is no test case `5.99-*`", "list cases")]
#[case("unit(z)", "no test case has a unit `z`", "list cases")]
#[case("device(three)", "there is no device `three`", "list devices")]
#[case(
    "affected(update)",
    "no target has the component `update`",
    "components in target.toml are erasing, login"
)]
#[case("case(5.[1)", "invalid range", "wildcards")]
#[case("failed(yesterday)", "there is no run `yesterday`", "latest")]
#[case("all(5.1)", "`all` takes no argument", "╭")]
#[case("ä | tag(quick)", "there is no predicate `ä`", "╭")]
#[case("🔒", "a predicate is missing", "╭")]
#[case("", "a predicate is missing", "predicates are")]
#[case("none()", "nothing is selected", "leave out")]
fn mistakes_are_shown(
    cli: Cli,
    #[case] expression: &str,
    #[case] message: &str,
    #[case] help: &str,
) {
    let output = cli
        .command(&["plan", "--filter", expression])
        .assert()
        .code(2);
    let said = text(&output.get_output().stderr).replace("\n  │ ", " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(message), "{message} in {said}");
    let help = if help == "wildcards" {
        "stands for any text"
    } else {
        help
    };
    assert!(said.contains(help), "{help} in {said}");
}

#[rstest]
fn the_place_of_a_mistake_is_marked(cli: Cli) {
    let expression = "tag(quick) | cse(5.1-*)";
    let output = cli
        .command(&["plan", "--filter", expression])
        .assert()
        .code(2);
    let said = text(&output.get_output().stderr);
    let mut lines = said.lines().skip_while(|line| !line.contains(expression));
    let shown = lines
        .next()
        .unwrap_or_else(|| panic!("the expression in {said}"));
    let marks = lines.next().unwrap();
    let column = |line: &str, c: char| line.chars().position(|found| found == c);
    let expected = column(shown, '|').unwrap() + "| ".len();
    assert_eq!(
        column(marks, '─').or(column(marks, '┬')),
        Some(expected),
        "{said}"
    );
}

/// What no component names may be affected by any of them.
#[rstest]
fn what_nobody_knows_of_is_affected_by_all(cli: Cli) {
    cli.run(&["--changed-only", "login", "one"]).code(3);
    assert_eq!(ran(&cli.results()), "one:5.1-1-2 one:5.3-2-2 one:5.9-1-2");
}

#[rstest]
#[case::parentheses(format!("{}tag(quick){}", "(".repeat(20_000), ")".repeat(20_000)))]
#[case::negations(format!("{}tag(quick)", "! not ".repeat(9_000)))]
fn nesting_is_bounded(cli: Cli, #[case] deep: String) {
    let output = cli.command(&["plan", "-E", &deep]).assert().code(2);
    let said = text(&output.get_output().stderr);
    assert!(said.contains("nests too deep"));
}

fn ran(results: &Value) -> String {
    let mut all = Vec::new();
    for device in results["devices"].as_array().unwrap() {
        let mut ids: Vec<&String> = device["cases"].as_object().unwrap().keys().collect();
        ids.sort();
        for id in ids {
            all.push(format!("{}:{id}", device["name"].as_str().unwrap()));
        }
    }
    all.join(" ")
}

/// As written by a program.
#[rstest]
#[case::or(format!("case(5.1-*){}", "|case(5.1-*)".repeat(9_000)))]
#[case::and(format!("case(5.1-*){}", "&case(5.1-*)".repeat(9_000)))]
#[case::without(format!("case(5.1-*){}", "-tag(erase)".repeat(9_000)))]
fn chains_may_be_long(cli: Cli, #[case] long: String) {
    cli.command(&["plan", "--filter", &long]).assert().code(0);
}
