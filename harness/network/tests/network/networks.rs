//! Networks with addresses of their own, services by name, and two networks at the same time.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use provebench_network::{
    Addressing, CaptureConfig, NetworkConfig,
    services::{
        ClientAuth, Http, Mqtt, MqttConfig, Record, ServiceSpec, ServiceState, Services,
        ServicesConfig, TestCa,
    },
};
use provebench_testing::support::{World, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn known(kind: &str, host: &str) -> ServiceSpec {
    ServiceSpec {
        hosts: vec![host.into()],
        ..ServiceSpec::new(kind)
    }
}

async fn serve(world: &World, specs: &BTreeMap<String, ServiceSpec>) -> Services {
    let (ca, gateway) = (TestCa::new().unwrap(), world.bench.gateway());
    let config = ServicesConfig::at_gateway(ca, Instant::now(), &gateway, specs);
    Services::start(world.bench.handle(), config).await.unwrap()
}

/// What the DUT asks the gateway's name server for.
async fn resolve(world: &World, name: &'static str) -> IpAddr {
    let server = NameServerConfig::udp(world.bench.addressing().gateway.into());
    within(&world.dut, async move {
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = resolver.build().unwrap();
        let found = resolver.lookup_ip(format!("{name}.")).await.unwrap();
        found.iter().find(IpAddr::is_ipv4).unwrap()
    })
    .await
}

/// Two brokers and two web servers that have the same ports, as a product's clouds have.
#[tokio::test(flavor = "multi_thread")]
async fn services_of_one_kind_are_told_apart_by_name() {
    let world = World::start("named").await;
    let mut specs = ServiceSpec::usual();
    specs.insert("mqtt".into(), known("mqtt", "mqtt.example"));
    specs.insert("events".into(), known("mqtt", "events.example"));
    specs.insert("update".into(), known("http", "update.example"));
    specs.insert("api".into(), known("http", "api.example"));
    let services = serve(&world, &specs).await;
    for (name, host, port) in [
        ("mqtt", "mqtt.example", 8883),
        ("events", "events.example", 8883),
        ("update", "update.example", 443),
        ("api", "api.example", 443),
    ] {
        let address = resolve(&world, host).await;
        let control = services.control(name).unwrap();
        let to = SocketAddr::new(address, port);
        assert_eq!(control.address().unwrap(), to, "{name}");
        reach(&world, &services, name, to).await;
        let plain = services.control(&format!("{name}-plain")).unwrap();
        assert_eq!(plain.state(), ServiceState::Stopped);
    }
    // One is out, the other of its kind is not.
    services.control("events").unwrap().stop().await.unwrap();
    let events = SocketAddr::new(resolve(&world, "events.example").await, 8883);
    let refused = within(&world.dut, TcpStream::connect(events)).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    let mqtt = SocketAddr::new(resolve(&world, "mqtt.example").await, 8883);
    reach(&world, &services, "mqtt", mqtt).await;
    assert!(services.get::<Mqtt>("events").is_ok());
    let error = services.get::<Http>("events").err().unwrap().to_string();
    assert!(error.contains("there is no service \"events\""), "{error}");
    services.restore().await.unwrap();
    reach(&world, &services, "events", events).await;
    let error = services.service("dns").unwrap().tls().unwrap_err();
    assert!(error.is_misuse());
    assert_eq!(error.to_string(), "service dns has no TLS");
    let error = services.service("crl").unwrap().answer_by_name("garbage");
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("can't answer \"garbage\"")
    );
}

/// Connects from the DUT; the service must see it.
async fn reach(world: &World, services: &Services, name: &str, to: SocketAddr) {
    let mark = services.mark();
    within(&world.dut, TcpStream::connect(to)).await.unwrap();
    let connected =
        |record: &Record| record.service == *name && record.observation.kind() == "connected";
    let seen = services.wait(mark, Duration::from_secs(20), connected);
    assert!(seen.await.is_some(), "{name}: {:?}", services.since(mark));
}

/// A product without MQTT has no broker running, but is heard when it speaks to one all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_nobody_knows_is_started_by_whoever_connects() {
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let program = folder.path().join("broker");
    let script = format!(
        "#!/bin/sh\ntouch {}\nexec /usr/sbin/mosquitto \"$@\"\n",
        ran.display()
    );
    std::fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();

    let world = World::start("no broker").await;
    let listen = SocketAddr::new(world.bench.addressing().gateway.into(), 1883);
    let mqtt = MqttConfig {
        listen: vec![],
        plain: vec![listen],
        name: "unnamed.invalid".into(),
        client_auth: ClientAuth::None,
        program,
        is_lazy: true,
    };
    let config = ServicesConfig {
        origin: Instant::now(),
        ca: TestCa::new().unwrap(),
        services: vec![("mqtt".into(), Box::new(mqtt))],
    };
    let services = Services::start(world.bench.handle(), config).await.unwrap();
    services
        .control("mqtt-plain")
        .unwrap()
        .start()
        .await
        .unwrap();
    services.health().await.unwrap();
    assert!(!ran.exists());
    let answer = within(&world.dut, async move {
        let mut stream = TcpStream::connect(listen).await.unwrap();
        // CONNECT of MQTT 3.1.1 with a clean session, without a name.
        let connect = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0];
        stream.write_all(&connect).await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    })
    .await;
    assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK: accepted");
    assert!(ran.exists());
    services.health().await.unwrap();
}

/// Another prefix, more leases, no IPv6.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_the_addresses_that_it_is_given() {
    let addressing = Addressing {
        gateway: [192, 168, 8, 33].into(),
        prefix: 28,
        leases: 3,
        ipv6: None,
    };
    assert_eq!(addressing.objection(), None);
    let config = NetworkConfig {
        addressing,
        ..NetworkConfig::new("small")
    };
    let world = World::with(config).await;
    let services = serve(&world, &ServiceSpec::usual()).await;
    // No IPv6, no router.
    assert!(services.service("router").is_err());
    let to = SocketAddr::new(addressing.gateway.into(), 443);
    within(&world.dut, TcpStream::connect(to)).await.unwrap();
    // What is outside is the bench, too.
    let sinkhole = within(&world.dut, TcpStream::connect("203.0.113.7:443")).await;
    assert_eq!(
        sinkhole.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    assert_eq!(
        resolve(&world, "elsewhere.example").await,
        IpAddr::from(addressing.gateway)
    );
    world.bench.settle();
    let flows = world.bench.flows();
    let out = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        flows
            .unserved
            .iter()
            .any(|flow| flow.destination.ip() == address)
    };
    assert!(
        out("203.0.113.7") && !out("192.168.8.33"),
        "{:?}",
        flows.unserved
    );
    world.bench.sound_since(Instant::now()).await.unwrap();
}

/// Two networks of one product: what is on one is not on the other, and each is captured for itself.
#[tokio::test(flavor = "multi_thread")]
async fn two_networks_are_apart() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut worlds = Vec::new();
    let second = Addressing {
        gateway: [10, 78, 0, 1].into(),
        ipv6: "fd78::1".parse().ok(),
        ..Addressing::default()
    };
    for (number, folder) in folders.iter().enumerate() {
        let config = NetworkConfig {
            addressing: [Addressing::default(), second][number],
            capture: Some(CaptureConfig::new(folder.path())),
            ..NetworkConfig::new(format!("network {number}"))
        };
        worlds.push(World::with(config).await);
    }
    let [lan, wan] = worlds.as_slice() else {
        panic!("two");
    };
    for (world, other, says) in [(lan, wan, "over lan"), (wan, lan, "over wan")] {
        let gateway = world.bench.addressing().gateway;
        let bound = within(&world.bench, TcpListener::bind((gateway, 7)))
            .await
            .unwrap();
        let listening = world.bench.handle().spawn(async move {
            let mut said = String::new();
            let (mut stream, peer) = bound.accept().await.unwrap();
            stream.read_to_string(&mut said).await.unwrap();
            (said, peer.ip())
        });
        let speak = async move {
            let mut stream = TcpStream::connect((gateway, 7)).await.unwrap();
            stream.write_all(says.as_bytes()).await.unwrap();
        };
        within(&world.dut, speak).await;
        let heard = within(&world.bench, async { listening.await.unwrap() }).await;
        let dut = world.bench.addressing().dut_v4();
        assert_eq!(heard, (says.to_owned(), IpAddr::from(dut)));
        other.bench.settle();
        assert!(
            other
                .bench
                .flows()
                .flows
                .iter()
                .all(|flow| flow.source.ip() != IpAddr::from(dut))
        );
    }
    for world in &worlds {
        // Hands over what is still held.
        world.bench.captured().unwrap();
    }
    let captured = folders.each_ref().map(|folder| {
        let bytes = std::fs::read(folder.path().join("capture.pcapng")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    assert!(captured[0].contains("over lan") && !captured[0].contains("over wan"));
    assert!(captured[1].contains("over wan") && !captured[1].contains("over lan"));
}
