//! The console on real terminals: pseudo terminals, whose other end plays the DUT.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    thread,
};

use nix::{pty::openpty, unistd::ttyname};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use rstest::{fixture, rstest};
use tempfile::TempDir;

use super::{log::tests::received_bytes, *};
use crate::inventory::RttPort;

/// Long enough on any machine; waited for only when a test fails.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// For what must not happen.
pub(super) const SHORT: Duration = Duration::from_millis(100);

/// The far end of a serial cable.
pub(super) struct Dut {
    pub(super) terminal: File,
    /// Held open, so that what is printed while nobody has the port open is not lost.
    _port: OwnedFd,
}

/// A stable path for the port, like those in `/dev/serial/by-id`.
pub(super) struct Cable {
    pub(super) folder: TempDir,
}

#[fixture]
pub(super) fn cable() -> Cable {
    Cable {
        folder: tempfile::tempdir().unwrap(),
    }
}

impl Cable {
    pub(super) fn port(&self) -> PathBuf {
        self.folder.path().join("port")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("console.log")
    }

    pub(super) fn plug_in(&self) -> Dut {
        let pty = openpty(None, None).unwrap();
        let _ = fs::remove_file(self.port());
        symlink(ttyname(&pty.slave).unwrap(), self.port()).unwrap();
        Dut {
            terminal: File::from(pty.master),
            _port: pty.slave,
        }
    }

    async fn open(&self) -> Console {
        Console::open(self.setup()).await.unwrap()
    }

    pub(super) fn setup(&self) -> ConsoleSetup {
        ConsoleSetup {
            port: ConsolePort::Serial(self.port()),
            baud: 115_200,
            probe: None,
            log: self.log(),
            limit: LogLimit::default(),
            origin: StdInstant::now(),
            title: "console of test".into(),
            power: PowerLeft::default(),
        }
    }
}

impl Dut {
    pub(super) fn print(&mut self, data: impl AsRef<[u8]>) {
        self.terminal.write_all(data.as_ref()).unwrap();
    }

    pub(super) fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        self.terminal.read_exact(&mut data).unwrap();
        data
    }
}

pub(super) fn regex(pattern: &str) -> Pattern {
    Pattern::new(pattern).unwrap()
}

pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[rstest]
#[tokio::test]
async fn a_match_gives_its_groups_and_consumes_what_came_before(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("boot 1\r\nmodel=PB-RS1 serial=PB250001\r\n> ");
    let found = console
        .expect(
            &regex(r"model=(?<model>\S+) serial=(\S+)(x)?\r\n"),
            PATIENCE,
        )
        .await
        .unwrap();
    assert_eq!(found.bytes, b"model=PB-RS1 serial=PB250001\r\n");
    let groups = [Some(b"PB-RS1".to_vec()), Some(b"PB250001".to_vec()), None];
    assert_eq!(found.groups, groups);
    assert_eq!(found.named["model"], b"PB-RS1");
    console.expect(&regex("> "), PATIENCE).await.unwrap();
    let again = console.expect(&regex("boot"), SHORT).await;
    assert!(matches!(again, Err(ConsoleError::Timeout { .. })));
}

#[rstest]
#[tokio::test]
async fn characters_that_arrive_in_pieces_are_matched(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    let text = "Küche 21 °C\r\n".as_bytes();
    for (index, byte) in text.iter().enumerate() {
        dut.print([*byte]);
        // Each byte is seen before the next one is sent.
        let mut changed = console.shared.changed.subscribe();
        while console.mark() <= index as u64 {
            timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
        }
    }
    let found = console
        .expect(&regex(r"Küche (\d+) °C\r\n"), PATIENCE)
        .await;
    assert_eq!(found.unwrap().groups, [Some(b"21".to_vec())]);
    console.close().await;
    assert!(read(&cable.log()).contains(r"< Küche 21 °C\r\n"));
}

#[rstest]
#[tokio::test]
async fn a_timeout_shows_what_was_printed_instead(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("Hello\r\nlogin\x1b[0m: ");
    console.expect(&regex("Hello\r\n"), PATIENCE).await.unwrap();
    let error = console.expect(&regex("assword"), SHORT).await.unwrap_err();
    let ConsoleError::Timeout {
        pattern,
        tail,
        waited,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((pattern.as_str(), waited), ("assword", SHORT));
    assert_eq!(tail, r"login\x1b[0m: ");
}

#[rstest]
#[tokio::test]
async fn what_is_sent_arrives_and_is_logged(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("> ");
    console.expect(&regex("> "), PATIENCE).await.unwrap();
    console.send(b"status\r").await.unwrap();
    let received = thread::spawn(move || (dut.receive(7), dut)).join().unwrap();
    assert_eq!(received.0, b"status\r");
    console.close().await;
    let log = read(&cable.log());
    let records: Vec<_> = log.lines().map(|line| &line[13..]).collect();
    assert_eq!(records, ["# console of test", "< > ", r"> status\r"]);
}

#[rstest]
#[case::begins_with("^two\r\n", b"two\r\n")]
#[case::line("(?m)^two$", b"two")]
#[case::any_byte("two\r\ntemp: (.*) ok\r\n", b"two\r\ntemp: 21\xb0C ok\r\n")]
#[case::prompt("login: ", b"login: ")]
#[tokio::test]
async fn what_follows_a_match_is_a_text_of_its_own(
    cable: Cable,
    #[case] pattern: &str,
    #[case] expected: &[u8],
) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print(b"one\r\ntwo\r\ntemp: 21\xb0C ok\r\nlogin: ");
    console.expect(&regex("one\r\n"), PATIENCE).await.unwrap();
    let found = console.expect(&regex(pattern), PATIENCE).await.unwrap();
    assert_eq!(found.bytes, expected);
}

#[rstest]
#[tokio::test]
async fn a_match_may_be_long(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    let printer = thread::spawn(move || {
        dut.print("begin\r\n");
        for _ in 0..300 {
            dut.print([b'x'; 1000]);
        }
        dut.print("END\r\nbegin");
        dut
    });
    let pattern = regex("(?s)begin(.*?)END\r\n");
    let found = console.expect(&pattern, PATIENCE).await.unwrap();
    assert_eq!(found.groups[0].as_ref().map(Vec::len), Some(300_002));
    console.expect(&regex("^begin"), PATIENCE).await.unwrap();
    printer.join().unwrap();
}

#[rstest]
#[tokio::test]
async fn a_match_that_may_go_on_counts_when_nothing_more_comes(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("version=1.");
    let mut changed = console.shared.changed.subscribe();
    while console.mark() < 10 {
        timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    }
    let version = regex(r"version=(\S+)");
    let (found, mut dut) = tokio::join!(console.expect(&version, PATIENCE), async {
        tokio::task::yield_now().await;
        dut.print("2\r\n# ");
        dut
    });
    assert_eq!(found.unwrap().groups[0].as_deref(), Some(&b"1.2"[..]));
    // At the end of the time.
    console.expect(&regex("# $"), SHORT).await.unwrap();
    // After a silence.
    dut.print("name=x");
    let found = console.expect(&regex(r"name=\S+"), PATIENCE).await.unwrap();
    assert_eq!(found.bytes, b"name=x");
}

/// As fast as it can be read, and longer than that would take at any speed.
#[rstest]
#[tokio::test]
async fn a_port_that_goes_on_taking_data_is_given_time(cable: Cable) {
    const SIZE: usize = 64 * 1024;
    let mut dut = cable.plug_in();
    let pace = Pace {
        patience: Duration::from_secs(30),
        byte: Duration::ZERO,
        buffered: 1,
    };
    let console = Console::open_at(cable.setup(), pace).await.unwrap();
    let reader = thread::spawn(move || (dut.receive(SIZE).len(), dut));
    console.send(&vec![b'x'; SIZE]).await.unwrap();
    assert_eq!(reader.join().unwrap().0, SIZE);
}

#[rstest]
#[tokio::test]
async fn a_port_that_takes_nothing_is_an_error_in_bounded_time(cable: Cable) {
    let _dut = cable.plug_in();
    let pace = Pace {
        patience: SHORT,
        byte: Duration::from_nanos(1),
        buffered: 1,
    };
    let console = Console::open_at(cable.setup(), pace).await.unwrap();
    let held = timeout(PATIENCE, console.send(&vec![b'x'; 1 << 20])).await;
    let error = held.unwrap().unwrap_err();
    let ConsoleError::SendTimeout { sent, length, .. } = error else {
        panic!("{error:?}")
    };
    assert!(sent < length && length == 1 << 20, "{sent} of {length}");
}

#[rstest]
#[case::slow(ConsolePort::Serial("/dev/ttyS0".into()), 9600)]
#[case::slower(ConsolePort::Serial("/dev/ttyS0".into()), 300)]
#[case::terminal_server(ConsolePort::Rfc2217("server:1".into()), 9600)]
#[case::raw(ConsolePort::Socket("server:1".into()), 115_200)]
#[case::no_speed(ConsolePort::Serial("/dev/ttyS0".into()), 0)]
#[case::rtt(ConsolePort::Rtt(RttPort { address: None, channel: 0 }), 115_200)]
fn sending_has_the_time_that_length_and_speed_take(#[case] port: ConsolePort, #[case] baud: u32) {
    let pace = Pace::of(&port, baud);
    let line = Duration::from_secs(10) / baud.max(1);
    for length in [1, 20_001, 1 << 20] {
        let least = line * u32::try_from(length).unwrap();
        assert!(pace.limit(length) > least + SEND_LIMIT / 2);
        assert!(pace.limit(length) <= SEND_LIMIT + LONGEST);
        assert!(pace.stall(length) <= pace.limit(length));
    }
    // A short line is no reason to wait for long.
    assert!(pace.limit(20) < 2 * SEND_LIMIT || baud < 9600);
}

/// Both directions full at once: a console that does not read while it sends would wait for ever.
#[rstest]
#[tokio::test]
async fn a_dut_that_echoes_more_than_the_port_holds_is_no_deadlock(cable: Cable) {
    const SIZE: usize = 256 * 1024;
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    let echo = thread::spawn(move || {
        for _ in 0..SIZE / 1024 {
            let data = dut.receive(1024);
            dut.print(data);
        }
        dut.print("done");
        dut
    });
    console.send(&vec![b'x'; SIZE]).await.unwrap();
    let found = console.expect(&regex("done"), PATIENCE).await.unwrap();
    assert_eq!(found.end, SIZE as u64 + 4);
    echo.join().unwrap();
}

#[rstest]
#[tokio::test]
async fn a_flood_of_control_characters_is_survived_in_bounded_memory_and_lost_nowhere(
    cable: Cable,
) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    let mut flood = vec![0; 3 * window::KEPT];
    StdRng::seed_from_u64(1).fill_bytes(&mut flood);
    for byte in flood.iter_mut().step_by(2) {
        *byte %= 32;
    }
    let printed = flood.clone();
    let printer = thread::spawn(move || {
        dut.print(&printed);
        dut.print("READY> ");
        dut
    });
    console.expect(&regex("READY> "), PATIENCE).await.unwrap();
    printer.join().unwrap();
    assert!(console.shared.lock().window.bytes().len() <= 2 * window::KEPT);
    assert!(matches!(
        console.since(0),
        Err(ConsoleError::Overrun { .. })
    ));
    console.close().await;
    flood.extend_from_slice(b"READY> ");
    assert!(received_bytes(&read(&cable.log())) == flood);
}

/// Searched for what is slow to be told apart, too: then more comes than is looked at.
#[rstest]
#[case::cheap("never")]
#[case::open_end("(?s)yy(.*?)END")]
#[case::many("(?m)^(y+)(y+)(never|END)$")]
#[tokio::test]
async fn waiting_ends_in_time_though_the_dut_floods(cable: Cable, #[case] pattern: &str) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    let printer = thread::spawn(move || {
        // Until nobody takes it any more; the thread is left behind then.
        while dut.terminal.write_all(&[b'y'; 4096]).is_ok() {}
    });
    let never = regex(pattern);
    let result = timeout(PATIENCE, console.expect(&never, SHORT)).await;
    assert!(result.unwrap().is_err());
    drop(printer);
}

/// A bench that can't be closed goes on; what was hashed stays as it was.
#[rstest]
#[tokio::test]
async fn a_log_that_is_ended_stays_as_it_is(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("before\r\n");
    console.expect(&regex("before"), PATIENCE).await.unwrap();
    console.end_log();
    let log = read(&cable.log());
    dut.print("after\r\n");
    console.expect(&regex("after"), PATIENCE).await.unwrap();
    console.close().await;
    assert_eq!(read(&cable.log()), log);
    assert!(log.contains("before"));
}

#[rstest]
#[tokio::test]
async fn a_port_that_vanishes_is_told_from_a_silent_dut_and_used_again_when_it_is_back(
    cable: Cable,
) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("before");
    console.expect(&regex("before"), PATIENCE).await.unwrap();
    console.health().unwrap();

    let mut changed = console.shared.changed.subscribe();
    drop(dut);
    fs::remove_file(cable.port()).unwrap();
    while console.health().is_ok() {
        timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    }
    let gone = console.expect(&regex("after"), SHORT).await;
    assert!(
        matches!(gone, Err(ConsoleError::Vanished { .. })),
        "{gone:?}"
    );
    let unsent = console.send(b"x").await;
    assert!(
        matches!(unsent, Err(ConsoleError::Vanished { .. })),
        "{unsent:?}"
    );

    let mut dut = cable.plug_in();
    dut.print("after");
    console.expect(&regex("after"), PATIENCE).await.unwrap();
    console.health().unwrap();
    console.close().await;
    let log = read(&cable.log());
    assert!(log.contains("# the port has vanished"), "{log}");
    assert!(log.contains("# the port is back"), "{log}");
    assert_eq!(received_bytes(&log), b"beforeafter");
}

#[rstest]
#[tokio::test]
async fn a_port_in_use_or_absent_is_one_clear_error(cable: Cable) {
    let absent = Console::open(cable.setup()).await.unwrap_err();
    assert!(matches!(absent, ConsoleError::Open { .. }), "{absent:?}");
    let _dut = cable.plug_in();
    let _console = cable.open().await;
    let second = Console::open(cable.setup()).await.unwrap_err();
    assert!(matches!(second, ConsoleError::Open { .. }), "{second:?}");
}

#[rstest]
#[tokio::test]
async fn parts_of_the_log_can_be_kept_apart(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("first case\n");
    console.expect(&regex("case\n"), PATIENCE).await.unwrap();
    let mark = console.mark();
    let part = cable.folder.path().join("second.log");
    console.begin_part(&part).unwrap();
    dut.print("second case, no line end");
    console.expect(&regex("end"), PATIENCE).await.unwrap();
    console.end_part().unwrap();
    assert_eq!(received_bytes(&read(&part)), b"second case, no line end");
    assert_eq!(console.since(mark).unwrap(), b"second case, no line end");
    let all = read(&cable.log());
    assert_eq!(
        received_bytes(&all),
        b"first case\nsecond case, no line end"
    );
}

/// Of a log that is full, beginning and end are kept, and what is searched is not what is logged.
#[rstest]
#[tokio::test]
async fn a_flood_does_not_fill_the_disk(cable: Cable) {
    const LINES: u32 = 30_000;
    let mut dut = cable.plug_in();
    let limit: LogLimit = serde_json::from_str("65536").unwrap();
    let setup = ConsoleSetup {
        limit,
        ..cable.setup()
    };
    let console = Console::open(setup).await.unwrap();
    let part = cable.folder.path().join("case.log");
    console.begin_part(&part).unwrap();
    assert_eq!(console.left_out(), None);
    let flood = thread::spawn(move || {
        for n in 0..LINES {
            // Escaped, each is four bytes in the log.
            dut.print(format!(
                "{n:06}\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\n"
            ));
        }
        dut
    });
    for line in ["000000", "015000", "029999\\x1b+\\n"] {
        console.expect(&regex(line), PATIENCE).await.unwrap();
    }
    let mut dut = flood.join().unwrap();
    dut.print("> ");
    console.expect(&regex("^> |\n> "), PATIENCE).await.unwrap();
    let note = console.left_out().unwrap();
    assert!(note.starts_with("console.log is not whole: "), "{note}");
    assert!(
        note.contains("its limit of 64 KiB (log_limit in devices.toml)"),
        "{note}"
    );
    console.end_part().unwrap();
    console.close().await;

    for (path, limit) in [(part, limit.of_case()), (cable.log(), limit.of_device())] {
        let log = read(&path);
        let room = limit - 1024..limit + 1024;
        assert!(room.contains(&(log.len() as u64)), "{} bytes", log.len());
        let received = received_bytes(&log);
        assert!(received.starts_with(b"000000"));
        assert!(received.ends_with(b"\n> "));
        let remarks: Vec<&str> = log.lines().filter(|line| line.contains(" # ")).collect();
        let mut remarks = remarks
            .iter()
            .skip_while(|line| line.contains("console of test"));
        let first = remarks.next().unwrap();
        assert!(first.contains("left out from here on"), "{first}");
        let second = remarks.next().unwrap();
        let told = second
            .split_once(" # ")
            .unwrap()
            .1
            .split(' ')
            .next()
            .unwrap();
        let printed = LINES as usize * 20 + 2;
        assert_eq!(
            told.parse::<usize>().unwrap(),
            printed - received.len(),
            "{second}"
        );
        assert_eq!(remarks.next(), None);
    }
}

#[rstest]
#[tokio::test]
async fn skipped_output_is_not_matched(cable: Cable) {
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    dut.print("old> ");
    console.expect(&regex("old"), PATIENCE).await.unwrap();
    let mut changed = console.shared.changed.subscribe();
    while console.mark() < 5 {
        timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    }
    console.skip();
    dut.print("new> ");
    let found = console.expect(&regex("[a-z]*> "), PATIENCE).await.unwrap();
    assert_eq!(found.bytes, b"new> ");
}

/// What a console step costs beyond the terminal itself. Run by hand, in release:
/// `cargo test --release -p provebench --lib step_latency -- --ignored --nocapture`
#[rstest]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn step_latency(cable: Cable) {
    const ROUNDS: usize = 2000;
    let mut dut = cable.plug_in();
    let console = cable.open().await;
    thread::spawn(move || {
        loop {
            let line = dut.receive(7);
            dut.print(line);
        }
    });
    let pattern = regex("status\r");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = StdInstant::now();
        console.send(b"status\r").await.unwrap();
        console.expect(&pattern, PATIENCE).await.unwrap();
        times.push(started.elapsed());
    }
    report("console step", &mut times);
    drop(console);

    // The same terminal pair, with nothing in between.
    let pty = openpty(None, None).unwrap();
    nix::sys::termios::tcgetattr(&pty.slave)
        .and_then(|mut raw| {
            nix::sys::termios::cfmakeraw(&mut raw);
            nix::sys::termios::tcsetattr(&pty.slave, nix::sys::termios::SetArg::TCSANOW, &raw)
        })
        .unwrap();
    let mut dut = Dut {
        terminal: File::from(pty.master),
        _port: pty.slave.try_clone().unwrap(),
    };
    let mut port = File::from(pty.slave);
    thread::spawn(move || {
        loop {
            let line = dut.receive(7);
            dut.print(line);
        }
    });
    let mut times = Vec::new();
    let mut line = [0; 7];
    for _ in 0..ROUNDS {
        let started = StdInstant::now();
        port.write_all(b"status\r").unwrap();
        port.read_exact(&mut line).unwrap();
        times.push(started.elapsed());
    }
    report("bare terminal", &mut times);
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    println!("{what}: median {:?}, 99 % within {:?}", at(50), at(99));
}
