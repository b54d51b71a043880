//! The thread that moves every frame between the DUT's cable and the bench's interface.
//!
//! Frames are taken by the batch, passed on, then recorded and looked into one by one. All of that happens under one lock,
//! so whoever has seen a frame's effect and then asks for the record finds it there; and once [`Shared::set_link`] returns,
//! no frame passes.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, PipeReader, Read as _},
    os::fd::AsFd as _,
    pin::pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde::Serialize;
use tokio::sync::Notify;

use crate::{
    batch::{self, Inbox, LONGEST, Outbox},
    capture::Capture,
    flood::Rate,
    flow::Index,
    impair::{Fate, Impairment, Treatment},
    losses::Loss,
    medium::{Medium, Wire},
    plan::Direction,
};

/// The largest frame without jumbo frames: header, VLAN tag, 1500 bytes.
const LARGEST: usize = 1518;
/// Frames that are held back at the same time.
const MOST_DELAYED: usize = 16 * 1024;
const YEAR: Duration = Duration::from_hours(365 * 24);

/// What became of the frames of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames that were sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Not passed on: the link was down.
    pub link_down: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Delivered twice on purpose.
    pub duplicated: u64,
    /// Delivered with one bit wrong, on purpose.
    pub corrupted: u64,
    /// Held back on purpose.
    pub delayed: u64,
    /// Not passed on: longer than Ethernet allows. Looked into like all others.
    pub oversize: u64,
    /// Not seen to their end: longer than 64 KiB, or several in one that the kernel can't describe.
    pub cut: u64,
    /// Not delivered: the receiver's queue was full (a DUT without power takes nothing).
    pub undelivered: u64,
    /// Never seen: they came faster than they could be dealt with.
    pub missed: u64,
}

/// Counts of both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traffic {
    /// Frames of the DUT.
    pub from_dut: Counts,
    /// Frames to the DUT.
    pub to_dut: Counts,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    due: Instant,
    /// Keeps the order of those that are due together.
    number: u64,
    direction: Direction,
    frame: Vec<u8>,
}

/// What the thread and its owner share.
#[derive(Debug)]
pub(super) struct State {
    link: bool,
    treatments: [Treatment; 2],
    counts: [Counts; 2],
    delayed: BinaryHeap<Reverse<Delayed>>,
    number: u64,
    pub(super) capture: Option<Capture>,
    pub(super) index: Index,
    /// When the bench's own interface was last seen to be down.
    pub(super) was_down: Option<Instant>,
    /// How fast frames of the DUT come.
    rate: Rate,
    /// How fast they are lost before they come here.
    port_rate: Rate,
    /// How often somebody asked for all frames that were there, and which of these questions are answered.
    asked: u64,
    settled: u64,
    /// Why the thread has ended.
    pub(super) ended: Option<String>,
}

/// [`State`] behind its lock.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    settled: Condvar,
    /// Frames were looked at.
    news: Notify,
}

impl Shared {
    pub(super) fn new(capture: Option<Capture>, index: Index) -> Self {
        let treatment = |direction| Treatment::new(Impairment::default(), direction);
        let state = State {
            link: true,
            treatments: [treatment(Direction::FromDut), treatment(Direction::ToDut)],
            counts: [Counts::default(); 2],
            delayed: BinaryHeap::new(),
            number: 0,
            capture,
            index,
            was_down: None,
            rate: Rate::since(Instant::now()),
            port_rate: Rate::since(Instant::now()),
            asked: 0,
            settled: 0,
            ended: None,
        };
        Self {
            state: Mutex::new(state),
            settled: Condvar::new(),
            news: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all frames that are there now have been looked at, which `nudge` wakes the thread for. What came so
    /// fast that this takes longer than `limit` counts as a loss.
    pub(super) fn settle(&self, limit: Duration, nudge: impl FnOnce()) {
        let mut state = self.lock();
        state.asked += 1;
        let question = state.asked;
        drop(state);
        nudge();
        let is_open = |state: &mut State| state.settled < question && state.ended.is_none();
        let waited = self.settled.wait_timeout_while(self.lock(), limit, is_open);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let losses = &mut state.index.losses;
            losses.add(Loss::FramesLate, Instant::now(), 1);
        }
    }

    /// Waits until what was seen is enough; looks whenever frames have come.
    pub(super) async fn until(&self, mut is_enough: impl FnMut(&State) -> bool) {
        loop {
            let mut news = pin!(self.news.notified());
            // What comes from here on is not missed.
            news.as_mut().enable();
            if is_enough(&self.lock()) {
                return;
            }
            news.await;
        }
    }

    pub(super) fn set_link(&self, up: bool) {
        let mut state = self.lock();
        state.link = up;
        // What was on its way is gone too.
        if !up {
            for Reverse(frame) in std::mem::take(&mut state.delayed) {
                state.counts[frame.direction.slot()].link_down += 1;
            }
        }
    }

    pub(super) fn link(&self) -> bool {
        self.lock().link
    }

    pub(super) fn impair(&self, impairment: Impairment) {
        let mut state = self.lock();
        state.treatments = [Direction::FromDut, Direction::ToDut]
            .map(|direction| Treatment::new(impairment, direction));
    }

    pub(super) fn traffic(&self) -> Traffic {
        let state = self.lock();
        Traffic {
            from_dut: state.counts[0],
            to_dut: state.counts[1],
        }
    }
}

/// The two ends, and what ends the thread.
pub(super) struct Ends {
    /// What the DUT is on.
    pub(super) medium: Arc<dyn Medium>,
    /// The raw end of the bench's interface.
    pub(super) wire: Wire,
    /// Closed at the other side, the thread ends; whatever comes there wakes it.
    pub(super) stop: PipeReader,
}

impl Ends {
    fn of(&self, direction: Direction) -> (&dyn Medium, &dyn Medium) {
        match direction {
            Direction::FromDut => (&*self.medium, &self.wire),
            Direction::ToDut => (&self.wire, &*self.medium),
        }
    }
}

/// Moves frames until told to stop.
pub(super) fn run(ends: &Ends, shared: &Shared) {
    let outcome = move_frames(ends, shared);
    let mut state = shared.lock();
    state.flush();
    state.ended = Some(match outcome {
        Ok(()) => "it was told to stop".into(),
        Err(error) => error.to_string(),
    });
}

/// Where frames are while they are dealt with.
struct Hands {
    inboxes: [Inbox; 2],
    outbox: Outbox,
}

fn move_frames(ends: &Ends, shared: &Shared) -> io::Result<()> {
    let inbox = |direction| Inbox::new(ends.of(direction).0.form());
    let mut hands = Hands {
        inboxes: [Direction::FromDut, Direction::ToDut].map(inbox),
        outbox: Outbox::new(),
    };
    loop {
        let (next_due, is_open) = {
            let state = shared.lock();
            let next_due = state.delayed.peek().map(|Reverse(next)| next.due);
            (next_due, state.asked > state.settled)
        };
        let limit = next_due.map_or(PollTimeout::NONE, |due| {
            let wait = due.saturating_duration_since(Instant::now());
            // Poll counts in milliseconds; never too early, else this would spin.
            let wait = wait.saturating_add(Duration::from_micros(999)).as_millis();
            PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
        });
        // Whoever asks for all that is there is answered even if no more comes.
        let limit = if is_open { PollTimeout::ZERO } else { limit };
        let mut fds = [ends.medium.as_fd(), ends.wire.as_fd(), ends.stop.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [medium, wire, stop] = fds.map(|fd| fd.any() == Some(true));
        if stop && (&ends.stop).read(&mut [0; 64])? == 0 {
            return Ok(());
        }
        let mut state = shared.lock();
        let (asked, is_open) = (state.asked, state.asked > state.settled);
        let mut is_settled = true;
        if medium || is_open {
            is_settled &= state.pass(ends, Direction::FromDut, &mut hands, is_open)?;
        }
        if wire || is_open {
            is_settled &= state.pass(ends, Direction::ToDut, &mut hands, is_open)?;
        }
        if is_open && is_settled {
            state.settled = asked;
            shared.settled.notify_all();
        }
        state.release(ends, &mut hands.outbox);
        state.flush();
        drop(state);
        shared.news.notify_waiters();
    }
}

/// What becomes of a frame.
#[derive(Debug, Default)]
struct Passing {
    /// Sooner or later, as far as the bench is concerned.
    arrives: bool,
    /// To be passed on now, so often.
    copies: usize,
    /// What is passed on instead of it.
    changed: Option<Vec<u8>>,
    remarks: Vec<Cow<'static, str>>,
}

impl Passing {
    fn stopped(remark: &'static str) -> Self {
        Self {
            remarks: vec![remark.into()],
            ..Self::default()
        }
    }
}

impl State {
    /// Hands over what was captured, and counts what could not be.
    pub(super) fn flush(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.flush();
            for (loss, at, count) in capture.losses.drain(..) {
                self.index.losses.add(loss, at, count);
            }
        }
    }

    /// Deals with some frames of one direction; whether it is known that there was none left. To know takes one more
    /// look, which `is_asked` for.
    fn pass(
        &mut self,
        ends: &Ends,
        direction: Direction,
        hands: &mut Hands,
        is_asked: bool,
    ) -> io::Result<bool> {
        let (from, _) = ends.of(direction);
        let sent = self.counts[direction.slot()].sent;
        let Hands { inboxes, outbox } = hands;
        let inbox = &mut inboxes[direction.slot()];
        let (mut is_empty, mut dealt_with) = (false, 0);
        while dealt_with < batch::MOST {
            match inbox.take(from.as_fd()) {
                Ok(count) => {
                    self.frames(ends, direction, inbox, outbox);
                    dealt_with += count;
                    if count < batch::MOST && !is_asked {
                        break;
                    }
                    continue;
                }
                Err(Errno::EAGAIN) => {
                    is_empty = true;
                    break;
                }
                // Nobody but the bench switches that one.
                Err(Errno::ENETDOWN) if direction == Direction::ToDut => {
                    self.was_down = Some(Instant::now());
                }
                // The DUT's interface or the cable's other end is away for now.
                Err(Errno::EINTR | Errno::ENETDOWN | Errno::ECONNRESET | Errno::ECONNREFUSED) => {}
                // The kernel can't describe what it has there: several frames in one, of a rare protocol.
                Err(Errno::EINVAL) => {
                    self.counts[direction.slot()].oversize += 1;
                    self.cut(direction, Instant::now());
                }
                Err(errno) => return Err(errno.into()),
            }
            dealt_with += 1;
        }
        let missed = u64::from(from.missed()?);
        self.counts[direction.slot()].missed += missed;
        // What the bench sent and was not taken never reached the cable.
        if direction == Direction::FromDut {
            let taken = self.counts[direction.slot()].sent - sent;
            self.missed(Instant::now(), taken, missed);
        }
        Ok(is_empty)
    }

    /// So many frames of the DUT were taken since the last time, and so many missed.
    fn missed(&mut self, at: Instant, taken: u64, missed: u64) {
        self.rate.count(at, taken + missed);
        self.add_missed(at, missed);
    }

    /// So many never came as far as this since the last time.
    pub(super) fn missed_by_port(&mut self, at: Instant, missed: u64) {
        self.port_rate.count(at, missed);
        self.add_missed(at, missed);
    }

    fn add_missed(&mut self, at: Instant, missed: u64) {
        let is_flood = self.rate.is_flood() || self.port_rate.is_flood();
        let loss = if is_flood {
            Loss::FramesFlooded
        } else {
            Loss::FramesMissed
        };
        self.index.losses.add(loss, at, missed);
    }

    /// There is more to a frame than is seen.
    fn cut(&mut self, direction: Direction, at: Instant) {
        self.counts[direction.slot()].cut += 1;
        if direction == Direction::FromDut {
            self.index.losses.add(Loss::FramesCut, at, 1);
        }
    }

    /// Passes on, records and looks into what was taken.
    fn frames(&mut self, ends: &Ends, direction: Direction, inbox: &Inbox, outbox: &mut Outbox) {
        let mut passings: Vec<Passing> = inbox
            .frames()
            .map(|(at, frame)| self.passing(direction, frame, at))
            .collect();
        let (mut places, mut delivered) = (Vec::new(), Vec::new());
        for (place, (passing, (_, frame))) in passings.iter().zip(inbox.frames()).enumerate() {
            let frame = passing.changed.as_deref().unwrap_or(frame);
            for _ in 0..passing.copies {
                places.push(place);
                delivered.push(frame);
            }
        }
        let refused = self.hand_over(ends, direction, &delivered, outbox);
        for number in refused {
            let remark = "not delivered: the receiver's queue is full";
            passings[places[number]].remarks.push(remark.into());
        }
        for (passing, (at, frame)) in passings.iter().zip(inbox.frames()) {
            if let Some(capture) = &mut self.capture {
                let remark = (!passing.remarks.is_empty()).then(|| passing.remarks.join("; "));
                capture.record(at, direction, frame, remark.as_deref());
                for (loss, at, count) in capture.losses.drain(..) {
                    self.index.losses.add(loss, at, count);
                }
            }
            // What the DUT says counts whether or not it is heard.
            if passing.arrives || (direction == Direction::FromDut && self.link) {
                self.index.frame(at, direction, frame);
            }
        }
    }

    fn passing(&mut self, direction: Direction, frame: &[u8], at: Instant) -> Passing {
        if frame.len() > LONGEST {
            self.cut(direction, at);
        }
        let counts = &mut self.counts[direction.slot()];
        counts.sent += 1;
        counts.bytes += frame.len() as u64;
        if frame.len() > LARGEST {
            counts.oversize += 1;
            return Passing::stopped("not passed on: longer than Ethernet allows");
        }
        if !self.link {
            counts.link_down += 1;
            return Passing::stopped("not passed on: the link is down");
        }
        match self.treatments[direction.slot()].next(frame.len()) {
            Fate::Lost => {
                counts.lost += 1;
                Passing::stopped("lost on purpose")
            }
            Fate::Delivered {
                delay,
                copies,
                flipped,
            } => self.treated(direction, frame, at, (delay, copies, flipped)),
        }
    }

    fn treated(
        &mut self,
        direction: Direction,
        frame: &[u8],
        at: Instant,
        (delay, copies, flipped): (Duration, usize, Option<usize>),
    ) -> Passing {
        let counts = &mut self.counts[direction.slot()];
        let mut passing = Passing {
            arrives: true,
            ..Passing::default()
        };
        if let Some(bit) = flipped {
            counts.corrupted += 1;
            let remark = format!("bit {bit} turned over on purpose");
            passing.remarks.push(remark.into());
            let mut changed = frame.to_vec();
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            passing.changed = Some(changed);
        }
        if copies > 1 {
            counts.duplicated += 1;
            passing.remarks.push("delivered twice on purpose".into());
        }
        if delay.is_zero() {
            passing.copies = copies;
        } else if self.delayed.len() + copies > MOST_DELAYED {
            counts.undelivered += 1;
            let remark = "not delivered: too many frames are held back";
            passing.remarks.push(remark.into());
        } else {
            counts.delayed += 1;
            let remark = format!("held back {delay:?} on purpose");
            passing.remarks.push(remark.into());
            for _ in 0..copies {
                self.number += 1;
                self.delayed.push(Reverse(Delayed {
                    // What is for ever is as good as a year.
                    due: at.checked_add(delay).unwrap_or(at + YEAR),
                    number: self.number,
                    direction,
                    frame: passing.changed.as_deref().unwrap_or(frame).to_vec(),
                }));
            }
        }
        passing
    }

    /// Delivers what has been held back long enough.
    fn release(&mut self, ends: &Ends, outbox: &mut Outbox) {
        let now = Instant::now();
        while let Some(Reverse(next)) = self.delayed.peek()
            && next.due <= now
        {
            let Some(Reverse(next)) = self.delayed.pop() else {
                return;
            };
            self.hand_over(ends, next.direction, &[&next.frame], outbox);
        }
    }

    /// As a switch does: what the receiver has no room for is gone. Tells which those are.
    fn hand_over(
        &mut self,
        ends: &Ends,
        direction: Direction,
        frames: &[&[u8]],
        outbox: &mut Outbox,
    ) -> Vec<usize> {
        let (_, to) = ends.of(direction);
        let mut refused = Vec::new();
        outbox.pass((to.as_fd(), to.form()), frames, |place, errno| {
            refused.push(place);
            let is_own = direction == Direction::FromDut;
            if let (true, Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) = (is_own, errno) {
                self.was_down = Some(Instant::now());
            }
        });
        self.counts[direction.slot()].undelivered += refused.len() as u64;
        refused
    }
}
