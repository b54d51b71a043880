//! Frames pass, and only where they should.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use provebench_network::{
    CaptureConfig, DUT_V4, DUT_V6, Direction, GATEWAY_V4, Impairment, NetworkConfig,
};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use provebench_testing::support::{PATIENCE, World, within};

/// Sends back what it gets.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

async fn say(address: SocketAddr, word: &'static str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(word.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[rstest]
#[case(DUT_V4.into())]
#[case(DUT_V6.into())]
#[tokio::test]
async fn bench_and_dut_speak_tcp(#[case] address: IpAddr) {
    let world = World::start("tcp").await;
    let address = SocketAddr::new(address, 7);
    let listener = within(&world.dut, TcpListener::bind(address))
        .await
        .unwrap();
    world.dut.handle().spawn(echo(listener));
    let answer = within(&world.bench, say(address, "hello")).await.unwrap();
    assert_eq!(answer, "hello");
    assert!(world.bench.traffic().from_dut.sent > 0);
    world.bench.health().unwrap();
}

/// Whether datagrams from one side reach the other.
async fn reaches(world: &World, by: Direction) -> bool {
    let (from, to, address) = match by {
        Direction::FromDut => (&world.dut, &world.bench, IpAddr::from(GATEWAY_V4)),
        Direction::ToDut => (&world.bench, &world.dut, IpAddr::from(DUT_V4)),
    };
    let receiver = within(to, UdpSocket::bind((address, 0))).await.unwrap();
    let target = receiver.local_addr().unwrap();
    let sender = within(from, UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let mut buffer = [0; 16];
    // ARP may have to be done first, and an answer may be lost to a busy machine.
    for _ in 0..5 {
        let _ = sender.send_to(b"hello", target).await;
        let arrived = receiver.recv_from(&mut buffer);
        if tokio::time::timeout(Duration::from_millis(300), arrived)
            .await
            .is_ok()
        {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_pulled_cable_stops_frames_of_both_directions_until_it_is_back() {
    let world = World::start("link").await;
    for by in [Direction::FromDut, Direction::ToDut] {
        assert!(reaches(&world, by).await, "{by:?} before");
        world.bench.link(false);
        let before = world.bench.traffic();
        assert!(!reaches(&world, by).await, "{by:?} while pulled");
        let after = world.bench.traffic();
        let (before, after) = match by {
            Direction::FromDut => (before.from_dut, after.from_dut),
            Direction::ToDut => (before.to_dut, after.to_dut),
        };
        let (sent, stopped) = (after.sent - before.sent, after.link_down - before.link_down);
        assert!(
            sent > 0 && sent == stopped,
            "{sent} sent, {stopped} stopped"
        );
        world.bench.link(true);
        assert!(reaches(&world, by).await, "{by:?} afterwards");
    }
}

#[tokio::test]
async fn networks_with_the_same_addresses_do_not_see_each_other() {
    let worlds = [
        World::start("one").await,
        World::start("two").await,
        World::start("three").await,
    ];
    let words = ["first", "second", "third"];
    for (world, word) in worlds.iter().zip(words) {
        let bind = TcpListener::bind((DUT_V4, 7));
        let listener = within(&world.dut, bind).await.unwrap();
        world.dut.handle().spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(word.as_bytes()).await;
            }
        });
    }
    for (world, word) in worlds.iter().zip(words) {
        let address = SocketAddr::new(DUT_V4.into(), 7);
        assert_eq!(within(&world.bench, say(address, "")).await.unwrap(), word);
    }
    // One without a listener is not answered by the others.
    let other = World::start("other").await;
    let refused = within(&other.bench, TcpStream::connect((DUT_V4, 7))).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    // Nor are the host's addresses those of a network, nor the other way round.
    let bound = TcpListener::bind((GATEWAY_V4, 0)).await;
    assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(host.local_addr().unwrap());
    let refused = within(&other.bench, connect).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn what_is_outside_is_refused_and_listed() {
    let world = World::start("sinkhole").await;
    let tcp = within(&world.dut, TcpStream::connect("203.0.113.7:4443")).await;
    assert_eq!(tcp.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let v6 = within(&world.dut, TcpStream::connect("[2001:db8::7]:4443")).await;
    assert_eq!(v6.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let udp = within(&world.dut, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect("198.51.100.3:5000").await?;
        socket.send(b"anybody?").await?;
        socket.recv(&mut [0; 16]).await
    });
    assert_eq!(
        udp.await.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    let flows = world.bench.flows();
    let unserved: Vec<String> = flows
        .unserved
        .iter()
        .map(|it| format!("{:?} {} {:?}", it.protocol, it.destination, it.outcome))
        .collect();
    for expected in [
        "Tcp 203.0.113.7:4443 Refused",
        "Tcp [2001:db8::7]:4443 Refused",
        "Udp 198.51.100.3:5000 Refused",
    ] {
        assert!(
            unserved.iter().any(|it| it == expected),
            "{expected} in {unserved:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_calls_is_told_when_there_are_enough() {
    let world = World::start("calls").await;
    let call = |port: u16| {
        within(&world.dut, async move {
            let _ = TcpStream::connect(("203.0.113.7", port)).await;
        })
    };
    let forever = Duration::from_hours(1);
    let waiting = world.bench.await_outbound(Some(4443), 0.0, 2, forever);
    let calling = async {
        call(4443).await;
        call(4444).await;
        call(4443).await;
    };
    let both = async { tokio::join!(waiting, calling) };
    let (calls, ()) = tokio::time::timeout(PATIENCE, both).await.expect("told");
    let ports: Vec<u16> = calls.iter().map(|it| it.destination.port()).collect();
    assert_eq!(ports, [4443, 4443]);
    // Those that are there already, and what there is when time is over.
    let soon = Duration::from_millis(50);
    assert_eq!(
        world
            .bench
            .await_outbound(None, 0.0, 3, forever)
            .await
            .len(),
        3
    );
    assert_eq!(
        world.bench.await_outbound(None, 0.0, 4, soon).await.len(),
        3
    );
    assert_eq!(
        world
            .bench
            .await_outbound(None, calls[1].first, 1, soon)
            .await,
        []
    );
}

#[tokio::test]
async fn impairments_happen_and_are_counted() {
    let world = World::start("impairment").await;
    assert!(reaches(&world, Direction::ToDut).await);
    let lossy = Impairment {
        loss: 1.0,
        direction: Some(Direction::ToDut),
        ..Impairment::default()
    };
    world.bench.impair(lossy).unwrap();
    assert!(!reaches(&world, Direction::ToDut).await);
    assert!(world.bench.traffic().to_dut.lost > 0);

    let slow = Impairment {
        delay: Duration::from_millis(50),
        ..Impairment::default()
    };
    world.bench.impair(slow).unwrap();
    let address = SocketAddr::new(DUT_V4.into(), 7);
    let listener = within(&world.dut, TcpListener::bind(address))
        .await
        .unwrap();
    world.dut.handle().spawn(echo(listener));
    let before = Instant::now();
    assert_eq!(
        within(&world.bench, say(address, "slow")).await.unwrap(),
        "slow"
    );
    // Handshake and answer: two round trips at least.
    assert!(
        before.elapsed() >= Duration::from_millis(200),
        "{:?}",
        before.elapsed()
    );

    let broken = Impairment {
        corruption: 0.2,
        duplication: 0.2,
        loss: 0.1,
        seed: 1,
        ..Impairment::default()
    };
    world.bench.impair(broken).unwrap();
    let text: &'static str = Box::leak("TCP makes up for it. ".repeat(2000).into_boxed_str());
    assert_eq!(
        within(&world.bench, say(address, text)).await.unwrap(),
        text
    );
    let counts = world.bench.traffic().to_dut;
    assert!(counts.corrupted > 0 && counts.duplicated > 0, "{counts:?}");
}

#[tokio::test]
async fn every_frame_is_in_the_capture() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Instant::now();
    let config = NetworkConfig {
        origin,
        capture: Some(CaptureConfig::new(folder.path())),
        ..NetworkConfig::new("capture")
    };
    let world = World::with(config).await;
    let address = SocketAddr::new(DUT_V4.into(), 7);
    let listener = within(&world.dut, TcpListener::bind(address))
        .await
        .unwrap();
    world.dut.handle().spawn(echo(listener));
    let text: &'static str = Box::leak("0123456789abcdef".repeat(20_000).into_boxed_str());
    assert_eq!(
        within(&world.bench, say(address, text)).await.unwrap(),
        text
    );
    world.bench.link(false);
    assert!(!reaches(&world, Direction::ToDut).await);

    // Stops the frames first: then all that was counted is written.
    let World { bench, dut } = world;
    drop(dut);
    let traffic = bench.traffic();
    let report = bench.captured().expect("there is a capture");
    drop(bench);
    assert_eq!((report.unwritten, report.deleted), (0, 0), "{report:?}");
    assert!(report.frames >= traffic.from_dut.sent + traffic.to_dut.sent);

    let file = std::fs::File::open(&report.files[0]).unwrap();
    let mut reader = pcap_file::pcapng::PcapNgReader::new(file).unwrap();
    let (mut frames, mut last, mut pulled) = (0, Duration::ZERO, 0);
    while let Some(block) = reader.next_block() {
        let pcap_file::pcapng::Block::EnhancedPacket(packet) = block.unwrap() else {
            continue;
        };
        frames += 1;
        assert!(packet.timestamp >= last, "frames are in order of time");
        last = packet.timestamp;
        pulled += u64::from(format!("{:?}", packet.options).contains("the link is down"));
    }
    assert!(frames >= report.frames);
    assert!(
        pulled > 0,
        "frames at a pulled cable are captured too, and marked"
    );
}

#[tokio::test]
async fn a_network_can_be_dropped_in_a_runtime_and_leaves_nothing() {
    let world = World::start("drop").await;
    let handle = world.bench.handle().clone();
    let listener = handle.spawn(TcpListener::bind((GATEWAY_V4, 80)));
    let listener = listener.await.unwrap().unwrap();
    drop(world);
    drop(listener);
    // Its threads are gone: nobody carries this out.
    let late = handle.spawn(async {});
    let late = tokio::time::timeout(PATIENCE, late).await.expect("it ends");
    assert!(late.unwrap_err().is_cancelled());
}

/// Why the bench's own interface is not sound.
async fn complaint(world: &World, since: Instant) -> String {
    let error = world.bench.sound_since(since).await.unwrap_err();
    error.to_string()
}

/// Runs a program in the bench's namespace.
async fn in_namespace(world: &World, words: &'static str) {
    let run = async move {
        let mut words = words.split(' ');
        std::process::Command::new(words.next().unwrap())
            .args(words)
            .status()
    };
    assert!(within(&world.bench, run).await.unwrap().success());
}

/// What the DUT is told to do, and what it says, goes nowhere then.
#[rstest]
#[case::down("ip link set bench0 down", "bench0 is down")]
#[case::raw_end_down("ip link set cable0 down", "cable0")]
#[case::deleted("ip link del bench0", "bench0 is gone")]
#[case::without_address("ip -4 address flush dev bench0", "lost its address 10.77.0.1")]
#[case::without_addresses("ip -6 address flush dev bench0", "lost its address fd77::1")]
#[case::no_loopback("ip link set lo down", "lo is down")]
#[tokio::test]
async fn the_bench_sees_that_its_own_interface_is_not_as_it_was(
    #[case] change: &'static str,
    #[case] told: &str,
) {
    let world = World::start("own").await;
    let begin = Instant::now();
    world.bench.sound_since(begin).await.unwrap();
    in_namespace(&world, change).await;
    let error = complaint(&world, begin).await;
    assert!(error.contains(told), "{error}");
}

#[tokio::test]
async fn an_interface_that_was_down_for_a_moment_was_not_there() {
    let world = World::start("moment").await;
    let begin = Instant::now();
    in_namespace(&world, "ip link set cable0 down").await;
    in_namespace(&world, "ip link set cable0 up").await;
    let deadline = Instant::now() + PATIENCE;
    // The thread that moves frames is told by the kernel.
    while world.bench.sound_since(begin).await.is_ok() {
        assert!(Instant::now() < deadline, "nobody has seen it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = complaint(&world, begin).await;
    assert!(error.contains("was down meanwhile"), "{error}");
    world.bench.sound_since(Instant::now()).await.unwrap();
}
