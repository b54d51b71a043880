//! Where leases are kept.

use std::{
    env,
    fmt::Write as _,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use super::LeaseError;

/// A folder that only this user can write to, and that is empty after a reboot.
pub(super) fn folder() -> Result<PathBuf, LeaseError> {
    let runtime = env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.is_dir());
    let folder = match runtime {
        Some(runtime) => runtime.join("provebench"),
        None => PathBuf::from(format!("/tmp/provebench-{}", Uid::effective())),
    };
    make_private(&folder)?;
    let leases = folder.join("leases");
    make_private(&leases)?;
    Ok(leases)
}

/// Makes the folder, or makes sure that the one there is nobody else's trap.
fn make_private(folder: &Path) -> Result<(), LeaseError> {
    let fail = |reason: String| LeaseError::Folder {
        folder: folder.into(),
        reason,
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(fail(error.to_string()));
        }
        _ => {}
    }
    // Of the link, if it is one: who can place links there can lead us anywhere.
    let found = fs::symlink_metadata(folder).map_err(|error| fail(error.to_string()))?;
    if !found.is_dir() {
        return Err(fail("it is not a folder".into()));
    }
    if found.uid() != Uid::effective().as_raw() {
        return Err(fail(format!("it belongs to user {}", found.uid())));
    }
    if found.permissions().mode() & 0o022 != 0 {
        return Err(fail("others can write to it".into()));
    }
    Ok(())
}

/// Any name as a file's name, different for different names.
pub(super) fn file_name(device: &str) -> String {
    let mut name = String::new();
    for byte in device.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => {
                let _ = write!(name, "%{byte:02x}");
            }
        }
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
    fn a_folder_that_others_can_write_to_is_refused(leases: TempDir) {
        let folder = leases.path().join("shared");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            make_private(&folder)
                .unwrap_err()
                .to_string()
                .contains("others can write")
        );
    }

    #[rstest]
    fn a_link_in_place_of_the_folder_is_refused(leases: TempDir) {
        let link = leases.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(
            make_private(&link)
                .unwrap_err()
                .to_string()
                .contains("not a folder")
        );
    }

    #[rstest]
    fn a_new_folder_is_private(leases: TempDir) {
        let folder = leases.path().join("new");
        make_private(&folder).unwrap();
        make_private(&folder).unwrap();
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}
