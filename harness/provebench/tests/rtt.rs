//! RTT as a console, on a board whose memory the test writes as firmware would: the rings are real, the probe is, and
//! the core has nothing to run.

use std::time::Duration;

use provebench_bench::console::Pattern;
use provebench_bench::inventory::{Inventory, Segment};
use provebench_bench::probe::FlashJob;
use provebench_bench::{Bench, BenchOptions, ConsoleError};
use provebench_testing::board::{World, world};
use rstest::rstest;

/// Long enough on any machine; waited for only when a test fails.
const PATIENCE: Duration = Duration::from_mins(5);
const BLOCK: u32 = 0x2000_0400;
const SIZE: u32 = 64;
/// Of a channel in the control block: name, buffer, size, write offset, read offset, flags.
const WRITE_OFFSET: u64 = 12;
const READ_OFFSET: u64 = 16;

/// Opens the bench with RTT as its console.
async fn open(world: &World, port: &str) -> Bench {
    let old = format!("console = {{ port = \"{}\" }}", world.board.console);
    let new = format!("console = {{ port = \"{port}\" }}");
    world.bench.replace("devices.toml", &old, &new);
    let inventory = Inventory::load(&world.bench.devices(), &world.bench.targets()).unwrap();
    let options = BenchOptions::default();
    Bench::open(&inventory.devices[0], &options).await.unwrap()
}

/// What firmware does in its memory.
struct Firmware<'b> {
    bench: &'b Bench,
    block: u32,
}

impl<'b> Firmware<'b> {
    /// A control block with one channel each way, and rings of [`SIZE`] bytes behind it.
    async fn start(bench: &'b Bench, block: u32) -> Self {
        let channel = |buffer: u32| [0, buffer, SIZE, 0, 0, 0].map(u32::to_le_bytes).concat();
        let mut memory = b"SEGGER RTT\0\0\0\0\0\0".to_vec();
        memory.extend([1_u32, 1].map(u32::to_le_bytes).concat());
        memory.extend(channel(block + 0x100));
        memory.extend(channel(block + 0x200));
        let probe = bench.probe().unwrap();
        probe.write(block.into(), &memory).await.unwrap();
        Self { bench, block }
    }

    fn up(&self) -> u64 {
        u64::from(self.block) + 24
    }

    fn down(&self) -> u64 {
        self.up() + 24
    }

    async fn word(&self, address: u64) -> u32 {
        let probe = self.bench.probe().unwrap();
        let bytes = probe.read(address, 4).await.unwrap();
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    async fn set_word(&self, address: u64, word: u32) {
        let probe = self.bench.probe().unwrap();
        probe.write(address, &word.to_le_bytes()).await.unwrap();
    }

    /// Writes to the up ring as there is room, as blocking firmware does.
    async fn print(&self, text: &[u8]) {
        let probe = self.bench.probe().unwrap();
        let ring = u64::from(self.block) + 0x100;
        for byte in text {
            let at = self.word(self.up() + WRITE_OFFSET).await;
            let next = (at + 1) % SIZE;
            while self.word(self.up() + READ_OFFSET).await == next {
                tokio::task::yield_now().await;
            }
            probe.write(ring + u64::from(at), &[*byte]).await.unwrap();
            self.set_word(self.up() + WRITE_OFFSET, next).await;
        }
    }

    /// Takes what is in the down ring until that ends with a carriage return.
    async fn line(&self) -> Vec<u8> {
        let probe = self.bench.probe().unwrap();
        let ring = u64::from(self.block) + 0x200;
        let mut line = Vec::new();
        while line.last() != Some(&b'\r') {
            let at = self.word(self.down() + READ_OFFSET).await;
            if at == self.word(self.down() + WRITE_OFFSET).await {
                tokio::task::yield_now().await;
                continue;
            }
            line.extend(probe.read(ring + u64::from(at), 1).await.unwrap());
            self.set_word(self.down() + READ_OFFSET, (at + 1) % SIZE)
                .await;
        }
        line
    }
}

async fn expect(bench: &Bench, pattern: &str) {
    let pattern = Pattern::new(pattern).unwrap();
    let console = bench.console().unwrap();
    console.expect(&pattern, PATIENCE).await.unwrap();
}

#[rstest]
#[case::where_it_is("rtt://0x20000400")]
#[case::found_in_ram("rtt://")]
#[tokio::test(flavor = "multi_thread")]
async fn both_ways_more_than_the_rings_hold(world: World, #[case] port: &str) {
    let bench = open(&world, port).await;
    let firmware = Firmware::start(&bench, BLOCK).await;
    let text: Vec<u8> = (0..40)
        .flat_map(|n| format!("line {n}\r\n").into_bytes())
        .collect();
    let all = String::from_utf8(text.clone()).unwrap();
    tokio::time::timeout(PATIENCE, firmware.print(&text))
        .await
        .unwrap();
    expect(&bench, &regex::escape(&all)).await;

    let sent = [vec![b'x'; 200], b"\r".to_vec()].concat();
    bench.console().unwrap().send(&sent).await.unwrap();
    let received = tokio::time::timeout(PATIENCE, firmware.line())
        .await
        .unwrap();
    assert_eq!(received, sent);
    bench.close().await.unwrap();
}

/// More than waits on the way, to firmware that takes nothing of it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn firmware_that_takes_nothing_is_an_error_in_bounded_time(world: World) {
    let bench = open(&world, "rtt://0x20000400").await;
    let firmware = Firmware::start(&bench, BLOCK).await;
    let console = bench.console().unwrap();
    let much = vec![b'x'; 100_000];
    let sending = console.send(&much);
    let error = tokio::time::timeout(PATIENCE, sending).await.unwrap();
    let Err(ConsoleError::SendTimeout { sent, length, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(sent < length && length == 100_000, "{sent} of {length}");
    // The other way is open.
    firmware.print(b"here\r\n").await;
    expect(&bench, "here\r\n").await;
    bench.close().await.unwrap();
}

/// Whatever the probe does in between, the console is there afterwards.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn it_shares_the_probe_and_outlives_power_cuts_and_other_firmware(world: World) {
    let bench = open(&world, "rtt://").await;
    let console = bench.console().unwrap();
    let first = Firmware::start(&bench, BLOCK).await;
    first.print(b"one\r\n").await;
    expect(&bench, "one\r\n").await;

    // The flash algorithm runs in RAM, on the core.
    let probe = bench.probe().unwrap();
    let job = FlashJob {
        name: "image".into(),
        segments: vec![Segment {
            address: 0x2100_0000,
            data: (0..100_000_u32).map(|n| (n % 251) as u8).collect(),
        }],
    };
    let report = probe
        .flash(std::slice::from_ref(&job), |_| {})
        .await
        .unwrap();
    assert_eq!(report.programmed, ["image"]);
    assert!(probe.verify(&[job]).await.unwrap());

    // Other firmware has its rings elsewhere.
    let second = Firmware::start(&bench, BLOCK + 0x1_0000).await;
    second.print(b"two\r\n").await;
    expect(&bench, "two\r\n").await;

    // Without power it is silent, and not gone.
    bench.power().unwrap().off().await.unwrap();
    let nothing = console
        .expect(&Pattern::new(".").unwrap(), Duration::from_millis(500))
        .await;
    assert!(
        matches!(nothing, Err(ConsoleError::Timeout { .. })),
        "{nothing:?}"
    );
    console.health().unwrap();
    bench.power().unwrap().on().await.unwrap();
    let third = Firmware::start(&bench, BLOCK).await;
    third.print(b"three\r\n").await;
    expect(&bench, "three\r\n").await;
    bench.close().await.unwrap();
}

/// A DUT may write there what it likes.
#[rstest]
#[case::huge_ring(&[(0, &[0xFF; 24][..])])]
#[case::offsets_beyond_the_ring(&[(WRITE_OFFSET, &[0xFF; 4][..])])]
#[case::ring_where_nothing_is(&[(4, &[0xF0; 4][..]), (WRITE_OFFSET, &[7, 0, 0, 0][..])])]
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_the_rings_is_survived(world: World, #[case] patches: &[(u64, &[u8])]) {
    let bench = open(&world, "rtt://0x20000400").await;
    let firmware = Firmware::start(&bench, BLOCK).await;
    let probe = bench.probe().unwrap();
    for (at, bytes) in patches {
        probe.write(firmware.up() + at, bytes).await.unwrap();
    }
    let console = bench.console().unwrap();
    console.send(b"?").await.unwrap();
    let nothing = console
        .expect(&Pattern::new("sense").unwrap(), Duration::from_millis(500))
        .await;
    assert!(
        matches!(nothing, Err(ConsoleError::Timeout { .. })),
        "{nothing:?}"
    );
    let firmware = Firmware::start(&bench, BLOCK).await;
    firmware.print(b"sense\r\n").await;
    expect(&bench, "sense\r\n").await;
    bench.close().await.unwrap();
}
