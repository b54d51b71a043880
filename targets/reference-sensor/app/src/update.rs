//! Takes a new image over the console.
//!
//! After `update SIZE` the device says `send MAX` and takes frames: length (u16, little endian, at
//! most MAX), as many bytes of the image, CRC-32 of those (u32, little endian). It answers `ack N`,
//! N being the bytes that it has so far, or `nak N` if the frame was damaged and is to be sent again.
//! A frame of length 0 ends the attempt. The first frame holds the whole header: an image that is
//! not for this device is refused before anything is erased.

use core::convert::Infallible;

use board::{nor, nor::Nor, println, trust};
use embassy_futures::yield_now;
use embassy_time::Duration;
use image::{
    BootState, CRC32, HEADER_SIZE, Refusal, SignedHeader, StageError, Stager, Trial, Version,
};
use sensor::memory;
use static_cell::ConstStaticCell;

use crate::{
    console,
    device::{Device, boot_state},
};

/// Longest frame.
const MAX_FRAME: usize = 4096;
/// Longest pause within an image.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for one frame.
pub(crate) type Frame = [u8; MAX_FRAME];
/// There is one console, so one update at a time.
pub(crate) static FRAME: ConstStaticCell<Frame> = ConstStaticCell::new([0; MAX_FRAME]);

/// Why there is no update.
pub(crate) enum Failure {
    /// The image is not acceptable.
    Refused(Refusal),
    /// The other end gave up.
    Aborted,
    /// The other end fell silent.
    Timeout,
    /// What came is not a frame.
    Protocol,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StageError<Infallible>> for Failure {
    fn from(error: StageError<Infallible>) -> Self {
        match error {
            StageError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// Takes an image of `size` bytes into the other slot, to be started next.
pub(crate) async fn receive(
    device: &Device,
    size: u32,
    frame: &mut Frame,
) -> Result<Version, Failure> {
    if size <= HEADER_SIZE as u32 || size > memory::SLOT_SIZE || !size.is_multiple_of(4) {
        return Err(Refusal::Length.into());
    }
    println!("send {MAX_FRAME}");
    let first = next_frame(frame, 0).await?;
    let header = first.first_chunk().ok_or(Failure::Protocol)?;
    let header = SignedHeader::parse(header)?;
    let Ok(state) = boot_state().load();
    trust::verify_header(&header, state.floor)?;
    if header.header().payload_len != size - HEADER_SIZE as u32 {
        return Err(Refusal::Length.into());
    }

    let slot = device.slot.other();
    let base = memory::slot(slot);
    let mut stager = Stager::begin(Nor, base, memory::SLOT_SIZE, size)?;
    write(&mut stager, first).await?;
    while stager.missing() > 0 {
        println!("ack {}", stager.received());
        let bytes = next_frame(frame, stager.received()).await?;
        write(&mut stager, bytes).await?;
    }
    let staged = stager.finish(|header| {
        let payload = base + HEADER_SIZE as u32;
        header
            .header()
            .verify_payload_read(|offset, bytes| nor::read(payload + offset, bytes))
    })?;
    let Ok(()) = boot_state().store(BootState {
        trial: Trial::Pending(slot),
        ..state
    });
    Ok(staged.header().version)
}

/// Writes in pieces: writing to flash takes its time, and others have things to do.
async fn write(stager: &mut Stager<Nor>, bytes: &[u8]) -> Result<(), Failure> {
    const PIECE: usize = 512;
    for piece in bytes.chunks(PIECE) {
        stager.write(piece)?;
        yield_now().await;
    }
    Ok(())
}

/// Waits for an undamaged frame; `received` bytes of the image came before it.
async fn next_frame(frame: &mut Frame, received: u32) -> Result<&[u8], Failure> {
    let len = loop {
        let mut len = [0; 2];
        console::read_exact(&mut len, PATIENCE)
            .await
            .map_err(|_| Failure::Timeout)?;
        let len = usize::from(u16::from_le_bytes(len));
        if len == 0 {
            return Err(Failure::Aborted);
        }
        let bytes = frame.get_mut(..len).ok_or(Failure::Protocol)?;
        console::read_exact(bytes, PATIENCE)
            .await
            .map_err(|_| Failure::Timeout)?;
        let mut crc = [0; 4];
        console::read_exact(&mut crc, PATIENCE)
            .await
            .map_err(|_| Failure::Timeout)?;
        if CRC32.checksum(bytes) == u32::from_le_bytes(crc) {
            break len;
        }
        println!("nak {received}");
    };
    Ok(&frame[..len])
}
