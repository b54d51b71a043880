//! Updates, and outages of network and services.

use provebench_record::event::Outcome;
use rstest::rstest;

use super::{assert_judged, expect, judge};

#[rstest]
#[case::one_slot("")]
#[case::two_slots("slots = 2")]
#[case::one_that_forgets_by_itself("forgets = False")]
#[case::says_that_it_goes_back(
    "{'rollback': 'none', 'product_check': 'none'}, goes_back = True, accepts = ['wrong-product']"
)]
#[case::does_not_go_back("{'rollback': 'nothing older is accepted'}")]
#[case::without_older_image("{'rollback': 'none'}, lacks = ['older']")]
#[case::says_so("{'product_check': 'none'}, accepts = ['wrong-product']")]
#[case::takes_none_of_other_products("{'product_check': 'in the header'}")]
#[case::without_image_of_another_product("{'product_check': 'none'}, lacks = ['wrong-product']")]
#[case::covers_all("{'coverage': 'every-byte'}")]
fn what_is_not_authentic_is_refused(#[case] product: &str, #[values('a', 'b')] unit: char) {
    let product = format!("updating: updating({product})");
    expect(format!("5.3-9-2 {unit}"), &product, Outcome::Pass, "");
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
    expect(format!("5.3-9-2 {unit}"), &product, Outcome::Fail, why);
}

#[rstest]
#[case::nothing_forgets("slots = 2, forgets = False", "no function interrupt_update")]
#[case::nothing_older("{'rollback': 'no'}, lacks = ['older']", "no image `older`")]
#[case::says_nothing_of_older_ones("goes_back = True", "does not say `rollback` of UpdMech-1")]
#[case::says_nothing_of_older_ones_and_has_none("lacks = ['older']", "does not say `rollback`")]
#[case::says_nothing_of_others("accepts = ['wrong-product']", "does not say `product_check`")]
#[case::says_nothing_of_others_and_has_none(
    "lacks = ['wrong-product']",
    "does not say `product_check`"
)]
#[case::says_nothing_of_another_way(
    "{'id': 'Net', 'mechanism': 'net', 'rollback': 'no'}, ways = ['net', 'Usb'], others = [{'id': 'Usb'}], goes_back_by = ['Usb']",
    "does not say `rollback` of Usb"
)]
#[case::spoiled_ones_wait("format = 'uf2', forgets = False", "takes an image that is spoiled")]
#[case::nothing_for_others(
    "{'product_check': 'in the header'}, lacks = ['wrong-product']",
    "no image `wrong-product`"
)]
fn what_cannot_be_tried_is_inconclusive(#[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    expect("5.3-9-2 a", &product, Outcome::Inconclusive, why);
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
            result.outcome() == Outcome::Pass
                || (encodes && result.outcome() == Outcome::Inconclusive),
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
    expect(unit, &product, Outcome::Fail, "accepts: ");
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
    expect(unit, &product, Outcome::Fail, &why);
}

#[rstest]
#[case::goes_back(
    "{'rollback': 'nothing older'}, goes_back = True",
    Outcome::Fail,
    "accepts: image older"
)]
#[case::may_go_back("{'rollback': 'none'}, goes_back = True", Outcome::Pass, "")]
#[case::says_nothing("goes_back = True", Outcome::Inconclusive, "does not say `rollback`")]
#[case::does_not("", Outcome::Pass, "")]
#[case::of_one_way(
    "{'id': 'Net', 'mechanism': 'net', 'rollback': 'none'}, ways = ['net', 'Usb'], others = [{'id': 'Usb', 'rollback': 'no'}], goes_back_by = ['net']",
    Outcome::Pass,
    ""
)]
#[case::of_another_way(
    "{'id': 'Net', 'mechanism': 'net', 'rollback': 'none'}, ways = ['net', 'Usb'], others = [{'id': 'Usb', 'rollback': 'no'}], goes_back_by = ['Usb']",
    Outcome::Fail,
    "accepts: image older"
)]
fn old_images_are_judged_by_what_is_declared(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("updating: updating({product})");
    expect("5.3-2-2 a", &product, outcome, why);
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
    "declares UpdMech-Usb, and update_mechanisms of the driver has no actions for it"
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
    expect(format!("5.3-9-2 {unit}"), &product, outcome, why);
}

/// A way that takes nothing refuses nothing for what it is.
#[rstest]
#[case::closed(
    "takes_nothing = True",
    Outcome::Inconclusive,
    "does not accept image update"
)]
#[case::open("", Outcome::Pass, "")]
fn each_way_has_to_take_a_good_image_first(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[values('a', 'b')] unit: char,
) {
    let product = format!(
        "updating: updating({{'id': 'network'}}, others = [{{'id': 'console'}}], ways = ['network', 'console'], {product})"
    );
    expect(format!("5.3-9-2 {unit}"), &product, outcome, why);
}

#[rstest]
#[case::at_once("")]
#[case::after_the_handshake("verifies = 'after the handshake'")]
#[case::takes_orders("queues = True")]
#[case::has_other_calls_to_make("calls_then = [('tcp', 5228)], calls_out = [('tcp', 5228)]")]
#[case::takes_orders_and_is_late("queues = True, verifies = 'after the handshake'")]
fn servers_are_verified(#[case] product: &str) {
    let product = format!("updating: updating({product})");
    expect("5.3-10-1 b", &product, Outcome::Pass, "");
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
#[case::never_by_another_protocol(
    "verifies = 'never', speaks = 'tls-data'",
    "whose certificate is self-signed"
)]
#[case::in_clear("in_clear = True", "in the clear: HTTP")]
#[case::in_clear_by_another_protocol("in_clear = True, speaks = 'malformed'", "in the clear")]
#[case::by_tftp("calls_then = [('udp', 69)]", "nobody declared: UDP 69")]
#[case::by_ftp("calls_then = [('tcp', 21)]", "nobody declared: TCP 21")]
fn servers_are_believed(#[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    expect("5.3-10-1 b", &product, Outcome::Fail, why);
}

#[rstest]
#[case::quic("calls_then = [('udp', 443)]", "UDP 443")]
#[case::declared_tftp("calls_then = [('udp', 69)], calls_out = [('udp', 69)]", "UDP 69")]
#[case::mqtt("tells_then = True", "MQTT in the clear")]
fn ways_that_nobody_serves_are_named(#[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    expect("5.3-10-1 b", &product, Outcome::Inconclusive, why);
}

#[test]
fn servers_that_are_not_called_prove_nothing() {
    let product = "updating: updating(queues = True, calls = False)";
    expect(
        "5.3-10-1 b",
        product,
        Outcome::Inconclusive,
        "did not even call",
    );
}

#[rstest]
#[case::as_the_sensor_does("")]
#[case::without_noticing("notices = False")]
#[case::and_fetches_later("queues = True")]
#[case::and_fetches_when_asked_again("queues = True, fetches = False")]
#[case::at_its_console("login = ['network', 'console']")]
#[case::at_what_is_no_network_s("login = ['keypad']")]
#[case::over_the_network_only("login = ['network']")]
fn outages_are_lived_through(
    #[case] product: &str,
    #[values("5.9-1-2 a", "5.9-2-2 a")] unit: &str,
) {
    let product = format!("updating: updating({product})");
    expect(unit, &product, Outcome::Pass, "");
}

#[rstest]
#[case::nothing_measured("5.9-1-2 a", "measures = False", "does not measure without mqtt")]
#[case::nothing_kept("5.9-1-2 a", "delivers = False", "of 3 messages")]
#[case::nothing_kept_unnoticed("5.9-2-2 a", "delivers = False, notices = False", "of 3 messages")]
#[case::changed("5.9-1-2 a", "changes_without_server = True", "the version changed")]
#[case::never_again("5.9-1-2 a", "calls = False", "is refused when its server is back")]
fn outages_are_not_lived_through(#[case] unit: &str, #[case] product: &str, #[case] why: &str) {
    let product = format!("updating: updating({product})");
    expect(unit, &product, Outcome::Fail, why);
}

/// What the bench can't see an assessor has to say.
#[rstest]
fn outages_that_end_what_the_product_does_by_itself_are_not(
    #[values("5.9-1-2 a", "5.9-2-2 a")] unit: &str,
) {
    let product = "updating: updating(login = ['network'], answers = 'no')";
    assert_judged(
        &judge(unit, product),
        Outcome::Fail,
        "without network, and says: no",
    );
}

/// The proof of an outage is the bench's.
#[rstest]
#[case("5.9-1-2 a")]
#[case("5.9-2-2 a")]
fn outages_that_are_none_prove_nothing(#[case] unit: &str) {
    let product = "updating: updating(pulled = False)";
    expect(unit, product, Outcome::Inconclusive, "but plugged in");
}

#[rstest]
#[case::nothing_declared("resists = []", Outcome::Inconclusive, "declares no mechanism")]
#[case::nothing_kept_either("resists = [], delivers = False", Outcome::Fail, "of 3 messages")]
#[case::declared("resists = [{'id': 'ResMech-Power'}]", Outcome::Pass, "")]
fn what_lives_through_outages_is_declared(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("updating: updating({product})");
    expect("5.9-2-2 a", &product, outcome, why);
}

/// Incomplete images, and the ways to offer them; with what takes a bench that cuts power left out.
#[rstest]
#[case::another_way(
    "{'id': 'UpdMech-Net', 'mechanism': 'net'}, ways = ['net'], others = [{'id': 'UpdMech-Usb', 'mechanism': 'usb'}]",
    Outcome::Inconclusive,
    "UpdMech-Usb"
)]
#[case::all(
    "{'id': 'UpdMech-Net', 'mechanism': 'net'}, ways = ['net']",
    Outcome::Pass,
    ""
)]
#[case::after_a_fault(
    "{'id': 'UpdMech-Net'}, others = [{'id': 'UpdMech-Usb'}], accepts = ['damaged']",
    Outcome::Fail,
    "accepts"
)]
fn ways_to_misuse_that_nothing_takes_are_named(
    #[case] product: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("updating: updating({product})");
    expect("5.3-2-2 a", &product, outcome, why);
}

const AUTOMATIC: &str = "{'automatic_after_start': 10}, automatic = ";
const DECISION: &str = "{'id': 'UserDec-Auto', 'decision': 'automatic-updates'}";

#[rstest]
#[case::as_the_user_says("'asked'", DECISION, Outcome::Pass, "")]
#[case::the_only_decision("'asked'", "{'id': 'UserDec-Any'}", Outcome::Pass, "")]
#[case::not_at_all("'never'", DECISION, Outcome::Fail, "nothing is installed by itself")]
#[case::whatever_the_user_says("'always'", DECISION, Outcome::Fail, "before it was 1")]
#[case::another_decision(
    "'asked'",
    "{'decision': 'automatic-updates'}, {'id': 'UserDec-Time', 'decision': 'update-time'}",
    Outcome::Inconclusive,
    "UserDec-Time"
)]
#[case::none_declared(
    "'asked'",
    "",
    Outcome::Inconclusive,
    "IXIT 26-UserDec declares nothing"
)]
fn users_decide_about_automatic_updates(
    #[case] automatic: &str,
    #[case] decisions: &str,
    #[case] outcome: Outcome,
    #[case] why: &str,
) {
    let product = format!("updating: updating({AUTOMATIC}{automatic}, decisions = [{decisions}])");
    expect("5.3-6A-2 a", &product, outcome, why);
}

/// Whatever is there is installed at once, or after a start.
#[rstest]
#[case::by_itself("'asked'", Outcome::Pass, "")]
#[case::not_at_all("'never'", Outcome::Fail, "nothing is installed by itself")]
fn updates_are_automatic(#[case] automatic: &str, #[case] outcome: Outcome, #[case] why: &str) {
    let product = format!("updating: updating({AUTOMATIC}{automatic})");
    expect("5.3-4A-2 a", &product, outcome, why);
}
