//! The console's log: every byte in both directions, with the time it was seen.
//!
//! One record a line: seconds since the clock's origin, `<` from the DUT, `>` to the DUT or `#` for a remark of the
//! bench, and the data. Printable UTF-8 stands for itself; all else is escaped: `\\`, `\n`, `\r`, `\t`, and `\xNN` for
//! any other byte. Undoing the escapes of all `<` records and joining them gives what the DUT sent, byte for byte.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    path::Path,
    time::Instant,
};

use crate::text::is_hostile;

/// A record is cut here when the DUT sends no line ends.
const LONGEST: usize = 1024;

/// Writes the log.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    origin: Instant,
    written: u64,
    /// A line of the DUT that has not ended yet.
    pending: Vec<u8>,
    /// When its first byte was seen.
    pending_since: Instant,
}

impl Log {
    /// Appends to `path`; `title` goes into the first record.
    pub(super) fn open(path: &Path, origin: Instant, title: &str) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let written = file.metadata()?.len();
        let mut log = Self {
            file,
            origin,
            written,
            pending: Vec::new(),
            pending_since: origin,
        };
        log.remark(title)?;
        Ok(log)
    }

    /// Bytes in the file.
    pub(super) fn position(&self) -> u64 {
        self.written
    }

    pub(super) fn received(&mut self, data: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let mut text = String::new();
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(LONGEST) {
                if self.pending.is_empty() {
                    self.pending_since = now;
                }
                self.pending.extend_from_slice(piece);
                if self.pending.ends_with(b"\n") {
                    self.end_record(self.pending.len(), now, &mut text);
                } else if self.pending.len() >= LONGEST {
                    self.end_record(whole_characters(&self.pending), now, &mut text);
                }
            }
        }
        self.write(&text)
    }

    pub(super) fn sent(&mut self, data: &[u8]) -> io::Result<()> {
        let mut text = self.take_pending();
        for part in data
            .split_inclusive(|byte| *byte == b'\n')
            .flat_map(|line| line.chunks(LONGEST))
        {
            self.record('>', Instant::now(), part, &mut text);
        }
        self.write(&text)
    }

    pub(super) fn remark(&mut self, remark: &str) -> io::Result<()> {
        let mut text = self.take_pending();
        self.record('#', Instant::now(), remark.as_bytes(), &mut text);
        self.write(&text)
    }

    /// Writes the line that has not ended yet: the DUT waits, or nothing more will come.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let text = self.take_pending();
        self.write(&text)
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn take_pending(&mut self) -> String {
        let mut text = String::new();
        if self.has_pending() {
            self.end_record(self.pending.len(), Instant::now(), &mut text);
        }
        text
    }

    fn end_record(&mut self, length: usize, now: Instant, text: &mut String) {
        let rest = self.pending.split_off(length);
        let record = std::mem::replace(&mut self.pending, rest);
        self.record('<', self.pending_since, &record, text);
        self.pending_since = now;
    }

    fn record(&self, direction: char, at: Instant, data: &[u8], text: &mut String) {
        let seconds = at.saturating_duration_since(self.origin).as_secs_f64();
        let _ = write!(text, "{seconds:>12.6} {direction} ");
        escape(data, text);
        text.push('\n');
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.written += text.len() as u64;
        Ok(())
    }
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
        let mut log = Log::open(&path, Instant::now(), "test").unwrap();
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
        assert_eq!(written.len() as u64, log.position());
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
        let mut log = Log::open(&path, Instant::now(), "test").unwrap();
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
