//! Putting right what killed runs have left behind.

use miette::{Diagnostic, Report};

use provebench_network::Leftover;
use provebench_network::services::broker_leftovers;

/// What [`tidy`] has done, and could not do.
#[derive(Debug)]
pub struct Tidied {
    /// Each in a line.
    pub done: Vec<String>,
    /// What is left for a person.
    pub problems: Vec<Report>,
}

/// Puts right what runs that were killed could not, and the kernel does not. That is little: leases, namespaces, VLANs
/// and child processes end with the process, and what providers keep is meant to stay.
pub fn tidy() -> Tidied {
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
