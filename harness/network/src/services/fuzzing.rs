//! The parsers of what a DUT says to services, for harness/fuzz.

use std::{net::Ipv4Addr, sync::LazyLock, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split},
    runtime::Handle,
};

use crate::fuzzing::wait_for;

use super::{
    dhcp::{Dhcp, DhcpConfig, DhcpSettings},
    dns::{Dns, DnsConfig, UnknownName},
    handler::{DatagramHandler, Reply},
    record::Log,
    site::Site,
};

pub use super::mqtt::fuzz_packets as mqtt;

const BENCH: Ipv4Addr = Ipv4Addr::new(192, 168, 83, 1);

static LOG: LazyLock<Log> = LazyLock::new(|| Log::new(std::time::Instant::now()));

/// Asks it, and sees to it that what it saw can be written down and what it says has a length.
fn ask(service: &dyn DatagramHandler, datagram: &[u8]) {
    let Reply { observation, send } = service.answer(datagram, (Ipv4Addr::UNSPECIFIED, 68).into());
    assert!(
        serde_json::to_vec(&observation).is_ok(),
        "it can be written down"
    );
    assert!(send.is_none_or(|(bytes, _)| u16::try_from(bytes.len()).is_ok()));
}

/// A message to the address server.
pub fn dhcp(data: &[u8]) {
    static DHCP: LazyLock<Dhcp> = LazyLock::new(|| {
        let config = DhcpConfig {
            listen: (BENCH, 67).into(),
            interface: None,
            client_port: 68,
            server: BENCH,
            first: Ipv4Addr::new(192, 168, 83, 10),
            size: 100,
            prefix: 24,
            options: DhcpSettings {
                router: Some(BENCH),
                dns: vec![BENCH],
                lease: Duration::from_mins(10),
            },
        };
        Dhcp::new(&Handle::current(), LOG.of("dhcp".into()), config)
    });
    wait_for(async { ask(DHCP.service(), data) });
}

/// A question to the name server.
pub fn dns(data: &[u8]) {
    static DNS: LazyLock<Dns> = LazyLock::new(|| {
        let config = DnsConfig {
            listen: vec![(BENCH, 53).into()],
            names: [("update.example".to_owned(), vec![BENCH.into()])].into(),
            unknown: UnknownName::Sinkhole(BENCH, None),
        };
        Dns::new(&Handle::current(), LOG.of("dns".into()), config)
    });
    wait_for(async { ask(DNS.service(), data) });
}

/// What a client sends to the update server.
pub fn http_request(data: &[u8]) {
    static SITE: LazyLock<Site> = LazyLock::new(|| {
        let site = Site::new("application/octet-stream");
        let file = vec![7; 1000].into();
        site.lock().files.insert("/image".into(), file);
        site
    });
    wait_for(async {
        let (bench, dut) = duplex(64 * 1024);
        let (mut answers, mut requests) = split(dut);
        let send = async {
            let _ = requests.write_all(data).await;
            let _ = requests.shutdown().await;
        };
        let mut said = Vec::new();
        let log = LOG.of("update".into());
        let _ = tokio::join!(
            SITE.serve(bench, &log),
            send,
            answers.read_to_end(&mut said)
        );
    });
}
