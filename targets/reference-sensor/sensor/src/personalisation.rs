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
//!
//! Devices that are to use the network have a second record, with what TLS needs:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0x200 | 8 | magic `PBCRED01` |
//! | 0x208 | 4 | length L of this record, CRC included (u32) |
//! | 0x20C | 2 | length A of the CA's certificate (u16) |
//! | 0x20E | 2 | length B of the device's certificate as a client (u16) |
//! | 0x210 | 2 | length C of its certificate as a server (u16); 0: it uses the client's |
//! | 0x212 | 2 | reserved, 0 |
//! | 0x214 | 32 | secret scalar of the device's P-256 key, big endian; both certificates are for it |
//! | 0x234 | A, B, C | the certificates, DER |
//! | 0x200 + L - 4 | 4 | CRC-32 of all of the record before |

use heapless::String;
use image::CRC32;

/// Bytes at the start of the sector that mean anything.
pub const SIZE: usize = 0x194;
const START: usize = 0x100;
const MAGIC: &[u8; 8] = b"PBPERS01";
/// More would keep the console busy for seconds: nobody personalises a device like that.
const MAX_ITERATIONS: u32 = 1_000_000;

/// Bytes of the whole sector.
pub const SECTOR: usize = 4096;
const CREDENTIALS: usize = 0x200;
const CREDENTIALS_MAGIC: &[u8; 8] = b"PBCRED01";
/// Where the certificates begin, from the start of the record.
const CERTIFICATES: usize = 0x34;

/// Whom the device trusts on the network, and who it is there.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Certificate of the CA that vouches for servers, DER.
    pub ca: &'a [u8],
    /// The device's certificate as a client, DER.
    pub client: &'a [u8],
    /// The device's certificate as a server, DER.
    pub server: &'a [u8],
    /// Secret scalar of its P-256 key.
    pub key: &'a [u8; 32],
}

impl<'a> Credentials<'a> {
    /// Reads the credentials.
    pub fn parse(sector: &'a [u8; SECTOR]) -> Result<Self, Missing> {
        let record = &sector[CREDENTIALS..];
        if record[..8] == [0xFF; 8] {
            return Err(Missing::Blank);
        }
        let half = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
        let word = |bytes: &[u8]| bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
        let len = word(&record[8..]).unwrap_or(0) as usize;
        let whole = record.get(..len).ok_or(Missing::Damaged)?;
        let (body, crc) = whole.split_last_chunk::<4>().ok_or(Missing::Damaged)?;
        if record[..8] != *CREDENTIALS_MAGIC
            || u32::from_le_bytes(*crc) != CRC32.checksum(body)
            || body.len() < CERTIFICATES
        {
            return Err(Missing::Damaged);
        }
        let (head, certificates) = body.split_at(CERTIFICATES);
        let key = head.last_chunk().ok_or(Missing::Damaged)?;
        let (ca, rest) = certificates
            .split_at_checked(half(0xC))
            .ok_or(Missing::Damaged)?;
        let (client, rest) = rest.split_at_checked(half(0xE)).ok_or(Missing::Damaged)?;
        let server = rest.get(..half(0x10)).ok_or(Missing::Damaged)?;
        Ok(Self {
            ca,
            client,
            server: if server.is_empty() { client } else { server },
            key,
        })
    }
}

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
