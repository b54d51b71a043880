//! DNS, asked by hickory's resolver.

use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use provebench_network::services::{DnsAnswer, Observation, Service as _, Services, UnknownName};
use rstest::rstest;

use super::setup::{GATEWAY, Known as _, LIMIT, SINKHOLE, seen, start};

fn resolver(services: &Services, protocol: ProtocolConfig) -> TokioResolver {
    let address = services.dns().control().address().unwrap();
    let mut connection = ConnectionConfig::new(protocol);
    connection.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().cache_size = 0;
    builder.options_mut().attempts = 1;
    builder.build().unwrap()
}

async fn lookup(services: &Services, protocol: ProtocolConfig, name: &str) -> Vec<IpAddr> {
    match resolver(services, protocol).lookup_ip(name).await {
        Ok(found) => found.iter().collect(),
        Err(_) => vec![],
    }
}

#[rstest]
#[case::known("mqtt.sensor.example.", GATEWAY)]
#[case::known_in_capitals("MQTT.Sensor.Example.", GATEWAY)]
#[case::unknown("tracker.example.", SINKHOLE)]
#[tokio::test]
async fn names_have_addresses(
    #[case] name: &str,
    #[case] address: Ipv4Addr,
    #[values(ProtocolConfig::Udp, ProtocolConfig::Tcp)] protocol: ProtocolConfig,
) {
    let services = start().await;
    let transport = match protocol {
        ProtocolConfig::Tcp => "tcp",
        ProtocolConfig::Udp => "udp",
    };
    assert_eq!(
        lookup(&services, protocol, name).await,
        [IpAddr::from(address)]
    );
    let is_it = |record: &_| {
        let record: &provebench_network::services::Record = record;
        matches!(&record.observation, Observation::Dns { transport: t, name: n, record_type, answer }
            if *t == transport && n.eq_ignore_ascii_case(name) && record_type == "A"
                && *answer == address.to_string())
    };
    assert!(seen(&services, is_it).await.peer.is_some());
}

#[rstest]
#[case(DnsAnswer::ServFail)]
#[case(DnsAnswer::Refused)]
#[case(DnsAnswer::NxDomain)]
#[case(DnsAnswer::Empty)]
#[case(DnsAnswer::WrongId)]
#[case(DnsAnswer::Garbage)]
#[tokio::test]
async fn wrong_answers_are_not_believed(#[case] answer: DnsAnswer) {
    let services = start().await;
    services.dns().answer(answer);
    let name = "mqtt.sensor.example.";
    let found = lookup(&services, ProtocolConfig::Udp, name);
    // A resolver may wait for a better answer for as long as it likes.
    let found = tokio::time::timeout(LIMIT, found).await.unwrap_or_default();
    assert_eq!(found, [] as [IpAddr; 0]);
    services.dns().answer(DnsAnswer::Normal);
    let found = lookup(&services, ProtocolConfig::Udp, name).await;
    assert_eq!(found, [IpAddr::from(GATEWAY)]);
}

#[tokio::test]
async fn a_false_address_is_believed_as_nothing_tells_it_from_a_true_one() {
    let services = start().await;
    let false_address = Ipv4Addr::new(10, 77, 0, 66).into();
    services.dns().answer(DnsAnswer::Address(false_address));
    let found = lookup(&services, ProtocolConfig::Udp, "mqtt.sensor.example.").await;
    assert_eq!(found, [false_address]);
}

#[tokio::test]
async fn names_can_be_changed() {
    let services = start().await;
    let moved = Ipv4Addr::new(10, 77, 0, 7).into();
    services.dns().set_name("MQTT.sensor.example.", &[moved]);
    services.dns().set_unknown(UnknownName::NxDomain);
    let known = lookup(&services, ProtocolConfig::Udp, "mqtt.sensor.example.").await;
    assert_eq!(known, [moved]);
    let unknown = lookup(&services, ProtocolConfig::Udp, "tracker.example.").await;
    assert_eq!(unknown, [] as [IpAddr; 0]);
}
