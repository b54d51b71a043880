//! What is shown of `devices.toml` in messages about it: all but passwords and the like. Files with mistakes in them are
//! what messages are about, so this goes by single words and brackets, and where in doubt it hides more.

use std::collections::BTreeSet;
use std::ops::Range;

use toml_parser::{Source, lexer::TokenKind};

/// Fields of labels that anybody may know.
pub const PUBLIC_FIELDS: [&str; 5] = ["serial", "model", "mac", "user", "ssid"];
/// What parameters of URLs with secrets are called.
pub(super) const PARAMETERS: [&str; 6] = ["pass", "pw", "secret", "token", "key", "auth"];
/// What keys with secrets are called, in switches and options.
const KEYS: [&str; 7] = ["pass", "pw", "secret", "token", "key", "community", "psk"];
/// The field of a device that all else is secret in.
const LABEL: &str = "label";
/// What everybody calls communities from the factory.
const COMMON: [&str; 2] = ["private", "public"];
/// What is shown in place of each byte, so that all else stays where it is.
const HIDDEN: u8 = b'*';

/// A file as it is shown.
#[derive(Debug, Default)]
pub(super) struct Masked {
    /// As long as the file.
    pub(super) text: String,
    /// What is hidden, as it is written, and as it is meant.
    pub(super) secrets: BTreeSet<String>,
}

pub(super) fn mask(text: &str) -> Masked {
    let mut masker = Masker {
        text,
        shown: text.as_bytes().to_vec(),
        secrets: BTreeSet::new(),
    };
    masker.values(0..text.len(), &[]);
    if text.parse::<toml::Table>().is_err() {
        masker.lines();
    }
    masker.urls();
    Masked {
        // Whole characters were hidden.
        text: String::from_utf8(masker.shown).unwrap_or_default(),
        secrets: masker.secrets,
    }
}

struct Masker<'t> {
    text: &'t str,
    shown: Vec<u8>,
    secrets: BTreeSet<String>,
}

/// A bracket that is open: the key that it is the value of, and whether keys come in it.
struct Open<'t> {
    key: Vec<&'t str>,
    is_table: bool,
}

impl<'t> Masker<'t> {
    /// Hides values by their keys, in a part of the file that begins in this table.
    fn values(&mut self, part: Range<usize>, table: &[&'t str]) {
        let text = self.text;
        let (mut table, mut key) = (table.to_vec(), Vec::new());
        let (mut is_header, mut is_value, mut is_fresh) = (false, false, true);
        let mut open: Vec<Open<'t>> = Vec::new();
        for token in Source::new(&text[part.clone()]).lex() {
            let place = part.start + token.span().start()..part.start + token.span().end();
            let word = &text[place.clone()];
            // Where a key has to come in a table, only the bracket at its end was left out.
            let is_in_table = open.last().is_some_and(|open| open.is_table);
            if is_fresh && is_in_table && token.kind() == TokenKind::LeftSquareBracket {
                open.clear();
                key.clear();
                is_value = false;
            }
            is_fresh = match token.kind() {
                TokenKind::Newline => true,
                TokenKind::Whitespace => is_fresh,
                _ => false,
            };
            match token.kind() {
                TokenKind::Newline if open.is_empty() => {
                    key.clear();
                    (is_header, is_value) = (false, false);
                }
                TokenKind::LeftSquareBracket if !is_value && key.is_empty() && open.is_empty() => {
                    if !is_header {
                        table.clear();
                    }
                    is_header = true;
                }
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                    let is_table = token.kind() == TokenKind::LeftCurlyBracket;
                    let key = std::mem::take(&mut key);
                    open.push(Open { key, is_table });
                    is_value = !is_table;
                }
                TokenKind::RightSquareBracket if is_header => {}
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    key = open.pop().map(|open| open.key).unwrap_or_default();
                    is_value = true;
                }
                TokenKind::Comma if is_in_table => {
                    key.clear();
                    is_value = false;
                }
                TokenKind::Equals => is_value = true,
                // A device may be left out for a while.
                TokenKind::Comment => self.values(place.start + 1..place.end, &table),
                TokenKind::Atom
                | TokenKind::BasicString
                | TokenKind::LiteralString
                | TokenKind::MlBasicString
                | TokenKind::MlLiteralString => {
                    let inner = within_quotes(word);
                    if is_header {
                        table.push(inner);
                    } else if is_value {
                        let outer = open.iter().flat_map(|open| &open.key);
                        let path: Vec<&str> =
                            table.iter().chain(outer).chain(&key).copied().collect();
                        if is_secret(&path) && !COMMON.contains(&inner) {
                            self.hide_value(&place, word, inner);
                        }
                    } else {
                        key.push(inner);
                    }
                }
                _ => {}
            }
        }
    }

    /// Where the file is no TOML, nobody knows what is a value: of lines that speak of secrets, nothing but signs stays.
    fn lines(&mut self) {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let lower = line.to_ascii_lowercase();
            let words = KEYS.iter().chain([&LABEL]);
            let found = words.filter_map(|word| Some(lower.find(word)? + word.len()));
            if let Some(from) = found.min() {
                for (n, letter) in line[from..].char_indices() {
                    if !letter.is_whitespace() && !"{}[]=,\"'#.".contains(letter) {
                        self.hide(at + from + n..at + from + n + letter.len_utf8());
                    }
                }
            }
            at += line.len();
        }
    }

    /// `://USER:PASSWORD@`, and parameters by their names, wherever they are.
    fn urls(&mut self) {
        let text = self.text;
        let ends = |c: char| c.is_whitespace() || "\"'`<>".contains(c);
        for (at, sign) in text.match_indices("://") {
            let begin = at + sign.len();
            let url = &text[begin..];
            let url = &url[..url.find(ends).unwrap_or(url.len())];
            let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
            if let Some((user, _)) = authority.rsplit_once('@')
                && let Some((name, password)) = user.split_once(':')
            {
                let from = begin + name.len() + 1;
                self.hide_value(&(from..from + password.len()), password, password);
            }
            let Some(query) = url.find('?') else { continue };
            let mut from = begin + query + 1;
            for parameter in url[query + 1..].split('&') {
                if let Some((name, value)) = parameter.split_once('=')
                    && has_one_of(name, &PARAMETERS)
                {
                    let start = from + name.len() + 1;
                    self.hide_value(&(start..start + value.len()), value, value);
                }
                from += parameter.len() + 1;
            }
        }
    }

    /// Hides what is within the quotes of a word, and remembers it.
    fn hide_value(&mut self, place: &Range<usize>, word: &str, inner: &str) {
        let start = place.start + (inner.as_ptr() as usize - word.as_ptr() as usize);
        self.hide(start..start + inner.len());
        self.secrets.insert(inner.to_owned());
        let meant = toml::from_str::<toml::Table>(&format!("x = {word}"));
        if let Ok(meant) = meant
            && let Some(toml::Value::String(meant)) = meant.get("x")
        {
            // As messages quote it.
            self.secrets.insert(meant.escape_debug().to_string());
            self.secrets.insert(meant.clone());
        }
        let decoded = percent_encoding::percent_decode_str(inner).decode_utf8_lossy();
        self.secrets.insert(decoded.into_owned());
    }

    fn hide(&mut self, place: Range<usize>) {
        for byte in &mut self.shown[place] {
            if *byte != b'\n' && *byte != b'\r' {
                *byte = HIDDEN;
            }
        }
    }
}

impl Masked {
    /// A message about the file.
    pub(super) fn told(&self, message: &str) -> String {
        /// Shorter ones say nothing, and are everywhere.
        const SHORTEST: usize = 3;
        let long = self.secrets.iter().filter(|it| it.len() >= SHORTEST);
        let mut long: Vec<&String> = long.collect();
        long.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        long.iter().fold(message.to_owned(), |told, secret| {
            told.replace(secret.as_str(), &"*".repeat(secret.len()))
        })
    }
}

fn is_secret(path: &[&str]) -> bool {
    let Some(last) = path.last() else {
        return false;
    };
    match path.iter().position(|key| *key == LABEL) {
        Some(at) => at + 1 == path.len() || !PUBLIC_FIELDS.contains(last),
        None => has_one_of(last, &KEYS),
    }
}

fn has_one_of(name: &str, parts: &[&str]) -> bool {
    let name = name.to_lowercase();
    parts.iter().any(|part| name.contains(part))
}

/// A string may lack the quotes at its end.
fn within_quotes(word: &str) -> &str {
    for quotes in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(inner) = word.strip_prefix(quotes) {
            return inner.strip_suffix(quotes).unwrap_or(inner);
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::inline(
        r#"label = { serial = "S1", password = "geheim", "pin" = 1234 }"#,
        r#"label = { serial = "S1", password = "******", "pin" = **** }"#
    )]
    #[case::table(
        "[device.label]\nserial = 'S1'\nwifi = 'geheim' # it\n[x]\nname = 'y'",
        "[device.label]\nserial = 'S1'\nwifi = '******' # it\n[x]\nname = 'y'"
    )]
    #[case::dotted(r#"label.wifi = "geheim""#, r#"label.wifi = "******""#)]
    #[case::no_table(r#"label = "geheim""#, r#"label = "******""#)]
    #[case::left_out(
        "# label = { password = \"geheim\" }\n# a device",
        "# label = { password = \"******\" }\n# a device"
    )]
    #[case::several_lines(
        "label = { password = \"\"\"a\nü\"\"\" }",
        "label = { password = \"\"\"*\n**\"\"\" }"
    )]
    #[case::community(
        r#"power = { driver = "apc-pdu", community = "geheim", outlet = 3 }"#,
        r#"power = { driver = "apc-pdu", community = "******", outlet = 3 }"#
    )]
    #[case::everybodys(r#"community = "private""#, r#"community = "private""#)]
    #[case::snmp(
        r#"v3 = { user = "u", auth = "sha", auth_passphrase = "geheim", privacy_passphrase = 'x' }"#,
        r#"v3 = { user = "u", auth = "sha", auth_passphrase = "******", privacy_passphrase = '*' }"#
    )]
    #[case::option(
        r#"options = { region = "eu", wifi_psk = "geheim" }"#,
        r#"options = { region = "eu", wifi_psk = "******" }"#
    )]
    #[case::url(
        r#"on = ["curl", "http://admin:ge:heim@10.0.0.5/cm?user=x&password=geheim&cmnd=On"]"#,
        r#"on = ["curl", "http://admin:*******@10.0.0.5/cm?user=x&password=******&cmnd=On"]"#
    )]
    #[case::url_of_a_comment("# http://admin:geheim@x", "# http://admin:******@x")]
    #[case::nothing("[[device]]\nname = \"a\"", "[[device]]\nname = \"a\"")]
    #[case::no_end_of_string(
        "label = { password = \"geheim }\nname = \"x\"",
        "label = { ******** = \"********\n**** = \"*\""
    )]
    #[case::no_end_of_table(
        "[[device]]\nlabel = { password = \"geheim\"\n[[device]]\nname = \"x\"",
        "[[device]]\nlabel = { ******** = \"******\"\n[[device]]\nname = \"x\""
    )]
    #[case::yaml("label: { password: \"geheim\" }", "label* { ********* \"******\" }")]
    #[case::quotes_that_do_not_fit(
        "name = \"x label = { password = \"geheim\" }",
        "name = \"x label = { ******** = \"******\" }"
    )]
    fn secrets_are_not_shown_and_all_else_is(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(mask(text).text, expected);
        assert_eq!(expected.len(), text.len());
    }

    #[rstest]
    #[case(
        "label = { a = 'gehe\"im' }",
        r#"invalid: string "gehe\"im", expected"#
    )]
    #[case(r#"label = { a = "ge\u0068eim" }"#, "it is `geheim`, no number")]
    #[case("url = 'http://a:ge%68eim@b'", "no user geheim")]
    fn messages_tell_no_secrets(#[case] text: &str, #[case] message: &str) {
        let told = mask(text).told(message);
        assert!(told.contains("****"), "{told}");
        for part in ["gehe", "im"] {
            assert!(!told.contains(part), "{told}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_is_as_long_as_before(text in r#"(label|password|=|\{|\}|\[|\]|"|'|"""|#|\.|,|://|@|:|\?|&|ü|a|1|\n| )*"#) {
            let masked = mask(&text);
            proptest::prop_assert_eq!(masked.text.len(), text.len());
            for (at, _) in text.char_indices() {
                proptest::prop_assert!(masked.text.is_char_boundary(at));
            }
        }
    }
}
