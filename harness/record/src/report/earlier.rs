//! Results of an earlier run, from its `results.json` or, if it was killed before that was written, from its journal.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::format::{self, OtherFormat};
use super::journal::{Journal, JournalError};
use super::results::{self, Results};
use super::sound;
use crate::evidence::{self, LATEST, LinesError};
use crate::text::one_line;

/// 100,000 results with all that may be told of them are not as large. Bytes.
const LARGEST: u64 = 512 << 20;
const TOO_LARGE: &str = "it is larger than 512 MiB";

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

/// Finds what a user calls a run: a folder, a results.json, or in the folder `runs` an identifier or `latest`.
pub fn find(runs: &Path, name: &str) -> Result<PathBuf, EarlierError> {
    let missing = || EarlierError::Missing {
        name: name.to_owned(),
        runs: runs.to_owned(),
    };
    let found = [PathBuf::from(name), runs.join(name)]
        .into_iter()
        .find(|path| !name.is_empty() && (path.is_file() || is_run(path)))
        .ok_or_else(missing)?;
    if name == LATEST && !found.is_symlink() && has_others(&found) {
        return Err(EarlierError::NoLink { path: found });
    }
    found.canonicalize().map_err(|_| missing())
}

/// Whether there are other runs beside it.
fn has_others(run: &Path) -> bool {
    let beside = run.parent().map(fs::read_dir);
    let beside = beside.into_iter().flatten().flatten().flatten();
    let mut others = beside.filter(|entry| entry.file_name() != LATEST);
    others.any(|entry| is_run(&entry.path()))
}

fn is_run(folder: &Path) -> bool {
    [evidence::RESULTS, evidence::JOURNAL]
        .iter()
        .any(|name| folder.join(name).is_file())
}

impl Results {
    /// Reads the results of an earlier run, named as [`find`] takes it.
    pub fn of_earlier(runs: &Path, name: &str) -> Result<Self, EarlierError> {
        let path = find(runs, name)?;
        if path.is_file() {
            return Self::from_file(&path);
        }
        let results = path.join(evidence::RESULTS);
        if results.is_file() {
            Self::from_file(&results)
        } else {
            Self::from_journal(&path.join(evidence::JOURNAL))
        }
    }

    fn from_file(path: &Path) -> Result<Self, EarlierError> {
        let unreadable = |source| EarlierError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = evidence::open_plain(File::options().read(true), path).map_err(unreadable)?;
        let mut text = Vec::new();
        // Of what is too large, not all is read to be told so.
        let size = file.metadata().map_err(unreadable)?.len();
        if size <= LARGEST {
            file.take(LARGEST + 1)
                .read_to_end(&mut text)
                .map_err(unreadable)?;
        } else {
            return Err(EarlierError::unknown(path, TOO_LARGE));
        }
        if sound::check_keys(&text).is_ok() {
            format::check(&text, results::FORMAT)
                .map_err(|format| EarlierError::other_format(path, format))?;
        }
        Self::from_json(&text).map_err(|reason| EarlierError::unknown(path, &reason))
    }

    /// Reads `results.json`, which may be anybody's.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        if text.len() as u64 > LARGEST {
            return Err(TOO_LARGE.into());
        }
        sound::check_keys(text)?;
        format::check(text, results::FORMAT).map_err(|e| e.to_string())?;
        let results: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        sound::check_results(&results)?;
        Ok(results)
    }

    fn from_journal(path: &Path) -> Result<Self, EarlierError> {
        let journal = Journal::read(path)?.ok_or_else(|| EarlierError::NotBegun {
            path: path.to_owned(),
        })?;
        let mut results = journal.results;
        if results.interrupted {
            results.skip_the_rest(&journal.planned);
        }
        results.fold();
        Ok(results)
    }
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

    fn other_format(path: &Path, format: OtherFormat) -> Self {
        Self::OtherFormat {
            path: path.to_owned(),
            format,
        }
    }

    /// The reason may repeat what is in the file.
    fn unknown(path: &Path, reason: &str) -> Self {
        Self::Unknown {
            path: path.to_owned(),
            reason: one_line(reason, 400),
        }
    }
}
