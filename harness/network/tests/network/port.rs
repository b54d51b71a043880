//! A DUT behind an interface of the machine that the bench runs on.

use std::{env, io, net::SocketAddr, process::Command, time::Duration};

use provebench_network::{
    Cable, CaptureConfig, DUT_V4, GATEWAY_V4, Network, NetworkConfig, NetworkError, NetworkPort,
    Side, may_take_interfaces,
};
use rstest::rstest;
use rtnetlink::{LinkBridge, LinkUnspec, RouteMessageBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use provebench_testing::{
    machine::{
        DUT, NIC, Sender, alias, await_carrier, both, find, give_address, in_a_machine, index,
        is_up, on, set_up,
    },
    support::{PATIENCE, within},
};

/// What is said of an interface that can't be taken.
async fn refusal(interface: &str) -> String {
    let error = Network::start(on(interface, Side::Bench))
        .await
        .unwrap_err();
    error.to_string()
}

async fn say(address: SocketAddr, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(word.as_bytes()).await?;
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

#[test]
fn bench_and_dut_speak_through_interfaces_and_all_is_captured() {
    in_a_machine(async |_| {
        let folder = tempfile::tempdir().unwrap();
        let config = NetworkConfig {
            capture: Some(CaptureConfig::new(folder.path())),
            ..on(NIC, Side::Bench)
        };
        let bench = Network::start(config).await.unwrap();
        let dut = Network::start(on(DUT, Side::Device)).await.unwrap();
        for (server, client, address) in [(&dut, &bench, DUT_V4), (&bench, &dut, GATEWAY_V4)] {
            let address = SocketAddr::new(address.into(), 7);
            let listener = within(server, TcpListener::bind(address)).await.unwrap();
            server.handle().spawn(echo(listener));
            let word = "0123456789abcdef".repeat(10_000);
            let said = word.clone();
            let answer = within(client, async move { say(address, &said).await }).await;
            assert_eq!(answer.unwrap(), word);
        }
        let traffic = bench.traffic();
        assert_eq!((traffic.from_dut.oversize, traffic.to_dut.oversize), (0, 0));
        let flows = bench.flows().flows;
        assert!(
            flows
                .iter()
                .filter(|flow| flow.destination.port() == 7)
                .count()
                == 2,
            "{flows:?}"
        );
        bench.health().unwrap();
        let captured = bench.captured().unwrap();
        assert!(captured.frames >= traffic.from_dut.sent + traffic.to_dut.sent);
    });
}

#[test]
fn frames_are_captured_as_they_were_on_the_wire() {
    in_a_machine(async |netlink| {
        let folder = tempfile::tempdir().unwrap();
        let config = NetworkConfig {
            capture: Some(CaptureConfig::new(folder.path())),
            ..on(NIC, Side::Bench)
        };
        let bench = Network::start(config).await.unwrap();
        set_up(&netlink, DUT).await;
        await_carrier(&netlink, DUT, true).await;
        // Broadcast from 2.3.4.5.6.7: plain, in VLAN 42, in VLAN 7 with priority 5, in two VLANs (802.1ad).
        let addresses = [255, 255, 255, 255, 255, 255, 2, 3, 4, 5, 6, 7];
        let tags: [&[u8]; 4] = [
            &[],
            &[0x81, 0, 0, 42],
            &[0x81, 0, 0xa0, 7],
            &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 42],
        ];
        let frames: Vec<Vec<u8>> = tags
            .iter()
            .map(|tag| [&addresses, *tag, &[0x88, 0xb5], &[0x5a; 46]].concat())
            .collect();
        let sender = Sender::new(DUT);
        for frame in &frames {
            sender.send(frame);
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let seen = loop {
            let report = bench.captured().unwrap();
            let file = std::fs::File::open(&report.files[0]).unwrap();
            let mut reader = pcap_file::pcapng::PcapNgReader::new(file).unwrap();
            let mut seen = Vec::new();
            while let Some(Ok(block)) = reader.next_block() {
                if let pcap_file::pcapng::Block::EnhancedPacket(packet) = block
                    && packet.data[6..12] == addresses[6..]
                {
                    seen.push(packet.data.to_vec());
                }
            }
            if seen.len() >= frames.len() {
                break seen;
            }
            assert!(tokio::time::Instant::now() < deadline, "{seen:02x?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(seen, frames);
    });
}

/// A veth's other end may be in the hands of somebody who leaves checksums and segmentation to hardware.
#[test]
fn checksums_that_a_dut_in_this_machine_leaves_out_are_made_up() {
    in_a_machine(async |netlink| {
        let bench = Network::start(on(NIC, Side::Bench)).await.unwrap();
        give_address(&netlink, DUT, "10.77.0.2", 24).await;
        set_up(&netlink, DUT).await;
        // In the machine itself: it is the DUT.
        let server = within(&bench, UdpSocket::bind((GATEWAY_V4, 5000)))
            .await
            .unwrap();
        let client = UdpSocket::bind((DUT_V4, 0)).await.unwrap();
        let answering = within(&bench, async move {
            let mut buffer = [0; 64];
            // A wrong checksum, and the kernel would not have let it through.
            let (length, from) = server.recv_from(&mut buffer).await?;
            server.send_to(&buffer[..length], from).await
        });
        let asking = async {
            client.send_to(b"odd", (GATEWAY_V4, 5000)).await?;
            let mut buffer = [0; 64];
            let length = client.recv(&mut buffer).await?;
            Ok::<_, io::Error>(buffer[..length].to_vec())
        };
        let (_, answer) = tokio::join!(answering, asking);
        assert_eq!(answer.unwrap(), b"odd");
    });
}

#[test]
fn a_pulled_cable_is_seen_by_the_dut() {
    in_a_machine(async |netlink| {
        let bench = Network::start(on(NIC, Side::Bench)).await.unwrap();
        set_up(&netlink, DUT).await;
        await_carrier(&netlink, DUT, true).await;
        for _ in 0..2 {
            bench.set_carrier(false).await.unwrap();
            await_carrier(&netlink, DUT, false).await;
            bench.set_carrier(true).await.unwrap();
            await_carrier(&netlink, DUT, true).await;
        }
        bench.health().unwrap();
    });
}

#[test]
fn frames_pass_again_after_the_cable_was_pulled() {
    in_a_machine(async |_| {
        let (bench, dut) = both().await;
        let address = SocketAddr::new(DUT_V4.into(), 7);
        let listener = within(&dut, TcpListener::bind(address)).await.unwrap();
        dut.handle().spawn(echo(listener));
        bench.link(false);
        bench.set_carrier(false).await.unwrap();
        let cut = within(&bench, async move {
            tokio::time::timeout(Duration::from_millis(300), say(address, "nobody")).await
        });
        assert!(!matches!(cut.await, Ok(Ok(_))), "the cable is pulled");
        bench.set_carrier(true).await.unwrap();
        bench.link(true);
        let answer = within(&bench, async move { say(address, "hello").await });
        assert_eq!(answer.await.unwrap(), "hello");
    });
}

#[rstest]
#[case::dropped(false)]
#[case::closed(true)]
fn an_interface_is_back_as_it_was(#[case] closed: bool) {
    in_a_machine(async move |netlink| {
        set_up(&netlink, NIC).await;
        let named = LinkUnspec::new_with_index(index(&netlink, NIC).await).alias("rack 3");
        netlink.link().set(named.build()).execute().await.unwrap();
        let (bench, dut) = both().await;
        assert_eq!(is_up(&netlink, NIC).await, None, "it is away");
        assert_eq!(is_up(&netlink, DUT).await, None, "it is away");
        if closed {
            bench.close().await.unwrap();
            dut.close().await.unwrap();
        } else {
            drop((bench, dut));
        }
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
        assert_eq!(is_up(&netlink, DUT).await, Some(false));
        assert_eq!(alias(&find(&netlink, NIC).await.unwrap()), "rack 3");
        assert_eq!(alias(&find(&netlink, DUT).await.unwrap()), "");
        // And can be taken again.
        drop(both().await);
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
    });
}

#[test]
fn an_interface_that_is_unplugged_ends_the_network_with_a_reason() {
    in_a_machine(async |netlink| {
        let bench = Network::start(on(NIC, Side::Bench)).await.unwrap();
        bench.health().unwrap();
        // Of a veth pair, both go.
        let dut = index(&netlink, DUT).await;
        netlink.link().del(dut).execute().await.unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while bench.health().is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "still healthy");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = bench.health().unwrap_err().to_string();
        assert_eq!(error, "the DUT's network interface, nic0, is gone");
        let error = bench.set_carrier(false).await.unwrap_err();
        assert!(matches!(error, NetworkError::PortGone { .. }), "{error:?}");
        let error = bench.close().await.unwrap_err();
        assert!(
            matches!(error, NetworkError::NotGivenBack { .. }),
            "{error:?}"
        );
    });
}

#[test]
fn interfaces_that_are_in_use_are_refused_and_stay_as_they_are() {
    in_a_machine(async |netlink| {
        assert_eq!(
            refusal("nic1").await,
            "there is no network interface `nic1`"
        );
        assert_eq!(
            refusal("lo").await,
            "network interface `lo` can't be given to the DUT: it is not an Ethernet interface"
        );

        set_up(&netlink, NIC).await;
        set_up(&netlink, DUT).await;
        give_address(&netlink, NIC, "192.0.2.5", 24).await;
        assert_eq!(
            refusal(NIC).await,
            "network interface `nic0` can't be given to the DUT: \
             this machine has the address 192.0.2.5/24 on it"
        );
        let gateway = "192.0.2.1".parse().unwrap();
        let default = RouteMessageBuilder::<std::net::Ipv4Addr>::new().gateway(gateway);
        netlink
            .route()
            .add(default.build())
            .execute()
            .await
            .unwrap();
        assert_eq!(
            refusal(NIC).await,
            "network interface `nic0` can't be given to the DUT: \
             this machine's default route goes through it"
        );

        give_address(&netlink, DUT, "2001:db8::5", 64).await;
        assert_eq!(
            refusal(DUT).await,
            "network interface `dut0` can't be given to the DUT: \
             this machine has the address 2001:db8::5/64 on it"
        );
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
    });
}

#[test]
fn interfaces_that_carry_others_or_routes_are_refused() {
    in_a_machine(async |netlink| {
        set_up(&netlink, NIC).await;
        let nic = index(&netlink, NIC).await;
        let beyond = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix("2001:db8:7::".parse().unwrap(), 48)
            .output_interface(nic);
        netlink.route().add(beyond.build()).execute().await.unwrap();
        assert_eq!(
            refusal(NIC).await,
            "network interface `nic0` can't be given to the DUT: \
             this machine's route to 2001:db8:7::/48 goes through it"
        );

        let bridge = LinkBridge::new("br0").build();
        netlink.link().add(bridge).execute().await.unwrap();
        let bridge = index(&netlink, "br0").await;
        let dut = index(&netlink, DUT).await;
        let port = LinkUnspec::new_with_index(dut).controller(bridge);
        netlink.link().set(port.build()).execute().await.unwrap();
        assert_eq!(
            refusal(DUT).await,
            "network interface `dut0` can't be given to the DUT: it is a port of br0"
        );
    });
}

/// Takes an interface from within a user namespace; run by the test below in a process of its own.
#[test]
#[ignore = "a part of without_rights_the_remedy_is_told"]
fn process_without_rights() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert!(!may_take_interfaces());
    let error = runtime.block_on(Network::start(on(NIC, Side::Bench)));
    println!("{:?}", miette::Report::new(error.unwrap_err()));
}

/// As for everybody who is not root: capabilities over the own namespaces are none over those of the machine.
#[test]
fn without_rights_the_remedy_is_told() {
    in_a_machine(async |netlink| {
        let process = Command::new("unshare")
            .args(["--user", "--map-current-user"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", "port::process_without_rights", "--ignored"])
            .arg("--nocapture")
            .env("NO_COLOR", "1")
            .output()
            .expect("unshare(1) is there");
        let said = String::from_utf8_lossy(&process.stdout);
        assert!(process.status.success(), "{process:?}");
        // Wrapped into lines.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in [
            "network interface `nic0` can't be taken",
            "AmbientCapabilities=",
            "setcap",
        ] {
            assert!(said.contains(words), "{words} in {said}");
        }
        assert_eq!(is_up(&netlink, NIC).await, Some(false), "untouched");
    });
}

/// Kernels without VLANs say so; with them, the VLAN alone is the DUT's, and the interface stays where it is.
#[test]
fn a_vlan_is_made_for_the_dut_and_removed() {
    in_a_machine(async |netlink| {
        let vlan = |interface: &str| NetworkConfig {
            cable: Cable::Port(NetworkPort {
                interface: interface.into(),
                vlan: Some(42),
            }),
            side: if interface == NIC {
                Side::Bench
            } else {
                Side::Device
            },
            ..NetworkConfig::new("vlan")
        };
        let error = Network::start(vlan(NIC)).await.unwrap_err().to_string();
        assert!(
            error.ends_with("it is switched off (`ip link set nic0 up`)"),
            "{error}"
        );
        set_up(&netlink, NIC).await;
        set_up(&netlink, DUT).await;
        let bench = match Network::start(vlan(NIC)).await {
            Ok(bench) => bench,
            Err(error @ NetworkError::Vlan { .. }) => {
                let report = format!("{:?}", miette::Report::new(error));
                assert!(
                    report.contains("Operation not supported") || report.contains("os error 95"),
                    "{report}"
                );
                assert!(report.contains("modprobe 8021q"), "{report}");
                eprintln!("this kernel has no VLANs: the rest is not tested");
                return;
            }
            Err(error) => panic!("{:?}", miette::Report::new(error)),
        };
        let dut = Network::start(vlan(DUT)).await.unwrap();
        let taken = Network::start(vlan(NIC)).await.unwrap_err().to_string();
        assert!(taken.ends_with("its VLAN 42 is in use"), "{taken}");
        let address = SocketAddr::new(DUT_V4.into(), 7);
        let listener = within(&dut, TcpListener::bind(address)).await.unwrap();
        dut.handle().spawn(echo(listener));
        let answer = within(&bench, async move { say(address, "hello").await });
        assert_eq!(answer.await.unwrap(), "hello");
        drop((bench, dut));
        assert_eq!(is_up(&netlink, NIC).await, Some(true));
        drop(Network::start(vlan(NIC)).await.unwrap());
    });
}
