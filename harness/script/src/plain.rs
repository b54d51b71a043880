//! How texts and bytes are shown in steps and messages: short, one line, printable whatever the DUT sent.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use provebench_record::text::is_hostile;

/// Characters of one argument or result that a step keeps.
pub(super) const LIMIT: usize = 300;
/// Bytes of a blob that are shown before it is told by length and hash.
const BLOB: usize = 32;

/// Text as a quoted literal, shortened.
pub(super) fn text(text: &str) -> String {
    let mut out = String::from("\"");
    push_escaped(&mut out, text, LIMIT, true);
    out.push('"');
    if out.len() > LIMIT {
        let _ = write!(out, " ({} bytes)", text.len());
    }
    out
}

/// Text for a message: no quotes, but nothing that could upset a terminal or an XML file.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let mut out = String::new();
    push_escaped(&mut out, text, limit, false);
    out
}

/// Bytes as hex, or by length and hash when there are many.
pub(super) fn bytes(bytes: &[u8]) -> String {
    if bytes.len() <= BLOB {
        return format!("blob_hex(\"{}\")", hex::encode(bytes));
    }
    let digest = hex::encode(Sha256::digest(bytes));
    format!(
        "blob({} bytes, {}..., sha256 {}...)",
        bytes.len(),
        hex::encode(&bytes[..8]),
        &digest[..16]
    )
}

/// Appends up to `limit` bytes of `text` without control characters.
pub(super) fn push_escaped(out: &mut String, text: &str, limit: usize, quoted: bool) {
    let stop = out.len().saturating_add(limit);
    for c in text.chars() {
        if out.len() >= stop {
            out.push_str("...");
            return;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' if quoted => {
                out.push('\\');
                out.push(c);
            }
            c if is_hostile(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dut_sends_cannot_reach_the_terminal() {
        let hostile = String::from_utf8_lossy(b"\x1b[2J\x00\xff\x07ok\r\n\xe2\x80\xae");
        let shown = plain(&hostile, 100);
        assert!(shown.chars().all(|c| !is_hostile(c)), "{shown}");
        assert!(shown.contains("ok\\r\\n"), "{shown}");
    }
}
