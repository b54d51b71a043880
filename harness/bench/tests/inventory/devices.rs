//! What is said when devices.toml is wrong.

use provebench_bench::inventory::Inventory;
use rstest::rstest;

use crate::message_text::said;
use provebench_testing::TestBench;

#[rstest]
#[case::not_toml(
    &[(r#"name = "wired""#, r#"name = "wired"#)],
    r#"
invalid basic string, expected `"`
  devices.toml:2:14 `` here
  help: `provebench schema devices` prints what the file may hold
"#,
)]
#[case::unknown_key(
    &[("tags = ", "tagz = ")],
    r"
unknown field `tagz`, expected one of `name`, `target`, `tags`, `images`, `label`, `options`, `provider`, `virtual`, `probe`, `console`, `power`, `network`, `carrier`, `actuators`
  devices.toml:4:1 `tagz` here
  help: did you mean `tags`?
",
)]
#[case::unknown_key_unlike_any(
    &[("tags = ", "zzz = ")],
    r"
unknown field `zzz`, expected one of `name`, `target`, `tags`, `images`, `label`, `options`, `provider`, `virtual`, `probe`, `console`, `power`, `network`, `carrier`, `actuators`
  devices.toml:4:1 `zzz` here
  help: `provebench schema devices` prints what the file may hold
",
)]
#[case::missing_name(
    &[("name = \"wired\"\n", "")],
    r"
missing field `name`
  devices.toml:1:1 `[[device]]` here
  help: `provebench schema devices` prints what the file may hold
",
)]
#[case::missing_target(
    &[("name = \"wired\"\ntarget = \"sensor\"\n", "name = \"wired\"\n")],
    r"
missing field `target`
  devices.toml:1:1 `[[device]]` here
  help: `provebench schema devices` prints what the file may hold
",
)]
#[case::wrong_type(
    &[(r#"serial = "S1""#, "serial = 1")],
    r"
invalid type: integer `1`, expected a string
  devices.toml:5:20 `1` here
  help: `provebench schema devices` prints what the file may hold
",
)]
#[case::duplicate_name(
    &[(r#""emulated""#, r#""wired""#)],
    r#"
two devices are called `wired`
  devices.toml:13:8 `"wired"` the same name again
  devices.toml:2:8 `"wired"` first here
  help: give each device a name of its own
"#,
)]
#[case::name_with_slash(
    &[(r#""emulated""#, r#""../emulated""#)],
    r#"
`../emulated` can't be the name of a device
  devices.toml:13:8 `"../emulated"` not a name
  help: use letters, digits, `-`, `_` and `.`, a letter or digit first
"#,
)]
#[case::empty_name(
    &[(r#""emulated""#, r#""""#)],
    r#"
`` can't be the name of a device
  devices.toml:13:8 `""` not a name
  help: use letters, digits, `-`, `_` and `.`, a letter or digit first
"#,
)]
#[case::unknown_target(
    &[("name = \"wired\"\ntarget = \"sensor\"", "name = \"wired\"\ntarget = \"sensr\"")],
    r#"
no target in targets is called `sensr`
  devices.toml:3:10 `"sensr"` not known
  help: did you mean `sensor`?
"#,
)]
#[case::target_outside_of_folder(
    &[("name = \"wired\"\ntarget = \"sensor\"", "name = \"wired\"\ntarget = \"../targets/sensor\"")],
    r#"
no target in targets is called `../targets/sensor`
  devices.toml:3:10 `"../targets/sensor"` not known
  help: there is `sensor`
"#,
)]
#[case::unknown_image_set(
    &[(r#"tags = ["bench1"]"#, r#"images = "relaese""#)],
    r#"
no image set of target `sensor` is called `relaese`
  devices.toml:4:10 `"relaese"` not known
  help: did you mean `release`?
"#,
)]
#[case::unknown_option(
    &[(r#"flaw = "none""#, r#"flow = "none""#)],
    r"
no option of target `sensor` is called `flow`
  devices.toml:6:13 `flow` not known
  help: did you mean `flaw`?
",
)]
#[case::unknown_option_value(
    &[(r#"flaw = "none""#, r#"flaw = "no-lokout""#)],
    r#"
option `flaw` can't be `no-lokout` for target `sensor`
  devices.toml:6:20 `"no-lokout"` not known
  help: did you mean `no-lockout`?
"#,
)]
#[case::virtual_with_probe_and_power(
    &[("virtual =", "probe = { selector = \"1:2\" }\npower = { driver = \"tasmota\", url = \"http://h\" }\nvirtual =")],
    r#"
device `emulated` has `virtual`, and still has `probe`
  devices.toml:15:9 `{ selector = "1:2" }` its provider brings its own
  help: remove `probe`, or `virtual` if nothing provides its equipment
device `emulated` has `virtual`, and still has `power`
  devices.toml:16:9 `{ driver = "tasmota", url = "http://h" }` its provider brings its own
  help: remove `power`, or `virtual` if nothing provides its equipment
"#,
)]
#[case::virtual_with_actuator(
    &[("virtual =", "actuators.reset = { driver = \"tasmota\", url = \"http://h\" }\nvirtual =")],
    r"
device `emulated` has `virtual`, and still has `actuators`
  devices.toml:15:11 `reset` its provider brings its own
  help: remove `actuators`, or `virtual` if nothing provides its equipment
",
)]
#[case::virtual_with_network(
    &[("virtual =", "network = { interface = \"enp3s0\" }\nvirtual =")],
    r#"
device `emulated` has `virtual`, and still has `network`
  devices.toml:15:11 `{ interface = "enp3s0" }` its provider brings its own
  help: remove `network`, or `virtual` if nothing provides its equipment
"#,
)]
#[case::unknown_virtual_board(
    &[(r#""mps2-an385""#, r#""mps2-an386""#)],
    r#"
no virtual board is called `mps2-an386`
  devices.toml:15:21 `"mps2-an386"` not known
  help: did you mean `mps2-an385`?
"#,
)]
#[case::not_wired(
    &[(r#"virtual = { board = "mps2-an385" }"#, "")],
    r#"
device `emulated` has no equipment, no label, and no provider
  devices.toml:13:8 `"emulated"` no way to reach it
  help: add what it is wired to: `console = { ... }`, `network = { ... }`, `power = { ... }`, `probe = { ... }`; or `virtual = { board = "mps2-an385" }`; or its `label`, if it is only there to be compared with
"#,
)]
#[case::selector_without_pid(
    &[(r#""1366:1015:0001""#, r#""1366""#)],
    r#"
`1366` is not a probe selector
  devices.toml:7:22 `"1366"` not VID:PID[:SERIAL]
  help: write VID:PID or VID:PID:SERIAL in hex, as in `1366:1015:000123456789`; `lsusb -v` shows all three
"#,
)]
#[case::selector_not_hex(
    &[(r#""1366:1015:0001""#, r#""J-Link:1""#)],
    r#"
`J-Link:1` is not a probe selector
  devices.toml:7:22 `"J-Link:1"` not VID:PID[:SERIAL]
  help: write VID:PID or VID:PID:SERIAL in hex, as in `1366:1015:000123456789`; `lsusb -v` shows all three
"#,
)]
#[case::unknown_protocol(
    &[(r#""swd""#, r#""swdd""#)],
    r#"
unknown variant `swdd`, expected `swd` or `jtag`
  devices.toml:7:51 `"swdd"` here
  help: did you mean `swd`?
"#,
)]
#[case::speed_zero(
    &[("4000", "0")],
    r"
invalid value: integer `0`, expected a nonzero u32
  devices.toml:7:70 `0` here
  help: `provebench schema devices` prints what the file may hold
",
)]
#[case::url_without_scheme(
    &[(r#"url = "http://10.0.0.5", relay = 1"#, r#"url = "10.0.0.5", relay = 1"#)],
    r#"
`10.0.0.5` is not the URL of a plug: it does not start with `http://`
  devices.toml:9:9 `{ driver = "tasmota", url = "10.0.0.5", relay = 1 }` not a URL
  help: write http://HOST or http://HOST:PORT
"#,
)]
#[case::url_without_host(
    &[(r#"url = "http://10.0.0.5", relay = 1"#, r#"url = "http://", relay = 1"#)],
    r#"
`http://` is not the URL of a plug: empty host
  devices.toml:9:9 `{ driver = "tasmota", url = "http://", relay = 1 }` not a URL
  help: write http://HOST or http://HOST:PORT
"#,
)]
#[case::url_of_other_scheme(
    &[(r#"url = "http://10.0.0.5", relay = 1"#, r#"url = "mqtt://10.0.0.5", relay = 1"#)],
    r#"
`mqtt://10.0.0.5` is not the URL of a plug: it starts with `mqtt:`
  devices.toml:9:9 `{ driver = "tasmota", url = "mqtt://10.0.0.5", relay = 1 }` not a URL
  help: write http://HOST or http://HOST:PORT
"#,
)]
#[case::console_without_port(
    &[(r#"virtual = { board = "mps2-an385" }"#, r#"console = { port = "rfc2217://10.0.0.9" }"#)],
    r#"
`rfc2217://10.0.0.9` is not where a serial port is: it has no HOST:PORT
  devices.toml:15:20 `"rfc2217://10.0.0.9"` not a URL
  help: write a path, rfc2217://HOST:PORT, socket://HOST:PORT for a server that passes bytes as they are, or rtt:// for RTT through the debug probe
"#,
)]
#[case::console_of_unknown_scheme(
    &[(r#"virtual = { board = "mps2-an385" }"#, r#"console = { port = "telnet://10.0.0.9:3001" }"#)],
    r#"
`telnet://10.0.0.9:3001` is not where a serial port is: it starts with none of `socket://`, `rfc2217://` and `rtt://`
  devices.toml:15:20 `"telnet://10.0.0.9:3001"` not a URL
  help: write a path, rfc2217://HOST:PORT, socket://HOST:PORT for a server that passes bytes as they are, or rtt:// for RTT through the debug probe
"#,
)]
#[case::unknown_power_driver(
    &[(r#"power = { driver = "tasmota""#, r#"power = { driver = "tasmotta""#)],
    r#"
unknown variant `tasmotta`, expected one of `tasmota`, `shelly`, `command`, `lcus`, `scpi`, `tasmota-mqtt`, `zigbee2mqtt`, `apc-pdu`, `usb-hub`, `gpio`, `probe`
  devices.toml:9:20 `"tasmotta"` here
  help: did you mean `tasmota`?
"#,
)]
#[case::unknown_key_of_power(
    &[("relay = 1", "relais = 1")],
    r#"
unknown field `relais`, expected one of `url`, `relay`, `cut_at_write`
  devices.toml:9:9 `{ driver = "tasmota", url = "http://10.0.0.5", relais = 1 }` here
  help: did you mean `relay`?
"#,
)]
#[case::relay_zero(
    &[("relay = 1", "relay = 0")],
    r#"
invalid value: integer `0`, expected a nonzero u8
  devices.toml:9:9 `{ driver = "tasmota", url = "http://10.0.0.5", relay = 0 }` here
  help: `provebench schema devices` prints what the file may hold
"#,
)]
#[case::relay_used_twice(
    &[("relay = 2", "relay = 1")],
    r#"
device `wired` uses relay 1 of http://10.0.0.5 for two things
  devices.toml:10:19 `{ driver = "tasmota", url = "http://10.0.0.5", relay = 1 }` used here, too
  devices.toml:9:9 `{ driver = "tasmota", url = "http://10.0.0.5", relay = 1 }` used here
  help: switching it would reach both: wire each to an output of its own
"#,
)]
#[case::two_on_one_probe(
    &[(r#"virtual = { board = "mps2-an385" }"#, r#"probe = { selector = "1366:1015:0001" }"#)],
    r#"
devices `wired` and `emulated` use the same probe, 1366:1015:0001
  devices.toml:15:22 `"1366:1015:0001"` used by `emulated`, too
  devices.toml:7:22 `"1366:1015:0001"` used by `wired`
  help: give each device a probe of its own; probes of one kind are told apart by serial number: VID:PID:SERIAL
"#,
)]
#[case::two_on_probes_that_cannot_be_told_apart(
    &[(r#"virtual = { board = "mps2-an385" }"#, r#"probe = { selector = "1366:1015" }"#)],
    r#"
devices `wired` and `emulated` use the same probe, 1366:1015
  devices.toml:15:22 `"1366:1015"` used by `emulated`, too
  devices.toml:7:22 `"1366:1015:0001"` used by `wired`
  help: give each device a probe of its own; probes of one kind are told apart by serial number: VID:PID:SERIAL
"#,
)]
#[case::two_on_one_console(
    &[(r#"virtual = { board = "mps2-an385" }"#, r#"console = { port = "/dev/serial/by-id/usb-1" }"#)],
    r#"
devices `wired` and `emulated` use the same console port, /dev/serial/by-id/usb-1
  devices.toml:15:20 `"/dev/serial/by-id/usb-1"` used by `emulated`, too
  devices.toml:8:20 `"/dev/serial/by-id/usb-1"` used by `wired`
  help: give each device a console port of its own
"#,
)]
#[case::two_on_one_relay(
    &[(r#"virtual = { board = "mps2-an385" }"#, "console = { port = \"/dev/ttyUSB7\" }\npower = { driver = \"tasmota\", url = \"http://10.0.0.5/\" }")],
    r#"
devices `wired` and `emulated` use the same switch, relay 1 of http://10.0.0.5
  devices.toml:16:9 `{ driver = "tasmota", url = "http://10.0.0.5/" }` used by `emulated`, too
  devices.toml:9:9 `{ driver = "tasmota", url = "http://10.0.0.5", relay = 1 }` used by `wired`
  help: switching it would reach both: wire each to an output of its own
"#,
)]
#[case::interface_with_its_vlan_in_its_name(
    &[("actuators.reset", "network = { interface = \"enp3s0:42\" }\nactuators.reset")],
    r#"
`enp3s0:42` can't be the name of a network interface
  devices.toml:10:25 `"enp3s0:42"` not an interface
  help: `ip -br link` lists the interfaces of this machine; a VLAN of one is written { interface = "enp3s0", vlan = 42 }
"#,
)]
#[case::interface_with_too_long_a_name(
    &[("actuators.reset", "network = { interface = \"0123456789abcdef\" }\nactuators.reset")],
    r#"
`0123456789abcdef` can't be the name of a network interface
  devices.toml:10:25 `"0123456789abcdef"` not an interface
  help: `ip -br link` lists the interfaces of this machine; a VLAN of one is written { interface = "enp3s0", vlan = 42 }
"#,
)]
#[case::vlan_that_is_reserved(
    &[("actuators.reset", "network = { interface = \"enp3s0\", vlan = 4095 }\nactuators.reset")],
    r"
there is no VLAN 4095
  devices.toml:10:42 `4095` not a VLAN
  help: give a number from 1 to 4094
",
)]
#[case::two_on_one_interface(
    &[
        ("actuators.reset", "network = { interface = \"enp3s0\" }\nactuators.reset"),
        (r#"virtual = { board = "mps2-an385" }"#, "console = { port = \"/dev/ttyUSB7\" }\nnetwork = { interface = \"enp3s0\" }"),
    ],
    r#"
devices `wired` and `emulated` use the same network interface, enp3s0
  devices.toml:17:11 `{ interface = "enp3s0" }` used by `emulated`, too
  devices.toml:10:11 `{ interface = "enp3s0" }` used by `wired`
  help: two devices on one network would see each other: give each an interface of its own, or each a VLAN of its own on the same one
"#,
)]
#[case::a_vlan_on_the_interface_of_another(
    &[
        ("actuators.reset", "network = { interface = \"enp3s0\" }\nactuators.reset"),
        (r#"virtual = { board = "mps2-an385" }"#, "console = { port = \"/dev/ttyUSB7\" }\nnetwork = { interface = \"enp3s0\", vlan = 42 }"),
    ],
    r#"
devices `wired` and `emulated` use the same network interface, VLAN 42 of enp3s0
  devices.toml:17:11 `{ interface = "enp3s0", vlan = 42 }` used by `emulated`, too
  devices.toml:10:11 `{ interface = "enp3s0" }` used by `wired`
  help: two devices on one network would see each other: give each an interface of its own, or each a VLAN of its own on the same one
"#,
)]
#[case::two_in_one_folder(
    &[(r#""mps2-an385" }"#, "\"mps2-an385\", dir = \"a\" }\n[[device]]\nname = \"third\"\ntarget = \"sensor\"\nvirtual = { board = \"mps2-an385\", dir = \"a\" }")],
    r#"
devices `emulated` and `third` use the same folder, a
  devices.toml:19:41 `"a"` used by `third`, too
  devices.toml:15:41 `"a"` used by `emulated`
  help: give each device a folder of its own
"#,
)]
#[case::bad_actuator_name(
    &[("actuators.reset", r#"actuators."big red""#)],
    r#"
`big red` can't be the name of an actuator
  devices.toml:10:11 `"big red"` not a name
  help: use letters, digits, `-`, `_` and `.`, a letter or digit first
"#,
)]
fn of_devices_it_says(#[case] edits: &[(&str, &str)], #[case] expected: &str) {
    let bench = TestBench::new();
    for (old, new) in edits {
        bench.replace("devices.toml", old, new);
    }
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    assert_eq!(format!("\n{}", said(&bench, &err)), expected);
}
