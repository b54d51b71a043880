//! Errors of the inventory: each problem with its place, as miette shows them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::masked::{self, Masked};
use super::problem::ProblemKind;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// All that is wrong in the inventory, as far as it could be read. At least one problem.
#[derive(Debug)]
pub struct InventoryError {
    problems: Vec<Problem>,
}

impl InventoryError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error says what is wrong");
        Self { problems }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// With passwords and the like, which are hidden else, in what is shown of the files.
    #[must_use]
    pub fn showing_secrets(mut self) -> Self {
        for problem in &mut self.problems {
            problem.shows_secrets = true;
        }
        self
    }

    /// Each problem, in the order of the files.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for InventoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => only.fmt(f),
            several => write!(f, "{} problems in the inventory", several.len()),
        }
    }
}

impl std::error::Error for InventoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.problems.as_slice() {
            [only] => std::error::Error::source(only),
            _ => None,
        }
    }
}

impl From<Problem> for InventoryError {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}

/// A single problem is shown as such; several are shown as a list, each in full.
impl Diagnostic for InventoryError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only()?.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only()?.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.only()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only()?.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self.problems.as_slice() {
            [_] => None,
            several => Some(Box::new(
                several.iter().map(|problem| problem as &dyn Diagnostic),
            )),
        }
    }
}

impl InventoryError {
    fn only(&self) -> Option<&Problem> {
        match self.problems.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Debug)]
pub struct Problem {
    kind: Box<ProblemKind>,
    place: Option<Place>,
    /// A second place in the same file that plays a part, such as the first use of a name.
    other: Option<(Range<usize>, String)>,
    shows_secrets: bool,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, place: Option<Place>) -> Self {
        Self {
            kind: Box::new(kind),
            place,
            other: None,
            shows_secrets: false,
        }
    }

    /// Also points at a second place in the same file.
    pub(super) fn with_other(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.other = Some((span, label.into()));
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> &ProblemKind {
        &self.kind
    }

    /// A message without what is secret in the file that it is about.
    fn told(&self, message: String) -> String {
        match &self.place {
            Some(place) if !self.shows_secrets => place.file.masked.told(&message),
            _ => message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(self.kind.to_string()))
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.told(self.kind.remedy())))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let file = &self.place.as_ref()?.file;
        let shown = if self.shows_secrets {
            &file.text
        } else {
            &file.shown
        };
        Some(shown as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let here = LabeledSpan::new_primary_with_span(
            Some(self.told(self.kind.label())),
            place.span.clone(),
        );
        let other = self.other.as_ref().map(|(span, label)| {
            LabeledSpan::new_with_span(Some(self.told(label.clone())), span.clone())
        });
        Some(Box::new(std::iter::once(here).chain(other)))
    }
}

/// Bytes of a file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<File>,
    pub(super) span: Range<usize>,
}

/// A file that is pointed into.
#[derive(Debug)]
pub(super) struct File {
    pub(super) text: NamedSource<String>,
    /// The same with nothing in it that is secret.
    shown: NamedSource<String>,
    masked: Masked,
}

impl File {
    pub(super) fn new(name: &str, text: String) -> Self {
        let named = |text| NamedSource::new(name, text).with_language("TOML");
        let mut masked = masked::mask(&text);
        Self {
            shown: named(std::mem::take(&mut masked.text)),
            text: named(text),
            masked,
        }
    }
}
