//! Putting right what killed runs have left behind.

use super::super::exit::Exit;
use super::super::output::{out, plural, tell};
use crate::doctor::{Tidied, tidy};

pub(super) fn clean() -> Exit {
    let Tidied { done, problems } = tidy();
    for line in &done {
        out(&format!("{line}\n"));
    }
    for problem in &problems {
        tell(&format!("{problem:?}\n"));
    }
    if !problems.is_empty() {
        return Exit::Bench;
    }
    out(&match done.len() {
        0 => "nothing was left behind\n".to_owned(),
        n => format!("{} put right\n", plural(n, "leftover")),
    });
    Exit::Ok
}
