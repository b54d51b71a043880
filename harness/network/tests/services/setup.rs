//! Services on free ports of 127.0.0.1, and clients that trust their CA.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use provebench_network::services::{
    CRL_NAME, ClientAuth, CrlConfig, Dhcp, DhcpConfig, DhcpSettings, Dns, DnsConfig, Http,
    HttpConfig, Identity, Mqtt, MqttConfig, Ntp, NtpConfig, Record, Services, ServicesConfig,
    TestCa, UnknownName,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::runtime::Handle;

/// For all that should happen at once, on any machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// For showing that nothing happens. Too short a time could only miss a fault, never invent one.
pub(crate) const NOTHING: Duration = Duration::from_millis(300);

pub(crate) const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub(crate) const POOL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const SINKHOLE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 99);
/// What rumqttc connects to is also what it verifies.
pub(crate) const MQTT_NAME: &str = "localhost";
pub(crate) const UPDATE_NAME: &str = "update.sensor.example";

/// One of each, on free ports, to be changed before they start.
pub(crate) struct Config {
    pub(crate) dhcp: DhcpConfig,
    pub(crate) dns: DnsConfig,
    pub(crate) ntp: NtpConfig,
    pub(crate) mqtt: MqttConfig,
    pub(crate) update: HttpConfig,
    pub(crate) crl: CrlConfig,
}

impl From<Config> for ServicesConfig {
    fn from(config: Config) -> Self {
        Self {
            origin: Instant::now(),
            ca: TestCa::new().unwrap(),
            services: vec![
                ("dhcp".into(), Box::new(config.dhcp)),
                ("dns".into(), Box::new(config.dns)),
                ("ntp".into(), Box::new(config.ntp)),
                ("mqtt".into(), Box::new(config.mqtt)),
                ("update".into(), Box::new(config.update)),
                ("crl".into(), Box::new(config.crl)),
            ],
        }
    }
}

/// Those services by what they are.
pub(crate) trait Known {
    fn dhcp(&self) -> &Dhcp;
    fn dns(&self) -> &Dns;
    fn ntp(&self) -> &Ntp;
    fn mqtt(&self) -> &Mqtt;
    fn update(&self) -> &Http;
}

impl Known for Services {
    fn dhcp(&self) -> &Dhcp {
        self.get("dhcp").unwrap()
    }

    fn dns(&self) -> &Dns {
        self.get("dns").unwrap()
    }

    fn ntp(&self) -> &Ntp {
        self.get("ntp").unwrap()
    }

    fn mqtt(&self) -> &Mqtt {
        self.get("mqtt").unwrap()
    }

    fn update(&self) -> &Http {
        self.get("update").unwrap()
    }
}

pub(crate) fn config() -> Config {
    Config {
        dhcp: DhcpConfig {
            listen: FREE,
            interface: None,
            client_port: 68,
            server: GATEWAY,
            first: POOL,
            size: 2,
            prefix: 24,
            options: DhcpSettings {
                router: Some(GATEWAY),
                dns: vec![GATEWAY],
                lease: Duration::from_hours(1),
            },
        },
        dns: DnsConfig {
            listen: vec![FREE],
            names: [
                ("mqtt.sensor.example".into(), vec![GATEWAY.into()]),
                (CRL_NAME.into(), vec![FREE.ip()]),
            ]
            .into(),
            unknown: UnknownName::Sinkhole(SINKHOLE, None),
        },
        ntp: NtpConfig { listen: vec![FREE] },
        mqtt: MqttConfig {
            listen: vec![FREE],
            plain: vec![FREE],
            name: MQTT_NAME.into(),
            client_auth: ClientAuth::Requested,
            program: "mosquitto".into(),
            is_lazy: false,
        },
        update: HttpConfig {
            listen: vec![FREE],
            plain: vec![FREE],
            name: UPDATE_NAME.into(),
            client_auth: ClientAuth::None,
        },
        crl: CrlConfig { listen: vec![FREE] },
    }
}

pub(crate) async fn start() -> Services {
    Services::start(&Handle::current(), config().into())
        .await
        .unwrap()
}

/// Waits for a record, from the first one on.
pub(crate) async fn seen(services: &Services, wanted: impl Fn(&Record) -> bool + Send) -> Record {
    match services.wait(0, LIMIT, wanted).await {
        Some(record) => record,
        None => panic!("not seen in {:#?}", services.since(0)),
    }
}

/// TLS as a careful device speaks it.
pub(crate) fn client_tls(
    services: &Services,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(services.ca().certificate_der().to_vec());
    roots.add(root).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain_der().map(|der| der.to_vec().into());
            let key = PrivatePkcs8KeyDer::from(identity.key_pkcs8_der().to_vec());
            builder
                .with_client_auth_cert(chain.collect(), PrivateKeyDer::from(key))
                .unwrap()
        }
    })
}
