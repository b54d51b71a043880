//! Stop, start, hang, cut: each has taken effect when the call returns.

use std::{io, time::Duration};

use provebench_network::services::{
    Observation, Record, Service as _, ServiceError, ServiceState, Services,
};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Handle,
    time::timeout,
};

use super::setup::{FREE, Known as _, LIMIT, NOTHING, config, seen, start};

/// A DNS query for the addresses of a.example.
const QUERY: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";

async fn ask_by_udp(services: &Services, limit: Duration) -> io::Result<usize> {
    let socket = UdpSocket::bind(FREE).await.unwrap();
    let address = services.dns().control().address().unwrap();
    socket.connect(address).await.unwrap();
    socket.send(QUERY).await?;
    let mut buffer = [0; 512];
    timeout(limit, socket.recv(&mut buffer)).await?
}

#[rstest]
#[case("dns")]
#[case("mqtt")]
#[case("mqtt-plain")]
#[case("update")]
#[case("update-plain")]
#[case("crl")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_services_stop_and_start_at_once(#[case] name: &'static str) {
    let services = start().await;
    let control = services.control(name).unwrap();
    control.start().await.unwrap();
    let address = control.address().unwrap();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let accepted =
            |record: &Record| record.service == name && record.peer == stream.local_addr().ok();
        seen(&services, accepted).await;
        let effect = control.stop().await.unwrap();
        assert_eq!((effect.cut, effect.state), (1, ServiceState::Stopped));
        assert!(effect.proof.contains("refuses connections"), "{effect:?}");
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let end = timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)));
        control.start().await.unwrap();
        assert_eq!(control.address().unwrap(), address);
    }
}

#[tokio::test]
async fn services_without_tls_are_closed_at_first() {
    let services = start().await;
    assert_eq!(
        services.mqtt().plain().unwrap().state(),
        ServiceState::Stopped
    );
    assert_eq!(
        services.update().plain().unwrap().state(),
        ServiceState::Stopped
    );
}

#[tokio::test]
async fn udp_services_stop_and_start_at_once() {
    let services = start().await;
    ask_by_udp(&services, LIMIT).await.unwrap();
    for _ in 0..5 {
        services.dns().control().stop().await.unwrap();
        let refused = ask_by_udp(&services, LIMIT).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        services.dns().control().start().await.unwrap();
        ask_by_udp(&services, LIMIT).await.unwrap();
    }
    for name in ["dhcp", "ntp"] {
        let control = services.control(name).unwrap();
        let effect = control.stop().await.unwrap();
        assert!(effect.proof.contains("unbound"), "{effect:?}");
        UdpSocket::bind(control.address().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn hanging_services_take_everything_and_say_nothing() {
    let services = start().await;
    let dns = services.dns().control();
    dns.hang().await.unwrap();
    let silence = ask_by_udp(&services, NOTHING).await.unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
    let unanswered = |record: &Record| matches!(&record.observation, Observation::Dns { answer, .. } if answer == "none, hanging");
    seen(&services, unanswered).await;
    let mut stream = TcpStream::connect(dns.address().unwrap()).await.unwrap();
    let query = [&(QUERY.len() as u16).to_be_bytes()[..], QUERY].concat();
    stream.write_all(&query).await.unwrap();
    let silence = timeout(NOTHING, stream.read_u16()).await;
    assert!(silence.is_err());
    // The question is answered when it goes on.
    dns.start().await.unwrap();
    timeout(LIMIT, stream.read_u16()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_service_can_come_back_hanging() {
    let services = start().await;
    let dns = services.dns().control();
    dns.stop().await.unwrap();
    dns.hang().await.unwrap();
    assert_eq!(dns.state(), ServiceState::Hanging);
    ask_by_udp(&services, NOTHING).await.unwrap_err();
    dns.stop().await.unwrap();
    dns.start().await.unwrap();
    ask_by_udp(&services, LIMIT).await.unwrap();
}

#[tokio::test]
async fn connections_are_cut_without_a_stop() {
    let services = start().await;
    let dns = services.dns().control();
    let mut stream = TcpStream::connect(dns.address().unwrap()).await.unwrap();
    seen(&services, |record| {
        matches!(record.observation, Observation::Connected)
    })
    .await;
    assert_eq!(dns.cut().await.unwrap().cut, 1);
    let end = timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    TcpStream::connect(dns.address().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let other = TcpListener::bind(FREE).await.unwrap();
    let mut config = config();
    config.update.listen = vec![other.local_addr().unwrap()];
    let Err(error) = Services::start(&Handle::current(), config.into()).await else {
        panic!("it started");
    };
    assert!(
        matches!(
            &error,
            ServiceError::Listen { service, .. } if *service == "update"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_broker_is_an_error_that_says_how_to_get_it() {
    let mut config = config();
    config.mqtt.program = "no-such-broker".into();
    let Err(error) = Services::start(&Handle::current(), config.into()).await else {
        panic!("it started");
    };
    assert!(matches!(error, ServiceError::NoBroker { .. }), "{error}");
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("mosquitto"));
}

#[tokio::test]
async fn dropped_services_close_their_ports() {
    let services = start().await;
    let address = services.update().control().address().unwrap();
    drop(services);
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, closed).await.unwrap();
}

#[test]
fn services_obey_from_another_runtime() {
    let bench = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let services = other
        .block_on(Services::start(bench.handle(), config().into()))
        .unwrap();
    other.block_on(async {
        ask_by_udp(&services, LIMIT).await.unwrap();
        services.dns().control().stop().await.unwrap();
        services.health().await.unwrap();
    });
}

#[tokio::test]
async fn records_are_fit_for_the_evidence_folder() {
    let services = start().await;
    ask_by_udp(&services, LIMIT).await.unwrap();
    services.update().control().stop().await.unwrap();
    let json = serde_json::to_value(services.records()).unwrap();
    let records = json["records"].as_array().unwrap();
    let find = |kind: &str, service: &str| {
        let is_it =
            |record: &&serde_json::Value| record["kind"] == kind && record["service"] == service;
        records.iter().find(is_it).unwrap()
    };
    let query = find("dns", "dns");
    assert_eq!(query["name"], "a.example.");
    assert!(query["at"].as_f64().unwrap() >= 0.0);
    let stop = records
        .iter()
        .find(|record| record["action"] == "stop")
        .unwrap();
    assert_eq!(stop["state"], "stopped");
    assert_eq!(json["totals"]["dns"]["counts"]["dns"], 1);
}
