//! What the factory writes into each device.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0x000 | 4 | lock word of the debug port: 0xFFFFFFFF open, anything else locked |
//! | 0x100 | 8 | magic `PBPERS01` |
//! | 0x108 | 16 | serial number, ASCII, padded with NUL |
//! | 0x118 | 4 | PBKDF2 iterations (u32, little endian) |
//! | 0x11C | 4 | flaw (u32), 0 for none; meaningless to a release |
//! | 0x120 | 16 | salt of the password |
//! | 0x130 | 32 | PBKDF2-HMAC-SHA-256 of the label's password |
//! | 0x150 | 32 | device key (ed25519 seed) |
//! | 0x170 | 32 | reserved, 0; the password XOR 0x5A for the flaw that leaks it |
//! | 0x190 | 4 | CRC-32 of 0x100..0x190 |

use heapless::String;
use image::CRC32;

/// Bytes at the start of the sector that mean anything.
pub const SIZE: usize = 0x194;
const START: usize = 0x100;
const MAGIC: &[u8; 8] = b"PBPERS01";
/// More would keep the console busy for seconds: nobody personalises a device like that.
const MAX_ITERATIONS: u32 = 1_000_000;

/// What makes this device an individual.
#[derive(Clone)]
pub struct Personalisation {
    /// Serial number, as on the label.
    pub serial: String<16>,
    /// Knows the label's password when it sees it.
    pub verifier: Verifier,
    /// Seed of the device's ed25519 key.
    pub device_key: [u8; 32],
    /// Number of a flaw, or 0.
    pub flaw: u32,
    /// The password, for the flaw that leaks it.
    pub leaked: [u8; 32],
}

/// Salted hash of a password.
#[derive(Clone, Copy)]
pub struct Verifier {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// Salt.
    pub salt: [u8; 16],
    /// PBKDF2-HMAC-SHA-256.
    pub hash: [u8; 32],
}

/// Why the device has no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The factory has not been here yet.
    Blank,
    /// Something was written, but it is not what a factory writes.
    Damaged,
}

impl Personalisation {
    /// Reads the personalisation.
    pub fn parse(sector: &[u8; SIZE]) -> Result<Self, Missing> {
        if field::<8>(sector, START) == [0xFF; 8] {
            return Err(Missing::Blank);
        }
        let word = |at| u32::from_le_bytes(field(sector, at));
        if field(sector, START) != *MAGIC || word(0x190) != CRC32.checksum(&sector[START..0x190]) {
            return Err(Missing::Damaged);
        }
        let serial: [u8; 16] = field(sector, 0x108);
        let text = serial.split(|byte| *byte == 0).next().unwrap_or_default();
        let serial = core::str::from_utf8(text)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .and_then(|text| String::try_from(text).ok())
            .ok_or(Missing::Damaged)?;
        let iterations = word(0x118);
        if iterations == 0 || iterations > MAX_ITERATIONS {
            return Err(Missing::Damaged);
        }
        Ok(Self {
            serial,
            verifier: Verifier {
                iterations,
                salt: field(sector, 0x120),
                hash: field(sector, 0x130),
            },
            device_key: field(sector, 0x150),
            flaw: word(0x11C),
            leaked: field(sector, 0x170),
        })
    }
}

fn field<const N: usize>(sector: &[u8; SIZE], at: usize) -> [u8; N] {
    core::array::from_fn(|i| sector[at + i])
}
