//! Writing a new image into the slot that is not in use.
//!
//! The header is written last, after the payload in flash was verified: a slot with a header holds
//! a complete image. The running image and its slot are never touched. Each sector is erased when its
//! turn comes: erasing a whole slot at once would keep everything else waiting for seconds.

use embedded_storage::nor_flash::NorFlash;

use crate::{HEADER_SIZE, Refusal, SignedHeader};

/// Why an image could not be staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageError<E> {
    /// The image is not acceptable.
    Refused(Refusal),
    /// The flash failed.
    Flash(E),
}

impl<E> From<Refusal> for StageError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An image on its way into a slot.
pub struct Stager<F> {
    flash: F,
    base: u32,
    size: u32,
    /// Bytes of the slot that are erased so far, whole sectors.
    erased: u32,
    received: u32,
    header: [u8; HEADER_SIZE],
}

impl<F: NorFlash> Stager<F> {
    /// Prepares the slot of `slot_size` bytes at `base` for an image of `size` bytes, header
    /// included. What the slot held before is gone from here on.
    pub fn begin(
        mut flash: F,
        base: u32,
        slot_size: u32,
        size: u32,
    ) -> Result<Self, StageError<F::Error>> {
        if size <= HEADER_SIZE as u32 || size > slot_size || !size.is_multiple_of(4) {
            return Err(Refusal::Length.into());
        }
        let erased = F::ERASE_SIZE as u32;
        flash
            .erase(base, base + erased)
            .map_err(StageError::Flash)?;
        Ok(Self {
            flash,
            base,
            size,
            erased,
            received: 0,
            header: [0xFF; HEADER_SIZE],
        })
    }

    /// Bytes received so far.
    pub fn received(&self) -> u32 {
        self.received
    }

    /// Bytes still to come.
    pub fn missing(&self) -> u32 {
        self.size - self.received
    }

    /// Takes the next bytes of the image, in order; a multiple of 4.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StageError<F::Error>> {
        if bytes.len() as u32 > self.missing() || !bytes.len().is_multiple_of(4) {
            return Err(Refusal::Length.into());
        }
        let at = self.received as usize;
        let into_header = HEADER_SIZE.saturating_sub(at).min(bytes.len());
        let (header, payload) = bytes.split_at(into_header);
        if !header.is_empty() {
            self.header[at..at + header.len()].copy_from_slice(header);
        }
        if !payload.is_empty() {
            let end = self.received + bytes.len() as u32;
            let sectors = end.next_multiple_of(F::ERASE_SIZE as u32);
            if sectors > self.erased {
                self.flash
                    .erase(self.base + self.erased, self.base + sectors)
                    .map_err(StageError::Flash)?;
                self.erased = sectors;
            }
            let offset = self.base + self.received + into_header as u32;
            self.flash
                .write(offset, payload)
                .map_err(StageError::Flash)?;
        }
        self.received += bytes.len() as u32;
        Ok(())
    }

    /// The header as received.
    pub fn header(&self) -> Result<SignedHeader, Refusal> {
        if self.received < HEADER_SIZE as u32 {
            return Err(Refusal::Length);
        }
        SignedHeader::parse(&self.header)
    }

    /// Lets `verify` look at the header and writes it, if all of the image has arrived and `verify`
    /// vouches for it (the payload is in the slot by now).
    pub fn finish(
        mut self,
        verify: impl FnOnce(&SignedHeader) -> Result<(), Refusal>,
    ) -> Result<SignedHeader, StageError<F::Error>> {
        let header = self.header()?;
        if self.missing() != 0 || header.header().payload_len != self.size - HEADER_SIZE as u32 {
            return Err(Refusal::Length.into());
        }
        verify(&header)?;
        self.flash
            .write(self.base, header.bytes())
            .map_err(StageError::Flash)?;
        Ok(header)
    }
}
