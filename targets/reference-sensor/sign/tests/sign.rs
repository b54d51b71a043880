//! What the tool signs is what the device verifies.

use std::fs;

use assert_cmd::Command;
use ed25519_dalek::VerifyingKey;
use image::{HEADER_SIZE, Refusal, SignedHeader, Version};
use rstest::{fixture, rstest};
use tempfile::TempDir;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keys");

struct Bench {
    dir: TempDir,
}

#[fixture]
fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("program"), [7; 1001]).unwrap();
    Bench { dir }
}

impl Bench {
    fn sign(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        Command::cargo_bin("sign")
            .unwrap()
            .current_dir(self.dir.path())
            .args(arguments)
            .args(["program", "image"])
            .assert()
    }

    fn image(&self) -> (SignedHeader, Vec<u8>) {
        let image = fs::read(self.dir.path().join("image")).unwrap();
        let (header, payload) = image.split_first_chunk::<HEADER_SIZE>().unwrap();
        (SignedHeader::parse(header).unwrap(), payload.to_vec())
    }
}

/// The key that the firmware is built with.
fn manufacturer() -> VerifyingKey {
    let mut key = [0; 32];
    let text = fs::read_to_string(format!("{KEYS}/manufacturer.pub")).unwrap();
    hex::decode_to_slice(text.trim(), &mut key).unwrap();
    VerifyingKey::from_bytes(&key).unwrap()
}

#[rstest]
fn an_image_by_the_manufacturer_is_valid(bench: Bench) {
    bench
        .sign(&[
            "--key",
            &format!("{KEYS}/manufacturer.test-key"),
            "--version",
            "1.2.3",
        ])
        .success();
    let (header, payload) = bench.image();
    header.verify_signature(&manufacturer()).unwrap();
    header.verify_fit("PB-RS1", 0x2000_0400, 4096).unwrap();
    header.header().verify_payload(&payload).unwrap();
    assert_eq!(header.header().version, Version::new(1, 2, 3));
    assert_eq!((payload.len(), &payload[1001..]), (1004, &[0; 3][..]));
}

#[rstest]
#[case::stranger(&["--key", concat!(env!("CARGO_MANIFEST_DIR"), "/../keys/stranger.test-key")])]
#[case::unsigned(&[])]
fn no_other_image_is(bench: Bench, #[case] key: &[&str]) {
    bench
        .sign(&[key, &["--version", "1.2.3"]].concat())
        .success();
    assert_eq!(
        bench.image().0.verify_signature(&manufacturer()),
        Err(Refusal::Signature)
    );
}

#[rstest]
#[case::no_key_file(&["--version", "1.0.0", "--key", "absent"], "cannot read absent")]
#[case::no_key(&["--version", "1.0.0", "--key", "program"], "")]
#[case::no_version(&["--version", "1.0"], "not major.minor.patch")]
#[case::address(&["--version", "1.0.0", "--address", "20000400"], "expected 0x")]
#[case::product(&["--version", "1.0.0", "--product", "a product with a long name"], "up to 16 characters")]
fn mistakes_are_told(bench: Bench, #[case] arguments: &[&str], #[case] message: &str) {
    let failed = bench.sign(arguments).failure();
    let said = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(said.contains(message), "{said}");
    assert!(!bench.dir.path().join("image").exists());
}
