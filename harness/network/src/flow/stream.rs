//! One direction of a TCP connection, put in order again.

/// What is kept of a stream's beginning, for those who parse it.
pub(super) const PREFIX: usize = 16 * 1024;
/// What is kept of what came too early: what a sender with a large window sends while one segment is made up for.
const EARLY: usize = 1 << 20;
/// Further ahead than any window that is in use here: not of this stream.
const WINDOW: u32 = 4 << 20;

use super::dns::Messages;
use crate::search::StreamSearch;

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The sequence number that comes next.
    next: Option<u32>,
    /// The beginning of the stream, while somebody parses it.
    prefix: Vec<u8>,
    /// Nobody does any longer.
    closed: bool,
    early: Vec<(u32, Vec<u8>)>,
    /// Bytes in `early`.
    early_bytes: usize,
    /// Of a connection to a name server.
    pub(super) messages: Messages,
    pub(super) search: StreamSearch,
    /// How often something was missing from the stream.
    pub(super) gaps: u64,
}

impl Stream {
    /// Takes one segment; tells `deliver` what is in order now.
    pub(super) fn segment(
        &mut self,
        sequence: u32,
        syn: bool,
        payload: &[u8],
        deliver: &mut dyn FnMut(&mut Self, &[u8]),
    ) {
        if syn {
            // A new connection with the old one's ports begins anew.
            *self = Self {
                next: Some(sequence.wrapping_add(1)),
                ..Self::default()
            };
        }
        if payload.is_empty() {
            return;
        }
        let sequence = if syn {
            sequence.wrapping_add(1)
        } else {
            sequence
        };
        // The connection is older than the capture: it begins in the middle.
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next);
        if ahead == 0 || ahead > u32::MAX - WINDOW {
            self.in_order(sequence, payload, deliver);
        } else if ahead < WINDOW {
            // What is sent again while the same is missing.
            let is_known =
                |(early, data): &(u32, Vec<u8>)| *early == sequence && data.len() >= payload.len();
            if self.early.iter().any(is_known) {
                return;
            }
            self.early_bytes += payload.len();
            self.early.push((sequence, payload.to_vec()));
            if self.early_bytes > EARLY {
                self.skip_gap(deliver);
            }
        }
    }

    fn in_order(
        &mut self,
        sequence: u32,
        payload: &[u8],
        deliver: &mut dyn FnMut(&mut Self, &[u8]),
    ) {
        self.take(sequence, payload, deliver);
        while let Some(next) = self.next
            && let Some(found) = self
                .early
                .iter()
                .position(|(early, _)| next.wrapping_sub(*early) < WINDOW)
        {
            let (early, data) = self.early.swap_remove(found);
            self.early_bytes -= data.len();
            self.take(early, &data, deliver);
        }
    }

    /// What was missing will not come.
    fn skip_gap(&mut self, deliver: &mut dyn FnMut(&mut Self, &[u8])) {
        let Some(next) = self.next else { return };
        self.gaps += 1;
        self.messages = Messages::default();
        // What follows can't be parsed from its beginning.
        self.close();
        self.search.skip();
        let nearest = self.early.iter().map(|(early, _)| *early);
        if let Some(nearest) = nearest.min_by_key(|early| early.wrapping_sub(next)) {
            self.next = Some(nearest);
            self.in_order(nearest, &[], deliver);
        }
    }

    /// Delivers what of `payload` is new.
    fn take(&mut self, sequence: u32, payload: &[u8], deliver: &mut dyn FnMut(&mut Self, &[u8])) {
        let Some(next) = self.next else { return };
        let known = next.wrapping_sub(sequence) as usize;
        let Some(new) = payload.get(known..).filter(|new| !new.is_empty()) else {
            return;
        };
        self.next = Some(next.wrapping_add(new.len() as u32));
        if !self.closed {
            let room = PREFIX - self.prefix.len();
            self.prefix.extend_from_slice(&new[..new.len().min(room)]);
        }
        deliver(self, new);
    }

    /// The stream's beginning; empty once it is closed.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// No more of the beginning is coming.
    pub(super) fn is_full(&self) -> bool {
        self.prefix.len() >= PREFIX
    }

    /// Nobody needs its beginning any longer.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.prefix = Vec::new();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Something that came was not looked into yet, for what is before it is missing.
    pub(super) fn is_waiting(&self) -> bool {
        !self.early.is_empty()
    }

    /// Gives up all that is held.
    pub(super) fn abandon(&mut self) {
        self.close();
        self.gaps += u64::from(!self.early.is_empty());
        self.early = Vec::new();
        self.early_bytes = 0;
        self.messages = Messages::default();
        self.search.abandon();
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        let early = self.early.iter().map(|(_, data)| data.capacity() + 32);
        let others = self.search.held() + self.messages.held();
        self.prefix.capacity() + others + early.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
    use rstest::rstest;

    use super::*;

    /// Segments of `data` in an order and with overlaps that depend on `seed`.
    fn reassembled(data: &[u8], start: u32, seed: u64, shuffle: usize) -> Vec<u8> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut segments = Vec::new();
        let mut at = 0;
        while at < data.len() {
            let end = (at + random.random_range(1..1460)).min(data.len());
            let from = at - random.random_range(0..=at.min(50));
            segments.push((start.wrapping_add(1 + from as u32), &data[from..end]));
            at = end;
        }
        for window in segments.chunks_mut(shuffle) {
            window.shuffle(&mut random);
        }
        let mut stream = Stream::default();
        let mut all = Vec::new();
        let mut deliver = |_: &mut Stream, new: &[u8]| all.extend_from_slice(new);
        stream.segment(start, true, &[], &mut deliver);
        for (sequence, part) in segments {
            stream.segment(sequence, false, part, &mut deliver);
        }
        assert_eq!(stream.gaps, 0);
        all
    }

    #[rstest]
    fn puts_segments_in_order(
        #[values(0, 1, u32::MAX - 7000)] start: u32,
        #[values(1, 2, 8)] shuffle: usize,
        #[values(1, 2, 3)] seed: u64,
    ) {
        let data: Vec<u8> = (0..40_000u32).map(|n| (n * 7 / 3) as u8).collect();
        assert!(reassembled(&data, start, seed, shuffle) == data);
    }

    /// A sender with a large window goes on while one segment is on its way again.
    #[test]
    fn waits_for_what_is_made_up_for() {
        let mut stream = Stream::default();
        let mut all = Vec::new();
        let mut deliver = |_: &mut Stream, new: &[u8]| all.extend_from_slice(new);
        let data: Vec<u8> = (0..500_000u32).map(|n| (n / 7) as u8).collect();
        let mut segments = data.chunks(1400).enumerate();
        let (_, first) = segments.next().unwrap();
        stream.segment(0, true, &[], &mut deliver);
        for (number, part) in segments {
            for _ in 0..2 {
                stream.segment(1 + number as u32 * 1400, false, part, &mut deliver);
            }
        }
        assert!(stream.is_waiting());
        stream.segment(1, false, first, &mut deliver);
        assert_eq!((stream.gaps, stream.is_waiting()), (0, false));
        assert!(all == data);
    }

    #[test]
    fn says_what_is_missing_and_goes_on() {
        let mut stream = Stream::default();
        let mut all = 0;
        let mut deliver = |_: &mut Stream, new: &[u8]| all += new.len();
        stream.segment(0, true, &[], &mut deliver);
        stream.segment(1, false, b"begin", &mut deliver);
        for number in 0..2000u32 {
            stream.segment(1000 + number * 1000, false, &[7; 1000], &mut deliver);
        }
        assert_eq!(stream.gaps, 1);
        assert_eq!(all, 5 + 2000 * 1000);
        assert!(stream.held() < 2 * EARLY);
    }
}
