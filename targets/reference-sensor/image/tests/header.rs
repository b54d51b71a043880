//! No bit of an image can be changed, and no image of anyone else is accepted.

use ed25519_dalek::{Signer, SigningKey};
use image::{HEADER_SIZE, Header, Refusal, SignedHeader, Version, header::SIGNED_SIZE};
use rstest::{fixture, rstest};

const PRODUCT: &str = "PB-RS1";
const ADDRESS: u32 = 0x2000_0400;

struct Signed {
    key: SigningKey,
    header: [u8; HEADER_SIZE],
    payload: Vec<u8>,
}

#[fixture]
fn signed() -> Signed {
    sign_for(PRODUCT, SigningKey::from_bytes(&[7; 32]))
}

fn sign_for(product: &str, key: SigningKey) -> Signed {
    let payload: Vec<u8> = (0..1024u32).flat_map(u32::to_le_bytes).collect();
    let described = Header::describe(product, Version::new(1, 2, 3), ADDRESS, &payload);
    let mut header = [0; HEADER_SIZE];
    header[..SIGNED_SIZE].copy_from_slice(&described.to_signed_bytes());
    let signature = key.sign(&header[..SIGNED_SIZE]);
    header[SIGNED_SIZE..].copy_from_slice(&signature.to_bytes());
    Signed {
        key,
        header,
        payload,
    }
}

fn verify(
    header: &[u8; HEADER_SIZE],
    payload: &[u8],
    key: &SigningKey,
) -> Result<Version, Refusal> {
    let signed = SignedHeader::parse(header)?;
    signed.verify_signature(&key.verifying_key())?;
    signed.verify_fit(PRODUCT, ADDRESS, 64 * 1024)?;
    signed.header().verify_payload(payload)?;
    Ok(signed.header().version)
}

#[rstest]
fn a_good_image_is_accepted(signed: Signed) {
    let version = verify(&signed.header, &signed.payload, &signed.key);
    assert_eq!(version, Ok(Version::new(1, 2, 3)));
}

#[rstest]
fn every_flipped_bit_of_the_header_is_refused(signed: Signed) {
    for bit in 0..HEADER_SIZE * 8 {
        let mut header = signed.header;
        header[bit / 8] ^= 1 << (bit % 8);
        assert!(
            verify(&header, &signed.payload, &signed.key).is_err(),
            "bit {bit} does not matter"
        );
    }
}

#[rstest]
fn every_flipped_bit_of_the_payload_is_refused(signed: Signed) {
    for bit in 0..signed.payload.len() * 8 {
        let mut payload = signed.payload.clone();
        payload[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verify(&signed.header, &payload, &signed.key),
            Err(Refusal::Digest),
            "bit {bit}"
        );
    }
}

#[rstest]
fn every_truncated_header_is_refused(signed: Signed) {
    for len in 0..HEADER_SIZE {
        let mut header = [0xFF; HEADER_SIZE];
        header[..len].copy_from_slice(&signed.header[..len]);
        assert!(
            verify(&header, &signed.payload, &signed.key).is_err(),
            "{len} bytes are enough"
        );
    }
}

#[rstest]
#[case::shorter(&|payload: &mut Vec<u8>| payload.truncate(4092))]
#[case::empty(&|payload: &mut Vec<u8>| payload.clear())]
#[case::longer(&|payload: &mut Vec<u8>| payload.extend([0xFF; 4]))]
fn another_length_is_refused(signed: Signed, #[case] change: &dyn Fn(&mut Vec<u8>)) {
    let mut payload = signed.payload.clone();
    change(&mut payload);
    assert_eq!(
        verify(&signed.header, &payload, &signed.key),
        Err(Refusal::Length)
    );
}

#[rstest]
fn another_key_is_refused(signed: Signed) {
    let other = SigningKey::from_bytes(&[8; 32]);
    assert_eq!(
        verify(&signed.header, &signed.payload, &other),
        Err(Refusal::Signature)
    );
}

#[rstest]
#[case::other("PB-XX9")]
#[case::longer("PB-RS10")]
#[case::shorter("PB-RS")]
fn another_product_is_refused(#[case] product: &str) {
    let signed = sign_for(product, SigningKey::from_bytes(&[7; 32]));
    assert_eq!(
        verify(&signed.header, &signed.payload, &signed.key),
        Err(Refusal::Product)
    );
}

#[rstest]
#[case("1.2.3", Some(Version::new(1, 2, 3)))]
#[case("0.0.65535", Some(Version::new(0, 0, 65535)))]
#[case("1.2", None)]
#[case("1.2.3.4", None)]
#[case("1.2.65536", None)]
#[case("", None)]
fn versions_are_read(#[case] text: &str, #[case] version: Option<Version>) {
    assert_eq!(text.parse().ok(), version);
}

#[test]
fn versions_are_ordered_by_number() {
    assert!(Version::new(1, 10, 0) > Version::new(1, 9, 9));
    assert!(Version::new(2, 0, 0) > Version::new(1, 65535, 65535));
}
