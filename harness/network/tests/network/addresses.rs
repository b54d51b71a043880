//! The bench finds out which addresses a DUT has.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use provebench_network::{DUT_V4, DUT_V6, INTERFACE, scan::ScanConfig};
use rstest::rstest;
use rtnetlink::packet_route::address::AddressMessage;
use tokio::net::{TcpListener, UdpSocket};

use provebench_testing::support::{World, within, without_limits};

/// Of the DUT made of the kernel's stack.
const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));

#[tokio::test(flavor = "multi_thread")]
async fn those_that_answer_are_found_and_those_that_are_gone_are_not() {
    let world = World::start("addresses").await;
    // Who never used an address shows the one only that every IPv6 node has.
    let found = world.bench.addresses().await.expect("it can ask");
    assert_eq!(found, BTreeSet::from([LINK_LOCAL]));

    for (from, to) in [
        (IpAddr::from(DUT_V4), "10.77.0.1:9"),
        (DUT_V6.into(), "[fd77::1]:9"),
    ] {
        speak(&world, from, to).await;
    }
    // The kernel asks whether somebody else has it; that question is all that is seen of it.
    let private = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x77);
    give(&world, private).await;
    let found = world.bench.addresses().await.expect("it can ask");
    let all = [LINK_LOCAL, DUT_V4.into(), DUT_V6.into(), private.into()];
    assert_eq!(found, BTreeSet::from(all));

    take(&world, private).await;
    world.bench.link(false);
    assert_eq!(world.bench.addresses().await.unwrap(), BTreeSet::new());
    world.bench.link(true);
    let found = world.bench.addresses().await.expect("it can ask");
    assert_eq!(
        found,
        BTreeSet::from([LINK_LOCAL, DUT_V4.into(), DUT_V6.into()])
    );
}

async fn speak(world: &World, from: IpAddr, to: &'static str) {
    let speaking = async move {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await?;
        socket.send_to(b"x", to).await
    };
    within(&world.dut, speaking).await.expect("it is sent");
}

/// Until it can be used.
async fn give(world: &World, address: Ipv6Addr) {
    let giving = async move {
        let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let index = nix::net::if_::if_nametoindex(INTERFACE).unwrap();
        let add = netlink.address().add(index, address.into(), 64);
        add.execute().await.unwrap();
        while TcpListener::bind(SocketAddr::new(address.into(), 0))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&world.dut, giving).await;
}

async fn take(world: &World, address: Ipv6Addr) {
    let taking = async move {
        let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let get = netlink.address().get().set_address_filter(address.into());
        let found: Vec<AddressMessage> = get.execute().try_collect().await.unwrap();
        for address in found {
            netlink.address().del(address).execute().await.unwrap();
        }
    };
    within(&world.dut, taking).await;
}

#[rstest]
#[case::link_local(LINK_LOCAL)]
#[case::unique_local(DUT_V6.into())]
#[tokio::test(flavor = "multi_thread")]
async fn each_can_be_scanned(#[case] address: IpAddr) {
    let world = World::start("scan of an address").await;
    without_limits(&world).await;
    let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 8080);
    let _open = within(&world.dut, TcpListener::bind(everywhere))
        .await
        .unwrap();
    let config = ScanConfig {
        tcp: (8000..8100).collect(),
        udp: (8000..8100).collect(),
        ..ScanConfig::new(address)
    };
    let report = world.bench.scan(config).await.expect("it can scan");
    let open: Vec<u16> = report.tcp_open.iter().map(|port| port.port).collect();
    assert_eq!((open, report.tcp_closed), (vec![8080], 99));
    assert_eq!((report.udp_closed, report.udp_silent.len()), (100, 0));
}
