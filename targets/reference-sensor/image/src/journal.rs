//! Small state that is remembered from start to start, and outlives a power cut at any instant.
//!
//! Kept as a journal of records in two flash sectors. A change appends one record; the valid
//! record with the highest sequence number counts. A record that a power cut tore has no valid CRC,
//! so it never was written. When a sector is full, the other one (which holds older records only)
//! is erased and continued in: at every instant one valid record exists.

use core::marker::PhantomData;

use embedded_storage::nor_flash::NorFlash;

use crate::CRC32;

/// Bytes that a record has for its fields.
pub const FIELDS: usize = 20;
const RECORD: usize = 32;

/// State that fits into a journal. Its default is that of a device fresh from the factory.
pub trait Record: Copy + Default + Eq {
    /// Tells this kind of record from others.
    const MAGIC: [u8; 4];
    /// The fields as stored.
    fn to_fields(self) -> [u8; FIELDS];
    /// The fields as read; None if they mean nothing.
    fn from_fields(fields: &[u8; FIELDS]) -> Option<Self>;
}

fn encode<R: Record>(record: R, sequence: u32) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..4].copy_from_slice(&R::MAGIC);
    bytes[4..8].copy_from_slice(&sequence.to_le_bytes());
    bytes[8..8 + FIELDS].copy_from_slice(&record.to_fields());
    let crc = CRC32.checksum(&bytes[..RECORD - 4]);
    bytes[RECORD - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode<R: Record>(bytes: &[u8; RECORD]) -> Option<(u32, R)> {
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
    if bytes[..4] != R::MAGIC || word(RECORD - 4) != CRC32.checksum(&bytes[..RECORD - 4]) {
        return None;
    }
    let record = R::from_fields(&core::array::from_fn(|i| bytes[8 + i]))?;
    Some((word(4), record))
}

/// The journal of a [`Record`] in two sectors of a flash.
pub struct Journal<F, R> {
    flash: F,
    base: u32,
    sector: u32,
    record: PhantomData<R>,
}

/// Where the last valid record is.
struct Latest<R> {
    sequence: u32,
    state: R,
    sector: u32,
}

impl<F: NorFlash, R: Record> Journal<F, R> {
    /// The journal in the two erase sectors of `flash` that begin at `base`.
    pub fn new(flash: F, base: u32) -> Self {
        let sector = F::ERASE_SIZE as u32;
        Self {
            flash,
            base,
            sector,
            record: PhantomData,
        }
    }

    /// The state as last stored; of a device fresh from the factory if nothing ever was.
    pub fn load(&mut self) -> Result<R, F::Error> {
        Ok(self
            .latest()?
            .map(|latest| latest.state)
            .unwrap_or_default())
    }

    /// Stores `state`. Before it returns, a power cut leaves the old or the new state, no other.
    pub fn store(&mut self, state: R) -> Result<(), F::Error> {
        let (sequence, sector) = match self.latest()? {
            Some(latest) if latest.state == state => return Ok(()),
            Some(latest) => (latest.sequence.wrapping_add(1), latest.sector),
            None => (1, 0),
        };
        let record = encode(state, sequence);
        if let Some(at) = self.free(sector)? {
            return self.flash.write(at, &record);
        }
        let fresh = self.base + (1 - sector) * self.sector;
        self.flash.erase(fresh, fresh + self.sector)?;
        self.flash.write(fresh, &record)
    }

    fn latest(&mut self) -> Result<Option<Latest<R>>, F::Error> {
        let mut latest: Option<Latest<R>> = None;
        for sector in 0..2 {
            for at in self.records(sector) {
                let mut record = [0; RECORD];
                self.flash.read(at, &mut record)?;
                if let Some((sequence, state)) = decode(&record)
                    && latest.as_ref().is_none_or(|l| l.sequence < sequence)
                {
                    latest = Some(Latest {
                        sequence,
                        state,
                        sector,
                    });
                }
            }
        }
        Ok(latest)
    }

    /// First place in the sector from which on everything is blank: a torn record is skipped.
    fn free(&mut self, sector: u32) -> Result<Option<u32>, F::Error> {
        let mut free = None;
        for at in self.records(sector) {
            let mut record = [0; RECORD];
            self.flash.read(at, &mut record)?;
            if record != [0xFF; RECORD] {
                free = None;
            } else if free.is_none() {
                free = Some(at);
            }
        }
        Ok(free)
    }

    fn records(&self, sector: u32) -> impl Iterator<Item = u32> + use<F, R> {
        let start = self.base + sector * self.sector;
        (start..start + self.sector).step_by(RECORD)
    }
}
