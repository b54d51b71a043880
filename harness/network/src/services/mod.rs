//! The services around the DUT: addresses, names, time, MQTT brokers, web servers and the list of revoked certificates.
//! All that a connected product needs, in our hands: each can be stopped, made to hang, made to answer wrongly, and tells
//! what it saw.
//!
//! A service is an instance of a kind and has a name. A kind is one file with its settings, its [`Service`] and its
//! [`Kind`], and a line in [`KINDS`].
//!
//! They run on a runtime that is given: its threads live in the DUT's network namespace, so sockets made there belong
//! to that network. Every action is done on those threads, whoever asks for it.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

pub mod ca;
mod content;
mod control;
mod crl;
mod dhcp;
mod dns;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod handler;
mod http;
mod kinds;
mod listener;
mod mqtt;
mod name;
mod ntp;
mod observation;
mod record;
mod router;
mod service;
mod site;
mod tls;

pub use ca::{CRL_NAME, CaError, CertificateKind, Identity, TestCa};
pub use control::Control;
pub use crl::{Crl, CrlConfig};
pub use dhcp::{CLIENT_PORT, Dhcp, DhcpAnswer, DhcpConfig, DhcpSettings};
pub use dns::{Dns, DnsAnswer, DnsConfig, UnknownName};
pub use error::ServiceError;
pub use http::{Http, HttpConfig};
pub use kinds::{KINDS, kind};
pub use mqtt::{Message, Mqtt, MqttAnswer, MqttClient, MqttConfig, broker_leftovers};
pub use name::{SCRIPT_WORDS, ServiceName};
pub use ntp::{Ntp, NtpAnswer, NtpConfig};
pub use observation::{
    ClientCertificate, Effect, Excerpt, MqttPacket, Observation, PacketSeen, RequestSeen, Sender,
    ServiceState, TlsSession, Will,
};
pub use record::{Record, Records, Totals};
pub use router::{Router, RouterAnswer, RouterConfig};
pub use service::{Gateway, Hosts, Kind, Place, Service, Settings, is_host};
pub use site::SiteAnswer;
pub use tls::{ClientAuth, Tls, TlsSettings, TlsVersions};

use crate::plan::{SERVICES_V4, SERVICES_V6};
use record::Log;
use service::Placement;

/// The last byte of the first address that is a service's own, because others have its port at the gateway's.
const FIRST_OWN: u8 = 101;
/// How many services a network can have beside the usual ones: as many as have addresses.
pub const MOST_SERVICES: usize = 100;

/// Which services there are and where they listen.
#[derive(Debug)]
pub struct ServicesConfig {
    /// What times in records count from: the same as for the console's log.
    pub origin: Instant,
    /// The run's certificate authority.
    pub ca: Arc<TestCa>,
    /// By name, in the order in which they are started.
    pub services: Vec<(ServiceName, Box<dyn Settings>)>,
}

/// A service of a product's network, as the target describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its kind, one of [`KINDS`].
    pub kind: String,
    /// The names that the DUT knows it by, the first of which is that of its certificate.
    pub hosts: Vec<String>,
    /// Its port, with TLS where it speaks TLS; the usual one unless given.
    pub port: Option<u16>,
    /// Its port without TLS; the usual one unless given.
    pub plain_port: Option<u16>,
}

impl ServiceSpec {
    /// As it usually is.
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.into(),
            hosts: Vec::new(),
            port: None,
            plain_port: None,
        }
    }

    /// The services that every network has, whatever the product knows of them: what is not there would not be seen to
    /// be spoken to.
    pub fn usual() -> BTreeMap<String, Self> {
        let single = KINDS.iter().filter(|kind| kind.is_single);
        single
            .map(|kind| (kind.name.to_owned(), Self::new(kind.name)))
            .chain([
                ("ntp".to_owned(), Self::new("ntp")),
                ("mqtt".to_owned(), Self::new("mqtt")),
                ("update".to_owned(), Self::new("http")),
            ])
            .collect()
    }
}

impl ServicesConfig {
    /// All services at the gateway's addresses, but for those that find their port taken there, and the list of revoked
    /// certificates: these have addresses of their own, which to the DUT's network are all local. Names that the DUT is
    /// not known to use lead to the gateway too, where nothing but the services answers.
    pub fn at_gateway(
        ca: Arc<TestCa>,
        origin: Instant,
        gateway: &Gateway,
        specs: &BTreeMap<String, ServiceSpec>,
    ) -> Self {
        let usual = ServiceSpec::usual();
        let (first, others): (Vec<_>, Vec<_>) = specs
            .iter()
            .partition(|(name, _)| usual.contains_key(*name));
        let (mut taken, mut own) = (BTreeSet::new(), FIRST_OWN);
        let mut placed = Vec::new();
        for (name, spec) in first.into_iter().chain(others) {
            let Some(kind) = kind(&spec.kind) else {
                continue;
            };
            let port = spec.port.unwrap_or(kind.port);
            let plain = kind
                .plain_port
                .map(|usual| spec.plain_port.unwrap_or(usual));
            let ports = std::iter::once(port).chain(plain);
            let is_taken = ports.clone().any(|port| taken.contains(&port));
            let last = if let Some(own_address) = kind.own_address {
                Some(own_address)
            } else if is_taken {
                own = own.saturating_add(1);
                Some(own - 1)
            } else {
                taken.extend(ports);
                None
            };
            let at_gateway = (gateway.ipv4, gateway.ipv6);
            let (v4, v6) = last.map_or(at_gateway, |last| own_addresses(gateway, last));
            let addresses: Vec<IpAddr> = std::iter::once(v4.into())
                .chain(v6.map(IpAddr::from))
                .collect();
            placed.push((name, kind, spec, addresses, port, plain));
        }
        let mut names = BTreeMap::new();
        for (_, kind, spec, addresses, ..) in &placed {
            for host in &spec.hosts {
                names.insert(host.to_ascii_lowercase(), addresses.clone());
            }
            if let Some(host) = kind.own_host {
                names.insert(host.to_owned(), addresses.clone());
            }
        }
        let services =
            placed
                .iter()
                .filter_map(|(name, kind, spec, addresses, port, plain_port)| {
                    let settings = (kind.settings)(&Placement {
                        gateway,
                        addresses,
                        hosts: &spec.hosts,
                        port: *port,
                        plain_port: *plain_port,
                        names: &names,
                    })?;
                    Some((name.as_str().into(), settings))
                });
        Self {
            origin,
            ca,
            services: services.collect(),
        }
    }
}

/// Those of a service that has addresses of its own.
fn own_addresses(gateway: &Gateway, last: u8) -> (Ipv4Addr, Option<Ipv6Addr>) {
    let v4 = u32::from(SERVICES_V4) | u32::from(last);
    let v6 = u128::from(SERVICES_V6) | u128::from(last);
    (v4.into(), gateway.ipv6.map(|_| v6.into()))
}

/// All services of one network. Dropped, all ports are closed and brokers are killed.
#[derive(Debug)]
pub struct Services {
    log: Log,
    ca: Arc<TestCa>,
    services: BTreeMap<ServiceName, Box<dyn Service>>,
}

impl Services {
    /// Starts all services, but for ports without TLS beside others. `handle` must be that of a runtime with I/O and time
    /// enabled, whose threads live in the DUT's network; whoever awaits may be elsewhere.
    ///
    /// # Errors
    /// The first thing that could not be had; all else is stopped again.
    pub async fn start(handle: &Handle, config: ServicesConfig) -> Result<Self, ServiceError> {
        let log = Log::new(config.origin);
        let mut services = BTreeMap::new();
        for (name, settings) in config.services {
            let place = Place {
                name: name.clone(),
                handle,
                log: &log,
                ca: &config.ca,
            };
            services.insert(name, settings.make(place).await?);
        }
        for service in services.values() {
            service.control().start().await?;
        }
        Ok(Self {
            log,
            ca: config.ca,
            services,
        })
    }

    /// Puts everything back as it was when it started, whatever was done since; files that were published are gone.
    ///
    /// # Errors
    /// The first thing that could not be put back.
    pub async fn restore(&self) -> Result<(), ServiceError> {
        for service in self.services.values() {
            service.restore().await?;
        }
        Ok(())
    }

    /// The services by name.
    pub fn all(&self) -> impl Iterator<Item = &dyn Service> {
        self.services.values().map(|service| &**service)
    }

    /// All names that can be spoken of: those of services, and those of their ports without TLS.
    pub fn names(&self) -> Vec<ServiceName> {
        let names = self.all().flat_map(|service| {
            let plain = service.plain().map(|plain| plain.name().clone());
            std::iter::once(service.name().clone()).chain(plain)
        });
        names.collect()
    }

    /// A service by its name.
    ///
    /// # Errors
    /// [`ServiceError::Absent`].
    pub fn service(&self, name: &str) -> Result<&dyn Service, ServiceError> {
        let service = self.services.get(name).map(|service| &**service);
        service.ok_or_else(|| self.absent(name))
    }

    /// A service by its name and what it is.
    ///
    /// # Errors
    /// [`ServiceError::Absent`] if there is none of that name and kind.
    pub fn get<S: Service>(&self, name: &str) -> Result<&S, ServiceError> {
        let service: &dyn Any = self.service(name)?;
        service.downcast_ref().ok_or_else(|| self.absent(name))
    }

    /// The switches of any service, or of its ports without TLS: `mqtt-plain`.
    ///
    /// # Errors
    /// [`ServiceError::Absent`].
    pub fn control(&self, name: &str) -> Result<&Control, ServiceError> {
        if let Some(service) = self.services.get(name) {
            return Ok(service.control());
        }
        let (service, is_plain) = ServiceName::split(name);
        let plain = self.services.get(service).filter(|_| is_plain);
        let plain = plain.and_then(|service| service.plain());
        plain.ok_or_else(|| self.absent(name))
    }

    fn absent(&self, name: &str) -> ServiceError {
        let known: Vec<String> = self.names().iter().map(ToString::to_string).collect();
        ServiceError::Absent {
            service: name.into(),
            known: known.join(", "),
        }
    }

    /// The run's certificate authority.
    pub fn ca(&self) -> &Arc<TestCa> {
        &self.ca
    }

    /// Whether the bench's part is sound: if so, a DUT that does not come has itself to blame.
    ///
    /// # Errors
    /// [`ServiceError::Broker`] if a broker has died.
    pub async fn health(&self) -> Result<(), ServiceError> {
        for service in self.services.values() {
            service.health().await?;
        }
        Ok(())
    }

    /// All that is known, for the evidence folder.
    pub fn records(&self) -> Records {
        Records {
            records: self.log.since(0),
            totals: self.totals(),
        }
    }

    /// Figures by service; those without any record are missing.
    pub fn totals(&self) -> BTreeMap<ServiceName, Totals> {
        self.log.totals()
    }

    /// The number of the next record: what is seen from now on is [`since`](Self::since) this.
    pub fn mark(&self) -> u64 {
        self.log.mark()
    }

    /// The records from that number on that are still kept, in order.
    pub fn since(&self, mark: u64) -> Vec<Record> {
        self.log.since(mark)
    }

    /// Records from that number on that are not kept any more, of one service or of all: how many at most.
    pub fn dropped_since(&self, mark: u64, service: Option<&str>) -> u64 {
        self.log.dropped_since(mark, service)
    }

    /// The first record from that number on that is wanted, as soon as there is one; none after `limit`.
    pub async fn wait(
        &self,
        mark: u64,
        limit: Duration,
        wanted: impl Fn(&Record) -> bool + Send,
    ) -> Option<Record> {
        self.log.wait(mark, limit, wanted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        Gateway {
            interface: "bench0".into(),
            ipv4: [10, 77, 0, 1].into(),
            prefix: 24,
            ipv6: Some("fd77::1".parse().unwrap()),
            link_local: None,
            dut: [10, 77, 0, 2].into(),
            leases: 1,
        }
    }

    fn placed(specs: &BTreeMap<String, ServiceSpec>) -> BTreeMap<String, String> {
        let ca = TestCa::new().unwrap();
        let config = ServicesConfig::at_gateway(ca, Instant::now(), &gateway(), specs);
        let services = config.services.into_iter();
        services
            .map(|(name, settings)| (name.to_string(), format!("{settings:?}")))
            .collect()
    }

    #[test]
    fn each_kind_is_listed_once_and_by_its_name() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for name in names {
            assert_eq!(kind(name).unwrap().name, name);
            assert_eq!(ServiceName::objection(name), None);
        }
        assert!(kind("gopher").is_none());
    }

    #[test]
    fn services_of_one_port_have_addresses_of_their_own_that_their_names_lead_to() {
        let mut specs = ServiceSpec::usual();
        for (name, kind, host, port) in [
            ("api", "http", "api.example", None),
            ("update", "http", "Update.example", None),
            ("console", "http", "console.example", Some(8443)),
            ("events", "mqtt", "events.example", None),
        ] {
            let spec = ServiceSpec {
                hosts: vec![host.into()],
                port,
                plain_port: port.map(|port| port + 1),
                ..ServiceSpec::new(kind)
            };
            specs.insert(name.into(), spec);
        }
        let placed = placed(&specs);
        // The router has no link-local address here.
        assert_eq!(placed.len(), specs.len() - 1);
        assert!(placed["update"].contains("10.77.0.1:443"), "{placed:?}");
        assert!(placed["mqtt"].contains("10.77.0.1:8883"), "{placed:?}");
        assert!(placed["console"].contains("10.77.0.1:8443"), "{placed:?}");
        for name in ["api", "events"] {
            assert!(placed[name].contains("198.51.100.10"), "{placed:?}");
            assert!(placed[name].contains("2001:db8::"), "{placed:?}");
        }
        assert_ne!(
            placed["api"].split("198.51.100.").nth(1).unwrap()[..3],
            placed["events"].split("198.51.100.").nth(1).unwrap()[..3],
        );
        let dns = &placed["dns"];
        for name in ["api.example", "update.example", "events.example", CRL_NAME] {
            assert!(dns.contains(&format!("\"{name}\"")), "{dns}");
        }
    }
}
