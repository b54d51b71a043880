//! How many probes may be on their way, and when one counts as lost.
//!
//! More with every answer; fewer when the answer to a repeated probe proves that the first was lost. Silence alone
//! proves nothing: a port may be silent by design. Round trip times are smoothed as in RFC 6298.
//!
//! Some DUTs drop nearly everything, or limit how often they refuse (RFC 1812 4.3.2.8, RFC 4443 2.4 f). There, asking
//! all ports again and again would take hours and tell nothing: each is asked twice, at a rate that anybody can take.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const FIRST_WINDOW: usize = 64;
/// The upper end is less than what the buffers on the way hold.
const WINDOW: std::ops::RangeInclusive<usize> = 16..=1024;
const FIRST_TIMEOUT: Duration = Duration::from_millis(500);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// The last try is given this long, however fast the others were answered.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Probes a second that a DUT is sent although it answers none.
const SILENT_RATE: u32 = 2000;
/// Whoever can't send for longer than this sends to somebody who has gone: the kernel keeps what it can't deliver for
/// seconds.
const STUCK: Duration = Duration::from_millis(200);
/// So many silent ports are asked as often as it takes, whatever the others do.
const FEW: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// Not asked yet, or not again.
    Due,
    Waiting {
        attempt: u32,
        since: Instant,
    },
    Answered,
    Silent,
}

/// All probes of a scan.
#[derive(Debug)]
pub(super) struct Pace {
    probes: Vec<Probe>,
    /// Places in `probes` with the number of the attempt, to be asked next.
    due: VecDeque<(usize, u32)>,
    /// Asked, in order of time.
    waiting: VecDeque<(Instant, usize, u32)>,
    in_flight: usize,
    window: usize,
    smoothed: Option<(Duration, Duration)>,
    /// Losses before this were answered with a smaller window already.
    reduced: Instant,
    retries: u32,
    /// Since when there is no room to send.
    stuck: Option<Instant>,
    /// Probes that were answered, or not in time when asked first.
    tried: usize,
    answered: usize,
    /// Asked less often than they could be, for there are too many like them.
    set_aside: Vec<(usize, u32)>,
    pub(super) sent: u64,
}

impl Pace {
    pub(super) fn new(count: usize, retries: u32) -> Self {
        Self {
            probes: vec![Probe::Due; count],
            due: (0..count).map(|place| (place, 0)).collect(),
            waiting: VecDeque::new(),
            in_flight: 0,
            window: FIRST_WINDOW,
            smoothed: None,
            reduced: Instant::now(),
            retries,
            stuck: None,
            tried: 0,
            answered: 0,
            set_aside: Vec::new(),
            sent: 0,
        }
    }

    /// Whether a probe may be sent now.
    pub(super) fn may_send(&self) -> bool {
        !self.due.is_empty() && self.in_flight < self.window
    }

    /// The place of the next probe that may be sent now.
    pub(super) fn next(&mut self, now: Instant) -> Option<usize> {
        if !self.may_send() {
            return None;
        }
        let (place, attempt) = loop {
            let (place, attempt) = self.due.pop_front()?;
            // Unless its answer came late, but came.
            if self.probes[place] == Probe::Due {
                break (place, attempt);
            }
        };
        self.probes[place] = Probe::Waiting {
            attempt,
            since: now,
        };
        self.waiting
            .push_back((now + self.timeout(attempt), place, attempt));
        self.in_flight += 1;
        self.sent += 1;
        Some(place)
    }

    /// There was room to send.
    pub(super) fn has_sent(&mut self) {
        self.stuck = None;
    }

    /// There was no room to send it: it goes first when there is. `false` when there has been none for so long that it
    /// counts as lost.
    pub(super) fn not_sent(&mut self, place: usize, now: Instant) -> bool {
        if now - *self.stuck.get_or_insert(now) > STUCK {
            return false;
        }
        if let Some(Probe::Waiting { attempt, .. }) = self.probes.get(place).copied() {
            self.waiting.pop_back();
            self.due.push_front((place, attempt));
            self.probes[place] = Probe::Due;
            self.in_flight -= 1;
            self.sent -= 1;
        }
        true
    }

    /// Returns whether this is news.
    pub(super) fn answered(&mut self, place: usize, now: Instant) -> bool {
        let Some(probe) = self.probes.get_mut(place) else {
            return false;
        };
        let before = std::mem::replace(probe, Probe::Answered);
        match before {
            Probe::Answered => return false,
            // An answer that comes late is one all the same.
            Probe::Due | Probe::Silent => {}
            Probe::Waiting { attempt, since } => {
                self.in_flight -= 1;
                if attempt == 0 {
                    self.tried += 1;
                    self.window = (self.window + 1).min(*WINDOW.end());
                    self.measured(now.saturating_duration_since(since));
                } else if since > self.reduced && !self.is_mostly_silent() {
                    self.window = (self.window / 2).max(*WINDOW.start());
                    self.reduced = now;
                }
            }
        }
        self.answered += 1;
        true
    }

    /// When something is to be done next, if no answer comes before.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        while let Some(&(deadline, place, attempt)) = self.waiting.front() {
            if self.is_waiting(place, attempt) {
                return Some(deadline);
            }
            self.waiting.pop_front();
        }
        None
    }

    fn is_waiting(&self, place: usize, asked: u32) -> bool {
        matches!(self.probes[place], Probe::Waiting { attempt, .. } if attempt == asked)
    }

    /// Deals with probes that were not answered in time.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, place, attempt)) = self.waiting.front()
            && deadline <= now
        {
            self.waiting.pop_front();
            if !self.is_waiting(place, attempt) {
                continue;
            }
            self.in_flight -= 1;
            if attempt == 0 {
                self.tried += 1;
            }
            let for_silence = (self.timeout(0) * SILENT_RATE).as_secs() as usize;
            if self.window < for_silence {
                self.window += 1;
            }
            self.probes[place] = Probe::Silent;
            let is_last = attempt >= self.retries;
            if attempt > 0 && self.is_mostly_silent() && !is_last {
                self.set_aside.push((place, attempt + 1));
            } else if !is_last {
                self.ask_again(place, attempt + 1);
            }
        }
        // Those of a DUT that stood still for a while come to their right now that the others have answered.
        let are_exceptions = self.set_aside.len() <= FEW || !self.is_mostly_silent();
        if self.is_done() && are_exceptions {
            for (place, attempt) in std::mem::take(&mut self.set_aside) {
                if self.probes[place] == Probe::Silent {
                    self.ask_again(place, attempt);
                }
            }
        }
    }

    /// Behind all others: whatever was in the way has time to pass.
    fn ask_again(&mut self, place: usize, attempt: u32) {
        self.probes[place] = Probe::Due;
        self.due.push_back((place, attempt));
    }

    /// Whether so few answer that answers to repeated probes tell nothing of losses.
    fn is_mostly_silent(&self) -> bool {
        self.tried >= FEW && self.answered * 4 < self.tried
    }

    pub(super) fn is_done(&self) -> bool {
        self.due.is_empty() && self.in_flight == 0
    }

    /// Whether there are answers, but so few that the DUT limits how many it gives, or drops most of what comes.
    pub(super) fn is_limited(&self) -> bool {
        self.answered > 0 && self.is_mostly_silent()
    }

    /// Places that have not answered so far.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = usize> {
        let unanswered =
            |(place, probe): (usize, &Probe)| (*probe != Probe::Answered).then_some(place);
        self.probes.iter().enumerate().filter_map(unanswered)
    }

    /// Places that never answered.
    pub(super) fn silent(&self) -> impl Iterator<Item = usize> {
        let silent = |(place, probe): (usize, &Probe)| (*probe == Probe::Silent).then_some(place);
        self.probes.iter().enumerate().filter_map(silent)
    }

    fn timeout(&self, attempt: u32) -> Duration {
        if attempt >= self.retries {
            return LONGEST_TIMEOUT;
        }
        let base = self
            .smoothed
            .map_or(FIRST_TIMEOUT, |(mean, deviation)| mean + deviation * 4);
        base.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
    }

    fn measured(&mut self, time: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (time, time / 2),
            Some((mean, deviation)) => (
                mean * 7 / 8 + time / 8,
                deviation * 3 / 4 + mean.abs_diff(time) / 4,
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn asks_again_what_was_lost_and_gives_up_on_what_is_silent() {
        let mut pace = Pace::new(3, 2);
        let mut now = Instant::now();
        let mut asked = [0; 3];
        while !pace.is_done() {
            while let Some(place) = pace.next(now) {
                asked[place] += 1;
                // 0 answers at once, 1 to the second try, 2 never.
                if place == 0 || (place == 1 && asked[1] == 2) {
                    assert!(pace.answered(place, now));
                }
            }
            if let Some(deadline) = pace.deadline() {
                now = now.max(deadline);
            }
            pace.expire(now);
        }
        assert_eq!(asked, [1, 2, 3]);
        assert_eq!(pace.silent().collect::<Vec<_>>(), [2]);
        assert_eq!(pace.sent, 6);
    }

    #[test]
    fn a_late_answer_is_one_and_ends_the_asking() {
        let mut pace = Pace::new(1, 3);
        let now = Instant::now();
        assert_eq!(pace.next(now), Some(0));
        let late = pace.deadline().unwrap();
        pace.expire(late);
        assert!(pace.answered(0, late));
        assert_eq!(pace.next(late), None);
        assert!(pace.is_done() && pace.silent().count() == 0);
    }

    /// Asks `count` ports of a DUT, each of which answers after a millisecond or not at all, until it is done; how long
    /// that took.
    fn run(pace: &mut Pace, mut answers: impl FnMut(usize, Instant) -> bool) -> Duration {
        let begin = Instant::now();
        let mut now = begin;
        let mut coming = VecDeque::new();
        while !pace.is_done() {
            while let Some(place) = pace.next(now) {
                if answers(place, now) {
                    coming.push_back((now + Duration::from_millis(1), place));
                }
            }
            let answer = coming.front().map(|(at, _)| *at);
            let next = [answer, pace.deadline()].into_iter().flatten().min();
            now = now.max(next.expect("something is awaited"));
            while let Some((_, place)) = coming.pop_front_if(|(at, _)| *at <= now) {
                pace.answered(place, now);
            }
            pace.expire(now);
        }
        now - begin
    }

    #[rstest]
    #[case::nothing_answers(Duration::MAX)]
    #[case::one_refusal_a_second(Duration::from_secs(1))]
    #[case::two_hundred_refusals_a_second(Duration::from_millis(5))]
    fn a_dut_that_hardly_answers_takes_no_hours(#[case] between: Duration) {
        let mut pace = Pace::new(65_535, 4);
        let mut last: Option<Instant> = None;
        let mut refuses = |place, now: Instant| {
            let open = place == 443;
            let may = between < Duration::MAX && last.is_none_or(|last| now - last >= between);
            if may {
                last = Some(now);
            }
            may || open
        };
        let took = run(&mut pace, &mut refuses);
        assert!(took < Duration::from_secs(90), "{took:?}");
        assert!(pace.sent <= 2 * 65_535 + FEW as u64, "{}", pace.sent);
        assert!(!pace.silent().any(|place| place == 443));
    }

    #[test]
    fn few_silent_ones_among_others_are_asked_as_often_as_it_takes() {
        let mut pace = Pace::new(65_535, 4);
        let mut asked = 0;
        run(&mut pace, |place, _| {
            asked += u32::from(place == 7);
            place % 500 != 7
        });
        assert_eq!(asked, 5);
        assert!(pace.silent().eq((7..65_535).step_by(500)));
    }

    #[test]
    fn a_dut_that_stands_still_for_a_while_is_not_silent() {
        let mut pace = Pace::new(65_535, 4);
        let begin = Instant::now();
        let pause = Duration::from_millis(10)..Duration::from_secs(10);
        let took = run(&mut pace, |_, now| !pause.contains(&(now - begin)));
        assert!(took > pause.end, "{took:?}: it did not stand still");
        assert_eq!(pace.silent().count(), 0);
    }

    #[test]
    fn lost_probes_are_made_up_for() {
        let mut pace = Pace::new(65_535, 4);
        let mut number = 0_u32;
        run(&mut pace, |_, _| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            number >> 24 > 20
        });
        assert_eq!(pace.silent().count(), 0);
    }

    #[test]
    fn what_can_not_be_sent_for_long_is_lost() {
        let mut pace = Pace::new(2, 0);
        let begin = Instant::now();
        assert_eq!(pace.next(begin), Some(0));
        assert!(pace.not_sent(0, begin));
        assert_eq!(pace.next(begin), Some(0));
        let later = begin + 2 * STUCK;
        assert!(!pace.not_sent(0, later));
        pace.has_sent();
        assert_eq!(pace.next(later), Some(1));
        assert!(pace.not_sent(1, later));
        assert_eq!(pace.next(later), Some(1));
        pace.expire(later + 2 * LONGEST_TIMEOUT);
        assert!(pace.is_done());
    }

    #[test]
    fn never_has_more_on_the_way_than_the_window() {
        let mut pace = Pace::new(10_000, 1);
        let now = Instant::now();
        let sent = std::iter::from_fn(|| pace.next(now)).count();
        assert_eq!(sent, 64);
        assert!(pace.answered(0, now) && !pace.answered(0, now));
        assert_eq!(std::iter::from_fn(|| pace.next(now)).count(), 2);
    }
}
