//! Undoes what URLs, forms, JSON, scripts and HTML do to characters. Any of them may be escaped and none has to be, so
//! there is no list of forms to look for: what was escaped is read as what it means, and searched then.

/// Times that escapes are undone: a form within JSON within a URL.
const LEVELS: usize = 3;
/// Longest name or number between `&` and `;`.
const LONGEST_ENTITY: usize = 8;

/// What bytes mean when escapes are undone once, twice, ...: as often as there are any.
pub(super) struct Unescaped {
    levels: Vec<Level>,
}

/// What the bytes of the level before mean.
#[derive(Default)]
struct Level {
    bytes: Vec<u8>,
    escapes: Vec<Escape>,
}

/// What was escaped: where its meaning begins and ends, and where it was itself in the level before.
struct Escape {
    meaning: (usize, usize),
    written: (usize, usize),
}

impl Unescaped {
    /// The bytes of each level.
    pub(super) fn levels(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let bytes = self.levels.iter().map(|level| level.bytes.as_slice());
        bytes.enumerate()
    }

    /// Where the bytes of a range, which is not empty, came from; `None` if nothing in there was escaped.
    pub(super) fn origin(&self, level: usize, begin: usize, end: usize) -> Option<(usize, usize)> {
        let origin = self.place(level, begin, end);
        (origin.1 - origin.0 != end - begin).then_some(origin)
    }

    /// Where the bytes of a range, which is not empty, came from.
    pub(super) fn place(&self, level: usize, begin: usize, end: usize) -> (usize, usize) {
        let levels = self.levels[..=level].iter().rev();
        levels.fold((begin, end), |(begin, end), level| level.range(begin, end))
    }
}

/// Lines of one text, without their ends.
pub(super) struct Joined(Level);

impl Joined {
    /// The text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Where the bytes of a range, which is not empty, came from; `None` if they are of one line.
    pub(super) fn origin(&self, begin: usize, end: usize) -> Option<(usize, usize)> {
        let origin = self.0.range(begin, end);
        (origin.1 - origin.0 != end - begin).then_some(origin)
    }
}

/// Letters on each side of a line's end that may be of one text in Base64, or in hexadecimal digits.
const RUN: usize = 4;
/// Blanks at the beginning of a line that goes on what was before.
const LONGEST_INDENT: usize = 8;

/// Joins lines of what may be one text in Base64 (RFC 2045 6.8 has 76 letters a line, PEM 64), or in hexadecimal digits;
/// `None` where there is no such line's end.
pub(super) fn join(bytes: &[u8]) -> Option<Joined> {
    let mut joined = Level::default();
    let mut done = 0;
    for end in memchr::memchr2_iter(b'\r', b'\n', bytes) {
        if end < done || !is_run(bytes[done..end].iter().rev()) {
            continue;
        }
        let breaks = bytes[end..].iter().take(4);
        let breaks = breaks.take_while(|byte| b"\r\n".contains(byte)).count();
        let indent = bytes[end + breaks..].iter().take(LONGEST_INDENT);
        let indent = indent.take_while(|byte| b" \t".contains(byte)).count();
        let next = end + breaks + indent;
        if !is_run(bytes[next..].iter()) {
            continue;
        }
        joined.bytes.extend_from_slice(&bytes[done..end]);
        let at = joined.bytes.len();
        done = next;
        joined.escapes.push(Escape {
            meaning: (at, at),
            written: (end, next),
        });
    }
    if done == 0 {
        return None;
    }
    joined.bytes.extend_from_slice(&bytes[done..]);
    Some(Joined(joined))
}

/// Whether letters stand there: so many, or as many as the line has.
fn is_run<'b>(bytes: impl Iterator<Item = &'b u8>) -> bool {
    let mut line = bytes
        .take(RUN)
        .take_while(|byte| !b"\r\n".contains(byte))
        .peekable();
    line.peek().is_some()
        && line.all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte))
}

impl Level {
    /// Where the bytes of a range, which is not empty, came from.
    fn range(&self, begin: usize, end: usize) -> (usize, usize) {
        (self.origin(begin).0, self.origin(end - 1).1)
    }

    /// Where what a byte came from begins and ends.
    fn origin(&self, at: usize) -> (usize, usize) {
        let next = self
            .escapes
            .partition_point(|escape| escape.meaning.0 <= at);
        let Some(escape) = next.checked_sub(1).map(|last| &self.escapes[last]) else {
            return (at, at + 1);
        };
        if at < escape.meaning.1 {
            return escape.written;
        }
        let from = escape.written.1 + (at - escape.meaning.1);
        (from, from + 1)
    }
}

/// Undoes what is escaped.
pub(super) fn unescape(bytes: &[u8]) -> Unescaped {
    let mut levels: Vec<Level> = Vec::new();
    for _ in 0..LEVELS {
        let Some(next) = once(levels.last().map_or(bytes, |level| &level.bytes)) else {
            break;
        };
        levels.push(next);
    }
    Unescaped { levels }
}

/// `None` where nothing is escaped.
fn once(bytes: &[u8]) -> Option<Level> {
    let mut next = Level::default();
    let mut done = 0;
    for start in memchr::memchr3_iter(b'%', b'\\', b'&', bytes) {
        if start < done || !may_be(bytes, start) {
            continue;
        }
        let Some((meaning, length)) = meaning(&bytes[start..]) else {
            continue;
        };
        next.bytes.extend_from_slice(&bytes[done..start]);
        let begin = next.bytes.len();
        match meaning {
            Meaning::Byte(byte) => next.bytes.push(byte),
            Meaning::Letter(letter) => {
                let mut buffer = [0; 4];
                let letter = letter.encode_utf8(&mut buffer);
                next.bytes.extend_from_slice(letter.as_bytes());
            }
        }
        done = start + length;
        next.escapes.push(Escape {
            meaning: (begin, next.bytes.len()),
            written: (start, done),
        });
    }
    if done == 0 {
        return None;
    }
    next.bytes.extend_from_slice(&bytes[done..]);
    Some(next)
}

/// Whether it is worth a closer look: in encrypted data, each 85th byte begins what might be an escape.
fn may_be(bytes: &[u8], start: usize) -> bool {
    let Some(next) = bytes.get(start + 1) else {
        return false;
    };
    match bytes[start] {
        b'%' => next.is_ascii_hexdigit(),
        b'&' => matches!(next, b'#' | b'a' | b'l' | b'g' | b'q' | b'n'),
        _ => matches!(
            next,
            b'u' | b'x' | b'"' | b'\'' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'
        ),
    }
}

enum Meaning {
    Byte(u8),
    Letter(char),
}

/// What the escape at the beginning means, and its length; `None` if there is none.
fn meaning(bytes: &[u8]) -> Option<(Meaning, usize)> {
    match bytes {
        // RFC 3986 2.1.
        [b'%', high, low, ..] => Some((Meaning::Byte(hex(*high)? << 4 | hex(*low)?), 3)),
        // RFC 8259 7, and what scripts have beside that.
        [b'\\', b'u', rest @ ..] => {
            let first = word(rest)?;
            if let (0xD800..=0xDBFF, [b'\\', b'u', low @ ..]) = (first, &rest[4..])
                && let Some(low @ 0xDC00..=0xDFFF) = word(low)
            {
                let letter = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
                return Some((Meaning::Letter(char::from_u32(letter)?), 12));
            }
            Some((Meaning::Letter(char::from_u32(first)?), 6))
        }
        [b'\\', b'x', high, low, ..] => Some((Meaning::Byte(hex(*high)? << 4 | hex(*low)?), 4)),
        [b'\\', letter, ..] => {
            let byte = match letter {
                b'"' | b'\'' | b'\\' | b'/' => *letter,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                _ => return None,
            };
            Some((Meaning::Byte(byte), 2))
        }
        [b'&', rest @ ..] => {
            let end = rest
                .iter()
                .take(LONGEST_ENTITY + 1)
                .position(|byte| *byte == b';')?;
            Some((Meaning::Letter(entity(&rest[..end])?), end + 2))
        }
        _ => None,
    }
}

/// What is between `&` and `;`.
fn entity(name: &[u8]) -> Option<char> {
    match name {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        b"nbsp" => Some('\u{A0}'),
        _ => None,
    }
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    let digits = str::from_utf8(digits).ok()?;
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
}

fn word(digits: &[u8]) -> Option<u32> {
    let digits = digits.first_chunk::<4>()?;
    digits
        .iter()
        .try_fold(0, |sum, digit| Some(sum << 4 | u32::from(hex(*digit)?)))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a%2Fb%2fc", &["a/b/c"])]
    #[case("%252F", &["%2F", "/"])]
    #[case(r"\u00e9\ud83d\ude00\/\x41\n", &["é😀/A\n"])]
    #[case(r"%5Cu0041", &["\\u0041", "A"])]
    #[case("&lt;&#65;&#x42;&amp;amp;", &["<AB&amp;", "<AB&"])]
    #[case("100 % of \\ & a&b=c; %zz \\u12 &nothing;", &[])]
    #[case("%4", &[])]
    #[case("%25252541", &["%252541", "%2541", "%41"])]
    fn undoes_what_is_escaped(#[case] escaped: &str, #[case] levels: &[&str]) {
        let got = unescape(escaped.as_bytes());
        let got: Vec<_> = got
            .levels()
            .map(|(_, bytes)| String::from_utf8_lossy(bytes))
            .collect();
        assert_eq!(got, levels);
    }

    #[rstest]
    #[case("QUJD\r\nREVG", Some("QUJDREVG"))]
    #[case("QUJD\n REVG\n\tSEk=", Some("QUJDREVGSEk="))]
    #[case("ab\r\ncd\r\nef", Some("abcdef"))]
    #[case("a: b c.\r\nd: e\r\n\r\n", None)]
    #[case("Host: x\r\n\r\n", None)]
    #[case("\nQUJD\n", None)]
    fn joins_lines(#[case] lines: &str, #[case] text: Option<&str>) {
        let joined = join(lines.as_bytes());
        let got = joined.as_ref().map(Joined::bytes);
        assert_eq!(got, text.map(str::as_bytes));
    }

    #[test]
    fn knows_which_lines_it_came_from() {
        let joined = join(b"xx QUJD\r\nREVG\r\nSEk=").unwrap();
        assert_eq!(joined.origin(5, 9), Some((5, 11)));
        assert_eq!(joined.origin(3, 15), Some((3, 19)));
        assert_eq!(joined.origin(7, 11), None);
        assert_eq!(joined.origin(6, 8), Some((6, 10)));
    }

    #[test]
    fn knows_where_it_came_from() {
        let unescaped = unescape(b"ab%2541cd");
        let last = unescaped.levels().last();
        assert_eq!(last, Some((1, &b"abAcd"[..])));
        assert_eq!(unescaped.origin(1, 2, 3), Some((2, 7)));
        assert_eq!(unescaped.origin(1, 1, 4), Some((1, 8)));
        assert_eq!(unescaped.origin(0, 2, 3), Some((2, 5)));
        assert_eq!(unescaped.origin(1, 0, 2), None);
        assert_eq!(unescaped.origin(1, 3, 5), None);
    }
}
