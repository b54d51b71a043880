//! When to try again, and what to believe of a time server.

use protocol::{
    Backoff,
    backoff::spread_ms,
    sntp::{self, PACKET, Unusable},
};
use rstest::rstest;

#[test]
fn waits_double_up_to_the_longest() {
    let mut backoff = Backoff::new(1000, 10_000);
    // The largest random number that spreads to the whole wait differs: ask for the upper bound.
    let mut upper = 1000;
    for _ in 0..10 {
        let wait = backoff.wait_ms(u32::MAX);
        assert!((upper / 2..=upper).contains(&wait), "{wait} of {upper}");
        upper = (upper * 2).min(10_000);
    }
    backoff.reset();
    assert!(backoff.wait_ms(7) <= 1000);
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(1000)]
#[case(u32::MAX)]
fn spread_stays_between_half_and_all(#[case] wait: u32) {
    for random in [0, 1, 12_345, u32::MAX / 2, u32::MAX] {
        let spread = spread_ms(wait, random);
        assert!(spread >= wait / 2 && spread <= wait, "{spread} of {wait}");
    }
}

#[test]
fn spread_differs_between_devices() {
    let waits: std::collections::BTreeSet<_> =
        (0..100).map(|i| spread_ms(10_000, i * 7919)).collect();
    assert!(waits.len() > 90);
}

fn good_answer(cookie: u64, seconds: u32) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = 4 << 3 | 4;
    packet[1] = 2;
    packet[24..32].copy_from_slice(&cookie.to_be_bytes());
    packet[40..44].copy_from_slice(&seconds.to_be_bytes());
    packet
}

#[rstest]
#[case(2_208_988_800, 0)]
// 2026-11-25 00:00:00
#[case(4_004_553_600, 1_795_564_800)]
// The second era: 2036-02-07 06:28:16
#[case(0, 2_085_978_496)]
fn tells_the_time(#[case] ntp: u32, #[case] unix: u64) {
    assert_eq!(sntp::answer(&good_answer(99, ntp), 99), Ok(unix));
}

#[test]
fn the_question_carries_the_cookie() {
    assert_eq!(
        sntp::question(0x0102_0304_0506_0708)[40..],
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
}

#[rstest]
#[case(0, 4 << 3 | 3, Unusable::Malformed)]
#[case(0, 3 << 6 | 4 << 3 | 4, Unusable::Unsynchronised)]
#[case(1, 0, Unusable::Unsynchronised)]
#[case(1, 16, Unusable::Unsynchronised)]
#[case(24, 1, Unusable::NotOurs)]
fn believes_no_other_answer(#[case] at: usize, #[case] byte: u8, #[case] why: Unusable) {
    let mut packet = good_answer(99, 4_004_553_600);
    packet[at] = byte;
    assert_eq!(sntp::answer(&packet, 99), Err(why));
}

#[test]
fn a_short_answer_is_none() {
    assert_eq!(
        sntp::answer(&good_answer(1, 1)[..47], 1),
        Err(Unusable::Malformed)
    );
}
