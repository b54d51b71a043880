//! Files that keep their beginning and their end, so that nobody who floods them fills the disk.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
};

/// As much of the end is kept, at most. It is in memory until the file is over.
const END: u64 = 1 << 20;

/// What is kept as a whole, or left out.
#[derive(Clone, Debug)]
pub struct Record {
    /// As it is written.
    pub text: String,
    /// How many bytes of what it is about it stands for.
    pub bytes: u64,
}

/// What is not in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many records.
    pub records: u64,
    /// Of what the records are about.
    pub bytes: u64,
}

/// What the file says of itself, at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// From here on something is left out. All that a killed process leaves.
    Begins,
    /// So much was left out here; its end follows.
    Here(LeftOut),
}

/// A file that is appended to, up to a limit. What comes then pushes out what came before, but for the beginning.
#[derive(Debug)]
pub struct Bounded {
    file: File,
    length: u64,
    limit: u64,
    /// What is not written yet, once the beginning is full.
    end: VecDeque<Record>,
    end_length: u64,
    is_full: bool,
    left_out: LeftOut,
    /// As much of that is told in the file.
    told: LeftOut,
}

impl Bounded {
    /// Appends to a file that is to become no longer than so many bytes.
    pub fn new(file: File, limit: u64) -> io::Result<Self> {
        Ok(Self {
            length: file.metadata()?.len(),
            file,
            limit,
            end: VecDeque::new(),
            end_length: 0,
            is_full: false,
            left_out: LeftOut::default(),
            told: LeftOut::default(),
        })
    }

    /// How many bytes it keeps at most.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// All that was left out so far.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Adds records: all of them or, as far as that is in our hands, none.
    pub fn append(&mut self, records: &[Record], mark: impl Fn(Mark) -> String) -> io::Result<()> {
        let mut text = String::new();
        for record in records {
            let length = self.length + (text.len() + record.text.len()) as u64;
            self.is_full |= length > self.limit - self.end_limit();
            if self.is_full {
                self.keep(record, &mark, &mut text);
            } else {
                text += &record.text;
            }
        }
        self.write(&text)
    }

    /// Writes the end, and how much was left out before it.
    pub fn finish(&mut self, mark: impl Fn(Mark) -> String) -> io::Result<()> {
        let mut text = String::new();
        let untold = LeftOut {
            records: self.left_out.records - self.told.records,
            bytes: self.left_out.bytes - self.told.bytes,
        };
        if untold.records > 0 {
            text += &mark(Mark::Here(untold));
        }
        self.told = self.left_out;
        self.end_length = 0;
        text.extend(self.end.drain(..).map(|record| record.text));
        self.write(&text)
    }

    fn end_limit(&self) -> u64 {
        END.min(self.limit / 4)
    }

    fn keep(&mut self, record: &Record, mark: impl Fn(Mark) -> String, text: &mut String) {
        self.end_length += record.text.len() as u64;
        self.end.push_back(record.clone());
        while self.end_length > self.end_limit() {
            let Some(oldest) = self.end.pop_front() else {
                break;
            };
            if self.left_out == self.told {
                *text += &mark(Mark::Begins);
            }
            self.end_length -= oldest.text.len() as u64;
            self.left_out.records += 1;
            self.left_out.bytes += oldest.bytes;
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes()).inspect_err(|_| {
            // Half of it would only take room where there is none.
            let _ = self.file.set_len(self.length);
        })?;
        self.length += text.len() as u64;
        Ok(())
    }
}

/// A number of bytes, for reading.
pub fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit);
            return match tenth {
                0 => format!("{whole} {name}"),
                tenth => format!("{whole}.{tenth} {name}"),
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;

    use super::*;

    fn mark(mark: Mark) -> String {
        match mark {
            Mark::Begins => "begins\n".into(),
            Mark::Here(LeftOut { records, bytes }) => format!("{records} records, {bytes} bytes\n"),
        }
    }

    fn lines(range: std::ops::Range<u32>) -> impl Iterator<Item = Record> {
        range.map(|n| Record {
            text: format!("line {n:>4}\n"),
            bytes: 3,
        })
    }

    /// 10 bytes a line; of 1000 bytes, 250 are for the end.
    #[rstest]
    #[case::all_fits(75, 0)]
    #[case::all_fits_but_in_memory(100, 0)]
    #[case::one_too_many(101, 1)]
    #[case::a_flood(9000, 8900)]
    fn beginning_and_end_are_kept(#[case] written: u32, #[case] left_out: u32) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bounded = Bounded::new(file.reopen().unwrap(), 1000).unwrap();
        for line in lines(0..written) {
            bounded.append(&[line], mark).unwrap();
        }
        bounded.finish(mark).unwrap();
        let kept = |range| lines(range).map(|line| line.text).collect::<String>();
        let expected = if left_out == 0 {
            kept(0..written)
        } else {
            format!(
                "{}begins\n{left_out} records, {} bytes\n{}",
                kept(0..75),
                3 * left_out,
                kept(75 + left_out..written)
            )
        };
        assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
        assert_eq!(bounded.left_out().records, u64::from(left_out));
        // What comes after that is told apart.
        bounded.finish(mark).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
    }

    #[test]
    fn what_is_longer_than_the_end_is_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bounded = Bounded::new(file.reopen().unwrap(), 1000).unwrap();
        let long = Record {
            text: "x".repeat(2000),
            bytes: 7,
        };
        bounded.append(&[long], mark).unwrap();
        bounded
            .append(&lines(0..1).collect::<Vec<_>>(), mark)
            .unwrap();
        bounded.finish(mark).unwrap();
        let expected = "begins\n1 records, 7 bytes\nline    0\n";
        assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
    }

    #[rstest]
    #[case(1023, "1023 bytes")]
    #[case(64 << 10, "64 KiB")]
    #[case(64 << 20, "64 MiB")]
    #[case((3 << 30) + (1 << 29), "3.5 GiB")]
    #[case((2 << 20) - 1, "1.9 MiB")]
    fn sizes_are_readable(#[case] bytes: u64, #[case] told: &str) {
        assert_eq!(size(bytes), told);
    }
}
