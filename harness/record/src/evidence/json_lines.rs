use std::fs::{File, TryLockError};
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::{EvidenceError, open_plain};
use crate::bounded::{Bounded, LeftOut, Mark, Record};

/// No line that we write comes near it: what is longer is none of ours, and would take all memory. Bytes.
const LONGEST: u64 = 64 << 20;

/// An append-only file of one JSON value a line. A killed process leaves whole lines, and at most
/// one cut off at the end.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens a file to go on with, where there is one, else a new one. Refuses a file that another process appends to.
    pub(super) fn resume(path: PathBuf) -> Result<Self, EvidenceError> {
        let fail = |action, error: io::Error| EvidenceError::new(action, &path, error);
        let file = open_plain(File::options().read(true).append(true).create(true), &path)
            .map_err(|e| fail("open", e))?;
        file.try_lock().map_err(|e| {
            let reason = match e {
                TryLockError::WouldBlock => io::Error::other("the run is still under way"),
                TryLockError::Error(error) => error,
            };
            fail("go on with", reason)
        })?;
        Ok(Self { path, file })
    }

    /// Takes off what a killed process left behind the whole lines, which end at this byte ([`whole_lines`]).
    pub fn cut(&mut self, end: u64) -> Result<(), EvidenceError> {
        self.file
            .set_len(end)
            .map_err(|e| EvidenceError::new("cut", &self.path, e))
    }

    /// Adds a line.
    pub fn append(&mut self, value: &impl Serialize) -> Result<(), EvidenceError> {
        self.append_all([value])
    }

    /// Adds lines: all of them or, as far as that is in our hands, none.
    pub fn append_all<'a, T: Serialize + 'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<(), EvidenceError> {
        let mut lines = Vec::new();
        for value in values {
            serde_json::to_writer(&mut lines, value)
                .map_err(|e| EvidenceError::new("encode a line of", &self.path, e.into()))?;
            lines.push(b'\n');
        }
        let before = self.file.metadata().map(|metadata| metadata.len());
        self.file.write_all(&lines).map_err(|e| {
            // Half a line would only take room where there is none.
            if let Ok(before) = before {
                let _ = self.file.set_len(before);
            }
            EvidenceError::new("append to", &self.path, e)
        })
    }

    /// What was added is on disk when this returns.
    pub fn sync(&mut self) -> Result<(), EvidenceError> {
        self.file
            .sync_data()
            .map_err(|e| EvidenceError::new("sync", &self.path, e))
    }
}

/// A new file of one JSON value a line, of which beginning and end are kept when there are too many.
#[derive(Debug)]
pub struct BoundedLines {
    path: PathBuf,
    lines: Bounded,
}

impl BoundedLines {
    pub(super) fn create(path: PathBuf, limit: u64) -> Result<Self, EvidenceError> {
        let file = File::options().append(true).create_new(true).open(&path);
        match file.and_then(|file| Bounded::new(file, limit)) {
            Ok(lines) => Ok(Self { path, lines }),
            Err(e) => Err(EvidenceError::new("create", &path, e)),
        }
    }

    /// Adds a line; `mark` gives what stands where lines are left out.
    pub fn append<T: Serialize>(
        &mut self,
        value: &T,
        mark: impl Fn(Mark) -> T,
    ) -> Result<(), EvidenceError> {
        let text = line(value);
        let text =
            text.map_err(|e| EvidenceError::new("encode a line of", &self.path, e.into()))?;
        let record = Record {
            bytes: text.len() as u64,
            text,
        };
        self.lines
            .append(&[record], |what| line(&mark(what)).unwrap_or_default())
            .map_err(|e| EvidenceError::new("append to", &self.path, e))
    }

    /// Writes the end of what was too long.
    pub fn finish<T: Serialize>(&mut self, mark: impl Fn(Mark) -> T) -> Result<(), EvidenceError> {
        self.lines
            .finish(|what| line(&mark(what)).unwrap_or_default())
            .map_err(|e| EvidenceError::new("append to", &self.path, e))
    }

    /// What it did not keep.
    pub fn left_out(&self) -> LeftOut {
        self.lines.left_out()
    }

    /// How many bytes it keeps at most.
    pub fn limit(&self) -> u64 {
        self.lines.limit()
    }
}

fn line(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|text| text + "\n")
}

/// Why such a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// By the disk's fault.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// By what is in it.
    #[error("line {number}: {reason}")]
    Line {
        /// Of the first such line, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Hands over the lines of such a file, without their ends. Gives the byte at which the last of them ends: what follows
/// (half a line, half a character, NUL bytes) is what a killed process or a crash of the machine left, and no line yet.
///
/// # Errors
/// That of the first line that is refused, or that is not whole though others follow it.
pub fn whole_lines(
    mut from: impl BufRead,
    mut each: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<u64, LinesError> {
    let mut line = Vec::new();
    let mut broken = None;
    let (mut at, mut end) = (0, 0);
    for number in 1.. {
        line.clear();
        let read = (&mut from).take(LONGEST + 1).read_until(b'\n', &mut line)?;
        let wrong = |number, reason: &str| LinesError::Line {
            number,
            reason: reason.into(),
        };
        if read as u64 > LONGEST {
            return Err(wrong(number, "it is longer than 64 MiB"));
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            break;
        };
        at += read as u64;
        if text.contains(&0) || text.trim_ascii().is_empty() {
            broken.get_or_insert(number);
            continue;
        }
        if let Some(number) = broken {
            return Err(wrong(number, "it is damaged, and others follow it"));
        }
        each(text).map_err(|reason| LinesError::Line { number, reason })?;
        end = at;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn lines(text: &[u8]) -> Result<(Vec<String>, u64), String> {
        let mut lines = Vec::new();
        let end = whole_lines(text, |line| {
            lines.push(String::from_utf8(line.to_vec()).map_err(|e| e.to_string())?);
            Ok(())
        });
        end.map(|end| (lines, end)).map_err(|e| e.to_string())
    }

    #[rstest]
    #[case::none(b"", &[], 0)]
    #[case::whole(b"a\nb\n", &["a", "b"], 4)]
    #[case::half_a_line(b"a\nb", &["a"], 2)]
    #[case::half_a_character(b"a\nK\xc3", &["a"], 2)]
    #[case::nothing_whole(b"K\xc3", &[], 0)]
    #[case::nul_bytes(b"a\n\0\0\0\0", &["a"], 2)]
    #[case::half_a_line_and_nul_bytes(b"a\nb\0\0", &["a"], 2)]
    #[case::nul_bytes_and_an_end(b"a\n\0\0\n\0\n", &["a"], 2)]
    fn a_crash_leaves_whole_lines(#[case] text: &[u8], #[case] whole: &[&str], #[case] end: u64) {
        let (lines, at) = lines(text).unwrap();
        assert_eq!(
            (lines, at),
            (whole.iter().map(ToString::to_string).collect(), end)
        );
    }

    #[rstest]
    #[case::in_the_middle(b"a\n\0\nb\n", "line 2: it is damaged, and others follow it")]
    #[case::no_text(b"a\n\xc3\n", "line 2: incomplete utf-8")]
    fn what_no_crash_leaves_is_refused(#[case] text: &[u8], #[case] reason: &str) {
        let error = lines(text).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }

    #[test]
    fn a_line_that_never_ends_takes_no_memory() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        let error = whole_lines(endless, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "line 1: it is longer than 64 MiB");
    }
}
