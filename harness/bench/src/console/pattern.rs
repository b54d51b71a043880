//! Regular expressions on a stream of bytes that is text, mostly.
//!
//! An expression is about characters, as its author thinks of them; a DUT prints bytes. A byte that belongs to no UTF-8
//! character is a character of its own here, of no class and no case: `.`, `\S` and `[^x]` match it, `\w` does not. For
//! that the text is searched in a form in which each such byte stands as a private code point, as Python's
//! `surrogateescape` has it. Expressions that ask for bytes (`(?-u:\xff)`) search the bytes as they are.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str;

use regex_automata::{
    Anchored, Input, MatchKind, PatternID,
    hybrid::dfa::{self, DFA},
    meta,
    nfa::thompson::{self, NFA, WhichCaptures},
    util::{captures::Captures, start},
};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look};

/// Memory for one expression in bytes, in each of its compiled forms.
const LARGEST: usize = 10 << 20;
/// Memory for what an automaton has learnt.
const CACHE: usize = 8 << 20;

/// A regular expression.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    /// It asks for bytes, not for characters.
    is_binary: bool,
    /// What its groups are can depend on what comes behind the match.
    groups_look_ahead: bool,
    hir: Hir,
    finder: meta::Regex,
    /// None where the expression is too large for one.
    automaton: Option<DFA>,
}

/// Why a text is not a valid regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

/// Where a match is, and where its groups are: positions in what was searched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) whole: Range<usize>,
    pub(super) groups: Vec<Option<Range<usize>>>,
}

impl Pattern {
    /// The expression in the syntax of the crate `regex`. A `$` of several lines (`(?m)`) is also before `\r\n`.
    ///
    /// # Errors
    /// What is wrong with it, in a line.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let hir = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(text)
            .map_err(|error| PatternError::new(&error))?;
        let is_binary = !hir.properties().is_utf8();
        let hir = Rewrite { is_binary }.rewrite(hir);
        let finder = meta::Builder::new()
            .configure(
                meta::Config::new()
                    .utf8_empty(!is_binary)
                    .nfa_size_limit(Some(LARGEST)),
            )
            .build_from_hir(&hir)
            .map_err(|error| PatternError::new(&error))?;
        let has_groups = hir.properties().explicit_captures_len() > 0;
        Ok(Self {
            text: text.to_owned(),
            is_binary,
            groups_look_ahead: has_groups && looks_ahead(&hir),
            automaton: nfa(&hir, false).and_then(|nfa| automaton(nfa, MatchKind::LeftmostFirst)),
            hir,
            finder,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The groups' names, without that of the whole.
    pub(super) fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        let names = self.finder.group_info().pattern_names(PatternID::ZERO);
        names.skip(1)
    }

    /// The first match in `bytes`. With `has_context` their first character is only what stands before the text.
    pub(super) fn find(&self, bytes: &[u8], has_context: bool) -> Option<Place> {
        let text = self.searched(bytes);
        let begin = if has_context {
            text.second_character()
        } else {
            0
        };
        let mut captures: Captures = self.finder.create_captures();
        let input = Input::new(&text.bytes).range(begin.min(text.bytes.len())..);
        self.finder.search_captures(&input, &mut captures);
        let place = |group| {
            let span = captures.get_group(group)?;
            Some(text.original(span.start)..text.original(span.end))
        };
        Some(Place {
            whole: place(0)?,
            groups: (1..captures.group_len()).map(place).collect(),
        })
    }

    /// Whether all matches that end at `end` begin in `bytes`, whatever stood before them.
    fn begins_within(&self, bytes: &[u8], end: usize) -> bool {
        let Some(backward) = nfa(&self.hir, true).and_then(|nfa| automaton(nfa, MatchKind::All))
        else {
            return false;
        };
        let mut cache = backward.create_cache();
        let begin = start::Config::new()
            .anchored(Anchored::Yes)
            .look_behind(bytes.get(end).copied());
        let Ok(mut state) = backward.start_state(&mut cache, &begin) else {
            return false;
        };
        for byte in self.searched(&bytes[..end]).bytes.iter().rev() {
            match backward.next_state(&mut cache, state, *byte) {
                Ok(next) if next.is_dead() => return true,
                Ok(next) if !next.is_quit() => state = next,
                _ => return false,
            }
        }
        false
    }

    fn searched<'b>(&self, bytes: &'b [u8]) -> Searched<'b> {
        if self.is_binary {
            Searched::from(bytes)
        } else {
            Searched::escaped(bytes)
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

impl PatternError {
    fn new(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut root = error;
        while let Some(source) = root.source() {
            root = source;
        }
        // The place is drawn below the pattern; the last line says what is wrong.
        let text = root.to_string();
        let reason = text.lines().last().unwrap_or_default();
        Self(reason.trim_start_matches("error: ").to_owned())
    }
}

fn nfa(hir: &Hir, is_reverse: bool) -> Option<NFA> {
    let config = thompson::Config::new()
        .reverse(is_reverse)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(LARGEST));
    thompson::Compiler::new()
        .configure(config)
        .build_from_hir(hir)
        .ok()
}

fn automaton(nfa: NFA, kind: MatchKind) -> Option<DFA> {
    let config = dfa::Config::new()
        .match_kind(kind)
        // Of words that are not ASCII it knows nothing, and says so.
        .unicode_word_boundary(true)
        .cache_capacity(CACHE);
    dfa::Builder::new()
        .configure(config)
        .build_from_nfa(nfa)
        .ok()
}

/// Makes of an expression what is meant on a console.
struct Rewrite {
    is_binary: bool,
}

impl Rewrite {
    fn rewrite(&self, hir: Hir) -> Hir {
        match hir.into_kind() {
            HirKind::Empty => Hir::empty(),
            HirKind::Literal(literal) => Hir::literal(literal.0),
            HirKind::Class(class) => self.class(class),
            HirKind::Look(Look::EndLF) => Hir::look(Look::EndCRLF),
            HirKind::Look(look) => Hir::look(look),
            HirKind::Repetition(mut repetition) => {
                repetition.sub = Box::new(self.rewrite(*repetition.sub));
                Hir::repetition(repetition)
            }
            HirKind::Capture(mut capture) => {
                capture.sub = Box::new(self.rewrite(*capture.sub));
                Hir::capture(capture)
            }
            HirKind::Concat(parts) => {
                let mut all = Vec::with_capacity(parts.len());
                let mut has_return = false;
                for part in parts {
                    let kept = has_return && *part.kind() == HirKind::Look(Look::EndLF);
                    has_return = ends_with_return(&part);
                    all.push(if kept {
                        // `\r$`: whoever writes the one knows what stands before the other.
                        Hir::alternation(vec![Hir::look(Look::EndLF), Hir::look(Look::EndCRLF)])
                    } else {
                        self.rewrite(part)
                    });
                }
                Hir::concat(all)
            }
            HirKind::Alternation(parts) => {
                Hir::alternation(parts.into_iter().map(|part| self.rewrite(part)).collect())
            }
        }
    }

    /// Among bytes, a class of characters that is endless (`.`, `\S`, `[^x]`) has the bytes that are of no character.
    fn class(&self, class: Class) -> Hir {
        let is_endless = match &class {
            Class::Unicode(class) => class.ranges().last().is_some_and(|r| r.end() == char::MAX),
            Class::Bytes(_) => false,
        };
        if !self.is_binary || !is_endless {
            return Hir::class(class);
        }
        let others = ClassBytes::new([ClassBytesRange::new(0x80, 0xff)]);
        Hir::alternation(vec![Hir::class(class), Hir::class(Class::Bytes(others))])
    }
}

/// Whether all that it matches ends with a carriage return.
fn ends_with_return(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.ends_with(b"\r"),
        HirKind::Repetition(repetition) => repetition.min > 0 && ends_with_return(&repetition.sub),
        HirKind::Capture(capture) => ends_with_return(&capture.sub),
        HirKind::Concat(parts) => parts.last().is_some_and(ends_with_return),
        HirKind::Alternation(parts) => parts.iter().all(ends_with_return),
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

/// Whether something in it may look at what comes behind all that it matches.
fn looks_ahead(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Look(look) => !matches!(look, Look::Start | Look::StartLF | Look::StartCRLF),
        HirKind::Repetition(repetition) => looks_ahead(&repetition.sub),
        HirKind::Capture(capture) => looks_ahead(&capture.sub),
        HirKind::Concat(parts) => {
            // To the last part that matches something in any case.
            let is_something = |part: &Hir| part.properties().minimum_len() != Some(0);
            let from = parts.iter().rposition(is_something).unwrap_or(0);
            parts[from..].iter().any(looks_ahead)
        }
        HirKind::Alternation(parts) => parts.iter().any(looks_ahead),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => false,
    }
}

/// Bytes of a private code point each.
const ESCAPED: usize = 4;

/// What stands for a byte of no character: U+10FF80 to U+10FFFF.
fn escape(byte: u8) -> [u8; ESCAPED] {
    [0xf4, 0x8f, 0xbc | (byte >> 6), 0x80 | (byte & 0x3f)]
}

/// Bytes in the form in which they are searched.
struct Searched<'b> {
    bytes: Cow<'b, [u8]>,
    /// Where escaped bytes are, in that form.
    escapes: Vec<usize>,
}

impl<'b> From<&'b [u8]> for Searched<'b> {
    fn from(bytes: &'b [u8]) -> Self {
        Self {
            bytes: bytes.into(),
            escapes: Vec::new(),
        }
    }
}

impl<'b> Searched<'b> {
    fn escaped(bytes: &'b [u8]) -> Self {
        if str::from_utf8(bytes).is_ok() {
            return Self::from(bytes);
        }
        let (mut text, mut escapes) = (Vec::with_capacity(bytes.len()), Vec::new());
        for chunk in bytes.utf8_chunks() {
            text.extend_from_slice(chunk.valid().as_bytes());
            for byte in chunk.invalid() {
                escapes.push(text.len());
                text.extend_from_slice(&escape(*byte));
            }
        }
        Self {
            bytes: text.into(),
            escapes,
        }
    }

    /// The position in the bytes as they were.
    fn original(&self, position: usize) -> usize {
        let escapes = self.escapes.partition_point(|escape| *escape < position);
        position - escapes * (ESCAPED - 1)
    }

    fn second_character(&self) -> usize {
        let continues = |byte: &&u8| **byte & 0xc0 == 0x80;
        1 + self.bytes.iter().skip(1).take_while(continues).count()
    }
}

/// A search that goes on while text comes. Its result depends on the text only, not on the pieces in which it comes.
pub(super) struct Search<'p> {
    pattern: &'p Pattern,
    /// Where the text begins, in the stream.
    from: u64,
    /// As far as it was looked at.
    at: u64,
    /// What was there before `from` belongs to the text and is lost.
    has_context: bool,
    /// The beginning of a character that is not complete: at most three bytes before `at`.
    held: Vec<u8>,
    mode: Mode,
}

enum Mode {
    /// The automaton says when a match is certain.
    Automaton(Box<Automaton>),
    /// Where the automaton is blind, the text is searched line by line, and longer pieces of it as it gets longer: after
    /// this position. Where that is depends on the text only, and all of it costs little.
    Lines { next: u64 },
    /// Whatever comes, nothing will match.
    Never,
}

struct Automaton {
    cache: dfa::Cache,
    state: regex_automata::hybrid::LazyStateID,
    /// Where the match ends that is the best so far.
    best: Option<u64>,
}

/// What is known after a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing that more text could not change.
    Open,
    /// Whatever comes, a match is in the text up to there; its end, where that is known, too.
    Certain { upto: u64, end: Option<u64> },
}

impl<'p> Search<'p> {
    /// A search from that position on; `before` is the byte before it, where the text began earlier.
    pub(super) fn new(pattern: &'p Pattern, from: u64, before: Option<u8>) -> Self {
        let mode = Automaton::new(pattern, before)
            .map_or(Mode::Lines { next: from }, |automaton| {
                Mode::Automaton(Box::new(automaton))
            });
        Self {
            pattern,
            from,
            at: from,
            has_context: before.is_some(),
            held: Vec::new(),
            mode,
        }
    }

    /// Where the next piece begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Where the text begins, and whether there was something before.
    pub(super) fn from(&self) -> (u64, bool) {
        (self.from, self.has_context)
    }

    /// Takes the next piece. `find` looks for a match in all of the text up to a position, for what the automaton can't
    /// see.
    pub(super) fn feed(&mut self, piece: &[u8], find: impl Fn(u64) -> bool) -> Progress {
        let begin = self.at;
        self.at += piece.len() as u64;
        match self.feed_automaton(piece, begin) {
            Ok(Progress::Open) => self.feed_lines(piece, begin, find),
            Ok(certain) => certain,
            Err(Blind { at }) => {
                self.mode = Mode::Lines { next: at + 1 };
                self.feed_lines(piece, begin, find)
            }
        }
    }

    fn feed_lines(&mut self, piece: &[u8], begin: u64, find: impl Fn(u64) -> bool) -> Progress {
        let Mode::Lines { next } = &mut self.mode else {
            return Progress::Open;
        };
        for line in memchr::memchr_iter(b'\n', piece) {
            let end = begin + line as u64 + 1;
            if end < *next {
                continue;
            }
            *next = end + (end - self.from) / 16;
            if find(end) {
                return Progress::Certain {
                    upto: end,
                    end: None,
                };
            }
        }
        Progress::Open
    }

    fn feed_automaton(&mut self, piece: &[u8], begin: u64) -> Result<Progress, Blind> {
        let (Mode::Automaton(automaton), Some(dfa)) = (&mut self.mode, &self.pattern.automaton)
        else {
            return Ok(Progress::Open);
        };
        let over = if self.pattern.is_binary {
            automaton.take(dfa, piece, begin)?
        } else {
            automaton.take_text(dfa, piece, begin, &mut self.held)?
        };
        if let Some(upto) = over {
            let Some(end) = automaton.best else {
                self.mode = Mode::Never;
                return Ok(Progress::Open);
            };
            let end = Some(end);
            return Ok(Progress::Certain { upto, end });
        }
        let (upto, end) = (self.at, Some(self.at));
        Ok(
            if self.held.is_empty()
                && !self.pattern.groups_look_ahead
                && automaton.is_certain(dfa).ok_or(Blind { at: upto })?
            {
                Progress::Certain { upto, end }
            } else {
                Progress::Open
            },
        )
    }

    /// The match in `bytes`, the text up to where it is certain; None if it began before them.
    pub(super) fn certain(&self, bytes: &[u8], is_cut: bool, end: Option<usize>) -> Option<Place> {
        let found = self
            .pattern
            .find(bytes, is_cut || self.has_context)
            .filter(|found| end.is_none_or(|end| end == found.whole.end))?;
        let is_whole = !is_cut || self.pattern.begins_within(bytes, found.whole.end);
        is_whole.then_some(found)
    }
}

/// The automaton met what it does not know about.
struct Blind {
    at: u64,
}

/// Where nothing counts any more that comes; None as long as something may.
type Over = Option<u64>;

impl Automaton {
    fn new(pattern: &Pattern, before: Option<u8>) -> Option<Self> {
        let dfa = pattern.automaton.as_ref()?;
        let mut cache = dfa.create_cache();
        let begin = start::Config::new().look_behind(before);
        let state = dfa.start_state(&mut cache, &begin).ok()?;
        Some(Self {
            cache,
            state,
            best: None,
        })
    }

    /// `held` are bytes before `at` that may be the beginning of a character, and then those at the end that may.
    fn take_text(
        &mut self,
        dfa: &DFA,
        piece: &[u8],
        at: u64,
        held: &mut Vec<u8>,
    ) -> Result<Over, Blind> {
        let before = std::mem::take(held);
        let mut at = at - before.len() as u64;
        let joined;
        let mut rest: &[u8] = if before.is_empty() {
            piece
        } else {
            joined = [&before, piece].concat();
            &joined
        };
        loop {
            let (valid, invalid) = match str::from_utf8(rest) {
                Ok(_) => (rest.len(), 0),
                Err(error) => (error.valid_up_to(), error.error_len().unwrap_or_default()),
            };
            let (text, others) = rest.split_at(valid);
            if let Some(over) = self.take(dfa, text, at)? {
                // To the end of that character.
                let mut end = (over - at) as usize;
                while text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    end += 1;
                }
                return Ok(Some(at + end as u64));
            }
            at += valid as u64;
            if invalid == 0 {
                *held = others.to_vec();
                return Ok(None);
            }
            for byte in &others[..invalid] {
                for part in escape(*byte) {
                    if self.take_byte(dfa, part, at)? {
                        return Ok(Some(at + 1));
                    }
                }
                at += 1;
            }
            rest = &others[invalid..];
        }
    }

    fn take(&mut self, dfa: &DFA, bytes: &[u8], at: u64) -> Result<Over, Blind> {
        for (at, byte) in (at..).zip(bytes) {
            if self.take_byte(dfa, *byte, at)? {
                return Ok(Some(at + 1));
            }
        }
        Ok(None)
    }

    /// Whether nothing counts any more that comes behind it.
    fn take_byte(&mut self, dfa: &DFA, byte: u8, at: u64) -> Result<bool, Blind> {
        let next = dfa.next_state(&mut self.cache, self.state, byte);
        let next = next.map_err(|_| Blind { at })?;
        self.state = next;
        if next.is_match() {
            // Told when the byte behind it is seen.
            self.best = Some(at);
        } else if next.is_quit() {
            return Err(Blind { at });
        }
        Ok(next.is_dead())
    }

    /// Whether a match ends here, whatever comes. None where that can't be told, nor anything else any more.
    fn is_certain(&mut self, dfa: &DFA) -> Option<bool> {
        let cleared = self.cache.clear_count();
        let mut last = None;
        let mut is_certain = true;
        for byte in representatives(dfa) {
            let next = dfa.next_state(&mut self.cache, self.state, byte).ok()?;
            if next.is_quit() {
                continue;
            }
            is_certain = next.is_match() && (last == Some(next) || self.is_last(dfa, next));
            if !is_certain {
                break;
            }
            last = Some(next);
        }
        // States have other names afterwards.
        (self.cache.clear_count() == cleared).then_some(is_certain)
    }

    fn is_last(&mut self, dfa: &DFA, state: regex_automata::hybrid::LazyStateID) -> bool {
        representatives(dfa).into_iter().all(|byte| {
            dfa.next_state(&mut self.cache, state, byte)
                .is_ok_and(|next| next.is_dead() || next.is_quit())
        })
    }
}

/// A byte of each class of bytes that are all the same to the automaton.
fn representatives(dfa: &DFA) -> Vec<u8> {
    let classes = dfa.byte_classes();
    let mut seen = [false; 256];
    (0..=u8::MAX)
        .filter(|byte| !std::mem::replace(&mut seen[usize::from(classes.get(*byte))], true))
        .collect()
}

/// The match in what is printed in these pieces, if nothing more comes.
pub(super) fn matched(pattern: &Pattern, pieces: &[&[u8]]) -> Option<(Range<usize>, Place)> {
    let mut search = Search::new(pattern, 0, None);
    let text = pieces.concat();
    for piece in pieces {
        let find = |upto: u64| pattern.find(&text[..upto as usize], false).is_some();
        if let Progress::Certain { upto, end } = search.feed(piece, find) {
            let text = &text[..upto as usize];
            let place = search.certain(text, false, end.map(|end| end as usize));
            let place = place.expect("it is certain");
            return Some((place.whole.clone(), place));
        }
    }
    pattern
        .find(&text, false)
        .map(|place| (place.whole.clone(), place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn matched(pattern: &str, pieces: &[&[u8]]) -> Option<(Range<usize>, Place)> {
        super::matched(&Pattern::new(pattern).unwrap(), pieces)
    }

    fn found(pattern: &str, text: &[u8]) -> Option<Vec<u8>> {
        let (whole, _) = matched(pattern, &[text])?;
        Some(text[whole].to_vec())
    }

    #[rstest]
    // Any byte is a character.
    #[case("temp: (.*) ok\r\n", b"temp: 21\xb0C ok\r\n", b"temp: 21\xb0C ok\r\n")]
    #[case(r"a(\S)b", b"a\xffb", b"a\xffb")]
    #[case(r"a[^x]b", b"a\xc3b", b"a\xc3b")]
    #[case(r"(?s)a.b", b"a\x80b", b"a\x80b")]
    #[case(r"a\Db", b"a\xe2b", b"a\xe2b")]
    #[case(r"(?i)GR\S\S?E", b"gr\xf6\xdfe", b"gr\xf6\xdfe")]
    // Characters stay whole.
    #[case("^.{2}$", "é1".as_bytes(), "é1".as_bytes())]
    #[case("21 ?°C", "21 °C".as_bytes(), "21 °C".as_bytes())]
    #[case(r"(?i)KÜCHE", "küche".as_bytes(), "küche".as_bytes())]
    #[case("[äöü]+", b"\xc3x\xc3\xa4\xc3\xb6\xb6", "äö".as_bytes())]
    #[case(r"\w+", "\u{b0}Maß!".as_bytes(), "Maß".as_bytes())]
    #[case(r"\bein\b", "mein Kübel ein".as_bytes(), b"ein")]
    #[case(r"Menü\b", "Menüs Menü ".as_bytes(), "Menü".as_bytes())]
    // Asked for bytes, it looks for bytes.
    #[case(r"(?-u:\xb0)C", b"21\xb0C", b"\xb0C")]
    #[case(r"(?s-u:\xaa(.{2}))", b"\xaa\xc3\xa4", b"\xaa\xc3\xa4")]
    #[case(r"(?-u:\xff).*", b"\xffgr\xf6n", b"\xffgr\xf6n")]
    // Lines end as consoles end them.
    #[case("(?m)^two$", b"one\r\ntwo\r\n", b"two")]
    #[case("(?m)^two$", b"one\ntwo\nthree", b"two")]
    #[case("(?m)^two\r$", b"one\r\ntwo\r\n", b"two\r")]
    #[case("(?m)^two\r+$", b"one\r\ntwo\r\r\n", b"two\r\r")]
    #[case("(?m)^name=(.*)$", b"name=x y\r\n", b"name=x y")]
    #[case("(?m)^$", b"one\r\n\r\ntwo", b"")]
    // Greedy or not, as it says.
    #[case("(?s)begin.*?END", b"begin END END", b"begin END")]
    #[case("(?s)begin.*END", b"begin END END", b"begin END END")]
    #[case(r"version=(\S+)", b"version=1.2.3\r\n", b"version=1.2.3")]
    #[case("foobar|foo", b"foobar", b"foobar")]
    fn matches(#[case] pattern: &str, #[case] text: &[u8], #[case] expected: &[u8]) {
        assert_eq!(found(pattern, text).as_deref(), Some(expected));
    }

    #[rstest]
    // Not a part of a character.
    #[case(r"^.{3}$", "é1".as_bytes())]
    #[case("[^é]x", "éx".as_bytes())]
    #[case(r"\Wa", "éa".as_bytes())]
    #[case("[^°]C", "°C".as_bytes())]
    // Not a letter.
    #[case(r"\w", b"\xe4\xff")]
    #[case("[äöü]", b"\xc3\xb0\xe4")]
    #[case(r"(?i)\u{fc}", b"\xfc")]
    #[case(r"\bbel\b", "Kübel".as_bytes())]
    #[case("(?m)^two$", b"two!\r\n")]
    #[case("^two", b"one\r\ntwo\r\n")]
    #[case(".", b"\n")]
    fn does_not_match(#[case] pattern: &str, #[case] text: &[u8]) {
        assert_eq!(found(pattern, text), None);
    }

    #[rstest]
    #[case("login: ", b"login: ")]
    #[case("(?m)^ok @7\r\n> ", b"status\r\nok @7\r\n> ")]
    #[case(r"\w+:~# ", "küche:~# ".as_bytes())]
    #[case(r"\bready> ", b"ready> ")]
    #[case(r"\b(root|admin)\b.*?(# )", b"root@x:~# ")]
    fn a_prompt_is_certain_without_more(#[case] pattern: &str, #[case] text: &[u8]) {
        let pattern = Pattern::new(pattern).unwrap();
        let mut search = Search::new(&pattern, 0, None);
        let progress = search.feed(text, |_| false);
        assert!(matches!(progress, Progress::Certain { .. }), "{progress:?}");
    }

    #[rstest]
    #[case(r"version=(\S+)", b"version=1.2")]
    #[case("# $", b"# ")]
    #[case("foobar|foo", b"foo")]
    #[case("(?m)^two$", b"two")]
    #[case(".", b"\xc3")]
    #[case("=($)*", b"=")]
    #[case(r"(root(\b)?)", b"root")]
    fn what_may_become_other_is_not(#[case] pattern: &str, #[case] text: &[u8]) {
        let pattern = Pattern::new(pattern).unwrap();
        let mut search = Search::new(&pattern, 0, None);
        assert_eq!(search.feed(text, |_| false), Progress::Open);
    }

    #[test]
    fn what_began_before_is_not_taken_for_whole() {
        let pattern = Pattern::new("(?s)begin.*?END").unwrap();
        let mut search = Search::new(&pattern, 0, None);
        let text = b"begin 1 begin 2 END";
        assert!(matches!(
            search.feed(text, |_| false),
            Progress::Certain {
                upto: 19,
                end: Some(19)
            }
        ));
        assert_eq!(search.certain(&text[3..], true, Some(16)), None);
        let pattern = Pattern::new("(?m)^END$").unwrap();
        let search = Search::new(&pattern, 0, None);
        let whole = search
            .certain(b"x\nEND\r\n", true, Some(5))
            .map(|place| place.whole);
        assert_eq!(whole, Some(2..5));
    }

    #[rstest]
    #[case("(", "unclosed group")]
    #[case(r"\p{Nothing}", "Unicode property not found")]
    #[case("(?:a{1000}){1000}", "exceeded limit")]
    fn what_is_none_is_told_in_a_line(#[case] pattern: &str, #[case] reason: &str) {
        let error = Pattern::new(pattern).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains('\n'), "{error}");
    }

    /// As a script may say it.
    const PATTERNS: [&str; 26] = [
        "a",
        "ab|a",
        "a|ab",
        "a*",
        "a*b",
        ".*",
        "(?s).*b",
        "(?s)a.*?b",
        "a$",
        "(?m)a$",
        "(?m)^b.*$",
        "(?m)^(.*)\r$",
        "^b",
        r"\ba\b",
        r"\Ba",
        r"\bä\b",
        r"\w+ ",
        r"\S+",
        "[^a]b",
        "é|e.",
        r"(?-u:\xc3).",
        r"(?s-u:\xa4.)",
        "(?i)Ä",
        r"(a|ab)(\r\n|$)",
        "a($)*",
        r"(a(\b)?)",
    ];

    const PARTS: [&[u8]; 14] = [
        b"a",
        b"b",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"\xc3",
        b"\xa4",
        b"\xff",
        b"\xf4\x8f\xbf\xbf",
        b"\xc3\xa4",
        b"\xc3\xa9",
        b"e",
        b"ab",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn pieces_make_no_difference(
            pattern in prop::sample::select(&PATTERNS[..]),
            parts in prop::collection::vec(
                prop::sample::select(&PARTS[..]),
                0..12,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = parts.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.push(0);
            cuts.push(text.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            let whole = matched(pattern, &[&text]);
            prop_assert_eq!(&matched(pattern, &pieces), &whole);
            prop_assert_eq!(&matched(pattern, &bytes), &whole);
        }
    }
}
