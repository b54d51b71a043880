//! The product's driver: how a target is logged in to, reset, updated, personalised.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::{Problem, ScriptError};
use super::module::{Script, load_all};
use super::offer::{PERSONALISE, PROVISION};
use super::source::{Sources, script_text};
use provebench_bench::confine::Roots;
use provebench_bench::inventory::Target;

/// Functions that the runner calls, with the number of arguments that it gives besides `d`.
const CALLED_BY_RUNNER: [(&str, usize); 5] = [
    (PROVISION, 2),
    (PERSONALISE, 1),
    ("await_ready", 0),
    ("to_factory_default", 0),
    ("to_initialized", 0),
];

/// The functions of a `driver.star`.
#[derive(Debug)]
pub struct Driver {
    pub(super) functions: BTreeSet<String>,
    pub(super) file: String,
    pub(super) script: Script,
}

impl Driver {
    /// Loads a target's driver; files beside it can be loaded from it as `:x.star`.
    pub fn of(target: &Target) -> Result<Self, ScriptError> {
        Self::load_within(&target.driver, &target.roots)
    }

    /// As [`Self::of`], from a file.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::load_within(path, &Roots::new(folder, &[]))
    }

    fn load_within(path: &Path, roots: &Roots) -> Result<Self, ScriptError> {
        let read = |source| ScriptError::Read {
            path: path.to_owned(),
            source,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut sources = Sources {
            files: BTreeMap::new(),
            shown_in: folder.to_owned(),
        };
        match script_text(path, roots).map_err(read)? {
            Ok(text) => sources.files.insert(name.clone(), text),
            Err(fault) => {
                let problem = Problem::in_file(&path.display().to_string(), "", fault);
                return Err(ScriptError::Problem(Box::new(problem)));
            }
        };
        sources.add_beside(folder, roots).map_err(read)?;
        Self::from_sources(&sources, &name)
    }

    pub(super) fn from_sources(sources: &Sources, path: &str) -> Result<Self, ScriptError> {
        let file = path.to_owned();
        let (mut loaded, mut problems) = load_all(sources, move |loader| loader.load(&file));
        let Some(file) = loaded.remove(path) else {
            let name = sources.shown(path);
            if problems.is_empty() {
                problems.push(Problem::in_file(&name, "", "not loaded"));
            }
            return Err(ScriptError::unless_any(problems, ()).unwrap_err());
        };
        let map = &file.outline.map;
        for (_, at) in &file.declared {
            let span = at.as_ref().map_or_else(Default::default, |at| at.span);
            problems.push(Problem::at(map, span, "a driver is not a test case"));
        }
        let public = file.outline.functions.iter();
        let public = public.filter(|f| !f.name.starts_with('_'));
        for function in public.clone() {
            let known = CALLED_BY_RUNNER.iter().find(|(n, _)| *n == function.name);
            let arguments = known.map_or(0, |(_, n)| *n);
            let fits = match known {
                Some(_) => function.takes(1 + arguments),
                None => function.open || function.required.len() + function.optional > 0,
            };
            if !fits {
                let message = format!(
                    "{} must take {} parameters: d, how it reaches the device{}",
                    function.name,
                    1 + arguments,
                    if arguments > 0 {
                        ", and what is asked of it"
                    } else {
                        ""
                    },
                );
                problems.push(Problem::at(map, function.at.span, message).with_help(
                    "names that begin with _ are the driver's own, with any parameters",
                ));
            }
        }
        let driver = Self {
            functions: public.map(|f| f.name.clone()).collect(),
            file: sources.shown(path),
            script: file.script,
        };
        ScriptError::unless_any(problems, driver)
    }

    /// Names of the functions that test cases and the runner may call.
    pub fn functions(&self) -> &BTreeSet<String> {
        &self.functions
    }

    /// Its file, as named in messages.
    pub fn file(&self) -> &str {
        &self.file
    }
}
