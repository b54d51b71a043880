//! Putting right what killed runs have left behind.

use miette::{Diagnostic, Report};

use super::super::exit::Exit;
use super::super::output::{out, plural, tell};
use provebench_network::Leftover;
use provebench_network::services::broker_leftovers;

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

/// What [`tidy`] has done, and could not do.
pub(in crate::cli) struct Tidied {
    pub(in crate::cli) done: Vec<String>,
    pub(in crate::cli) problems: Vec<Report>,
}

/// Puts right what runs that were killed could not, and the kernel does not. That is little: leases, namespaces, VLANs
/// and child processes end with the process, and memory of virtual boards is meant to stay.
pub(in crate::cli) fn tidy() -> Tidied {
    let mut tidied = Tidied {
        done: Vec::new(),
        problems: Vec::new(),
    };
    match Leftover::find() {
        Ok(found) => {
            for leftover in found {
                match leftover.put_right() {
                    Ok(()) => tidied.done.push(format!("put right: {leftover}")),
                    Err(error) => tidied.problems.push(error.into()),
                }
            }
        }
        Err(error) => tidied.problems.push(error.into()),
    }
    for folder in broker_leftovers() {
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => tidied.done.push(format!("removed: {}", folder.display())),
            Err(source) => {
                let path = folder.display().to_string();
                tidied.problems.push(NotRemoved { path, source }.into());
            }
        }
    }
    tidied
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} can't be removed")]
#[diagnostic(help("remove it by hand: it is left over from a run that was killed"))]
struct NotRemoved {
    path: String,
    source: std::io::Error,
}
