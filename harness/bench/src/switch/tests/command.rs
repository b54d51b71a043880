//! The command driver with real programs.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use rstest::rstest;
use tempfile::TempDir;

use crate::{
    inventory::CommandConfig,
    switch::{Switch as _, SwitchError, command::Command},
};

fn words(script: &str, dir: &Path) -> Vec<String> {
    ["sh", "-c", script, "switch", dir.to_str().unwrap()]
        .map(str::to_owned)
        .into()
}

fn command(dir: &TempDir, on: &str, off: &str, state: Option<&str>, timeout: f64) -> Command {
    let words = |script| words(script, dir.path());
    Command::new(&CommandConfig {
        on: words(on),
        off: words(off),
        state: state.map(words),
        timeout,
    })
}

/// Programs that keep the state in a file.
const ON: &str = "echo on > $1/state";
const OFF: &str = "echo off > $1/state";

#[rstest]
#[case::words("cat $1/state")]
#[case::capitals("tr a-z A-Z < $1/state")]
#[case::numbers("grep -q on $1/state && echo 1 || echo 0")]
#[case::exit_code("grep -q on $1/state")]
#[tokio::test]
async fn it_is_switched_and_read_back(#[case] state: &str) {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, ON, OFF, Some(state), 60.0);
    for on in [true, false, true] {
        switch.set(on).await.unwrap();
        assert_eq!(switch.is_on().await.unwrap(), on);
        let file = fs::read_to_string(dir.path().join("state")).unwrap();
        assert_eq!(file.trim() == "on", on);
    }
}

#[tokio::test]
async fn without_a_state_the_last_success_is_believed() {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, ON, "exit 3", None, 60.0);
    let unknown = switch.is_on().await.unwrap_err();
    assert!(matches!(unknown, SwitchError::Unknown { .. }), "{unknown}");
    switch.set(true).await.unwrap();
    assert!(switch.is_on().await.unwrap());
    switch.set(false).await.unwrap_err();
    let unknown = switch.is_on().await.unwrap_err();
    assert!(matches!(unknown, SwitchError::Unknown { .. }), "{unknown}");
}

#[tokio::test]
async fn success_without_effect_is_an_error() {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, "exit 0", OFF, Some("echo off"), 60.0);
    let error = switch.set(true).await.unwrap_err();
    super::stayed_off(&error);
}

/// As an editor on another system saves it; the kernel then says that there is no such file, of a program that is there.
#[rstest]
#[case::cr_lf("#!/bin/sh\r\nexit 0\r\n", true)]
#[case::lf("#!/nowhere/sh\nexit 0\r\n", false)]
#[tokio::test]
async fn line_ends_that_hide_the_interpreter_are_named(#[case] text: &str, #[case] told: bool) {
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("switch");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let words = vec![program.to_str().unwrap().to_owned()];
    let switch = Command::new(&CommandConfig {
        on: words.clone(),
        off: words,
        state: None,
        timeout: 60.0,
    });
    let error = switch.set(true).await.unwrap_err().to_string();
    assert!(error.contains("can't be started"), "{error}");
    assert_eq!(error.contains("CR LF"), told, "{error}");
}

#[rstest]
#[case::failure("echo half; echo no hub >&2; exit 7", "exit status: 7: no hub; half")]
#[case::mute("exit 1", "exit status: 1 and printed nothing")]
#[case::killed("kill -9 $$", "signal: 9 (SIGKILL) and printed nothing")]
#[case::talkative("yes 12345678 | head -c 100000; exit 2", "12345678\\n12345678")]
#[tokio::test]
async fn what_a_program_says_when_it_fails_is_shown(#[case] on: &str, #[case] shown: &str) {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, on, OFF, None, 60.0);
    let error = switch.set(true).await.unwrap_err();
    assert!(matches!(error, SwitchError::Command { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(shown) && text.contains("sh -c"), "{text}");
    assert!(text.len() < 1000, "{}", text.len());
}

#[rstest]
#[case::not_a_state("echo perhaps")]
#[case::complaint("echo no such hub >&2; exit 1")]
#[case::failure("exit 2")]
#[tokio::test]
async fn a_state_that_is_none_is_an_error(#[case] state: &str) {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, ON, OFF, Some(state), 60.0);
    let error = switch.set(true).await.unwrap_err();
    assert!(matches!(error, SwitchError::Command { .. }), "{error:?}");
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_all_it_started() {
    let dir = TempDir::new().unwrap();
    let hang = "sleep 1000 & echo $! > $1/child; echo waiting; wait";
    // Long enough to get as far as that, also on a slow machine.
    let switch = command(&dir, hang, OFF, None, 2.0);
    let error = switch.set(true).await.unwrap_err().to_string();
    assert!(error.contains("did not end within 2s: waiting"), "{error}");
    let child = fs::read_to_string(dir.path().join("child")).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    // It is killed, but whoever inherits it may not have taken notice yet.
    let gone = async {
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone)
        .await
        .expect("the child is gone");
}

#[tokio::test]
async fn a_program_that_prints_without_end_fills_no_disk() {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, "yes 12345678", OFF, None, 3600.0);
    let error = switch.set(true).await.unwrap_err().to_string();
    assert!(error.contains("printed more than 16 MiB: 1234"), "{error}");
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let switch = command(&dir, "sleep 100 & echo $! > $1/child", OFF, None, 60.0);
    switch.set(true).await.unwrap();
    let child = fs::read_to_string(dir.path().join("child")).unwrap();
    let child = nix::unistd::Pid::from_raw(child.trim().parse().unwrap());
    // It still runs: nobody waited for it, nobody stopped it.
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let switch = Command::new(&CommandConfig {
        on: vec!["/no/such/program".into()],
        off: vec!["false".into()],
        state: None,
        timeout: 60.0,
    });
    let error = switch.set(true).await.unwrap_err().to_string();
    assert!(
        error.contains("`/no/such/program` can't be started: No such file"),
        "{error}"
    );
}
