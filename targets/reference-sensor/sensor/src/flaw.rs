//! Deliberate violations, to prove that a test case can fail.
//!
//! They exist only in builds with the feature `flaws`, and there at most one is in force: the one
//! that the personalisation names.

use core::sync::atomic::{AtomicU32, Ordering};

// `Flaw`, from ../../flaws.toml.
include!(concat!(env!("OUT_DIR"), "/flaws.rs"));

static IN_FORCE: AtomicU32 = AtomicU32::new(0);

/// Puts the flaw with this number in force, if this build has flaws at all.
pub fn choose(number: u32) {
    if cfg!(feature = "flaws") {
        IN_FORCE.store(number, Ordering::Relaxed);
    }
}

impl Flaw {
    /// Whether this flaw is in force: never in a release.
    pub fn in_force(self) -> bool {
        cfg!(feature = "flaws") && IN_FORCE.load(Ordering::Relaxed) == self as u32
    }
}
