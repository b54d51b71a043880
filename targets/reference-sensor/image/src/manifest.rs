//! The manifest: what the update server says is to be had, signed by the manufacturer.
//!
//! Text, a field a line, in this order; the signature covers all lines before its own:
//!
//! ```text
//! PBMANIFEST1
//! product: PB-RS1
//! version: 1.1.0
//! file: update.img
//! size: 123456
//! signature: 128 hexadecimal digits, ed25519
//! ```
//!
//! `file` is the image's name on the server, beside the manifest; `size` is its length in bytes, header
//! included. What the image holds is signed in its own header.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

use crate::{Refusal, Version};

/// Longest manifest.
pub const MAX_MANIFEST: usize = 512;
const MAGIC: &str = "PBMANIFEST1";
const SIGNATURE: &str = "\nsignature: ";
const MAX_NAME: usize = 64;

/// What is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// Product that the image is for.
    pub product: &'a str,
    /// Version of the image.
    pub version: Version,
    /// Name of the image's file.
    pub file: &'a str,
    /// Length of the image in bytes.
    pub size: u32,
}

/// A manifest as received. Parsed, not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct SignedManifest<'a> {
    manifest: Manifest<'a>,
    signed: &'a [u8],
    signature: [u8; 64],
}

impl<'a> SignedManifest<'a> {
    /// Reads a manifest. Checks its form only.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let text = core::str::from_utf8(bytes).map_err(|_| Refusal::NoImage)?;
        let (signed, signature) = text.rsplit_once(SIGNATURE).ok_or(Refusal::NoImage)?;
        // The line end before the signature is signed as well.
        let signed = &text[..=signed.len()];
        let mut lines = signed.lines();
        if lines.next() != Some(MAGIC) {
            return Err(Refusal::NoImage);
        }
        let mut field = |name: &str| {
            let (found, value) = lines.next()?.split_once(": ")?;
            (found == name).then_some(value)
        };
        let product = field("product").ok_or(Refusal::NoImage)?;
        let version = field("version").ok_or(Refusal::NoImage)?;
        let file = field("file").ok_or(Refusal::NoImage)?;
        let size = field("size").ok_or(Refusal::NoImage)?;
        if lines.next().is_some() || !is_name(file) {
            return Err(Refusal::NoImage);
        }
        Ok(Self {
            manifest: Manifest {
                product,
                version: version.parse().map_err(|_| Refusal::Version)?,
                file,
                size: size.parse().map_err(|_| Refusal::Length)?,
            },
            signed: signed.as_bytes(),
            signature: digits(signature.trim_end()).ok_or(Refusal::Signature)?,
        })
    }

    /// What it says, if `key` signed it.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Manifest<'a>, Refusal> {
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(self.signed, &signature)
            .map_err(|_| Refusal::Signature)?;
        Ok(self.manifest)
    }

    /// What it says, whoever signed it.
    pub fn unverified(&self) -> Manifest<'a> {
        self.manifest
    }
}

/// The lines that are signed.
impl fmt::Display for Manifest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            product,
            version,
            file,
            size,
        } = self;
        write!(
            f,
            "{MAGIC}\nproduct: {product}\nversion: {version}\nfile: {file}\nsize: {size}\n"
        )
    }
}

/// A name of a file, not a path.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
