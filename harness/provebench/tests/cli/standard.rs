use rstest::rstest;
use serde_json::Value;

use crate::{Cli, text};

/// What a command prints, which has to work.
fn said(cli: &Cli, words: &[&str]) -> String {
    let output = cli.command(words).assert().code(0);
    text(&output.get_output().stdout)
}

fn json(cli: &Cli, words: &[&str]) -> Vec<Value> {
    let words = [words, &["--format", "json"]].concat();
    serde_json::from_str(&said(cli, &words)).unwrap()
}

#[rstest]
#[case::provisions("provisions", 78, 68)]
#[case::groups("groups", 78, 72)]
#[case::units("units", 260, 238)]
fn lists_are_those_of_the_edition(#[case] what: &str, #[case] new: usize, #[case] old: usize) {
    let cli = Cli::new();
    cli.passing();
    assert_eq!(json(&cli, &["list", what]).len(), new);
    assert_eq!(
        json(&cli, &["list", what, "--edition", "v2.1.1"]).len(),
        old
    );
}

#[test]
fn provisions_tell_what_they_were_and_what_they_became() {
    let cli = Cli::new();
    cli.passing();
    let find = |list: &[Value], id: &str| {
        let found = list.iter().find(|entry| entry["provision"] == id);
        found.unwrap_or_else(|| panic!("{id}")).clone()
    };
    let new = find(&json(&cli, &["list", "provisions"]), "5.13-1B");
    assert_eq!(new["v2_1_1"], serde_json::json!(["5.13-1"]));
    let old = json(&cli, &["list", "provisions", "--edition", "v2.1.1"]);
    let old = find(&old, "5.13-1");
    assert_eq!(old["v3_1_3"], serde_json::json!(["5.13-1A", "5.13-1B"]));
}

/// All of TS 103 701, with those that have a script, and a lab's own.
#[test]
fn cases_tell_which_have_a_script() {
    let cli = Cli::new();
    cli.passing();
    cli.case("acme-1", "", &[('a', "pass")]);
    let cases = json(&cli, &["list", "cases"]);
    assert_eq!(cases.len(), 133);
    let find = |id: &str| cases.iter().find(|case| case["case"] == id).unwrap();
    assert_eq!(find("5.1-1-2")["units"], "abc");
    assert_eq!(find("5.1-1-2")["script"], serde_json::json!(["a"]));
    assert_eq!(find("5.1-1-1")["script"], serde_json::json!([]));
    assert_eq!(find("acme-1")["script"], serde_json::json!(["a"]));
}

#[test]
fn csv_has_a_line_for_each() {
    let cli = Cli::new();
    cli.passing();
    let csv = said(&cli, &["list", "provisions", "--format", "csv"]);
    assert!(
        csv.starts_with("Provision,Status,Title,v2.1.1\n5.0-1,M,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 79);
}

#[rstest]
#[case::unknown(&["list", "groups", "--edition", "v9"], "v3.1.3 and v2.1.1")]
#[case::of_devices(&["list", "devices", "--edition", "v2.1.1"], "no edition")]
fn editions_that_make_no_sense_are_refused(#[case] words: &[&str], #[case] why: &str) {
    let cli = Cli::new();
    cli.passing();
    let output = cli.command(words).assert().code(2);
    let said = text(&output.get_output().stderr);
    assert!(said.contains(why), "{said}");
}

#[rstest]
#[case::provision(&["5.1-1"], &["Asked", "For firmware engineers", "1-AuthMech", "5.1-1-2.star", "uk-psti"])]
#[case::unit(&["5.1-1-2", "a"], &["Shows", "How", "1-AuthMech"])]
#[case::field(&["7-UpdMech.configuration"], &["5.3-6A-1"])]
#[case::condition(&["condition", "14"], &["5.1-5"])]
#[case::state(&["factory-default"], &["5.11-1"])]
fn words_are_explained(#[case] words: &[&str], #[case] shown: &[&str]) {
    let cli = Cli::new();
    cli.passing();
    let said = said(&cli, &[&["explain"], words].concat());
    for word in shown {
        assert!(said.contains(word), "{word} in {said}");
    }
}

/// Without anything beside the binary.
#[test]
fn needs_no_bench() {
    let cli = Cli::new();
    cli.bench.remove("devices.toml");
    cli.passing();
    said(&cli, &["explain", "5.3-10"]);
    said(&cli, &["list", "units"]);
}

#[rstest]
#[case("5.3-99", "5.3-9")]
#[case("uk-pst", "uk-psti")]
fn words_that_nobody_knows_are_told_with_those_that_come_near(
    #[case] word: &str,
    #[case] near: &str,
) {
    let cli = Cli::new();
    cli.passing();
    let output = cli.command(&["explain", word]).assert().code(2);
    let said = text(&output.get_output().stderr);
    assert!(
        said.contains(word) && said.contains(&format!("`{near}`")),
        "{said}"
    );
}
