//! The parsers of what a DUT sends over its cable, for harness/fuzz.

use std::time::{Duration, Instant};

use super::{
    TlsSeen,
    capture::Clock,
    flow::{Index, tls},
    frames::Direction,
};
use crate::bench::probe::Needle;

/// Indexes frames: each a byte with the direction in its lowest bit, a length (u16, big endian), and so many bytes.
pub fn frames(mut data: &[u8]) {
    let origin = Instant::now();
    let canary = Needle {
        name: "canary".into(),
        bytes: b"canary".to_vec(),
    };
    let mut index = Index::new(Clock::new(origin), &[canary]);
    let mut at = origin;
    while let Some(([by, high, low], rest)) = data.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        let by = if by & 1 == 0 {
            Direction::FromDut
        } else {
            Direction::ToDut
        };
        at += Duration::from_millis(1);
        index.frame(at, by, frame);
        data = rest;
    }
    let flows = index.flows();
    assert!(
        serde_json::to_vec(&flows).is_ok(),
        "flows.json can be written"
    );
}

/// Looks at the beginning of a TLS connection, as either side's.
pub fn hello(data: &[u8]) {
    for from_client in [true, false] {
        let mut seen = TlsSeen::default();
        tls::look(data, from_client, &mut seen);
    }
    tls::certificate(data);
}
