//! Where leases are kept.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2},
    unistd::Uid,
};
use sha2::{Digest, Sha256};

use super::LeaseError;

/// Names a folder for leases, for benches whose users agree on one.
const VARIABLE: &str = "PROVEBENCH_LEASES";

/// The folder that all users of this host share. It is empty after a reboot.
pub(super) fn folder() -> Result<PathBuf, LeaseError> {
    if let Some(folder) = env::var_os(VARIABLE) {
        let folder = PathBuf::from(folder);
        return open_to_all(&folder).map(|()| folder);
    }
    // Where locks of serial ports are, too: a service with a /tmp of its own sees it. Not everywhere can all users make
    // folders there.
    let (best, else_) = ("/run/lock/provebench", "/tmp/provebench-leases");
    let folder = PathBuf::from(best);
    if open_to_all(&folder).is_ok() {
        return Ok(folder);
    }
    let folder = PathBuf::from(else_);
    open_to_all(&folder).map(|()| folder)
}

/// Makes the folder, or makes sure that all can use the one there and nobody can take away what is another's.
fn open_to_all(folder: &Path) -> Result<(), LeaseError> {
    const MODE: u32 = 0o1777;
    let fail = |reason: String| LeaseError::Folder {
        folder: folder.into(),
        reason,
    };
    if !folder.exists() {
        make(folder, MODE).map_err(|error| fail(error.to_string()))?;
    }
    // Of the link, if it is one: who can place links there can lead us anywhere.
    let found = fs::symlink_metadata(folder).map_err(|error| fail(error.to_string()))?;
    if !found.is_dir() {
        return Err(fail("it is not a folder".into()));
    }
    let mode = found.permissions().mode() & 0o7777;
    let is_own = found.uid() == Uid::effective().as_raw();
    // One's own closed folder is fine, if that is wanted.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(fail(format!(
            "others can remove each other's files in it (mode {mode:o} instead of {MODE:o})"
        )));
    }
    if !is_own && mode & 0o002 == 0 {
        return Err(fail(format!(
            "it belongs to user {}, and only they can write to it (mode {mode:o} instead of {MODE:o})",
            found.uid()
        )));
    }
    Ok(())
}

/// Makes a folder that has its mode from its first moment, whatever the umask is.
fn make(folder: &Path, mode: u32) -> io::Result<()> {
    let fresh = folder.with_extension(rand::random::<u64>().to_string());
    fs::create_dir(&fresh)?;
    let made = fs::set_permissions(&fresh, fs::Permissions::from_mode(mode)).and_then(|()| {
        let named = renameat2(
            AT_FDCWD,
            &fresh,
            AT_FDCWD,
            folder,
            RenameFlags::RENAME_NOREPLACE,
        );
        match named {
            // Somebody else was quicker.
            Err(Errno::EEXIST) => Ok(fs::remove_dir(&fresh)?),
            other => Ok(other?),
        }
    });
    if made.is_err() {
        let _ = fs::remove_dir(&fresh);
    }
    made
}

/// Opens a file that every user of this host may lock and write, and makes it where there is none.
pub(super) fn open_shared(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    // Nobody's link leads us anywhere.
    options
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits());
    loop {
        // Not both in one: kernels refuse O_CREAT on another's file in a folder that is open to all
        // (fs.protected_regular).
        match options.clone().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                file.set_permissions(fs::Permissions::from_mode(0o666))?;
                return Ok(file);
            }
        }
    }
}

/// Any text as a file's name, different for different texts.
pub(super) fn file_name(text: &str) -> String {
    const LONGEST: usize = 150;
    let mut name = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => {
                let _ = write!(name, "%{byte:02x}");
            }
        }
    }
    if name.len() > LONGEST {
        let hash = hex::encode(&Sha256::digest(text)[..8]);
        name.truncate(LONGEST);
        let _ = write!(name, "~{hash}");
    }
    name
}

#[cfg(test)]
mod tests {
    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;

    #[fixture]
    fn leases() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    #[rstest]
    fn a_folder_where_files_can_be_taken_away_is_refused(leases: TempDir) {
        let folder = leases.path().join("shared");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let error = open_to_all(&folder).unwrap_err().to_string();
        assert!(error.contains("others can remove"), "{error}");
    }

    #[rstest]
    fn a_link_in_place_of_the_folder_is_refused(leases: TempDir) {
        let link = leases.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        let error = open_to_all(&link).unwrap_err().to_string();
        assert!(error.contains("not a folder"), "{error}");
    }

    #[rstest]
    fn a_link_in_place_of_a_file_is_refused(leases: TempDir) {
        let link = leases.path().join("sensor.lock");
        std::os::unix::fs::symlink(leases.path().join("victim"), &link).unwrap();
        open_shared(&link).unwrap_err();
        assert!(!leases.path().join("victim").exists());
    }

    #[rstest]
    fn a_new_folder_is_for_all(leases: TempDir) {
        let folder = leases.path().join("new");
        open_to_all(&folder).unwrap();
        open_to_all(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&folder), 0o1777);
        let file = folder.join("sensor.lock");
        open_shared(&file).unwrap();
        assert_eq!(mode(&file), 0o666);
        open_shared(&file).unwrap();
    }

    #[rstest]
    fn names_are_short_and_differ() {
        let long = "/x".repeat(3000);
        let other = format!("{long}y");
        assert!(file_name(&long).len() < 200);
        assert_ne!(file_name(&long), file_name(&other));
        assert_ne!(file_name("a/b"), file_name("a_b"));
    }
}
