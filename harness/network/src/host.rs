//! The machine that the harness runs on. While it stands still (a suspended or overcommitted virtual machine, memory
//! that is fetched from a slow disk, Ctrl-Z), the DUT's answers wait somewhere, and time limits pass without anybody
//! having listened.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tokio::time::{error::Elapsed, timeout};

/// In this time every processor is looked at once: one can stand still by itself.
const ROUND: Duration = Duration::from_millis(200);
/// What is shorter is the ordinary delay of a busy machine, and not counted.
const SHORTEST: Duration = Duration::from_millis(250);
/// From this length on, something may have been missed because of it.
const STANDSTILL: Duration = Duration::from_secs(1);
/// As many are remembered.
const KEPT: usize = 256;
/// What a limit may be exceeded by at most, beside its own length.
const MOST: Duration = Duration::from_secs(10);

/// Waits for what the DUT does, until this machine has listened for `limit`: time in which it stood still does not count.
///
/// There is an end to that on a machine that keeps standing still: from when `limit` is over by the clock, it is waited for
/// `limit` and ten seconds more at most. A limit of 3 s so lasts 16 s, and what the standstills at its two ends last.
///
/// # Errors
/// The limit is over.
pub fn within<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Elapsed>> {
    watch();
    within_by(&WATCH, limit, MOST, work)
}

/// By what this watch has seen; the limit is exceeded by its own length and `most` at most.
async fn within_by<T>(
    watch: &Watch,
    limit: Duration,
    most: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let begin = Instant::now();
    let mut work = pin!(work);
    let mut left = limit;
    let mut end = None;
    loop {
        match timeout(left, &mut work).await {
            Ok(done) => return Ok(done),
            Err(elapsed) => {
                let now = Instant::now();
                let end = *end.get_or_insert_with(|| now.checked_add(limit.saturating_add(most)));
                left = left_of(limit, now - begin, watch.lost_since(begin));
                if let Some(end) = end {
                    left = left.min(end.saturating_duration_since(now));
                }
                if left.is_zero() {
                    return Err(elapsed);
                }
            }
        }
    }
}

/// What is left of a limit after some time, in which some was lost.
fn left_of(limit: Duration, passed: Duration, lost: Duration) -> Duration {
    limit.saturating_sub(passed.saturating_sub(lost))
}

/// Sees standstills from now on: a thread of this process looks whether time passes. To be called again does nothing.
pub fn watch() {
    static THREAD: LazyLock<()> = LazyLock::new(|| {
        LazyLock::force(&WATCH);
        let watching = thread::Builder::new()
            .name("host".into())
            .spawn(|| WATCH.run());
        if let Err(error) = watching {
            tracing::warn!(%error, "standstills of this machine are not seen");
            WATCH.lock().is_watched = false;
        }
    });
    LazyLock::force(&THREAD);
}

/// The longest standstill that ended after `begin`, or lasts, since [`watch`] was called; none if it is so short that
/// nothing was missed.
pub fn standstill_since(begin: Instant) -> Option<Duration> {
    let longest = WATCH.since(begin).into_iter().max()?;
    (longest >= STANDSTILL).then_some(longest)
}

static WATCH: LazyLock<Watch> = LazyLock::new(|| Watch::begun_with(Look::now()));

/// Sees when nothing ran.
struct Watch(Mutex<State>);

struct State {
    /// When the watch last looked.
    looked: Look,
    /// When each ended, and how long it was.
    standstills: VecDeque<(Instant, Duration)>,
    is_watched: bool,
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

    /// For how long nothing ran until `later`, if it is worth being counted.
    fn standstill(self, later: Self) -> Option<Duration> {
        let passed = later.since_boot.saturating_sub(self.since_boot);
        let late = passed.saturating_sub(ROUND);
        (late >= SHORTEST).then_some(late)
    }
}

impl Watch {
    fn begun_with(looked: Look) -> Self {
        Self(Mutex::new(State {
            looked,
            standstills: VecDeque::new(),
            is_watched: true,
        }))
    }

    /// Goes from processor to processor, and is late where one stood still.
    fn run(&self) {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        let mut processors: Vec<CpuSet> = (0..CpuSet::count())
            .filter(|n| allowed.is_set(*n).unwrap_or_default())
            .map(|n| {
                let mut one = CpuSet::new();
                // It is one of the set.
                let _ = one.set(n);
                one
            })
            .collect();
        if processors.is_empty() {
            // Not told: wherever the kernel puts this thread.
            processors.push(allowed);
        }
        let pause = ROUND / u32::try_from(processors.len()).unwrap_or(u32::MAX);
        loop {
            for processor in &processors {
                // One that is taken offline is passed over.
                let _ = sched_setaffinity(Pid::from_raw(0), processor);
                thread::sleep(pause);
                self.look(Look::now());
            }
        }
    }

    fn look(&self, now: Look) {
        let mut state = self.lock();
        if let Some(standstill) = state.looked.standstill(now) {
            state.standstills.truncate(KEPT - 1);
            state.standstills.push_front((now.at, standstill));
        }
        state.looked = now;
    }

    /// Standstills that ended after `begin`, and the one that lasts.
    fn since(&self, begin: Instant) -> Vec<Duration> {
        let state = self.lock();
        let ended = state.standstills.iter().take_while(|(end, _)| *end > begin);
        // Whoever asks may run before the watch does.
        let now = Look::now();
        let lasting = state.looked.standstill(now).filter(|_| state.is_watched);
        ended.map(|(_, length)| *length).chain(lasting).collect()
    }

    /// How much of the time since `begin` was lost.
    fn lost_since(&self, begin: Instant) -> Duration {
        let lost: Duration = self.since(begin).into_iter().sum();
        // Some of it may have been before.
        lost.min(begin.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_limit_is_kept() {
        let begin = Instant::now();
        let limit = Duration::from_millis(600);
        within(limit, std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(begin.elapsed() >= limit);
    }

    /// On a machine that stands still all the time, for all that is known.
    #[tokio::test]
    async fn a_limit_is_not_lengthened_for_ever() {
        let (watch, _) = watch_of_a_minute_ago();
        let (limit, most) = (Duration::from_millis(100), Duration::from_millis(300));
        let begin = Instant::now();
        let waiting = within_by(&watch, limit, most, std::future::pending::<()>());
        let ended = timeout(Duration::from_mins(1), waiting).await;
        ended.expect("it ends").unwrap_err();
        assert!(begin.elapsed() >= 2 * limit + most);
    }

    /// 19.5 s of the first 20 s did not count: half a second of a limit of one is left.
    #[test]
    fn what_was_lost_is_left() {
        let half = Duration::from_millis(500);
        assert_eq!(left_of(SECOND, 20 * SECOND, 39 * half), half);
        assert_eq!(left_of(SECOND, SECOND, Duration::ZERO), Duration::ZERO);
        assert_eq!(left_of(SECOND, 3 * SECOND, SECOND), Duration::ZERO);
    }

    impl Look {
        fn after(self, time: Duration) -> Self {
            Self {
                at: self.at + time,
                since_boot: self.since_boot + time,
            }
        }
    }

    /// A watch that looked a minute ago, and when that was.
    fn watch_of_a_minute_ago() -> (Watch, Look) {
        let now = Look::now();
        let minute = Duration::from_mins(1);
        let begun = Look {
            at: now.at.checked_sub(minute).unwrap(),
            since_boot: now.since_boot.checked_sub(minute).unwrap(),
        };
        (Watch::begun_with(begun), begun)
    }

    #[test]
    fn standstills_are_seen_by_those_whom_they_concern() {
        let (watch, begun) = watch_of_a_minute_ago();
        for time in [ROUND, ROUND * 2, ROUND * 3 + 5 * SECOND] {
            watch.look(begun.after(time));
        }
        let end = begun.after(ROUND * 3 + 5 * SECOND);
        // From then on it looks in time, until now.
        watch.lock().looked = Look::now();
        assert_eq!(watch.since(begun.at), [5 * SECOND]);
        assert_eq!(watch.lost_since(begun.at), 5 * SECOND);
        assert!(watch.since(end.at).is_empty());
    }

    #[test]
    fn ordinary_delays_are_none() {
        let (watch, begun) = watch_of_a_minute_ago();
        watch.look(begun.after(ROUND + SHORTEST / 2));
        watch.lock().looked = Look::now();
        assert!(watch.since(begun.at).is_empty());
    }

    #[test]
    fn one_that_lasts_is_seen_and_time_before_is_not_lost() {
        let (watch, begun) = watch_of_a_minute_ago();
        let seen = watch.since(begun.at);
        assert!(seen[0] >= 59 * SECOND, "{seen:?}");
        let late = Instant::now();
        assert!(watch.lost_since(late) < SECOND);
    }
}
