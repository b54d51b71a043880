//! Search of memory for secrets and canaries, in every encoding they may have been stored in.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::Serialize;

use crate::inventory::MemoryRegion;

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
    /// Two bytes a character, little endian.
    Utf16Le,
    /// Hexadecimal digits.
    HexLower,
    /// Hexadecimal digits in upper case.
    HexUpper,
    /// Base64, at any of the three alignments.
    Base64,
    /// Last byte first.
    Reversed,
}

impl Encoding {
    /// The name that scripts and reports see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Utf16Le => "utf-16le",
            Self::HexLower => "hex-lower",
            Self::HexUpper => "hex-upper",
            Self::Base64 => "base64",
            Self::Reversed => "reversed",
        }
    }
}

/// Every form that bytes may have been stored in, for whoever searches by other means.
pub fn forms(bytes: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    encodings(bytes)
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

/// All encodings of all needles, compiled.
#[derive(Debug)]
pub(in crate::bench) struct Searcher {
    automaton: AhoCorasick,
    patterns: Vec<(usize, Encoding)>,
    names: Vec<String>,
    longest: usize,
}

impl Searcher {
    /// `None` when there is nothing long enough to look for.
    pub(in crate::bench) fn new(needles: &[Needle]) -> Option<Self> {
        // One pattern can stand for several encodings (a palindrome is its own reverse): the first one counts.
        let mut patterns: BTreeMap<(usize, Vec<u8>), Encoding> = BTreeMap::new();
        for (index, needle) in needles.iter().enumerate() {
            for (encoding, bytes) in encodings(&needle.bytes) {
                if bytes.len() >= SHORTEST.min(needle.bytes.len()) && !bytes.is_empty() {
                    patterns.entry((index, bytes)).or_insert(encoding);
                }
            }
        }
        let longest = patterns.keys().map(|(_, bytes)| bytes.len()).max()?;
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(patterns.keys().map(|(_, bytes)| bytes))
            .ok()?;
        Some(Self {
            automaton,
            patterns: patterns
                .iter()
                .map(|((index, _), encoding)| (*index, *encoding))
                .collect(),
            names: needles.iter().map(|needle| needle.name.clone()).collect(),
            longest,
        })
    }

    /// Looks at `piece`, which comes after what `tail` is the end of (empty at first), and makes `tail` the end of
    /// `piece`. Tells `found` each needle's name, its encoding, and where in `piece` it begins: below 0 when that was
    /// in the tail.
    pub(in crate::bench) fn advance(
        &self,
        tail: &mut Vec<u8>,
        piece: &[u8],
        mut found: impl FnMut(&str, Encoding, i64),
    ) {
        let carried = tail.len();
        tail.extend_from_slice(piece);
        for hit in self.automaton.find_overlapping_iter(&*tail) {
            // What ends in the tail was reported when the tail was new.
            if hit.end() > carried {
                let (needle, encoding) = self.patterns[hit.pattern().as_usize()];
                let begin = hit.start().cast_signed() - carried.cast_signed();
                found(&self.names[needle], encoding, begin as i64);
            }
        }
        let keep = tail.len().min(self.longest - 1);
        tail.drain(..tail.len() - keep);
    }

    /// Starts on one region.
    pub(super) fn region<'s>(&'s self, region: &'s MemoryRegion) -> RegionSearch<'s> {
        RegionSearch {
            searcher: self,
            region,
            address: region.range.start,
            tail: Vec::new(),
        }
    }
}

/// The search of one region, fed piece by piece in the order of addresses.
pub(super) struct RegionSearch<'s> {
    searcher: &'s Searcher,
    region: &'s MemoryRegion,
    /// Address of what comes next.
    address: u64,
    /// The end of what came before, in which a match may begin.
    tail: Vec<u8>,
}

impl RegionSearch<'_> {
    /// Looks at the next `piece`; appends to `hits` until there are `limit` of them.
    pub(super) fn feed(&mut self, piece: &[u8], hits: &mut Vec<Hit>, limit: usize) {
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
                    region: region.name.clone(),
                });
            }
        });
        self.address += piece.len() as u64;
    }
}

fn encodings(bytes: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    let mut all = vec![
        (Encoding::Raw, bytes.to_vec()),
        (Encoding::HexLower, hex::encode(bytes).into_bytes()),
        (Encoding::HexUpper, hex::encode_upper(bytes).into_bytes()),
        (Encoding::Reversed, bytes.iter().rev().copied().collect()),
    ];
    if let Ok(text) = std::str::from_utf8(bytes) {
        all.push((
            Encoding::Utf16Le,
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ));
    }
    all.extend((0..3).map(|lead| (Encoding::Base64, base64_at(bytes, lead))));
    all
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
    use std::ops::Range;

    use rstest::rstest;

    use super::*;
    use crate::inventory::MemoryRole;

    fn region(name: &str, range: Range<u64>) -> MemoryRegion {
        MemoryRegion {
            name: name.into(),
            role: MemoryRole::Nvm,
            range,
        }
    }

    const SECRET: &[u8] = b"tr0ub4dor&3-Zurich";

    fn search(needle: &[u8], memory: &[u8], piece: usize) -> Vec<Hit> {
        let searcher = Searcher::new(&[Needle {
            name: "secret".into(),
            bytes: needle.to_vec(),
        }])
        .unwrap();
        let region = region("nvm", 0x1000..0x1000 + memory.len() as u64);
        let mut search = searcher.region(&region);
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
        let region = region("r", 0..1000);
        let mut hits = Vec::new();
        searcher.region(&region).feed(&[b'A'; 1000], &mut hits, 10);
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
