//! What is said when target.toml is wrong.

use provebench_bench::inventory::Inventory;
use rstest::rstest;

use crate::message_text::said;
use provebench_testing::TestBench;

#[rstest]
#[case::not_toml(
    &[("[target]", "[target")],
    r"
unclosed table, expected `]`
  targets/sensor/target.toml:1:8 `` here
  help: `provebench schema target` prints what the file may hold
",
)]
#[case::no_target_table(
    &[("[target]", "[targets]")],
    r"
unknown field `targets`, expected one of `target`, `product`, `options`, `components`, `memory`, `images`, `timing`, `identity`, `debug_port`, `console`, `networks`, `services`
  targets/sensor/target.toml:1:2 `targets` here
  help: did you mean `target`?
",
)]
#[case::unknown_key(
    &[("model = ", "modle = ")],
    r"
unknown field `modle`, expected one of `name`, `model`, `chip`, `chip_description`, `build`, `driver`, `ics`, `ixit`
  targets/sensor/target.toml:3:1 `modle` here
  help: did you mean `model`?
",
)]
#[case::identity_of_no_bits(
    &[("[[memory]]\nname = \"boot\"", "[[identity]]\naddress = 0xE0042000\nmask = 0xFFF\nvalue = 0x1413\n\n[[memory]]\nname = \"boot\"")],
    r"
the identity register at 0xe0042000 tells nothing: its value has bits that its mask leaves out
  targets/sensor/target.toml:14:1 `[[identity]]` always wrong, or always right
  help: give `address` of a 32-bit register, `mask` with the bits that count, and `value` as they read, as in the chip's manual
",
)]
#[case::missing_model(
    &[("model = \"S-1\"\n", "")],
    r"
missing field `model`
  targets/sensor/target.toml:1:1 `[target]` here
  help: `provebench schema target` prints what the file may hold
",
)]
#[case::no_chip_for_a_probe(
    &[("chip = \"nRF52840_xxAA\"\n", "")],
    r#"
device `wired` has a debug probe, and target `sensor` names no chip
  devices.toml:7:9 `{ selector = "1366:1015:0001", protocol = "swd", speed_khz = 4000 }` wired to what?
  help: add `chip = "..."` to [target] in target.toml, by probe-rs' name, or leave the probe out
device `emulated` has a debug probe, and target `sensor` names no chip
  devices.toml:15:11 `{ board = "mps2-an385" }` wired to what?
  help: add `chip = "..."` to [target] in target.toml, by probe-rs' name, or leave the probe out
"#,
)]
#[case::name_is_not_the_folder(
    &[(r#"name = "sensor""#, r#"name = "senser""#)],
    r#"
the target in folder `sensor` calls itself `senser`
  targets/sensor/target.toml:2:8 `"senser"` should be `sensor`
  help: write name = "sensor", or rename the folder to `senser`
"#,
)]
#[case::unknown_chip(
    &[(r#""nRF52840_xxAA""#, r#""nRF52840_xxAB""#)],
    r#"
no chip is called `nRF52840_xxAB`
  targets/sensor/target.toml:4:8 `"nRF52840_xxAB"` not known
  help: did you mean `nRF52840_xxAA`?
"#,
)]
#[case::chip_unlike_any(
    &[(r#""nRF52840_xxAA""#, r#""%%%""#)],
    r#"
no chip is called `%%%`
  targets/sensor/target.toml:4:8 `"%%%"` not known
  help: there are 4379, but none is like it
"#,
)]
#[case::chip_description_missing(
    &[("build = ", "chip_description = \"chip.yaml\"\nbuild = ")],
    r#"
cannot read targets/sensor/chip.yaml
  because No such file or directory (os error 2)
  targets/sensor/target.toml:5:20 `"chip.yaml"` named here
  help: correct `chip_description` (relative to target.toml), or leave it out for chips that probe-rs knows
"#,
)]
#[case::chip_description_is_none(
    &[("build = ", "chip_description = \"driver.star\"\nbuild = ")],
    r#"
targets/sensor/driver.star is not a chip description for probe-rs: unknown field `def login(d)`, expected one of `name`, `manufacturer`, `chip_detection`, `generated_from_pack`, `pack_file_release`, `variants`, `flash_algorithms`
  targets/sensor/target.toml:5:20 `"driver.star"` this file
  help: make one with probe-rs' target-gen, or leave `chip_description` out for chips that probe-rs knows
"#,
)]
#[case::chip_not_in_description(
    &[(r#"chip = "nRF52840_xxAA""#, "chip = \"nRF52840_xxAA\"\nchip_description = \"family.yaml\"")],
    r#"
no chip is called `nRF52840_xxAA`
  targets/sensor/target.toml:4:8 `"nRF52840_xxAA"` not known
  help: there is `other`
"#,
)]
#[case::driver_missing(
    &[("build = ", "driver = \"drive.star\"\nbuild = ")],
    r#"
cannot read targets/sensor/drive.star
  because No such file or directory (os error 2)
  targets/sensor/target.toml:5:10 `"drive.star"` named here
  help: write the script that drives the product, or correct `driver` (relative to target.toml)
"#,
)]
#[case::ics_missing(
    &[("build = ", "ics = \"claims.toml\"\nbuild = ")],
    r#"
cannot read targets/sensor/claims.toml
  because No such file or directory (os error 2)
  targets/sensor/target.toml:5:7 `"claims.toml"` named here
  help: write down what the supplier declares (`provebench schema ics` and `... ixit` say how), or correct the path (relative to target.toml)
"#,
)]
#[case::ixit_missing(
    &[("build = ", "ixit = \"../ixit.toml\"\nbuild = ")],
    r#"
cannot read targets/ixit.toml
  because No such file or directory (os error 2)
  targets/sensor/target.toml:5:8 `"../ixit.toml"` named here
  help: write down what the supplier declares (`provebench schema ics` and `... ixit` say how), or correct the path (relative to target.toml)
"#,
)]
#[case::unknown_role(
    &[(r#""user-data""#, r#""userdata""#)],
    r#"
unknown variant `userdata`, expected one of `code`, `nvm`, `user-data`, `personalisation`
  targets/sensor/target.toml:22:8 `"userdata"` here
  help: did you mean `user-data`?
"#,
)]
#[case::region_empty(
    &[("start = 0x1000\nsize = 0x1000", "start = 0x1000\nsize = 0")],
    r"
memory region `store` of 0x0 bytes at 0x1000 is empty
  targets/sensor/target.toml:20:1 `[[memory]]` no such range
  help: give `start` and `size` in bytes, as in the chip's memory map
",
)]
#[case::region_beyond_address_space(
    &[("start = 0x1000\nsize = 0x1000", "start = 0xffff_ffff_ffff_ffff\nsize = 2")],
    r"
memory region `store` of 0x2 bytes at 0xffffffffffffffff is beyond the address space
  targets/sensor/target.toml:20:1 `[[memory]]` no such range
  help: give `start` and `size` in bytes, as in the chip's memory map
",
)]
#[case::region_of_negative_size(
    &[("start = 0x1000\nsize = 0x1000", "start = 0x1000\nsize = -1")],
    r"
invalid value: integer `-1`, expected u64
  targets/sensor/target.toml:24:8 `-1` here
  help: `provebench schema target` prints what the file may hold
",
)]
#[case::regions_overlap(
    &[("start = 0x1000", "start = 0xfff")],
    r#"
memory regions `boot` and `store` overlap from 0xfff up to 0x1000
  targets/sensor/target.toml:21:8 `"store"` overlaps
  targets/sensor/target.toml:15:8 `"boot"` with this
  help: split the larger region, so that each address has one role
"#,
)]
#[case::two_regions_of_one_name(
    &[(r#""store""#, r#""boot""#)],
    r#"
two memory regions are called `boot`
  targets/sensor/target.toml:21:8 `"boot"` the same name again
  targets/sensor/target.toml:15:8 `"boot"` first here
  help: give each memory region a name of its own
"#,
)]
#[case::image_without_address(
    &[("address = 0x0\n", "")],
    r"
image `boot` is to be programmed, but has no address
  targets/sensor/target.toml:26:17 `boot` no address
  help: add `address = 0x...`, or `flash = false` if only test cases use it
",
)]
#[case::image_in_user_data(
    &[("address = 0x0", "address = 0x1000")],
    r"
image `boot` goes to 0x1000, which is in no region that can be programmed: `store` holds data of the user
  targets/sensor/target.toml:28:11 `0x1000` in no such region
  help: the target's regions are: `boot` 0x0..0x1000
",
)]
#[case::image_outside_of_memory(
    &[("address = 0x0", "address = 0x8000_0000")],
    r"
image `boot` goes to 0x80000000, which is in no region that can be programmed
  targets/sensor/target.toml:28:11 `0x8000_0000` in no such region
  help: the target's regions are: `boot` 0x0..0x1000
",
)]
#[case::elf_with_address(
    &[(r#"path = "boot.bin""#, "path = \"boot.elf\"\nformat = \"elf\"")],
    r"
image `boot` has an address, but its file says where it goes
  targets/sensor/target.toml:29:11 `0x0` has no effect
  help: remove `address`, or `format` if the file holds raw bytes
",
)]
#[case::unknown_format(
    &[(r#"path = "boot.bin""#, "path = \"boot.elf\"\nformat = \"efl\"")],
    r#"
unknown variant `efl`, expected one of `bin`, `elf`, `hex`
  targets/sensor/target.toml:28:10 `"efl"` here
  help: `provebench schema target` prints what the file may hold
"#,
)]
#[case::bad_image_name(
    &[("[images.release.boot]", r#"[images.release."the boot"]"#)],
    r#"
`the boot` can't be the name of an image
  targets/sensor/target.toml:26:17 `"the boot"` not a name
  help: use letters, digits, `-`, `_` and `.`, a letter or digit first
"#,
)]
#[case::no_image_set_at_all(
    &[("[images.release.boot]\npath = \"boot.bin\"\naddress = 0x0\nflash = true\n\n[images.release.update]\npath = \"update.img\"\n", "")],
    r#"
no image set of target `sensor` is called `release`
  devices.toml:3:10 `"sensor"` not known
  help: there is no image set of target `sensor` at all
no image set of target `sensor` is called `release`
  devices.toml:14:10 `"sensor"` not known
  help: there is no image set of target `sensor` at all
"#,
)]
#[case::no_default_image_set(
    &[("[images.release.boot]", "[images.factory.boot]"), ("[images.release.update]", "[images.factory.update]")],
    r#"
no image set of target `sensor` is called `release`
  devices.toml:3:10 `"sensor"` not known
  help: there is `factory`
no image set of target `sensor` is called `release`
  devices.toml:14:10 `"sensor"` not known
  help: there is `factory`
"#,
)]
#[case::time_negative(
    &[("boot = 1", "boot = -1")],
    r"
-1 s is not a valid duration in seconds
  targets/sensor/target.toml:35:8 `-1` not a time
  help: write seconds as a positive number, such as 2.5
",
)]
#[case::time_zero(
    &[("boot = 1", "boot = 0.0")],
    r"
0 s is not a valid duration in seconds
  targets/sensor/target.toml:35:8 `0.0` not a time
  help: write seconds as a positive number, such as 2.5
",
)]
#[case::time_infinite(
    &[("boot = 1", "boot = inf")],
    r"
inf s is not a valid duration in seconds
  targets/sensor/target.toml:35:8 `inf` not a time
  help: write seconds as a positive number, such as 2.5
",
)]
#[case::time_not_a_number(
    &[("boot = 1", r#"boot = "1 s""#)],
    r#"
invalid type: string "1 s", expected f64
  targets/sensor/target.toml:35:8 `"1 s"` here
  help: `provebench schema target` prints what the file may hold
"#,
)]
#[case::unknown_key_of_debug_port(
    &[("busy_register", "bussy_register")],
    r"
unknown field `bussy_register`, expected one of `register`, `value`, `busy_register`
  targets/sensor/target.toml:41:39 `bussy_register` here
  help: did you mean `busy_register`?
",
)]
#[case::baud_zero(
    &[("9600", "0")],
    r"
invalid value: integer `0`, expected a nonzero u32
  targets/sensor/target.toml:44:8 `0` here
  help: `provebench schema target` prints what the file may hold
",
)]
#[case::component_of_no_case(
    &[("5.11-1-2", "5.11-1-22")],
    r#"
no test case, test group or clause is called `5.11-1-22`
  targets/sensor/target.toml:48:12 `"5.11-1-22"` not known
  help: did you mean `5.11-1-2`?
"#,
)]
fn of_a_target_it_says(#[case] edits: &[(&str, &str)], #[case] expected: &str) {
    let bench = TestBench::new();
    for (old, new) in edits {
        bench.replace(TestBench::TARGET_FILE, old, new);
    }
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}

#[rstest]
#[case::unknown_kind(
    "[networks.lan]\n[services.api]\nkind = \"htp\"",
    r#"
no kind of service is called `htp`
  targets/sensor/target.toml:51:8 `"htp"` not known
  help: did you mean `http`?
"#
)]
#[case::unknown_network(
    "[networks.lan]\n[services.api]\nkind = \"http\"\nnetwork = \"wan\"",
    r#"
no network is called `wan`
  targets/sensor/target.toml:52:11 `"wan"` not known
  help: there is `lan`
"#
)]
#[case::no_network(
    "[services.api]\nkind = \"http\"",
    r#"
there can be no service `api`: the product has no network: `[networks.lan]` gives it one
  targets/sensor/target.toml:49:11 `api` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::two_networks("[networks.lan]\n[networks.wan]", r#"
there can be no network `wan`: a bench makes one network for a product, and that is `lan`
  targets/sensor/target.toml:50:11 `wan` this one
  targets/sensor/target.toml:49:11 `lan` the first one
  help: `gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, "Networks and services"
"#)]
#[case::doubled_service(
    "[networks.lan]\n[services.api]\nkind = \"http\"\n[services.api]\nkind = \"mqtt\"",
    r"
duplicate key
  targets/sensor/target.toml:52:11 `api` here
  help: `provebench schema target` prints what the file may hold
"
)]
#[case::doubled_host(
    "[networks.lan]\n[services.api]\nkind = \"http\"\nhost = \"a.example\"\n[services.broker]\nkind = \"mqtt\"\nhost = \"A.example\"",
    r#"
there can be no service `broker`: A.example is the name of service `api`, too
  targets/sensor/target.toml:53:11 `broker` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::name_of_a_function(
    "[networks.lan]\n[services.start]\nkind = \"http\"",
    r#"
there can be no service `start`: that is a function of t.services in test cases
  targets/sensor/target.toml:50:11 `start` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::name_in_no_script("[networks.lan]\n[services.my-api]\nkind = \"http\"", r#"
there can be no service `my-api`: names are lower case letters, digits and _, and begin with a letter
  targets/sensor/target.toml:50:11 `my-api` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#)]
#[case::another_kind_than_usual(
    "[networks.lan]\n[services.mqtt]\nkind = \"http\"",
    r#"
there can be no service `mqtt`: `mqtt` is always of kind mqtt
  targets/sensor/target.toml:50:11 `mqtt` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::second_name_server(
    "[networks.lan]\n[services.names]\nkind = \"dns\"",
    r#"
there can be no service `names`: a network has one service of kind dns, which is called `dns`
  targets/sensor/target.toml:50:11 `names` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::second_name_in_a_certificate(
    "[networks.lan]\n[services.api]\nkind = \"http\"\nhosts = [\"a.example\", \"b.example\"]",
    r#"
there can be no service `api`: its certificate is for one host: give each host a service of its own
  targets/sensor/target.toml:50:11 `api` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::not_a_host(
    "[networks.lan]\n[services.api]\nkind = \"http\"\nhost = \"https://a.example\"",
    r#"
there can be no service `api`: "https://a.example" is not a valid name of a host
  targets/sensor/target.toml:50:11 `api` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::host_of_an_address_server(
    "[networks.lan]\n[services.dhcp]\nkind = \"dhcp\"\nhost = \"a.example\"",
    r#"
there can be no service `dhcp`: what is of kind dhcp has no host name
  targets/sensor/target.toml:50:11 `dhcp` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::no_tls(
    "[networks.lan]\n[services.ntp]\nkind = \"ntp\"\nplain_port = 1",
    r#"
there can be no service `ntp`: what is of kind ntp has one port
  targets/sensor/target.toml:50:11 `ntp` this one
  help: docs/targets.md, "Networks and services", has what can be said of a service
"#
)]
#[case::port_zero(
    "[networks.lan]\n[services.api]\nkind = \"http\"\nport = 0",
    r"
invalid value: integer `0`, expected a nonzero u16
  targets/sensor/target.toml:52:8 `0` here
  help: `provebench schema target` prints what the file may hold
"
)]
#[case::gateway_outside("[networks.lan]\ngateway = \"192.168.8.16\"\nprefix = 28", r#"
there can be no network `lan`: gateway 192.168.8.16 is not a host's address in 192.168.8.16/28
  targets/sensor/target.toml:49:11 `lan` this one
  help: `gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, "Networks and services"
"#)]
#[case::gateway_is_not_an_address(
    "[networks.lan]\ngateway = \"192.168.8\"",
    r#"
invalid IPv4 address syntax
  targets/sensor/target.toml:50:11 `"192.168.8"` here
  help: `provebench schema target` prints what the file may hold
"#
)]
#[case::too_many_leases(
    "[networks.lan]\ngateway = \"192.168.8.1\"\nprefix = 28\nleases = 14",
    r#"
there can be no network `lan`: 14 leases, and there is room for 13: after gateway 192.168.8.1 in 192.168.8.0/28
  targets/sensor/target.toml:49:11 `lan` this one
  help: `gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, "Networks and services"
"#
)]
#[case::no_leases("[networks.lan]\nleases = 0", r#"
there can be no network `lan`: no leases, and the DUT needs one
  targets/sensor/target.toml:49:11 `lan` this one
  help: `gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, "Networks and services"
"#)]
#[case::prefix("[networks.lan]\nprefix = 31", r#"
there can be no network `lan`: a prefix of 31 bits; 8 to 30 can be
  targets/sensor/target.toml:49:11 `lan` this one
  help: `gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, "Networks and services"
"#)]
#[case::link_local("[networks.lan]\nipv6 = \"fe80::1\"", r#"
there can be no network `lan`: fe80::1 can't be a gateway's address: take one of fd00::/8
  targets/sensor/target.toml:49:11 `lan` this one
  help: `gateway`, `prefix`, `leases` and `ipv6` say which addresses it has: docs/targets.md, "Networks and services"
"#)]
#[case::ipv6_is_not_an_address(
    "[networks.lan]\nipv6 = \"fe80\"",
    r#"
`ipv6` has to be an IPv6 address, or false
  targets/sensor/target.toml:50:8 `"fe80"` here
  help: `provebench schema target` prints what the file may hold
"#
)]
fn of_networks_and_services_it_says(#[case] text: &str, #[case] expected: &str) {
    let bench = TestBench::new();
    bench.append(TestBench::TARGET_FILE, text);
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}

const DESCRIBED: &str = r#"
[[flaw]]
name = "none"

[[flaw]]
name = "no-lockout"
number = 11
"#;

/// An option whose values are in a file of their own.
#[rstest]
#[case::right("flaw", DESCRIBED, "")]
#[case::of_another_option(
    "flaw",
    "[[flow]]\nname = \"none\"\n",
    r"
there is no [[flaw]], which would be a value of the option
  targets/sensor/flaws.toml:1:1 `[` here
  help: `provebench schema target` prints what the file may hold
"
)]
#[case::without_name(
    "flaw",
    "[[flaw]]\nnumber = 1\n",
    r"
the value has no `name`
  targets/sensor/flaws.toml:1:1 `[[flaw]]` here
  help: `provebench schema target` prints what the file may hold
"
)]
#[case::twice(
    "flaw",
    "[[flaw]]\nname = \"none\"\n[[flaw]]\nname = \"none\"\n",
    r"
two values are called `none`
  targets/sensor/flaws.toml:3:1 `[[flaw]]` the same name again
  help: give each value a name of its own
"
)]
#[case::no_such_value(
    "flaw",
    "[[flaw]]\nname = \"nona\"\n",
    r#"
option `flaw` can't be `none` for target `sensor`
  devices.toml:6:20 `"none"` not known
  help: did you mean `nona`?
"#
)]
fn of_values_in_a_file_it_says(#[case] option: &str, #[case] file: &str, #[case] expected: &str) {
    let bench = TestBench::new();
    bench
        .replace(
            TestBench::TARGET_FILE,
            "flaw = [\"none\", \"no-lockout\"]",
            &format!("{option} = {{ from = \"flaws.toml\" }}"),
        )
        .write("targets/sensor/flaws.toml", file);
    let said = match Inventory::load(&bench.devices(), &bench.targets()) {
        Ok(_) => String::new(),
        Err(err) => format!("\n{}", said(&bench, &err)),
    };
    assert_eq!(said, expected);
}

#[test]
fn a_file_of_values_is_within_the_target() {
    let bench = TestBench::new();
    bench.replace(
        TestBench::TARGET_FILE,
        "flaw = [\"none\", \"no-lockout\"]",
        "flaw = { from = \"/etc/passwd\" }",
    );
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    let said = said(&bench, &err);
    assert!(said.starts_with("cannot read /etc/passwd"), "{said}");
}
