//! The non-volatile memory, used as the NOR flash that it stands for: a write only clears bits, an
//! erase sets whole sectors.

use core::convert::Infallible;

use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use embedded_storage_async::nor_flash as nonblocking;

use crate::{NVM, register};

const SIZE: usize = 16 * 1024 * 1024;
const SECTOR: usize = 4096;
const WORD: usize = 4;
/// Words that are programmed or erased by one store, as flash controllers do with a row.
const ROW: usize = 8;

/// Handle to the flash. Operations finish before they return, so there may be many handles; each
/// region has one owner.
#[derive(Clone, Copy)]
pub struct Nor;

/// Reads bytes.
pub fn read(offset: u32, bytes: &mut [u8]) {
    let end = offset as usize + bytes.len();
    assert!(end <= SIZE, "read beyond the flash");
    let from = (NVM + offset as usize) as *const u8;
    // SAFETY: the range was checked to lie in the flash, which no Rust object lives in.
    unsafe { core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
}

/// Reads a row within the flash.
fn read_row(at: usize) -> [u32; ROW] {
    core::array::from_fn(|word| register::read(at + word * WORD))
}

/// Stores a row within the flash, with one instruction.
fn write_row(at: usize, row: &[u32; ROW]) {
    // SAFETY: callers have checked that the row lies in the flash, which no Rust object lives in. r7 is
    // the frame pointer, r6 is LLVM's.
    unsafe {
        core::arch::asm!(
            "ldmia {from}, {{r0-r5, r8, r9}}",
            "stmia {to}, {{r0-r5, r8, r9}}",
            from = in(reg) row.as_ptr(),
            to = in(reg) at,
            out("r0") _, out("r1") _, out("r2") _, out("r3") _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            options(nostack, preserves_flags),
        );
    }
}

impl ErrorType for Nor {
    type Error = Infallible;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        read(offset, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        assert!(from <= to && to as usize <= SIZE, "erase beyond the flash");
        assert!((from as usize).is_multiple_of(SECTOR) && (to as usize).is_multiple_of(SECTOR));
        for at in (NVM + from as usize..NVM + to as usize).step_by(ROW * WORD) {
            // Blank rows are left alone: erasing what is erased takes time and wears cells.
            if read_row(at) != [u32::MAX; ROW] {
                write_row(at, &[u32::MAX; ROW]);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(
            offset as usize + bytes.len() <= SIZE,
            "write beyond the flash"
        );
        assert!((offset as usize).is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD));
        let (rows, words) = bytes.as_chunks::<{ ROW * WORD }>();
        let mut at = NVM + offset as usize;
        for row in rows {
            let mut programmed = read_row(at);
            for (word, bytes) in programmed.iter_mut().zip(row.as_chunks().0) {
                *word &= u32::from_le_bytes(*bytes);
            }
            write_row(at, &programmed);
            at += ROW * WORD;
        }
        for word in words.as_chunks().0 {
            register::write(at, register::read(at) & u32::from_le_bytes(*word));
            at += WORD;
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for Nor {}

impl nonblocking::ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        read(offset, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl nonblocking::NorFlash for Nor {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        NorFlash::erase(self, from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        NorFlash::write(self, offset, bytes)
    }
}

impl nonblocking::MultiwriteNorFlash for Nor {}
