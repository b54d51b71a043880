//! The run directory: artefacts, journal, hashes.
//!
//! ```text
//! runs/20260314T150926Z-3f9a1c/
//!   journal.jsonl                       one event a line, on disk before it is shown as done
//!   cases/<device>/capture.pcapng       every frame; beside it who spoke with whom, and what services saw
//!   cases/<device>/<case>/steps.jsonl   every call of the script into the bench
//!   cases/<device>/<case>/...           console.log and what the script saved
//!   junit.xml results.json              reports
//!   manifest.sha256                     of all of the above; check: sha256sum -c manifest.sha256
//! ```

mod json_lines;
mod kept;
mod manifest;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

pub use json_lines::{BoundedLines, JsonLines, LinesError, whole_lines};
pub use kept::Growing;
pub use manifest::MANIFEST;

/// File of a run's events.
pub const JOURNAL: &str = "journal.jsonl";
/// File of a run's results.
pub const RESULTS: &str = "results.json";
/// File of a run's results for CI.
pub const JUNIT: &str = "junit.xml";
/// File of what is other than in an earlier run.
pub const CHANGES: &str = "changes.md";
/// Folder of what each device showed.
const CASES: &str = "cases";
/// The link to the run that began last.
pub const LATEST: &str = "latest";
/// What a device's console said during a case; the harness's own.
pub const CONSOLE: &str = "console.log";

/// Where everything of one run is kept.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
    id: String,
    /// How many folders a case on a device has, as far as known: to try them all would take longer with each attempt.
    attempts: Arc<Mutex<BTreeMap<PathBuf, u32>>>,
}

impl RunDir {
    /// Makes `base/<utc>-<id>` and points `base/latest` at it.
    ///
    /// # Errors
    /// Also if there is a `latest` that can't be replaced: it would be taken for this run from then on.
    pub fn create(base: &Path) -> Result<Self, EvidenceError> {
        let stamp = OffsetDateTime::now_utc()
            .format(format_description!(
                "[year][month][day]T[hour][minute][second]Z"
            ))
            .unwrap_or_default();
        let id = format!("{stamp}-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        let root = base.join(&id);
        fs::create_dir_all(&root).map_err(|e| EvidenceError::new("create", &root, e))?;
        if let Err(error) = point_latest(base, &id) {
            let _ = fs::remove_dir(&root);
            return Err(error);
        }
        Ok(Self {
            root,
            id,
            attempts: Arc::default(),
        })
    }

    /// A run that is there already.
    pub fn open(root: PathBuf) -> Self {
        let id = last_component(&root);
        Self {
            root,
            id,
            attempts: Arc::default(),
        }
    }

    /// `<utc>-<id>`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Begins the journal, or goes on with it. Nobody else can until it is dropped.
    pub fn journal(&self) -> Result<JsonLines, EvidenceError> {
        let journal = JsonLines::resume(self.journal_path())?;
        // The folders' entries, too, are to outlive a crash of the machine, where they may be opened.
        for folder in self.root.ancestors().take(2) {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(journal)
    }

    /// Where the journal is.
    pub fn journal_path(&self) -> PathBuf {
        self.root.join(JOURNAL)
    }

    /// Whether a folder or file is in that of the run, links followed.
    pub fn holds(&self, path: &Path) -> bool {
        let inside = path.canonicalize().and_then(|path| {
            let root = self.root.canonicalize()?;
            Ok(path.starts_with(root))
        });
        inside.unwrap_or(false)
    }

    /// Writes a report beside the journal; returns its path.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, EvidenceError> {
        let path = self.root.join(name);
        write_whole(&path, content)?;
        Ok(path)
    }

    /// Makes the folder of a device, for logs that outlive a case.
    pub fn device(&self, device: &str) -> Result<PathBuf, EvidenceError> {
        let dir = self.root.join(CASES).join(file_name(device));
        fs::create_dir_all(&dir).map_err(|e| EvidenceError::new("create", &dir, e))?;
        if self.holds(&dir) {
            Ok(dir)
        } else {
            let reason = io::Error::other("it is a link out of the run's folder");
            Err(EvidenceError::new("write to", &dir, reason))
        }
    }

    /// Makes the folder of an attempt at a case on a device: `<case>`, then `<case>_attempt-2` and so on.
    pub fn case(&self, device: &str, case: &str) -> Result<CaseEvidence, EvidenceError> {
        let first = self.device(device)?.join(file_name(case));
        let attempts = || self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempt = attempts().get(&first).copied().unwrap_or(0);
        let dir = loop {
            attempt += 1;
            let dir = match attempt {
                1 => first.clone(),
                n => first.with_file_name(format!("{}_attempt-{n}", file_name(case))),
            };
            match fs::create_dir(&dir) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(EvidenceError::new("create", &dir, e)),
                Ok(()) => break dir,
            }
        };
        attempts().insert(first, attempt);
        Ok(CaseEvidence::at(dir))
    }

    /// Takes away what was made of the journal's events: it is to go on.
    pub fn unseal(&self) -> Result<(), EvidenceError> {
        for name in [RESULTS, JUNIT, CHANGES, MANIFEST] {
            let path = self.root.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EvidenceError::new("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Hashes every file of the run. Nothing may be written afterwards.
    pub fn seal(&self) -> Result<PathBuf, EvidenceError> {
        manifest::write(&self.root)
    }
}

/// The folder of one case on one device.
#[derive(Clone)]
pub struct CaseEvidence {
    dir: PathBuf,
    named: Arc<Naming>,
}

/// What a file is called instead.
type Naming = dyn Fn(&str) -> String + Send + Sync;

impl fmt::Debug for CaseEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CaseEvidence").field(&self.dir).finish()
    }
}

impl CaseEvidence {
    /// A folder that exists already, for runs outside of a run directory.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            named: Arc::new(str::to_owned),
        }
    }

    /// Calls what it keeps by other names, which have no secrets: they stand in every report.
    #[must_use]
    pub fn named_by(self, named: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let named = Arc::new(named);
        Self { named, ..self }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a file; returns its name in the folder. The name may come from a script or the DUT:
    /// it's made a plain file name, and never replaces a file that is there.
    pub fn save(&self, name: &str, content: &[u8]) -> Result<String, EvidenceError> {
        let path = free_name(&self.dir, &file_name(&(self.named)(name)));
        write_whole(&path, content)?;
        Ok(last_component(&path))
    }

    /// Begins the record of steps, which is to become no longer than so many bytes.
    pub fn steps(&self, limit: u64) -> Result<BoundedLines, EvidenceError> {
        BoundedLines::create(self.dir.join("steps.jsonl"), limit)
    }

    /// Names of the files in the folder, sorted.
    pub fn files(&self) -> Result<Vec<String>, EvidenceError> {
        let entries =
            fs::read_dir(&self.dir).map_err(|e| EvidenceError::new("list", &self.dir, e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| EvidenceError::new("list", &self.dir, e))?;
            if entry.file_type().is_ok_and(|t| t.is_file()) {
                names.push(last_component(&entry.path()));
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Evidence could not be kept.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot {action} {}", path.display())]
#[diagnostic(
    code(evidence),
    help("a run without evidence proves nothing: free the disk or name another place with --runs")
)]
pub struct EvidenceError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl EvidenceError {
    /// What can't be done with which file.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.into(),
            source,
        }
    }
}

/// All of it or nothing, also when the harness is killed or the disk is full.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), EvidenceError> {
    let fresh = path.with_file_name(format!(".{}.new", last_component(path)));
    fs::write(&fresh, content)
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|e| {
            // It would keep full what is full.
            let _ = fs::remove_file(&fresh);
            EvidenceError::new("write", path, e)
        })
}

/// Renamed into place, so that two runs at once leave one of both.
fn point_latest(base: &Path, id: &str) -> Result<(), EvidenceError> {
    let fresh = base.join(format!(".{LATEST}-{id}"));
    let latest = base.join(LATEST);
    let made = symlink(id, &fresh).and_then(|()| {
        // A file or a folder in its place is somebody's copy of a run: nothing of ours to be overwritten.
        if latest.symlink_metadata().is_ok_and(|it| !it.is_symlink()) {
            return Err(io::Error::other(
                "it is not a link to the latest run but a copy of one, and would be taken for the latest run for ever; \
                 give it another name, or delete it",
            ));
        }
        fs::rename(&fresh, &latest)
    });
    made.or_else(|error| {
        let _ = fs::remove_file(&fresh);
        let knows_no_links = matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS)
        );
        if knows_no_links && latest.symlink_metadata().is_err() {
            // Nobody can take something else for it.
            tracing::warn!("{} can't have links: no `latest`", base.display());
            return Ok(());
        }
        Err(EvidenceError::new("replace", &latest, error))
    })
}

/// Opens what must be a file: no link that leads elsewhere, nothing that blocks.
pub fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = options.custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|e| match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => io::Error::other("it is a link"),
        _ => e,
    })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a file"))
    }
}

/// Whether this is where the evidence of a case on a device can be, relative to the run's folder.
pub fn is_of_case(device: &str, folder: &str) -> bool {
    let mut parts = Path::new(folder).components();
    let mut part = || match parts.next() {
        Some(Component::Normal(part)) => part.to_str(),
        _ => None,
    };
    let is_case = |case: &str| file_name(case) == case;
    part() == Some(CASES)
        && part() == Some(&file_name(device))
        && part().is_some_and(is_case)
        && parts.next().is_none()
}

/// Whether this is where evidence of a device can be, relative to the run's folder.
pub fn is_of_device(device: &str, file: &str) -> bool {
    let parts: Option<Vec<&str>> = Path::new(file)
        .components()
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    let begin = [CASES, &file_name(device)];
    let is_plain = |part: &&str| file_name(part) == **part;
    !file.ends_with('/')
        && parts.is_some_and(|parts| {
            parts.len() > 2 && parts[..2] == begin && parts[2..].iter().all(is_plain)
        })
}

/// Whether this can be the name of a file in the evidence.
pub fn is_of_file(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(_)))
        && parts.next().is_none()
        && !name.ends_with('/')
}

/// Reduces a name to what is safe in every file system, URL and manifest. What is cut off long names still tells them
/// apart.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 100;
    if name.chars().count() > LONGEST {
        let begin: String = name.chars().take(LONGEST - 13).collect();
        let digest = hex::encode(Sha256::digest(name));
        return file_name(&format!("{begin}_{}", &digest[..12]));
    }
    let plain: String = name
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .collect();
    match plain.trim_start_matches('.') {
        "" => "_".into(),
        visible => visible.into(),
    }
}

fn free_name(dir: &Path, name: &str) -> PathBuf {
    let wanted = dir.join(name);
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    // The harness puts its own there when the case is over.
    if name != CONSOLE && is_free(&wanted) {
        return wanted;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem, format!(".{extension}")),
        None => (name, String::new()),
    };
    (2..=u32::MAX)
        .map(|n| dir.join(format!("{stem}-{n}{extension}")))
        .find(is_free)
        .unwrap_or(wanted)
}

fn last_component(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    use std::thread;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::plain("boot.log", "boot.log")]
    #[case::path("../../etc/passwd", "_.._etc_passwd")]
    #[case::hidden(".profile", "profile")]
    #[case::nothing("", "_")]
    #[case::dots("..", "_")]
    #[case::control("a\n\u{1b}[2Jb", "a__[2Jb".replace('[', "_"))]
    #[case::unicode("größe", "gr__e")]
    fn makes_plain_file_names(#[case] name: &str, #[case] plain: String) {
        assert_eq!(file_name(name), plain);
    }

    #[test]
    fn bounds_names() {
        assert_eq!(file_name(&"x".repeat(5000)).len(), 100);
    }

    #[test]
    fn keeps_artefacts_of_the_same_name_apart() {
        let base = tempfile::tempdir().unwrap();
        let case = RunDir::create(base.path())
            .unwrap()
            .case("sensor-a", "5.11-1-2")
            .unwrap();
        assert_eq!(case.save("dump.bin", b"one").unwrap(), "dump.bin");
        assert_eq!(case.save("dump.bin", b"two").unwrap(), "dump-2.bin");
        assert_eq!(fs::read(case.dir().join("dump.bin")).unwrap(), b"one");
        assert_eq!(case.files().unwrap(), ["dump-2.bin", "dump.bin"]);
    }

    #[test]
    fn the_harness_has_names_of_its_own() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDir::create(base.path()).unwrap();
        let case = run.case("sensor-a", "5.11-1-2").unwrap();
        assert_eq!(case.save("console.log", b"mine").unwrap(), "console-2.log");
        let _steps = case.steps(1 << 20).unwrap();
        assert_eq!(case.save("steps.jsonl", b"mine").unwrap(), "steps-2.jsonl");
    }

    #[test]
    fn long_names_that_end_differently_stay_apart() {
        let name = |end: &str| file_name(&("x".repeat(200) + end));
        assert_ne!(name("a"), name("b"));
        assert_eq!(name("a"), name("a"));
    }

    #[test]
    fn keeps_runs_of_the_same_second_apart() {
        let base = tempfile::tempdir().unwrap();
        let one = RunDir::create(base.path()).unwrap();
        let two = RunDir::create(base.path()).unwrap();
        assert_ne!(one.path(), two.path());
        assert_eq!(
            fs::read_link(base.path().join("latest")).unwrap(),
            Path::new(two.id())
        );
    }

    /// A copy that stays for ever would be taken for the latest run.
    #[rstest]
    #[case::folder(true)]
    #[case::file(false)]
    fn a_latest_that_is_no_link_is_left_alone_and_told(#[case] is_folder: bool) {
        let base = tempfile::tempdir().unwrap();
        let latest = base.path().join(LATEST);
        if is_folder {
            fs::create_dir(&latest).unwrap();
        } else {
            fs::write(&latest, "20260314T150926Z-3f9a1c").unwrap();
        }
        let error = RunDir::create(base.path()).unwrap_err();
        assert!(error.to_string().contains("cannot replace"), "{error}");
        let left = fs::read_dir(base.path()).unwrap().count();
        assert_eq!(left, 1, "nothing is left of the run that did not begin");
    }

    /// As `/tmp` is: whoever has no right to the link can make a run, and nothing that says it is the latest.
    #[test]
    fn a_latest_of_another_user_in_a_shared_folder_is_told() {
        if !nix::unistd::geteuid().is_root() {
            println!("left out: only root has files of two users");
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let shared = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(base.path(), shared).unwrap();
        let latest = base.path().join(LATEST);
        symlink("20260314T150926Z-3f9a1c", &latest).unwrap();
        let folder = base.path().to_owned();
        let other = thread::spawn(move || {
            // This thread's alone, with all rights to files that root has beyond it.
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
            RunDir::create(&folder).unwrap_err().to_string()
        });
        let error = other.join().unwrap();
        assert!(error.contains("cannot replace"), "{error}");
        assert!(error.contains("latest"), "{error}");
        let left = fs::read_dir(base.path()).unwrap().count();
        assert_eq!(left, 1, "nothing is left of the run that did not begin");
    }

    #[rstest]
    #[case("cases/sensor-a/5.11-1-2", true)]
    #[case("cases/sensor-a/5.11-1-2_attempt-2", true)]
    #[case("cases/sensor-b/5.11-1-2", false)]
    #[case("cases/sensor-a", false)]
    #[case("cases/sensor-a/5.11-1-2/more", false)]
    #[case("cases/sensor-a/..", false)]
    #[case("../..", false)]
    #[case("/etc", false)]
    #[case("", false)]
    fn evidence_of_a_case_has_its_place(#[case] folder: &str, #[case] is_there: bool) {
        assert_eq!(is_of_case("sensor-a", folder), is_there);
    }

    #[rstest]
    #[case("cases/sensor-a/capture.pcapng", true)]
    #[case("cases/sensor-a/network-2/flows.json", true)]
    #[case("cases/sensor-b/flows.json", false)]
    #[case("cases/sensor-a", false)]
    #[case("cases/sensor-a/network-2/", false)]
    #[case("cases/sensor-a/../sensor-b/flows.json", false)]
    #[case("/cases/sensor-a/flows.json", false)]
    #[case("", false)]
    fn evidence_of_a_device_has_its_place(#[case] file: &str, #[case] is_there: bool) {
        assert_eq!(is_of_device("sensor-a", file), is_there);
    }

    #[rstest]
    #[case("dump.bin", true)]
    #[case("..", false)]
    #[case("a/b", false)]
    #[case("a/", false)]
    #[case("/etc/passwd", false)]
    #[case("", false)]
    fn files_have_plain_names(#[case] name: &str, #[case] is_plain: bool) {
        assert_eq!(is_of_file(name), is_plain);
    }

    #[test]
    fn what_can_not_be_written_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDir::create(base.path()).unwrap();
        fs::create_dir(run.path().join(JUNIT)).unwrap();
        run.write(JUNIT, b"x").unwrap_err();
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let base = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let run = RunDir::create(base.path()).unwrap();
        symlink(elsewhere.path(), run.path().join(CASES)).unwrap();
        run.case("sensor-a", "5.11-1-2").unwrap_err();
        let journal = elsewhere.path().join("file");
        fs::write(&journal, "not ours").unwrap();
        symlink(&journal, run.journal_path()).unwrap();
        run.journal().unwrap_err();
        assert_eq!(fs::read(journal).unwrap(), b"not ours");
    }

    #[test]
    fn seals_what_sha256sum_checks() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDir::create(base.path()).unwrap();
        let mut journal = run.journal().unwrap();
        journal.append(&json!({"event": "x"})).unwrap();
        journal.sync().unwrap();
        let case = run.case("a device with spaces", "5.11-1-2").unwrap();
        let saved = case.save("dump.bin", &vec![0xa5; 100_000]).unwrap();
        run.write("results.json", b"{}").unwrap();
        run.seal().unwrap();

        let check = || {
            Command::new("sha256sum")
                .args(["--check", "--strict", MANIFEST])
                .current_dir(run.path())
                .output()
                .unwrap()
        };
        let sound = check();
        assert!(sound.status.success(), "{sound:?}");
        let listed = String::from_utf8(sound.stdout).unwrap();
        assert_eq!(listed.lines().count(), 3, "{listed}");

        fs::write(case.dir().join(saved), b"tampered").unwrap();
        assert!(!check().status.success(), "tampering must show");

        run.unseal().unwrap();
        run.unseal().unwrap();
        let left = fs::read_dir(run.path()).unwrap().flatten();
        let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["cases", JOURNAL], "reports are made anew");
    }

    #[test]
    fn says_where_it_could_not_write() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunDir::create(&file).unwrap_err();
        assert!(error.to_string().contains("file/2"), "{error}");
    }
}
