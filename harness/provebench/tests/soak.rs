//! The whole suite again and again on several boards: nothing may pile up, and verdicts may not change.
//!
//! ```text
//! PROVEBENCH_ROUNDS=6 cargo test --test soak -- --ignored --nocapture
//! ```

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use provebench_testing::processes::descendants;
use provebench_testing::{TestBench, repository, virtual_sensor};
use serde_json::Value;

/// What a process and its children have at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    seconds: u64,
    /// Cases that are over.
    cases: usize,
    /// Of the harness, MiB.
    memory: usize,
    /// Of the harness.
    descriptors: usize,
    /// Of the harness.
    threads: usize,
    /// Of the harness and theirs.
    children: usize,
    /// Of the harness' threads and of all children, without this process' own.
    namespaces: usize,
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Network namespaces by their inodes.
fn namespaces(pids: &[u32]) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for pid in pids {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            found.extend(inode(&task.path().join("ns/net")).ok());
        }
    }
    found
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

fn sample(harness: u32, began: Instant, journal: &Path) -> Sample {
    let status = fs::read_to_string(format!("/proc/{harness}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    let children = descendants(harness);
    let mut all = children.clone();
    all.push(harness);
    let mut namespaces = namespaces(&all);
    namespaces.remove(&inode(Path::new("/proc/self/ns/net")).unwrap());
    let journal = fs::read_to_string(journal).unwrap_or_default();
    Sample {
        seconds: began.elapsed().as_secs(),
        cases: journal.matches("\"event\":\"case-finished\"").count(),
        memory: kib.unwrap_or_default() / 1024,
        descriptors: count(&format!("/proc/{harness}/fd")),
        threads: count(&format!("/proc/{harness}/task")),
        children: children.len(),
        namespaces: namespaces.len(),
    }
}

/// Samples every few seconds until the process has ended.
fn watch(harness: &mut Child, journal: &Path) -> Vec<Sample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    let mut said = 0;
    while harness.try_wait().unwrap().is_none() {
        let now = sample(harness.id(), began, journal);
        samples.push(now);
        if now.seconds / 60 > said {
            said += 1;
            println!("{now:?}");
        }
        thread::sleep(Duration::from_secs(3));
    }
    samples
}

fn peak(samples: &[Sample], of: impl Fn(&Sample) -> usize) -> usize {
    samples.iter().map(of).max().unwrap_or_default()
}

#[test]
#[ignore = "takes half an hour"]
fn nothing_piles_up_and_verdicts_stay() {
    let rounds: usize = env::var("PROVEBENCH_ROUNDS").map_or(6, |n| n.parse().unwrap());
    assert!(rounds >= 3, "the first round only warms up");
    let labels = [
        ("one", "PB250113", "Jx4u-Ly9n-Tb7s"),
        ("two", "PB250114", "vE6r-Qm2z-WdKp"),
        ("three", "PB250115", "hR8c-Zx5t-NfYa"),
        ("four", "PB250116", "Gk3w-Pd7j-MuSe"),
    ];
    let bench = TestBench::of_sensors(
        labels.map(|(name, serial, password)| virtual_sensor(name, serial, password, None)),
    );
    // Kept: whoever sees it fail wants to know why.
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let mut harness = Command::new(env!("CARGO_BIN_EXE_provebench"))
        .current_dir(repository())
        .args(["run", "--repeat", &rounds.to_string(), "--runs"])
        .arg(&runs)
        .args(bench.args())
        .env("PROVEBENCH_LEASES", bench.root().join("leases"))
        .env("XDG_STATE_HOME", bench.root().join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let samples = watch(&mut harness, &runs.join("latest/journal.jsonl"));
    let code = harness.wait().unwrap().code();

    let results = fs::read(runs.join("latest/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    println!("{} in {} s", results["counts"], results["seconds"]);
    for device in results["devices"].as_array().unwrap() {
        for (id, case) in device["cases"].as_object().unwrap() {
            assert_eq!(
                case["verdict"], "pass",
                "{id} on {}: {case}",
                device["name"]
            );
            assert_eq!(case["flaky"], Value::Null, "{id} on {}", device["name"]);
        }
    }
    assert_eq!(code, Some(0));
    assert!(
        fs::read_dir(bench.root().join("leases"))
            .unwrap()
            .flatten()
            .all(|lease| lease.metadata().unwrap().len() == 0),
        "leases are given back"
    );

    // The same work in the second and in the last round.
    let all = samples.last().unwrap().cases;
    let of_round = |round: usize| -> Vec<Sample> {
        let (from, to) = (all * (round - 1) / rounds, all * round / rounds);
        let within = |s: &&Sample| (from..to).contains(&s.cases);
        samples.iter().filter(within).copied().collect()
    };
    let (second, last) = (of_round(2), of_round(rounds));
    // Each bench keeps what it saw in indexes that fill up: of flows 64 MiB at most, of records 8 MiB for each service.
    let memory = peak(&last, |s| s.memory);
    println!("at most {memory} MiB");
    assert!(memory < 150 + labels.len() * 100, "{samples:#?}");
    for (what, of, slack) in [
        (
            "descriptors",
            (|s| s.descriptors) as fn(&Sample) -> usize,
            12,
        ),
        ("threads", |s| s.threads, 12),
        ("children", |s| s.children, 4),
        ("namespaces", |s| s.namespaces, 1),
    ] {
        let (before, after) = (peak(&second, of), peak(&last, of));
        println!("{what}: at most {before} in round 2, {after} in round {rounds}");
        assert!(after <= before + slack, "{what} pile up: {samples:#?}");
    }
}
