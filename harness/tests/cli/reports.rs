use std::path::Path;
use std::process::Command;

use crate::{Cli, text};

#[test]
fn a_run_ends_with_where_its_reports_are() {
    let cli = Cli::new();
    cli.passing();
    cli.case(
        "5.11-1-2",
        "",
        &[
            ('a', "t.save(\"dump.txt\", \"kept\")"),
            ('b', "t.fail(\"\\0]]>\\x1b[2J\")"),
        ],
    );
    let output = text(&cli.run(&[]).code(1).get_output().stdout);
    assert!(
        !output.contains('\u{1b}'),
        "no colours, no DUT's escapes: {output:?}"
    );
    let run = |name: &str| {
        let line = output.lines().find(|line| line.ends_with(name));
        let path = line.unwrap_or_else(|| panic!("{name} in {output}"));
        cli.bench
            .root()
            .join(path.split_whitespace().last().unwrap())
    };
    let junit = run("junit.xml");
    let results = run("results.json");
    let manifest = run("manifest.sha256");

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let check = Command::new(root.join("ci/check-junit"))
        .args([&junit, &results])
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let check = Command::new("sha256sum")
        .args(["--check", "--strict"])
        .arg(&manifest)
        .current_dir(manifest.parent().unwrap())
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let hashed = text(&check.stdout);
    for file in [
        "journal.jsonl",
        "junit.xml",
        "results.json",
        "cases/one/5.11-1-2/dump.txt",
        "cases/two/5.11-1-2/steps.jsonl",
    ] {
        assert!(
            hashed.contains(&format!("{file}: OK")),
            "{file} in {hashed}"
        );
    }
}

#[test]
fn attachments_are_found_from_where_the_run_was_started() {
    let cli = Cli::new();
    cli.case("5.11-1-2", "", &[('a', "t.save(\"dump.txt\", \"kept\")")]);
    cli.run(&["one"]).code(0);
    assert_relative_attachments(&cli);
}

/// GitLab takes no others, and a run that goes on is found by a link (`latest`).
#[test]
fn attachments_are_found_also_after_going_on() {
    let cli = Cli::new();
    cli.case("5.11-1-2", "", &[('a', "t.save(\"dump.txt\", \"kept\")")]);
    let runs = cli.bench.root().canonicalize().unwrap().join("runs");
    cli.run(&["one", "--runs", runs.to_str().unwrap()]).code(0);
    assert_relative_attachments(&cli);
    cli.run(&["--resume", "latest"]).code(0);
    assert_relative_attachments(&cli);
}

fn assert_relative_attachments(cli: &Cli) {
    let junit = text(&cli.read("runs/latest/junit.xml"));
    let attached: Vec<&str> = junit
        .split("[[ATTACHMENT|")
        .skip(1)
        .map(|rest| rest.split("]]").next().unwrap())
        .collect();
    assert!(
        attached.iter().all(|path| path.starts_with("runs/2")),
        "{attached:?}"
    );
    let saved = attached.iter().find(|path| path.ends_with("dump.txt"));
    assert_eq!(
        cli.read(saved.expect("the saved file is attached")),
        b"kept"
    );
}

/// One event a line, in the order in which things happen.
#[test]
fn the_journal_tells_what_happened() {
    let cli = Cli::new();
    cli.passing();
    cli.run(&["one"]).code(0);
    let journal = text(&cli.read("runs/latest/journal.jsonl"));
    let events: Vec<String> = journal
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        events,
        [
            "run-started",
            "device-started",
            "case-started",
            "unit-started",
            "unit-finished",
            "case-finished",
            "device-finished",
            "run-finished"
        ]
    );
}
