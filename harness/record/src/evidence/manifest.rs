use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{EvidenceError, write_whole};

/// File that holds the hashes of all other files of a run.
pub const MANIFEST: &str = "manifest.sha256";

pub(super) fn write(root: &Path) -> Result<PathBuf, EvidenceError> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort();

    let mut manifest = String::new();
    for file in files.iter().filter(|f| *f != Path::new(MANIFEST)) {
        let hash = hash(&root.join(file))?;
        let _ = writeln!(manifest, "{hash}  {}", file.display());
    }
    let path = root.join(MANIFEST);
    write_whole(&path, manifest.as_bytes())?;
    Ok(path)
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), EvidenceError> {
    let failed = |e| EvidenceError::new("list", dir, e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let path = entry.path();
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    Ok(())
}

fn hash(path: &Path) -> Result<String, EvidenceError> {
    let mut hasher = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hasher))
        .map_err(|e| EvidenceError::new("hash", path, e))?;
    Ok(hex::encode(hasher.finalize()))
}
