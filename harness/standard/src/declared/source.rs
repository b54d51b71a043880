//! The files of a declaration.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The files of a declaration: one, or those of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it is to be shown.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file, as it is to be shown.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The bytes there.
    pub span: Range<usize>,
}

/// Finds the line of a byte.
#[derive(Debug)]
pub(super) struct Lines {
    file: Arc<str>,
    /// Where lines begin.
    starts: Vec<usize>,
}

impl Sources {
    /// One file.
    pub fn one(name: &str, text: &str) -> Self {
        [(name, text)].into_iter().collect()
    }

    /// All files.
    pub fn files(&self) -> &[Source] {
        &self.0
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Sources {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(files: I) -> Self {
        let files = files.into_iter().map(|(name, text)| Source {
            name: name.to_owned(),
            text: text.to_owned(),
        });
        Self(files.collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Lines {
    pub(super) fn of(source: &Source) -> Self {
        let ends = source.text.bytes().enumerate();
        let ends = ends.filter(|(_, byte)| *byte == b'\n');
        Self {
            file: source.name.as_str().into(),
            starts: ends.map(|(at, _)| at + 1).collect(),
        }
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: self.starts.partition_point(|&start| start <= span.start) + 1,
            span,
        }
    }
}
