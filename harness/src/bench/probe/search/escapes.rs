//! Undoes what URLs, forms, JSON, scripts and HTML do to characters. Any of them may be escaped and none has to be, so
//! there is no list of forms to look for: what was escaped is read as what it means, and searched then.

/// Times that escapes are undone: a form within JSON within a URL.
const LEVELS: usize = 3;
/// Longest name or number between `&` and `;`.
const LONGEST_ENTITY: usize = 8;

/// What escaped bytes mean.
pub(super) struct Unescaped {
    pub(super) bytes: Vec<u8>,
    /// For each byte, where what it came from begins and ends in the bytes that were given.
    spans: Vec<(u32, u32)>,
}

impl Unescaped {
    /// Where the bytes of a range came from; `None` if nothing in there was escaped.
    pub(super) fn origin(&self, begin: usize, end: usize) -> Option<(usize, usize)> {
        let (first, last) = (self.spans.get(begin)?, self.spans.get(end.checked_sub(1)?)?);
        let (from, to) = (first.0 as usize, last.1 as usize);
        (to - from != end - begin).then_some((from, to))
    }
}

/// What the bytes mean, escapes undone once, twice, ...: as often as there are any.
pub(super) fn unescape(bytes: &[u8]) -> Vec<Unescaped> {
    let mut levels: Vec<Unescaped> = Vec::new();
    // Positions are kept in 32 bits: no piece is that long.
    if u32::try_from(bytes.len()).is_err() {
        return levels;
    }
    for _ in 0..LEVELS {
        let before = levels.last();
        let Some(next) = once(before.map_or(bytes, |level| &level.bytes), before) else {
            break;
        };
        levels.push(next);
    }
    levels
}

/// `None` where nothing is escaped.
#[allow(clippy::cast_possible_truncation, reason = "looked at before")]
fn once(bytes: &[u8], before: Option<&Unescaped>) -> Option<Unescaped> {
    let mut next = Unescaped {
        bytes: Vec::new(),
        spans: Vec::new(),
    };
    let span = |from: usize, to: usize| match before {
        None => (from as u32, to as u32),
        Some(level) => (level.spans[from].0, level.spans[to - 1].1),
    };
    let mut done = 0;
    let copy = |next: &mut Unescaped, from: usize, to: usize| {
        next.bytes.extend_from_slice(&bytes[from..to]);
        next.spans.extend((from..to).map(|at| span(at, at + 1)));
    };
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'%', b'\\', b'&', &bytes[at..]) {
        let start = at + found;
        let Some((meaning, length)) = meaning(&bytes[start..]) else {
            at = start + 1;
            continue;
        };
        copy(&mut next, done, start);
        let mut buffer = [0; 4];
        let meaning = match meaning {
            Meaning::Byte(byte) => {
                buffer[0] = byte;
                &buffer[..1]
            }
            Meaning::Letter(letter) => letter.encode_utf8(&mut buffer).as_bytes(),
        };
        next.bytes.extend_from_slice(meaning);
        let whole = span(start, start + length);
        next.spans.extend(meaning.iter().map(|_| whole));
        at = start + length;
        done = at;
    }
    if done == 0 {
        return None;
    }
    copy(&mut next, done, bytes.len());
    Some(next)
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
            .iter()
            .map(|level| String::from_utf8_lossy(&level.bytes))
            .collect();
        assert_eq!(got, levels);
    }

    #[test]
    fn knows_where_it_came_from() {
        let levels = unescape(b"ab%2541cd");
        assert_eq!(levels[1].bytes, b"abAcd");
        assert_eq!(levels[1].origin(2, 3), Some((2, 7)));
        assert_eq!(levels[1].origin(1, 4), Some((1, 8)));
        assert_eq!(levels[1].origin(0, 2), None);
        assert_eq!(levels[1].origin(3, 5), None);
    }
}
