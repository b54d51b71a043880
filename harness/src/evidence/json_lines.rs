use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::EvidenceError;

/// An append-only file of one JSON value a line. A killed process leaves whole lines, and at most
/// one cut off at the end.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    pub(super) fn create(path: PathBuf) -> Result<Self, EvidenceError> {
        match File::options().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(e) => Err(EvidenceError::new("create", &path, e)),
        }
    }

    /// Goes on with a file, where there is one. Takes off what a killed process left of its last line. Refuses a file
    /// that another process appends to.
    pub(super) fn resume(path: PathBuf) -> Result<Self, EvidenceError> {
        let fail = |action, error: io::Error| EvidenceError::new(action, &path, error);
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|e| fail("open", e))?;
        file.try_lock().map_err(|e| {
            let reason = match e {
                TryLockError::WouldBlock => io::Error::other("the run is still under way"),
                TryLockError::Error(error) => error,
            };
            fail("go on with", reason)
        })?;
        let mut text = Vec::new();
        (&file)
            .read_to_end(&mut text)
            .map_err(|e| fail("read", e))?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(|e| fail("cut", e))?;
        }
        Ok(Self { path, file })
    }

    /// Adds a line.
    pub fn append(&mut self, value: &impl Serialize) -> Result<(), EvidenceError> {
        let mut line = serde_json::to_vec(value)
            .map_err(|e| EvidenceError::new("encode a line of", &self.path, e.into()))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|e| EvidenceError::new("append to", &self.path, e))
    }

    /// Adds a line, which is on disk when this returns.
    pub fn append_synced(&mut self, value: &impl Serialize) -> Result<(), EvidenceError> {
        self.append(value)?;
        self.file
            .sync_data()
            .map_err(|e| EvidenceError::new("sync", &self.path, e))
    }
}

/// The values of such a file. A last line without its end is what a killed process left, and is no value yet.
///
/// # Errors
/// The number of the first line that is none, and why.
pub fn whole_lines<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .enumerate()
        .map(|(n, line)| serde_json::from_str(line).map_err(|e| format!("line {}: {e}", n + 1)))
        .collect()
}
