//! What the jobs of the CI examples end with, for each exit code of provebench.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rstest::rstest;

/// The block of shell that runs the test cases, as the CI server takes it out of the YAML.
fn block(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    let text = fs::read_to_string(path).unwrap();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let blocks = lines.iter().enumerate().filter(|(_, l)| l.ends_with('|'));
    let mut blocks = blocks.map(|(at, head)| {
        let rest = lines[at + 1..].iter();
        let inside = rest.take_while(|l| l.trim().is_empty() || indent(l) > indent(head));
        inside.copied().collect::<Vec<_>>().join("\n")
    });
    let is_run = |block: &String| block.contains("provebench run");
    blocks.find(is_run).expect("a block that runs provebench")
}

/// Runs it as the CI server does, with a provebench that ends with this code.
fn job(block: &str, accept: (&str, &str), code: i32, has_baseline: bool) -> Option<i32> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("provebench");
    fs::write(&program, format!("#!/bin/sh\nexit {code}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    if has_baseline {
        fs::create_dir(folder.path().join("baseline")).unwrap();
        fs::write(folder.path().join("baseline/results.json"), "{}").unwrap();
        fs::write(folder.path().join("baseline.json"), "{}").unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let status = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", block])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env(accept.0, accept.1)
        .status();
    status.unwrap().code()
}

/// Nothing is green that was not tested, whatever is accepted.
#[rstest]
#[case::gitlab("ci/examples/gitlab-ci.yml", ("ACCEPT_FAILURES", "no"), &[0])]
#[case::gitlab_accepts("ci/examples/gitlab-ci.yml", ("ACCEPT_FAILURES", "yes"), &[0, 1, 4])]
#[case::github("ci/examples/github-actions.yml", ("ACCEPT", ""), &[0, 4])]
#[case::github_accepts("ci/examples/github-actions.yml", ("ACCEPT", "true"), &[0, 1, 4])]
fn a_job_ends_as_its_run(
    #[case] example: &str,
    #[case] accept: (&str, &str),
    #[case] green: &[i32],
    #[values(0, 1, 2, 3, 4, 130)] code: i32,
    #[values(true, false)] has_baseline: bool,
) {
    let expected = if green.contains(&code) { 0 } else { code };
    let ended = job(&block(example), accept, code, has_baseline);
    assert_eq!(ended, Some(expected));
}
