//! When to ask which UDP port of a DUT that limits how often it refuses (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
//!
//! Linux refuses each of its peers once a second, after six at once (`icmp_ratelimit`), and all of them together a
//! thousand times a second. Whoever asks 65,535 ports from one address is answered for eighteen hours, and from 250 for
//! five minutes: the addresses of the DUT's subnet that nobody has are the bench's.
//!
//! A limit and a port that says nothing look alike. They are told apart by a control: the port that said nothing is asked
//! again, and with it, in the same moment and from the same address, one that was refused before. If only that one is
//! refused, the DUT would have refused the other one too; if none is, all are asked more slowly.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// At first, an address asks so often. Linux's limit.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(5);
/// How long an answer is waited for: several times as long as others take.
const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(250)..=Duration::from_secs(1);
const TIMES: u32 = 4;
/// So many controls have to show that a port is silent by itself: its answer, or the question, may have been lost.
const PROOFS: u32 = 2;
/// So many questions, at least, tell whether the interval is right.
const FEW: usize = 8;
/// One of so many that is not answered is no reason to ask less often.
const TOLERATED: usize = 8;
/// After this it can be told how long all will take.
const SETTLED: Duration = Duration::from_secs(30);
/// What is expected to take so many times the time that is left is not gone on with.
const HOPELESS: u32 = 3;

/// What an address is to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The port of that place.
    Port(usize),
    /// The same, and right after it one that was refused before.
    WithControl(usize),
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    place: usize,
    proofs: u32,
    has_control: bool,
    control_answered: bool,
    since: Instant,
    until: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ready: Instant,
    waiting: Option<Waiting>,
    /// A place that said nothing, and how many controls have shown that, to be asked again with one.
    doubt: Option<(usize, u32)>,
}

/// All questions of a slow scan.
#[derive(Debug)]
pub(super) struct Slow {
    queue: VecDeque<usize>,
    is_told: Vec<bool>,
    told: usize,
    silent: Vec<usize>,
    sources: Vec<Source>,
    interval: Duration,
    /// What answers take at most, these days.
    round_trip: Duration,
    /// The DUT's limit was met.
    is_limited: bool,
    /// Questions since the interval was looked at last, and those of them that the DUT would have answered, and did not.
    asked: usize,
    unanswered: usize,
    /// All addresses together ask evenly: a limit for all peers may allow few at once (Linux: 50).
    next: Instant,
    begin: Instant,
    end: Instant,
}

impl Slow {
    /// For `count` places, from so many addresses, within `limit`.
    pub(super) fn new(count: usize, sources: usize, limit: Duration, now: Instant) -> Self {
        let sources = sources.max(1);
        let spread = FIRST_INTERVAL / u32::try_from(sources).unwrap_or(u32::MAX);
        Self {
            queue: (0..count).collect(),
            is_told: vec![false; count],
            told: 0,
            silent: Vec::new(),
            sources: (0..sources)
                .map(|number| Source {
                    ready: now + spread * u32::try_from(number).unwrap_or_default(),
                    waiting: None,
                    doubt: None,
                })
                .collect(),
            interval: FIRST_INTERVAL,
            round_trip: *TIMEOUT.end() / TIMES,
            is_limited: false,
            asked: 0,
            unanswered: 0,
            next: now,
            begin: now,
            end: now + limit,
        }
    }

    /// What is to be asked now, and from which address.
    pub(super) fn next(&mut self, now: Instant) -> Option<(usize, Ask)> {
        if now < self.next {
            return None;
        }
        self.forget_told();
        let has_work = !self.queue.is_empty();
        let may_ask = |source: &Source| {
            source.waiting.is_none() && source.ready <= now && (has_work || source.doubt.is_some())
        };
        let number = self.sources.iter().position(may_ask)?;
        let doubt = self.sources[number].doubt.take();
        let (place, proofs) = match doubt {
            Some(doubt) => doubt,
            None => (self.queue.pop_front()?, 0),
        };
        let sources = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        let packets = if doubt.is_some() { 2 } else { 1 };
        self.next = now + self.interval / sources * packets;
        let source = &mut self.sources[number];
        source.ready = now + self.interval;
        source.waiting = Some(Waiting {
            place,
            proofs,
            has_control: doubt.is_some(),
            control_answered: false,
            since: now,
            until: now + (self.round_trip * TIMES).clamp(*TIMEOUT.start(), *TIMEOUT.end()),
        });
        let ask = match doubt {
            Some(_) => Ask::WithControl(place),
            None => Ask::Port(place),
        };
        Some((number, ask))
    }

    /// An answer that came late is one all the same.
    fn forget_told(&mut self) {
        while self.queue.front().is_some_and(|place| self.is_told[*place]) {
            self.queue.pop_front();
        }
        for source in &mut self.sources {
            source.doubt = source.doubt.filter(|(place, _)| !self.is_told[*place]);
        }
    }

    /// A port has answered that address, or was refused. Returns whether this is news.
    pub(super) fn port_answered(&mut self, source: usize, place: usize, now: Instant) -> bool {
        let waiting = &mut self.sources[source].waiting;
        if let Some(asked) = waiting.take_if(|asked| asked.place == place) {
            self.measured(now.saturating_duration_since(asked.since));
            // One that answers only when it is asked again was held back by the limit before.
            self.learn(!asked.has_control);
        }
        let is_news = !self.is_told[place];
        if is_news {
            self.tell(place);
        }
        is_news
    }

    /// The control of that address was refused.
    pub(super) fn control_answered(&mut self, source: usize, now: Instant) {
        let Some(asked) = &mut self.sources[source].waiting else {
            return;
        };
        if asked.has_control {
            asked.control_answered = true;
            let since = asked.since;
            self.measured(now.saturating_duration_since(since));
        }
    }

    /// The place that this address asked last and that has not answered.
    pub(super) fn awaited(&self, source: usize) -> Option<usize> {
        self.sources[source].waiting.map(|asked| asked.place)
    }

    /// Deals with what was not answered in time.
    pub(super) fn expire(&mut self, now: Instant) {
        for number in 0..self.sources.len() {
            let waiting = &mut self.sources[number].waiting;
            let Some(asked) = waiting.take_if(|asked| asked.until <= now) else {
                continue;
            };
            let (place, proofs) = (asked.place, asked.proofs);
            if self.is_told[place] {
                continue;
            }
            match (asked.has_control, asked.control_answered) {
                (false, _) => self.sources[number].doubt = Some((place, 0)),
                (true, false) => {
                    self.queue.push_back(place);
                    self.learn(false);
                }
                (true, true) if proofs + 1 < PROOFS => {
                    self.learn(true);
                    self.sources[number].doubt = Some((place, proofs + 1));
                }
                (true, true) => {
                    self.learn(true);
                    self.tell(place);
                    self.silent.push(place);
                }
            }
        }
    }

    fn tell(&mut self, place: usize) {
        self.is_told[place] = true;
        self.told += 1;
    }

    fn measured(&mut self, time: Duration) {
        self.round_trip = time.max(self.round_trip.mul_f64(0.99));
    }

    /// Whether the DUT has answered where it would: how often it is to be asked follows from how often it does.
    fn learn(&mut self, is_answered: bool) {
        self.asked += 1;
        self.unanswered += usize::from(!is_answered);
        if self.asked < self.sources.len().max(FEW) {
            return;
        }
        let factor = match (self.unanswered * TOLERATED > self.asked, self.is_limited) {
            // At first the limit was met long before it showed: what had been saved up was used up first.
            (true, false) => 4.0,
            (true, true) => 1.15,
            (false, false) => 0.7,
            (false, true) => 0.98,
        };
        self.is_limited |= self.unanswered * TOLERATED > self.asked;
        let interval = self.interval.mul_f64(factor);
        self.interval = interval.clamp(*INTERVAL.start(), *INTERVAL.end());
        (self.asked, self.unanswered) = (0, 0);
    }

    /// When something is to be done next, if no answer comes before.
    pub(super) fn deadline(&self) -> Instant {
        if self.told == self.is_told.len() {
            return self.begin;
        }
        let has_work = !self.queue.is_empty();
        let next = self
            .sources
            .iter()
            .filter_map(|source| match source.waiting {
                Some(asked) => Some(asked.until),
                None => (source.doubt.is_some() || has_work).then_some(source.ready),
            });
        let until = self.sources.iter().filter_map(|source| source.waiting);
        let until = until.map(|asked| asked.until).min();
        let next = next.min().map(|next| next.max(self.next));
        [next, until]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.end)
            .min(self.end)
    }

    /// Whether all is told, or time is over, or will be long before all is.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        let left = self.is_told.len() - self.told;
        if left == 0 || now >= self.end {
            return true;
        }
        let passed = now.saturating_duration_since(self.begin);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let told = u32::try_from(self.told.max(1)).unwrap_or(u32::MAX);
        let needed = passed.saturating_mul(left) / told;
        let there_is = self.end.saturating_duration_since(now);
        passed > SETTLED && needed > there_is * HOPELESS
    }

    /// Places that said nothing although the DUT would have refused them.
    pub(super) fn silent(&self) -> &[usize] {
        &self.silent
    }

    /// Places of which nothing is known.
    pub(super) fn untold(&self) -> impl Iterator<Item = usize> {
        let told = self.is_told.iter().enumerate();
        told.filter_map(|(place, is_told)| (!is_told).then_some(place))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CONTROL: usize = usize::MAX;

    /// A bucket of tokens, one more every so often.
    struct Bucket {
        most: f64,
        each: Duration,
        has: f64,
        at: Instant,
    }

    impl Bucket {
        fn new(most: f64, each: Duration, at: Instant) -> Self {
            Self {
                most,
                each,
                has: most,
                at,
            }
        }

        fn take(&mut self, now: Instant) -> bool {
            let more = (now - self.at).as_secs_f64() / self.each.as_secs_f64();
            self.has = (self.has + more).min(self.most);
            self.at = now;
            let may = self.has >= 1.0;
            if may {
                self.has -= 1.0;
            }
            may
        }
    }

    /// Asks a DUT, which answers at once or not at all; how long that took.
    fn run(slow: &mut Slow, mut answers: impl FnMut(usize, usize, Instant) -> bool) -> Duration {
        let begin = slow.begin;
        let mut now = begin;
        while !slow.is_done(now) {
            while let Some((source, ask)) = slow.next(now) {
                let (Ask::Port(place) | Ask::WithControl(place)) = ask;
                if answers(source, place, now) {
                    slow.port_answered(source, place, now);
                }
                let has_control = matches!(ask, Ask::WithControl(_));
                if has_control && answers(source, CONTROL, now) {
                    slow.control_answered(source, now);
                }
            }
            now = slow.deadline().max(now + Duration::from_millis(1));
            slow.expire(now);
        }
        now - begin
    }

    /// `icmp_ratelimit`, `XRLIM_BURST_FACTOR`, `icmp_msgs_per_sec`, `icmp_msgs_burst`; for IPv6 on a subnet of 64 bits.
    #[rstest]
    #[case::linux(Duration::from_secs(1), Duration::from_secs(400))]
    #[case::linux_for_ipv6(Duration::from_millis(250), Duration::from_secs(200))]
    #[case::no_limit(Duration::from_nanos(1), Duration::from_mins(2))]
    fn all_ports_are_told_at_the_duts_own_rate(#[case] each: Duration, #[case] limit: Duration) {
        let now = Instant::now();
        let mut slow = Slow::new(65_535, 250, limit, now);
        let mut peers: Vec<Bucket> = (0..250).map(|_| Bucket::new(6.0, each, now)).collect();
        let mut all = Bucket::new(50.0, Duration::from_millis(1), now);
        let silent = [7, 5683, 48_101];
        let took = run(&mut slow, |source, place, now| {
            !silent.contains(&place) && all.take(now) && peers[source].take(now)
        });
        let mut found = slow.silent().to_vec();
        found.sort_unstable();
        assert_eq!(slow.untold().count(), 0, "{took:?}, {:?}", slow.interval);
        assert_eq!(found, silent, "{took:?}");
        eprintln!("{took:?}");
    }

    /// One refusal in half a second, whoever asks: eighteen hours would not do. That is found out soon, and said.
    #[test]
    fn what_would_take_hours_is_given_up_and_untold() {
        let now = Instant::now();
        let mut slow = Slow::new(65_535, 250, Duration::from_secs(400), now);
        let mut all = Bucket::new(1.0, Duration::from_millis(500), now);
        let took = run(&mut slow, |_, _, now| all.take(now));
        assert!(took < Duration::from_mins(1), "{took:?}");
        assert!(slow.untold().count() > 60_000);
        assert_eq!(slow.silent(), [0; 0], "none is silent for sure");
    }

    /// A firewall drops what is for most ports; others are refused as often as they are asked.
    #[test]
    fn ports_that_are_dropped_are_silent_by_themselves() {
        let mut slow = Slow::new(20_000, 250, Duration::from_secs(400), Instant::now());
        let took = run(&mut slow, |_, place, _| {
            place == CONTROL || place % 100 == 0
        });
        assert_eq!(slow.untold().count(), 0, "{took:?}");
        assert_eq!(slow.silent().len(), 19_800);
    }

    #[test]
    fn few_are_told_from_one_address() {
        let now = Instant::now();
        let mut slow = Slow::new(3, 1, Duration::from_mins(1), now);
        let mut peer = Bucket::new(6.0, Duration::from_secs(1), now);
        peer.has = 0.0;
        let took = run(&mut slow, |_, place, now| place != 1 && peer.take(now));
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert_eq!(slow.silent(), [1]);
        assert_eq!(slow.untold().count(), 0);
    }

    /// Its late answer is one all the same.
    #[test]
    fn a_late_answer_tells() {
        let now = Instant::now();
        let mut slow = Slow::new(1, 1, Duration::from_mins(1), now);
        assert_eq!(slow.next(now), Some((0, Ask::Port(0))));
        let late = now + 2 * *TIMEOUT.end();
        slow.expire(late);
        assert_eq!(slow.next(late), Some((0, Ask::WithControl(0))));
        slow.control_answered(0, late);
        assert!(slow.port_answered(0, 0, late) && slow.is_done(late));
        assert!(!slow.port_answered(0, 0, late));
        assert_eq!(slow.silent(), [0; 0]);
    }
}
