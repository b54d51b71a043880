//! What the bench did not see of what the DUT did, or did not keep: nobody may take it for absent.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;

/// A kind of things that were not seen, or not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Frames of the DUT that came faster than they could be taken.
    FramesMissed,
    /// The same while the DUT sent so many that nobody could be asked to take them.
    FramesFlooded,
    /// Times at which frames had waited for seconds to be looked at.
    FramesLate,
    /// Frames of the DUT that can't be read to their end: longer than any Ethernet has them.
    FramesCut,
    /// Fragments of the DUT's IP packets: each is searched by itself only.
    FragmentsNotJoined,
    /// Frames that could not be written to the capture.
    FramesNotCaptured,
    /// Frames that had to be deleted from the capture, which is bounded.
    CapturedFramesDeleted,
    /// Frames of flows for which there was no room.
    FramesInNoFlow,
    /// Flows of the DUT that were taken out to make room.
    FlowsForgotten,
    /// Parts of TCP streams of the DUT that never came.
    GapsInStreams,
    /// TCP streams that were not looked into any further, for lack of room.
    StreamsNotFollowed,
    /// Contents of the DUT's HTTP messages and WebSockets that are packed in a way that can't be undone, or in too much.
    ContentsPacked,
    /// Messages to name servers that can't be read.
    NamesNotRead,
    /// Questions for names, and addresses given for them, for which there was no room.
    NamesNotKept,
    /// Places of watched texts for which there was no room.
    HitsNotKept,
    /// Addresses that the DUT says it has, for which there was no room.
    AddressesNotKept,
    /// Records of services that were dropped, oldest first.
    RecordsDropped,
    /// What services were told, and did not read or keep to its end.
    ContentsCut,
    /// Answers to the bench's own questions that are longer than what is kept.
    AnswersCut,
    /// Requests of the bench that a kept connection of the DUT has left without an answer.
    ConnectionsLost,
    /// Ports of the DUT of which a scan does not know whether they are open: packets were lost, or nobody was there.
    PortsNotTold,
}

impl Loss {
    /// Whether the bench was too slow, so that another attempt may do better. Other limits are reached by what the DUT
    /// does, and would be again.
    pub fn is_bench_fault(self) -> bool {
        matches!(
            self,
            Self::FramesMissed | Self::FramesLate | Self::FramesNotCaptured
        )
    }

    /// The word for it in reports: as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::FramesMissed => "frames-missed",
            Self::FramesFlooded => "frames-flooded",
            Self::FramesLate => "frames-late",
            Self::FramesCut => "frames-cut",
            Self::FragmentsNotJoined => "fragments-not-joined",
            Self::FramesNotCaptured => "frames-not-captured",
            Self::CapturedFramesDeleted => "captured-frames-deleted",
            Self::FramesInNoFlow => "frames-in-no-flow",
            Self::FlowsForgotten => "flows-forgotten",
            Self::GapsInStreams => "gaps-in-streams",
            Self::StreamsNotFollowed => "streams-not-followed",
            Self::ContentsPacked => "contents-packed",
            Self::NamesNotRead => "names-not-read",
            Self::NamesNotKept => "names-not-kept",
            Self::HitsNotKept => "hits-not-kept",
            Self::AddressesNotKept => "addresses-not-kept",
            Self::RecordsDropped => "records-dropped",
            Self::ContentsCut => "contents-cut",
            Self::AnswersCut => "answers-cut",
            Self::ConnectionsLost => "connections-lost",
            Self::PortsNotTold => "ports-not-told",
        }
    }
}

/// How many of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Losses(BTreeMap<Loss, u64>);

impl Losses {
    /// Whether everything was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind of which there is any.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        self.0.iter().map(|(loss, count)| (*loss, *count))
    }

    /// So many more of a kind.
    pub fn add(&mut self, loss: Loss, count: u64) {
        if count > 0 {
            *self.0.entry(loss).or_default() += count;
        }
    }

    /// The larger figure of each kind: both tell of the same time.
    pub fn join(&mut self, other: &Self) {
        for (loss, count) in other.iter() {
            let known = self.0.entry(loss).or_default();
            *known = count.max(*known);
        }
    }

    /// What has come since these were all.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = self.iter().map(|(loss, count)| {
            let known = before.0.get(&loss).copied().unwrap_or_default();
            (loss, count.saturating_sub(known))
        });
        Self(more.filter(|(_, count)| *count > 0).collect())
    }

    /// Of these kinds only.
    #[must_use]
    pub fn of(mut self, kinds: &[Loss]) -> Self {
        self.0.retain(|loss, _| kinds.contains(loss));
        self
    }
}

/// `frames missed: 1200, gaps in streams: 3`.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (loss, count)) in self.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{}: {count}", loss.word().replace('-', " "))?;
        }
        Ok(())
    }
}

/// Losses that are so near to each other are told together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Of each kind, times that are told apart. A run of a day with losses all the time has one each 20 seconds.
const MOST_TIMES: usize = 4096;

/// What was lost when.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    total: Losses,
    times: BTreeMap<Loss, Vec<(Instant, u64)>>,
}

impl Ledger {
    /// So many were lost; what it was about is not later than `at`.
    pub(super) fn add(&mut self, loss: Loss, at: Instant, count: u64) {
        if count == 0 {
            return;
        }
        self.total.add(loss, count);
        let times = self.times.entry(loss).or_default();
        if let Some((last, known)) = times.last_mut()
            && at.saturating_duration_since(*last) < TOGETHER
        {
            *last = at.max(*last);
            *known += count;
            return;
        }
        if times.len() >= MOST_TIMES {
            // Neighbours become one, at the later of both times.
            let joined = times.chunks(2).map(|pair| {
                let at = pair.iter().map(|(at, _)| *at).max();
                (at.unwrap_or(pair[0].0), pair.iter().map(|(_, n)| n).sum())
            });
            *times = joined.collect();
        }
        times.push((at, count));
    }

    /// All so far.
    pub(super) fn total(&self) -> &Losses {
        &self.total
    }

    /// What was lost at that time or later.
    pub(super) fn since(&self, when: Instant) -> Losses {
        let mut losses = Losses::default();
        for (loss, times) in &self.times {
            for (_, count) in times.iter().filter(|(at, _)| *at >= when) {
                losses.add(*loss, *count);
            }
        }
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_known_for_each_time() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut ledger = Ledger::default();
        ledger.add(Loss::FramesMissed, at(1), 5);
        ledger.add(Loss::FramesMissed, at(3), 7);
        ledger.add(Loss::FramesMissed, at(3), 1);
        ledger.add(Loss::HitsNotKept, at(2), 0);
        assert_eq!(ledger.total().to_string(), "frames missed: 13");
        assert_eq!(ledger.since(at(2)).to_string(), "frames missed: 8");
        assert!(ledger.since(at(4)).is_empty());
    }

    #[test]
    fn a_flood_of_losses_takes_little_room_and_none_becomes_earlier() {
        let begin = Instant::now();
        let at = |number: u32| begin + 2 * TOGETHER * number;
        let mut ledger = Ledger::default();
        for number in 0..100_000 {
            ledger.add(Loss::FramesMissed, at(number), 1);
        }
        assert!(ledger.times[&Loss::FramesMissed].len() <= MOST_TIMES);
        let all = Losses([(Loss::FramesMissed, 100_000)].into());
        assert_eq!(ledger.since(begin), all);
        let late: u64 = ledger.since(at(90_000)).iter().map(|(_, n)| n).sum();
        assert!((10_000..15_000).contains(&late), "{late}");
    }

    #[test]
    fn words_are_those_of_json() {
        let losses = Losses([(Loss::FragmentsNotJoined, 1), (Loss::NamesNotKept, 2)].into());
        let json = serde_json::to_value(&losses).unwrap();
        for (loss, count) in losses.iter() {
            assert_eq!(json[loss.word()], count);
        }
    }
}
