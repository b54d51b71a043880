//! Who the device is, whom it lets in, and how often it lets anyone try.

mod common;

use common::{Nor, blank};
use image::{CRC32, Journal};
use rstest::{fixture, rstest};
use sensor::{
    Flaw, Personalisation,
    credential::may_be_chosen,
    lockout::{FREE_ATTEMPTS, LONGEST_WAIT, Lockout, SecurityState, TooEarly, wait_after},
    memory,
    personalisation::{Missing, SIZE, Verifier},
};

const PASSWORD: &[u8] = b"q7Hd-Vn3x-TzKe";
/// Of the password, with salt 00 01 .. 0F and 1000 iterations, by another implementation.
const HASH: &str = "b6ab5e443825c3bda7eb901a2774d3050c24c81b838eb49094d9011baab98f07";

type Sector = [u8; SIZE];

/// What the factory writes.
#[fixture]
fn sector() -> Sector {
    let mut sector = [0xFF; SIZE];
    sector[0x100..].fill(0);
    sector[0x100..0x108].copy_from_slice(b"PBPERS01");
    sector[0x108..0x110].copy_from_slice(b"PB250001");
    sector[0x118..0x11C].copy_from_slice(&1000u32.to_le_bytes());
    for at in 0..16 {
        sector[0x120 + at] = at as u8;
    }
    for at in 0..32 {
        sector[0x130 + at] = u8::from_str_radix(&HASH[2 * at..2 * at + 2], 16).unwrap();
    }
    sealed(sector)
}

fn sealed(mut sector: Sector) -> Sector {
    let crc = CRC32.checksum(&sector[0x100..0x190]);
    sector[0x190..].copy_from_slice(&crc.to_le_bytes());
    sector
}

#[rstest]
fn the_password_on_the_label_opens_the_device_and_no_other(sector: Sector) {
    let device = Personalisation::parse(&sector).unwrap();
    assert_eq!(device.serial, "PB250001");
    assert!(device.opens(PASSWORD));
    let cut_short = &PASSWORD[..13];
    for wrong in [&b""[..], b"admin", b"250001", b"Rw5t-Hx8d-Cq2z", cut_short] {
        assert!(!device.opens(wrong), "{wrong:?}");
    }
}

#[rstest]
fn no_flaw_is_in_force_without_the_feature(mut sector: Sector) {
    for number in 1..=14u32 {
        sector[0x11C..0x120].copy_from_slice(&number.to_le_bytes());
        let device = Personalisation::parse(&sealed(sector)).unwrap();
        sensor::flaw::choose(device.flaw);
        assert!(!Flaw::UniversalPassword.in_force() && !Flaw::HardCodedPassword.in_force());
        assert!(
            !device.opens(b"admin") && !device.opens(b"Rw5t-Hx8d-Cq2z") && device.opens(PASSWORD)
        );
    }
}

#[rstest]
#[case::no_magic(0x100, 0)]
#[case::no_serial(0x108, 0)]
#[case::strange_serial(0x109, 0x07)]
#[case::many_iterations(0x11B, 0xFF)]
fn a_damaged_personalisation_is_none(mut sector: Sector, #[case] at: usize, #[case] byte: u8) {
    sector[at] = byte;
    assert_eq!(
        Personalisation::parse(&sealed(sector)).err(),
        Some(Missing::Damaged)
    );
}

#[rstest]
fn each_flipped_bit_of_a_personalisation_is_noticed(sector: Sector) {
    for bit in 0x100 * 8..SIZE * 8 {
        let mut sector = sector;
        sector[bit / 8] ^= 1 << (bit % 8);
        assert!(Personalisation::parse(&sector).is_err(), "bit {bit}");
    }
}

#[test]
fn a_blank_sector_is_blank() {
    assert_eq!(
        Personalisation::parse(&[0xFF; SIZE]).err(),
        Some(Missing::Blank)
    );
}

fn lockout(nor: &Nor, now: u64) -> Lockout<Nor> {
    let journal = Journal::<_, SecurityState>::new(nor.clone(), memory::SECURITY_STATE);
    Lockout::new(journal, now).unwrap()
}

fn wrong(lockout: &mut Lockout<Nor>, now: u64) -> Result<bool, TooEarly> {
    lockout.attempt(now, || false).unwrap()
}

#[test]
fn waits_grow_and_are_bounded() {
    let waits: Vec<u32> = (1..=7).map(wait_after).collect();
    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16]);
    assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    assert!((1..100).all(|n| wait_after(n) <= wait_after(n + 1)));
}

#[test]
fn nothing_is_looked_at_before_the_wait_is_over() {
    let nor = blank();
    let mut lockout = lockout(&nor, 0);
    for _ in 0..FREE_ATTEMPTS {
        assert_eq!(wrong(&mut lockout, 10), Ok(false));
    }
    let early = lockout
        .attempt(1009, || panic!("it was looked at"))
        .unwrap();
    assert_eq!(early, Err(TooEarly { wait: 1 }));
    assert_eq!(lockout.attempt(1010, || true).unwrap(), Ok(true));
    assert_eq!(lockout.wrong().unwrap(), 0);
}

#[test]
fn a_restart_buys_no_guess() {
    let nor = blank();
    let mut guesses = 0;
    // Off and on again after each guess, or when there is to be a wait.
    for _ in 0..1000 {
        let mut lockout = lockout(&nor, 0);
        if wrong(&mut lockout, 0).is_ok() {
            guesses += 1;
        }
    }
    assert_eq!(guesses, FREE_ATTEMPTS);
    assert_eq!(lockout(&nor, 0).wait_left(0), 1);
}

#[test]
fn a_power_cut_while_a_password_is_checked_counts_it() {
    let nor = blank();
    for n in 1..=5 {
        let before = lockout(&nor, 0).wait_left(0);
        let mut lockout = lockout(&nor, 0);
        let now = u64::from(before) * 1000;
        // The check is where the power fails: nothing after it happens.
        let check = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lockout.attempt(now, || std::panic::resume_unwind(Box::new("power cut")))
        }));
        assert!(check.is_err());
        assert_eq!(self::lockout(&nor, 0).wrong().unwrap(), n);
    }
}

#[rstest]
fn a_password_of_ones_own_replaces_the_label(sector: Sector) {
    let device = Personalisation::parse(&sector).unwrap();
    let own = Verifier::of(b"correct horse battery", [7; 16], 1000);
    let kept = Verifier::from_text(&own.to_text(), 1000).unwrap();
    assert!(device.opens_with(Some(&kept), b"correct horse battery"));
    assert!(!device.opens_with(Some(&kept), PASSWORD));
    assert!(device.opens_with(None, PASSWORD));
    assert!(!device.opens_with(None, b"correct horse battery"));
}

#[rstest]
#[case::nothing("")]
#[case::short("00")]
#[case::no_digits(&"x".repeat(96))]
#[case::signs(&"+1".repeat(48))]
#[case::not_ascii(&"\u{fc}".repeat(48))]
fn what_is_no_kept_password_opens_nothing(#[case] text: &str) {
    assert!(Verifier::from_text(text, 1000).is_none());
}

#[rstest]
#[case(b"elevenchars", false)]
#[case(b"twelve chars", true)]
#[case(&[b'x'; 64], true)]
#[case(&[b'x'; 65], false)]
#[case(b"twelve\tchars", false)]
#[case("tw\u{e9}lve chars".as_bytes(), false)]
fn passwords_that_may_be_chosen(#[case] password: &[u8], #[case] admitted: bool) {
    assert_eq!(may_be_chosen(password), admitted);
}
