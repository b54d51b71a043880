//! The run directory: artefacts, journal, hashes.
//!
//! ```text
//! runs/20260314T150926Z-3f9a1c/
//!   journal.jsonl                       one event a line, on disk before it is shown as done
//!   cases/<device>/<case>/steps.jsonl   every call of the script into the bench
//!   cases/<device>/<case>/...           console.log and what the script saved
//!   junit.xml results.json              reports
//!   manifest.sha256                     of all of the above; check: sha256sum -c manifest.sha256
//! ```

mod json_lines;
mod manifest;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::macros::format_description;

pub use json_lines::{JsonLines, whole_lines};
pub use manifest::MANIFEST;

/// File of a run's events.
pub const JOURNAL: &str = "journal.jsonl";
/// File of a run's results.
pub const RESULTS: &str = "results.json";
/// File of a run's results for CI.
pub const JUNIT: &str = "junit.xml";
/// File of what is other than in an earlier run.
pub const CHANGES: &str = "changes.md";

/// Where everything of one run is kept.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
    id: String,
}

impl RunDir {
    /// Makes `base/<utc>-<id>` and points `base/latest` at it.
    pub fn create(base: &Path) -> Result<Self, EvidenceError> {
        let stamp = OffsetDateTime::now_utc()
            .format(format_description!(
                "[year][month][day]T[hour][minute][second]Z"
            ))
            .unwrap_or_default();
        let id = format!("{stamp}-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        let root = base.join(&id);
        fs::create_dir_all(&root).map_err(|e| EvidenceError::new("create", &root, e))?;
        point_latest(base, &id);
        Ok(Self { root, id })
    }

    /// A run that is there already.
    pub fn open(root: PathBuf) -> Self {
        let id = last_component(&root);
        Self { root, id }
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
        JsonLines::resume(self.root.join(JOURNAL))
    }

    /// What the journal has.
    pub fn events<T: DeserializeOwned>(&self) -> Result<Vec<T>, EvidenceError> {
        let path = self.root.join(JOURNAL);
        let text = fs::read_to_string(&path).map_err(|e| EvidenceError::new("read", &path, e))?;
        whole_lines(&text)
            .map_err(|reason| EvidenceError::new("understand", &path, io::Error::other(reason)))
    }

    /// Writes a report beside the journal; returns its path.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, EvidenceError> {
        let path = self.root.join(name);
        write_whole(&path, content)?;
        Ok(path)
    }

    /// Makes the folder of a device, for logs that outlive a case.
    pub fn device(&self, device: &str) -> Result<PathBuf, EvidenceError> {
        let dir = self.root.join("cases").join(file_name(device));
        fs::create_dir_all(&dir).map_err(|e| EvidenceError::new("create", &dir, e))?;
        Ok(dir)
    }

    /// Makes the folder of an attempt at a case on a device: `<case>`, then `<case>_attempt-2` and so on.
    pub fn case(&self, device: &str, case: &str) -> Result<CaseEvidence, EvidenceError> {
        let device = self.device(device)?;
        let name = file_name(case);
        let mut dir = device.join(&name);
        for n in 2.. {
            match fs::create_dir(&dir) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    dir = device.join(format!("{name}_attempt-{n}"));
                }
                Err(e) => return Err(EvidenceError::new("create", &dir, e)),
                Ok(()) => break,
            }
        }
        Ok(CaseEvidence { dir })
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
#[derive(Clone, Debug)]
pub struct CaseEvidence {
    dir: PathBuf,
}

impl CaseEvidence {
    /// A folder that exists already, for runs outside of a run directory.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a file; returns its name in the folder. The name may come from a script or the DUT:
    /// it's made a plain file name, and never replaces a file that is there.
    pub fn save(&self, name: &str, content: &[u8]) -> Result<String, EvidenceError> {
        let path = free_name(&self.dir, &file_name(name));
        write_whole(&path, content)?;
        Ok(last_component(&path))
    }

    /// Begins the record of steps.
    pub fn steps(&self) -> Result<JsonLines, EvidenceError> {
        JsonLines::create(self.dir.join("steps.jsonl"))
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
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.into(),
            source,
        }
    }
}

/// All of it or nothing, also when the harness is killed.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), EvidenceError> {
    let fresh = path.with_file_name(format!(".{}.new", last_component(path)));
    fs::write(&fresh, content)
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|e| EvidenceError::new("write", path, e))
}

/// A convenience, so failing at it fails nothing. Renamed into place, so that two runs at once
/// leave one of both.
fn point_latest(base: &Path, id: &str) {
    let fresh = base.join(format!(".latest-{id}"));
    if std::os::unix::fs::symlink(id, &fresh).is_ok()
        && fs::rename(&fresh, base.join("latest")).is_err()
    {
        let _ = fs::remove_file(&fresh);
    }
}

/// Reduces a name to what is safe in every file system, URL and manifest.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 100;
    let plain: String = name
        .chars()
        .take(LONGEST)
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
    if !wanted.exists() {
        return wanted;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem, format!(".{extension}")),
        None => (name, String::new()),
    };
    (2..=u32::MAX)
        .map(|n| dir.join(format!("{stem}-{n}{extension}")))
        .find(|path| !path.exists())
        .unwrap_or(wanted)
}

fn last_component(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

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

    #[test]
    fn seals_what_sha256sum_checks() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDir::create(base.path()).unwrap();
        let mut journal = run.journal().unwrap();
        journal.append_synced(&json!({"event": "x"})).unwrap();
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
