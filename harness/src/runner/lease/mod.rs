//! One run at a time on a board, of all users of this host: a lease, held by a lock that the kernel gives back.
//!
//! The lock is on an open file, so it ends with the process however that ends, and the text in the file is only there
//! to tell others who holds it. Who waits does so in a [`line`].

mod folder;
mod holder;
mod line;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use miette::Diagnostic;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use thiserror::Error;
use tokio::{sync::oneshot, time::timeout};

use crate::bench::memory_of;
use crate::inventory::{Attachment, ConsolePort, Device};
use folder::{file_name, folder, open_shared};
pub use holder::Holder;
use line::Place;

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
        "all users of the boards must be able to use it, as /tmp: mode 1777; remove it, or name another one, the same for \
         all, in PROVEBENCH_LEASES"
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

/// Who has a device, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Who has it now.
    pub holder: Option<Holder>,
    /// Who waits, in order.
    pub waiting: Vec<Holder>,
}

impl Lease {
    /// Leases the device, waiting in line for at most `wait`; without, not at all.
    ///
    /// # Errors
    /// [`LeaseError::Held`] names the holder.
    pub async fn acquire(
        device: &Device,
        purpose: &str,
        wait: Option<Duration>,
    ) -> Result<Self, LeaseError> {
        Self::acquire_telling(device, purpose, wait, &|_| ()).await
    }

    /// As [`Self::acquire`]; tells for whom is waited, whenever that changes.
    pub async fn acquire_telling(
        device: &Device,
        purpose: &str,
        wait: Option<Duration>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, LeaseError> {
        let leased = Self::acquire_in(&folder()?, &board(device), purpose, wait, tell).await;
        // Others may know the board by another name.
        leased.map_err(|error| match error {
            LeaseError::Held { holder, .. } => LeaseError::Held {
                device: device.name.clone(),
                holder,
            },
            other => other,
        })
    }

    /// Who has the device, and who waits for it. Disturbs nobody.
    pub fn usage(device: &Device) -> Result<Usage, LeaseError> {
        usage_in(&folder()?, &board(device))
    }

    async fn acquire_in(
        folder: &Path,
        device: &str,
        purpose: &str,
        wait: Option<Duration>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, LeaseError> {
        let me = Holder::new(purpose);
        match wait {
            None => Self::acquire_now(folder, device, &me),
            Some(limit) => {
                let waiting = Self::acquire_in_line(folder, device, &me, tell);
                match timeout(limit, waiting).await {
                    Ok(lease) => lease,
                    Err(_) => Err(held(folder, device)),
                }
            }
        }
    }

    fn acquire_now(folder: &Path, device: &str, me: &Holder) -> Result<Self, LeaseError> {
        // Those who wait come first, also in the moment between two holders.
        if !line::waiting(folder, device)?.is_empty() {
            return Err(held(folder, device));
        }
        let (path, file) = open(folder, device)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Self::begin(&path, file, me),
            Err((_, Errno::EWOULDBLOCK)) => Err(held(folder, device)),
            Err((_, errno)) => Err(LeaseError::file(&path, errno)),
        }
    }

    async fn acquire_in_line(
        folder: &Path,
        device: &str,
        me: &Holder,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, LeaseError> {
        let place = Place::take(folder, device, me)?;
        while let Some(before) = place.before()? {
            tell(&in_use(folder, device, before.number));
            lock(before.file, FlockArg::LockShared)
                .await
                .map_err(|e| LeaseError::file(&before.path, e))?;
        }
        let (path, file) = open(folder, device)?;
        // Told before it is waited for: if it is free, that is so short that nobody sees it.
        if holder::of(&path)?.is_some() {
            tell(&in_use(folder, device, 0));
        }
        let file = lock(file, FlockArg::LockExclusive)
            .await
            .map_err(|e| LeaseError::file(&path, e))?;
        Self::begin(&path, file, me)
    }

    fn begin(path: &Path, file: Flock<File>, me: &Holder) -> Result<Self, LeaseError> {
        let mut lease = Self { file };
        me.write(&mut lease.file)
            .map_err(|source| LeaseError::file(path, source))?;
        Ok(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The text is no more true. The file stays: removing it would let two runs lock two files of the same name.
        let _ = self.file.set_len(0);
        // Before the lock itself: whoever gets that puts their own mark there.
        let _ = holder::unmark(&self.file);
    }
}

impl LeaseError {
    fn file(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// What a board is told by, whatever name an inventory has for it: its probe, else its console, else its network. A
/// virtual one by where its memory is.
fn board(device: &Device) -> String {
    let wiring = match &device.attachment {
        Attachment::Virtual(board) => {
            let memory = memory_of(&device.name, board);
            return format!("virtual {}", memory.display());
        }
        Attachment::Real(wiring) => wiring,
    };
    if let Some(probe) = &wiring.probe {
        return format!("probe {}", probe.selector.to_lowercase());
    }
    if let Some(console) = &wiring.console {
        if let ConsolePort::Serial(path) = &console.port
            && let Ok(path) = path.canonicalize()
        {
            // Links such as those in /dev/serial/by-id lead to the same port.
            return format!("console {}", path.display());
        }
        return format!("console {}", console.port);
    }
    match &wiring.network {
        Some(port) => format!("network {port}"),
        None => format!("name {}", device.name),
    }
}

fn open(folder: &Path, device: &str) -> Result<(PathBuf, File), LeaseError> {
    let path = folder.join(file_name(device) + ".lock");
    let file = open_shared(&path).map_err(|source| LeaseError::file(&path, source))?;
    Ok((path, file))
}

fn usage_in(folder: &Path, device: &str) -> Result<Usage, LeaseError> {
    Ok(Usage {
        holder: holder::of(&folder.join(file_name(device) + ".lock"))?,
        waiting: line::waiting(folder, device)?,
    })
}

fn held(folder: &Path, device: &str) -> LeaseError {
    let usage = usage_in(folder, device).ok();
    let holder = usage.and_then(|usage| usage.holder.or_else(|| usage.waiting.into_iter().next()));
    LeaseError::Held {
        device: device.into(),
        holder: holder.map_or_else(|| "another process".into(), |holder| holder.to_string()),
    }
}

fn in_use(folder: &Path, device: &str, before: usize) -> String {
    let usage = usage_in(folder, device).ok();
    let holder = usage.and_then(|usage| usage.holder);
    let holder = holder.map_or_else(|| "another process".into(), |holder| holder.to_string());
    match before {
        0 => format!("in use by {holder}; next in line"),
        n => format!("in use by {holder}; {n} before this in line"),
    }
}

/// Waits for a lock. Should nobody want it any more when it comes, it is dropped.
async fn lock(file: File, how: FlockArg) -> io::Result<Flock<File>> {
    let (sender, locked) = oneshot::channel();
    // Not of the runtime's pool, which is waited for at the end: this thread may wait for hours.
    thread::Builder::new().name("lease".into()).spawn(move || {
        let _ = sender.send(Flock::lock(file, how));
    })?;
    match locked.await {
        Ok(Ok(locked)) => Ok(locked),
        Ok(Err((_, errno))) => Err(errno.into()),
        Err(_) => Err(io::Error::other("the waiting thread has ended")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env, fs,
        io::{BufRead, BufReader},
        process::{Command, Stdio},
        sync::{Arc, Mutex},
        time::Instant,
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
        Lease::acquire_in(folder.path(), device, "test", wait, &|_| ()).await
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
                &|_| (),
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

    /// First come, first served, and nobody who does not wait gets in between.
    #[rstest]
    #[tokio::test]
    async fn those_who_wait_are_served_in_order(leases: TempDir) {
        let folder = Arc::new(leases);
        let held = acquire(&folder, "sensor-a", None).await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for n in 0..5 {
            let (folder, served) = (Arc::clone(&folder), Arc::clone(&served));
            waiting.push(tokio::spawn({
                let folder = Arc::clone(&folder);
                async move {
                    let lease = acquire(&folder, "sensor-a", Some(PATIENCE)).await.unwrap();
                    let other = acquire(&folder, "sensor-a", None).await;
                    assert!(matches!(other, Err(LeaseError::Held { .. })));
                    served.lock().unwrap().push(n);
                    drop(lease);
                }
            }));
            while usage_in(folder.path(), "sensor-a").unwrap().waiting.len() <= n {
                tokio::task::yield_now().await;
            }
        }
        drop(held);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(
            usage_in(folder.path(), "sensor-a").unwrap(),
            Usage {
                holder: None,
                waiting: Vec::new()
            }
        );
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "the lock's file only");
    }

    /// Who gets the lease writes into its file what the one before has just taken out of it.
    #[rstest]
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn handing_on_is_no_error(leases: TempDir) {
        let folder = Arc::new(leases);
        let turns = (0..4).map(|_| {
            let folder = Arc::clone(&folder);
            tokio::spawn(async move {
                for _ in 0..200 {
                    drop(acquire(&folder, "sensor-a", Some(PATIENCE)).await.unwrap());
                }
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
    }

    /// One who gives up waiting, in the middle of the line, lets nobody pass.
    #[rstest]
    #[tokio::test]
    async fn giving_up_keeps_the_order(leases: TempDir) {
        let held = acquire(&leases, "sensor-a", None).await.unwrap();
        let first = Box::pin(acquire(&leases, "sensor-a", Some(PATIENCE)));
        let second = Box::pin(acquire(
            &leases,
            "sensor-a",
            Some(Duration::from_millis(50)),
        ));
        let third = Box::pin(acquire(&leases, "sensor-a", Some(PATIENCE)));
        let (first, second, third) = tokio::join!(
            biased;
            async {
                let lease = first.await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
                let at = Instant::now();
                drop(lease);
                at
            },
            async {
                assert!(matches!(second.await, Err(LeaseError::Held { .. })));
                drop(held);
            },
            async {
                let _lease = third.await.unwrap();
                Instant::now()
            },
        );
        let () = second;
        assert!(third >= first);
    }

    #[rstest]
    #[tokio::test]
    async fn usage_tells_who_and_disturbs_nobody(leases: TempDir) {
        let free = usage_in(leases.path(), "sensor-a").unwrap();
        assert_eq!(
            free,
            Usage {
                holder: None,
                waiting: Vec::new()
            }
        );
        let _held = acquire(&leases, "sensor-a", None).await.unwrap();
        let usage = usage_in(leases.path(), "sensor-a").unwrap();
        let holder = usage.holder.unwrap();
        assert_eq!(
            (holder.pid, holder.purpose.as_str()),
            (std::process::id(), "test")
        );
        assert!(
            !holder.user.is_empty() && holder.since.starts_with("20"),
            "{holder}"
        );
        assert!(usage.waiting.is_empty());
    }
}
