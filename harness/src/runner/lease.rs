//! One run at a time on a device: a lease on its name, held by a lock that the kernel gives back.
//!
//! The lock is on an open file, so it ends with the process however that ends, and the text in the file is only there
//! to tell others who holds it.

use std::{
    env,
    fmt::Write as _,
    fs::{self, DirBuilder, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use miette::Diagnostic;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::Uid,
};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::oneshot, time::timeout};

/// Nobody needs more to know who holds a lease.
const LONGEST_TEXT: u64 = 1024;

/// A device could not be leased.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody else has it.
    #[error("device `{device}` is in use by {holder}")]
    #[diagnostic(help(
        "wait for it with --wait, or end the other run; a lease of a process that has died is free at once"
    ))]
    Held {
        /// The device.
        device: String,
        /// Process, purpose and time, as the holder wrote them down.
        holder: String,
    },
    /// The folder for leases is not safe to use.
    #[error("{} can't hold leases: {reason}", folder.display())]
    #[diagnostic(help(
        "it must be a folder of your own that nobody else can write to; remove it, or set XDG_RUNTIME_DIR"
    ))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file could not be opened or locked.
    #[error("the lease file {} can't be used", path.display())]
    #[diagnostic(help("is the disk full, or the folder not writable?"))]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Exclusive use of one device, until dropped.
#[derive(Debug)]
#[must_use = "the device is free again as soon as the lease is dropped"]
pub struct Lease {
    file: Flock<File>,
}

impl Lease {
    /// Leases the device of that name, waiting for its present holder for at most `wait`; without, not at all.
    ///
    /// # Errors
    /// [`LeaseError::Held`] names the holder.
    pub async fn acquire(
        device: &str,
        purpose: &str,
        wait: Option<Duration>,
    ) -> Result<Self, LeaseError> {
        Self::acquire_in(&folder()?, device, purpose, wait).await
    }

    async fn acquire_in(
        folder: &Path,
        device: &str,
        purpose: &str,
        wait: Option<Duration>,
    ) -> Result<Self, LeaseError> {
        let path = folder.join(file_name(device));
        let fail = |source| LeaseError::File {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        let locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((file, Errno::EWOULDBLOCK)) => {
                let waited = match wait {
                    Some(limit) => lock_within(file, limit).await.map_err(fail)?,
                    None => None,
                };
                waited.ok_or_else(|| LeaseError::Held {
                    device: device.into(),
                    holder: holder(&path),
                })?
            }
            Err((_, errno)) => return Err(fail(errno.into())),
        };
        let mut lease = Self { file: locked };
        lease.write_holder(purpose).map_err(fail)?;
        Ok(lease)
    }

    fn write_holder(&mut self, purpose: &str) -> io::Result<()> {
        let now = OffsetDateTime::now_utc()
            .replace_nanosecond(0)
            .map_err(io::Error::other)?;
        let since = now.format(&Rfc3339).map_err(io::Error::other)?;
        let text = format!("process {} ({purpose}) since {since}", std::process::id());
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The text is no more true. The file stays: removing it would let two runs lock two files of the same name.
        let _ = self.file.set_len(0);
    }
}

/// The kernel queues those who wait, first come first served. `None` when the lock did not come in time.
async fn lock_within(file: File, limit: Duration) -> io::Result<Option<Flock<File>>> {
    let (sender, locked) = oneshot::channel();
    // Not of the runtime's pool, which is waited for at the end: this thread may wait for hours. Should nobody want
    // the lock any more when it comes, it is dropped together with the unsent message.
    thread::Builder::new().name("lease".into()).spawn(move || {
        let _ = sender.send(Flock::lock(file, FlockArg::LockExclusive));
    })?;
    match timeout(limit, locked).await {
        Ok(Ok(Ok(locked))) => Ok(Some(locked)),
        Ok(Ok(Err((_, errno)))) => Err(errno.into()),
        Ok(Err(_)) => Err(io::Error::other("the waiting thread has ended")),
        Err(_) => Ok(None),
    }
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_TEXT).read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), text) if !text.is_empty() => text.into(),
        _ => "another process".into(),
    }
}

/// A folder that only this user can write to, and that is empty after a reboot.
fn folder() -> Result<PathBuf, LeaseError> {
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
fn file_name(device: &str) -> String {
    let mut name = String::new();
    for byte in device.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => {
                let _ = write!(name, "%{byte:02x}");
            }
        }
    }
    name + ".lock"
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::*;

    /// Long enough on any machine; waited for only when the test fails.
    const PATIENCE: Duration = Duration::from_mins(1);

    #[fixture]
    fn leases() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    async fn acquire(
        folder: &TempDir,
        device: &str,
        wait: Option<Duration>,
    ) -> Result<Lease, LeaseError> {
        Lease::acquire_in(folder.path(), device, "test", wait).await
    }

    #[rstest]
    #[tokio::test]
    async fn one_holder_at_a_time_who_is_named(leases: TempDir) {
        let held = acquire(&leases, "sensor-a", None).await.unwrap();
        let error = acquire(&leases, "sensor-a", None)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("process {} (test) since 20", std::process::id())),
            "{error}"
        );
        let _other_device = acquire(&leases, "sensor-b", None).await.unwrap();
        drop(held);
        let _again = acquire(&leases, "sensor-a", None).await.unwrap();
    }

    #[rstest]
    #[tokio::test]
    async fn waiting_ends_when_the_lease_is_free(leases: TempDir) {
        let held = acquire(&leases, "sensor-a", None).await.unwrap();
        let short = acquire(&leases, "sensor-a", Some(Duration::from_millis(20))).await;
        assert!(matches!(short, Err(LeaseError::Held { .. })));
        let waiting = acquire(&leases, "sensor-a", Some(PATIENCE));
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("two holders"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        drop(held);
        // The one who gave up must not have got it in between for good.
        let _free = waiting.await.unwrap();
    }

    #[rstest]
    #[case::slash("a/../../b")]
    #[case::dots("..")]
    #[case::unicode("Küche")]
    #[case::empty("")]
    #[tokio::test]
    async fn any_name_stays_in_the_folder(leases: TempDir, #[case] device: &str) {
        let _lease = acquire(&leases, device, None).await.unwrap();
        assert_eq!(fs::read_dir(leases.path()).unwrap().count(), 1);
    }

    /// Holds a lease until killed; run by the test below in a process of its own.
    #[test]
    #[ignore = "a part of a_killed_holder_leaves_the_lease_free"]
    fn holder_process() {
        let folder = env::var("PROVEBENCH_TEST_LEASES").expect("set by the test that starts this");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _lease = runtime
            .block_on(Lease::acquire_in(
                Path::new(&folder),
                "sensor-a",
                "test",
                None,
            ))
            .unwrap();
        println!("\nheld");
        io::stdin().read_line(&mut String::new()).unwrap();
    }

    #[rstest]
    #[tokio::test]
    async fn a_killed_holder_leaves_the_lease_free(leases: TempDir) {
        let mut holder = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "runner::lease::tests::holder_process",
                "--ignored",
                "--nocapture",
            ])
            .env("PROVEBENCH_TEST_LEASES", leases.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        assert!(
            lines.map_while(Result::ok).any(|line| line == "held"),
            "the other process got no lease"
        );
        let error = acquire(&leases, "sensor-a", None)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("process {}", holder.id())),
            "{error}"
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
        let _lease = acquire(&leases, "sensor-a", None).await.unwrap();
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
