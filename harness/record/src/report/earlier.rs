//! Results of an earlier run, from its `results.json` or, if it was killed before that was written, from its journal.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::format;
use super::journal::Journal;
use super::results::{self, Results};
use super::sound;
use super::unreadable::EarlierError;
use crate::evidence::{self, LATEST};

/// 100,000 results with all that may be told of them are not as large. Bytes.
const LARGEST: u64 = 512 << 20;
const TOO_LARGE: &str = "it is larger than 512 MiB";

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
