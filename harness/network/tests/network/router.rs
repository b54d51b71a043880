//! A DUT that makes itself an IPv6 address from what the bench's router announces: this kernel, as hosts are set up.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use provebench_network as network;
use provebench_network::{
    GATEWAY_V6, Network,
    services::{
        Observation, Record, Router, RouterAnswer, ServiceSpec, ServiceState, Services,
        ServicesConfig, TestCa,
    },
};
use rtnetlink::packet_route::{
    address::{AddressAttribute, AddressMessage},
    route::{RouteAttribute, RouteMessage, RouteProtocol},
};
use tokio::net::{TcpListener, TcpSocket};

use provebench_testing::support::{PATIENCE, World, within};

/// All services of a bench, as a run has them.
pub(crate) async fn services(bench: &Network) -> Services {
    let mut specs = ServiceSpec::usual();
    for (name, host) in [("mqtt", "mqtt.example"), ("update", "update.example")] {
        let spec = specs.get_mut(name).unwrap();
        spec.hosts = vec![host.into()];
    }
    let ca = TestCa::new().unwrap();
    let config = ServicesConfig::at_gateway(ca, Instant::now(), &bench.gateway(), &specs);
    Services::start(bench.handle(), config).await.unwrap()
}

/// Lets the DUT's kernel do what it does on any host: make a link-local address, ask for routers, believe them.
async fn become_a_host(dut: &Network) {
    let set = async {
        let settings = [
            ("accept_ra", "2"),
            ("autoconf", "1"),
            ("accept_dad", "0"),
            ("router_solicitation_interval", "1"),
            ("router_solicitations", "-1"),
            // From the hardware address. Last: it begins with this.
            ("addr_gen_mode", "0"),
        ];
        // One that has another is taken for set up already.
        let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let own = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 2]);
        let get = netlink.address().get().set_address_filter(own).execute();
        let fixed: Vec<AddressMessage> = get.try_collect().await.unwrap();
        assert_eq!(fixed.len(), 1, "{fixed:?}");
        for address in fixed {
            netlink.address().del(address).execute().await.unwrap();
        }
        for (name, value) in settings {
            let path = format!("/proc/sys/net/ipv6/conf/{}/{name}", network::INTERFACE);
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    };
    within(dut, set).await;
}

/// What 02:77:00:00:00:02 makes of fd77::/64 (RFC 4291 appendix A).
const MADE: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0x0077, 0x00ff, 0xfe00, 2);

async fn addresses(dut: &Network) -> Vec<IpAddr> {
    let list = async {
        let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let addresses = netlink.address().get().execute();
        let addresses: Vec<AddressMessage> = addresses.try_collect().await.unwrap();
        addresses
            .into_iter()
            .flat_map(|address| address.attributes)
            .filter_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(address),
                _ => None,
            })
            .collect()
    };
    within(dut, list).await
}

/// Whether the DUT has a default route that it was told by a router.
async fn has_announced_route(dut: &Network) -> bool {
    let list = async {
        let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let all = rtnetlink::RouteMessageBuilder::<Ipv6Addr>::new().build();
        let routes: Vec<RouteMessage> = netlink.route().get(all).execute().try_collect().await?;
        Ok::<_, rtnetlink::Error>(routes.into_iter().any(|route| {
            route.header.destination_prefix_length == 0
                && route.header.protocol == RouteProtocol::Ra
                && route
                    .attributes
                    .iter()
                    .any(|attribute| matches!(attribute, RouteAttribute::Gateway(_)))
        }))
    };
    within(dut, list).await.unwrap()
}

async fn await_address(dut: &Network) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let addresses = addresses(dut).await;
        if addresses.contains(&MADE.into()) {
            return;
        }
        assert!(Instant::now() < deadline, "{addresses:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn solicited(record: &Record) -> Option<&str> {
    match &record.observation {
        Observation::Router {
            solicited: true,
            answer,
        } => Some(answer),
        _ => None,
    }
}

#[tokio::test]
async fn a_host_makes_itself_an_address_and_finds_the_bench() {
    let world = World::start("slaac").await;
    let services = services(&world.bench).await;
    become_a_host(&world.dut).await;
    await_address(&world.dut).await;
    assert!(has_announced_route(&world.dut).await);
    let asked = services.wait(0, PATIENCE, |record| solicited(record) == Some("normal"));
    assert!(asked.await.is_some(), "{:?}", services.since(0));

    let address = SocketAddr::new(GATEWAY_V6.into(), 7000);
    let listener = within(&world.bench, TcpListener::bind(address))
        .await
        .unwrap();
    let connect = within(&world.dut, async move {
        let socket = TcpSocket::new_v6()?;
        socket.bind((MADE, 0).into())?;
        socket.connect(address).await
    });
    let _connected = connect.await.unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), IpAddr::from(MADE));
}

#[tokio::test]
async fn a_router_that_hangs_or_is_stopped_gives_no_address() {
    let world = World::start("no-router").await;
    let services = services(&world.bench).await;
    let control = services.control("router").unwrap();
    let stopped = control.stop().await.unwrap();
    assert_eq!(stopped.state, ServiceState::Stopped);
    assert_eq!(stopped.proof, "fe80::1/icmpv6 is unbound");

    control.hang().await.unwrap();
    let mark = services.mark();
    become_a_host(&world.dut).await;
    let unanswered = |record: &Record| solicited(record) == Some("none, hanging");
    let asked = services.wait(mark, PATIENCE, unanswered).await;
    assert!(asked.is_some(), "{:?}", services.since(0));
    assert!(!addresses(&world.dut).await.contains(&MADE.into()));
    assert!(!has_announced_route(&world.dut).await);

    // The host asks again and again, as it gets no answer.
    services.restore().await.unwrap();
    await_address(&world.dut).await;
}

/// A host that has asked a few times waits for the next announcement, which is minutes away.
#[tokio::test]
async fn a_router_that_comes_back_says_so_at_once() {
    let world = World::start("router-back").await;
    let services = services(&world.bench).await;
    let announced = |record: &Record| matches!(&record.observation, Observation::Router { solicited: false, answer } if answer == "normal");
    let first = services.wait(0, PATIENCE, announced).await;
    assert!(first.is_some(), "{:?}", services.since(0));

    services
        .get::<Router>("router")
        .unwrap()
        .answer(RouterAnswer::Withdrawn);
    let mark = services.mark();
    services.restore().await.unwrap();
    let again = services.wait(mark, PATIENCE, announced).await;
    assert!(again.is_some(), "{:?}", services.since(mark));

    services.control("router").unwrap().hang().await.unwrap();
    let mark = services.mark();
    services.restore().await.unwrap();
    let again = services.wait(mark, PATIENCE, announced).await;
    assert!(again.is_some(), "{:?}", services.since(mark));
}
