//! Where leases are kept.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2},
    unistd::Uid,
};
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile};

use super::LeaseError;

/// The mode of a folder where everybody may make files, and remove their own.
const MODE: u32 = 0o1777;

/// The mode of files that everybody may lock and write.
const FOR_ALL: u32 = 0o666;

/// Making a file takes no time; one that is hidden for so long was left.
const LEFT_AFTER: Duration = Duration::from_hours(1);

/// Names a folder for leases, for benches whose users agree on one.
const VARIABLE: &str = "PROVEBENCH_LEASES";

/// The folder that all users of this host share. It is empty after a reboot.
pub(super) fn folder() -> Result<PathBuf, LeaseError> {
    if let Some(folder) = env::var_os(VARIABLE) {
        let folder = PathBuf::from(folder);
        // Who names it trusts its owner.
        return fit(&folder, Owner::Anybody).map(|()| folder);
    }
    // Where locks of serial ports are, too: a service with a /tmp of its own sees it. Not everywhere can all users make
    // folders there.
    best_of(
        Path::new("/run/lock/provebench"),
        Path::new("/tmp/provebench-leases"),
    )
}

fn best_of(best: &Path, other: &Path) -> Result<PathBuf, LeaseError> {
    // Others may lease in the other one already, for want of the right to make the best. Who has that right (root) must
    // not make a second folder beside theirs: two would have the board.
    let folder = if best.exists() {
        best
    } else if is_used(other) {
        other
    } else if fit(best, Owner::Trusted).is_ok() {
        best
    } else {
        other
    };
    fit(folder, Owner::Trusted).map(|()| folder.into())
}

/// Whether somebody may lease in this folder: it is one that its owner at least takes.
fn is_used(folder: &Path) -> bool {
    folder.exists() && fit_there(folder, Owner::Anybody).is_ok()
}

/// Whose folder is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The owner of a folder can take away what is in it, whatever its mode is: only root, and oneself.
    Trusted,
    /// The user has named the folder.
    Anybody,
}

/// Makes the folder, or makes sure that all can use the one there and nobody can take away what is another's.
fn fit(folder: &Path, owner: Owner) -> Result<(), LeaseError> {
    if !folder.exists() {
        make(folder, MODE).map_err(|error| unfit(folder, error.to_string()))?;
    }
    fit_there(folder, owner)
}

fn fit_there(folder: &Path, owner: Owner) -> Result<(), LeaseError> {
    let fail = |reason: String| unfit(folder, reason);
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
            "it belongs to another user, and only they can write to it (mode {mode:o} instead of {MODE:o})"
        )));
    }
    if owner == Owner::Trusted && !is_own && !Uid::from_raw(found.uid()).is_root() {
        return Err(fail(format!(
            "it belongs to user {}, who can take away what others lease there: it must be root's",
            found.uid()
        )));
    }
    Ok(())
}

fn unfit(folder: &Path, reason: String) -> LeaseError {
    LeaseError::Folder {
        folder: folder.into(),
        reason,
    }
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

/// Flags for opening what anybody may have put there: no link leads us anywhere, and a FIFO keeps nobody waiting.
const HARMLESS: i32 = OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits();

/// Opens what is in the folder, for reading. Anybody may have put it there: None if it is not a regular file.
pub(super) fn open_found(path: &Path) -> io::Result<Option<File>> {
    let opened = File::options().read(true).custom_flags(HARMLESS).open(path);
    match opened.and_then(regular) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_no_file(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Not there any more, not made by us (ours can be read by all), or something else than a file. A socket can't be opened
/// at all; a link is not followed.
fn is_no_file(error: &io::Error) -> bool {
    let others = [Errno::ENXIO, Errno::ELOOP, Errno::EISDIR].map(|errno| errno as i32);
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidData
    ) || error
        .raw_os_error()
        .is_some_and(|errno| others.contains(&errno))
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        ErrorKind::InvalidData,
        "it is not a regular file: remove it (who made it, or root, can)",
    ))
}

/// Opens a file that every user of this host may lock and write, and makes it where there is none.
pub(super) fn open_shared(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(HARMLESS);
    loop {
        // Not both in one: kernels refuse O_CREAT on another's file in a folder that is open to all
        // (fs.protected_regular).
        match options.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            file => return file.and_then(regular).and_then(for_all),
        }
        let named = hidden(path, FOR_ALL)?.persist_noclobber(path);
        match named.map_err(|failed| failed.error) {
            // Somebody else was quicker, with the file or with taking away what looked left behind.
            Err(error)
                if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
            file => return file,
        }
    }
}

/// Mends the mode of a file of ours, which a process of an earlier version may have died before it set.
fn for_all(file: File) -> io::Result<File> {
    let found = file.metadata()?;
    // With a second name it may be any file of ours, which somebody has put here.
    let is_ours = found.uid() == Uid::effective().as_raw() && found.is_file() && found.nlink() == 1;
    if is_ours && found.permissions().mode() & 0o777 != FOR_ALL {
        file.set_permissions(fs::Permissions::from_mode(FOR_ALL))?;
    }
    Ok(file)
}

/// A new file beside `path` that nobody looks at until it gets that name: so nobody meets it half made, also if this
/// process dies. It has its mode whatever the umask is.
pub(super) fn hidden(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    // A dot more than any lease's or place's name has.
    let prefix = format!(".{}.", name.to_string_lossy());
    take_away_left(folder, &prefix);
    let file = Builder::new().prefix(&prefix).tempfile_in(folder)?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

/// What processes that were killed have left hidden; not what others are making now. Only its owner can.
fn take_away_left(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_hidden = entry.file_name().to_string_lossy().starts_with(prefix);
        let modified = entry.metadata().and_then(|found| found.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if is_hidden && age.is_some_and(|age| age > LEFT_AFTER) {
            let _ = fs::remove_file(entry.path());
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
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::SystemTime,
    };

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
        let error = fit(&folder, Owner::Trusted).unwrap_err().to_string();
        assert!(error.contains("others can remove"), "{error}");
    }

    #[rstest]
    fn a_link_in_place_of_the_folder_is_refused(leases: TempDir) {
        let link = leases.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        let error = fit(&link, Owner::Trusted).unwrap_err().to_string();
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
        fit(&folder, Owner::Trusted).unwrap();
        fit(&folder, Owner::Trusted).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&folder), 0o1777);
        let file = folder.join("sensor.lock");
        open_shared(&file).unwrap();
        assert_eq!(mode(&file), 0o666);
        open_shared(&file).unwrap();
    }

    /// One that can't be opened by all locks others out, and its maker may be killed in that moment.
    #[rstest]
    fn nobody_meets_a_file_that_is_not_for_all(leases: TempDir) {
        let path = leases.path().join("sensor.lock");
        let is_over = AtomicBool::new(false);
        let mut met = thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut met = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let found = fs::metadata(&path);
                    met.extend(found.map(|found| found.permissions().mode() & 0o777));
                }
                met
            });
            for _ in 0..2000 {
                open_shared(&path).unwrap();
                fs::remove_file(&path).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
            looks.join().unwrap()
        });
        met.remove(&FOR_ALL);
        let wrong: Vec<String> = met.iter().map(|mode| format!("{mode:o}")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(fs::read_dir(leases.path()).unwrap().count(), 0);
    }

    #[rstest]
    fn a_file_of_ours_is_opened_to_all(leases: TempDir) {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let closed = |name: &str| {
            let path = leases.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let path = closed("sensor.lock");
        open_shared(&path).unwrap();
        assert_eq!(mode(&path), FOR_ALL);
        // But no secret of ours that is called so by somebody else.
        let secret = closed("secret");
        fs::hard_link(&secret, leases.path().join("other.lock")).unwrap();
        open_shared(&leases.path().join("other.lock")).unwrap();
        assert_eq!(mode(&secret), 0o600);
    }

    #[rstest]
    fn what_killed_processes_left_is_taken_away(leases: TempDir) {
        let left = leases.path().join(".sensor.lock.old");
        let others = leases.path().join(".sensor.lock.new");
        let long_ago = SystemTime::now() - 2 * LEFT_AFTER;
        File::create(&left).unwrap().set_modified(long_ago).unwrap();
        File::create(&others).unwrap();
        open_shared(&leases.path().join("sensor.lock")).unwrap();
        assert!(!left.exists() && others.exists());
    }

    /// Users who can't make the best folder lease in the other one; who can must find them there.
    #[rstest]
    #[case::neither(&[], "best")]
    #[case::other(&["other"], "other")]
    #[case::both(&["best", "other"], "best")]
    #[case::best(&["best"], "best")]
    fn there_is_one_folder(leases: TempDir, #[case] made: &[&str], #[case] expected: &str) {
        let path = |name: &str| leases.path().join(name);
        for name in made {
            fit(&path(name), Owner::Trusted).unwrap();
        }
        let chosen = best_of(&path("best"), &path("other")).unwrap();
        assert_eq!(chosen, path(expected));
        assert_eq!(path("best").exists(), expected == "best");
    }

    #[rstest]
    fn a_folder_that_is_not_fit_is_not_taken(leases: TempDir) {
        let path = |name: &str| leases.path().join(name);
        fs::create_dir(path("other")).unwrap();
        fs::set_permissions(path("other"), fs::Permissions::from_mode(0o777)).unwrap();
        let chosen = best_of(&path("best"), &path("other")).unwrap();
        assert_eq!(chosen, path("best"));
    }

    /// In a folder of theirs they can remove locks that others hold.
    #[rstest]
    #[case::theirs(1001, 0o1777, false)]
    #[case::theirs_alone(1001, 0o755, false)]
    #[case::root_s(0, 0o1777, true)]
    fn another_user_s_folder_is_refused(
        leases: TempDir,
        #[case] uid: u32,
        #[case] mode: u32,
        #[case] is_fit: bool,
    ) {
        if !Uid::effective().is_root() {
            return; // Nobody else can give folders away.
        }
        let folder = leases.path().join("other");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&folder, Some(uid), None).unwrap();
        assert_eq!(fit(&folder, Owner::Trusted).is_ok(), is_fit);
        // Who leases there must not be overlooked, in a folder beside it.
        let best = leases.path().join("best");
        let chosen = best_of(&best, &folder);
        assert_eq!(chosen.is_ok(), is_fit || mode != MODE);
        assert_eq!(best.exists(), mode != MODE);
        // Named, its owner is trusted.
        assert_eq!(fit(&folder, Owner::Anybody).is_ok(), mode == MODE);
    }

    #[rstest]
    #[case::fifo(|path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap())]
    #[case::folder(|path: &Path| fs::create_dir(path).unwrap())]
    #[case::socket(|path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()))]
    #[case::link(|path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap())]
    fn what_is_no_file_keeps_nobody_waiting(leases: TempDir, #[case] put: fn(&Path)) {
        let path = leases.path().join("sensor.lock");
        put(&path);
        assert!(open_found(&path).unwrap().is_none());
        open_shared(&path).unwrap_err();
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
