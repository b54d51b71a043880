//! The reports of a run: in its folder or, where that takes no more, wherever there is room. What was found is not lost for
//! a full disk.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use miette::Diagnostic;

use provebench_record::evidence::{CHANGES, EvidenceError, JUNIT, RESULTS, RunDir};
use provebench_record::explain::with_causes;
use provebench_record::report::{Results, junit};

/// What of a run could not be kept where it belongs. Everything that was found is on the terminal all the same.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("not all of the run could be kept: {}", reasons.join("; "))]
#[diagnostic(code(evidence))]
pub struct Incomplete {
    reasons: Vec<String>,
    #[help]
    help: String,
}

/// What was written of a run.
#[derive(Debug)]
pub struct Written {
    /// What each report is, and where.
    pub reports: Vec<(&'static str, PathBuf)>,
    /// What could not be kept where it belongs.
    pub incomplete: Option<Incomplete>,
}

/// Writes all reports; `lost` is why the journal ends before the run.
pub(super) fn write(results: &Results, dir: &RunDir, lost: Option<&EvidenceError>) -> Written {
    let mut writer = Writer {
        dir,
        elsewhere: Vec::new(),
        used: None,
        reports: Vec::new(),
        reasons: Vec::new(),
    };
    let is_lost = lost.is_some();
    if let Some(error) = lost {
        let reason = format!("the journal ends before the run ({})", with_causes(error));
        writer.reasons.push(reason);
    }
    let json = serde_json::to_vec_pretty(results).map_err(|error| error.to_string());
    writer.write("results", RESULTS, json);
    writer.write("JUnit", JUNIT, junit_xml(results, dir));
    if let Some(changes) = &results.changes {
        writer.write("changes", CHANGES, Ok(changes.to_markdown().into_bytes()));
    }
    match dir.seal() {
        Ok(path) => writer.reports.push(("evidence", path)),
        Err(error) => writer.reasons.push(with_causes(&error)),
    }
    let Writer {
        reports,
        reasons,
        used,
        ..
    } = writer;
    if reasons.is_empty() {
        return Written {
            reports,
            incomplete: None,
        };
    }
    let mut help = "free the disk, or name another place with --runs".to_owned();
    if let Some(folder) = used {
        let folder = folder.display();
        let _ = write!(
            help,
            "; what the run's folder could not take is in {folder}"
        );
    }
    if is_lost {
        help += "; --resume runs again what the journal has not";
    }
    Written {
        reports,
        incomplete: Some(Incomplete { reasons, help }),
    }
}

fn junit_xml(results: &Results, dir: &RunDir) -> Result<Vec<u8>, String> {
    let mut xml = Vec::new();
    // CI servers want paths from where they started it; a run that is gone on with, or `--runs`, may be absolute.
    let here = env::current_dir().unwrap_or_default();
    let from_here = dir.path().strip_prefix(here).unwrap_or(dir.path());
    let written = junit::write(results, from_here, &mut xml);
    written.map(|()| xml).map_err(|error| with_causes(&error))
}

struct Writer<'a> {
    dir: &'a RunDir,
    /// Folders for what the run's can't take, made when they are needed.
    elsewhere: Vec<(PathBuf, PathBuf)>,
    /// The one that was used last.
    used: Option<PathBuf>,
    reports: Vec<(&'static str, PathBuf)>,
    reasons: Vec<String>,
}

impl Writer<'_> {
    fn write(&mut self, what: &'static str, name: &str, content: Result<Vec<u8>, String>) {
        let content = match content {
            Ok(content) => content,
            Err(reason) => return self.reasons.push(reason),
        };
        let error = match self.dir.write(name, &content) {
            Ok(path) => return self.reports.push((what, path)),
            Err(error) => with_causes(&error),
        };
        for place in places(self.dir.path()) {
            let written = self.folder(&place).and_then(|folder| {
                let path = folder.join(name);
                fs::write(&path, &content).ok()?;
                self.used = Some(folder);
                Some(path)
            });
            if let Some(path) = written {
                self.reports.push((what, path));
                return self.reasons.push(error);
            }
        }
        self.reasons
            .push(format!("{error}, nor anywhere else: it is lost"));
    }

    /// The folder for this run in such a place, for its user only.
    fn folder(&mut self, place: &Path) -> Option<PathBuf> {
        if let Some((_, folder)) = self.elsewhere.iter().find(|(known, _)| known == place) {
            return Some(folder.clone());
        }
        let made = tempfile::Builder::new()
            .prefix(&format!("provebench-{}-", self.dir.id()))
            .tempdir_in(place);
        let folder = made.ok()?.keep();
        self.elsewhere.push((place.to_owned(), folder.clone()));
        Some(folder)
    }
}

/// Where there may be room: other disks first.
fn places(full: &Path) -> Vec<PathBuf> {
    let disk = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let mut places = vec![env::temp_dir()];
    places.extend(["/var/tmp", "/dev/shm"].map(PathBuf::from));
    places.retain(|place| place.is_dir());
    places.sort_by_key(|place| disk(place) == disk(full));
    places
}
