//! The services around the DUT: addresses, names, time, MQTT broker, update server and list of revoked
//! certificates. All that a connected product needs, in our hands: each can be stopped, made to hang, made to answer
//! wrongly, and tells what it saw.
//!
//! They run on a runtime that is given: its threads live in the DUT's network namespace, so sockets made there belong
//! to that network. Every action is done on those threads, whoever asks for it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
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
mod listener;
mod mqtt;
mod ntp;
mod observation;
mod record;
mod router;
mod site;
mod tls;
mod update;

pub use ca::{CRL_NAME, CaError, CertificateKind, Identity, TestCa};
pub use control::Control;
pub use crl::{Crl, CrlConfig};
pub use dhcp::{CLIENT_PORT, Dhcp, DhcpAnswer, DhcpConfig, DhcpSettings};
pub use dns::{Dns, DnsAnswer, DnsConfig, UnknownName};
pub use error::ServiceError;
pub use mqtt::{Message, Mqtt, MqttAnswer, MqttClient, MqttConfig, broker_leftovers};
pub use ntp::{Ntp, NtpAnswer, NtpConfig};
pub use observation::{
    ClientCertificate, Effect, Excerpt, MqttPacket, Observation, PacketSeen, RequestSeen, Sender,
    ServiceState, TlsSession, Will,
};
pub use record::{Record, Records, ServiceName, Totals};
pub use router::{Router, RouterAnswer, RouterConfig};
pub use site::UpdateAnswer;
pub use tls::{ClientAuth, Tls, TlsSettings, TlsVersions};
pub use update::{Update, UpdateConfig};

use record::Log;

/// How long addresses are leased: long enough that no renewal falls into a test that does not want one.
const LEASE: Duration = Duration::from_hours(24);

/// Which services there are and where they listen. Port 0 lets the system choose.
#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// What times in records count from: the same as for the console's log.
    pub origin: Instant,
    /// The run's certificate authority.
    pub ca: Arc<TestCa>,
    /// Addresses; none where something else gives them.
    pub dhcp: Option<DhcpConfig>,
    /// Addresses and routes of IPv6; none where there is no IPv6, or something else gives them.
    pub router: Option<RouterConfig>,
    /// Names.
    pub dns: DnsConfig,
    /// Time.
    pub ntp: NtpConfig,
    /// Messages.
    pub mqtt: MqttConfig,
    /// Updates.
    pub update: UpdateConfig,
    /// Revoked certificates.
    pub crl: CrlConfig,
}

/// The bench's end of the DUT's network.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Interface that leads to the DUT.
    pub interface: String,
    /// The bench's address there.
    pub ipv4: Ipv4Addr,
    /// Bits of the network's prefix.
    pub prefix: u8,
    /// The bench's IPv6 address there.
    pub ipv6: Option<Ipv6Addr>,
    /// Its link-local and its hardware address.
    pub link_local: Option<(Ipv6Addr, [u8; 6])>,
    /// The address that the DUT gets.
    pub dut: Ipv4Addr,
}

/// The names that the DUT knows its services by.
#[derive(Debug, Clone)]
pub struct Names {
    /// Time servers.
    pub time: Vec<String>,
    /// The broker; none for a DUT that knows none.
    pub mqtt: Option<String>,
    /// The update server; none for a DUT that knows none.
    pub update: Option<String>,
}

/// What the certificate of a service is for that the DUT knows no name of (RFC 6761).
const UNNAMED: &str = "unnamed.invalid";

impl ServicesConfig {
    /// All services at the gateway's addresses and their usual ports, but for the list of revoked certificates, which has
    /// addresses of its own: to the DUT's network all are local. Names that the DUT is not known to use lead to
    /// the gateway too, where nothing but the services answers.
    pub fn at_gateway(ca: Arc<TestCa>, origin: Instant, gateway: &Gateway, names: &Names) -> Self {
        let addresses: Vec<IpAddr> = std::iter::once(gateway.ipv4.into())
            .chain(gateway.ipv6.map(Into::into))
            .collect();
        let port = |number: u16| -> Vec<SocketAddr> {
            let at = |address: &IpAddr| (*address, number).into();
            addresses.iter().map(at).collect()
        };
        let known = names.time.iter().chain(&names.mqtt).chain(&names.update);
        let or_unnamed = |name: &Option<String>| name.clone().unwrap_or_else(|| UNNAMED.into());
        let crl: Vec<IpAddr> = std::iter::once(crl::ADDRESS_V4.into())
            .chain(gateway.ipv6.map(|_| crl::ADDRESS_V6.into()))
            .collect();
        Self {
            origin,
            ca,
            dhcp: Some(DhcpConfig {
                listen: (Ipv4Addr::UNSPECIFIED, 67).into(),
                interface: Some(gateway.interface.clone()),
                client_port: CLIENT_PORT,
                server: gateway.ipv4,
                first: gateway.dut,
                size: 1,
                prefix: gateway.prefix,
                options: DhcpSettings {
                    router: Some(gateway.ipv4),
                    dns: vec![gateway.ipv4],
                    lease: LEASE,
                },
            }),
            router: gateway
                .ipv6
                .zip(gateway.link_local)
                .map(|(ipv6, (address, mac))| RouterConfig {
                    interface: gateway.interface.clone(),
                    address,
                    mac,
                    prefix: Ipv6Addr::from(u128::from(ipv6) >> 64 << 64),
                    dns: ipv6,
                }),
            dns: DnsConfig {
                listen: port(53),
                names: known
                    .map(|name| (name.to_ascii_lowercase(), addresses.clone()))
                    .chain([(CRL_NAME.to_owned(), crl.clone())])
                    .collect(),
                unknown: UnknownName::Sinkhole(gateway.ipv4, gateway.ipv6),
            },
            ntp: NtpConfig { listen: port(123) },
            mqtt: MqttConfig {
                listen: port(8883),
                plain: port(1883),
                name: or_unnamed(&names.mqtt),
                client_auth: ClientAuth::Requested,
                program: PathBuf::from("mosquitto"),
            },
            update: UpdateConfig {
                listen: port(443),
                plain: port(80),
                name: or_unnamed(&names.update),
                client_auth: ClientAuth::None,
            },
            crl: CrlConfig {
                listen: crl.iter().map(|address| (*address, 80).into()).collect(),
            },
        }
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// All services of one bench. Dropped, all ports are closed and the broker is killed.
pub struct Services {
    log: Log,
    ca: Arc<TestCa>,
    dhcp: Option<Dhcp>,
    router: Option<Router>,
    dns: Dns,
    ntp: Ntp,
    mqtt: Mqtt,
    update: Update,
    crl: Crl,
}

impl Services {
    /// Starts all services but those without TLS. `handle` must be that of a runtime with I/O and time enabled, whose
    /// threads live in the DUT's network; whoever awaits may be elsewhere.
    ///
    /// # Errors
    /// The first thing that could not be had; all else is stopped again.
    pub async fn start(handle: &Handle, config: ServicesConfig) -> Result<Self, ServiceError> {
        let log = Log::new(config.origin);
        let services = Self {
            dhcp: config
                .dhcp
                .map(|config| Dhcp::new(handle, log.of(ServiceName::Dhcp), config)),
            router: config
                .router
                .map(|config| Router::new(handle, log.of(ServiceName::Router), config)),
            dns: Dns::new(handle, log.of(ServiceName::Dns), config.dns),
            ntp: Ntp::new(handle, log.of(ServiceName::Ntp), &config.ntp),
            mqtt: Mqtt::new(handle, &log, config.ca.clone(), config.mqtt).await?,
            update: Update::new(handle, &log, config.ca.clone(), &config.update)?,
            crl: Crl::new(handle, log.of(ServiceName::Crl), &config.ca, &config.crl),
            ca: config.ca,
            log,
        };
        for name in ServiceName::ALL {
            let is_plain = matches!(name, ServiceName::MqttPlain | ServiceName::UpdatePlain);
            if let Ok(control) = services.control(name)
                && !is_plain
            {
                control.start().await?;
            }
        }
        Ok(services)
    }

    /// Puts everything back as it was when it started, whatever was done since; files that were published are gone.
    ///
    /// # Errors
    /// The first thing that could not be put back.
    pub async fn restore(&self) -> Result<(), ServiceError> {
        for name in ServiceName::ALL {
            let is_plain = matches!(name, ServiceName::MqttPlain | ServiceName::UpdatePlain);
            let Ok(control) = self.control(name) else {
                continue;
            };
            match (is_plain, control.state()) {
                (true, ServiceState::Stopped) | (false, ServiceState::Running) => {}
                (true, _) => {
                    control.stop().await?;
                }
                (false, _) => {
                    control.start().await?;
                }
            }
        }
        for tls in [self.mqtt.tls(), self.update.tls()] {
            tls.present(CertificateKind::Good)?;
            tls.offer(TlsVersions::Both)?;
        }
        if let Some(dhcp) = &self.dhcp {
            dhcp.answer(DhcpAnswer::Normal);
            dhcp.set(dhcp.initial_settings());
        }
        if let Some(router) = &self.router {
            let was_normal = router.is_normal();
            router.answer(RouterAnswer::Normal);
            if !was_normal {
                // Hosts ask a few times, and wait for the next announcement then.
                router.control().announce().await;
            }
        }
        self.dns.answer(DnsAnswer::Normal);
        self.ntp.answer(NtpAnswer::Normal);
        self.ntp.set_offset(time::Duration::ZERO);
        self.mqtt.answer(MqttAnswer::Normal);
        self.update.answer(UpdateAnswer::Normal);
        self.update.clear();
        Ok(())
    }

    /// The switches of any service.
    ///
    /// # Errors
    /// [`ServiceError::Absent`].
    pub fn control(&self, service: ServiceName) -> Result<&Control, ServiceError> {
        Ok(match service {
            ServiceName::Dhcp => self.dhcp()?.control(),
            ServiceName::Router => self.router()?.control(),
            ServiceName::Dns => self.dns.control(),
            ServiceName::Ntp => self.ntp.control(),
            ServiceName::Mqtt => self.mqtt.control(),
            ServiceName::MqttPlain => self.mqtt.plain(),
            ServiceName::Update => self.update.control(),
            ServiceName::UpdatePlain => self.update.plain(),
            ServiceName::Crl => self.crl.control(),
        })
    }

    /// The address server.
    ///
    /// # Errors
    /// [`ServiceError::Absent`].
    pub fn dhcp(&self) -> Result<&Dhcp, ServiceError> {
        self.dhcp.as_ref().ok_or(ServiceError::Absent {
            service: ServiceName::Dhcp,
        })
    }

    /// The router that announces itself.
    ///
    /// # Errors
    /// [`ServiceError::Absent`].
    pub fn router(&self) -> Result<&Router, ServiceError> {
        self.router.as_ref().ok_or(ServiceError::Absent {
            service: ServiceName::Router,
        })
    }

    /// The name server.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// The time server.
    pub fn ntp(&self) -> &Ntp {
        &self.ntp
    }

    /// The broker.
    pub fn mqtt(&self) -> &Mqtt {
        &self.mqtt
    }

    /// The update server.
    pub fn update(&self) -> &Update {
        &self.update
    }

    /// The server of the list of revoked certificates.
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// The run's certificate authority.
    pub fn ca(&self) -> &Arc<TestCa> {
        &self.ca
    }

    /// Whether the bench's part is sound: if so, a DUT that does not come has itself to blame.
    ///
    /// # Errors
    /// [`ServiceError::Broker`] if the broker has died.
    pub async fn health(&self) -> Result<(), ServiceError> {
        self.mqtt.health().await
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
    pub fn dropped_since(&self, mark: u64, service: Option<ServiceName>) -> u64 {
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
