//! Random numbers: no two starts, and no two devices, share them.

mod common;

use std::collections::BTreeSet;

use image::Journal;
use rstest::rstest;
use sensor::{
    entropy::{Starts, count_start, seed},
    memory::STARTS,
};

fn flash() -> common::Nor {
    common::Nor::blank(STARTS as usize + 0x2000)
}

#[test]
fn every_start_has_its_number() {
    let flash = flash();
    let mut seen = BTreeSet::new();
    // More than one sector holds.
    for _ in 0..300 {
        let start = count_start(&mut Journal::new(flash.clone(), STARTS)).unwrap();
        assert!(seen.insert(start.0), "start {} twice", start.0);
    }
}

#[rstest]
#[case::of_another_device(seed(Some(&[2; 32]), Starts(1), 7, 0))]
#[case::of_the_next_start(seed(Some(&[1; 32]), Starts(2), 7, 0))]
#[case::without_identity(seed(None, Starts(1), 7, 0))]
fn seeds_differ(#[case] other: [u8; 32]) {
    assert_ne!(seed(Some(&[1; 32]), Starts(1), 7, 0), other);
}
