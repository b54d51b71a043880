//! The board's directory: memory images and the lock that keeps two boards apart.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    error::BoardError,
    memory_map::{BOOT_FLASH, ERASED, NVM},
};

pub(crate) struct Storage {
    dir: PathBuf,
    /// Held by the kernel until we end, however we end.
    _lock: Flock<File>,
}

impl Storage {
    /// Takes the directory; blank images are made where there are none.
    pub(crate) fn open(dir: &Path, owner: &str) -> Result<Self, BoardError> {
        let unusable = |source| BoardError::Dir {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(unusable)?;
        let dir = dir.canonicalize().map_err(unusable)?;
        let lock = lock(&dir, owner)?;
        let storage = Storage { dir, _lock: lock };
        ensure_image(&storage.nvm(), NVM.len())?;
        ensure_image(&storage.boot().path, BOOT_FLASH.len())?;
        Ok(storage)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn nvm(&self) -> PathBuf {
        self.dir.join("nvm.bin")
    }

    pub(crate) fn boot(&self) -> BootImage {
        BootImage {
            path: self.dir.join("boot.bin"),
            new: self.dir.join("boot.bin.new"),
        }
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.dir.join("console")
    }
}

/// What the boot flash holds while power is off.
#[derive(Debug, Clone)]
pub(crate) struct BootImage {
    path: PathBuf,
    new: PathBuf,
}

impl BootImage {
    pub(crate) fn read(&self) -> Result<Vec<u8>, BoardError> {
        fs::read(&self.path).map_err(|source| self.failed("read", source))
    }

    /// Where a new image is written before [`Self::commit`].
    pub(crate) fn new_image(&self) -> &Path {
        &self.new
    }

    /// The new image takes the old one's place at once.
    pub(crate) fn commit(&self) -> Result<(), BoardError> {
        fs::rename(&self.new, &self.path).map_err(|source| self.failed("replace", source))
    }

    /// The old image stays.
    pub(crate) fn not_written(&self, reason: String) -> BoardError {
        let _ = fs::remove_file(&self.new);
        self.failed("write", io::Error::other(reason))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> BoardError {
        BoardError::Storage {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

fn lock(dir: &Path, owner: &str) -> Result<Flock<File>, BoardError> {
    let path = dir.join("lock");
    let failed = |source| BoardError::Storage {
        action: "lock",
        path: path.clone(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0).map_err(failed)?;
            lock.write_all(owner.as_bytes()).map_err(failed)?;
            Ok(lock)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut owner = String::new();
            // It may be about to be written; an empty one says nothing wrong.
            let _ = file.read_to_string(&mut owner);
            Err(BoardError::DirInUse {
                path: dir.to_owned(),
                owner: owner.trim().to_owned(),
            })
        }
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

fn ensure_image(path: &Path, len: usize) -> Result<(), BoardError> {
    let failed = |action| {
        move |source: io::Error| BoardError::Storage {
            action,
            path: path.to_owned(),
            source,
        }
    };
    match fs::metadata(path) {
        Ok(found) if found.len() == len as u64 => Ok(()),
        Ok(found) => Err(BoardError::ImageSize {
            path: path.to_owned(),
            found: found.len(),
            expected: len as u64,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Never leave half an image behind.
            let new = path.with_extension("new");
            fs::write(&new, vec![ERASED; len])
                .and_then(|()| fs::rename(&new, path))
                .inspect_err(|_| drop(fs::remove_file(&new)))
                .map_err(failed("write"))
        }
        Err(error) => Err(failed("read")(error)),
    }
}
