//! Independent eyes: nmap agrees with the scan, tshark with the capture and the index of flows.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use provebench_network::{
    CaptureConfig, DUT_V4, GATEWAY_V4, NetworkConfig, Protocol, scan::ScanConfig,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use provebench_testing::support::{PATIENCE, World, within, without_limits};

/// Runs a program that must be there; what it printed.
fn run(command: &mut Command) -> String {
    let program = command.get_program().to_owned();
    let done = command.stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| {
        panic!(
            "{} is needed (ci/setup installs it): {error}",
            program.display()
        )
    });
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn nmap_finds_the_same_ports() {
    let world = World::start("nmap").await;
    without_limits(&world).await;
    let open = [1, 22, 80, 443, 1883, 8883, 9999, 10_000];
    let mut listeners = Vec::new();
    for port in open {
        let bind = TcpListener::bind((DUT_V4, port));
        listeners.push(within(&world.dut, bind).await.expect("a free port"));
    }
    let config = ScanConfig {
        tcp: (1..=10_000).collect(),
        udp: Vec::new(),
        identify: false,
        ..ScanConfig::new(DUT_V4.into())
    };
    let report = tokio::time::timeout(PATIENCE, world.bench.scan(config))
        .await
        .expect("in time")
        .expect("it can scan");
    // A child is in the network of the thread that starts it.
    let found = within(&world.bench, async {
        tokio::task::block_in_place(|| {
            let mut nmap = Command::new("nmap");
            nmap.args(["-n", "-Pn", "-sT", "-T4", "-p", "1-10000", "-oG", "-"]);
            run(nmap.arg(DUT_V4.to_string()))
        })
    })
    .await;
    let theirs: BTreeSet<u16> = found
        .lines()
        .filter_map(|line| line.split_once("Ports: "))
        .flat_map(|(_, ports)| ports.split('\t').next().unwrap_or_default().split(", "))
        .filter(|port| port.contains("/open/"))
        .map(|port| {
            port.split('/')
                .next()
                .expect("a port")
                .parse()
                .expect("a number")
        })
        .collect();
    let ours: BTreeSet<u16> = report.tcp_open.iter().map(|port| port.port).collect();
    assert_eq!(ours, theirs, "{found}");
    assert_eq!(ours, open.into());
}

async fn talk(world: &World) {
    let listener = within(&world.bench, TcpListener::bind((GATEWAY_V4, 0)))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = world.bench.handle().spawn(async move {
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.expect("what it says");
            stream.write_all(&said).await.expect("it listens");
        }
    });
    let client = async move {
        for _ in 0..5 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream
                .write_all(&vec![7; 50_000])
                .await
                .expect("it listens");
            stream.shutdown().await.expect("an end");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.expect("an echo");
            assert_eq!(said.len(), 50_000);
        }
        let socket = UdpSocket::bind((DUT_V4, 0)).await.expect("a port");
        let question =
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04time\x06sensor\x07example\0\0\x01\0\x01";
        let server = SocketAddr::from((GATEWAY_V4, 53));
        socket.send_to(question, server).await.expect("sent");
    };
    within(&world.dut, client).await;
    server.await.expect("it served");
}

fn tshark(file: &Path, filter: &str, field: &str) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r"]).arg(file);
    // Checksums are made by hardware that is not there.
    tshark.args([
        "-o",
        "ip.check_checksum:FALSE",
        "-Y",
        filter,
        "-T",
        "fields",
        "-e",
        field,
    ]);
    run(&mut tshark).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tshark_reads_the_capture_and_agrees_with_the_index() {
    let dir = tempfile::tempdir().expect("a folder");
    let world = World::with(NetworkConfig {
        capture: Some(CaptureConfig::new(dir.path())),
        ..NetworkConfig::new("tshark")
    })
    .await;
    talk(&world).await;
    // Last acknowledgements are still on their way: the index and the file are compared when they are of one moment.
    let end = Instant::now() + PATIENCE;
    let (flows, report, frames) = loop {
        let before = world.bench.captured().expect("a capture");
        let flows = world.bench.flows();
        let frames: usize = before
            .files
            .iter()
            .map(|file| tshark(file, "frame", "frame.number").len())
            .sum();
        let after = world.bench.captured().expect("a capture");
        if before.frames == after.frames && before.frames == frames as u64 {
            break (flows, after, frames);
        }
        assert!(Instant::now() < end, "{frames} of {}", after.frames);
    };
    let [file] = report.files.as_slice() else {
        panic!("one file: {report:?}");
    };
    assert!(frames > 100);
    assert_eq!((report.unwritten, report.deleted), (0, 0));

    assert_eq!(tshark(file, "_ws.malformed", "frame.number"), [""; 0]);
    let streams: BTreeSet<String> = tshark(file, "tcp", "tcp.stream").into_iter().collect();
    let tcp: Vec<_> = flows
        .flows
        .iter()
        .filter(|flow| flow.protocol == Protocol::Tcp)
        .collect();
    assert_eq!((streams.len(), tcp.len()), (5, 5));
    for (n, flow) in tcp.iter().enumerate() {
        let packets = tshark(file, &format!("tcp.stream=={n}"), "frame.len");
        let bytes: u64 = packets
            .iter()
            .map(|length| length.parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(flow.packets_in + flow.packets_out, packets.len() as u64);
        assert_eq!(flow.bytes_in + flow.bytes_out, bytes);
    }
    // Nobody serves names here: the refusal repeats the question.
    let names = tshark(file, "dns.flags.response==0 && !icmp", "dns.qry.name");
    let asked: Vec<String> = flows
        .dns
        .iter()
        .map(|question| question.name.clone())
        .collect();
    assert_eq!(names, asked);
    assert_eq!(names, ["time.sensor.example"]);
}
