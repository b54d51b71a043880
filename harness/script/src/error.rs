//! What is wrong with scripts before any of them runs: told all at once, each with its place.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use starlark::codemap::{CodeMap, FileSpan, Span};
use thiserror::Error;

/// Scripts that cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum ScriptError {
    /// A file or folder that cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(script::read),
        help("check that it exists and may be read, or name another one with --testcases")
    )]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why that failed.
        source: io::Error,
    },
    /// A folder without test cases.
    #[error("no test cases in {}", path.display())]
    #[diagnostic(
        code(script::none),
        help(
            "a test case is a file named after its identifier, such as 5.11/5.11-1-2.star; \
             without --testcases the built-in ones are used"
        )
    )]
    NoCases {
        /// The folder.
        path: PathBuf,
    },
    /// A fault in a script.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Problem(Box<Problem>),
    /// Several.
    #[error("{} problems in scripts", problems.len())]
    #[diagnostic(code(script))]
    Problems {
        /// Each of them.
        #[related]
        problems: Vec<Problem>,
    },
}

impl ScriptError {
    /// The faults in scripts, when that is what the error is about.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problem(problem) => std::slice::from_ref(problem),
            Self::Problems { problems } => problems,
            Self::Read { .. } | Self::NoCases { .. } => &[],
        }
    }

    /// `value`, unless there are problems.
    pub(super) fn unless_any<T>(mut problems: Vec<Problem>, value: T) -> Result<T, Self> {
        match problems.pop() {
            None => Ok(value),
            Some(only) if problems.is_empty() => Err(Self::Problem(Box::new(only))),
            Some(last) => {
                problems.push(last);
                Err(Self::Problems { problems })
            }
        }
    }
}

/// One fault in a script.
#[derive(Debug, Error, Diagnostic)]
#[error("{at}: {message}")]
#[diagnostic(code(script))]
pub struct Problem {
    message: String,
    at: Location,
    #[help]
    help: Option<String>,
    #[source_code]
    source_code: NamedSource<Arc<str>>,
    #[label("here")]
    span: SourceSpan,
}

impl Problem {
    /// A fault at a place of a parsed file.
    pub(super) fn at(file: &CodeMap, span: Span, message: impl Into<String>) -> Self {
        let start = span.begin().get() as usize;
        Self {
            message: message.into(),
            at: Location::of(&file.file_span(span)),
            help: None,
            source_code: NamedSource::new(file.filename(), Arc::from(file.source())),
            span: (start, span.end().get() as usize - start).into(),
        }
    }

    /// A fault of a file as a whole, or one that comes before parsing.
    pub(super) fn in_file(name: &str, content: &str, message: impl Into<String>) -> Self {
        let map = CodeMap::new(name.to_owned(), content.to_owned());
        Self::at(&map, Span::default(), message)
    }

    /// What starlark says, where it says it.
    pub(super) fn from_starlark(error: &starlark::Error, name: &str, content: &str) -> Self {
        let message = message_of(error);
        match error.span() {
            Some(at) => Self::at(&at.file, at.span, message),
            None => Self::in_file(name, content, message),
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where.
    pub fn location(&self) -> &Location {
        &self.at
    }
}

/// The message of a starlark error, without place and stack.
pub(super) fn message_of(error: &starlark::Error) -> String {
    // Alternate form: with the causes.
    let message = format!("{:#}", DisplayAlternate(error));
    message.trim().to_owned()
}

struct DisplayAlternate<'a>(&'a starlark::Error);

impl fmt::Display for DisplayAlternate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use starlark::ErrorKind as Kind;
        match self.0.kind() {
            Kind::Native(e) | Kind::Other(e) | Kind::Value(e) => write!(f, "{e:#}"),
            Kind::Fail(e) => write!(f, "fail: {e}"),
            other => write!(f, "{other}"),
        }
    }
}

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as named in messages.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

impl Location {
    pub(super) fn of(span: &FileSpan) -> Self {
        let begin = span.resolve_span().begin;
        Self {
            file: span.filename().to_owned(),
            line: begin.line + 1,
            column: begin.column + 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
