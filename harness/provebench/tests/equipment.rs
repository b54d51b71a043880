//! Equipment that fails in the middle of its work: a bench error with one clear message, never a FAIL of the
//! device, and nothing lost.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::assert::Assert;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use provebench_testing::board::Board;
use provebench_testing::processes::descendants;
use provebench_testing::{TestBench, repository, virtual_sensor};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rstest::{fixture, rstest};
use serde_json::Value;

/// `provebench` on this bench.
fn provebench(bench: &TestBench, words: &[&str]) -> assert_cmd::Command {
    let leases = bench.root().join("leases");
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_provebench"));
    command
        .current_dir(repository())
        .args(words)
        .args(bench.args())
        .env("PROVEBENCH_LEASES", leases);
    command
}

/// `provebench run` with these test cases.
fn run(bench: &TestBench, cases: &Path, words: &[&str]) -> Assert {
    provebench(bench, &["run"])
        .args(words)
        .arg("--testcases")
        .arg(cases)
        .arg("--runs")
        .arg(bench.root().join("runs"))
        .assert()
}

fn results(bench: &TestBench) -> Value {
    serde_json::from_slice(&fs::read(bench.root().join("runs/latest/results.json")).unwrap())
        .unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !condition() {
        assert!(Instant::now() < deadline, "not {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Units of the only case of the only device: outcome and message.
fn units(results: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cases = results["devices"][0]["cases"].as_object().unwrap();
    let units = cases.values().next().unwrap()["units"].as_array().unwrap();
    units
        .iter()
        .map(|unit| (text(&unit["outcome"]), text(&unit["message"])))
        .collect()
}

/// A board, and a cable to its probe that can be cut.
struct WiredBoard {
    // Ends before its folder does.
    _board: Board,
    bench: TestBench,
    /// Goes up while the host talks to the probe; from this many bytes on the cable is cut.
    cut_after: Arc<AtomicU64>,
}

#[fixture]
fn wired() -> WiredBoard {
    let bench = TestBench::of_sensors([]);
    let mut board = Board::start(bench.root());
    let cut_after = Arc::new(AtomicU64::new(u64::MAX));
    let port = board.probe.rsplit(':').next().unwrap().parse().unwrap();
    let cable = cable(port, Arc::clone(&cut_after));
    board.probe = format!("1d50:6018:127.0.0.1:{cable}");
    bench.append("devices.toml", &board.device());
    WiredBoard {
        _board: board,
        bench,
        cut_after,
    }
}

/// A cable between host and probe, which is cut when so many bytes have gone to the probe. Returns the port of its
/// host's end.
fn cable(probe: u16, cut_after: Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for host in listener.incoming() {
            let (Ok(host), Ok(probe)) = (host, TcpStream::connect(("127.0.0.1", probe))) else {
                return;
            };
            for stream in [&host, &probe] {
                stream.set_nodelay(true).unwrap();
            }
            let (back, up) = (probe.try_clone().unwrap(), host.try_clone().unwrap());
            let cut_after = Arc::clone(&cut_after);
            thread::spawn(move || forward(host, &probe, Some(&cut_after)));
            thread::spawn(move || forward(back, &up, None));
        }
    });
    port
}

fn forward(mut from: TcpStream, mut to: &TcpStream, cut_after: Option<&AtomicU64>) {
    let mut chunk = [0; 4096];
    let mut copy = || -> io::Result<()> {
        loop {
            let count = from.read(&mut chunk)?;
            let cut = cut_after.is_some_and(|left| {
                let before = left.load(Ordering::SeqCst);
                left.store(before.saturating_sub(count as u64), Ordering::SeqCst);
                before < count as u64
            });
            if count == 0 || cut {
                return Ok(());
            }
            to.write_all(&chunk[..count])?;
        }
    };
    let _ = copy();
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[rstest]
fn a_probe_that_vanishes_in_mid_flash_is_a_bench_error_and_the_next_try_succeeds(
    wired: WiredBoard,
) {
    // Enough to attach and begin; an image has 80 KB and more.
    wired.cut_after.store(60_000, Ordering::SeqCst);
    provebench(&wired.bench, &["flash", "wired"])
        .assert()
        .code(3)
        .stderr(contains("probe").and(contains("panicked").not()));
    wired.cut_after.store(u64::MAX, Ordering::SeqCst);
    provebench(&wired.bench, &["flash", "wired"])
        .assert()
        .success();
}

#[rstest]
fn a_probe_that_vanishes_in_a_test_case_is_an_error_and_what_was_found_stays(wired: WiredBoard) {
    let cases = wired.bench.root().join("testcases");
    // The device stays as it is: nothing is programmed, so that all bytes are the case's own.
    wired.bench.write(
        "testcases/5.11/5.11-1-2.star",
        r#""""Writes until the probe is gone."""
case(id = "5.11-1-2", sample = "engineering", needs = ["probe"])

def unit_a(t):
    "A unit that is decided."
    t.expect(len(t.probe.read(0, 64)) == 64, "nothing is read")

def unit_b(t):
    "A unit in which the probe vanishes."
    for _ in range(100000):
        t.probe.write(0x20100000, blob_fill(0, 65536))

def unit_c(t):
    "A unit without probe."
    t.expect(True, "never")
"#,
    );
    provebench(&wired.bench, &["flash", "wired"])
        .assert()
        .success();
    wired.cut_after.store(4_000_000, Ordering::SeqCst);
    let words = ["wired", "--retry-errors", "0"];
    run(&wired.bench, &cases, &words).code(3);
    let results = results(&wired.bench);
    let units = units(&results);
    assert_eq!(units[0].0, "pass", "{units:?}");
    assert_eq!(units[1].0, "error", "{units:?}");
    assert!(units[1].1.contains("probe"), "{units:?}");
    // Whoever is without its probe is no bench to be judged on.
    assert_eq!(units[2].0, "error", "{units:?}");
    let why = "the bench is not sound after unit b";
    assert!(units[2].1.starts_with(why), "{units:?}");
}

/// Runs case 5.9-1-2, and kills a process that the run has started as soon as its steps have `after`.
fn run_without(bench: &TestBench, process: &str, after: &str) -> Output {
    let cases = bench.root().join("testcases");
    let runs = bench.root().join("runs");
    let harness = Command::new(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(repository())
        .args(["run", "--retry-errors", "0"])
        .args(bench.args())
        .arg("--testcases")
        .arg(&cases)
        .arg("--runs")
        .arg(&runs)
        .env("PROVEBENCH_LEASES", bench.root().join("leases"))
        // Other tests have boards of that name.
        .env("XDG_STATE_HOME", bench.root().join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let steps = runs.join("latest/cases/one/5.9-1-2/steps.jsonl");
    until("in the unit", || {
        fs::read_to_string(&steps).is_ok_and(|steps| steps.contains(after))
    });
    for child in descendants(harness.id()) {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.trim() == process {
            kill(Pid::from_raw(child.cast_signed()), Signal::SIGKILL).unwrap();
        }
    }
    harness.wait_with_output().unwrap()
}

/// A FAIL of what did not come to a broker, or from a board, that was not there any more would be a lie.
#[rstest]
#[case::broker("mosquitto", "broker")]
#[case::board("virtual-board", "has died")]
#[case::emulator("qemu-system-arm", "has died")]
fn no_unit_is_blamed_for_what_has_died(#[case] process: &str, #[case] told: &str) {
    let bench = TestBench::of_sensors([virtual_sensor("one", "PB250113", "Jx4u-Ly9n-Tb7s", None)]);
    bench.write(
        "testcases/5.9/5.9-1-2.star",
        r#""""Nothing comes."""
case(id = "5.9-1-2", needs = ["services"])

def unit_a(t):
    "A unit that finds that nothing has come."
    mark = t.services.mark()
    t.expect(t.services.wait(mark, "mqtt", "tls-failed", timeout = 20) != None, "nothing comes")
"#,
    );
    let output = run_without(&bench, process, "services.mark");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let units = units(&results(&bench));
    assert_eq!(units[0].0, "error", "{units:?}");
    assert!(units[0].1.starts_with("nothing comes; but: "), "{units:?}");
    assert!(units[0].1.contains(told), "{units:?}");
}

#[test]
fn no_unit_is_blamed_for_an_outage_that_an_earlier_one_left() {
    let bench = TestBench::of_sensors([virtual_sensor("one", "PB250113", "Jx4u-Ly9n-Tb7s", None)]);
    bench.write(
        "testcases/5.9/5.9-1-2.star",
        r#""""The cable can't be plugged in again."""
case(id = "5.9-1-2", needs = ["net", "console"])

def unit_a(t):
    "A unit that ends without the cable."
    t.net.link(False)
    t.console.expect("never", timeout = 20)

def unit_b(t):
    "A unit that would pass."
    t.log("it is not run")
"#,
    );
    let output = run_without(&bench, "virtual-board", "net.link");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let units = units(&results(&bench));
    assert_eq!(units[0].0, "error", "{units:?}");
    assert_eq!(units[1].0, "error", "{units:?}");
    let why = "the network is not as it was before unit a";
    assert!(units[1].1.contains(why), "{units:?}");
}

#[test]
fn without_qemu_there_is_one_message_that_says_what_to_install() {
    let bench = TestBench::of_sensors([virtual_sensor("one", "PB250113", "Jx4u-Ly9n-Tb7s", None)]);
    let empty = bench.root().join("empty");
    fs::create_dir(&empty).unwrap();
    provebench(&bench, &["power", "one", "on"])
        .env("PATH", &empty)
        .assert()
        .code(3)
        .stderr(contains("qemu-system-arm").and(contains("ci/setup")));
}

#[rstest]
#[case::no_such_probe(|text: &str| text.replace("1d50:6018:127.0.0.1", "1366:1015:no-such"), &["flash", "wired"], "1366:1015")]
#[case::no_such_port(|text: &str| text.replace("port = \"", "port = \"/nowhere"), &["console", "wired"], "/nowhere")]
#[case::no_such_plug(|text: &str| text.replace("url = \"http://127.0.0.1:", "url = \"http://127.0.0.1:1/"), &["power", "wired", "off"], "127.0.0.1:1")]
fn equipment_that_is_not_there_is_named(
    wired: WiredBoard,
    #[case] broken: fn(&str) -> String,
    #[case] words: &[&str],
    #[case] named: &str,
) {
    let text = fs::read_to_string(wired.bench.devices()).unwrap();
    let other = broken(&text);
    assert_ne!(text, other);
    wired.bench.write("devices.toml", other);
    provebench(&wired.bench, words)
        .assert()
        .code(3)
        .stderr(contains(named));
}

#[rstest]
fn a_device_is_programmed_though_its_console_is_missing(wired: WiredBoard) {
    let file = "devices.toml";
    wired.bench.replace(file, "port = \"", "port = \"/nowhere");
    provebench(&wired.bench, &["flash", "wired"])
        .assert()
        .success()
        .stdout(contains("programmed and verified"));
}

#[test]
fn a_switch_that_fails_is_a_bench_error_with_what_it_said() {
    let bench = TestBench::new();
    let state = bench.root().join("state");
    let state = state.to_str().unwrap();
    bench.replace(
        "devices.toml",
        r#"power = { driver = "tasmota", url = "http://10.0.0.5", relay = 1 }"#,
        &format!(
            r#"power = {{ driver = "command", on = ["sh", "-c", "echo on > {state}"], off = ["sh", "-c", "echo stuck >&2; exit 3"], state = ["cat", "{state}"] }}"#
        ),
    );
    provebench(&bench, &["power", "wired", "on"])
        .assert()
        .success();
    assert_eq!(fs::read_to_string(state).unwrap(), "on\n");
    provebench(&bench, &["power", "wired", "off"])
        .assert()
        .code(3)
        .stderr(contains("stuck").and(contains("panicked").not()));
}

/// At a random moment; emulators, brokers and namespaces included. Then it goes on, and all is as if nothing had been.
fn killed_on_virtual_boards(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let bench = TestBench::of_sensors([virtual_sensor("one", "PB250113", "Jx4u-Ly9n-Tb7s", None)]);
    let words = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provebench"));
        command
            .current_dir(repository())
            .args(words)
            .arg("--runs")
            .arg(bench.root().join("runs"))
            .args(bench.args())
            .env("PROVEBENCH_LEASES", bench.root().join("leases"))
            .env("XDG_STATE_HOME", bench.root().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    let mut harness = words(&["run", "5.3-16-2", "5.1-4-2", "--seed", "7"])
        .spawn()
        .unwrap();
    let journal = bench.root().join("runs/latest/journal.jsonl");
    let has = |text: &str| fs::read_to_string(&journal).is_ok_and(|j| j.contains(text));
    until(&format!("begun, seed {seed}"), || has("device-started"));
    thread::sleep(Duration::from_millis(random.random_range(0..6_000)));
    let children = descendants(harness.id());
    harness.kill().unwrap();
    harness.wait().unwrap();
    let is_there = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    until("without children", || !children.iter().any(is_there));

    let output = words(&["run", "--resume", "latest"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "seed {seed}: {said}");
    let results = results(&bench);
    // Two units of two rows, and two of the product.
    assert_eq!(results["counts"]["pass"], 6, "seed {seed}: {said}");
    assert_eq!(results["verdict"], "pass");
}

#[rstest]
fn a_killed_run_leaves_nothing_behind_and_goes_on(#[values(1)] seed: u64) {
    killed_on_virtual_boards(seed);
}

/// `PROVEBENCH_KILLS=50 cargo test --test equipment -- --ignored killed_at_many_points`
#[test]
#[ignore = "takes minutes"]
fn killed_at_many_points() {
    let kills = std::env::var("PROVEBENCH_KILLS").map_or(20, |n| n.parse().unwrap());
    for seed in 2..2 + kills {
        killed_on_virtual_boards(seed);
    }
}

const CHIP: &str = "targets/virtual-board/chip.yaml";
const TARGET: &str = "targets/reference-sensor/target.toml";

/// Everything but the chip is right: the board would take the image.
#[rstest]
#[case::other_core(
    &[(CHIP, "type: armv7m\n", "type: armv7em\n")],
    "not to provebench-virtual"
)]
#[case::other_register(&[(TARGET, "value = 0x5242_5650", "value = 0x5242_5651")], "0x52425651 at 0x01000000")]
#[case::other_access_port(&[(TARGET, "idr = 0x0288_0000", "idr = 0x1288_0000")], "access port 1 has IDR 0x12880000")]
fn another_chip_is_neither_programmed_nor_erased(
    wired: WiredBoard,
    #[case] edits: &[(&str, &str, &str)],
    #[case] expected: &str,
    #[values(&["flash", "wired"], &["flash", "wired", "--erase"])] words: &[&str],
) {
    let flash = |words| {
        let mut command = provebench(&wired.bench, words);
        // Not wrapped in the middle of what is looked for.
        command.env("COLUMNS", "400");
        command.assert()
    };
    flash(&["flash", "wired"]).success();
    wired.bench.copy_target("reference-sensor");
    for (file, old, new) in edits {
        wired.bench.replace(file, old, new);
    }
    let targets = wired.bench.root().join("targets");
    let other = ["--targets", targets.to_str().unwrap()];
    let words = [words, &other].concat();
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_provebench"));
    let output = command
        .current_dir(repository())
        .args(&words)
        .arg("--devices")
        .arg(wired.bench.devices())
        .env("PROVEBENCH_LEASES", wired.bench.root().join("leases"))
        .assert()
        .code(3)
        .get_output()
        .clone();
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(['│', '\n'], " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        expected,
        "nothing is programmed or erased",
        "is wired to a chip",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    // What was in it is still there.
    flash(&["flash", "wired"])
        .success()
        .stdout(contains("already there").and(contains("programmed").not()));
}
