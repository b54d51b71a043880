//! The console's log: every byte in both directions, with the time it was seen.
//!
//! One record a line: seconds since the clock's origin, `<` from the DUT, `>` to the DUT or `#` for a remark of the
//! bench, and the data. Printable UTF-8 stands for itself; all else is escaped: `\\`, `\n`, `\r`, `\t`, and `\xNN` for
//! any other byte. Undoing the escapes of all `<` records and joining them gives what the DUT sent, byte for byte, unless
//! remarks say that something was left out: a log has a limit, of which beginning and end are kept.

use std::{fmt::Write as _, fs::File, io, path::Path, time::Instant};

use crate::inventory::LogLimit;
use provebench_record::{
    bounded::{Bounded, LeftOut, Mark, Record, size},
    text::is_hostile,
};

/// A record is cut here when the DUT sends no line ends.
const LONGEST: usize = 1024;

/// Writes the log.
#[derive(Debug)]
pub(super) struct Log {
    all: Bounded,
    /// Of what is under way, a log of its own.
    part: Option<Bounded>,
    limit: LogLimit,
    origin: Instant,
    /// A line of the DUT that has not ended yet.
    pending: Vec<u8>,
    /// When its first byte was seen.
    pending_since: Instant,
    is_ended: bool,
}

impl Log {
    /// Appends to `path`; `title` goes into the first record.
    pub(super) fn open(
        path: &Path,
        limit: LogLimit,
        origin: Instant,
        title: &str,
    ) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let mut log = Self {
            all: Bounded::new(file, limit.of_device())?,
            part: None,
            limit,
            origin,
            pending: Vec::new(),
            pending_since: origin,
            is_ended: false,
        };
        log.remark(title)?;
        Ok(log)
    }

    /// Writes to this file, too, from now on.
    pub(super) fn begin_part(&mut self, path: &Path) -> io::Result<()> {
        self.end_part()?;
        let file = File::options().create(true).append(true).open(path)?;
        self.part = Some(Bounded::new(file, self.limit.of_case())?);
        Ok(())
    }

    /// Completes that file.
    pub(super) fn end_part(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        let ended = match self.part.take() {
            Some(mut part) => part.finish(|what| mark(what, self.limit.of_case(), self.origin)),
            None => Ok(()),
        };
        flushed.and(ended)
    }

    /// What is not in that file so far.
    pub(super) fn left_out(&self) -> Option<String> {
        let part = self.part.as_ref()?;
        let left_out = part.left_out();
        (left_out.records > 0).then(|| {
            format!(
                "console.log is not whole: {} were left out so far, for its limit of {} (log_limit in devices.toml)",
                told(left_out),
                size(part.limit()),
            )
        })
    }

    /// Completes the log. What is written afterwards still goes there.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let ended = self.end_part();
        let (limit, origin) = (self.limit.of_device(), self.origin);
        let finished = self.all.finish(|what| mark(what, limit, origin));
        ended.and(finished)
    }

    /// Completes the log for good.
    pub(super) fn end(&mut self) {
        // Who can't write it was told before.
        let _ = self.finish();
        self.is_ended = true;
    }

    pub(super) fn received(&mut self, data: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let mut records = Vec::new();
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(LONGEST) {
                if self.pending.is_empty() {
                    self.pending_since = now;
                }
                self.pending.extend_from_slice(piece);
                if self.pending.ends_with(b"\n") {
                    records.push(self.end_record(self.pending.len(), now));
                } else if self.pending.len() >= LONGEST {
                    records.push(self.end_record(whole_characters(&self.pending), now));
                }
            }
        }
        self.write(&records)
    }

    pub(super) fn sent(&mut self, data: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let mut records = Vec::from_iter(self.take_pending());
        let lines = data.split_inclusive(|byte| *byte == b'\n');
        let parts = lines.flat_map(|line| line.chunks(LONGEST));
        records.extend(parts.map(|part| record(self.origin, '>', now, part)));
        self.write(&records)
    }

    pub(super) fn remark(&mut self, remark: &str) -> io::Result<()> {
        let mut records = Vec::from_iter(self.take_pending());
        records.push(record(self.origin, '#', Instant::now(), remark.as_bytes()));
        self.write(&records)
    }

    /// Writes the line that has not ended yet: the DUT waits, or nothing more will come.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let pending = Vec::from_iter(self.take_pending());
        self.write(&pending)
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn take_pending(&mut self) -> Option<Record> {
        self.has_pending()
            .then(|| self.end_record(self.pending.len(), Instant::now()))
    }

    fn end_record(&mut self, length: usize, now: Instant) -> Record {
        let rest = self.pending.split_off(length);
        let data = std::mem::replace(&mut self.pending, rest);
        let since = std::mem::replace(&mut self.pending_since, now);
        record(self.origin, '<', since, &data)
    }

    fn write(&mut self, records: &[Record]) -> io::Result<()> {
        if self.is_ended {
            return Ok(());
        }
        let (limit, origin) = (self.limit, self.origin);
        let written = self
            .all
            .append(records, |what| mark(what, limit.of_device(), origin));
        let part = self.part.as_mut().map_or(Ok(()), |part| {
            part.append(records, |what| mark(what, limit.of_case(), origin))
        });
        written.and(part)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn record(origin: Instant, direction: char, at: Instant, data: &[u8]) -> Record {
    let seconds = at.saturating_duration_since(origin).as_secs_f64();
    let mut text = String::new();
    let _ = write!(text, "{seconds:>12.6} {direction} ");
    escape(data, &mut text);
    text.push('\n');
    Record {
        text,
        bytes: data.len() as u64,
    }
}

fn mark(what: Mark, limit: u64, origin: Instant) -> String {
    let remark = match what {
        Mark::Begins => format!(
            "something is left out from here on: this log has reached its limit of {} (log_limit in devices.toml)",
            size(limit)
        ),
        Mark::Here(left_out) => format!("{} were left out here; the end follows", told(left_out)),
    };
    record(origin, '#', Instant::now(), remark.as_bytes()).text
}

fn told(left_out: LeftOut) -> String {
    format!("{} bytes in {} records", left_out.bytes, left_out.records)
}

/// How many bytes of `data` can be written without cutting a UTF-8 character that is still incomplete.
fn whole_characters(data: &[u8]) -> usize {
    match data.utf8_chunks().last() {
        // Three bytes at most are the beginning of a character; with more there is something else wrong.
        Some(chunk)
            if (1..=3).contains(&chunk.invalid().len()) && chunk.invalid().len() < data.len() =>
        {
            data.len() - chunk.invalid().len()
        }
        _ => data.len(),
    }
}

/// Appends `data` in printable form.
pub(super) fn escape(data: &[u8], text: &mut String) {
    for chunk in data.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                ' '..='~' => text.push(character),
                // Neither control characters nor those that turn the reading direction or can't be seen.
                _ if !is_hostile(character) => text.push(character),
                _ => hex_escape(character.encode_utf8(&mut [0; 4]).as_bytes(), text),
            }
        }
        hex_escape(chunk.invalid(), text);
    }
}

fn hex_escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use rand::{Rng, SeedableRng, rngs::StdRng};
    use rstest::rstest;

    use super::*;

    /// What the log says that the DUT sent.
    pub(in super::super) fn received_bytes(log: &str) -> Vec<u8> {
        log.lines()
            .filter_map(|line| line.get(13..)?.strip_prefix("< "))
            .flat_map(unescape)
            .collect()
    }

    fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            if character != '\\' {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let (kind, after) = rest.split_at(1);
            rest = after;
            bytes.push(match kind {
                "n" => b'\n',
                "r" => b'\r',
                "t" => b'\t',
                "x" => {
                    let (digits, after) = rest.split_at(2);
                    rest = after;
                    u8::from_str_radix(digits, 16).unwrap()
                }
                _ => b'\\',
            });
        }
        bytes
    }

    #[rstest]
    #[case::text(b"Hello, world", "Hello, world")]
    #[case::controls(b"a\x1b[2Jb\0\x7f\r\n", r"a\x1b[2Jb\x00\x7f\r\n")]
    #[case::backslash(br"C:\x41", r"C:\\x41")]
    #[case::utf8("Küche 21 °C".as_bytes(), "Küche 21 °C")]
    #[case::not_utf8(b"\xff\xc3(", r"\xff\xc3(")]
    #[case::reading_direction("\u{202e}evil".as_bytes(), r"\xe2\x80\xaeevil")]
    #[case::c1_control("\u{85}".as_bytes(), r"\xc2\x85")]
    fn escapes_what_a_terminal_would_act_on(#[case] data: &[u8], #[case] expected: &str) {
        let mut text = String::new();
        escape(data, &mut text);
        assert_eq!(text, expected);
    }

    #[rstest]
    #[case::bytes(|random: &mut StdRng| random.random())]
    #[case::no_line_ends(|random: &mut StdRng| random.random_range(b' '..b'~'))]
    #[case::utf8_pieces(|random: &mut StdRng| b"\xc3\xa4\xe2\x82\xac\n\\x"[random.random_range(0..8)])]
    fn loses_nothing(
        #[case] byte: fn(&mut StdRng) -> u8,
        #[values(1, 3, 1000, 5000)] longest_chunk: usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut random = StdRng::seed_from_u64(7);
        let mut all = Vec::new();
        let mut log = Log::open(&path, LogLimit::default(), Instant::now(), "test").unwrap();
        while all.len() < 20_000 {
            let chunk: Vec<u8> = (0..random.random_range(1..=longest_chunk))
                .map(|_| byte(&mut random))
                .collect();
            log.received(&chunk).unwrap();
            if random.random_bool(0.1) {
                log.sent(b"x\r").unwrap();
            }
            all.extend(chunk);
        }
        log.flush().unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert!(received_bytes(&written) == all);
        assert!(
            written
                .lines()
                .all(|line| line.len() < 20 + 4 * 2 * LONGEST)
        );
    }

    #[test]
    fn characters_stay_whole_though_they_arrive_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut log = Log::open(&path, LogLimit::default(), Instant::now(), "test").unwrap();
        for byte in "Küche: 21 °C\n".bytes() {
            log.received(&[byte]).unwrap();
        }
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .contains("< Küche: 21 °C\\n")
        );
    }
}
