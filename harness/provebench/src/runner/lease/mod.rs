//! One run at a time on a board, of all users of this host: a lease, held by a lock that the kernel gives back.
//!
//! The lock is on an open file, so it ends with the process however that ends, and the text in the file is only there
//! to tell others who holds it. Who waits does so in a [`line`]. A board has a lock for each of its [parts](part).

mod folder;
mod holder;
mod line;
mod part;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    slice,
    sync::{Mutex, PoisonError},
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

use folder::{file_name, folder, open_shared};
pub use holder::Holder;
use line::Place;
use part::{LockKey, parts};
use provebench_bench::Claim;
use provebench_bench::inventory::{Device, Wiring};
use provebench_record::explain::explain;

/// What the name of a lock's file ends with.
const LOCK: &str = ".lock";

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
    parts: Vec<LockKey>,
    _holds: Vec<Hold>,
    /// Of what was provided for it.
    provided: Mutex<Vec<Hold>>,
    folder: PathBuf,
    me: Holder,
}

/// A part of it.
#[derive(Debug)]
struct Hold {
    file: Flock<File>,
    is_shared: bool,
}

/// Who has a device, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Who has it now: several if each has a part of it, by inventories that differ.
    pub holders: Vec<Holder>,
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
        let leased = Self::acquire_in(&folder()?, &parts(device), purpose, wait, tell).await;
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
        usage_in(&folder()?, &parts(device))
    }

    async fn acquire_in(
        folder: &Path,
        parts: &[LockKey],
        purpose: &str,
        wait: Option<Duration>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, LeaseError> {
        let me = Holder::new(purpose);
        let holds = match wait {
            None => Self::acquire_now(folder, parts, &me)?,
            Some(limit) => {
                let waiting = Self::acquire_in_line(folder, parts, &me, tell);
                timeout(limit, waiting).await.ok().transpose()?
            }
        };
        // Only now, when what was got of it is free again: else it could be this process that is named.
        let holds = holds.ok_or_else(|| held(folder, parts))?;
        Ok(Self {
            parts: parts.to_vec(),
            _holds: holds,
            provided: Mutex::default(),
            folder: folder.to_owned(),
            me,
        })
    }

    /// None if somebody has a part of it.
    fn acquire_now(
        folder: &Path,
        parts: &[LockKey],
        me: &Holder,
    ) -> Result<Option<Vec<Hold>>, LeaseError> {
        let holds = parts.iter().map(|part| Hold::now(folder, part, me));
        holds.collect()
    }

    async fn acquire_in_line(
        folder: &Path,
        parts: &[LockKey],
        me: &Holder,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<Hold>, LeaseError> {
        let mut holds = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let tell = |before| tell(&in_use(folder, parts, at, before));
            holds.push(match Hold::now(folder, part, me)? {
                Some(hold) => hold,
                None => Hold::in_line(folder, part, me, &tell).await?,
            });
        }
        Ok(holds)
    }
}

/// What is provided is not waited for: who has it may wait for the device.
impl Claim for Lease {
    fn claim(&self, wiring: &Wiring) -> Result<(), String> {
        let mut provided = self.provided.lock().unwrap_or_else(PoisonError::into_inner);
        // What it was given the time before, it gave back.
        provided.clear();
        let mut parts = part::provided(wiring);
        parts.retain(|part| !self.parts.contains(part));
        let holds = Self::acquire_now(&self.folder, &parts, &self.me);
        match holds.map(|holds| holds.ok_or_else(|| held(&self.folder, &parts))) {
            Ok(Ok(holds)) => {
                *provided = holds;
                Ok(())
            }
            Ok(Err(LeaseError::Held { holder, .. })) => Err(format!("in use by {holder}")),
            Ok(Err(error)) | Err(error) => Err(explain(&error)),
        }
    }
}

impl Hold {
    /// None if it is not free.
    fn now(folder: &Path, part: &LockKey, me: &Holder) -> Result<Option<Self>, LeaseError> {
        // Those who wait come first, also in the moment between two holders.
        if !line::waiting(folder, &part.name)?.is_empty() {
            return Ok(None);
        }
        let (path, file) = open(folder, part)?;
        let how = if part.is_shared {
            FlockArg::LockSharedNonblock
        } else {
            FlockArg::LockExclusiveNonblock
        };
        match Flock::lock(file, how) {
            Ok(file) => Self::begin(&path, file, part, me).map(Some),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(LeaseError::file(&path, errno)),
        }
    }

    async fn in_line(
        folder: &Path,
        part: &LockKey,
        me: &Holder,
        tell: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, LeaseError> {
        let place = Place::take(folder, &part.name, me)?;
        while let Some(before) = place.before()? {
            tell(before.number);
            lock(before.file, FlockArg::LockShared)
                .await
                .map_err(|e| LeaseError::file(&before.path, e))?;
        }
        let (path, file) = open(folder, part)?;
        // Told before it is waited for: if it is free, that is so short that nobody sees it.
        if !usage_in(folder, slice::from_ref(part))?.holders.is_empty() {
            tell(0);
        }
        let how = if part.is_shared {
            FlockArg::LockShared
        } else {
            FlockArg::LockExclusive
        };
        let file = lock(file, how)
            .await
            .map_err(|e| LeaseError::file(&path, e))?;
        Self::begin(&path, file, part, me)
    }

    fn begin(
        path: &Path,
        file: Flock<File>,
        part: &LockKey,
        me: &Holder,
    ) -> Result<Self, LeaseError> {
        let is_shared = part.is_shared;
        let mut hold = Self { file, is_shared };
        // Who shares it is told by what they have alone.
        if !is_shared {
            me.write(&mut hold.file)
                .map_err(|source| LeaseError::file(path, source))?;
        }
        Ok(hold)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_shared {
            return;
        }
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

fn open(folder: &Path, part: &LockKey) -> Result<(PathBuf, File), LeaseError> {
    let path = lock_of(folder, part);
    let file = open_shared(&path).map_err(|source| LeaseError::file(&path, source))?;
    Ok((path, file))
}

fn lock_of(folder: &Path, part: &LockKey) -> PathBuf {
    folder.join(file_name(&part.name) + LOCK)
}

fn usage_in(folder: &Path, parts: &[LockKey]) -> Result<Usage, LeaseError> {
    let mut holders: Vec<Holder> = Vec::new();
    let mut waiting = Vec::new();
    // Whoever waits for a later part was before those who wait for an earlier one.
    for part in parts.iter().rev() {
        let mut locks = vec![lock_of(folder, part)];
        if !part.is_shared {
            locks.extend(locks_of_members(folder, part)?);
        }
        for lock in locks {
            let holder = holder::of(&lock)?;
            holders.extend(holder.filter(|holder| !holders.contains(holder)));
        }
        waiting.extend(line::waiting(folder, &part.name)?);
    }
    // Who has a part and waits for another one does not have the board, if somebody else does.
    if holders.iter().any(|holder| !waiting.contains(holder)) {
        holders.retain(|holder| !waiting.contains(holder));
    }
    Ok(Usage { holders, waiting })
}

/// The locks of those who share this one.
fn locks_of_members(folder: &Path, kind: &LockKey) -> Result<Vec<PathBuf>, LeaseError> {
    let start = file_name(&kind.members());
    let fail = |source| LeaseError::file(folder, source);
    let mut locks = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(OsStr::to_str);
        if name.is_some_and(|name| name.starts_with(&start) && name.ends_with(LOCK)) {
            locks.push(path);
        }
    }
    Ok(locks)
}

fn held(folder: &Path, parts: &[LockKey]) -> LeaseError {
    let usage = usage_in(folder, parts).ok();
    let holder = usage.and_then(|usage| usage.holders.into_iter().chain(usage.waiting).next());
    LeaseError::Held {
        device: parts.first().map_or("", |part| &part.name).into(),
        holder: holder.map_or_else(|| "another process".into(), |holder| holder.to_string()),
    }
}

/// What is told to who stands in the line of a part, with `before` others before them there.
fn in_use(folder: &Path, parts: &[LockKey], at: usize, before: usize) -> String {
    let usage = usage_in(folder, parts).ok();
    let holder = usage.and_then(|usage| usage.holders.into_iter().next());
    let holder = holder.map_or_else(|| "another process".into(), |holder| holder.to_string());
    let later = parts.iter().skip(at + 1);
    let later = later.filter_map(|part| line::waiting(folder, &part.name).ok());
    match before + later.map(|line| line.len()).sum::<usize>() {
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

/// What another process wrote about itself.
#[doc(hidden)]
pub fn fuzz_holder(data: &[u8]) {
    let shown = Holder::read(data).to_string();
    assert!(
        !shown.contains(provebench_record::text::is_hostile),
        "{shown:?}"
    );
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::{BufRead, BufReader},
        process::{Command, Stdio},
        sync::{Arc, Mutex},
        time::Instant,
    };

    use rstest::{fixture, rstest};
    use tempfile::TempDir;

    use super::{part::in_order, *};

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
        let parts = [LockKey::alone(device)];
        Lease::acquire_in(folder.path(), &parts, "test", wait, &|_| ()).await
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

    fn usage(folder: &TempDir, device: &str) -> Usage {
        usage_in(folder.path(), &[LockKey::alone(device)]).unwrap()
    }

    /// In a folder that is open to all, anybody can put anything.
    #[rstest]
    #[case::fifo("sensor-a.line.00000000000000000001")]
    #[case::no_number("sensor-a.line.x")]
    #[case::last_number("sensor-a.line.18446744073709551615")]
    #[case::long_number("sensor-a.line.000000000000000000000000001")]
    #[tokio::test]
    async fn what_others_put_into_the_folder_holds_nobody_up(leases: TempDir, #[case] name: &str) {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
        nix::unistd::mkfifo(&leases.path().join(name), mode).unwrap();
        let held = acquire(&leases, "sensor-a", None).await.unwrap();
        assert_eq!(usage(&leases, "sensor-a").holders.len(), 1);
        let waiting = acquire(&leases, "sensor-a", Some(PATIENCE));
        let free = async {
            while usage(&leases, "sensor-a").waiting.is_empty() {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        let (waited, ()) = tokio::join!(waiting, free);
        drop(waited.unwrap());
    }

    /// What a holder has written is shown to other users.
    #[rstest]
    #[tokio::test]
    async fn a_holder_s_text_is_nothing_that_terminals_obey(leases: TempDir) {
        let path = leases.path().join("sensor-a.lock");
        let mut file = open_shared(&path).unwrap();
        let locked = Flock::lock(file.try_clone().unwrap(), FlockArg::LockExclusive).unwrap();
        let owned = "\u{1b}]52;c;b3duZWQ=\u{7}\u{1b}[2J\u{202e}x\n".to_owned();
        let holder = Holder {
            pid: 1,
            user: owned.clone(),
            purpose: owned.repeat(5),
            since: owned,
        };
        holder.write(&mut file).unwrap();
        let error = acquire(&leases, "sensor-a", None).await.unwrap_err();
        let error = error.to_string();
        assert!(
            !error.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{error}"
        );
        assert!(error.len() < 1000 && error.contains("\\x1b"), "{error}");
        drop(locked);
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
                &[LockKey::alone("sensor-a")],
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
            while usage(&folder, "sensor-a").waiting.len() <= n {
                tokio::task::yield_now().await;
            }
        }
        drop(held);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(
            usage(&folder, "sensor-a"),
            Usage {
                holders: Vec::new(),
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
        let free = usage(&leases, "sensor-a");
        assert_eq!(
            free,
            Usage {
                holders: Vec::new(),
                waiting: Vec::new()
            }
        );
        let _held = acquire(&leases, "sensor-a", None).await.unwrap();
        let usage = usage(&leases, "sensor-a");
        let [holder] = &usage.holders[..] else {
            panic!("{usage:?}");
        };
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

    async fn acquire_all(
        folder: &TempDir,
        parts: &[LockKey],
        purpose: &str,
        wait: Option<Duration>,
    ) -> Result<Lease, LeaseError> {
        Lease::acquire_in(folder.path(), parts, purpose, wait, &|_| ()).await
    }

    fn shared(name: &str) -> LockKey {
        LockKey {
            is_shared: true,
            ..LockKey::alone(name)
        }
    }

    fn purposes(holders: &[Holder]) -> Vec<&str> {
        holders.iter().map(|holder| &holder.purpose[..]).collect()
    }

    #[rstest]
    #[case::at_once(None)]
    #[case::after_waiting(Some(Duration::from_millis(20)))]
    #[tokio::test]
    async fn who_can_t_have_all_parts_has_none(leases: TempDir, #[case] wait: Option<Duration>) {
        let both = ["console", "probe"].map(LockKey::alone);
        let held = acquire_all(&leases, &both[1..], "run", None).await.unwrap();
        let error = acquire_all(&leases, &both, "other", wait).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("(run)"), "{error}");
        let console = acquire_all(&leases, &both[..1], "console", wait).await;
        drop(console.unwrap());
        drop(held);
        drop(acquire_all(&leases, &both, "other", None).await.unwrap());
    }

    /// Who has a part and waits for the next is one of those who wait, for everybody.
    #[rstest]
    #[tokio::test]
    async fn who_waits_for_a_part_is_not_shown_as_holder(leases: TempDir) {
        let both = ["console", "probe"].map(LockKey::alone);
        let held = acquire_all(&leases, &both[1..], "run", None).await.unwrap();
        let told = Mutex::new(Vec::new());
        let tell = |text: &str| told.lock().unwrap().push(text.to_owned());
        let wait = Some(PATIENCE);
        let first = Lease::acquire_in(leases.path(), &both, "first", wait, &|_| ());
        let second = Lease::acquire_in(leases.path(), &both, "second", wait, &tell);
        let (mut first, mut second) = (Box::pin(first), Box::pin(second));
        for (waiting, others) in [
            (&mut first as &mut (dyn Future<Output = _> + Unpin), 0),
            (&mut second, 1),
        ] {
            let stands = async {
                while usage_in(leases.path(), &both).unwrap().waiting.len() <= others {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                _ = waiting => panic!("two holders"),
                () = stands => {}
            }
        }
        let usage = usage_in(leases.path(), &both).unwrap();
        assert_eq!(purposes(&usage.holders), ["run"]);
        assert_eq!(purposes(&usage.waiting), ["first", "second"]);
        let error = acquire_all(&leases, &both, "third", None).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("(run)"), "{error}");
        drop(held);
        let lease = first.await.unwrap();
        let usage = usage_in(leases.path(), &both).unwrap();
        assert_eq!(purposes(&usage.holders), ["first"]);
        drop(lease);
        let _lease = second.await.unwrap();
        let told = told.lock().unwrap().join("\n");
        assert!(
            told.contains("(run)") && told.contains("; 1 before this in line"),
            "{told}"
        );
    }

    /// Two of a kind, and one who may mean either.
    #[rstest]
    #[tokio::test]
    async fn members_of_a_kind_share_its_name(leases: TempDir) {
        let kind = LockKey::alone("probe 1366:1015");
        let member = |serial: &str| {
            let exact = LockKey::alone(kind.members() + serial);
            [shared(&kind.name), exact]
        };
        let any = std::slice::from_ref(&kind);
        let one = acquire_all(&leases, &member("1"), "one", None).await;
        let one = one.unwrap();
        let two = acquire_all(&leases, &member("2"), "two", Some(PATIENCE)).await;
        let two = two.unwrap();
        let usage = usage_in(leases.path(), &member("1")).unwrap();
        assert_eq!(purposes(&usage.holders), ["one"]);
        let usage = usage_in(leases.path(), any).unwrap();
        let mut holders = purposes(&usage.holders);
        holders.sort_unstable();
        assert_eq!(holders, ["one", "two"]);
        drop(one);
        let error = acquire_all(&leases, any, "any", None).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("(two)"), "{error}");
        drop(two);
        let _any = acquire_all(&leases, any, "any", None).await.unwrap();
        let error = acquire_all(&leases, &member("1"), "one", None).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("(any)"), "{error}");
    }

    /// However an inventory has its parts.
    #[rstest]
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_waits_for_each_other(leases: TempDir) {
        let folder = Arc::new(leases);
        let orders = [["console", "probe"], ["probe", "console"]];
        let turns = orders.into_iter().map(|names| {
            let folder = Arc::clone(&folder);
            let parts = in_order(names.map(LockKey::alone));
            tokio::spawn(async move {
                for _ in 0..100 {
                    drop(
                        acquire_all(&folder, &parts, "test", Some(PATIENCE))
                            .await
                            .unwrap(),
                    );
                }
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
    }
}
