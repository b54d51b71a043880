//! Which image to start.
//!
//! | remembered | pending image | active image | other image | started | remembered next |
//! |---|---|---|---|---|---|
//! | pending | valid | - | - | pending, on trial | running |
//! | pending | refused | valid | - | active | no trial |
//! | running (did not confirm) | - | valid | - | active | no trial |
//! | any | refused or unconfirmed | refused | valid | other | no trial |
//! | any | refused or unconfirmed | refused | refused | nothing | no trial |
//!
//! "valid": signed, intact, for this product, and not older than the floor. The slot of an
//! unconfirmed trial is not "other": it had its chance.

use crate::{BootState, Refusal, Slot, Trial, Version};

/// What to start, and what to remember before it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Slot and version to start; None if no image can be trusted.
    pub start: Option<(Slot, Version)>,
    /// The image is on trial: it must confirm itself, or the next start falls back.
    pub on_trial: bool,
    /// To be stored before anything is started.
    pub state: BootState,
    /// A trial that ended without confirmation.
    pub failed_trial: Option<Slot>,
}

/// Decides which image to start.
///
/// `verify` fetches the image of a slot and vouches for it. The slot that is started is always the
/// one that was verified last, so that a verified copy in memory can be started as it is.
pub fn decide(
    state: BootState,
    mut verify: impl FnMut(Slot) -> Result<Version, Refusal>,
) -> Decision {
    let mut usable = |slot: Slot| verify(slot).ok().filter(|version| *version >= state.floor);

    if let Trial::Pending(slot) = state.trial
        && let Some(version) = usable(slot)
    {
        return Decision {
            start: Some((slot, version)),
            on_trial: true,
            state: BootState {
                trial: Trial::Running(slot),
                ..state
            },
            failed_trial: None,
        };
    }
    let tried = match state.trial {
        Trial::None => None,
        Trial::Pending(slot) | Trial::Running(slot) => Some(slot),
    };
    let start = [state.active, state.active.other()]
        .into_iter()
        .filter(|slot| Some(*slot) != tried || *slot == state.active)
        .find_map(|slot| usable(slot).map(|version| (slot, version)));
    Decision {
        start,
        on_trial: false,
        state: BootState {
            trial: Trial::None,
            ..state
        },
        failed_trial: tried,
    }
}
