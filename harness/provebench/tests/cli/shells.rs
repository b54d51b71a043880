//! What is generated from the command line: completions and manual pages.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use rstest::rstest;

use crate::{Cli, text};

fn printed(arguments: &[&str]) -> String {
    let cli = Cli::new();
    text(&cli.command(arguments).assert().code(0).get_output().stdout)
}

/// Feeds a program; what it said, or None where it is not installed.
fn fed(program: &str, arguments: &[&str], input: &str) -> Option<Result<String, String>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    // All of these read to the end before they print.
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    Some(if output.status.success() {
        Ok(out)
    } else {
        Err(format!("{out}{error}"))
    })
}

#[rstest]
#[case::bash("bash", &["-n"], "--fail-on")]
#[case::zsh("zsh", &["-n"], "--fail-on")]
#[case::fish("fish", &["--no-execute"], "-l fail-on")]
fn completions_are_scripts_of_the_shell(
    #[case] shell: &str,
    #[case] check: &[&str],
    #[case] option: &str,
) {
    let script = printed(&["completions", shell]);
    assert!(script.contains(option), "{script}");
    match fed(shell, check, &script) {
        Some(checked) => assert_eq!(checked.as_deref(), Ok("")),
        // Every developer has bash; ci/setup does not install the others for this.
        None => assert_ne!(shell, "bash"),
    }
}

/// Not the script's text: what a user gets who presses Tab.
#[rstest]
#[case(&["ru"], "run")]
#[case(&["run", "--fail"], "--fail-on")]
#[case(&["run", "--fail-on", ""], "new")]
#[case(&["schema", "ta"], "target")]
fn bash_completes(#[case] words: &[&str], #[case] expected: &str) {
    let script = printed(&["completions", "bash"]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let line = format!(
        "{script}\nCOMP_WORDS=(provebench {})\nCOMP_CWORD={}\n\
         _provebench provebench \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words.len(),
    );
    let said = fed("bash", &["--norc"], &line).expect("bash").unwrap();
    assert!(said.lines().any(|word| word == expected), "{said}");
}

#[test]
fn the_manual_page_tells_commands_options_and_exit_codes() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH provebench 1"), "{page}");
    let Some(shown) = fed("man", &["-l", "-"], &page) else {
        return;
    };
    let shown = shown.unwrap();
    for word in ["provebench-run(1)", "--devices", "130"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
}

#[test]
fn each_command_has_a_page() {
    let cli = Cli::new();
    cli.command(&["man", "share/man/man1"]).assert().code(0);
    let dir = cli.bench.root().join("share/man/man1");
    let command = provebench::cli::command();
    for name in command.get_subcommands().map(clap::Command::get_name) {
        let page = fs::read_to_string(dir.join(format!("provebench-{name}.1"))).unwrap();
        if let Some(lint) = fed("mandoc", &["-T", "lint", "-W", "error"], &page) {
            assert_eq!(lint.as_deref(), Ok(""), "{name}");
        }
    }
    let said = cli.command(&["man", "devices.toml"]).assert().code(2);
    let said = text(&said.get_output().stderr);
    assert!(said.contains("cannot write manual pages"), "{said}");
}
