//! What is left of a run that was killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use provebench_network::{DUT_V4, GATEWAY_MAC, GATEWAY_V4};
use rtnetlink::{Handle, LinkVeth};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use provebench_testing::{
    TestBench,
    machine::{DUT, NIC, Sender, find, in_a_machine, set_up},
};

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);
const SAID: &[u8] = b"Quince-4711-before-the-kill";
const EARLIER: &str = "5.1-1-2";
const LATER: &str = "5.11-1-2";

/// A device with nothing but a network, and two cases.
fn bench() -> TestBench {
    let bench = TestBench::new();
    bench
        .write(
            "devices.toml",
            format!(
                "[[device]]\nname = \"one\"\ntarget = \"sensor\"\nnetwork = {{ interface = \"{NIC}\" }}\n"
            ),
        )
        .append(
            TestBench::TARGET_FILE,
            "[networks.lan]\n",
        );
    let met =
        "t.expect(len(t.net.outbound(514, count = 1, timeout = 50.0)) > 0, \"it says nothing\")";
    case(&bench, EARLIER, met);
    case(&bench, LATER, "t.wait(3600, \"to be killed\")");
    bench
}

fn case(bench: &TestBench, id: &str, body: &str) {
    let clause = id.split('-').next().unwrap();
    bench.write(
        &format!("testcases/{clause}/{id}.star"),
        format!(
            "\"\"\"A case.\"\"\"\n\ncase(id = \"{id}\", needs = [\"net\"], deadline = 3600)\n\n\
             def unit_a(t):\n    \"A unit.\"\n    {body}\n"
        ),
    );
}

fn provebench(bench: &TestBench, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provebench"));
    command
        .current_dir(bench.root())
        .env("PROVEBENCH_LEASES", bench.root().join("leases"))
        .env_remove("PROVEBENCH_DEVICES")
        .args(words)
        .stdin(Stdio::null());
    command
}

/// Says something to the bench until the later case has begun.
async fn speak_until_later(bench: &TestBench, run: &mut Child) {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0x77, 0, 0, 0, 2], GATEWAY_MAC)
        .ipv4(DUT_V4.octets(), GATEWAY_V4.octets(), 64)
        .udp(40_000, 514)
        .write(&mut frame, SAID)
        .unwrap();
    let journal = bench.root().join("runs/latest/journal.jsonl");
    let begun = format!("\"unit-started\",\"device\":\"one\",\"case\":\"{LATER}\"");
    let sender = Sender::new(DUT);
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&journal).is_ok_and(|text| text.contains(&begun)) {
        assert!(Instant::now() < deadline, "the later case never begins");
        assert!(run.try_wait().unwrap().is_none(), "the run has ended");
        // Nothing is plugged in until the bench has the interface.
        let _ = sender.socket().send(&frame);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The kernel has taken away the bench's end, and the pair with it.
async fn plug_in_again(netlink: &Handle) {
    let deadline = Instant::now() + PATIENCE;
    while find(netlink, DUT).await.is_some() {
        assert!(Instant::now() < deadline, "the pair is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let veth = LinkVeth::new(NIC, DUT).build();
    netlink.link().add(veth).execute().await.unwrap();
    set_up(netlink, DUT).await;
}

/// The paths of the evidence that results name, each of which is what it is said to be.
fn named(run: &Path) -> Vec<String> {
    let results = fs::read(run.join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let files = results["devices"][0]["evidence"].as_array();
    let files = files.unwrap_or_else(|| panic!("{results}"));
    let named = files.iter().map(|file| {
        let path = file["path"].as_str().unwrap();
        let kept = fs::read(run.join(path)).unwrap();
        let size = usize::try_from(file["size"].as_u64().unwrap()).unwrap();
        assert!(size <= kept.len(), "{path} is shorter than it was");
        assert_eq!(
            file["sha256"],
            hex::encode(Sha256::digest(&kept[..size])),
            "{path}"
        );
        path.to_owned()
    });
    named.collect()
}

#[test]
fn what_an_earlier_case_saw_on_the_network_survives_a_kill() {
    in_a_machine(async |netlink| {
        set_up(&netlink, DUT).await;
        let bench = bench();
        let mut run = provebench(&bench, &["run"]).spawn().unwrap();
        speak_until_later(&bench, &mut run).await;
        kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGKILL).unwrap();
        run.wait().unwrap();

        let folder = bench.root().join("runs/latest");
        let flows = fs::read(folder.join("cases/one/flows.json")).unwrap();
        plug_in_again(&netlink).await;
        case(&bench, LATER, "t.expect(True, \"never\")");
        let resumed = provebench(&bench, &["run", "--resume", "latest"])
            .output()
            .unwrap();
        assert!(resumed.status.success(), "{resumed:?}");

        assert_eq!(
            named(&folder),
            [
                "cases/one/flows.json",
                "cases/one/services.json",
                "cases/one/capture.pcapng",
                "cases/one/network-2/flows.json",
                "cases/one/network-2/services.json",
                "cases/one/network-2/capture.pcapng",
            ]
        );
        assert_eq!(
            fs::read(folder.join("cases/one/flows.json")).unwrap(),
            flows
        );
        let flows: Value = serde_json::from_slice(&flows).unwrap();
        let flows = flows["seen"]["flows"].as_array().unwrap();
        let said = |flow: &Value| flow["destination"] == format!("{GATEWAY_V4}:514");
        assert!(flows.iter().any(said), "{flows:?}");
        let frames = fs::read(folder.join("cases/one/capture.pcapng")).unwrap();
        assert!(frames.windows(SAID.len()).any(|part| part == SAID));
    });
}
