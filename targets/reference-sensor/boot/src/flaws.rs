//! Deliberate violations of the boot loader. In a release none is in force, and the compiler
//! removes them.

use board::nor::{self, Nor};
use embedded_storage::nor_flash::NorFlash;
use image::{BootState, Trial, Version};
use sensor::{Flaw, memory::PERSONALISATION};

/// Bends what is remembered.
pub(crate) fn meddle(mut state: BootState) -> BootState {
    if Flaw::AcceptsDowngrade.in_force() {
        state.floor = Version::default();
    }
    if Flaw::NoSlotFallback.in_force()
        && let Trial::Running(slot) = state.trial
    {
        state.trial = Trial::Pending(slot);
    }
    state
}

/// Whether a payload may differ from its digest.
pub(crate) fn ignores_digest() -> bool {
    Flaw::BootsModifiedImage.in_force()
}

/// Clears the lock word, as a service firmware might.
pub(crate) fn open_debug_port() {
    const SECTOR: usize = Nor::ERASE_SIZE;
    if !Flaw::DebugPortOpen.in_force() {
        return;
    }
    let mut sector = [0; SECTOR];
    nor::read(PERSONALISATION, &mut sector);
    if sector[..4] != [0xFF; 4] {
        sector[..4].fill(0xFF);
        let Ok(()) = Nor.erase(PERSONALISATION, PERSONALISATION + SECTOR as u32);
        let Ok(()) = Nor.write(PERSONALISATION, &sector);
    }
}
