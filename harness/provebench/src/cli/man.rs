use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::{Man, generate_to};

use super::command;
use super::exit::{Exit, Failure};
use super::output::out;

/// Print the manual page, or write those of all commands: provebench.1, provebench-run.1, ...
///
/// To read it at once: provebench man | man -l -
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder for the pages of all commands, such as ~/.local/share/man/man1; made where it is missing
    dir: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write manual pages to {}", dir.display())]
#[diagnostic(help("name a folder that you may write to"))]
struct ManError {
    dir: PathBuf,
    source: io::Error,
}

pub(super) fn act(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.dir {
        Some(dir) => write(dir).map_err(|source| {
            let dir = dir.clone();
            Failure::usage(ManError { dir, source })
        })?,
        None => out(&page()),
    }
    Ok(Exit::Ok)
}

fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    generate_to(command(), dir)
}

fn page() -> String {
    let mut page = Vec::new();
    // A Vec takes whatever is written to it.
    let _ = Man::new(command()).render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}
