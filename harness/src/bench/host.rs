//! The machine that the harness runs on. While it stands still (a suspended or overcommitted virtual machine, a disk
//! that blocks, Ctrl-Z), the DUT's answers wait somewhere, and time limits pass without anybody having listened.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tokio::time::{error::Elapsed, timeout};

/// Time is counted in pieces of this length.
const SLICE: Duration = Duration::from_millis(250);
/// How often is looked whether time passes.
const TICK: Duration = Duration::from_millis(100);
/// What is shorter is the ordinary delay of a busy machine.
const STANDSTILL: Duration = Duration::from_secs(1);
/// As many standstills are remembered.
const KEPT: usize = 64;

/// Waits for what the DUT does, no longer than `limit`, counting only time in which this machine ran: a standstill
/// counts as 250 ms at most, and is never the last thing before giving up.
///
/// # Errors
/// The limit is over.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let mut left = limit;
    loop {
        let slice = left.min(SLICE);
        let begin = Instant::now();
        match timeout(slice, &mut work).await {
            Ok(done) => return Ok(done),
            Err(elapsed) => {
                left -= slice;
                let late = begin.elapsed().saturating_sub(slice);
                if left.is_zero() {
                    if late < SLICE {
                        return Err(elapsed);
                    }
                    // What came meanwhile has not been looked at yet.
                    left = SLICE;
                }
            }
        }
    }
}

/// Sees when nothing ran.
struct Watch(Mutex<State>);

struct State {
    /// When the watch last looked.
    looked: Look,
    /// When each ended, and how long it was.
    standstills: VecDeque<(Instant, Duration)>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    /// Time since the machine started, also while it was suspended, which [`Instant`] leaves out.
    since_boot: Duration,
}

impl Look {
    fn now() -> Self {
        let at = Instant::now();
        let since_boot =
            clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Self { at, since_boot }
    }

    /// For how long nothing ran before `later`.
    fn standstill(self, later: Self) -> Duration {
        let passed = later.since_boot.saturating_sub(self.since_boot);
        passed.saturating_sub(TICK)
    }
}

static WATCH: LazyLock<Watch> = LazyLock::new(|| Watch::begun_with(Look::now()));

/// Sees standstills from now on: a thread of this process looks whether time passes. To be called again does nothing.
pub fn watch() {
    static THREAD: LazyLock<bool> = LazyLock::new(|| {
        LazyLock::force(&WATCH);
        let look = || {
            loop {
                thread::sleep(TICK);
                WATCH.look();
            }
        };
        thread::Builder::new()
            .name("host".into())
            .spawn(look)
            .is_ok()
    });
    // Without the thread, every moment since anybody last asked were a standstill: better none is seen.
    if !*THREAD {
        WATCH.look();
    }
}

/// The longest time that ended after `begin` for which this machine did not run, if it is more than a busy machine's
/// delay and [`watch`] was called before.
pub fn standstill_since(begin: Instant) -> Option<Duration> {
    WATCH.standstill_since(begin)
}

impl Watch {
    fn begun_with(looked: Look) -> Self {
        Self(Mutex::new(State {
            looked,
            standstills: VecDeque::new(),
        }))
    }

    fn standstill_since(&self, begin: Instant) -> Option<Duration> {
        // Whoever asks may run before the watch does.
        self.look();
        let state = self.lock();
        let since = state.standstills.iter().filter(|(end, _)| *end >= begin);
        since.map(|(_, length)| *length).max()
    }

    fn look(&self) {
        let mut state = self.lock();
        let now = Look::now();
        let standstill = state.looked.standstill(now);
        state.looked = now;
        if standstill >= STANDSTILL {
            state.standstills.truncate(KEPT - 1);
            state.standstills.push_front((now.at, standstill));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::sync::oneshot;

    use super::*;

    /// What the DUT said during a standstill is heard after it, though the limit is over by then.
    #[rstest]
    #[case::in_the_middle(Duration::from_millis(600))]
    #[case::at_the_end(Duration::from_millis(250))]
    #[tokio::test]
    async fn a_standstill_is_not_the_duts_time(#[case] limit: Duration) {
        let (dut, answer) = oneshot::channel();
        let (heard, ()) = tokio::join!(within(limit, answer), async {
            tokio::task::yield_now().await;
            thread::sleep(limit * 4);
            // The machine runs again; the DUT's answer takes its way.
            tokio::time::sleep(Duration::from_millis(50)).await;
            dut.send("here").unwrap();
        });
        assert_eq!(heard.unwrap(), Ok("here"));
    }

    #[tokio::test]
    async fn a_limit_is_kept() {
        let begin = Instant::now();
        let limit = Duration::from_millis(600);
        within(limit, std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(begin.elapsed() >= limit);
    }

    #[test]
    fn standstills_are_seen_by_those_whom_they_concern() {
        let now = Look::now();
        let watch = Watch::begun_with(Look {
            since_boot: now.since_boot.saturating_sub(Duration::from_secs(5)),
            ..now
        });
        let length = watch.standstill_since(now.at).unwrap();
        assert!(length > Duration::from_millis(4800), "{length:?}");
        let later = Instant::now() + Duration::from_millis(1);
        assert_eq!(watch.standstill_since(later), None);
        assert_eq!(watch.standstill_since(now.at), Some(length), "it stays");
    }
}
