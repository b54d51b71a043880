//! What the bench did not see is never taken for absent.

use std::{
    env, fs,
    io::Read as _,
    net::TcpListener,
    os::fd::AsRawFd as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use nix::sys::socket::{MsgFlags, send};
use provebench_bench::{
    Bench, BenchLogs, BenchOptions, NetworkOptions,
    inventory::{Inventory, Wiring},
};
use provebench_network::{
    CaptureConfig, DUT_V4, GATEWAY_MAC, GATEWAY_V4, Network, NetworkConfig, NetworkPort,
    losses::Loss, search::Needle,
};
use provebench_record::{
    event::{Outcome, Step},
    evidence::CaseEvidence,
};
use provebench_script::{Attestations, Driver, Limit, Session, Setup, Suite, UnitEnd};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use provebench_testing::{
    TestBench,
    machine::{DUT, NIC, Sender, await_carrier, give_address, in_a_machine, set_up},
    support::{PATIENCE, World},
};

const CANARY: &str = "Quince-4711-canary";

/// A datagram of the DUT.
fn datagram(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0x77, 0, 0, 0, 2], GATEWAY_MAC)
        .ipv4(DUT_V4.octets(), GATEWAY_V4.octets(), 64)
        .udp(40_000, 514)
        .write(&mut frame, payload)
        .expect("it fits");
    frame
}

/// More than the buffers hold, while nobody takes any.
fn flood(network: &Network) {
    let _paused = network.paused();
    let sender = Sender::new(DUT);
    let frame = datagram(&[7; 200]);
    for _ in 0..60_000 {
        sender.send(&frame);
    }
    sender.send(&datagram(CANARY.as_bytes()));
}

/// Runs that unit on a bench with nothing but a network; `at` is what the DUT does when a step of that name was made.
pub(crate) fn run_unit(
    body: &'static str,
    at: (&'static str, impl Fn(&Network) + Send + Sync + 'static),
) -> UnitEnd {
    in_a_machine(async move |netlink| {
        set_up(&netlink, DUT).await;
        let files = TestBench::new();
        files.append(
            TestBench::TARGET_FILE,
            "[networks.lan]\n\n[services]\nmqtt = { kind = \"mqtt\", host = \"mqtt.example\" }\nupdate = { kind = \"http\", host = \"update.example\" }\napi = { kind = \"http\", host = \"api.example\" }\n",
        );
        let script = format!(
            "\"\"\"A case.\"\"\"\n\ncase(id = \"unseen-1\")\n\ndef unit_a(t):\n    \"A unit.\"\n    {}\n",
            body.replace('\n', "\n    ")
        );
        files.write("cases/unseen-1.star", script);
        let inventory = Inventory::load(&files.devices(), &files.targets()).unwrap();
        let mut device = inventory.devices[0].clone();
        device.provider = Arc::new(Wiring {
            network: Some(NetworkPort {
                interface: NIC.into(),
                vlan: None,
            }),
            ..Wiring::default()
        });
        let folder = tempfile::tempdir().unwrap();
        let origin = Instant::now();
        let options = BenchOptions {
            logs: BenchLogs {
                origin,
                ..BenchLogs::default()
            },
            network: Some(NetworkOptions {
                captures: Some(folder.path().into()),
            }),
            ..BenchOptions::default()
        };
        let bench = Arc::new(Bench::open(&device, &options).await.unwrap());
        await_carrier(&netlink, DUT, true).await;

        let (ours, runtime) = (Arc::clone(&bench), tokio::runtime::Handle::current());
        let running = tokio::task::spawn_blocking(move || {
            let suite = Suite::load(Some(&files.root().join("cases"))).unwrap();
            let driver = Driver::load(&device.target.driver).unwrap();
            let attestations = Attestations::load(&files.root().join("none.toml"), &[]).unwrap();
            let evidence = files.root().join("evidence");
            fs::create_dir_all(&evidence).unwrap();
            let was_done = AtomicBool::new(false);
            let watched = Arc::clone(&ours);
            let sink = move |step: Step| {
                if step.name == at.0 && !was_done.swap(true, Ordering::Relaxed) {
                    at.1(watched.network().unwrap());
                }
            };
            let setup = Setup {
                bench: ours,
                device,
                siblings: Vec::new(),
                driver: Arc::new(driver),
                memory: Arc::default(),
                attestations: Arc::new(attestations),
                evidence: CaseEvidence::at(&evidence),
                sink: Arc::new(sink),
                origin,
                seed: 1,
            };
            let session = Session::new(setup, runtime);
            let limit = Limit::new(PATIENCE, CancellationToken::new());
            session.run_unit(&suite.cases()[0], 'a', &limit)
        });
        let result = running.await.unwrap();
        let bench = Arc::into_inner(bench).expect("nobody else has it");
        bench.close().await.unwrap();
        result
    })
}

const SEARCH: &str = "t.net.watch_for([\"Quince-4711-canary\"])\n\
    t.log(\"now\")\n\
    found = t.net.flows()[\"canaries\"]\n\
    t.expect(found == [], \"in the clear\")";

#[test]
fn a_text_that_is_not_on_the_wire_is_not_found() {
    let result = run_unit(SEARCH, ("log", |_: &Network| {}));
    assert_eq!(result.outcome(), Outcome::Pass, "{result:?}");
}

/// A file that nobody can ask for is the script's mistake, not a device that does not find it.
#[test]
fn a_path_without_a_slash_is_refused() {
    let result = run_unit(
        "t.services.publish(\"image\", \"x\")",
        ("log", |_: &Network| {}),
    );
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    assert!(result.message.contains("begins with /"), "{result:?}");
}

/// Whoever asks is told of what has come, however late the thread is that takes it.
#[test]
fn a_text_that_came_at_the_last_moment_is_found() {
    let say = |_: &Network| Sender::new(DUT).send(&datagram(CANARY.as_bytes()));
    let result = run_unit(SEARCH, ("log", say));
    assert_eq!(result.outcome(), Outcome::Fail, "{result:?}");
    assert_eq!(result.message, "in the clear");
}

/// Each asks in a way of its own that nothing was there, and forgets that not all was seen.
#[rstest]
#[case::search(SEARCH)]
#[case::names("t.log(\"now\")\nt.expect(t.net.flows()[\"dns\"] == [], \"asks\")")]
#[case::calls("t.log(\"now\")\nt.expect(t.net.outbound(port = 4444) == [], \"calls\")")]
#[case::calls_since(
    "since = t.now()\nt.log(\"now\")\nt.expect(t.net.outbound(port = 4444, since = since) == [], \"calls\")"
)]
#[case::addresses("t.log(\"now\")\nt.net.addresses()")]
#[case::records(
    "mark = t.services.mark()\nt.log(\"now\")\nt.expect(t.services.since(mark, \"mqtt\") == [], \"speaks\")"
)]
#[case::silence(
    "mark = t.services.mark()\nt.log(\"now\")\n\
     t.expect(t.services.wait(mark, \"mqtt\", \"connected\", timeout = 0.1) == None, \"speaks\")"
)]
fn what_was_lost_in_a_flood_is_not_absent(#[case] body: &'static str) {
    let result = run_unit(body, ("log", flood));
    assert!(is_told(&result), "{result:?}");
    // Another attempt may do better where the bench was slow, and must not where the DUT sent too much: how fast this
    // machine sends decides here.
    let is_flood = result.message.contains("frames flooded: ");
    assert_eq!(result.end.is_spoiled(), !is_flood, "{result:?}");
    let expected = if is_flood {
        Outcome::Inconclusive
    } else {
        Outcome::Error
    };
    assert_eq!(result.outcome(), expected, "{result:?}");
}

/// How many frames were missed.
fn is_told(result: &UnitEnd) -> bool {
    ["frames missed: ", "frames flooded: "]
        .iter()
        .any(|words| result.message.contains(words))
}

#[test]
fn what_was_seen_beside_a_flood_fails_all_the_same() {
    let say_and_flood = |network: &Network| {
        Sender::new(DUT).send(&datagram(CANARY.as_bytes()));
        network.settle();
        flood(network);
    };
    let result = run_unit(SEARCH, ("log", say_and_flood));
    assert_eq!(result.outcome(), Outcome::Fail, "{result:?}");
    assert!(result.message.starts_with("in the clear ("), "{result:?}");
    assert!(is_told(&result), "{result:?}");
}

/// A unit that asks nothing of the network is not touched by it, nor is one that asks about the time after.
#[rstest]
#[case::nothing("t.log(\"now\")")]
#[case::after("t.log(\"now\")\nt.expect(t.net.outbound(since = t.now()) == [], \"calls\")")]
fn a_flood_that_matters_to_nobody_spoils_nothing(#[case] body: &'static str) {
    let flood = |network: &Network| {
        flood(network);
        network.settle();
    };
    let result = run_unit(body, ("log", flood));
    assert_eq!(result.outcome(), Outcome::Pass, "{result:?}");
}

/// What the DUT fills up by itself is no fault of the bench, and no proof either.
#[test]
fn more_names_than_there_is_room_for_prove_nothing() {
    let ask = |network: &Network| {
        let sender = Sender::new(DUT);
        for number in 0..17_000u32 {
            let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x08".to_vec();
            message.extend(format!("n{number:07}").as_bytes());
            message.extend(b"\x07example\0\0\x01\0\x01");
            let mut frame = datagram(&message);
            // To the name server, without a sum.
            frame[36..38].copy_from_slice(&53u16.to_be_bytes());
            frame[40..42].fill(0);
            sender.send(&frame);
            if number.is_multiple_of(1000) {
                network.settle();
            }
        }
    };
    let body = "t.log(\"now\")\nt.expect(t.net.outbound(port = 4444) == [], \"calls\")\n\
        t.net.flows()";
    let result = run_unit(body, ("log", ask));
    assert_eq!(result.outcome(), Outcome::Inconclusive, "{result:?}");
    assert!(result.message.contains("names not kept: 616"), "{result:?}");
    assert!(!result.end.is_spoiled());
}

/// That no port of it is open was not shown.
#[test]
fn ports_of_a_dut_that_is_not_there_prove_nothing() {
    let body = "t.log(\"now\")\nreport = t.net.scan(tcp = [80, 443], udp = [])\n\
        t.expect(report[\"tcp_open\"] == [], \"open\")";
    let result = run_unit(body, ("log", |_: &Network| {}));
    assert_eq!(result.outcome(), Outcome::Inconclusive, "{result:?}");
    assert!(result.message.contains("ports not told: 2"), "{result:?}");
}

/// As from a DUT whose interface has a larger MTU than any Ethernet without jumbo frames.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_searched_to_its_end_however_long_it_is() {
    let world = World::with(NetworkConfig {
        canaries: vec![Needle {
            name: "canary".into(),
            bytes: CANARY.into(),
        }],
        ..NetworkConfig::new("long")
    })
    .await;
    let cable = world.bench.cable().expect("a new cable");
    // Our end's other end is the DUT's: whoever writes there is the DUT.
    let say = |frame: &[u8]| {
        let sent = send(cable.as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()));
        world.bench.settle();
    };
    for length in [1600, 9000, 65_000] {
        let before = world.bench.flows().canaries.len();
        let port = u16::try_from(length % 50_000).unwrap();
        let mut payload = vec![7; length];
        payload.extend(CANARY.as_bytes());
        let mut frame = datagram(&payload);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        say(&frame);
        assert_eq!(world.bench.flows().canaries.len(), before + 1, "{length}");
    }
    assert!(world.bench.losses().is_empty());
    // Longer than IP has them.
    say(&vec![7; 80_000]);
    let losses: Vec<(Loss, u64)> = world.bench.losses().iter().collect();
    assert_eq!(losses, [(Loss::FramesCut, 1)]);
    assert!(
        world
            .bench
            .losses_since(Instant::now() + Duration::from_secs(1))
            .is_empty()
    );
}

/// Runs one of the tests below in a process of its own: what is done to it is done to all in it.
fn by_itself(test: &str, before: &[&str]) {
    let this = env::current_exe().expect("this program");
    let this = this.to_str().expect("a name");
    let arguments = [this, test, "--exact", "--ignored", "--nocapture"];
    let all = [before, &arguments].concat();
    let child = Command::new(all[0]).args(&all[1..]).output();
    let child = child.expect("it can be started");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{child:?}");
    assert!(said.contains("1 passed"), "{said}");
}

/// As on a disk that becomes full.
#[test]
fn what_could_not_be_captured_is_not_absent() {
    let full = "trap '' XFSZ; exec prlimit --fsize=200000 \"$0\" \"$@\"";
    by_itself("unseen::files_can_not_grow", &["sh", "-c", full]);
}

#[test]
#[ignore = "run by another, where files can't grow"]
fn files_can_not_grow() {
    let speak = |network: &Network| {
        let sender = Sender::new(DUT);
        for number in 0..3000 {
            sender.send(&datagram(&[7; 300]));
            if number % 100 == 0 {
                network.settle();
            }
        }
        network.settle();
    };
    for body in [
        SEARCH,
        "t.log(\"now\")\nt.expect(t.net.outbound(port = 4444) == [], \"calls\")",
    ] {
        let result = run_unit(body, ("log", speak));
        assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
        assert!(
            result.message.contains("frames not captured: "),
            "{result:?}"
        );
    }
}

/// The oldest is deleted to make room, while the run goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_from_the_capture_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let world = World::with(NetworkConfig {
        capture: Some(CaptureConfig {
            max_file: 20_000,
            max_files: 3,
            ..CaptureConfig::new(folder.path())
        }),
        ..NetworkConfig::new("deleted")
    })
    .await;
    let cable = world.bench.cable().expect("a new cable");
    let frame = datagram(&[7; 1000]);
    let mut sent = 0;
    let deleted = |since: Instant| {
        let losses = world.bench.losses_since(since);
        let mut all = losses.iter();
        all.find(|(loss, _)| *loss == Loss::CapturedFramesDeleted)
            .map_or(0, |(_, count)| count)
    };
    while deleted(begin) == 0 && sent < 200 {
        assert!(send(cable.as_raw_fd(), &frame, MsgFlags::empty()).is_ok());
        world.bench.settle();
        sent += 1;
    }
    let report = world.bench.captured().expect("there is a capture");
    assert!(report.deleted > 0 && sent > report.deleted, "{report:?}");
    assert_eq!(report.deleted, deleted(begin), "{report:?}");
    assert!(report.files.iter().all(|file| file.exists()), "{report:?}");
    // It is no loss to whoever asks about the time since.
    assert_eq!(deleted(Instant::now()), 0);
}

/// A request that is not answered in time was maybe answered while nobody listened.
#[test]
fn a_request_during_a_standstill_is_no_proof_of_silence() {
    by_itself("unseen::stands_still_within_a_request", &[]);
}

#[test]
#[ignore = "run by another, in a process that may be stopped"]
fn stands_still_within_a_request() {
    // Whoever is called stops this process, and never answers.
    let listen = |_: &Network| {
        let listener = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
                tokio::spawn(connection);
                give_address(&netlink, DUT, &DUT_V4.to_string(), 24).await;
            });
            TcpListener::bind((DUT_V4, 80)).unwrap()
        });
        let listener = listener.join().unwrap();
        thread::spawn(move || {
            let stop = "kill -STOP $PPID; sleep 2.5; kill -CONT $PPID";
            for (number, stream) in listener.incoming().flatten().enumerate() {
                if number == 0 {
                    Command::new("sh").args(["-c", stop]).status().unwrap();
                }
                thread::spawn(move || {
                    let mut stream = stream;
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
    };
    let result = run_unit(
        "t.log(\"now\")\n\
         answer = t.net.request(\"GET\", \"/\", port = 80, tls = False, timeout = 2)\n\
         t.expect(answer.error == None, \"it does not answer: {}\", answer.error)",
        ("log", listen),
    );
    assert_eq!(result.outcome(), Outcome::Error, "{result:?}");
    let why = "GET /: no answer for 2s; but: this machine stood still for";
    assert!(result.message.contains(why), "{result:?}");
}
