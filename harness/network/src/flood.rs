//! Whose fault it is that frames of the DUT were missed.

use std::time::{Duration, Instant};

/// Frames of a second that a bench takes even when it is slow, and that no product of this kind sends: a third of what
/// fills a gigabit with the longest ones is its own flood.
const FLOOD: f64 = 25_000.0;
const WINDOW: Duration = Duration::from_secs(1);

/// How many frames the DUT sends, seen or missed.
#[derive(Debug)]
pub(super) struct Rate {
    start: Instant,
    /// When it was last counted.
    last: Instant,
    frames: u64,
}

impl Rate {
    pub(super) fn since(now: Instant) -> Self {
        Self {
            start: now,
            last: now,
            frames: 0,
        }
    }

    /// So many more came since the last time, be that long ago because nothing came, or because nobody looked.
    pub(super) fn count(&mut self, now: Instant, frames: u64) {
        if now.saturating_duration_since(self.start) > WINDOW {
            self.start = self.last;
            self.frames = 0;
        }
        self.last = now;
        self.frames += frames;
    }

    /// Whether nobody could be asked to keep up with it.
    #[allow(clippy::cast_precision_loss)] // nobody counts so far
    pub(super) fn is_flood(&self) -> bool {
        let time = self.last.saturating_duration_since(self.start).max(WINDOW);
        self.frames as f64 / time.as_secs_f64() >= FLOOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames that were counted at these times in milliseconds.
    fn rate(counts: &[(u64, u64)]) -> Rate {
        let begin = Instant::now();
        let mut rate = Rate::since(begin);
        for (at, frames) in counts {
            rate.count(begin + Duration::from_millis(*at), *frames);
        }
        rate
    }

    #[test]
    fn whoever_sends_more_than_anybody_takes_floods() {
        assert!(rate(&[(10, 64), (20, 30_000)]).is_flood());
        // After an hour of nothing.
        assert!(rate(&[(3_600_000, 64), (3_600_100, 30_000)]).is_flood());
        // All the time.
        let always: Vec<_> = (0..100).map(|n| (n * 100, 3000)).collect();
        assert!(rate(&always).is_flood());
    }

    #[test]
    fn a_bench_that_did_not_look_is_to_blame_itself() {
        // As many, of the ten seconds that it stood still.
        assert!(!rate(&[(10, 64), (10_010, 100_000)]).is_flood());
        let slow: Vec<_> = (0..100).map(|n| (n * 100, 1000)).collect();
        assert!(!rate(&slow).is_flood());
        assert!(!rate(&[(10, 20_000)]).is_flood());
    }
}
