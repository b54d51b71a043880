//! The DUT on its network: the reference sensor with its network, on a virtual board, driven by scripts through
//! `t.net` and `t.services`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use provebench_testing::{TestBench, repository};
use serde_json::Value;

const DEVICE: &str = r#"[[device]]
name = "one"
target = "reference-sensor"
virtual = { board = "mps2-an385" }
label = { serial = "PB250113", password = "Jx4u-Ly9n-Tb7s" }
"#;

/// What a case with a network does; test cases of the standard will do such things with the products' own drivers.
const CASE: &str = r#""""The network and its services."""
case(
    id = "5.11-1-2",
    state = "initialized",
    sample = "engineering",
    needs = ["net", "services", "console", "power", "probe", "dut.status", "dut.login"],
    deadline = 900,
)

def status_becomes(t, name, wanted, seconds):
    end = t.now() + seconds
    for _ in range(10000):
        value = t.dut.status().get(name)
        if wanted(value) or t.now() >= end:
            return value
        t.wait(0.1, "the device tells its state when asked")

def unit_a(t):
    "An address, names and time, and one open port."
    mark = t.services.mark()
    t.power.cycle()
    t.dut.await_ready()
    t.expect(t.services.wait(mark, "dhcp", "dhcp", timeout = 30) != None, "nobody asks for an address")
    address = status_becomes(t, "network", lambda value: value == "10.77.0.2", 30)
    t.expect(address == "10.77.0.2", "the address is {}", address)
    t.expect(t.services.wait(mark, "dns", "dns", timeout = 30) != None, "nobody asks for a name")
    t.expect(t.services.wait(mark, "ntp", "ntp", timeout = 30) != None, "nobody asks for the time")
    questions = [question["name"] for question in t.net.flows()["dns"]]
    t.expect([name for name in questions if name.startswith("time.sensor.example")] != [], "the index of flows has {}", questions)
    report = t.net.scan(udp = [7, 53])
    open = [found["port"] for found in report["tcp_open"]]
    t.expect(open == [443], "open: {}", open)
    t.expect(report["tcp_closed"] == 65534, "only {} ports refuse", report["tcp_closed"])

def unit_b(t):
    "Telemetry over TLS after consent, refused to a broker with an expired certificate."
    t.expect(t.dut.login(), "login")
    mark = t.services.mark()
    t.console.line("consent on")
    t.console.expect("ok")
    seen = t.services.wait(mark, "mqtt", "tls", timeout = 60)
    t.expect(seen != None, "no TLS session")
    t.expect(seen["client"]["trouble"] == None, "the device's own certificate: {}", seen["client"]["trouble"])
    t.services.present("mqtt", "expired")
    mark = t.services.mark()
    t.services.cut("mqtt")
    t.expect(t.services.wait(mark, "mqtt", "tls-failed", timeout = 120) != None, "an expired certificate is not refused")
    t.expect(t.services.since(mark, "mqtt", "tls") == [], "an expired certificate is accepted")
    t.services.present("mqtt", "good")

def check_for_update(t):
    "What the device says after it was told to look for an update."
    t.console.line("update-check")
    return t.console.expect(r"update: ([^\r\n]*)\r\n", timeout = 120).groups[0]

def unit_c(t):
    "Updates over HTTPS: refused with a wrong signature, from a server with a wrong name and when the server is away; else fetched and started."
    t.expect(t.dut.login(), "login")
    before = t.dut.version()
    t.services.publish("/PB-RS1/manifest", t.image("wrong-key-manifest"))
    t.services.publish("/PB-RS1/wrong-key.img", t.image("wrong-key"))
    said = check_for_update(t)
    t.expect("ready" not in said, "with a stranger's signature: {}", said)
    t.services.publish("/PB-RS1/manifest", t.image("update-manifest"))
    t.services.publish("/PB-RS1/update.img", t.image("update"))
    t.services.present("update", "wrong-name")
    said = check_for_update(t)
    t.expect("ready" not in said, "from a server with a wrong name: {}", said)
    t.services.present("update", "good")
    t.services.stop("update")
    said = check_for_update(t)
    t.expect("ready" not in said, "from a server that is away: {}", said)
    t.services.start("update")
    mark = t.services.mark()
    said = check_for_update(t)
    t.expect("ready" in said, "it is there to be had: {}", said)
    t.expect(t.services.since(mark, "update", "http") != [], "fetched from nowhere")
    t.power.cycle()
    t.dut.await_ready()
    t.expect(t.dut.version() == "1.1.0", "{} runs, as before: {}", t.dut.version(), before)

def unit_d(t):
    "A pulled cable is noticed, and that it is back; a reset forgets what was printed."
    t.net.link(False)
    down = status_becomes(t, "network", lambda value: value == "down", 30)
    t.expect(down == "down", "network: {} without a cable", down)
    t.net.link(True)
    up = status_becomes(t, "network", lambda value: value == "10.77.0.2", 60)
    t.expect(up == "10.77.0.2", "network: {} with the cable back", up)

    # What was printed before a reset answers no question that is asked after it.
    mark = t.console.mark()
    t.console.line("no-such-command-4711")
    for _ in range(1000):
        if "try help" in t.console.text_since(mark):
            break
        t.wait(0.05, "until it is printed")
    t.probe.reset()
    t.expect(t.console.try_expect("try help", timeout = 2) == None, "it was said before the reset")
    t.dut.await_ready()
"#;

#[test]
fn scripts_see_and_stage_the_network() {
    let bench = TestBench::of_sensors([DEVICE.to_owned()]);
    bench.write("testcases/5.11/5.11-1-2.star", CASE);
    let leases = bench.root().join("leases");
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(repository())
        .args(["run", "--testcases"])
        .arg(bench.root().join("testcases"))
        .arg("--runs")
        .arg(bench.root().join("runs"))
        .args(bench.args())
        .env("PROVEBENCH_LEASES", leases)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let latest = bench.root().join("runs/latest");
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");

    let read = |name: &str| -> Value {
        let path = latest.join("cases/one").join(name);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let flows = read("flows.json");
    assert_eq!(flows["seen"]["malformed"], 0);
    let flows = flows["seen"]["flows"].as_array().unwrap().clone();
    let to_broker = |flow: &&Value| {
        let destination = flow["destination"].as_str().unwrap_or_default();
        destination.ends_with(":8883")
    };
    let session = flows.iter().find(to_broker).expect("the broker was met");
    assert_eq!(session["tls"]["sni"], "mqtt.sensor.example");
    let services = read("services.json");
    assert!(services["totals"]["mqtt"]["counts"]["mqtt"].as_u64() > Some(0));
    agrees_with_tshark(&latest.join("cases/one/capture.pcapng"), &flows);
}

/// Independent eyes see the same handshakes: who was asked for, and which version was chosen.
fn agrees_with_tshark(capture: &Path, flows: &[Value]) {
    let tshark = |filter: &str, field: &str| -> BTreeSet<String> {
        let mut tshark = assert_cmd::Command::new("tshark");
        tshark.args(["-n", "-r"]).arg(capture);
        tshark.args([
            "-Y",
            filter,
            "-T",
            "fields",
            "-E",
            "occurrence=f",
            "-e",
            field,
        ]);
        let done = tshark
            .output()
            .expect("tshark is needed (ci/setup installs it)");
        assert!(done.status.success(), "{done:?}");
        let text = String::from_utf8(done.stdout).unwrap();
        // The scan's greetings name nobody.
        let told = text.lines().filter(|line| !line.is_empty());
        told.map(str::to_owned).collect()
    };
    let ours = |field: &str| -> BTreeSet<String> {
        let tls = flows.iter().map(|flow| &flow["tls"][field]);
        tls.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let names = tshark(
        "tls.handshake.type==1",
        "tls.handshake.extensions_server_name",
    );
    assert_eq!(names, ours("sni"));
    let versions = tshark(
        "tls.handshake.type==2",
        "tls.handshake.extensions.supported_version",
    );
    assert_eq!(versions, ["0x0304".to_owned()].into());
    assert_eq!(ours("version"), ["TLS 1.3".to_owned()].into());
}
