//! What the bench did not see of what a unit asked about: absence is then not proven, and the unit can't PASS.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::stop::Stop;
use provebench_network::Network;
use provebench_network::losses::{Loss, Losses};

/// Losses that matter to whoever asks whom the DUT called.
pub(super) const CALLS: &[Loss] = &[
    Loss::FramesMissed,
    Loss::FramesFlooded,
    Loss::FramesLate,
    Loss::FramesCut,
    Loss::FragmentsNotJoined,
    Loss::FramesNotCaptured,
    Loss::CapturedFramesDeleted,
    Loss::FramesInNoFlow,
    Loss::FlowsForgotten,
];
/// To whoever asks what was said in these calls, beside that.
pub(super) const WITHIN_CALLS: &[Loss] = &[
    Loss::GapsInStreams,
    Loss::StreamsNotFollowed,
    Loss::ContentsPacked,
    Loss::NamesNotRead,
    Loss::NamesNotKept,
    Loss::HitsNotKept,
];
/// To whoever asks which addresses the DUT has.
pub(super) const ADDRESSES: &[Loss] = &[
    Loss::FramesMissed,
    Loss::FramesFlooded,
    Loss::FramesLate,
    Loss::AddressesNotKept,
];
/// To whoever concludes from a service that saw nothing that there was nothing.
pub(super) const SILENCE: &[Loss] = &[Loss::FramesMissed, Loss::FramesFlooded, Loss::FramesLate];

/// What a unit's questions were not told, so far.
#[derive(Default)]
pub(super) struct Unseen(Mutex<Losses>);

impl Unseen {
    fn losses(&self) -> MutexGuard<'_, Losses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the next unit.
    pub(super) fn clear(&self) {
        *self.losses() = Losses::default();
    }

    /// The unit was told of something since then, where these kinds of losses matter.
    pub(super) fn told(&self, network: &Network, kinds: &[Loss], since: Instant) {
        self.lost(&network.losses_since(since).of(kinds));
    }

    /// The unit was not told of so many.
    pub(super) fn lost(&self, losses: &Losses) {
        self.losses().join(losses);
    }

    /// The DUT has answered, maybe with more than is kept.
    pub(super) fn answer(&self, is_cut: bool) {
        self.losses().add(Loss::AnswersCut, is_cut.into());
    }

    /// A connection to the DUT that was kept was lost in a request. It may have been about to be ended anyway, or the request
    /// may have done that.
    pub(super) fn lost_connection(&self) {
        self.losses().add(Loss::ConnectionsLost, 1);
    }

    /// A scan could not tell of so many ports whether they are open.
    pub(super) fn ports(&self, count: usize) {
        self.losses().add(Loss::PortsNotTold, count as u64);
    }

    /// Why a unit that found nothing wrong does not pass all the same.
    pub(super) fn doubt(&self) -> Option<Stop> {
        let losses = self.losses();
        if losses.is_empty() {
            return None;
        }
        let message = format!(
            "nothing is wrong in what was seen, but not all was: {losses}; what was not seen is not absent"
        );
        let is_any = |fault: fn(Loss) -> bool| losses.iter().any(|(loss, _)| fault(loss));
        // Whoever floods once, and is quiet when asked again, is not to pass for that.
        let flooded = is_any(|loss| loss == Loss::FramesFlooded);
        Some(if is_any(Loss::is_bench_fault) && !flooded {
            Stop::Bench(message)
        } else {
            Stop::Inconclusive(message)
        })
    }

    /// For the message of a FAIL: what was seen stays.
    pub(super) fn aside(&self) -> Option<String> {
        let losses = self.losses();
        (!losses.is_empty()).then(|| format!("not all was seen meanwhile: {losses}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_too_slow_may_do_better_and_whoever_has_no_room_will_not() {
        let unseen = Unseen::default();
        assert_eq!(unseen.doubt(), None);
        let mut losses = Losses::default();
        losses.add(Loss::NamesNotKept, 3);
        unseen.lost(&losses);
        // Asked twice, it is lost once.
        unseen.lost(&losses);
        let doubt = unseen.doubt();
        assert!(
            matches!(&doubt, Some(Stop::Inconclusive(why)) if why.contains("names not kept: 3;")),
            "{doubt:?}"
        );
        losses.add(Loss::FramesMissed, 12);
        unseen.lost(&losses);
        let doubt = unseen.doubt();
        assert!(
            matches!(&doubt, Some(Stop::Bench(why)) if why.contains("frames missed: 12, names not kept: 3")),
            "{doubt:?}"
        );
        // The bench was slow, but not that alone.
        losses.add(Loss::FramesFlooded, 1);
        unseen.lost(&losses);
        let doubt = unseen.doubt();
        assert!(matches!(&doubt, Some(Stop::Inconclusive(_))), "{doubt:?}");
        unseen.clear();
        assert_eq!(unseen.doubt(), None);
    }
}
