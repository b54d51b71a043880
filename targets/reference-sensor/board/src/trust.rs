//! Whose images this product runs.

use ed25519_dalek::VerifyingKey;
use image::{
    Refusal, SignedHeader, Version,
    header::SIGNED_SIZE,
    manifest::{Manifest, SignedManifest},
};
use sensor::{Flaw, MODEL};

use crate::{LOAD_ADDRESS, LOAD_ROOM};

/// Verifies the manufacturer's signatures.
const MANUFACTURER: [u8; 32] = key(include_bytes!("../../keys/manufacturer.pub"));

/// Checks everything that a header can tell: signed by the manufacturer, for this product, at least
/// as new as `floor`.
pub fn verify_header(header: &SignedHeader, floor: Version) -> Result<(), Refusal> {
    let blank = header.bytes()[SIGNED_SIZE..].iter().all(|byte| *byte == 0);
    let unseen =
        blank && Flaw::AcceptsUnsignedUpdate.in_force() || Flaw::UpdateIgnoresSignature.in_force();
    if !unseen {
        let key = VerifyingKey::from_bytes(&MANUFACTURER).map_err(|_| Refusal::Signature)?;
        header.verify_signature(&key)?;
    }
    header.verify_fit(MODEL, LOAD_ADDRESS, LOAD_ROOM)?;
    if header.header().version < floor && !Flaw::AcceptsDowngrade.in_force() {
        return Err(Refusal::Version);
    }
    Ok(())
}

/// What a manifest says, if the manufacturer signed it and it is for this product.
pub fn verify_manifest(bytes: &[u8]) -> Result<Manifest<'_>, Refusal> {
    let signed = SignedManifest::parse(bytes)?;
    let manifest = if Flaw::UpdateIgnoresSignature.in_force() {
        signed.unverified()
    } else {
        let key = VerifyingKey::from_bytes(&MANUFACTURER).map_err(|_| Refusal::Signature)?;
        signed.verify(&key)?
    };
    if manifest.product == MODEL {
        Ok(manifest)
    } else {
        Err(Refusal::Product)
    }
}

/// A key as 64 hexadecimal digits; anything else does not compile.
const fn key(text: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let mut at = 0;
    while at < 32 {
        key[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    key
}

const fn digit(text: u8) -> u8 {
    match text {
        b'0'..=b'9' => text - b'0',
        b'a'..=b'f' => text - b'a' + 10,
        _ => panic!("not a lower-case hexadecimal digit"),
    }
}
