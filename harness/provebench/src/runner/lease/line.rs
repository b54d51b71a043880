//! Those who wait for a device, first come, first served.
//!
//! The kernel wakes all who wait for a lock, and the quickest gets it. So only the first in line waits for the device's
//! lock, and each of the others for the one before. A place is a file that is locked as long as its owner stands there;
//! one that has died frees it as one that was served.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::{
    LeaseError,
    folder::{file_name, hidden, open_found},
    holder,
    holder::Holder,
};

/// Between the device's name and the place; no device's file name has it.
const MARK: &str = ".line.";

/// A place in the line, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    device: String,
    name: String,
    _file: Flock<File>,
}

/// Who stands before.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) path: PathBuf,
    /// Locked as long as they stand there.
    pub(super) file: File,
    /// How many there are.
    pub(super) number: usize,
}

impl Place {
    /// Takes the last place.
    pub(super) fn take(folder: &Path, device: &str, me: &Holder) -> Result<Self, LeaseError> {
        // One at a time takes a place: the folder itself is the lock.
        let entry = File::open(folder).map_err(|e| LeaseError::file(folder, e))?;
        let _entry = Flock::lock(entry, FlockArg::LockExclusive)
            .map_err(|(_, errno)| LeaseError::file(folder, errno))?;
        // Also after places that were left behind: only their owners can take those away.
        let last = names(folder, device)?.pop();
        let last = last.and_then(|name| number(&name)).unwrap_or(0);
        let number = last + 1;
        let name = format!("{}{MARK}{number:020}", file_name(device));
        let path = folder.join(&name);
        let fail = |source: io::Error| LeaseError::file(&path, source);
        // For others to see who stands there.
        let (file, hidden) = hidden(&path, 0o644).map_err(fail)?.into_parts();
        // Locked before anybody can see it: else it would look left behind.
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let mut file = locked.map_err(|(_, errno)| fail(errno.into()))?;
        me.write(&mut file).map_err(fail)?;
        hidden
            .persist_noclobber(&path)
            .map_err(|failed| fail(failed.error))?;
        Ok(Self {
            folder: folder.to_owned(),
            device: device.to_owned(),
            name,
            _file: file,
        })
    }

    /// Who stands directly before, if anybody.
    pub(super) fn before(&self) -> Result<Option<Before>, LeaseError> {
        let mut before = places(&self.folder, &self.device)?;
        before.retain(|(name, _)| *name < self.name);
        let number = before.len();
        while let Some((name, _)) = before.pop() {
            let path = self.folder.join(name);
            match open_found(&path) {
                Ok(Some(file)) => return Ok(Some(Before { path, file, number })),
                // Served in this moment.
                Ok(None) => {}
                Err(error) => return Err(LeaseError::file(&path, error)),
            }
        }
        Ok(None)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.folder.join(&self.name));
    }
}

/// Who waits, in order.
pub(super) fn waiting(folder: &Path, device: &str) -> Result<Vec<Holder>, LeaseError> {
    let places = places(folder, device)?.into_iter();
    Ok(places.map(|(_, holder)| holder).collect())
}

/// The places that somebody stands at, in order. Takes away those that were left behind.
fn places(folder: &Path, device: &str) -> Result<Vec<(String, Holder)>, LeaseError> {
    let mut places = Vec::new();
    for name in names(folder, device)? {
        let path = folder.join(&name);
        match holder::of(&path)? {
            Some(holder) => places.push((name, holder)),
            None => {
                let _ = fs::remove_file(&path);
            }
        }
    }
    Ok(places)
}

/// The number of a place, by its file's name. Other names, which anybody may have put there, are no places; as numbers that
/// would leave none for those who come.
fn number(name: &str) -> Option<u64> {
    let (_, digits) = name.rsplit_once('.')?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number)?;
    (number < u64::MAX / 2).then_some(number)
}

/// The files of all places, in order, those that were left behind included.
fn names(folder: &Path, device: &str) -> Result<Vec<String>, LeaseError> {
    let start = file_name(device) + MARK;
    let fail = |source| LeaseError::file(folder, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        names.extend(
            name.to_str()
                .filter(|name| name.starts_with(&start) && number(name).is_some())
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}
