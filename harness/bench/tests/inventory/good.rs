//! What is read from files that are right.

use std::num::NonZeroU8;
use std::time::Duration;

use provebench_bench::LeasedBy;
use provebench_bench::inventory::{
    ConsoleConfig, ConsolePort, Device, ImageFormat, Inventory, MemoryRole, ProbeConfig, Protocol,
    SwitchConfig, Target, TasmotaConfig, Wiring,
};
use provebench_standard::Support;
use rstest::rstest;

use provebench_testing::{TestBench, repository, virtual_sensor};

fn load(bench: &TestBench) -> Inventory {
    match Inventory::load(&bench.devices(), &bench.targets()) {
        Ok(inventory) => inventory,
        Err(err) => panic!("{:?}", miette::Report::new(err)),
    }
}

fn wiring(device: &Device) -> &Wiring {
    let wiring = device.provider.wiring();
    wiring.unwrap_or_else(|| panic!("{:?} is provided", device.provider))
}

#[test]
fn a_wired_device_is_read_in_full() {
    let bench = TestBench::new();
    let inventory = load(&bench);
    assert_eq!(inventory.path, bench.devices());

    let device = &inventory.devices[0];
    assert_eq!(device.name, "wired");
    assert_eq!(device.tags, ["bench1"]);
    assert_eq!(device.images, "release");
    assert_eq!(device.label["password"], "correct horse");
    assert_eq!(device.options["flaw"], "none");
    let relay = |number| {
        SwitchConfig::Tasmota(TasmotaConfig {
            url: "http://10.0.0.5".to_owned(),
            relay: NonZeroU8::new(number).unwrap(),
            cut_at_write: false,
        })
    };
    let expected = Wiring {
        probe: Some(ProbeConfig {
            selector: "1366:1015:0001".into(),
            protocol: Protocol::Swd,
            speed_khz: Some(4000),
        }),
        console: Some(ConsoleConfig {
            port: ConsolePort::Serial("/dev/serial/by-id/usb-1".into()),
            baud: 9600,
        }),
        power: Some(relay(1)),
        network: None,
        carrier: None,
        actuators: [("reset".to_owned(), relay(2))].into(),
    };
    assert_eq!(*wiring(device), expected);
}

#[test]
fn what_is_left_out_has_its_default() {
    let bench = TestBench::new();
    bench.write(
        "devices.toml",
        "[[device]]\nname = \"a\"\ntarget = \"sensor\"\nprobe = { selector = \"1:2\" }\n\
         console = { port = \"tty\", baud = 1200 }\npower = { driver = \"tasmota\", url = \"http://h\" }\n",
    );
    let inventory = load(&bench);
    let device = &inventory.devices[0];
    assert!(device.tags.is_empty() && device.label.is_empty() && device.options.is_empty());
    assert_eq!(device.images, Target::DEFAULT_IMAGES);
    let wiring = wiring(device);
    let probe = wiring.probe.as_ref().unwrap();
    assert_eq!((probe.protocol, probe.speed_khz), (Protocol::Swd, None));
    // The device's own word counts more than the target's; paths are relative to the file.
    let console = wiring.console.as_ref().unwrap();
    assert_eq!(
        (&console.port, console.baud),
        (&ConsolePort::Serial(bench.root().join("tty")), 1200)
    );
    let power = TasmotaConfig {
        url: "http://h".into(),
        relay: NonZeroU8::MIN,
        cut_at_write: false,
    };
    assert_eq!(wiring.power, Some(SwitchConfig::Tasmota(power)));
    assert!(wiring.actuators.is_empty());
}

#[test]
fn a_virtual_device_has_its_paths_beside_the_file() {
    let bench = TestBench::new();
    bench.replace(
        "devices.toml",
        "\"mps2-an385\" }",
        "\"mps2-an385\", dir = \"nvm\", program = \"../vb\" }",
    );
    let inventory = load(&bench);
    let device = &inventory.devices[1];
    assert_eq!(device.provider.kind(), Some("virtual"));
    let memory = bench.root().join("nvm");
    let leased_by = device.provider.leased_by(&device.name);
    assert_eq!(leased_by, LeasedBy::Folder("virtual", &memory));
    let program = format!("{:?}", bench.root().join("../vb"));
    let provider = format!("{:?}", device.provider);
    assert!(provider.contains(&program), "{provider}");
}

#[test]
fn a_target_is_read_in_full() {
    let bench = TestBench::new();
    let target = Target::load(&bench.targets().join("sensor"), &bench.targets(), &[]).unwrap();
    assert_eq!(
        (target.name.as_str(), target.model.as_str()),
        ("sensor", "S-1")
    );
    assert_eq!(target.build.as_deref(), Some("make images"));
    assert_eq!(target.product["colour"], "white");
    assert_eq!(target.region("store").unwrap().range, 0x1000..0x2000);
    assert_eq!(target.region("store").unwrap().role, MemoryRole::UserData);
    assert_eq!(target.region("nvm"), None);

    let boot = &target.images["release"]["boot"];
    assert_eq!(
        (boot.format, boot.address, boot.flash),
        (ImageFormat::Bin, Some(0), true)
    );
    assert_eq!(boot.path, bench.targets().join("sensor/boot.bin"));
    let update = &target.images["release"]["update"];
    assert_eq!((update.address, update.flash), (None, false));

    assert_eq!(target.driver, bench.targets().join("sensor/driver.star"));
    let claim = target.ics.get(&"5.1-1".parse().unwrap()).unwrap();
    assert_eq!(
        (claim.support, claim.detail.as_str()),
        (Support::Yes, "on the label")
    );
    assert_eq!(target.ics.get(&"5.1-2".parse().unwrap()), None);
    assert_eq!(
        target.ixit.table("1-AuthMech").unwrap()[0]["id"].as_str(),
        Some("AuthMech-Console")
    );
    assert_eq!(target.ixit.table("7-UpdMech"), None);

    assert_eq!(target.timing.boot, Duration::from_secs(1));
    assert_eq!(target.timing.reset, Duration::from_millis(2500));
    assert_eq!(target.timing.update, Duration::from_mins(1), "the default");
    let port = target.debug_port.as_ref().unwrap();
    assert_eq!(
        (port.control_ap, port.status.register, port.status.open),
        (1, 0x0c, 1)
    );
    assert_eq!(
        (port.erase.register, port.erase.busy_register),
        (0x04, Some(0x08))
    );
    assert_eq!(port.reset, None);
    assert_eq!(target.console.baud, 9600);
}

#[test]
fn devices_of_one_target_share_it() {
    let inventory = load(&TestBench::new());
    assert!(std::sync::Arc::ptr_eq(
        &inventory.devices[0].target,
        &inventory.devices[1].target
    ));
}

#[test]
fn siblings_are_the_labelled_others_of_the_target() {
    let inventory = load(&TestBench::new());
    let names = |name| {
        let device = inventory.device(name).unwrap();
        inventory
            .siblings(device)
            .map(|sibling| sibling.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("emulated"), ["wired"]);
    assert!(names("wired").is_empty(), "the other one has no label");
}

/// Devices without a debug probe, of a product without a chip, without images, and without MQTT and updates.
const PROBELESS: &str = r#"[[device]]
name = "network"
target = "sensor"
network = { interface = "enp3s0" }

[[device]]
name = "power"
target = "sensor"
power = { driver = "tasmota", url = "http://10.0.0.5" }

[[device]]
name = "button"
target = "sensor"
actuators.reset = { driver = "tasmota", url = "http://10.0.0.6" }

[[device]]
name = "label"
target = "sensor"
label = { password = "correct horse" }
"#;

#[rstest::rstest]
#[case("network", &["net", "services"])]
#[case("power", &["power"])]
#[case("button", &["press.reset"])]
#[case("label", &[])]
fn a_device_has_what_it_is_wired_to(#[case] name: &str, #[case] capabilities: &[&str]) {
    let bench = TestBench::new();
    let target = "[target]\nname = \"sensor\"\nmodel = \"S-1\"\n\n[networks.lan]\n";
    bench.write("devices.toml", PROBELESS);
    bench.write(TestBench::TARGET_FILE, target);
    let inventory = load(&bench);
    let device = inventory.device(name).unwrap();
    let has = device.capabilities();
    let has: Vec<String> = has.iter().map(ToString::to_string).collect();
    assert_eq!(has, capabilities);
    assert_eq!(device.is_label_only(), name == "label");
    assert!(device.image_set().is_empty());
    assert!(device.target.chip.is_none());
    let siblings: Vec<&str> = inventory
        .siblings(device)
        .map(|s| s.name.as_str())
        .collect();
    let labels: &[&str] = if name == "label" { &[] } else { &["label"] };
    assert_eq!(siblings, labels);
}

/// An image of a product without a chip has no address: its driver knows where it goes.
#[test]
fn images_without_a_chip_have_no_address() {
    let bench = TestBench::new();
    let target = "[target]\nname = \"sensor\"\nmodel = \"S-1\"\n\n[images.release]\nsystem = { path = \"boot.bin\", flash = true }\n";
    bench.write("devices.toml", PROBELESS);
    bench.write(TestBench::TARGET_FILE, target);
    let inventory = load(&bench);
    let image = inventory
        .device("network")
        .unwrap()
        .image("system")
        .unwrap();
    assert_eq!((image.flash, image.address), (true, None));
    assert_eq!(image.read().unwrap(), b"boot");
}

#[test]
fn a_chip_can_come_with_its_description() {
    let bench = TestBench::new();
    bench.replace(
        TestBench::TARGET_FILE,
        "chip = \"nRF52840_xxAA\"",
        "chip = \"other\"\nchip_description = \"family.yaml\"",
    );
    let target = Target::load(&bench.targets().join("sensor"), &bench.targets(), &[]).unwrap();
    assert_eq!(
        target.chip_description,
        Some(bench.targets().join("sensor/family.yaml"))
    );
}

#[rstest]
#[case::of_one_kind_by_serial_number("\"1366:1015:0002\"")]
#[case::of_another_kind("\"1366:0105:0001\"")]
fn probes_may_differ(#[case] selector: &str) {
    let bench = TestBench::new();
    let probe = format!("probe = {{ selector = {selector} }}");
    bench.replace(
        "devices.toml",
        "virtual = { board = \"mps2-an385\" }",
        &probe,
    );
    assert_eq!(load(&bench).devices.len(), 2);
}

#[test]
fn devices_may_have_vlans_of_one_interface() {
    let bench = TestBench::new();
    let network = |vlan: &str| format!("network = {{ interface = \"enp3s0\", vlan = {vlan} }}");
    let wired = format!("{}\nactuators.reset", network("1"));
    let emulated = format!("console = {{ port = \"tty\" }}\n{}", network("4094"));
    bench
        .replace("devices.toml", "actuators.reset", &wired)
        .replace(
            "devices.toml",
            "virtual = { board = \"mps2-an385\" }",
            &emulated,
        );
    let inventory = load(&bench);
    let ports: Vec<String> = inventory
        .devices
        .iter()
        .map(|device| wiring(device).network.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(ports, ["VLAN 1 of enp3s0", "VLAN 4094 of enp3s0"]);
}

#[rstest]
#[case::plugged_in_and_expected(true, true)]
#[case::not_expected_by_the_target(true, false)]
#[case::not_plugged_in(false, true)]
fn a_wired_device_has_a_network_where_both_files_say_so(
    #[case] plugged: bool,
    #[case] expected: bool,
) {
    let bench = TestBench::new();
    if plugged {
        let more = "network = { interface = \"enp3s0\" }\nactuators.reset";
        bench.replace("devices.toml", "actuators.reset", more);
    }
    if expected {
        bench.append(TestBench::TARGET_FILE, "[networks.lan]\n");
    }
    let inventory = load(&bench);
    let capabilities = inventory.devices[0].capabilities();
    for word in ["net", "services"] {
        assert_eq!(
            capabilities.contains(&word.parse().unwrap()),
            plugged && expected,
            "{word}"
        );
    }
}

/// What a target does not say of its network and services is as usual.
#[test]
fn networks_and_services_are_read() {
    let bench = TestBench::new();
    let named = r#"
[networks.home]
gateway = "192.168.8.1"
prefix = 28
leases = 13
ipv6 = false

[services.ntp]
kind = "ntp"
hosts = ["0.pool.example", "1.pool.example"]

[services.telemetry]
kind = "http"
host = "api.example"
port = 8443
network = "home"
"#;
    bench.append(TestBench::TARGET_FILE, named);
    let target = Target::load(&bench.targets().join("sensor"), &bench.targets(), &[]).unwrap();
    let network = target.network.as_ref().unwrap();
    assert_eq!(network.name, "home");
    let addressing = network.addressing;
    assert_eq!(addressing.gateway.to_string(), "192.168.8.1");
    assert_eq!((addressing.prefix, addressing.leases), (28, 13));
    assert_eq!(addressing.ipv6, None);
    let names: Vec<&str> = target.services().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "crl",
            "dhcp",
            "dns",
            "mqtt",
            "ntp",
            "router",
            "telemetry",
            "update"
        ]
    );
    let telemetry = &network.services["telemetry"];
    assert_eq!((&*telemetry.kind, telemetry.port), ("http", Some(8443)));
    assert_eq!(telemetry.hosts, ["api.example"]);
    assert_eq!(network.services["ntp"].hosts.len(), 2);
    assert!(network.services["mqtt"].hosts.is_empty());
}

#[rstest]
#[case::declared_with_values("flaw = \"no-lockout\"")]
#[case::declared_free("note = \"as you like\"")]
fn options_that_the_target_declares_are_taken(#[case] option: &str) {
    let bench = TestBench::new();
    bench.replace("devices.toml", "flaw = \"none\"", option);
    load(&bench);
}

#[test]
fn what_is_shipped_is_right() {
    let root = repository();
    let inventory = match Inventory::load(&root.join("devices.toml"), &root.join("targets")) {
        Ok(inventory) => inventory,
        Err(err) => panic!("{:?}", miette::Report::new(err)),
    };
    let names: Vec<_> = inventory
        .devices
        .iter()
        .map(|device| device.name.as_str())
        .collect();
    assert_eq!(names, ["sensor-a", "sensor-b"]);
    let passwords: Vec<_> = inventory
        .devices
        .iter()
        .map(|device| &device.label["password"])
        .collect();
    assert_ne!(passwords[0], passwords[1]);
}

#[test]
fn sensors_for_other_tests_are_right() {
    let bench = TestBench::of_sensors([
        virtual_sensor("good", "PB250001", "q7Hd-Vn3x-TzKe", None),
        virtual_sensor("bad", "PB250002", "Wm4s-9RkJ-cGyb", Some("no-lockout")),
    ]);
    let inventory = load(&bench);
    assert_eq!(inventory.device("good").unwrap().images, "release");
    let bad = inventory.device("bad").unwrap();
    assert_eq!(
        (bad.images.as_str(), bad.options["flaw"].as_str()),
        ("flaws", "no-lockout")
    );
    assert_eq!(bad.provider.kind(), Some("virtual"));
}
