//! Random numbers. The chip has no source of them: a generator is keyed with what makes the device
//! an individual, and a number that no two starts share.

use core::cell::RefCell;

use board::nor::Nor;
use critical_section::Mutex;
use embassy_time::Instant;
use image::Journal;
use rand_chacha::{ChaCha20Rng, rand_core::RngCore, rand_core::SeedableRng};
use sensor::{Personalisation, entropy, memory};

static GENERATOR: Mutex<RefCell<Option<ChaCha20Rng>>> = Mutex::new(RefCell::new(None));

/// Keys the generator for this start.
pub(crate) fn start(identity: Option<&Personalisation>) {
    let Ok(start) = entropy::count_start(&mut Journal::new(Nor, memory::STARTS));
    let seed = entropy::seed(
        identity.map(|identity| &identity.device_key),
        start,
        board::page::chip_id(),
        Instant::now().as_ticks(),
    );
    let generator = ChaCha20Rng::from_seed(seed);
    critical_section::with(|cs| GENERATOR.borrow_ref_mut(cs).replace(generator));
}

/// Fills a buffer.
pub(crate) fn fill(bytes: &mut [u8]) {
    critical_section::with(|cs| {
        GENERATOR
            .borrow_ref_mut(cs)
            .as_mut()
            .expect("keyed before anyone asks")
            .fill_bytes(bytes);
    });
}

/// Any number.
pub(crate) fn u32() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

/// Any number.
pub(crate) fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
