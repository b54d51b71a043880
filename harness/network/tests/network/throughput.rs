//! How much the bench's network takes without a loss, and how long a scan of all ports takes. Run by hand, optimised:
//! `cargo test --release -p provebench --test network throughput -- --ignored --nocapture --test-threads 1`
//!
//! What a frame or a port costs in processor time hardly depends on what else the machine does; the rest does.
#![allow(clippy::cast_precision_loss)] // figures to look at

use std::{
    env, fs,
    io::IoSlice,
    os::fd::AsRawFd as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, sendmmsg},
};
use provebench_network::{
    CaptureConfig, DUT_V4, GATEWAY_MAC, GATEWAY_V4, Network, NetworkConfig, Side,
    scan::{ScanConfig, ScanReport},
};
use rstest::rstest;
use tokio::net::UdpSocket;

use provebench_testing::{
    machine::{DUT, NIC, Sender, await_carrier, in_a_machine, on, set_up},
    support::{World, within},
};

const LASTS: Duration = Duration::from_secs(2);
const BURST: usize = 32;

/// Processor time that the threads of this name have taken so far.
fn taken_by(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let named = tasks.filter(|task| {
        let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        comm.starts_with(name)
    });
    let taken = named.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(taken.sum())
}

/// Datagrams of the DUT from several ports, each frame of this length.
fn frames(length: usize) -> Vec<Vec<u8>> {
    let from = |port: u16| {
        let builder = PacketBuilder::ethernet2([2, 0x77, 0, 0, 0, 2], GATEWAY_MAC)
            .ipv4(DUT_V4.octets(), GATEWAY_V4.octets(), 64)
            .udp(port, 514);
        let mut frame = Vec::new();
        let payload = vec![7; length - builder.size(0)];
        builder.write(&mut frame, &payload).expect("it fits");
        frame
    };
    (0..BURST as u16).map(|port| from(40_000 + port)).collect()
}

/// Sends so many a second, or as many as go; how many went.
fn flood(sender: &Sender, frames: &[Vec<u8>], a_second: Option<u64>) -> u64 {
    let slices: Vec<[IoSlice<'_>; 1]> = frames.iter().map(|it| [IoSlice::new(it)]).collect();
    let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < LASTS {
        if let Some(rate) = a_second {
            let due = begin + Duration::from_secs_f64(sent as f64 / rate as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let nowhere = vec![None; slices.len()];
        let went = sendmmsg(
            sender.socket().as_raw_fd(),
            &mut headers,
            &slices,
            nowhere,
            [],
            MsgFlags::empty(),
        );
        match went {
            Ok(went) => sent += went.count() as u64,
            Err(Errno::ENOBUFS | Errno::EAGAIN) => {}
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

/// A DUT at an interface of the machine, whose datagrams nobody reads; all of it captured.
#[rstest]
#[case::full(1514, &[Some(250), Some(500), Some(750), Some(1000), Some(1500), None])]
#[case::small(60, &[Some(10), Some(25), Some(50), Some(100), None])]
#[ignore = "a measurement"]
fn frames_without_loss(#[case] length: usize, #[case] megabits: &'static [Option<u64>]) {
    in_a_machine(async move |netlink| {
        set_up(&netlink, DUT).await;
        for rate in megabits {
            let folder = tempfile::tempdir().unwrap();
            let config = NetworkConfig {
                capture: Some(CaptureConfig::new(folder.path())),
                ..on(NIC, Side::Bench)
            };
            let bench = Network::start(config).await.unwrap();
            await_carrier(&netlink, DUT, true).await;
            let bind = UdpSocket::bind((GATEWAY_V4, 514));
            let _unread = within(&bench, bind).await.unwrap();
            let (frames, sender) = (frames(length), Sender::new(DUT));
            let rate = rate.map(|rate| rate * 1_000_000 / (8 * length as u64));
            let before = taken_by("frames");
            let sent = flood(&sender, &frames, rate);
            bench.settle();
            let took = taken_by("frames").saturating_sub(before);
            let counts = bench.traffic().from_dut;
            let report = bench.captured().unwrap();
            let known = counts.sent + counts.missed;
            println!(
                "{length} bytes: {:7.0} frames/s, {:5.0} Mbit/s: missed {:5.2} %, never there {}, not written {}, {:?} a frame taken",
                sent as f64 / LASTS.as_secs_f64(),
                (sent * 8 * length as u64) as f64 / LASTS.as_secs_f64() / 1e6,
                100.0 * counts.missed as f64 / sent as f64,
                // The kernel drops what it finds no time for between the interfaces.
                sent.saturating_sub(known),
                report.unwritten,
                took / u32::try_from(counts.sent).unwrap().max(1),
            );
            bench.close().await.unwrap();
        }
    });
}

async fn scan(world: &World) -> (ScanReport, f64) {
    let config = ScanConfig {
        identify: false,
        udp: Vec::new(),
        ..ScanConfig::new(DUT_V4.into())
    };
    let begin = Instant::now();
    let report = world.bench.scan(config).await.expect("it can scan");
    (report, begin.elapsed().as_secs_f64())
}

/// Pairs, side by side; `ROUNDS` of them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn scan_beside_nmap() {
    let rounds = env::var("ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number"));
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let world = World::start("scan").await;
        let (before, moved) = (taken_by(""), taken_by("frames"));
        let (report, ours) = scan(&world).await;
        let (busy, moved) = (
            taken_by("").saturating_sub(before),
            taken_by("frames").saturating_sub(moved),
        );
        let begin = Instant::now();
        let nmap = within(&world.bench, async {
            tokio::task::block_in_place(|| {
                let mut nmap = Command::new("nmap");
                nmap.args(["--privileged", "-n", "-Pn", "-sS", "-T5", "-p-", "-oG", "-"]);
                nmap.arg(DUT_V4.to_string()).stdin(Stdio::null()).output()
            })
        });
        assert!(nmap.await.expect("nmap is there").status.success());
        let theirs = begin.elapsed().as_secs_f64();
        println!(
            "{ours:.2} s ({busy:.2?} of processors, {moved:.2?} of them moving frames; {} packets, {} closed), nmap {theirs:.2} s",
            report.packets, report.tcp_closed,
        );
        ratios.push(ours / theirs);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median of ratios: {:.2}", ratios[ratios.len() / 2]);
}
