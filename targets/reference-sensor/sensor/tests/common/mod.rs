//! A NOR flash whose power fails at a chosen word, as the storage of user data wants it.
#![allow(dead_code, reason = "each test program uses its part")]

#[path = "../../../image/tests/nor/mod.rs"]
mod nor;

use embedded_storage::nor_flash as blocking;
use embedded_storage_async::nor_flash::{MultiwriteNorFlash, NorFlash, ReadNorFlash};
pub(crate) use nor::{Nor, PowerCut, SECTOR};
use sensor::memory;

/// As large as what the tests use of the memory map.
pub(crate) fn blank() -> Nor {
    Nor::blank(memory::TELEMETRY.end as usize)
}

impl blocking::MultiwriteNorFlash for Nor {}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
        blocking::ReadNorFlash::read(self, offset, bytes)
    }

    fn capacity(&self) -> usize {
        blocking::ReadNorFlash::capacity(self)
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        blocking::NorFlash::erase(self, from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
        blocking::NorFlash::write(self, offset, bytes)
    }
}

impl MultiwriteNorFlash for Nor {}
