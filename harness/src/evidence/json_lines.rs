use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

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
