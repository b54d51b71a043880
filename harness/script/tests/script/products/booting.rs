//! Software that is verified before it is started.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::expect;

#[rstest]
#[case::whole("")]
#[case::as_declared("says = {'coverage': 'every-byte'}")]
#[case::two_slots_one_of_which_runs("slots = [0x1000, 0x9000]")]
#[case::the_second("slots = [0x1000, 0x9000], runs = 0x9000")]
#[case::an_older_update_in_the_other_slot(
    "slots = [0x1000, 0x9000], images = ['app', 'older'], other = 'older'"
)]
#[case::erases_what_it_refuses("erases = True")]
fn changes_that_are_noticed_pass(#[case] product: &str) {
    expect(
        "5.7-1-2 a",
        format!("booting: booting({product})"),
        Outcome::Pass,
        "",
    );
}

/// Formats cover what they cover: see the table of images for updates.
#[rstest]
#[case::header("covers = lambda size, offset: offset > 31", "byte 0 flipped")]
#[case::trailer(
    "covers = lambda size, offset: offset < size - 40",
    "byte 5983 flipped"
)]
#[case::padded(
    "covers = lambda size, offset: offset < 5984, fill = 20000",
    "byte 25983 flipped"
)]
#[case::falls_back_for_good("falls_back = True", "version 0 runs when all is as it was")]
#[case::always("always = True", "at every start")]
fn changes_that_a_format_may_not_cover_are_inconclusive(#[case] product: &str, #[case] why: &str) {
    expect(
        "5.7-1-2 a",
        format!("booting: booting({product})"),
        Outcome::Inconclusive,
        why,
    );
}

#[rstest]
#[case::nothing("covers = lambda size, offset: False", "does not show")]
#[case::a_checksum_of_the_header(
    "covers = lambda size, offset: offset < 512",
    "of image app at 0x1000"
)]
#[case::half(
    "covers = lambda size, offset: offset < size // 4 + 10",
    "does not show"
)]
#[case::in_no_slot(
    "covers = lambda size, offset: False, slots = [0x1000, 0x9000]",
    "does not show"
)]
#[case::header_though_declared(
    "covers = lambda size, offset: offset > 31, says = {'coverage': 'every-byte'}",
    "byte 0 flipped"
)]
fn changes_that_are_not_noticed_fail(#[case] product: &str, #[case] why: &str) {
    expect(
        "5.7-1-2 a",
        format!("booting: booting({product})"),
        Outcome::Fail,
        why,
    );
}
