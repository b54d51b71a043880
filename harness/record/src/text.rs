//! Text that the DUT has a say in, made fit for terminals and for XML 1.0.

use std::fmt::Write;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{
    CodePointMapData, CodePointMapDataBorrowed, CodePointSetData, CodePointSetDataBorrowed,
};

/// A number as short as it was written: without its hundreds of digits.
pub fn number(number: f64) -> String {
    if number.abs() < 1e16 {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// Replaces what terminals obey or XML forbids by escapes such as `\x1b`; keeps line breaks (as
/// `\n`) and tabs.
pub fn printable(text: &str) -> String {
    // Nearly all there is.
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'))
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\t' => out.push(c),
            _ if is_hostile(c) => escape(&mut out, c),
            _ => out.push(c),
        }
    }
    out
}

/// As [`printable`], for bytes: those that are not UTF-8 become escapes, too.
pub fn printable_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out += &printable(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// As [`printable`], on one line of at most `longest` characters.
pub fn one_line(text: &str, longest: usize) -> String {
    // What is beyond is cut off anyway: a message of megabytes costs nothing.
    let head: String = text.trim().chars().take(longest * 2 + 1).collect();
    let line = printable(&head)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if line.chars().count() <= longest && head.len() == text.trim().len() {
        return line;
    }
    let mut cut: String = line.chars().take(longest.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// At most `longest` bytes of text, with a note of what was left out of the middle.
pub fn bounded(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(longest / 2);
    let tail = text.ceil_char_boundary(text.len() - longest / 2);
    format!(
        "{}\n... {} bytes left out ...\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

/// The last lines of what a console said, printable; none if it said nothing.
pub fn excerpt(bytes: &[u8]) -> Option<String> {
    const LINES: usize = 20;
    const BYTES: usize = 2000;
    let tail = &bytes[bytes.len().saturating_sub(BYTES)..];
    let text = printable_bytes(tail);
    let lines: Vec<&str> = text.trim_matches('\n').lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    if shown.iter().all(|line| line.trim().is_empty()) {
        return None;
    }
    let cut = tail.len() < bytes.len() || shown.len() < lines.len();
    Some(if cut {
        format!("...\n{}", shown.join("\n"))
    } else {
        shown.join("\n")
    })
}

/// Whether a character is obeyed, reorders or hides text, or is none: controls, formats, separators of lines and
/// paragraphs, what Unicode has not assigned (some of it XML forbids), and what is shown as nothing, such as variation
/// selectors and fillers. All that is shown to people asks here.
pub fn is_hostile(c: char) -> bool {
    const CATEGORIES: CodePointMapDataBorrowed<'static, GeneralCategory> =
        CodePointMapData::<GeneralCategory>::new();
    const IGNORABLE: CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<DefaultIgnorableCodePoint>();
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(
        CATEGORIES.get(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Unassigned
    ) || IGNORABLE.contains(c)
}

fn escape(out: &mut String, c: char) {
    let _ = match u32::from(c) {
        code @ ..=0xff => write!(out, "\\x{code:02x}"),
        code => write!(out, "\\u{{{code:x}}}"),
    };
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::clean("room: Küche ✓\n\tok", "room: Küche ✓\n\tok")]
    #[case::nul("a\0b", "a\\x00b")]
    #[case::escape("\u{1b}[2J\u{1b}]0;owned\u{7}", "\\x1b[2J\\x1b]0;owned\\x07")]
    #[case::c1("\u{9b}31m", "\\x9b31m")]
    #[case::delete("\u{7f}", "\\x7f")]
    #[case::dos_lines("a\r\nb\r\n", "a\nb\n")]
    #[case::overwriting("PASS\rFAIL", "PASS\\x0dFAIL")]
    #[case::bidi("\u{202e}SSAP", "\\u{202e}SSAP")]
    #[case::no_characters("\u{fffe}\u{ffff}", "\\u{fffe}\\u{ffff}")]
    #[case::people_write_so(
        "Küche Привет שלום مرحبا 日本語 🔒 ☃ e\u{301}",
        "Küche Привет שלום مرحبا 日本語 🔒 ☃ e\u{301}"
    )]
    fn neutralises(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(printable(text), shown);
    }

    #[rstest]
    fn what_hides_or_reorders_is_shown(
        #[values(
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202a}',
            '\u{202e}',
            '\u{2028}',
            '\u{2029}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffb}',
            '\u{fdd0}',
            '\u{1d173}',
            '\u{1fffe}',
            '\u{1ffff}',
            '\u{e0000}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{10fffe}',
            '\u{10ffff}',
            '\u{85}',
            '\u{9b}',
            '\u{7f}',
            '\u{0}'
        )]
        c: char,
    ) {
        let shown = printable(&format!("a{c}b"));
        assert!(shown.is_ascii() && shown.len() > 4, "{shown:?}");
        let line = one_line(&format!("a{c}b"), 40);
        assert_eq!(line, shown);
    }

    #[test]
    fn shows_bytes_that_are_no_text() {
        assert_eq!(
            printable_bytes(b"ok\xff\xc3\x28\xe2\x82 \xe2\x82\xac"),
            "ok\\xff\\xc3(\\xe2\\x82 €"
        );
    }

    #[rstest]
    #[case("short", 10, "short")]
    #[case("  two\n lines ", 20, "two lines")]
    #[case("exactly ten", 11, "exactly ten")]
    #[case("one too many", 11, "one too ma…")]
    #[case("größer", 3, "gr…")]
    #[case("", 5, "")]
    fn fits_on_a_line(#[case] text: &str, #[case] longest: usize, #[case] line: &str) {
        assert_eq!(one_line(text, longest), line);
    }

    #[test]
    fn lines_stay_short_whatever_comes() {
        let shown = one_line(&"\u{1b}\n".repeat(1_000_000), 40);
        assert_eq!(shown.chars().count(), 40);
    }

    #[test]
    fn bounds_between_characters() {
        let text = "ä".repeat(1000);
        let shown = bounded(&text, 101);
        assert!(
            shown.contains("bytes left out") && shown.len() < 160,
            "{shown}"
        );
        assert_eq!(bounded("short", 101), "short");
    }

    #[rstest]
    #[case::nothing(b"", None)]
    #[case::blank(b"\r\n\r\n", None)]
    #[case::some(b"\r\nboot ok\r\n> ", Some("boot ok\n> "))]
    fn excerpts(#[case] console: &[u8], #[case] shown: Option<&str>) {
        assert_eq!(excerpt(console).as_deref(), shown);
    }

    #[test]
    fn excerpts_the_end() {
        let many: Vec<String> = (0..500).map(|n| format!("line {n}\r\n")).collect();
        let shown = excerpt(many.concat().as_bytes()).unwrap();
        assert!(shown.starts_with("...\nline 480\n"), "{shown}");
        assert!(shown.ends_with("\nline 499"), "{shown}");
        let flood = excerpt(&vec![0u8; 10_000_000]).unwrap();
        assert!(flood.len() < 10_000);
    }
}
