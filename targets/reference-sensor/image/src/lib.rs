//! What the boot loader, the application and the signing tool agree on: the format of a firmware
//! image ([`header`]), where it is written ([`staging`]), which image is to be started
//! ([`decision`], [`state`]) and how such state survives a power cut ([`journal`]).
//!
//! Nothing here touches hardware: flash comes as [`embedded_storage::nor_flash::NorFlash`], so all
//! of it is tested on the development machine, power cuts included.
#![no_std]
#![forbid(unsafe_code)]

pub mod decision;
pub mod header;
pub mod journal;
pub mod manifest;
pub mod staging;
pub mod state;
mod version;

pub use decision::{Decision, decide};
pub use header::{HEADER_SIZE, Header, Refusal, SignedHeader};
pub use journal::{Journal, Record};
pub use staging::{StageError, Stager};
pub use state::{BootState, Slot, Trial};
pub use version::Version;

/// CRC-32 as used by Ethernet, gzip and the console's upload (ISO HDLC).
pub const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
