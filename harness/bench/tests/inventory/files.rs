//! What is said when files are missing or too large, and when names from the command line are wrong.

use provebench_bench::inventory::{Inventory, InventoryError};
use rstest::rstest;

use crate::message_text::said;
use provebench_testing::TestBench;

fn load(bench: &TestBench) -> Result<Inventory, InventoryError> {
    Inventory::load(&bench.devices(), &bench.targets())
}

#[rstest]
#[case::devices(
    "devices.toml",
    r"
cannot read devices.toml
  because No such file or directory (os error 2)
  help: create it (`provebench schema devices` says what it may hold), or name another with --devices
"
)]
#[case::target(
    TestBench::TARGET_FILE,
    r#"
no target in targets is called `sensor`
  devices.toml:3:10 `"sensor"` not known
  help: there is no target in targets at all
no target in targets is called `sensor`
  devices.toml:14:10 `"sensor"` not known
  help: there is no target in targets at all
"#
)]
#[case::driver(
    "targets/sensor/driver.star",
    r#"
cannot read targets/sensor/driver.star
  because No such file or directory (os error 2)
  targets/sensor/target.toml:2:8 `"sensor"` named here
  help: write the script that drives the product, or correct `driver` (relative to target.toml)
"#
)]
#[case::ics(
    TestBench::ICS_FILE,
    r#"
cannot read targets/sensor/ics.toml
  because No such file or directory (os error 2)
  targets/sensor/target.toml:2:8 `"sensor"` named here
  help: write down what the supplier declares (`provebench schema ics` and `... ixit` say how), or correct the path (relative to target.toml)
"#
)]
fn of_a_missing_file_it_says(#[case] file: &str, #[case] expected: &str) {
    let bench = TestBench::new();
    bench.remove(file);
    assert_eq!(
        format!("\n{}", said(&bench, &load(&bench).unwrap_err())),
        expected
    );
}

#[test]
fn of_no_device_at_all_it_says() {
    let bench = TestBench::new();
    bench.write("devices.toml", "# nothing yet\n");
    let expected = r#"
there is no device in devices.toml
  devices.toml:1:1 `#` no [[device]]
  help: add a [[device]] with its name and target; a virtual one needs no hardware: virtual = { board = "mps2-an385" }
"#;
    assert_eq!(
        format!("\n{}", said(&bench, &load(&bench).unwrap_err())),
        expected
    );
}

#[test]
fn of_a_file_that_is_not_text_it_says() {
    let bench = TestBench::new();
    bench.write("devices.toml", b"name = \"\xff\"");
    let expected = r"
cannot read devices.toml
  because line 1 is not UTF-8, but another encoding (Latin-1?) or no text
  help: save it as UTF-8
";
    assert_eq!(
        format!("\n{}", said(&bench, &load(&bench).unwrap_err())),
        expected
    );
}

#[rstest]
#[case::latin_1(b"# gut\n# gr\xfcn\n".as_slice(), "line 2 is not UTF-8")]
#[case::utf_16(b"\xff\xfe#\0".as_slice(), "it is UTF-16, not UTF-8")]
#[case::one_device(b"[device]\nname = \"a\"\ntarget = \"sensor\"\n".as_slice(), "did you mean `[[device]]`?")]
fn of_what_editors_and_people_do_it_says(#[case] content: &[u8], #[case] why: &str) {
    let bench = TestBench::new();
    bench.write("devices.toml", content);
    let said = said(&bench, &load(&bench).unwrap_err());
    assert!(said.contains(why), "{said}");
}

#[test]
fn images_may_be_missing_until_they_are_asked_for() {
    let bench = TestBench::new();
    bench
        .remove("targets/sensor/boot.bin")
        .remove("targets/sensor/update.img");
    let inventory = load(&bench).unwrap();
    let device = inventory.device("wired").unwrap();
    let expected = r#"
images `boot`, `update` are not there: targets/sensor/boot.bin
  because No such file or directory (os error 2)
  targets/sensor/target.toml:27:8 `"boot.bin"` this file
  help: build them with `make images`, from the root of the repository
"#;
    assert_eq!(
        format!("\n{}", said(&bench, &device.check_images().unwrap_err())),
        expected
    );
    let expected = r#"
image `boot` is not there: targets/sensor/boot.bin
  because No such file or directory (os error 2)
  targets/sensor/target.toml:27:8 `"boot.bin"` this file
  help: build it with `make images`, from the root of the repository
"#;
    let err = device.image("boot").unwrap().read().unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}

#[test]
fn of_a_missing_image_that_nobody_knows_how_to_build_it_says() {
    let bench = TestBench::new();
    bench.remove("targets/sensor/boot.bin").replace(
        TestBench::TARGET_FILE,
        "build = \"make images\"\n",
        "",
    );
    let inventory = load(&bench).unwrap();
    let expected = r#"
image `boot` is not there: targets/sensor/boot.bin
  because No such file or directory (os error 2)
  targets/sensor/target.toml:26:8 `"boot.bin"` this file
  help: build it, or correct `path` (relative to target.toml)
"#;
    let err = inventory.devices[0].check_images().unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}

#[test]
fn of_an_image_that_does_not_fit_it_says() {
    let bench = TestBench::new();
    bench.write("targets/sensor/boot.bin", vec![0; 0x1001]);
    let inventory = load(&bench).unwrap();
    let expected = r#"
image `boot` of 0x1001 bytes at 0x0 reaches beyond region `boot`, which ends at 0x1000
  targets/sensor/target.toml:27:8 `"boot.bin"` does not fit
  help: build a smaller image, or correct the address or the region
"#;
    let err = inventory.devices[0].check_images().unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
    let err = inventory.devices[0].firmware(None).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}

#[test]
fn images_that_are_there_and_fit_are_read() {
    let bench = TestBench::new();
    bench.write("targets/sensor/boot.bin", vec![7; 0x1000]);
    let inventory = load(&bench).unwrap();
    let device = inventory.device("emulated").unwrap();
    device.check_images().unwrap();
    assert_eq!(
        device.image("boot").unwrap().read().unwrap(),
        vec![7; 0x1000]
    );
}

#[test]
fn of_an_unknown_image_or_device_it_says() {
    let bench = TestBench::new();
    let inventory = load(&bench).unwrap();
    let image = inventory.devices[0].image("updat").unwrap_err();
    let device = inventory.device("emulate").unwrap_err();
    let unlike = inventory.device("x").unwrap_err();
    let all = said(&bench, &image) + &said(&bench, &device) + &said(&bench, &unlike);
    let expected = r"
no image in set `release` of target `sensor` is called `updat`
  help: did you mean `update`?
no device is called `emulate`
  help: did you mean `emulated`?
no device is called `x`
  help: there is `emulated`, `wired`
";
    assert_eq!(format!("\n{all}"), expected);
}
