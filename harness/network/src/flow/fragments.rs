//! IP packets that came in fragments, joined again.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use etherparse::{IpNumber, SlicedPacket, defrag::IpDefragPool};

use crate::plan::Direction;

/// After this, nobody waits for the rest (RFC 8200 4.5).
const PATIENCE: Duration = Duration::from_mins(1);
/// Packets that are waited for at the same time; each takes 64 KiB at most.
const MOST: usize = 256;
/// Fragments between looks at who has waited too long.
const LOOK_EVERY: u32 = 64;

#[derive(Default)]
pub(super) struct Fragments {
    pool: IpDefragPool<Instant, Direction>,
    seen: u32,
}

/// What a fragment comes to.
pub(super) struct Outcome {
    /// What the packet carries, now that it is whole.
    pub(super) whole: Option<(IpNumber, Vec<u8>)>,
    /// Packets that were given up.
    pub(super) lost: u64,
}

impl Fragments {
    pub(super) fn take(&mut self, at: Instant, by: Direction, frame: &[u8]) -> Outcome {
        let joined = SlicedPacket::from_ethernet(frame)
            .ok()
            .map(|packet| self.pool.process_sliced_packet(&packet, at, by));
        let (whole, mut lost) = match joined {
            Some(Ok(whole)) => (whole.map(|whole| (whole.ip_number, whole.payload)), 0),
            // Cut, or at odds with the others.
            None | Some(Err(_)) => (None, 1),
        };
        self.seen = self.seen.wrapping_add(1);
        if self.seen.is_multiple_of(LOOK_EVERY) {
            lost += self.give_up(at);
        }
        Outcome { whole, lost }
    }

    /// Packets that are not whole yet, of which a fragment came since then.
    pub(super) fn waiting_since(&mut self, when: Instant) -> u64 {
        let count = Cell::new(0);
        self.pool.retain(|last| {
            count.set(count.get() + u64::from(*last >= when));
            true
        });
        count.get()
    }

    fn give_up(&mut self, now: Instant) -> u64 {
        // It takes a function that changes nothing.
        let (kept, lost) = (Cell::new(0), Cell::new(0));
        self.pool.retain(|last| {
            let keep = kept.get() < MOST && now.saturating_duration_since(*last) < PATIENCE;
            let count = if keep { &kept } else { &lost };
            count.set(count.get() + 1);
            keep
        });
        lost.get() as u64
    }
}

impl std::fmt::Debug for Fragments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fragments").finish_non_exhaustive()
    }
}
