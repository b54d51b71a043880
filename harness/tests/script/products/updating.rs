//! Updates, and outages of network and services.

use provebench::event::Outcome;
use rstest::rstest;

use super::{assert_judged, judge};

#[rstest]
#[case::one_slot("")]
#[case::two_slots("slots = 2")]
#[case::one_that_forgets_by_itself("forgets = False")]
#[case::goes_back("goes_back = True")]
#[case::says_that_it_goes_back("{'rollback': 'none'}, goes_back = True")]
#[case::does_not_go_back("{'rollback': 'nothing older is accepted'}")]
#[case::without_older_image("lacks = ['older']")]
#[case::takes_images_of_other_products("accepts = ['wrong-product']")]
#[case::says_so("{'product_check': 'none'}, accepts = ['wrong-product']")]
#[case::takes_none_of_other_products("{'product_check': 'in the header'}")]
#[case::without_image_of_another_product("lacks = ['wrong-product']")]
#[case::covers_all("{'coverage': 'every-byte'}")]
fn what_is_not_authentic_is_refused(#[case] product: &str, #[values('a', 'b')] unit: char) {
    let product = format!("updating: updating({product})");
    let result = judge(&format!("5.3-9-2 {unit}"), &product);
    assert_judged(&result, Outcome::Pass, "");
}

#[rstest]
#[case::unsigned('a', "accepts = ['unsigned']", "accepts: image unsigned")]
#[case::two_slots('a', "slots = 2, accepts = ['wrong-key']", "accepts: image wrong-key")]
#[case::damaged('b', "accepts = ['damaged']", "bytes missing at the end")]
#[case::for_another_product(
    'a',
    "{'product_check': 'in the header'}, accepts = ['wrong-product']",
    "accepts: image wrong-product"
)]
#[case::appended(
    'b',
    "{'coverage': 'every-byte'}, format = 'mcuboot'",
    "accepts: 4 bytes appended, 4096 bytes appended"
)]
#[case::in_the_header('b', "{'coverage': 'every-byte'}, format = 'fit'", "byte 30 flipped")]
#[case::small_letters('b', "{'coverage': 'every-byte'}, format = 'hex padded'", "flipped")]
#[case::older(
    'a',
    "{'rollback': 'nothing older'}, goes_back = True",
    "accepts: image older"
)]
#[case::in_words_only(
    'a',
    "installs = ['wrong-key'], keeps = True",
    "runs after images were refused"
)]
fn what_is_not_authentic_is_accepted(#[case] unit: char, #[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    let result = judge(&format!("5.3-9-2 {unit}"), &product);
    assert_judged(&result, Outcome::Fail, why);
}

#[rstest]
#[case::nothing_forgets("slots = 2, forgets = False", "no function interrupt_update")]
#[case::nothing_older("{'rollback': 'no'}, lacks = ['older']", "no image `older`")]
#[case::nothing_for_others(
    "{'product_check': 'in the header'}, lacks = ['wrong-product']",
    "no image `wrong-product`"
)]
fn what_cannot_be_tried_is_inconclusive(#[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    let result = judge("5.3-9-2 a", &product);
    assert_judged(&result, Outcome::Inconclusive, why);
}

/// What is and is not covered in images as formats' own tools make and verify them. Each is accepted with what its format
/// does not cover, and rightly so.
#[rstest]
#[case::mcuboot("mcuboot", "4 bytes appended, 4096 bytes appended")]
#[case::mcuboot_padded("mcuboot padded", "1 bytes missing at the end")]
#[case::mcuboot_padded_little("mcuboot padded little", "1 bytes missing at the end")]
#[case::esp_idf("esp-idf", "4 bytes appended")]
#[case::esp_idf_secure_boot("esp-idf secure boot", "1 bytes missing at the end")]
#[case::rauc("rauc", "")]
#[case::swupdate("swupdate", "byte 30 flipped")]
#[case::fit("fit", "byte 30 flipped")]
#[case::mender("mender", "4096 bytes appended")]
#[case::hex("hex", "4 bytes appended")]
#[case::hex_padded("hex padded", "bytes missing at the end")]
#[case::uf2("uf2", "4 bytes appended")]
fn formats_are_taken_as_they_are(#[case] format: &str, #[case] accepted: &str) {
    let product = format!(
        "updating: updating({{'authenticity': 'x', 'integrity': 'x'}}, format = '{format}')"
    );
    let encodes = format.starts_with("hex") || format == "uf2";
    for unit in ["5.3-9-2 a", "5.3-10-1 a", "5.3-2-2 a"] {
        let result = judge(unit, &product);
        assert!(
            result.outcome == Outcome::Pass || (encodes && result.outcome == Outcome::Inconclusive),
            "{unit}: {result:?}"
        );
    }
    let result = judge("5.3-9-2 b", &product);
    if accepted.is_empty() {
        assert_judged(&result, Outcome::Pass, "");
    } else {
        assert_judged(&result, Outcome::Inconclusive, accepted);
        assert_judged(&result, Outcome::Inconclusive, "coverage = \"every-byte\"");
    }
}

#[rstest]
fn formats_are_no_excuse(
    #[values(
        "mcuboot",
        "mcuboot padded",
        "mcuboot padded little",
        "esp-idf",
        "esp-idf secure boot",
        "rauc",
        "swupdate",
        "fit",
        "mender"
    )]
    format: &str,
    #[values("5.3-9-2 a", "5.3-9-2 b", "5.3-10-1 a", "5.3-2-2 a")] unit: &str,
) {
    let product = format!(
        "updating: updating({{'authenticity': 'x', 'integrity': 'x'}}, accepts = ['damaged'], format = '{format}')"
    );
    assert_judged(&judge(unit, &product), Outcome::Fail, "accepts: ");
}

/// Of what encodes an image nothing is known: the supplier's own specimens count.
#[rstest]
fn encodings_are_no_excuse(
    #[values("hex", "hex padded", "uf2")] format: &str,
    #[values("5.3-9-2 a", "5.3-10-1 a")] unit: &str,
    #[values("unsigned", "wrong-key")] image: &str,
) {
    let product = format!(
        "updating: updating({{'authenticity': 'x', 'integrity': 'x'}}, accepts = ['{image}'], format = '{format}')"
    );
    let why = format!("accepts: image {image}");
    assert_judged(&judge(unit, &product), Outcome::Fail, &why);
}

#[rstest]
#[case::goes_back(
    "{'rollback': 'nothing older'}, goes_back = True",
    Outcome::Fail,
    "accepts: image older"
)]
#[case::may_go_back("goes_back = True", Outcome::Pass, "")]
fn old_images_are_judged_by_what_is_declared(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("updating: updating({product})");
    assert_judged(&judge("5.3-2-2 a", &product), outcome, why);
}

/// A declared way to install an update that the driver can't take is named, and the others are tried.
#[rstest]
#[case::by_its_word(
    "{'id': 'UpdMech-Net', 'mechanism': 'net'}, ways = ['net'], others = [{'id': 'UpdMech-Usb', 'mechanism': 'usb'}]",
    Outcome::Inconclusive,
    "UpdMech-Usb"
)]
#[case::of_a_driver_that_does_not_say(
    "{'id': 'UpdMech-Net'}, others = [{'id': 'UpdMech-Usb'}]",
    Outcome::Inconclusive,
    "all of UpdMech-Net, UpdMech-Usb but one"
)]
#[case::after_a_fault(
    "{'id': 'UpdMech-Net'}, others = [{'id': 'UpdMech-Usb'}], accepts = ['unsigned', 'damaged']",
    Outcome::Fail,
    "accepts"
)]
#[case::all_of_them(
    "{'id': 'UpdMech-Net', 'mechanism': 'net'}, ways = ['net', 'UpdMech-Usb'], others = [{'id': 'UpdMech-Usb'}]",
    Outcome::Pass,
    ""
)]
fn what_nothing_installs_is_named(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values('a', 'b')] unit: char,
) {
    let product = format!("updating: updating({product})");
    let result = judge(&format!("5.3-9-2 {unit}"), &product);
    assert_judged(&result, outcome, why);
}

/// A way that takes nothing refuses nothing for what it is.
#[rstest]
#[case::closed(
    "takes_nothing = True",
    Outcome::Inconclusive,
    "does not accept image unconfirmed"
)]
#[case::open("", Outcome::Pass, "")]
fn each_way_has_to_take_a_good_image_first(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values('a', 'b')] unit: char,
) {
    let product = format!("updating: updating(ways = ['network', 'console'], {product})");
    let result = judge(&format!("5.3-9-2 {unit}"), &product);
    assert_judged(&result, outcome, why);
}

#[rstest]
#[case::at_once("")]
#[case::after_the_handshake("verifies = 'after the handshake'")]
#[case::takes_orders("queues = True")]
#[case::takes_orders_and_is_late("queues = True, verifies = 'after the handshake'")]
fn servers_are_verified(#[case] product: &str) {
    let product = format!("updating: updating({product})");
    assert_judged(&judge("5.3-10-1 b", &product), Outcome::Pass, "");
}

#[rstest]
#[case::never(
    "verifies = 'never'",
    "whose certificate is self-signed, unknown-ca, signed-by-device"
)]
#[case::never_though_later(
    "queues = True, verifies = 'never'",
    "whose certificate is self-signed"
)]
#[case::in_clear("in_clear = True", "in the clear")]
fn servers_are_believed(#[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    assert_judged(&judge("5.3-10-1 b", &product), Outcome::Fail, why);
}

#[test]
fn servers_that_are_not_called_prove_nothing() {
    let product = "updating: updating(queues = True, calls = False)";
    let result = judge("5.3-10-1 b", product);
    assert_judged(&result, Outcome::Inconclusive, "did not even call");
}

#[rstest]
#[case::as_the_sensor_does("")]
#[case::without_noticing("notices = False")]
#[case::and_fetches_later("queues = True")]
#[case::and_fetches_when_asked_again("queues = True, fetches = False")]
fn outages_are_lived_through(
    #[case] product: &str,
    #[values("5.9-1-2 a", "5.9-2-2 a")] unit: &str,
) {
    let product = format!("updating: updating({product})");
    assert_judged(&judge(unit, &product), Outcome::Pass, "");
}

#[rstest]
#[case::nothing_measured("5.9-1-2 a", "measures = False", "does not measure without mqtt")]
#[case::nothing_kept("5.9-1-2 a", "delivers = False", "of 3 messages")]
#[case::nothing_kept_unnoticed("5.9-2-2 a", "delivers = False, notices = False", "of 3 messages")]
#[case::changed("5.9-1-2 a", "changes_without_server = True", "the version changed")]
#[case::never_again("5.9-1-2 a", "calls = False", "is refused when its server is back")]
fn outages_are_not_lived_through(#[case] unit: &str, #[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    assert_judged(&judge(unit, &product), Outcome::Fail, why);
}

/// The proof of an outage is the bench's.
#[rstest]
#[case("5.9-1-2 a")]
#[case("5.9-2-2 a")]
fn outages_that_are_none_prove_nothing(#[case] unit: &str) {
    let product = "updating: updating(pulled = False)";
    let result = judge(unit, product);
    assert_judged(&result, Outcome::Inconclusive, "but plugged in");
}
