//! The latest output of the DUT: bounded, contiguous, and addressed by its position in the whole stream.

/// How much is kept at least, once as much was printed.
pub(super) const KEPT: usize = 2 * 1024 * 1024;

/// A window on the end of a byte stream.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Position in the stream of `bytes[0]`.
    start: u64,
}

impl Window {
    pub(super) fn push(&mut self, data: &[u8]) {
        // Moving the rest down once per KEPT bytes is cheaper than a ring, and keeps the window one slice.
        if self.bytes.len() + data.len() > 2 * KEPT {
            let excess = self.bytes.len().saturating_sub(KEPT);
            self.bytes.drain(..excess);
            self.start += excess as u64;
        }
        self.bytes.extend_from_slice(data);
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Where a search may begin whose text began earlier, and the byte before that.
    pub(super) fn restart(&self) -> (u64, Option<u8>) {
        // Best behind a character that is certainly whole.
        let is_whole = |byte: &u8| byte.is_ascii();
        let at = self.bytes.iter().take(64).position(is_whole).unwrap_or(0);
        match self.bytes.get(at) {
            Some(byte) => (self.start + at as u64 + 1, Some(*byte)),
            None => (self.start, None),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What follows `position`, as far as it is kept.
    pub(super) fn since(&self, position: u64) -> &[u8] {
        &self.bytes[self.index(position)..]
    }

    /// Index into [`bytes`](Self::bytes) of `position`, or of what is nearest to it.
    pub(super) fn index(&self, position: u64) -> usize {
        let index = position.clamp(self.start, self.end()) - self.start;
        usize::try_from(index).unwrap_or(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_of_an_endless_stream_in_bounded_memory() {
        let mut window = Window::default();
        let mut printed = 0_u64;
        for round in 0..2000_u32 {
            let chunk = [round.to_le_bytes(); 1024].concat();
            window.push(&chunk);
            printed += chunk.len() as u64;
            assert!(window.bytes().len() <= 2 * KEPT);
            assert_eq!(window.end(), printed);
            assert!(window.since(printed - 4) == round.to_le_bytes());
        }
        assert!(window.bytes().len() >= KEPT);
        assert!(window.start() > 0);
    }

    #[test]
    fn positions_outside_are_clamped() {
        let mut window = Window::default();
        window.push(b"abc");
        assert_eq!(window.since(1), b"bc");
        assert_eq!(window.since(99), b"");
    }
}
