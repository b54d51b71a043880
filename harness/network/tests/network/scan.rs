//! A scan finds what is open, and nothing else.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use provebench_network::{
    DUT_V4, DUT_V6, Direction, Flow, Impairment, Protocol,
    scan::{ScanConfig, ScanReport},
};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
};

use provebench_testing::support::{PATIENCE, World, within, without_limits};

async fn listeners(world: &World, address: IpAddr, ports: &[u16]) -> Vec<TcpListener> {
    let mut all = Vec::new();
    for port in ports.iter().copied() {
        let bind = TcpListener::bind(SocketAddr::new(address, port));
        all.push(within(&world.dut, bind).await.expect("a free port"));
    }
    all
}

#[rstest]
#[case::v4(DUT_V4.into())]
#[case::v6(DUT_V6.into())]
#[tokio::test(flavor = "multi_thread")]
async fn finds_exactly_the_open_ports_of_65535(#[case] address: IpAddr) {
    let world = World::start("scan").await;
    let open = [1, 22, 80, 8883, 31337, 65535];
    let _open = listeners(&world, address, &open).await;
    let config = ScanConfig {
        identify: false,
        udp: Vec::new(),
        ..ScanConfig::new(address)
    };
    // What is lost on an overloaded machine is asked again for a minute.
    let report = tokio::time::timeout(3 * PATIENCE, world.bench.scan(config))
        .await
        .expect("in time")
        .expect("it can scan");
    let found: Vec<u16> = report.tcp_open.iter().map(|port| port.port).collect();
    assert_eq!(found, open);
    assert_eq!(report.tcp_closed, 65535 - open.len());
    assert_eq!(report.tcp_silent, [0; 0]);
    let flows = world.bench.flows();
    assert!(flows.scan_frames >= 2 * 65535, "{}", flows.scan_frames);
    assert!(flows.flows.len() < 100, "a scan is no flow");
    eprintln!("{} packets in {} s", report.packets, report.seconds);
}

/// Whose queue of connections is full says nothing, as a filter does.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_port_is_one_where_others_refuse_in_the_same_moment() {
    let world = World::start("silent").await;
    let socket = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((DUT_V4, 80).into())?;
        socket.listen(1)
    };
    let _full = within(&world.dut, socket).await.expect("a free port");
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let connect = TcpStream::connect((DUT_V4, 80));
        waiting.push(within(&world.bench, connect).await.expect("there is room"));
    }
    for ports in [(1..=1000).collect(), vec![80]] {
        let config = ScanConfig {
            identify: false,
            tcp: ports,
            udp: Vec::new(),
            ..ScanConfig::new(DUT_V4.into())
        };
        let closed = config.tcp.len() - 1;
        let report = world.bench.scan(config).await.expect("it can scan");
        assert_eq!(report.tcp_closed, closed);
        assert_eq!(report.tcp_silent, [80]);
        assert_eq!(report.tcp_untold, [0; 0]);
    }
}

/// However much is lost on the way, here or in the DUT, a port is not taken for silent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_asked_again_and_else_not_told() {
    let world = World::start("lossy").await;
    let _open = listeners(&world, DUT_V4.into(), &[80]).await;
    let config = ScanConfig {
        identify: false,
        tcp: (1..=1000).collect(),
        udp: Vec::new(),
        retries: 0,
        ..ScanConfig::new(DUT_V4.into())
    };
    // After this they know each other's hardware addresses.
    let quick = world.bench.scan(config.clone()).await.expect("it can scan");
    assert_eq!((quick.tcp_closed, quick.tcp_silent.len()), (999, 0));
    let lossy = Impairment {
        loss: 0.5,
        direction: Some(Direction::ToDut),
        seed: 3,
        ..Impairment::default()
    };
    world.dut.impair(lossy).unwrap();
    let hasty = ScanConfig {
        patience: Duration::ZERO,
        ..config.clone()
    };
    let report = asked(&world, hasty).await;
    assert!(report.tcp_untold.len() > 100, "{report:?}");
    assert_eq!(report.tcp_untold, report.tcp_silent);
    let told = report.tcp_open.len() + report.tcp_closed;
    assert_eq!(told + report.tcp_silent.len(), 1000);

    let report = asked(&world, config).await;
    let open: Vec<u16> = report.tcp_open.iter().map(|port| port.port).collect();
    assert_eq!((open, report.tcp_closed), (vec![80], 999), "{report:?}");
    assert_eq!(report.tcp_silent, [0; 0]);
}

/// Scans; again if all questions for the DUT's hardware address were lost.
async fn asked(world: &World, config: ScanConfig) -> ScanReport {
    loop {
        let scan = world.bench.scan(config.clone());
        let report = scan.await.expect("it can scan");
        if report.packets > 0 {
            return report;
        }
        assert_eq!(report.tcp_untold, config.tcp);
    }
}

/// A slow DUT is asked twice, and answers the second time when the scan is over.
#[rstest]
#[case::v4(DUT_V4.into())]
#[case::v6(DUT_V6.into())]
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_the_scans_all_the_same(#[case] address: IpAddr) {
    let world = World::start("late").await;
    let config = ScanConfig {
        identify: false,
        tcp: (1..=64).collect(),
        udp: Vec::new(),
        ..ScanConfig::new(address)
    };
    // After this they know each other's hardware addresses.
    let quick = world.bench.scan(config.clone()).await.expect("it can scan");
    let slow = Impairment {
        delay: Duration::from_millis(300),
        ..Impairment::default()
    };
    world.dut.impair(slow).unwrap();
    let report = world.bench.scan(config).await.expect("it can scan");
    assert_eq!(report.tcp_closed, 64);
    assert!(report.packets > 64, "{}", report.packets);
    let all_answered = async {
        while world.bench.flows().scan_frames < 2 * (quick.packets + report.packets) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_answered)
        .await
        .expect("each packet and its answer are the scan's");
    let is_tcp = |flow: &Flow| flow.protocol == Protocol::Tcp;
    let flows = world.bench.flows().flows;
    assert!(!flows.iter().any(is_tcp), "{flows:?}");
}

#[rstest]
#[case::v4(DUT_V4.into())]
#[case::v6(DUT_V6.into())]
#[tokio::test(flavor = "multi_thread")]
async fn tells_udp_ports_that_answer_from_closed_and_silent_ones(#[case] address: IpAddr) {
    let world = World::start("udp scan").await;
    without_limits(&world).await;
    let time = SocketAddr::new(address, 123);
    let answering = within(&world.dut, UdpSocket::bind(time)).await.unwrap();
    world.dut.handle().spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = answering.recv_from(&mut buffer).await {
            let _ = answering.send_to(&buffer[..length], from).await;
        }
    });
    let silent = SocketAddr::new(address, 5683);
    let _silent = within(&world.dut, UdpSocket::bind(silent)).await.unwrap();
    let config = ScanConfig {
        tcp: Vec::new(),
        retries: 1,
        ..ScanConfig::new(address)
    };
    let asked = config.udp.len();
    let report = world.bench.scan(config).await.expect("it can scan");
    let open: Vec<u16> = report.udp_open.iter().map(|port| port.port).collect();
    assert_eq!(open, [123]);
    assert_eq!(report.udp_silent, [5683]);
    assert_eq!(report.udp_untold, [0; 0], "others are refused");
    assert_eq!(report.udp_closed, asked - 2);
}

/// A Linux as it is refuses each peer once a second. A port that answers nobody is told from those all the same.
#[rstest]
#[case::v4(DUT_V4.into(), 2000)]
#[case::v6(DUT_V6.into(), 4000)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_limits_its_refusals_is_asked_at_its_own_rate(
    #[case] address: IpAddr,
    #[case] last: u16,
) {
    let world = World::start("limited").await;
    let quiet = SocketAddr::new(address, 1701);
    let _quiet = within(&world.dut, UdpSocket::bind(quiet)).await.unwrap();
    let picky = SocketAddr::new(address, 1023);
    let picky = within(&world.dut, UdpSocket::bind(picky)).await.unwrap();
    world.dut.handle().spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((_, from)) = picky.recv_from(&mut buffer).await {
            let _ = picky.send_to(b"pong", from).await;
        }
    });
    let config = ScanConfig {
        tcp: Vec::new(),
        udp: (1..=last).collect(),
        ..ScanConfig::new(address)
    };
    let report = tokio::time::timeout(3 * PATIENCE, world.bench.scan(config))
        .await
        .expect("in time")
        .expect("it can scan");
    eprintln!("{} packets in {} s", report.packets, report.seconds);
    assert_eq!(report.udp_untold, [0; 0]);
    assert_eq!(report.udp_silent, [1701]);
    let open: Vec<u16> = report.udp_open.iter().map(|port| port.port).collect();
    assert_eq!(open, [1023]);
    assert_eq!(report.udp_closed, usize::from(last) - 2);
    let flows = world.bench.flows();
    let unserved: Vec<_> = flows.unserved.iter().map(|it| it.destination).collect();
    assert_eq!(unserved, [], "the scan is no wish of the DUT's");
    assert!(flows.flows.len() < 1000, "a scan is no flow");
    // The bench has but its own addresses again.
    let ours = within(&world.bench, async {
        UdpSocket::bind("10.77.0.3:0").await.map(drop)
    });
    assert!(ours.await.is_err());
}

/// Whoever has no time for that says so.
#[tokio::test(flavor = "multi_thread")]
async fn ports_that_were_not_told_are_not_closed() {
    let world = World::start("untold").await;
    let config = ScanConfig {
        tcp: Vec::new(),
        udp: (1..=2000).collect(),
        patience: Duration::ZERO,
        ..ScanConfig::new(DUT_V4.into())
    };
    let report = world.bench.scan(config).await.expect("it can scan");
    assert!(report.udp_closed > 0);
    assert_eq!(report.udp_closed + report.udp_untold.len(), 2000);
    assert_eq!(report.udp_untold, report.udp_silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dut_that_is_not_there_is_silent_and_no_error() {
    let world = World::start("nobody").await;
    world.bench.link(false);
    let config = ScanConfig {
        tcp: (1..100).collect(),
        udp: vec![53],
        retries: 1,
        ..ScanConfig::new(DUT_V4.into())
    };
    let report = world.bench.scan(config).await.expect("the bench is sound");
    assert_eq!(report.tcp_open, []);
    assert_eq!((report.tcp_silent.len(), report.udp_silent.len()), (99, 1));
    assert_eq!((report.tcp_untold.len(), report.udp_untold.len()), (99, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_ports_show_their_banner() {
    let world = World::start("banner").await;
    let mut listeners = listeners(&world, DUT_V4.into(), &[22, 80]).await;
    let (web, shell) = (listeners.remove(1), listeners.remove(0));
    world.dut.handle().spawn(async move {
        while let Ok((mut stream, _)) = shell.accept().await {
            let _ = stream.write_all(b"SSH-2.0-test\r\n").await;
        }
    });
    world.dut.handle().spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4];
                if stream.read_exact(&mut request).await.is_ok() && request == *b"GET " {
                    let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").await;
                }
            });
        }
    });
    let config = ScanConfig {
        tcp: (1..1024).collect(),
        udp: Vec::new(),
        ..ScanConfig::new(DUT_V4.into())
    };
    let report = world.bench.scan(config).await.expect("it can scan");
    let banners: BTreeSet<(u16, Option<String>)> = report
        .tcp_open
        .into_iter()
        .map(|port| (port.port, port.banner))
        .collect();
    let expected = [
        (22, Some(r"SSH-2.0-test\r\n".to_owned())),
        (80, Some(r"HTTP/1.0 404 Not Found\r\n\r\n".to_owned())),
    ];
    assert_eq!(banners, BTreeSet::from(expected));
}

/// It refuses everybody else while it has a client, and for a while after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_dut_that_takes_one_connection_at_a_time_is_waited_for() {
    let world = World::start("one at a time").await;
    let address = (DUT_V4, 80);
    let first = within(&world.dut, TcpListener::bind(address))
        .await
        .expect("the port is free");
    world.dut.handle().spawn(async move {
        let mut listener = first;
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(listener);
            let mut request = [0; 4];
            if stream.read_exact(&mut request).await.is_ok() && request == *b"GET " {
                let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").await;
            }
            drop(stream);
            tokio::time::sleep(Duration::from_millis(200)).await;
            listener = TcpListener::bind(address).await.expect("ours again");
        }
    });
    let config = ScanConfig {
        tcp: vec![80],
        udp: Vec::new(),
        ..ScanConfig::new(DUT_V4.into())
    };
    let report = world.bench.scan(config).await.expect("it can scan");
    let banners: Vec<_> = report
        .tcp_open
        .into_iter()
        .map(|port| port.banner)
        .collect();
    assert_eq!(
        banners,
        [Some(r"HTTP/1.0 404 Not Found\r\n\r\n".to_owned())]
    );
}
