//! What a service is to all who have one: what can be done to it, and how it comes to be.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    future::ready,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rustls::pki_types::DnsName;
use tokio::runtime::Handle;

use super::{
    ca::{CertificateKind, TestCa},
    control::Control,
    error::ServiceError,
    name::ServiceName,
    observation::ServiceState,
    record::Log,
    tls::{Tls, TlsVersions},
};

/// A running service. What a kind does not do is an error that says so.
pub trait Service: Any + Send + Sync {
    /// Start, stop, hang, cut.
    fn control(&self) -> &Control;

    /// The same for its ports without TLS, which are closed at first; none if it has none beside others.
    fn plain(&self) -> Option<&Control> {
        None
    }

    /// Its name.
    fn name(&self) -> &ServiceName {
        self.control().name()
    }

    /// The ways to answer that scripts can choose, "normal" first.
    fn answers(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Answers this way from now on, one of [`answers`](Self::answers).
    ///
    /// # Errors
    /// [`ServiceError::Answer`].
    fn answer_by_name(&self, how: &str) -> Result<(), ServiceError> {
        Err(ServiceError::Answer {
            service: self.name().clone(),
            how: how.into(),
            known: "nothing that can be chosen".into(),
        })
    }

    /// Certificates, versions, client certificates.
    ///
    /// # Errors
    /// [`ServiceError::Unable`] for what does not speak TLS.
    fn tls(&self) -> Result<&Tls, ServiceError> {
        Err(self.unable("has no TLS"))
    }

    /// Leaves the default router, or the name server, out of what it tells clients from now on, or has them in again.
    ///
    /// # Errors
    /// [`ServiceError::Unable`].
    fn offer_lease(&self, _router: bool, _dns: bool) -> Result<(), ServiceError> {
        Err(self.unable("gives no leases"))
    }

    /// Tells the host's time plus this from now on.
    ///
    /// # Errors
    /// [`ServiceError::Unable`].
    fn set_time_offset(&self, _offset: time::Duration) -> Result<(), ServiceError> {
        Err(self.unable("tells no time"))
    }

    /// Has this file at this path from the next request on.
    ///
    /// # Errors
    /// [`ServiceError::Unable`].
    fn publish(&self, _path: &str, _content: Bytes) -> Result<(), ServiceError> {
        Err(self.unable("has no files that a script can set"))
    }

    /// Has that file no more; false if it never had.
    ///
    /// # Errors
    /// [`ServiceError::Unable`].
    fn withdraw(&self, _path: &str) -> Result<bool, ServiceError> {
        Err(self.unable("has no files that a script can set"))
    }

    /// Forgets what was set since the start, but for ports and TLS.
    fn reset(&self) {}

    /// Puts everything back as it was when it started.
    fn restore(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(async move {
            reopen(self).await?;
            self.reset();
            Ok(())
        })
    }

    /// Whether it is sound: if so, a DUT that does not come has itself to blame.
    fn health(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(ready(Ok(())))
    }

    /// An error for what it does not do.
    #[doc(hidden)]
    fn unable(&self, what: &'static str) -> ServiceError {
        ServiceError::Unable {
            service: self.name().clone(),
            what,
        }
    }
}

impl fmt::Debug for dyn Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(self.name()).finish()
    }
}

/// Ports and TLS as at the start.
pub(super) async fn reopen<S: Service + ?Sized>(service: &S) -> Result<(), ServiceError> {
    let control = service.control();
    if control.state() != ServiceState::Running {
        control.start().await?;
    }
    if let Some(plain) = service.plain()
        && plain.state() != ServiceState::Stopped
    {
        plain.stop().await?;
    }
    if let Ok(tls) = service.tls() {
        tls.present(CertificateKind::Good)?;
        tls.offer(TlsVersions::Both)?;
    }
    Ok(())
}

/// The answer that a word means, of those that a service can give.
pub(super) fn answer_of<A: Copy>(
    service: &ServiceName,
    answers: &[(&'static str, A)],
    how: &str,
) -> Result<A, ServiceError> {
    let found = answers.iter().find(|(word, _)| *word == how);
    found.map(|(_, answer)| *answer).ok_or_else(|| {
        let known: Vec<&str> = answers.iter().map(|(word, _)| *word).collect();
        ServiceError::Answer {
            service: service.clone(),
            how: how.into(),
            known: known.join(", "),
        }
    })
}

/// What a service is made of.
pub trait Settings: fmt::Debug + Send {
    /// Makes it; its ports are still closed.
    ///
    /// # Errors
    /// What it needs and could not be had.
    fn make(
        self: Box<Self>,
        place: Place<'_>,
    ) -> BoxFuture<'_, Result<Box<dyn Service>, ServiceError>>;
}

/// What is there for all services of a network.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    pub(super) name: ServiceName,
    pub(super) handle: &'a Handle,
    pub(super) log: &'a Log,
    pub(super) ca: &'a Arc<TestCa>,
}

/// A kind of service, as `[services.NAME] kind = ...` names it.
#[derive(Debug)]
pub struct Kind {
    /// The word for it.
    pub name: &'static str,
    /// The port that it usually has, with TLS where it speaks TLS.
    pub port: u16,
    /// The port that it usually has without TLS, beside the other.
    pub plain_port: Option<u16>,
    /// What the product knows it by.
    pub hosts: Hosts,
    /// A network has one of it and no more; it is there whatever a target says.
    pub is_single: bool,
    /// Has addresses of its own, which end with this, whatever else is there.
    pub(super) own_address: Option<u8>,
    /// A name that leads to it, whatever the target says.
    pub(super) own_host: Option<&'static str>,
    pub(super) settings: fn(&Placement<'_>) -> Option<Box<dyn Settings>>,
}

/// By how many names a kind of service is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// None: it is found otherwise.
    None,
    /// The one of its certificate.
    One,
    /// Any number.
    Any,
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
    /// The first address that is leased.
    pub dut: Ipv4Addr,
    /// How many are.
    pub leases: u8,
}

/// Where one service of a gateway is, and what it may want to know of the others.
#[derive(Debug)]
pub(super) struct Placement<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) addresses: &'a [IpAddr],
    pub(super) hosts: &'a [String],
    pub(super) port: u16,
    pub(super) plain_port: Option<u16>,
    /// Of all services that have one.
    pub(super) names: &'a BTreeMap<String, Vec<IpAddr>>,
}

/// Whether that can be the name of a host in a certificate (RFC 5280, 4.2.1.6).
pub fn is_host(name: &str) -> bool {
    DnsName::try_from(name).is_ok()
}

/// What the certificate of a service is for that the DUT knows no name of (RFC 6761).
const UNNAMED: &str = "unnamed.invalid";

impl Placement<'_> {
    fn at(&self, port: u16) -> Vec<SocketAddr> {
        let at = |address: &IpAddr| (*address, port).into();
        self.addresses.iter().map(at).collect()
    }

    pub(super) fn listen(&self) -> Vec<SocketAddr> {
        self.at(self.port)
    }

    pub(super) fn listen_plain(&self) -> Vec<SocketAddr> {
        self.plain_port.map_or_else(Vec::new, |port| self.at(port))
    }

    pub(super) fn host(&self) -> String {
        let first = self.hosts.first();
        first.map_or_else(|| UNNAMED.into(), String::clone)
    }
}
