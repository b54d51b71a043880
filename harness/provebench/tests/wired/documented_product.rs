//! docs/targets.md, "A product without a debug probe", followed to the letter on one: a shell behind a login, whose
//! programs are curl, openssl and grep, at a terminal and a network card.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use provebench_network::{GATEWAY_V4, Network, Side};
use serde_json::Value;

use provebench_testing::{
    TestBench,
    machine::{DUT, NIC, in_a_machine, on},
    repository,
    support::within,
};

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// The product, as long as it is not dropped.
struct Hub(Child);

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the product in the namespace of this network. Its name server is the bench.
async fn plug_in(dut: &Network, folder: &Path) -> Hub {
    fs::write(folder.join("power"), "on").unwrap();
    let resolver = folder.join("resolv.conf");
    fs::write(&resolver, format!("nameserver {GATEWAY_V4}\n")).unwrap();
    let program = repository().join("harness/provebench/tests/wired/hub.py");
    let its_folder = folder.to_owned();
    let hub = within(dut, async move {
        Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" /etc/resolv.conf && exec /usr/bin/python3 \"$2\" \"$3\"")
            .arg("hub")
            .args([resolver, program, its_folder])
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    });
    let hub = Hub(hub.await);
    let deadline = Instant::now() + PATIENCE;
    while !folder.join("console").exists() {
        assert!(Instant::now() < deadline, "it has a console");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hub
}

/// Writes the files that the document shows, with this bench's wiring.
fn write_files(bench: &TestBench, folder: &Path) {
    let document = fs::read_to_string(repository().join("docs/targets.md")).unwrap();
    let folder = folder.display();
    let power = format!(
        "power = {{ driver = \"command\", on = [\"cp\", \"{folder}/is-on\", \"{folder}/power\"], off = [\"cp\", \"{folder}/is-off\", \"{folder}/power\"], state = [\"cat\", \"{folder}/power\"] }}"
    );
    let mut written = 0;
    for block in document.split("\n```").skip(1).step_by(2) {
        let Some((path, text)) = block
            .split_once("\n# ")
            .filter(|(language, _)| !language.contains('\n'))
            .and_then(|(_, text)| text.split_once('\n'))
            .filter(|(path, _)| path.contains("hub"))
        else {
            continue;
        };
        let text = text
            .replace("enp3s0", NIC)
            .replace(
                "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KXYZ-if00-port0",
                &format!("{folder}/console"),
            )
            .replace(
                "power = { driver = \"shelly\", url = \"http://192.168.1.52\" }",
                &power,
            );
        bench.write(path, format!("{text}\n"));
        written += 1;
    }
    assert_eq!(written, 4, "devices, target, driver, IXIT");
    bench.write("targets/hub/ics.toml", "");
}

/// Runs provebench in the folder of the bench; exit code, and all that it said, in one line.
async fn provebench(bench: &TestBench, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_provebench"));
    command
        .current_dir(bench.root())
        .env("PROVEBENCH_LEASES", bench.root().join("leases"))
        .env("PROVEBENCH_DEVICES", "hub.toml")
        .args(arguments);
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let said = said.concat();
    let words: Vec<&str> = said.split_whitespace().collect();
    (output.status.code(), words.join(" "))
}

#[test]
fn a_product_without_a_debug_probe_is_brought_up() {
    in_a_machine(async |_| {
        let bench = TestBench::new();
        let folder = tempfile::tempdir().unwrap();
        for word in ["on", "off"] {
            fs::write(folder.path().join(format!("is-{word}")), word).unwrap();
        }
        let dut = Network::start(on(DUT, Side::Device)).await.unwrap();
        let _hub = plug_in(&dut, folder.path()).await;
        write_files(&bench, folder.path());

        let (code, said) = provebench(&bench, &["check"]).await;
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = provebench(&bench, &["plan"]).await;
        assert_eq!(code, Some(0), "{said}");
        for told in [
            "hub-2 label only",
            "note: the firmware is what is on the device",
            "not run: 5.11-1-2 b the product's driver has no function status",
            "the product knows no name of service mqtt",
        ] {
            assert!(said.contains(told), "{told} in {said}");
        }

        let words = ["run", "5.3-16-2", "5.5-1-2", "5.11-1-2"];
        let (code, said) = provebench(&bench, &words).await;
        let results = fs::read(bench.root().join("runs/latest/results.json")).unwrap();
        let results: Value = serde_json::from_slice(&results).unwrap();
        let outcomes = |case: &str| -> Vec<String> {
            let units = results["devices"][0]["cases"][case]["units"].as_array();
            let told = |unit: &Value| {
                let parts = [&unit["unit"], &unit["outcome"]];
                parts.map(|part| part.as_str().unwrap()).join(" ")
            };
            units.unwrap().iter().map(told).collect()
        };
        assert_eq!(outcomes("5.3-16-2"), ["a pass", "b pass"], "{said}");
        assert_eq!(
            outcomes("5.5-1-2"),
            ["a [SecComMech-Update] pass"],
            "{said}"
        );
        assert_eq!(
            outcomes("5.11-1-2"),
            [
                "a [PersData] pass",
                "b [DelFunc-Shell] inconclusive",
                "c [DelFunc-Shell] pass",
                "d [DelFunc-Shell] inconclusive"
            ],
            "{said}"
        );
        assert_eq!(code, Some(4), "units b and d lack something: {said}");
    });
}
