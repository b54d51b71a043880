//! Every command line that documents and examples show is one that this version takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use rstest::rstest;

/// A line of code, and whether prose is to be expected in it.
struct Line {
    text: String,
    is_comment: bool,
}

#[rstest]
#[case::readme("README.md", 20)]
#[case::architecture("ARCHITECTURE.md", 1)]
#[case::bench("docs/bench.md", 3)]
#[case::targets("docs/targets.md", 8)]
#[case::writing_tests("docs/writing-tests.md", 4)]
#[case::test_cases("testcases/README.md", 1)]
#[case::reference_sensor("targets/reference-sensor/README.md", 0)]
#[case::devices("devices.toml", 0)]
#[case::demo("ci/demo", 1)]
#[case::all_tests("ci/test", 1)]
#[case::gitlab("ci/examples/gitlab-ci.yml", 3)]
#[case::github("ci/examples/github-actions.yml", 3)]
#[case::jenkins("ci/examples/Jenkinsfile", 3)]
#[case::service("ci/examples/provebench.service", 3)]
#[case::container("ci/examples/Containerfile", 1)]
#[case::examples("ci/examples/README.md", 1)]
fn every_command_line_is_taken(#[case] path: &str, #[case] least: usize) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    let text = fs::read_to_string(&path).unwrap();
    let mut found = 0;
    for line in code(&path, &text) {
        for words in commands(&line.text) {
            if line.is_comment && !is_call(&words) {
                continue;
            }
            found += 1;
            if let Err(error) = provebench::cli::command().try_get_matches_from(&words) {
                assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{words:?}: {error}");
            }
        }
    }
    assert!(found >= least, "only {found} commands found in {path:?}");
}

#[rstest]
#[case("- provebench check", &["provebench check"])]
#[case("ExecStart=/usr/local/bin/provebench run --wait 1", &["provebench run --wait 1"])]
#[case("# cd /srv && provebench run", &["provebench run"])]
#[case("sh 'rm -rf runs && provebench check'", &["provebench check"])]
#[case("provebench run --filter 'a | b' | tee x # why", &["provebench run --filter a | b"])]
#[case("CMD [\"run\", \"--each\"]", &["provebench run --each"])]
#[case("alias provebench=target/debug/provebench", &[])]
#[case("target/debug/provebench nonsense", &["provebench nonsense"])]
fn commands_are_found(#[case] line: &str, #[case] expected: &[&str]) {
    let found = commands(line).into_iter().map(|words| words.join(" "));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// The parts of a document that are code: for Markdown blocks and spans, else all of it.
fn code(path: &Path, text: &str) -> Vec<Line> {
    let text = text.replace("\\\n", " ");
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    let mut is_block = false;
    let mut code = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        if is_markdown && trimmed.starts_with("```") {
            is_block = !is_block;
        } else if !is_markdown || is_block {
            code.push(Line {
                text: line.to_owned(),
                is_comment: trimmed.starts_with('#') || trimmed.starts_with("//"),
            });
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(|span| Line {
                text: span.to_owned(),
                is_comment: false,
            }));
        }
    }
    code
}

/// The calls of provebench in a line of shell, or of what holds one; without their comments.
fn commands(line: &str) -> Vec<Vec<String>> {
    let parts = split(bare(line));
    let words = parts.iter().filter_map(|part| shlex::split(bare(part)));
    let words = words.map(|words| match &words[..] {
        // Of a container, in JSON: arguments of its entry point.
        [first, rest @ ..] if first == "CMD" => {
            let list = rest.iter().map(|word| word.trim_matches(['[', ',', ']']));
            let call = ["provebench"].into_iter().chain(list);
            call.map(str::to_owned).collect()
        }
        _ => words,
    });
    let calls = words.filter_map(|mut words| {
        let program = Path::new(words.first()?).file_name()?;
        let is_ours = program == "provebench" && words.len() > 1;
        words[0] = "provebench".into();
        is_ours.then_some(words)
    });
    calls.collect()
}

/// Takes off what stands before a command: comment signs, prompts, list items, keys of CI files and of units, words of
/// the shell.
fn bare(part: &str) -> &str {
    const BEFORE: [&str; 13] = [
        "# ",
        "// ",
        "- ",
        "$ ",
        "run: ",
        "ExecStart=",
        "ExecStartPre=",
        "if ",
        "then ",
        "else ",
        "exec ",
        "sh '",
        "step \"the demo, in short\" ",
    ];
    let mut part = part.trim();
    while let Some(rest) = BEFORE.iter().find_map(|word| part.strip_prefix(word)) {
        part = rest.trim_start();
    }
    // The quote that belongs to `sh '`.
    match part.strip_suffix('\'') {
        Some(rest) if rest.matches('\'').count() % 2 == 0 => rest,
        _ => part,
    }
}

/// At the operators of the shell, unless they are quoted.
fn split(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(q) if q == c => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if "|;&<>()".contains(c) => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("one at least").push(c);
    }
    parts
}

/// Not the beginning of a sentence: provebench starts ...
fn is_call(words: &[String]) -> bool {
    let command = provebench::cli::command();
    let mut names = command.get_subcommands().map(clap::Command::get_name);
    words[1].starts_with('-') || words[1] == "help" || names.any(|name| name == words[1])
}
