//! When to try again: waits double, and are spread, so that devices that lost the same server do not
//! come back all at once.

/// Grows from try to try. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: u32,
    longest: u32,
    /// The next wait, before it is spread.
    next: u32,
}

impl Backoff {
    /// Starts with waits around `first` and ends with waits up to `longest`.
    pub const fn new(first: u32, longest: u32) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// Milliseconds to wait after a try that failed: between half and all of the current wait,
    /// depending on `random`.
    pub fn wait_ms(&mut self, random: u32) -> u32 {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        spread_ms(wait, random)
    }

    /// It worked: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between half and all of `wait_ms`, depending on `random`.
pub fn spread_ms(wait_ms: u32, random: u32) -> u32 {
    let half = wait_ms / 2;
    half + random % (wait_ms - half + 1)
}
