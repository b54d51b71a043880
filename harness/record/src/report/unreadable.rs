//! Why the record of an earlier run can't be read.

use std::io;
use std::path::{Path, PathBuf};

use super::format::OtherFormat;
use crate::evidence::LinesError;
use crate::text::one_line;

/// An earlier run that can't be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[diagnostic(code(earlier_run))]
pub enum EarlierError {
    /// No such run.
    #[error("there is no run `{name}`, neither here nor in {}", runs.display())]
    #[diagnostic(help("name the folder of a run, its results.json, its identifier, or `latest`"))]
    Missing {
        /// As it was named.
        name: String,
        /// Where runs are kept.
        runs: PathBuf,
    },
    /// A copy of a run that stays what it is whichever runs there are.
    #[error("{} is not a link to the latest run but a copy of one, and there are others beside it", path.display())]
    #[diagnostic(help("name the run that is meant, and delete the copy or give it another name"))]
    NoLink {
        /// What is called `latest`.
        path: PathBuf,
    },
    /// It was killed before it wrote down what it was to do.
    #[error("the run in {} never started", path.display())]
    NotBegun {
        /// Its journal.
        path: PathBuf,
    },
    /// A file of it can't be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another version of provebench wrote it.
    #[error("cannot read {}: {format}", path.display())]
    #[diagnostic(help(
        "resume or compare it with the provebench that wrote it, or start a new run"
    ))]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it has.
        format: OtherFormat,
    },
    /// It is not what provebench writes.
    #[error("{} is not the record of a run: {reason}", path.display())]
    #[diagnostic(help("it must come from this version of provebench, or one near to it"))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a journal can't be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// One of its lines.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// Another version of provebench wrote it.
    #[error(transparent)]
    Format(#[from] OtherFormat),
}

impl EarlierError {
    pub(super) fn of_journal(path: &Path, error: JournalError) -> Self {
        match error {
            JournalError::Lines(LinesError::Io(source)) => Self::Unreadable {
                path: path.to_owned(),
                source,
            },
            JournalError::Lines(line @ LinesError::Line { .. }) => {
                Self::unknown(path, &line.to_string())
            }
            JournalError::Format(format) => Self::other_format(path, format),
        }
    }

    pub(super) fn other_format(path: &Path, format: OtherFormat) -> Self {
        Self::OtherFormat {
            path: path.to_owned(),
            format,
        }
    }

    /// The reason may repeat what is in the file.
    pub(super) fn unknown(path: &Path, reason: &str) -> Self {
        Self::Unknown {
            path: path.to_owned(),
            reason: one_line(reason, 400),
        }
    }
}
