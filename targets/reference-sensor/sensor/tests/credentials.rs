//! What the factory writes for the network.

use image::CRC32;
use rstest::rstest;
use sensor::{
    Credentials,
    personalisation::{Missing, SECTOR},
};

const CA: &[u8] = &[1; 400];
const CLIENT: &[u8] = &[2; 450];
const KEY: [u8; 32] = [7; 32];

/// A sector with these certificates.
fn sector(server: &[u8]) -> Box<[u8; SECTOR]> {
    let certificates = [CA, CLIENT, server].concat();
    let len = 0x34 + certificates.len() + 4;
    let mut record = b"PBCRED01".to_vec();
    record.extend((len as u32).to_le_bytes());
    for part in [CA, CLIENT, server, &[]] {
        record.extend((part.len() as u16).to_le_bytes());
    }
    record.extend(KEY);
    record.extend(certificates);
    record.extend(CRC32.checksum(&record).to_le_bytes());
    let mut sector = Box::new([0xFF; SECTOR]);
    sector[0x200..0x200 + record.len()].copy_from_slice(&record);
    sector
}

#[rstest]
#[case::of_its_own(&[3; 500], &[3; 500])]
#[case::the_clients(&[], CLIENT)]
fn are_read(#[case] server: &[u8], #[case] expected: &[u8]) {
    let sector = sector(server);
    let credentials = Credentials::parse(&sector).unwrap();
    assert_eq!(credentials.ca, CA);
    assert_eq!(credentials.client, CLIENT);
    assert_eq!(credentials.server, expected);
    assert_eq!(credentials.key, &KEY);
}

#[test]
fn a_device_may_have_none() {
    let missing = Credentials::parse(&[0xFF; SECTOR]).err();
    assert_eq!(missing, Some(Missing::Blank));
}

#[test]
fn any_changed_byte_is_noticed() {
    let good = sector(&[3; 10]);
    for at in 0x200..0x200 + 0x34 + 400 + 450 + 10 + 4 {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        let missing = Credentials::parse(&damaged).err();
        assert_eq!(missing, Some(Missing::Damaged), "byte {at:#x}");
    }
}

/// Lengths that lie, with a CRC that does not.
#[rstest]
#[case::of_a_certificate(0xC, 2)]
#[case::of_the_record(0x8, 4)]
fn lengths_are_not_believed(#[case] at: usize, #[case] size: usize) {
    for value in [0u32, 1, 3, 0x37, 0x38, 1000, 3584, 3585, 0xFFFF, u32::MAX] {
        let mut lying = sector(&[]);
        lying[0x200 + at..0x200 + at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        let len = u32::from_le_bytes(lying[0x208..0x20C].try_into().unwrap()) as usize;
        if (4..=SECTOR - 0x200).contains(&len) {
            let crc = CRC32.checksum(&lying[0x200..0x200 + len - 4]);
            lying[0x200 + len - 4..0x200 + len].copy_from_slice(&crc.to_le_bytes());
        }
        // Whatever is read, it is read from the record.
        if let Ok(credentials) = Credentials::parse(&lying) {
            let read = credentials.ca.len() + credentials.client.len();
            assert!(read + 0x38 <= len);
        }
    }
}
