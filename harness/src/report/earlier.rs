//! Results of an earlier run, from its `results.json` or, if it was killed before that was written, from its journal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::results::Results;
use crate::event::{Event, Stamped};
use crate::evidence;

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
    /// A file of it can't be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what provebench writes.
    #[error("{} is no record of a run: {reason}", path.display())]
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
    [PathBuf::from(name), runs.join(name)]
        .into_iter()
        .filter(|path| !name.is_empty() && (path.is_file() || is_run(path)))
        .find_map(|path| path.canonicalize().ok())
        .ok_or_else(missing)
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
        let text = read(path)?;
        let unknown = |reason: String| EarlierError::Unknown {
            path: path.to_owned(),
            reason,
        };
        let results: Self = serde_json::from_str(&text).map_err(|e| unknown(e.to_string()))?;
        if results.is_of_this_format() {
            Ok(results)
        } else {
            Err(unknown("it has another format".into()))
        }
    }

    fn from_journal(path: &Path) -> Result<Self, EarlierError> {
        let text = read(path)?;
        let events = evidence::whole_lines(&text).map_err(|reason| EarlierError::Unknown {
            path: path.to_owned(),
            reason,
        })?;
        let mut results = Self::new();
        for event in &events {
            results.apply(event);
        }
        if let Some(Event::RunStarted { planned, .. }) = events.first().map(|e: &Stamped| &e.event)
            && results.interrupted
        {
            results.skip_the_rest(planned);
        }
        results.fold();
        Ok(results)
    }
}

fn read(path: &Path) -> Result<String, EarlierError> {
    fs::read_to_string(path).map_err(|source| EarlierError::Unreadable {
        path: path.to_owned(),
        source,
    })
}
