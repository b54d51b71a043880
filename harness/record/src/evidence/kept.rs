//! Files that are told of by name, size and digest, as far as they have come.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{EvidenceError, RunDir, write_whole};
use crate::event::KeptFile;

impl RunDir {
    /// Writes a file, in place of one of that name, and says what it is.
    pub fn keep(&self, path: &Path, content: &[u8]) -> Result<KeptFile, EvidenceError> {
        write_whole(path, content)?;
        Ok(self.told(
            path,
            content.len() as u64,
            Sha256::digest(content).as_slice(),
        ))
    }

    fn told(&self, path: &Path, size: u64, digest: &[u8]) -> KeptFile {
        let relative = path.strip_prefix(self.path()).unwrap_or(path);
        KeptFile {
            path: relative.display().to_string(),
            size,
            sha256: hex::encode(digest),
        }
    }
}

/// Digests of files that are only appended to: what is known of them is not read again.
#[derive(Clone, Default)]
pub struct Growing {
    known: BTreeMap<PathBuf, (u64, Sha256)>,
}

impl Growing {
    /// What the file is, as far as it has come.
    pub fn look(&mut self, dir: &RunDir, path: &Path) -> Result<KeptFile, EvidenceError> {
        let (size, hasher) = self.known.entry(path.to_owned()).or_default();
        let mut read = || -> io::Result<u64> {
            let mut file = File::open(path)?;
            // What is written meanwhile is told of the next time.
            let new = file.metadata()?.len().saturating_sub(*size);
            file.seek(SeekFrom::Start(*size))?;
            io::copy(&mut file.take(new), hasher)
        };
        *size += read().map_err(|e| EvidenceError::new("hash", path, e))?;
        Ok(dir.told(path, *size, hasher.clone().finalize().as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_that_grows_is_told_as_far_as_it_has_come() {
        let base = tempfile::tempdir().unwrap();
        let dir = RunDir::create(base.path()).unwrap();
        let path = dir.device("sensor-a").unwrap().join("capture.pcapng");
        let mut growing = Growing::default();
        let mut whole = Vec::new();
        for part in ["one", "", "two"] {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).append(true).open(&path).unwrap();
            file.write_all(part.as_bytes()).unwrap();
            whole.extend(part.as_bytes());
            let told = growing.look(&dir, &path).unwrap();
            assert_eq!(told.path, "cases/sensor-a/capture.pcapng");
            assert_eq!(told.size, whole.len() as u64);
            assert_eq!(told.sha256, hex::encode(Sha256::digest(&whole)));
        }
        let replaced = dir.keep(&path, b"other").unwrap();
        assert_eq!(replaced.sha256, hex::encode(Sha256::digest("other")));
    }
}
