//! The signed header in front of every image.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0x000 | 8 | magic `PBIMAGE1` |
//! | 0x008 | 16 | product, ASCII, padded with NUL |
//! | 0x018 | 6 | version: major, minor, patch (u16, little endian) |
//! | 0x01E | 2 | reserved, 0 |
//! | 0x020 | 4 | payload length in bytes (u32), a multiple of 4 |
//! | 0x024 | 4 | address that the payload is copied to and started at (u32) |
//! | 0x028 | 64 | SHA-512 of the payload |
//! | 0x068 | 856 | reserved, 0 |
//! | 0x3C0 | 64 | ed25519 signature over 0x000..0x3C0 |
//!
//! The signature covers all of the rest, so no bit of an image is free to change.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};

use crate::Version;

/// Bytes in front of the payload. Keeps the payload's vector table aligned as Cortex-M requires.
pub const HEADER_SIZE: usize = 1024;
/// The part of the header that the signature covers.
pub const SIGNED_SIZE: usize = HEADER_SIZE - 64;
const MAGIC: &[u8; 8] = b"PBIMAGE1";

/// What an image says about itself, before anyone vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Product that the image is for, padded with NUL.
    pub product: [u8; 16],
    /// Version of the image.
    pub version: Version,
    /// Bytes that follow the header.
    pub payload_len: u32,
    /// Where the payload is copied to before it is started.
    pub load_address: u32,
    /// SHA-512 of the payload.
    pub digest: [u8; 64],
}

/// A header as stored, with its signature. Parsed, not yet verified.
#[derive(Clone, Debug)]
pub struct SignedHeader {
    header: Header,
    bytes: [u8; HEADER_SIZE],
}

/// Why an image is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no image header.
    NoImage,
    /// The length does not fit the slot, or what was received.
    Length,
    /// Meant to be loaded where this product has no room for it.
    Address,
    /// Not signed by the manufacturer's key.
    Signature,
    /// Signed for another product.
    Product,
    /// The payload is not the one that was signed.
    Digest,
    /// Older than what this device has run before, or not newer where it must be.
    Version,
}

impl Refusal {
    /// One word for protocols.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoImage => "no-image",
            Self::Length => "length",
            Self::Address => "address",
            Self::Signature => "signature",
            Self::Product => "product",
            Self::Digest => "digest",
            Self::Version => "version",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoImage => "no image",
            Self::Length => "wrong length",
            Self::Address => "wrong load address",
            Self::Signature => "signature is not valid",
            Self::Product => "made for another product",
            Self::Digest => "content does not match its digest",
            Self::Version => "version is too old",
        })
    }
}

impl SignedHeader {
    /// Reads a header. Checks its form only.
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Self, Refusal> {
        if field(bytes, 0) != *MAGIC {
            return Err(Refusal::NoImage);
        }
        let header = Header {
            product: field(bytes, 0x08),
            version: Version::from_bytes(field(bytes, 0x18)),
            payload_len: u32::from_le_bytes(field(bytes, 0x20)),
            load_address: u32::from_le_bytes(field(bytes, 0x24)),
            digest: field(bytes, 0x28),
        };
        if header.payload_len == 0 || !header.payload_len.is_multiple_of(4) {
            return Err(Refusal::Length);
        }
        Ok(Self {
            header,
            bytes: *bytes,
        })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header as stored.
    pub fn bytes(&self) -> &[u8; HEADER_SIZE] {
        &self.bytes
    }

    /// Checks that `key` signed this header.
    pub fn verify_signature(&self, key: &VerifyingKey) -> Result<(), Refusal> {
        let signature = Signature::from_bytes(&field(&self.bytes, SIGNED_SIZE));
        // Strict: no second encoding of a valid signature is accepted either.
        key.verify_strict(&self.bytes[..SIGNED_SIZE], &signature)
            .map_err(|_| Refusal::Signature)
    }

    /// Checks that the image is for `product` and fits into `room` bytes at `address`.
    pub fn verify_fit(&self, product: &str, address: u32, room: u32) -> Result<(), Refusal> {
        if self.header.product != padded(product) {
            return Err(Refusal::Product);
        }
        if self.header.load_address != address {
            return Err(Refusal::Address);
        }
        if self.header.payload_len > room {
            return Err(Refusal::Length);
        }
        Ok(())
    }
}

impl Header {
    /// Checks that `payload` is what was signed.
    pub fn verify_payload(&self, payload: &[u8]) -> Result<(), Refusal> {
        if payload.len() != self.payload_len as usize {
            return Err(Refusal::Length);
        }
        if Sha512::digest(payload).as_slice() == self.digest {
            Ok(())
        } else {
            Err(Refusal::Digest)
        }
    }

    /// The same, where the payload cannot be had in one piece: `read` fills a buffer with the
    /// payload's bytes from an offset on.
    pub fn verify_payload_read(&self, mut read: impl FnMut(u32, &mut [u8])) -> Result<(), Refusal> {
        let mut digest = Sha512::new();
        let mut buffer = [0; 512];
        for offset in (0..self.payload_len).step_by(buffer.len()) {
            let len = (self.payload_len - offset).min(buffer.len() as u32) as usize;
            read(offset, &mut buffer[..len]);
            digest.update(&buffer[..len]);
        }
        if digest.finalize().as_slice() == self.digest {
            Ok(())
        } else {
            Err(Refusal::Digest)
        }
    }

    /// Describes `payload`, as the signing tool does.
    pub fn describe(product: &str, version: Version, load_address: u32, payload: &[u8]) -> Self {
        Self {
            product: padded(product),
            version,
            payload_len: payload.len() as u32,
            load_address,
            digest: Sha512::digest(payload).into(),
        }
    }

    /// The bytes that are signed.
    pub fn to_signed_bytes(&self) -> [u8; SIGNED_SIZE] {
        let mut bytes = [0; SIGNED_SIZE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[0x08..0x18].copy_from_slice(&self.product);
        bytes[0x18..0x1E].copy_from_slice(&self.version.to_bytes());
        bytes[0x20..0x24].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[0x24..0x28].copy_from_slice(&self.load_address.to_le_bytes());
        bytes[0x28..0x68].copy_from_slice(&self.digest);
        bytes
    }
}

/// `text` padded with NUL, cut at 16 bytes.
fn padded(text: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    padded
}

fn field<const N: usize>(bytes: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes[at + i])
}
