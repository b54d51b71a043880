//! Files that are read: their text, for parsing and for pointing into.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::error::{File, Place, Problem};
use super::problem::ProblemKind;
use super::suggest;
use crate::confine::{LONGEST_TEXT, Roots};
use provebench_record::explain::no_text;
use provebench_standard as standard;

/// A TOML file of the inventory.
pub(super) struct Source {
    file: Arc<File>,
    schema: &'static str,
}

impl Source {
    /// Reads a file, from where `roots` allow; without, it is the user's own. `remedy`: what to do if it can't be read;
    /// `named_at`: where another file names it.
    pub(super) fn read(
        path: &Path,
        roots: Option<&Roots>,
        schema: &'static str,
        remedy: &'static str,
        named_at: Option<Place>,
    ) -> Result<Self, Problem> {
        let text =
            text(path, roots).map_err(|source| unreadable(path, source, remedy, named_at))?;
        let file = File::new(&path.display().to_string(), text);
        Ok(Self {
            file: Arc::new(file),
            schema,
        })
    }

    /// What a program has told, under that name.
    pub(super) fn told(name: &str, text: String, schema: &'static str) -> Self {
        Self {
            file: Arc::new(File::new(name, text)),
            schema,
        }
    }

    pub(super) fn text(&self) -> &str {
        self.file.text.inner()
    }

    pub(super) fn at(&self, span: Range<usize>) -> Place {
        Place {
            file: Arc::clone(&self.file),
            span,
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        toml::from_str(self.text()).map_err(|err| self.malformed(err.message(), err.span()))
    }

    pub(super) fn problem(&self, kind: ProblemKind, span: Range<usize>) -> Problem {
        Problem::new(kind, Some(self.at(span)))
    }

    /// A fault that the standard's own parsers found.
    pub(super) fn fault(&self, fault: standard::Fault) -> Problem {
        match fault {
            standard::Fault::Malformed { message, span } => self.malformed(&message, span),
            standard::Fault::Unknown {
                what,
                name,
                known,
                span,
            } => {
                let known = suggest::by_likeness(&name, known);
                self.problem(
                    ProblemKind::Unknown {
                        what: what.to_owned(),
                        name,
                        known,
                    },
                    span,
                )
            }
        }
    }

    pub(super) fn malformed(&self, message: &str, span: Option<Range<usize>>) -> Problem {
        // Without a place, the parser means the whole file, such as for a missing table.
        let span = span.unwrap_or(0..0);
        let kind = ProblemKind::Malformed {
            message: message.trim_end().to_owned(),
            meant: suggest::meant(message)
                .or_else(|| meant_several(message, self.text(), span.start)),
            schema: self.schema,
        };
        self.problem(kind, span)
    }
}

/// The text of a file, as [`Source::read`] reads it.
pub(super) fn text(path: &Path, roots: Option<&Roots>) -> io::Result<String> {
    let Some(roots) = roots else {
        return as_text(std::fs::read(path)?);
    };
    as_text(roots.read(path, LONGEST_TEXT)?)
}

fn as_text(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, no_text(&error)))
}

/// `[device]` where there may be several, so that each is a `[[device]]`.
fn meant_several(message: &str, text: &str, at: usize) -> Option<String> {
    if !message.starts_with("invalid type: map, expected a sequence") {
        return None;
    }
    let here = text[..text.floor_char_boundary(at)].matches('\n').count();
    let line = text.lines().nth(here)?.trim();
    let name = line.strip_prefix('[')?.split(']').next()?;
    (!name.starts_with('[')).then(|| format!("[[{name}]]"))
}

pub(super) fn unreadable(
    path: &Path,
    source: io::Error,
    remedy: &'static str,
    named_at: Option<Place>,
) -> Problem {
    Problem::new(
        ProblemKind::Unreadable {
            path: path.to_owned(),
            source,
            remedy,
        },
        named_at,
    )
}
