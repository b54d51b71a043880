//! Where scripts come from: a folder, or the copy inside of the program.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::error::{Problem, ScriptError};
use provebench_bench::confine::Roots;
use provebench_record::explain::no_text;

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../testcases");

const EXTENSION: &str = "star";

/// Longer files are no scripts.
const LONGEST: u64 = 1 << 20;

/// Text of all scripts by path in the folder, with `/` between components.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub(super) files: BTreeMap<String, String>,
    /// What is put before paths in messages, so that they can be opened as printed.
    pub(super) shown_in: PathBuf,
}

impl Sources {
    /// The copy inside of the program.
    pub(super) fn embedded() -> Self {
        let mut files = BTreeMap::new();
        collect_embedded(&EMBEDDED, &mut files);
        Self {
            files,
            shown_in: PathBuf::from("testcases"),
        }
    }

    /// All scripts in a folder and those below. Hidden folders are passed over.
    pub(super) fn in_folder(root: &Path) -> Result<Self, ScriptError> {
        let mut sources = Self {
            files: BTreeMap::new(),
            shown_in: root.to_owned(),
        };
        let mut problems = Vec::new();
        let roots = Roots::new(root, &[]);
        collect(root, "", &roots, &mut sources.files, &mut problems)?;
        ScriptError::unless_any(problems, sources)
    }

    /// Adds the scripts in a folder, but not those below: what a driver may load.
    pub(super) fn add_beside(&mut self, folder: &Path, roots: &Roots) -> std::io::Result<()> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_file = entry.file_type()?.is_file();
            if is_file && is_script(&entry.path()) && !self.files.contains_key(&name) {
                // One that is no text is told when it is loaded, as missing.
                if let Ok(text) = script_text(&entry.path(), roots)? {
                    self.files.insert(name, text);
                }
            }
        }
        Ok(())
    }

    /// The name of a file in messages.
    pub(super) fn shown(&self, path: &str) -> String {
        self.shown_in.join(path).display().to_string()
    }
}

fn collect_embedded(dir: &Dir<'static>, files: &mut BTreeMap<String, String>) {
    for file in dir.files() {
        let path = file.path();
        if let (true, Some(content)) = (is_script(path), file.contents_utf8()) {
            let path: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            files.insert(path.join("/"), content.to_owned());
        }
    }
    for dir in dir.dirs() {
        collect_embedded(dir, files);
    }
}

fn collect(
    dir: &Path,
    prefix: &str,
    roots: &Roots,
    files: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Result<(), ScriptError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| ScriptError::Read { path, source }
    };
    for entry in fs::read_dir(dir).map_err(read(dir))? {
        let entry = entry.map_err(read(dir))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(read(&path))?;
        if kind.is_symlink() && path.is_dir() {
            // It could lead in a circle, or to files that are not the user's. But cases in it would be missed.
            let fault = "a folder that is linked is not followed: its test cases would be left out";
            let problem = Problem::in_file(&path.display().to_string(), "", fault);
            problems
                .push(problem.with_help("put the folder itself here, or name it with --testcases"));
            continue;
        }
        if kind.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), roots, files, problems)?;
        } else if is_script(&path) {
            match script_text(&path, roots).map_err(read(&path))? {
                Ok(text) => {
                    files.insert(format!("{prefix}{name}"), text);
                }
                Err(fault) => {
                    problems.push(Problem::in_file(&path.display().to_string(), "", fault));
                }
            }
        }
    }
    Ok(())
}

/// The text of one script, or why the file is none.
pub(super) fn script_text(path: &Path, roots: &Roots) -> io::Result<Result<String, String>> {
    let bytes = match roots.read(path, LONGEST) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Ok(Err(format!(
                "a script must not be longer than {LONGEST} bytes"
            )));
        }
        bytes => bytes?,
    };
    Ok(match String::from_utf8(bytes) {
        // Editors of some systems put a byte order mark first.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()),
        Err(error) => Err(format!("not a script: {}", no_text(&error))),
    })
}

fn is_script(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == EXTENSION)
}
