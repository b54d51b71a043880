//! Who the device is, and whom it talks to.

use alloc::{sync::Arc, vec, vec::Vec};
use core::{fmt, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{UnbufferedClientConnection, WebPkiServerVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::UnbufferedServerConnection,
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
    version::TLS13,
};

use crate::{Purpose, Stream, provider::provider, signing::Key, verifier::Verifier};

/// What the device has and rustls has not.
pub struct Environment {
    /// Fills a buffer with random numbers that nobody can foretell.
    pub random: fn(&mut [u8]),
    /// Seconds since 1970; without the time no certificate is accepted.
    pub time: fn() -> Option<u64>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

#[derive(Debug)]
struct Clock(&'static Environment);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = (self.0.time)()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

/// A certificate and its key.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// DER.
    pub certificate: &'a [u8],
    /// Secret scalar of the P-256 key.
    pub key: &'a [u8; 32],
}

impl Identity<'_> {
    fn certified(&self) -> Result<Arc<SingleCertAndKey>, Misfit> {
        let key = Key::new(self.key).ok_or(Misfit)?;
        let certificate: Vec<_> = vec![CertificateDer::from(self.certificate).into_owned()];
        let certified = CertifiedKey::new(certificate, Arc::new(key));
        Ok(Arc::new(SingleCertAndKey::from(certified)))
    }
}

/// These are no certificates and keys that TLS can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

/// Opens connections.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// Believes servers that the certificate `ca` (DER) vouches for.
    pub fn new(
        environment: &'static Environment,
        purpose: Purpose,
        ca: &[u8],
        identity: Option<Identity<'_>>,
    ) -> Result<Self, Misfit> {
        let provider = provider(environment);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca)).map_err(|_| Misfit)?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|_| Misfit)?;
        let config = ClientConfig::builder_with_details(provider, Arc::new(Clock(environment)))
            .with_protocol_versions(&[&TLS13])
            .map_err(|_| Misfit)?
            // Not to bend it, in a release: it is rustls' own verifier that decides.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { purpose, inner }));
        Ok(Self(Arc::new(match identity {
            Some(identity) => config.with_client_cert_resolver(identity.certified()?),
            None => config.with_no_client_auth(),
        })))
    }

    /// Shakes hands with the server of this name at the other end of `transport`.
    pub async fn connect<T: embedded_io_async::Read + embedded_io_async::Write>(
        &self,
        name: &'static str,
        transport: T,
    ) -> Result<Stream<T, UnbufferedClientConnection>, crate::Error<T::Error>> {
        let name = ServerName::try_from(name)
            .map_err(|_| crate::Error::Tls(rustls::Error::General("not a name".into())))?;
        let connection = UnbufferedClientConnection::new(self.0.clone(), name)?;
        Stream::open(transport, connection).await
    }
}

/// Takes connections.
#[derive(Clone)]
pub struct Server(Arc<ServerConfig>);

impl Server {
    /// Shows this certificate to those who connect, and asks for none.
    pub fn new(environment: &'static Environment, identity: Identity<'_>) -> Result<Self, Misfit> {
        let mut config =
            ServerConfig::builder_with_details(provider(environment), Arc::new(Clock(environment)))
                .with_protocol_versions(&[&TLS13])
                .map_err(|_| Misfit)?
                .with_no_client_auth()
                .with_cert_resolver(identity.certified()?);
        // Sessions are short, and nothing is to be kept for them.
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with the client at the other end of `transport`.
    pub async fn accept<T: embedded_io_async::Read + embedded_io_async::Write>(
        &self,
        transport: T,
    ) -> Result<Stream<T, UnbufferedServerConnection>, crate::Error<T::Error>> {
        let connection = UnbufferedServerConnection::new(self.0.clone())?;
        Stream::open(transport, connection).await
    }
}
