//! Search of memory for secrets and canaries, in every encoding they may have been stored in.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use md5::Md5;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

mod contents;
mod escapes;

use contents::{Contents, Part};

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    /// Under which name hits are reported.
    pub name: String,
    /// The bytes as they were entered.
    pub bytes: Vec<u8>,
}

/// How a needle was found to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is.
    Raw,
    /// As it is, but for capital and small letters.
    OtherCase,
    /// With a plus sign for each blank, as forms have it.
    Form,
    /// With escapes of URLs, forms, JSON, scripts or HTML for some or all characters.
    Escaped,
    /// In pieces, masked or compressed by what carries it: chunks of HTTP, WebSocket, gzip, deflate.
    Packed,
    /// Two bytes a character, little endian.
    Utf16Le,
    /// Two bytes a character, big endian.
    Utf16Be,
    /// Hexadecimal digits.
    HexLower,
    /// Hexadecimal digits, some of them in upper case.
    HexUpper,
    /// Base64, at any of the three alignments.
    Base64,
    /// The same with the alphabet for URLs (RFC 4648 5).
    Base64Url,
    /// Last byte first.
    Reversed,
    /// Its digest: as it is, in hexadecimal digits, or in either Base64.
    Md5,
    /// As [`Md5`](Self::Md5).
    #[serde(rename = "sha-1")]
    Sha1,
    /// As [`Md5`](Self::Md5).
    #[serde(rename = "sha-256")]
    Sha256,
    /// As [`Md5`](Self::Md5).
    #[serde(rename = "sha-512")]
    Sha512,
}

impl Encoding {
    /// The name that scripts and reports see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::OtherCase => "other-case",
            Self::Form => "form",
            Self::Escaped => "escaped",
            Self::Packed => "packed",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::HexLower => "hex-lower",
            Self::HexUpper => "hex-upper",
            Self::Base64 => "base64",
            Self::Base64Url => "base64-url",
            Self::Reversed => "reversed",
            Self::Md5 => "md5",
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }
}

impl Encoding {
    /// The same where it is not written as it was sent.
    fn unless_plain(self, other: Self) -> Self {
        match self {
            Self::Raw | Self::OtherCase | Self::Form => other,
            encoding => encoding,
        }
    }

    /// Whether its letters may be broken into lines.
    fn has_lines(self) -> bool {
        matches!(
            self,
            Self::Base64
                | Self::Base64Url
                | Self::HexLower
                | Self::HexUpper
                | Self::Md5
                | Self::Sha1
                | Self::Sha256
                | Self::Sha512
        )
    }
}

/// Every form that bytes may have been stored in, for whoever searches by other means: without what any escape or any
/// change of letters may make of them, of which there is no end.
pub fn forms(bytes: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    let mut forms: Vec<(Encoding, Vec<u8>)> = encodings(bytes)
        .into_iter()
        .map(|(encoding, _, form)| (encoding, form))
        .collect();
    // Here, whoever searches may take letters as they are.
    let capitals = hex::encode_upper(bytes).into_bytes();
    forms.push((Encoding::HexUpper, capitals));
    forms
}

/// A place where a needle was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Which needle.
    pub needle: String,
    /// In which form.
    pub encoding: Encoding,
    /// Address of its first byte.
    pub address: u64,
    /// The region it lies in.
    pub region: String,
}

/// Encoded forms shorter than this would be found everywhere by chance.
const SHORTEST: usize = 4;
/// Bytes that an escape may take for one of what it stands for: `&#x0041;`, or `%2541` for what is escaped twice.
const LONGEST_ESCAPE: usize = 8;
/// How many times as long a text may be in lines.
const LINES: usize = 2;
/// Bytes of all forms up to which the quickest automaton is built: it takes some hundred times as much memory.
const QUICK: usize = 16 * 1024;

/// What an encoded form is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Letters {
    /// Capital or small, they are the same.
    AnyCase,
    /// They are what they are.
    Exact,
}

#[derive(Clone, Debug)]
struct Pattern {
    needle: usize,
    encoding: Encoding,
    letters: Letters,
    bytes: Vec<u8>,
}

impl Pattern {
    /// As what this was found, if it was: the automaton does not know capital letters from small ones.
    fn encoding_of(&self, found: &[u8]) -> Option<Encoding> {
        if found == self.bytes {
            return Some(self.encoding);
        }
        let other = match self.encoding {
            Encoding::Raw => Encoding::OtherCase,
            Encoding::HexLower => Encoding::HexUpper,
            same => same,
        };
        (self.letters == Letters::AnyCase).then_some(other)
    }
}

/// All encodings of all needles, compiled.
#[derive(Clone, Debug)]
pub struct Searcher {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    names: Vec<String>,
    /// Bytes of what came before that matter to what comes.
    tail: usize,
}

impl Searcher {
    /// `None` when there is nothing long enough to look for.
    pub fn new(needles: &[Needle]) -> Option<Self> {
        // One pattern can stand for several encodings (a palindrome is its own reverse): the first one counts.
        let mut known = BTreeSet::new();
        let mut patterns = Vec::new();
        let needles_to_find = needles.iter().enumerate();
        for (index, needle) in needles_to_find.filter(|(_, needle)| !needle.bytes.is_empty()) {
            for (encoding, letters, bytes) in encodings(&needle.bytes) {
                let is_long_enough = bytes.len() >= SHORTEST.min(needle.bytes.len());
                let key = match letters {
                    Letters::AnyCase => bytes.to_ascii_lowercase(),
                    Letters::Exact => bytes.clone(),
                };
                if is_long_enough && known.insert((index, letters, key)) {
                    patterns.push(Pattern {
                        needle: index,
                        encoding,
                        letters,
                        bytes,
                    });
                }
            }
        }
        let longest = patterns.iter().map(|pattern| pattern.bytes.len()).max()?;
        let size: usize = patterns.iter().map(|pattern| pattern.bytes.len()).sum();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .kind((size <= QUICK).then_some(AhoCorasickKind::DFA))
            .build(patterns.iter().map(|pattern| &pattern.bytes))
            .ok()?;
        let texts = needles.iter().map(|needle| needle.bytes.len()).max()?;
        Some(Self {
            automaton,
            patterns,
            names: needles.iter().map(|needle| needle.name.clone()).collect(),
            tail: (LINES * longest).max(LONGEST_ESCAPE * texts) - 1,
        })
    }

    /// Looks at `piece`, which comes after what `tail` is the end of (empty at first), and makes `tail` the end of
    /// `piece`. Tells `found` each needle's name, its encoding, and where in `piece` it begins: below 0 when that was
    /// in the tail.
    pub fn advance(
        &self,
        tail: &mut Vec<u8>,
        piece: &[u8],
        mut found: impl FnMut(&str, Encoding, i64),
    ) {
        let carried = tail.len();
        tail.extend_from_slice(piece);
        // What ends in the tail was reported when the tail was new.
        self.each(tail, |pattern, encoding, begin, end| {
            if end > carried {
                let begin = begin.cast_signed() - carried.cast_signed();
                found(&self.names[pattern.needle], encoding, begin as i64);
            }
        });
        // What is whole after one level of escapes is whole after all further ones.
        let mut told = BTreeSet::new();
        let mut tell = |pattern: &Pattern, encoding, origin: Option<(usize, usize)>| {
            let Some((begin, _)) = origin.filter(|origin| origin.1 > carried) else {
                return;
            };
            if told.insert((pattern.needle, pattern.bytes.clone(), begin)) {
                let begin = begin.cast_signed() - carried.cast_signed();
                found(&self.names[pattern.needle], encoding, begin as i64);
            }
        };
        let unescaped = escapes::unescape(tail);
        for (level, bytes) in unescaped.levels() {
            self.each(bytes, |pattern, encoding, begin, end| {
                let encoding = encoding.unless_plain(Encoding::Escaped);
                tell(pattern, encoding, unescaped.origin(level, begin, end));
            });
        }
        let levels = unescaped
            .levels()
            .map(|(level, bytes)| (Some(level), bytes));
        for (level, bytes) in iter::once((None, &tail[..])).chain(levels) {
            let Some(lines) = escapes::join(bytes) else {
                continue;
            };
            self.each(lines.bytes(), |pattern, encoding, begin, end| {
                if encoding.has_lines() {
                    let origin = lines.origin(begin, end);
                    let place = |(begin, end)| {
                        level.map_or((begin, end), |level| unescaped.place(level, begin, end))
                    };
                    tell(pattern, encoding, origin.map(place));
                }
            });
        }
        let keep = tail.len().min(self.tail);
        tail.drain(..tail.len() - keep);
    }

    fn each<'s>(
        &'s self,
        bytes: &[u8],
        mut found: impl FnMut(&'s Pattern, Encoding, usize, usize),
    ) {
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let pattern = &self.patterns[hit.pattern().as_usize()];
            if let Some(encoding) = pattern.encoding_of(&bytes[hit.range()]) {
                found(pattern, encoding, hit.start(), hit.end());
            }
        }
    }

    /// Starts on one region, which has a name and begins at that address.
    pub fn region<'s>(&'s self, name: &'s str, begin: u64) -> RegionSearch<'s> {
        RegionSearch {
            searcher: self,
            region: name,
            address: begin,
            tail: Vec::new(),
        }
    }
}

/// The search of one region, fed piece by piece in the order of addresses.
pub struct RegionSearch<'s> {
    searcher: &'s Searcher,
    region: &'s str,
    /// Address of what comes next.
    address: u64,
    /// The end of what came before, in which a match may begin.
    tail: Vec<u8>,
}

impl RegionSearch<'_> {
    /// Looks at the next `piece`; appends to `hits` until there are `limit` of them.
    pub fn feed(&mut self, piece: &[u8], hits: &mut Vec<Hit>, limit: usize) {
        let Self {
            searcher,
            region,
            address,
            tail,
        } = self;
        searcher.advance(tail, piece, |needle, encoding, begin| {
            if hits.len() < limit {
                hits.push(Hit {
                    needle: needle.into(),
                    encoding,
                    address: address.wrapping_add_signed(begin),
                    region: (*region).to_owned(),
                });
            }
        });
        self.address += piece.len() as u64;
    }
}

/// The search of one direction of a connection, or of anything else whole, fed piece by piece: of what is sent, and of
/// what that holds when chunks, masks and compression are undone.
#[derive(Debug, Default)]
pub struct StreamSearch {
    /// The end of what came before, see [`Searcher::advance`].
    tail: Vec<u8>,
    contents: Contents,
    /// The end of what was in there: as it is, and unpacked.
    inner: [Vec<u8>; 2],
}

impl StreamSearch {
    /// Looks at the next `piece`. Without a searcher, what comes later is understood all the same. Tells `found` each
    /// needle's name, its encoding, and where in `piece` it begins if it is there as it is.
    pub fn feed(
        &mut self,
        searcher: Option<&Searcher>,
        piece: &[u8],
        mut found: impl FnMut(&str, Encoding, Option<i64>),
    ) {
        let mut plain = BTreeSet::new();
        if let Some(searcher) = searcher {
            searcher.advance(&mut self.tail, piece, |name, encoding, begin| {
                plain.insert(name.to_owned());
                found(name, encoding, Some(begin));
            });
        }
        self.feed_contents(searcher, piece, |name, encoding| {
            // What a chunk has whole was seen already.
            if !plain.contains(name) {
                found(name, encoding, None);
            }
        });
    }

    /// The same, of what it holds only.
    pub fn feed_contents(
        &mut self,
        searcher: Option<&Searcher>,
        piece: &[u8],
        mut found: impl FnMut(&str, Encoding),
    ) {
        let [inner, unpacked] = &mut self.inner;
        self.contents.feed(piece, &mut |part, bytes| {
            let Some(searcher) = searcher else { return };
            let mut apart = Vec::new();
            let tail = match part {
                Part::Next => &mut *inner,
                Part::Unpacked => &mut *unpacked,
                Part::Apart => &mut apart,
            };
            searcher.advance(tail, bytes, |name, encoding, _| {
                found(name, encoding.unless_plain(Encoding::Packed));
            });
        });
    }

    /// Other needles are looked for from now on.
    pub fn forget(&mut self) {
        self.tail.clear();
        self.inner.iter_mut().for_each(Vec::clear);
    }

    /// Something is missing before what comes next.
    pub fn skip(&mut self) {
        self.forget();
        self.contents.skip();
    }

    /// Gives up all that is held.
    pub fn abandon(&mut self) {
        (self.tail, self.inner) = Default::default();
        self.contents.close();
    }

    /// How often what a content was packed in could not be undone.
    pub fn undone(&self) -> u64 {
        self.contents.undone()
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        let inner: usize = self.inner.iter().map(Vec::capacity).sum();
        self.tail.capacity() + inner + self.contents.held()
    }
}

/// Where needles are in these bytes, in which encoding: of each needle and encoding the first place; 0 for what is
/// packed in them.
pub fn search(bytes: &[u8], needles: &[Needle]) -> Vec<(String, Encoding, usize)> {
    let mut hits: BTreeMap<(String, Encoding), usize> = BTreeMap::new();
    if let Some(searcher) = Searcher::new(needles) {
        StreamSearch::default().feed(Some(&searcher), bytes, |name, encoding, begin| {
            let begin = usize::try_from(begin.unwrap_or_default()).unwrap_or_default();
            let first = hits.entry((name.to_owned(), encoding)).or_insert(begin);
            *first = begin.min(*first);
        });
    }
    hits.into_iter()
        .map(|((name, encoding), begin)| (name, encoding, begin))
        .collect()
}

fn encodings(bytes: &[u8]) -> Vec<(Encoding, Letters, Vec<u8>)> {
    let text = str::from_utf8(bytes).ok();
    // Capital letters may become small ones in a text; in other data, there are no letters.
    let is_text = text.is_some_and(|text| !text.chars().any(char::is_control));
    let letters = if is_text {
        Letters::AnyCase
    } else {
        Letters::Exact
    };
    let reversed = bytes.iter().rev().copied().collect();
    let mut all = vec![
        (Encoding::Raw, letters, bytes.to_vec()),
        (
            Encoding::HexLower,
            Letters::AnyCase,
            hex::encode(bytes).into_bytes(),
        ),
        (Encoding::Reversed, letters, reversed),
    ];
    if let Some(text) = text {
        let units: Vec<u16> = text.encode_utf16().collect();
        let little = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        all.push((Encoding::Utf16Le, letters, little));
        all.push((Encoding::Utf16Be, letters, big));
        if is_text && !text.is_ascii() {
            for other in [text.to_lowercase(), text.to_uppercase()] {
                all.push((Encoding::OtherCase, letters, other.into_bytes()));
            }
        }
    }
    if bytes.contains(&b' ') {
        let form = bytes.iter().map(|b| if *b == b' ' { b'+' } else { *b });
        all.push((Encoding::Form, letters, form.collect()));
    }
    for lead in 0..3 {
        all.extend(both_base64(Encoding::Base64, base64_at(bytes, lead)));
    }
    if bytes.len() < SHORTEST {
        // Digests of a few letters may be anybody's.
        return all;
    }
    for (encoding, digest) in [
        (Encoding::Md5, Md5::digest(bytes).to_vec()),
        (Encoding::Sha1, Sha1::digest(bytes).to_vec()),
        (Encoding::Sha256, Sha256::digest(bytes).to_vec()),
        (Encoding::Sha512, Sha512::digest(bytes).to_vec()),
    ] {
        all.push((
            encoding,
            Letters::AnyCase,
            hex::encode(&digest).into_bytes(),
        ));
        all.extend(both_base64(encoding, base64_at(&digest, 0)));
        all.push((encoding, Letters::Exact, digest));
    }
    all
}

/// A form in Base64, and in the alphabet for URLs.
fn both_base64(encoding: Encoding, form: Vec<u8>) -> [(Encoding, Letters, Vec<u8>); 2] {
    let for_urls = form.iter().map(|byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        byte => *byte,
    });
    let url = if encoding == Encoding::Base64 {
        Encoding::Base64Url
    } else {
        encoding
    };
    let for_urls = for_urls.collect();
    [
        (encoding, Letters::Exact, form),
        (url, Letters::Exact, for_urls),
    ]
}

/// The characters of a base64 text that depend on nothing but `bytes`, when `lead` bytes come before them.
fn base64_at(bytes: &[u8], lead: usize) -> Vec<u8> {
    let mut padded = vec![0; lead];
    padded.extend_from_slice(bytes);
    let text = STANDARD_NO_PAD.encode(&padded).into_bytes();
    // A character carries 6 bits: those which share bits with a neighbour are left out.
    let first = (lead * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    text.get(first..end).map(<[u8]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use rstest::rstest;

    use super::*;

    const SECRET: &[u8] = b"tr0ub4dor&3-Zurich";

    fn search(needle: &[u8], memory: &[u8], piece: usize) -> Vec<Hit> {
        let searcher = Searcher::new(&[Needle {
            name: "secret".into(),
            bytes: needle.to_vec(),
        }])
        .unwrap();
        let mut search = searcher.region("nvm", 0x1000);
        let mut hits = Vec::new();
        for part in memory.chunks(piece) {
            search.feed(part, &mut hits, 100);
        }
        hits
    }

    fn embed(encoded: &[u8]) -> Vec<u8> {
        let mut memory = vec![0xFF; 101];
        memory.extend_from_slice(encoded);
        memory.extend_from_slice(&[0xFF; 77]);
        memory
    }

    #[rstest]
    #[case(Encoding::Raw, SECRET.to_vec())]
    #[case(Encoding::OtherCase, SECRET.to_ascii_uppercase())]
    #[case(Encoding::Escaped, b"tr0ub4dor%263-Zurich".to_vec())]
    #[case(Encoding::Escaped, b"%74%72%30%75%62%34%64%6F%72%26%33%2D%5A%75%72%69%63%68".to_vec())]
    #[case(Encoding::Escaped, b"%74%72%30%75%62%34%64%6f%72%26%33%2d%5a%75%72%69%63%68".to_vec())]
    #[case(Encoding::Escaped, br"\u0074r0ub4dor\u00263\u002dZurich".to_vec())]
    #[case(Encoding::Escaped, b"tr0ub4dor&amp;3&#45;Zurich".to_vec())]
    #[case(Encoding::Escaped, b"tr0ub4dor%25263-Zurich".to_vec())]
    #[case(Encoding::Utf16Be, SECRET.iter().flat_map(|b| [0, *b]).collect())]
    #[case(Encoding::Md5, Md5::digest(SECRET).to_vec())]
    #[case(Encoding::Sha1, hex::encode(Sha1::digest(SECRET)).into_bytes())]
    #[case(Encoding::Sha256, hex::encode_upper(Sha256::digest(SECRET)).into_bytes())]
    #[case(Encoding::Sha256, STANDARD.encode(Sha256::digest(SECRET)).into_bytes())]
    #[case(Encoding::Sha512, Sha512::digest(SECRET).to_vec())]
    #[case(Encoding::Utf16Le, SECRET.iter().flat_map(|b| [*b, 0]).collect())]
    #[case(Encoding::HexLower, hex::encode(SECRET).into_bytes())]
    #[case(Encoding::HexUpper, hex::encode_upper(SECRET).into_bytes())]
    #[case(Encoding::Reversed, SECRET.iter().rev().copied().collect())]
    fn finds_every_encoding(
        #[case] encoding: Encoding,
        #[case] stored: Vec<u8>,
        #[values(1, 7, 64, 4096)] piece: usize,
    ) {
        let hits = search(SECRET, &embed(&stored), piece);
        let expected = Hit {
            needle: "secret".into(),
            encoding,
            address: 0x1000 + 101,
            region: "nvm".into(),
        };
        assert_eq!(hits, [expected]);
    }

    #[rstest]
    fn finds_base64_wherever_it_starts_in_the_encoded_text(
        #[values(0, 1, 2)] lead: usize,
        #[values(0, 1, 2)] trail: usize,
        #[values(3, 4096)] piece: usize,
    ) {
        let mut plain = b"ab"[..lead.min(2)].to_vec();
        plain.extend_from_slice(SECRET);
        plain.extend_from_slice(&b"yz"[..trail]);
        let hits = search(SECRET, &embed(STANDARD.encode(plain).as_bytes()), piece);
        assert_eq!(
            hits.iter().map(|hit| hit.encoding).collect::<Vec<_>>(),
            [Encoding::Base64]
        );
    }

    #[rstest]
    #[case(b"a+b c/d", b"x=a%2Bb+c%2Fd&", &[Encoding::Escaped])]
    #[case(b"a b c d", b"x=a+b+c+d&", &[Encoding::Form])]
    #[case("Zoë Ünïcøde".as_bytes(), "ZOË ÜNÏCØDE".as_bytes(), &[Encoding::OtherCase])]
    #[case("Zoë Ünïcøde".as_bytes(), br#""Zo\u00eb \u00dcn\u00efc\u00f8de""#, &[Encoding::Escaped])]
    #[case(b"\xfb\xff\xbf>>>???", b"-_-_Pj4-Pz8_", &[Encoding::Base64Url])]
    #[case(b"\xfb\xff\xbf>>>???", b"%2B%2F%2B%2FPj4%2BPz8%2F", &[Encoding::Base64])]
    #[case(b"\x00ABCDEF\x00", b"\x00abcdef\x00", &[])]
    #[case(b"a/b", b"a%2Fb and %2541", &[Encoding::Escaped])]
    #[case(b"unescaped", b"%zz unescaped \\q &who;", &[Encoding::Raw])]
    fn finds_what_forms_and_other_alphabets_make_of_it(
        #[case] needle: &[u8],
        #[case] stored: &[u8],
        #[case] expected: &[Encoding],
        #[values(1, 5, 4096)] piece: usize,
    ) {
        let hits = search(needle, stored, piece);
        let encodings: Vec<_> = hits.iter().map(|hit| hit.encoding).collect();
        assert_eq!(encodings, expected);
    }

    #[test]
    fn reports_each_of_several_occurrences_once() {
        let mut memory = embed(SECRET);
        memory.extend(embed(SECRET));
        for piece in 1..40 {
            assert_eq!(search(SECRET, &memory, piece).len(), 2, "piece {piece}");
        }
    }

    #[test]
    fn stops_at_the_limit() {
        let searcher = Searcher::new(&[Needle {
            name: "a".into(),
            bytes: b"AAAA".to_vec(),
        }])
        .unwrap();
        let mut hits = Vec::new();
        searcher.region("r", 0).feed(&[b'A'; 1000], &mut hits, 10);
        assert_eq!(hits.len(), 10);
    }

    #[test]
    fn nothing_to_look_for_is_no_search() {
        assert!(Searcher::new(&[]).is_none());
        assert!(
            Searcher::new(&[Needle {
                name: "empty".into(),
                bytes: Vec::new()
            }])
            .is_none()
        );
    }

    #[test]
    fn digits_are_not_reported_twice_though_both_hex_forms_are_alike() {
        let hits = search(&[0x12, 0x34, 0x56], b"..123456..", 4096);
        assert_eq!(hits.len(), 1);
    }
}
