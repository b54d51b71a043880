//! What a console prints, for harness/fuzz.

use rfc2217::{Client, PortSettings};

use super::{Pattern, log, pattern::matched};

/// Longer expressions take too long to compile.
const LONGEST: usize = 80;

/// A length of pieces, an expression in a line, and what is printed: pieces make no difference.
pub fn pattern(data: &[u8]) {
    let Some(([piece], rest)) = data.split_first_chunk() else {
        return;
    };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (Some(Ok(pattern)), Some(text)) = (parts.next().map(str::from_utf8), parts.next()) else {
        return;
    };
    if pattern.len() > LONGEST {
        return;
    }
    let Ok(pattern) = Pattern::new(pattern) else {
        return;
    };
    let whole = matched(&pattern, &[text]);
    for length in [1, usize::from(*piece).max(1)] {
        let pieces: Vec<&[u8]> = text.chunks(length).collect();
        assert_eq!(matched(&pattern, &pieces), whole, "in pieces of {length}");
    }
}

/// What stands in console.log.
pub fn log(data: &[u8]) {
    let mut text = String::new();
    log::escape(data, &mut text);
    assert!(
        !text.chars().any(provebench_record::text::is_hostile),
        "{text:?}"
    );
}

/// What a terminal server says.
pub fn rfc2217(data: &[u8]) {
    let mut client = Client::new(PortSettings::default());
    for piece in data.chunks(64) {
        let _ = client.take_output();
        let _ = client.readiness();
        let _ = client.receive(piece);
        while client.poll_event().is_some() {}
    }
}
