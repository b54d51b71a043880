use std::fmt::Write as _;

use clap::Args;
use console::style;
use miette::{Diagnostic, Report};

use super::context::Files;
use super::exit::{Exit, Failure};
use super::output::{out, plural, wrapped};
use crate::bench::network::{Leftover, NetworkError, check_port, is_allowed};
use crate::bench::services::broker_leftovers;
use crate::inventory::{Attachment, Device};

/// Look whether this bench can do its part: so far, its networks; touches no device
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Put right what runs that were killed have left behind, and do nothing else
    #[arg(long)]
    clean: bool,
}

pub(super) fn act(arguments: &Arguments, files: &Files) -> Result<Exit, Failure> {
    if arguments.clean {
        return Ok(clean());
    }
    let inventory = files.inventory()?;
    let mut findings = Findings::default();
    findings.allowed();
    for device in &inventory.devices {
        findings.network_of(device);
    }
    findings.leftovers();
    out(&findings.text);
    Ok(if findings.wrong == 0 {
        Exit::Ok
    } else {
        Exit::Bench
    })
}

/// What was looked at, a line each, with remedies.
#[derive(Default)]
struct Findings {
    text: String,
    wrong: usize,
}

impl Findings {
    fn good(&mut self, what: &str) {
        let _ = writeln!(self.text, "{} {what}", style("   ok").green());
    }

    fn wrong(&mut self, what: &str, remedy: &str) {
        self.wrong += 1;
        let line = format!("{} {what}", style("wrong").red());
        let _ = writeln!(self.text, "{}", wrapped(&line, 0, 6));
        let _ = writeln!(self.text, "{}", wrapped(&format!("help: {remedy}"), 6, 6));
    }

    fn allowed(&mut self) {
        if is_allowed() {
            self.good("this process may make network namespaces");
        } else {
            let error = NetworkError::Forbidden {
                source: std::io::ErrorKind::PermissionDenied.into(),
            };
            self.wrong(&error.to_string(), &help(&error));
        }
    }

    fn network_of(&mut self, device: &Device) {
        let name = &device.name;
        let port = match &device.attachment {
            Attachment::Virtual(_) => {
                return self.good(&format!("{name} is virtual, and brings its own network"));
            }
            Attachment::Real(wiring) => wiring.network.as_ref(),
        };
        match port.map(|port| (port, check_port(port))) {
            None => self.good(&format!("{name} has no network (devices.toml)")),
            Some((port, Ok(()))) => self.good(&format!("{name} can have {port}")),
            Some((_, Err(error))) => self.wrong(&format!("{name}: {error}"), &help(&error)),
        }
    }

    fn leftovers(&mut self) {
        let clean = "`provebench doctor --clean` puts that right, and so does the next run";
        let before = self.wrong;
        match Leftover::find() {
            Ok(found) => {
                for leftover in found {
                    let what = format!("left behind by a run that was killed: {leftover}");
                    self.wrong(&what, clean);
                }
            }
            Err(error) => self.wrong(&error.to_string(), &help(&error)),
        }
        for folder in broker_leftovers() {
            let folder = folder.display();
            self.wrong(
                &format!("left behind by a run that was killed: {folder}"),
                clean,
            );
        }
        if self.wrong == before {
            self.good("nothing is left behind by runs that were killed");
        }
    }
}

fn help(error: &NetworkError) -> String {
    error
        .help()
        .map_or_else(String::new, |help| help.to_string())
}

fn clean() -> Exit {
    let Tidied { done, problems } = tidy();
    for line in &done {
        out(&format!("{line}\n"));
    }
    for problem in &problems {
        eprintln!("{problem:?}");
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
pub(super) struct Tidied {
    pub(super) done: Vec<String>,
    pub(super) problems: Vec<Report>,
}

/// Puts right what runs that were killed could not, and the kernel does not. That is little: leases, namespaces, VLANs
/// and child processes end with the process, and memory of virtual boards is meant to stay.
pub(super) fn tidy() -> Tidied {
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
