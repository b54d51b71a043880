//! What switches power and holds buttons: what is read, and what is said when it's wrong.

use std::path::Path;

use provebench_bench::inventory::{Inventory, InventoryError, SchemaKind, SwitchConfig, schema};
use rstest::rstest;
use serde_json::Value;

use crate::message_text::said;
use provebench_testing::{DEVICES, TestBench};

const POWER: &str = r#"power = { driver = "tasmota", url = "http://10.0.0.5", relay = 1 }"#;
const RESET: &str =
    r#"actuators.reset = { driver = "tasmota", url = "http://10.0.0.5", relay = 2 }"#;
const CONSOLE: &str = r#"console = { port = "/dev/serial/by-id/usb-1" }"#;
const DRIVERS: [&str; 11] = [
    "tasmota",
    "shelly",
    "command",
    "lcus",
    "scpi",
    "tasmota-mqtt",
    "zigbee2mqtt",
    "apc-pdu",
    "usb-hub",
    "gpio",
    "probe",
];

fn load(bench: &TestBench, power: &str) -> Result<SwitchConfig, InventoryError> {
    bench.replace("devices.toml", POWER, power);
    let inventory = Inventory::load(&bench.devices(), &bench.targets())?;
    let wiring = inventory.devices[0].provider.wiring();
    let power = wiring.expect("the first device is wired").power.clone();
    Ok(power.expect("it has power"))
}

/// Lines of a document that configure a switch or a console, in place of the line in [`DEVICES`] that does it.
fn examples(document: &str) -> Vec<(&'static str, String)> {
    let lines = document.lines().map(|line| line.trim_start_matches("# "));
    lines
        .filter_map(|line| {
            let (_, value) = line.split_once('=')?;
            let value = value.trim();
            if line.starts_with("power =") {
                Some((POWER, format!("power = {value}")))
            } else if line.starts_with("actuators.") {
                Some((RESET, format!("actuators.reset = {value}")))
            } else if line.starts_with("console =") {
                Some((CONSOLE, format!("console = {value}")))
            } else {
                None
            }
        })
        .collect()
}

#[rstest]
#[case::shipped(include_str!("../../../../devices.toml"))]
#[case::manual(include_str!("../../../../docs/bench.md"))]
fn every_example_is_right_and_there_is_one_for_each_driver(#[case] document: &str) {
    let examples = examples(document);
    let validator = jsonschema::draft7::new(&schema(SchemaKind::Devices)).unwrap();
    for (old, example) in &examples {
        let bench = TestBench::new();
        // Its output may be the one that the other switch of the device has.
        let text = DEVICES
            .replace("http://10.0.0.5", "http://10.0.0.250")
            .replace(
                &old.replace("http://10.0.0.5", "http://10.0.0.250"),
                example,
            );
        bench.write("devices.toml", &text);
        Inventory::load(&bench.devices(), &bench.targets())
            .unwrap_or_else(|err| panic!("{example}: {}", said(&bench, &err)));
        let file: Value = toml::from_str(&text).unwrap();
        let complaints = validator.iter_errors(&file).map(|error| error.to_string());
        assert_eq!(
            complaints.collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{example}"
        );
    }
    for driver in DRIVERS {
        let driver = format!("driver = \"{driver}\"");
        assert!(
            examples.iter().any(|(_, e)| e.contains(&driver)),
            "{driver}"
        );
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let power = |text: &str| {
        let bench = TestBench::new();
        let config = load(&bench, text).unwrap();
        (config, bench)
    };
    let (config, bench) =
        power(r#"power = { driver = "command", on = ["./hub", "./1"], off = ["hub", "0"] }"#);
    let SwitchConfig::Command(config) = config else {
        panic!("{config:?}");
    };
    let program = Path::new(&config.on[0]);
    assert!(program.starts_with(bench.root()) && program.ends_with("hub"));
    assert_eq!((&*config.on[1], &*config.off[0]), ("./1", "hub"));
    let (config, bench) = power(r#"power = { driver = "lcus", port = "relays" }"#);
    let SwitchConfig::Lcus(config) = config else {
        panic!("{config:?}");
    };
    assert_eq!(config.port, bench.root().join("relays"));
}

#[rstest]
#[case::tasmota(r#"{ driver = "tasmota", url = "http://h" }"#, &["power"])]
#[case::scpi(r#"{ driver = "scpi", host = "h" }"#, &["power", "power.current"])]
fn what_a_supply_can_do_is_known_without_touching_it(
    #[case] power: &str,
    #[case] expected: &[&str],
) {
    let bench = TestBench::new();
    load(&bench, &format!("power = {power}")).unwrap();
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let all = inventory.devices[0].capabilities();
    let of_power: Vec<_> = all
        .iter()
        .map(ToString::to_string)
        .filter(|word| word.starts_with("power"))
        .collect();
    assert_eq!(of_power, expected);
}

#[rstest]
#[case::shelly_url(
    r#"{ driver = "shelly", url = "https://h" }"#,
    "`https://h` is not the URL of a plug: it starts with `https:`",
    "not a URL",
    "write http://HOST or http://HOST:PORT"
)]
#[case::shelly_without_url(
    r#"{ driver = "shelly", output = 1 }"#,
    "missing field `url`",
    "here",
    "`provebench schema devices` prints what the file may hold"
)]
#[case::no_command(
    r#"{ driver = "command", on = [], off = ["x"] }"#,
    "driver `command`: `on` is empty",
    "here",
    "write a list: the program, then its arguments"
)]
#[case::the_same_command(
    r#"{ driver = "command", on = ["x"], off = ["x"] }"#,
    "driver `command`: `on` and `off` are the same",
    "here",
    "give the two commands arguments that differ"
)]
#[case::no_time(
    r#"{ driver = "command", on = ["x"], off = ["y"], timeout = 0 }"#,
    "driver `command`: `timeout` can't be 0 s",
    "here",
    "write seconds, such as 30"
)]
#[case::misspelt(
    r#"{ driver = "command", on = ["x"], off = ["y"], stat = ["z"] }"#,
    "unknown field `stat`, expected one of `on`, `off`, `state`, `timeout`",
    "here",
    "did you mean `state`?"
)]
#[case::relay_255(
    r#"{ driver = "lcus", port = "p", relay = 255 }"#,
    "driver `lcus`: no board has a relay 255",
    "here",
    "correct `relay`"
)]
#[case::scpi_nowhere(
    r#"{ driver = "scpi", voltage = 5.0 }"#,
    "driver `scpi`: it has neither `host` nor `port`",
    "here",
    "write host = \"NAME or ADDRESS\", or port = \"/dev/serial/by-id/...\""
)]
#[case::scpi_twice(
    r#"{ driver = "scpi", host = "h", port = "p" }"#,
    "driver `scpi`: it has both `host` and `port`",
    "here",
    "write host = \"NAME or ADDRESS\", or port = \"/dev/serial/by-id/...\""
)]
#[case::scpi_negative(
    r#"{ driver = "scpi", host = "h", voltage = -5.0 }"#,
    "driver `scpi`: `voltage` can't be -5",
    "here",
    "write volts and amperes, such as 5.0"
)]
#[case::scpi_infinite(
    r#"{ driver = "scpi", host = "h", current = inf }"#,
    "driver `scpi`: `current` can't be inf",
    "here",
    "write volts and amperes, such as 5.0"
)]
#[case::broker_without_scheme(
    r#"{ driver = "tasmota-mqtt", broker = "h", topic = "t" }"#,
    "driver `tasmota-mqtt`: `h` is not the URL of a broker: it does not start with `mqtt://`",
    "here",
    "write broker = \"mqtt://HOST\" or \"mqtt://HOST:PORT\", mqtts:// with TLS"
)]
#[case::broker_by_websocket(
    r#"{ driver = "zigbee2mqtt", broker = "wss://h", name = "t" }"#,
    "driver `zigbee2mqtt`: `wss://h` is not the URL of a broker: it starts with `wss:`",
    "here",
    "write broker = \"mqtt://HOST\" or \"mqtt://HOST:PORT\", mqtts:// with TLS"
)]
#[case::authority_without_tls(
    r#"{ driver = "tasmota-mqtt", broker = "mqtt://h", ca = "lab.pem", topic = "t" }"#,
    "driver `tasmota-mqtt`: `ca` is for brokers with TLS",
    "here",
    "write broker = \"mqtts://...\", or leave out `ca`"
)]
#[case::topic_with_wildcard(
    r#"{ driver = "tasmota-mqtt", broker = "mqtt://h", topic = "lab/#" }"#,
    "driver `tasmota-mqtt`: `topic` can't be `lab/#`",
    "here",
    "write it as the device has it, without `+` and `#`"
)]
#[case::pdu_as_url(
    r#"{ driver = "apc-pdu", host = "http://h", outlet = 1 }"#,
    "driver `apc-pdu`: `http://h` is not a name or address",
    "here",
    "write host = \"NAME or ADDRESS\""
)]
#[case::pdu_with_two_accesses(
    r#"{ driver = "apc-pdu", host = "h", outlet = 1, community = "c", v3 = { user = "u", auth_passphrase = "12345678" } }"#,
    "driver `apc-pdu`: it has both `v3` and what is for communities",
    "here",
    "leave out `community` and `version`, or `v3`"
)]
#[case::short_passphrase(
    r#"{ driver = "apc-pdu", host = "h", outlet = 1, v3 = { user = "u", auth_passphrase = "1234567" } }"#,
    "driver `apc-pdu`: `auth_passphrase` is too short",
    "here",
    "write the passphrase that the PDU has: SNMPv3 wants 8 characters or more"
)]
#[case::no_hub(
    r#"{ driver = "usb-hub", hub = "Bus 001 Device 004", port = 2 }"#,
    "driver `usb-hub`: `Bus 001 Device 004` is not the place of a hub",
    "here",
    "write it as in /sys/bus/usb/devices, such as 1-1.4 or usb1; `uhubctl` lists them"
)]
#[case::hub_elsewhere(
    r#"{ driver = "usb-hub", hub = "1-1.4/../x", port = 2 }"#,
    "driver `usb-hub`: `1-1.4/../x` is not the place of a hub",
    "here",
    "write it as in /sys/bus/usb/devices, such as 1-1.4 or usb1; `uhubctl` lists them"
)]
#[case::pdu_version(
    r#"{ driver = "apc-pdu", host = "h", outlet = 1, version = "v3" }"#,
    "unknown variant `v3`, expected `v1` or `v2c`",
    "here",
    "`provebench schema devices` prints what the file may hold"
)]
fn of_a_switch_it_says(
    #[case] power: &str,
    #[case] what: &str,
    #[case] label: &str,
    #[case] help: &str,
) {
    let bench = TestBench::new();
    let err = load(&bench, &format!("power = {power}")).unwrap_err();
    // What opens the equipment is not shown.
    let shown = [
        ("\"c\"", "\"*\""),
        ("12345678", "********"),
        ("1234567", "*******"),
    ]
    .iter()
    .fold(power.to_owned(), |text, (secret, stars)| {
        text.replace(secret, stars)
    });
    let expected = format!("{what}\n  devices.toml:9:9 `{shown}` {label}\n  help: {help}\n");
    assert_eq!(said(&bench, &err), expected);
}

#[test]
fn a_button_is_not_cut_at_a_write() {
    let bench = TestBench::new();
    bench.replace(
        "devices.toml",
        "relay = 2",
        "relay = 2, cut_at_write = true",
    );
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    let said = said(&bench, &err);
    assert!(
        said.starts_with("driver `tasmota`: `cut_at_write` is for power\n  devices.toml:10:19"),
        "{said}"
    );
}

#[rstest]
#[case::shelly(
    r#"{ driver = "shelly", url = "http://a:b@h" }"#,
    r#"{ driver = "shelly", url = "http://H:80/", output = 0 }"#,
    "output 0 of http://h"
)]
#[case::lcus(
    r#"{ driver = "lcus", port = "/dev/x", relay = 2 }"#,
    r#"{ driver = "lcus", port = "/dev/x", relay = 2, feedback = false }"#,
    "relay 2 at /dev/x"
)]
#[case::scpi(
    r#"{ driver = "scpi", host = "h" }"#,
    r#"{ driver = "scpi", host = "h", channel = 1 }"#,
    "output 1 of h:5025"
)]
#[case::scpi_any(
    r#"{ driver = "scpi", host = "h", channel = 2 }"#,
    r#"{ driver = "scpi", host = "H" }"#,
    "the output of h:5025"
)]
#[case::mqtt(
    r#"{ driver = "tasmota-mqtt", broker = "mqtt://h", topic = "t" }"#,
    r#"{ driver = "tasmota-mqtt", broker = "mqtts://a:b@h", topic = "t", relay = 1 }"#,
    "relay 1 of t at h"
)]
#[case::zigbee(
    r#"{ driver = "zigbee2mqtt", broker = "mqtt://h", name = "t" }"#,
    r#"{ driver = "zigbee2mqtt", broker = "mqtt://h", name = "t" }"#,
    "output of zigbee2mqtt/t at h"
)]
#[case::pdu(
    r#"{ driver = "apc-pdu", host = "h", outlet = 3 }"#,
    r#"{ driver = "apc-pdu", host = "h", outlet = 3, community = "other" }"#,
    "outlet 3 of h:161"
)]
#[case::usb(
    r#"{ driver = "usb-hub", hub = "1-1.4", port = 2 }"#,
    r#"{ driver = "usb-hub", hub = "1-1.4", port = 2 }"#,
    "port 2 of USB hub 1-1.4"
)]
#[case::gpio(
    r#"{ driver = "gpio", line = 17 }"#,
    r#"{ driver = "gpio", chip = "/dev/gpiochip0", line = 17, active_low = true }"#,
    "line 17 of /dev/gpiochip0"
)]
#[case::command(
    r#"{ driver = "command", on = ["x", "1"], off = ["y", "1"] }"#,
    r#"{ driver = "command", on = ["x", "1"], off = ["z", "1"] }"#,
    "what `x 1` switches"
)]
fn an_output_for_two_things_is_refused(
    #[case] power: &str,
    #[case] reset: &str,
    #[case] which: &str,
) {
    let bench = TestBench::new();
    bench.replace("devices.toml", RESET, &format!("actuators.reset = {reset}"));
    let err = load(&bench, &format!("power = {power}")).unwrap_err();
    let said = said(&bench, &err);
    let expected = format!("device `wired` uses {which} for two things\n");
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn relays_share_a_port_but_not_with_a_console() {
    let bench = TestBench::new();
    let reset = r#"actuators.reset = { driver = "lcus", port = "/dev/x", relay = 2 }"#;
    bench.replace("devices.toml", RESET, reset);
    let power = r#"power = { driver = "lcus", port = "/dev/x", relay = 1 }"#;
    load(&bench, power).unwrap();
    bench.replace("devices.toml", "/dev/serial/by-id/usb-1", "/dev/x");
    let err = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    let expected = r#"device `wired` uses /dev/x for two things
  devices.toml:9:9 `{ driver = "lcus", port = "/dev/x", relay = 1 }` used here, too
  devices.toml:8:20 `"/dev/x"` used here
  help: the console and the switch need a port each
device `wired` uses /dev/x for two things
  devices.toml:10:19 `{ driver = "lcus", port = "/dev/x", relay = 2 }` used here, too
  devices.toml:8:20 `"/dev/x"` used here
  help: the console and the switch need a port each
"#;
    assert_eq!(said(&bench, &err), expected);
}

#[test]
fn what_is_a_part_of_the_probe_takes_a_probe() {
    let bench = TestBench::new();
    let probe = DEVICES
        .lines()
        .find(|line| line.starts_with("probe ="))
        .unwrap();
    bench
        .replace(
            "devices.toml",
            RESET,
            r#"actuators.reset = { driver = "probe" }"#,
        )
        .replace(
            "devices.toml",
            "/dev/serial/by-id/usb-1",
            "rtt://0x20000400?channel=1",
        );
    let inventory = Inventory::load(&bench.devices(), &bench.targets()).unwrap();
    let wiring = inventory.devices[0].provider.wiring().expect("it is wired");
    let port = &wiring.console.as_ref().unwrap().port;
    assert_eq!(port.to_string(), "rtt://0x20000400?channel=1");
    bench.replace("devices.toml", &format!("{probe}\n"), "");
    let error = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    let text = said(&bench, &error);
    let problem = "device `wired` has no debug probe that this could be a part of";
    assert_eq!(text.matches(problem).count(), 2, "{text}");
}

/// Each device has its own.
#[test]
fn two_devices_may_have_rtt_and_reset_lines() {
    let bench = TestBench::new();
    bench
        .replace(
            "devices.toml",
            RESET,
            r#"actuators.reset = { driver = "probe" }"#,
        )
        .replace("devices.toml", "/dev/serial/by-id/usb-1", "rtt://")
        .replace(
            "devices.toml",
            "virtual = { board = \"mps2-an385\" }\n",
            "probe = { selector = \"1366:1015:0002\" }\nconsole = { port = \"rtt://\" }\n\
             actuators.reset = { driver = \"probe\" }\n",
        );
    Inventory::load(&bench.devices(), &bench.targets())
        .unwrap_or_else(|error| panic!("{}", said(&bench, &error)));
    let twice =
        "actuators.reset = { driver = \"probe\" }\nactuators.power = { driver = \"probe\" }\n";
    let text = std::fs::read_to_string(bench.devices()).unwrap();
    let one = "actuators.reset = { driver = \"probe\" }\n";
    bench.write("devices.toml", text.replacen(one, twice, 1));
    let error = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    assert!(said(&bench, &error).contains("nRST of the debug probe 1366:1015:0001"));
}

#[rstest]
#[case::address("rtt://here", "not an address in hex")]
#[case::channel("rtt://?channel=256", "not a number up to 255")]
fn of_an_rtt_url_it_says(#[case] url: &str, #[case] says: &str) {
    let bench = TestBench::new();
    bench.replace("devices.toml", "/dev/serial/by-id/usb-1", url);
    let error = Inventory::load(&bench.devices(), &bench.targets()).unwrap_err();
    let text = said(&bench, &error);
    assert!(text.contains(says), "{text}");
}

/// The manual's register that tells a chip, in a target.
#[test]
fn the_manuals_identity_is_right() {
    let manual = include_str!("../../../../docs/bench.md");
    let example = manual
        .split("```toml\n")
        .find(|block| block.contains("[[identity]]"));
    let example = example.unwrap().split("```").next().unwrap();
    let bench = TestBench::new();
    bench.append(TestBench::TARGET_FILE, &format!("\n{example}"));
    let inventory = Inventory::load(&bench.devices(), &bench.targets())
        .unwrap_or_else(|error| panic!("{}", said(&bench, &error)));
    let [register] = &inventory.devices[0].target.identity[..] else {
        panic!("{example}")
    };
    assert!(register.is(0x1007_6413) && !register.is(0x1007_6419));
}
