//! A manifest is believed as the manufacturer signed it, to the letter.

use std::fmt::Write as _;

use ed25519_dalek::{Signer, SigningKey};
use image::{
    Refusal, Version,
    manifest::{Manifest, SignedManifest},
};
use rstest::rstest;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn signed(text: &str) -> String {
    let mut signature = String::new();
    for byte in key().sign(text.as_bytes()).to_bytes() {
        write!(signature, "{byte:02x}").unwrap();
    }
    format!("{text}signature: {signature}\n")
}

fn manifest() -> Manifest<'static> {
    Manifest {
        product: "PB-RS1",
        version: Version::new(1, 1, 0),
        file: "update.img",
        size: 123_456,
    }
}

#[test]
fn what_was_signed_is_read() {
    let text = signed(&manifest().to_string());
    let read = SignedManifest::parse(text.as_bytes()).unwrap();
    assert_eq!(read.verify(&key().verifying_key()), Ok(manifest()));
}

#[test]
fn another_key_is_not_believed() {
    let text = signed(&manifest().to_string());
    let read = SignedManifest::parse(text.as_bytes()).unwrap();
    let stranger = SigningKey::from_bytes(&[8; 32]).verifying_key();
    assert_eq!(read.verify(&stranger), Err(Refusal::Signature));
}

#[test]
fn no_byte_can_be_changed() {
    let text = signed(&manifest().to_string());
    // The line end after the signature is nobody's.
    for at in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let verified = SignedManifest::parse(&bytes)
            .and_then(|read| read.verify(&key().verifying_key()).map(|_| ()));
        // Digits of the signature may change case, which changes nothing.
        assert!(verified.is_err(), "byte {at}");
    }
}

#[rstest]
#[case("")]
#[case("PBMANIFEST1\n")]
#[case("PBMANIFEST2\nproduct: PB-RS1\nversion: 1.1.0\nfile: update.img\nsize: 1\n")]
#[case("PBMANIFEST1\nversion: 1.1.0\nproduct: PB-RS1\nfile: update.img\nsize: 1\n")]
#[case("PBMANIFEST1\nproduct: PB-RS1\nversion: 1.1\nfile: update.img\nsize: 1\n")]
#[case("PBMANIFEST1\nproduct: PB-RS1\nversion: 1.1.0\nfile: ../secret\nsize: 1\n")]
#[case("PBMANIFEST1\nproduct: PB-RS1\nversion: 1.1.0\nfile: a b\nsize: 1\n")]
#[case("PBMANIFEST1\nproduct: PB-RS1\nversion: 1.1.0\nfile: update.img\nsize: -1\n")]
#[case("PBMANIFEST1\nproduct: PB-RS1\nversion: 1.1.0\nfile: update.img\nsize: 1\nmore: 2\n")]
fn other_forms_are_refused(#[case] text: &str) {
    assert!(SignedManifest::parse(signed(text).as_bytes()).is_err());
    assert!(SignedManifest::parse(text.as_bytes()).is_err());
}
