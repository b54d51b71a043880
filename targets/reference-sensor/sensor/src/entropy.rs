//! What random numbers are made from, on a chip that has no source of them.
//!
//! The device's key is secret and its own; a count of starts in flash is never the same twice. Their
//! digest keys a generator: whoever does not know the key can't tell its output from chance, and no
//! two starts repeat each other.

use embedded_storage::nor_flash::NorFlash;
use image::{Journal, Record, journal::FIELDS};
use sha2::{Digest, Sha256};

/// Starts of the device so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Starts(pub u64);

impl Record for Starts {
    const MAGIC: [u8; 4] = *b"PBST";

    fn to_fields(self) -> [u8; FIELDS] {
        let mut fields = [0; FIELDS];
        fields[..8].copy_from_slice(&self.0.to_le_bytes());
        fields
    }

    fn from_fields(fields: &[u8; FIELDS]) -> Option<Self> {
        let count = core::array::from_fn(|i| fields[i]);
        Some(Self(u64::from_le_bytes(count)))
    }
}

/// Counts this start, in flash, before its number is used.
pub fn count_start<F: NorFlash>(journal: &mut Journal<F, Starts>) -> Result<Starts, F::Error> {
    let start = Starts(journal.load()?.0.wrapping_add(1));
    journal.store(start)?;
    Ok(start)
}

/// Seed of this start's generator. The chip's number and the clock add little; they cost nothing.
pub fn seed(key: Option<&[u8; 32]>, start: Starts, chip: u64, ticks: u64) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"PB-RS1 random numbers")
        .chain_update(key.unwrap_or(&[0; 32]))
        .chain_update(start.0.to_le_bytes())
        .chain_update(chip.to_le_bytes())
        .chain_update(ticks.to_le_bytes())
        .finalize()
        .into()
}
