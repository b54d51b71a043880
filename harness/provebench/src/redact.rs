//! Secrets of the bench and of its devices, blacked out in all that leaves the bench.
//!
//! Labels have passwords, addresses of plugs have them, and devices repeat what is typed. Reports go to CI servers, chats
//! and customers. What a device printed and sent stays as it was in the evidence (`console.log`, captures), which is
//! private to the run's user.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, fmt::Write, sync::Arc};

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use provebench_bench::inventory::{Device, Inventory, PUBLIC_FIELDS};
use provebench_record::event::{Event, Step, UnitResult};

/// Shorter texts say nothing, and are everywhere.
const SHORTEST: usize = 3;

/// Shorter texts are only blacked out where they are words of their own: `1234` is also a part of addresses.
const SHORTEST_ANYWHERE: usize = 6;

/// So much of a secret at a place where a text was cut off is one.
const SHORTEST_PART: usize = 4;

/// Texts that must not leave the bench, and what is shown in their place.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    search: AhoCorasick,
    forms: Vec<Form>,
}

/// A form in which a secret shows.
#[derive(Debug)]
struct Form {
    text: String,
    mark: String,
    /// Not within a longer word.
    is_word: bool,
}

impl Secrets {
    /// Those of all devices: labels but for serial number, model and MAC, and what switches ask for.
    pub fn of(inventory: &Inventory) -> Self {
        Self::new(inventory.devices.iter().flat_map(of_device))
    }

    /// What is secret, and what it is.
    pub fn new(secrets: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut forms = BTreeMap::new();
        for (what, secret) in secrets {
            let secret = secret.trim();
            if secret.chars().count() < SHORTEST {
                continue;
            }
            for text in forms_of(secret) {
                forms.entry(text).or_insert_with(|| format!("[{what}]"));
            }
        }
        if forms.is_empty() {
            return Self::default();
        }
        let forms: Vec<Form> = forms
            .into_iter()
            .map(|(text, mark)| Form {
                is_word: text.len() < SHORTEST_ANYWHERE,
                text,
                mark,
            })
            .collect();
        let search = AhoCorasick::new(forms.iter().map(|form| &form.text));
        Self(search.ok().map(|search| Arc::new(Inner { search, forms })))
    }

    /// The text with marks in place of secrets, such as `[password on the label]`.
    pub fn black_out<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(inner) = &self.0 else {
            return Cow::Borrowed(text);
        };
        // What is no word must not hide a secret that begins within it, nor one secret the rest of another.
        let found = inner
            .search
            .find_overlapping_iter(text)
            .filter_map(|found| {
                let form = &inner.forms[found.pattern().as_usize()];
                let counts = !form.is_word || is_word(text, found.start(), found.end());
                counts.then_some((found.start(), Reverse(found.end()), form))
            });
        let mut found: Vec<_> = found.collect();
        found.sort_unstable_by_key(|(start, end, _)| (*start, *end));
        let mut out = String::new();
        let mut from = 0;
        for (start, Reverse(end), form) in found {
            if start >= from {
                out += &text[from..start];
                out += &form.mark;
            }
            from = from.max(end);
        }
        let out = if from == 0 {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(out + &text[from..])
        };
        inner.without_parts(out)
    }

    /// In all texts of a JSON value, names of members included.
    pub fn black_out_json(&self, json: &mut Json) {
        match json {
            Json::String(text) => self.black_out_text(text),
            Json::Array(all) => all.iter_mut().for_each(|json| self.black_out_json(json)),
            Json::Object(all) => {
                for (name, mut value) in std::mem::take(all) {
                    self.black_out_json(&mut value);
                    all.insert(self.black_out(&name).into_owned(), value);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn black_out_text(&self, text: &mut String) {
        if let Cow::Owned(blacked) = self.black_out(text) {
            *text = blacked;
        }
    }

    /// In what an event tells; what it is about stays.
    pub(crate) fn black_out_event(&self, event: &mut Event) {
        if self.0.is_none() {
            return;
        }
        match event {
            Event::CaseSkipped { skip, .. } => self.black_out_text(&mut skip.reason),
            Event::DeclaredNotMet { reason, .. } => self.black_out_text(reason),
            Event::Waiting { text, .. } | Event::Progress { text, .. } => self.black_out_text(text),
            Event::Step { step, .. } => self.black_out_step(step),
            Event::UnitFinished { result, .. } => {
                let UnitResult {
                    message, console, ..
                } = result;
                let texts = [message, console].into_iter().flatten();
                texts.for_each(|text| self.black_out_text(text));
            }
            Event::DeviceError { message, .. } => self.black_out_text(message),
            Event::RunStarted { .. }
            | Event::RunResumed { .. }
            | Event::DeviceStarted { .. }
            | Event::CaseStarted { .. }
            | Event::UnitStarted { .. }
            | Event::NotSeen { .. }
            | Event::EvidenceKept { .. }
            | Event::CaseFinished { .. }
            | Event::Interrupted { .. }
            | Event::DeviceFinished { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    /// In what a step did.
    pub(crate) fn black_out_step(&self, step: &mut Step) {
        self.black_out_json(&mut step.arguments);
        self.black_out_json(&mut step.result);
        if let Some(error) = &mut step.error {
            self.black_out_text(error);
        }
    }
}

/// `http://user:password@host` without the password.
pub(crate) fn without_passwords_in_urls(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out += before;
        let end = after.find(|c: char| c == '/' || c.is_whitespace());
        let (authority, next) = after.split_at(end.unwrap_or(after.len()));
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                let user = user.split(':').next().unwrap_or_default();
                let _ = write!(out, "{user}:[password]@{host}");
            }
            _ => out += authority,
        }
        rest = next;
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(out + rest)
}

impl Inner {
    /// Without what is left of a secret at the end of a text that was cut off, or at the begin of one.
    fn without_parts<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        let mut cut: Option<(usize, usize, &str)> = None;
        for mark in ["...", "…", "\n... "] {
            for (at, _) in text.match_indices(mark) {
                for form in self.forms.iter().filter(|form| !form.is_word) {
                    let begin = longest(&form.text, |part| text[..at].ends_with(part), true);
                    let end = at + mark.len();
                    let rest = text[end..].trim_start_matches('\n');
                    let end = text.len() - rest.len();
                    let after = longest(&form.text, |part| rest.starts_with(part), false);
                    let found = [
                        begin.map(|length| (at - length, at, form.mark.as_str())),
                        after.map(|length| (end, end + length, form.mark.as_str())),
                    ];
                    for found in found.into_iter().flatten() {
                        if cut.is_none_or(|(from, to, _)| found.1 - found.0 > to - from) {
                            cut = Some(found);
                        }
                    }
                }
            }
        }
        match cut {
            None => text,
            Some((from, to, mark)) => {
                let text = format!("{}{mark}{}", &text[..from], &text[to..]);
                self.without_parts(Cow::Owned(text))
            }
        }
    }
}

/// How much of the begin (or end) of a text is found, if it is more than chance.
fn longest(text: &str, is_found: impl Fn(&str) -> bool, is_begin: bool) -> Option<usize> {
    let lengths = (SHORTEST_PART..text.len()).rev();
    let mut parts = lengths.filter_map(|length| {
        if is_begin {
            text.get(..length)
        } else {
            text.get(text.len() - length..)
        }
    });
    parts.find(|part| is_found(part)).map(str::len)
}

fn is_word(text: &str, start: usize, end: usize) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !is_part(text[..start].chars().next_back()) && !is_part(text[end..].chars().next())
}

/// As it is, as messages and JSON escape it, as URLs and forms encode it, in hexadecimal and base64 (as a whole, and
/// within longer text).
fn forms_of(secret: &str) -> Vec<String> {
    let escaped = serde_json::to_string(secret).unwrap_or_default();
    let all = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    // Unreserved in RFC 3986; and what HTML forms make of it.
    let some = [("%2D", "-"), ("%2E", "."), ("%5F", "_"), ("%7E", "~")]
        .iter()
        .fold(all.clone(), |text, (code, plain)| text.replace(code, plain));
    let form = some.replace("%20", "+");
    let upper = hex::encode_upper(secret);
    let html = secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let mut forms = vec![
        secret.to_owned(),
        escaped.trim_matches('"').to_owned(),
        all.to_lowercase(),
        all,
        some,
        form,
        hex::encode(secret),
        upper,
        html.replace('"', "&quot;"),
        html,
    ];
    if !secret.is_ascii() {
        forms.extend(escaped_beyond_ascii(&escaped));
        forms.extend(escaped_beyond_ascii(secret));
    }
    if secret.len() >= SHORTEST_ANYWHERE {
        for shift in 0..3 {
            let text = [&b"\0\0\0"[..shift], secret.as_bytes()].concat();
            // Without characters that also depend on what is around it.
            let first = [0, 2, 3][shift];
            let end = text.len() * 8 / 6;
            forms.push(STANDARD_NO_PAD.encode(&text)[first..end].to_owned());
            forms.push(URL_SAFE_NO_PAD.encode(&text)[first..end].to_owned());
        }
    }
    forms
}

/// Letters beyond ASCII as scripts show them, as JSON may have them, as Rust does, and byte by byte.
fn escaped_beyond_ascii(text: &str) -> [String; 4] {
    let escape = |letter: fn(char) -> String| -> String {
        let text = text.trim_matches('"').chars();
        text.map(|c| if c.is_ascii() { c.into() } else { letter(c) })
            .collect()
    };
    [
        escape(|c| match u32::from(c) {
            code @ ..0x100 => format!("\\x{code:02x}"),
            code @ ..0x1_0000 => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        }),
        escape(|c| {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter();
            units
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<Vec<_>>()
                .concat()
        }),
        escape(|c| c.escape_unicode().collect()),
        escape(|c| {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            bytes
                .map(|byte| format!("\\x{byte:02x}"))
                .collect::<Vec<_>>()
                .concat()
        }),
    ]
}

fn of_device(device: &Device) -> Vec<(String, String)> {
    let label = device.label.iter();
    let label = label.filter(|(field, _)| !PUBLIC_FIELDS.contains(&field.as_str()));
    let label = label.map(|(field, text)| (format!("{field} on the label"), text.clone()));
    let switches = device.switches().flat_map(|switch| {
        let secrets = switch.secrets().into_iter();
        secrets.map(|secret| ("password of a switch".to_owned(), secret))
    });
    label.chain(switches).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PASSWORD: &str = "q7Hd-Vn3x \"T/zKe";

    fn secrets() -> Secrets {
        let own = |(what, text): (&str, &str)| (what.to_owned(), text.to_owned());
        let all = [
            ("password on the label", PASSWORD),
            ("pin on the label", "1234"),
            ("x", "ab"),
        ];
        Secrets::new(all.map(own))
    }

    #[rstest]
    #[case::plain("kü8 \"€&\u{1f511}")]
    #[case::script(r#"{"wifi": "k\xfc8 \"\u20ac&\U0001f511"}"#)]
    #[case::json(r#"{"wifi":"k\u00fc8 \"\u20ac&\ud83d\udd11"}"#)]
    #[case::rust(r#"k\u{fc}8 "\u{20ac}&\u{1f511}"#)]
    #[case::bytes(r#"k\xc3\xbc8 "\xe2\x82\xac&\xf0\x9f\x94\x91"#)]
    #[case::html("<b>kü8 &quot;€&amp;\u{1f511}</b>")]
    fn letters_beyond_ascii_hide_none(#[case] text: &str) {
        let secret = ("wifi on the label".into(), "kü8 \"€&\u{1f511}".into());
        let blacked = Secrets::new([secret]).black_out(text).into_owned();
        assert!(blacked.contains("[wifi on the label]"), "{blacked}");
        assert!(!blacked.contains("8 "), "{blacked}");
    }

    #[rstest]
    #[case::plain("login q7Hd-Vn3x \"T/zKe!")]
    #[case::json(r#"{"password":"q7Hd-Vn3x \"T/zKe"}"#)]
    #[case::url("/cm?user=admin&password=q7Hd-Vn3x%20%22T%2FzKe&x")]
    #[case::url_lower("/cm?password=q7hd%2dvn3x%20%22t%2fzke")]
    #[case::form("password=q7Hd-Vn3x+%22T%2FzKe")]
    #[case::hex("713748642d566e33782022542f7a4b65")]
    #[case::base64("Authorization: Basic YWRtaW46cTdIZC1WbjN4ICJUL3pLZQ==")]
    fn secrets_are_blacked_out(#[case] text: &str) {
        let blacked = secrets().black_out(text).into_owned();
        assert!(blacked.contains("[password on the label]"), "{blacked}");
        for part in ["q7Hd", "T/z", "zKe", "T%2F", "566e", "ZC1W"] {
            assert!(!blacked.contains(part), "{blacked}");
        }
    }

    #[rstest]
    #[case::end("said q7Hd-Vn...", "said [password on the label]...")]
    #[case::end("said q7Hd-Vn…", "said [password on the label]…")]
    #[case::begin("...\n \"T/zKe is wrong", "...\n[password on the label] is wrong")]
    #[case::middle(
        "q7Hd-Vn3\n... 7 bytes left out ...\nzKe",
        "[password on the label]\n... 7 bytes left out ...\nzKe"
    )]
    #[case::chance("said q7H...", "said q7H...")]
    fn parts_of_secrets_are_blacked_out_where_a_text_was_cut_off(
        #[case] text: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(secrets().black_out(text), expected);
    }

    #[rstest]
    #[case("pin 1234?", "pin [pin on the label]?")]
    #[case("0x12345678, 81234", "0x12345678, 81234")]
    #[case("ab", "ab")]
    fn short_ones_are_words(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(secrets().black_out(text), expected);
    }

    #[rstest]
    #[case::no_word_before(&["abc", "bcdefgh"], "abcdefgh", "a[?]")]
    #[case::shorter_word(&["abc", "abc-d"], "abc-dx", "[?]-dx")]
    #[case::overlapping(&["abcdef", "efghij"], "xabcdefghijx", "x[?]x")]
    fn a_secret_hides_no_other(#[case] all: &[&str], #[case] text: &str, #[case] expected: &str) {
        let all = all.iter().map(|secret| ("?".into(), (*secret).into()));
        assert_eq!(Secrets::new(all).black_out(text), expected);
    }

    #[test]
    fn all_of_json_is_looked_at() {
        let mut json = serde_json::json!({ "x": [{ PASSWORD: PASSWORD, "n": 1234 }], "ok": true });
        secrets().black_out_json(&mut json);
        let mark = "[password on the label]";
        let expected = serde_json::json!({ "x": [{ mark: mark, "n": 1234 }], "ok": true });
        assert_eq!(json, expected);
    }

    #[rstest]
    #[case(
        "url = \"http://admin:s3cr:t@10.0.0.5/cm\"",
        "url = \"http://admin:[password]@10.0.0.5/cm\""
    )]
    #[case("http://10.0.0.5:80/a@b", "http://10.0.0.5:80/a@b")]
    fn urls_show_no_passwords(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(without_passwords_in_urls(text), expected);
    }

    #[test]
    fn without_secrets_nothing_changes() {
        assert_eq!(Secrets::default().black_out("1234"), "1234");
    }
}
