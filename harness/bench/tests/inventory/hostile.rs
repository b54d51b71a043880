//! Whatever is in the files: an answer, never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use miette::{GraphicalReportHandler, GraphicalTheme};
use provebench_bench::inventory::Inventory;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rstest::rstest;

use provebench_testing::{DEVICES, TARGET, TestBench};

/// Reads the inventory and shows what is wrong with it, if anything is.
fn try_it(bench: &TestBench, what: &str) {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        if let Err(err) = Inventory::load(&bench.devices(), &bench.targets()) {
            let mut text = String::new();
            GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
                .render_report(&mut text, &err)
                .expect("it can be shown");
            assert!(text.contains("help:"), "{text}");
        }
    }));
    assert!(tried.is_ok(), "{what}");
}

#[rstest]
#[case("devices.toml", DEVICES)]
#[case(TestBench::TARGET_FILE, TARGET)]
fn a_file_that_ends_anywhere(#[case] file: &str, #[case] text: &str) {
    let bench = without_builtin_chips();
    let text = text.replace("\"nRF52840_xxAA\"", CHIP);
    for end in 0..text.len() {
        bench.write(file, &text[..end]);
        try_it(&bench, &text[..end]);
    }
}

#[rstest]
#[case("devices.toml", DEVICES)]
#[case(TestBench::TARGET_FILE, TARGET)]
fn a_file_with_bytes_changed_anywhere(#[case] file: &str, #[case] text: &str) {
    const BYTES: &[u8] = b"\"'[]{}=.,#\n\t \\0-9_ax\x00\x7f\xc3\xff";
    let bench = without_builtin_chips();
    let text = text.replace("\"nRF52840_xxAA\"", CHIP);
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..500 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = BYTES[random.random_range(0..BYTES.len())];
        }
        bench.write(file, &bytes);
        try_it(&bench, &String::from_utf8_lossy(&bytes));
    }
}

#[rstest]
#[case::lists("x = ", "[")]
#[case::tables("x = ", "{a=")]
#[case::keys("", "a.")]
fn a_file_nested_without_end(#[case] start: &str, #[case] level: &str) {
    let bench = without_builtin_chips();
    bench.write("devices.toml", start.to_owned() + &level.repeat(100_000));
    try_it(&bench, level);
}

const CHIP: &str = "\"other\"\nchip_description = \"family.yaml\"";

/// Reading probe-rs' own chips takes most of the time, and shows nothing here.
fn without_builtin_chips() -> TestBench {
    let bench = TestBench::new();
    bench.replace(TestBench::TARGET_FILE, "\"nRF52840_xxAA\"", CHIP);
    bench
}
