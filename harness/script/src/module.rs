//! Parsing and loading of script files, with what they `load()`.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use starlark::codemap::FileSpan;
use starlark::environment::{FrozenModule, Globals, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::{Evaluator, FileLoader};
use starlark::syntax::{AstModule, Dialect};
use starlark::values::FrozenHeapName;
use starlark::{ErrorKind, PrintHandler};

use super::api::blob::blob_globals;
use super::api::password_rule::rule_globals;
use super::confined::{self, Lost};
use super::declaration::{Declaration, Declared, case_global};
use super::error::Problem;
use super::reads::Code;
use super::source::Sources;
use super::{lint, show};

/// How often the evaluator asks whether to go on while a file is loaded, every 1000 steps: enough
/// for tables, too few for a loop that never ends.
const LOAD_CHECKS: u64 = 10_000;

/// Bytes that loading may take in all, and the variables of one file.
const MEMORY: usize = 1 << 30;
const HEAP: usize = 256 << 20;
/// How long one file may take to be loaded. Generous: it only ends what would hang.
const LOADING: Duration = Duration::from_mins(1);

/// What is being loaded at present, and since when: for whoever waits for it.
type Current = Arc<Mutex<Option<(String, Instant)>>>;

/// Lets a loader load files, on a thread of its own: a file may hold anything.
pub(super) fn load_all(
    sources: &Sources,
    load: impl FnOnce(&mut Loader<'_>) + Send + 'static,
) -> (BTreeMap<String, Loaded>, Vec<Problem>) {
    let current = Current::default();
    let seen = current.clone();
    let look = move || {
        let current = seen.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    };
    let is_over = || look().is_some_and(|(_, since)| since.elapsed() > LOADING);
    let owned = sources.clone();
    let work = move |_: &_| {
        let mut loader = Loader::new(&owned, current);
        load(&mut loader);
        loader.finish()
    };
    confined::run(MEMORY, confined::GRACE, is_over, work).unwrap_or_else(|lost| {
        let path = look().map(|(path, _)| path).unwrap_or_default();
        let content = sources.files.get(&path).map_or("", String::as_str);
        let message = match lost {
            Lost::Late { .. } => "the file takes too long to be loaded".to_owned(),
            lost => format!("the file can't be loaded: {lost}"),
        };
        let problem = Problem::in_file(&sources.shown(&path), content, message);
        (BTreeMap::new(), vec![problem])
    })
}

/// The language: Starlark with type annotations, keyword-only arguments and f-strings.
fn dialect() -> Dialect {
    Dialect {
        enable_f_strings: true,
        enable_top_level_stmt: false,
        enable_load_reexport: false,
        ..Dialect::Extended
    }
}

/// Functions that need no object: those of the language, `struct`, `json`, blobs and `case`.
pub(super) fn globals() -> Globals {
    GlobalsBuilder::extended_by(&[
        LibraryExtension::StructType,
        LibraryExtension::Json,
        LibraryExtension::Map,
        LibraryExtension::Filter,
        LibraryExtension::Partial,
        LibraryExtension::SetType,
        LibraryExtension::Print,
        LibraryExtension::Typing,
    ])
    .with(blob_globals)
    .with(rule_globals)
    .with(case_global)
    .build()
}

/// What a file defines, ready to be called.
#[derive(Clone)]
pub(super) struct Script(pub(super) FrozenModule);

impl fmt::Debug for Script {
    // In full it is thousands of lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// A file that was loaded.
pub(super) struct Loaded {
    pub(super) script: Script,
    pub(super) outline: lint::Outline,
    /// What it reads of the IXIT.
    pub(super) code: Code,
    /// What `case()` was called with, and where.
    pub(super) declared: Vec<(Declaration, Option<FileSpan>)>,
}

/// Loads files of one folder, each once.
pub(super) struct Loader<'s> {
    sources: &'s Sources,
    globals: Globals,
    /// By path; none when it is faulty, or not done yet.
    done: BTreeMap<String, Option<Loaded>>,
    /// What is being loaded: each file by the one before it.
    stack: Vec<String>,
    problems: Vec<Problem>,
    current: Current,
}

impl<'s> Loader<'s> {
    fn new(sources: &'s Sources, current: Current) -> Self {
        Self {
            current,
            sources,
            globals: globals(),
            done: BTreeMap::new(),
            stack: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Everything that was loaded, by path, and what is wrong.
    fn finish(self) -> (BTreeMap<String, Loaded>, Vec<Problem>) {
        let loaded = self.done.into_iter();
        let loaded = loaded.filter_map(|(path, file)| Some((path, file?)));
        (loaded.collect(), self.problems)
    }

    /// Loads a file and what it loads. Faults are kept for [`Self::finish`].
    pub(super) fn load(&mut self, path: &str) {
        let Some(content) = self.sources.files.get(path) else {
            return;
        };
        if self.done.contains_key(path) {
            return;
        }
        self.done.insert(path.to_owned(), None);
        self.stack.push(path.to_owned());
        let name = self.sources.shown(path);
        self.tell();
        let evaluated = self.evaluate(path, &name, content);
        self.stack.pop();
        self.tell();
        match evaluated {
            Ok(loaded) => {
                self.done.insert(path.to_owned(), loaded);
            }
            Err(error) => {
                let problem = Problem::from_starlark(&error, &name, content);
                self.problems.push(problem);
            }
        }
    }

    /// What is loaded from now on.
    fn tell(&self) {
        let current = self.stack.last().cloned();
        let current = current.map(|path| (path, Instant::now()));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn evaluate(
        &mut self,
        path: &str,
        name: &str,
        content: &str,
    ) -> starlark::Result<Option<Loaded>> {
        if !lint::is_shallow(name, content, &mut self.problems) {
            return Ok(None);
        }
        let ast = AstModule::parse(name, content.to_owned(), &dialect())?;
        if !lint::is_flat(&ast, &mut self.problems) {
            return Ok(None);
        }
        let Some(loads) = self.loads(path, &ast) else {
            return Ok(None);
        };
        let outline = lint::check(&ast, &mut self.problems);
        let code = Code::of(&ast, |module| resolve(path, module));
        let declared = Declared::default();
        let checks = Cell::new(0);
        let frozen = Module::with_temp_heap(|module| {
            {
                let mut eval = Evaluator::new(&module);
                eval.set_loader(&loads);
                eval.set_print_handler(&PrintToLog);
                eval.extra = Some(&declared);
                // True once only: a second time would hide the place of the first.
                eval.set_check_cancelled(Box::new(|| {
                    checks.set(checks.get() + 1);
                    checks.get() == LOAD_CHECKS
                }));
                eval.set_max_heap_size(HEAP)?;
                eval.eval_module(ast, &self.globals)?;
            }
            Ok::<_, starlark::Error>(
                module.freeze_named(FrozenHeapName::User(Box::new(name.to_owned())))?,
            )
        });
        let module = frozen.map_err(|error| match error.kind() {
            ErrorKind::Other(_) if checks.get() >= LOAD_CHECKS => {
                let fault = "the file runs for too long while it is loaded";
                respan(&error, starlark::Error::new_other(anyhow::anyhow!(fault)))
            }
            _ => error,
        })?;
        Ok(Some(Loaded {
            script: Script(module),
            outline,
            code,
            declared: declared.0.into_inner(),
        }))
    }

    /// The modules that a file loads; none when one is missing or faulty, which is then a problem.
    fn loads(&mut self, path: &str, ast: &AstModule) -> Option<Loads> {
        let mut modules = HashMap::new();
        let mut complete = true;
        for load in ast.loads() {
            let fault = |message: String| {
                Problem::at(&load.span.file, load.span.span, message).with_help(
                    "write load(\"//lib/x.star\", ...) for a file below the folder of test \
                     cases, load(\":x.star\", ...) for one beside this file",
                )
            };
            let problem = match resolve(path, load.module_id) {
                None => Some(fault(format!(
                    "\"{}\" is not how a file is named here",
                    load.module_id
                ))),
                Some(target) if !self.sources.files.contains_key(&target) => {
                    Some(fault(format!("there is no file {target} to load")))
                }
                Some(target) => {
                    self.load(&target);
                    if let Some(Some(loaded)) = self.done.get(&target) {
                        modules.insert(load.module_id.to_owned(), loaded.script.0.clone());
                        None
                    } else if self.stack.contains(&target) {
                        Some(fault(format!("{target} loads this file in turn")))
                    } else {
                        // The file's own fault, which was told there.
                        complete = false;
                        None
                    }
                }
            };
            if let Some(problem) = problem {
                self.problems.push(problem);
                complete = false;
            }
        }
        complete.then_some(Loads(modules))
    }
}

/// Another error at the place of the first.
fn respan(at: &starlark::Error, mut error: starlark::Error) -> starlark::Error {
    if let Some(span) = at.span() {
        error.set_span(span.span, &span.file);
    }
    error
}

/// The path of a loaded file, from the path of the one that loads it.
fn resolve(from: &str, module: &str) -> Option<String> {
    let path = match (module.strip_prefix("//"), module.strip_prefix(':')) {
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) if !name.contains('/') => match from.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        },
        _ => return None,
    };
    let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    plain.then_some(path)
}

struct Loads(HashMap<String, FrozenModule>);

impl FileLoader for Loads {
    fn load(&self, path: &str) -> starlark::Result<FrozenModule> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| starlark::Error::new_other(anyhow::anyhow!("\"{path}\" was not loaded")))
    }
}

/// `print` while a file is loaded: there's no evidence yet that it could go to.
struct PrintToLog;

impl PrintHandler for PrintToLog {
    fn println(&self, text: &str) -> starlark::Result<()> {
        tracing::info!("{}", show::plain(text, 1000));
        Ok(())
    }
}
