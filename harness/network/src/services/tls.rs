//! TLS in front of the services: which certificate is shown, which versions are offered, whether a client certificate
//! is asked for; and what was negotiated, or why not.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::tls_names;

use super::{
    ca::{CertificateKind, TestCa},
    error::ServiceError,
    observation::{ClientCertificate, Observation, TlsSession, clip},
    record::ServiceLog,
};

/// A small device takes a second or two.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(20);

/// Versions that are offered. (1.0 and 1.1 can't be: no well-kept Rust library speaks them any more.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::EnumString, strum::VariantNames)]
#[serde(rename_all = "kebab-case")]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[strum(serialize = "both")]
    Both,
    /// 1.2, the oldest that rustls speaks.
    #[strum(serialize = "1.2")]
    Only12,
    /// 1.3.
    #[strum(serialize = "1.3")]
    Only13,
}

/// What clients must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked. Whatever they show is recorded and accepted.
    Requested,
    /// They must show a certificate of this run's CA.
    Required,
}

/// How a service speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TlsSettings {
    /// What it presents.
    pub certificate: CertificateKind,
    /// What it offers.
    pub versions: TlsVersions,
    /// What it asks for.
    pub client_auth: ClientAuth,
}

/// The TLS side of a service. A change is seen by all handshakes that begin later: sessions are never resumed.
pub struct Tls {
    ca: Arc<TestCa>,
    /// The name that the DUT knows the service by.
    name: String,
    alpn: Vec<Vec<u8>>,
    log: ServiceLog,
    state: Mutex<(TlsSettings, Arc<ServerConfig>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .field("settings", &self.settings())
            .finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(
        ca: Arc<TestCa>,
        name: &str,
        alpn: &[&str],
        client_auth: ClientAuth,
        log: ServiceLog,
    ) -> Result<Self, ServiceError> {
        let settings = TlsSettings {
            certificate: CertificateKind::Good,
            versions: TlsVersions::Both,
            client_auth,
        };
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = server_config(&ca, name, &alpn, settings, &log)?;
        Ok(Self {
            ca,
            name: name.into(),
            alpn,
            log,
            state: Mutex::new((settings, config)),
        })
    }

    /// How it speaks TLS now.
    pub fn settings(&self) -> TlsSettings {
        self.lock().0
    }

    /// Speaks TLS this way from the next handshake on.
    ///
    /// # Errors
    /// [`ServiceError::Ca`] if no such certificate can be made.
    pub fn set(&self, settings: TlsSettings) -> Result<(), ServiceError> {
        let config = server_config(&self.ca, &self.name, &self.alpn, settings, &self.log)?;
        *self.lock() = (settings, config);
        self.log.record(Observation::Reconfigured {
            what: format!("{settings:?}"),
        });
        Ok(())
    }

    /// Presents a new certificate of that kind from the next handshake on.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn present(&self, certificate: CertificateKind) -> Result<(), ServiceError> {
        self.set(TlsSettings {
            certificate,
            ..self.settings()
        })
    }

    /// Offers these versions from the next handshake on.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn offer(&self, versions: TlsVersions) -> Result<(), ServiceError> {
        self.set(TlsSettings {
            versions,
            ..self.settings()
        })
    }

    /// Asks clients for this from the next handshake on.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn ask_client(&self, client_auth: ClientAuth) -> Result<(), ServiceError> {
        self.set(TlsSettings {
            client_auth,
            ..self.settings()
        })
    }

    fn lock(&self) -> MutexGuard<'_, (TlsSettings, Arc<ServerConfig>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shakes hands and writes down how that went.
    pub(super) async fn accept(&self, stream: TcpStream, log: &ServiceLog) -> Option<Watched> {
        let (settings, config) = self.lock().clone();
        let mut sni = None;
        let shake_hands = async {
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
            let start = start.await?;
            sni = start.client_hello().server_name().map(clip);
            start.into_stream(config).await
        };
        let failure = match timeout(HANDSHAKE_LIMIT, shake_hands).await {
            Ok(Ok(stream)) => {
                log.record(Observation::Tls(self.session(&stream, settings)));
                return Some(Watched {
                    stream,
                    log: log.clone(),
                    presented: settings.certificate,
                    has_data: false,
                });
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let alert = failure.as_ref().and_then(|error| {
            match error.get_ref()?.downcast_ref::<TlsError>()? {
                TlsError::AlertReceived(alert) => Some(format!("{alert:?}")),
                _ => None,
            }
        });
        log.record(Observation::TlsFailed {
            presented: settings.certificate,
            sni,
            alert,
            reason: failure.map_or_else(
                || format!("not finished within {HANDSHAKE_LIMIT:?}"),
                |error| clip(error.to_string()),
            ),
        });
        None
    }

    fn session(&self, stream: &TlsStream<TcpStream>, settings: TlsSettings) -> TlsSession {
        let (_, connection) = stream.get_ref();
        let client = connection
            .peer_certificates()
            .and_then(<[_]>::split_first)
            .map(|(certificate, chain)| self.client(certificate, chain));
        TlsSession {
            presented: settings.certificate,
            version: connection
                .protocol_version()
                .map_or_else(String::new, |version| tls_names::version(version.into())),
            cipher: connection
                .negotiated_cipher_suite()
                .map_or_else(String::new, |suite| tls_names::cipher(suite.suite().into())),
            sni: connection.server_name().map(clip),
            alpn: connection
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into()),
            client,
        }
    }

    fn client(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> ClientCertificate {
        let trouble = match verifier(&self.ca) {
            Ok(verifier) => verifier
                .verify_client_cert(certificate, chain, UnixTime::now())
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let sha256 = hex::encode(Sha256::digest(certificate));
        match x509_parser::parse_x509_certificate(certificate) {
            Ok((_, parsed)) => ClientCertificate {
                subject: clip(parsed.subject().to_string()),
                issuer: clip(parsed.issuer().to_string()),
                serial: clip(hex::encode(parsed.raw_serial())),
                public_key: hex::encode(&parsed.public_key().subject_public_key.data),
                sha256,
                trouble,
            },
            Err(error) => ClientCertificate {
                subject: String::new(),
                issuer: String::new(),
                serial: String::new(),
                public_key: String::new(),
                sha256,
                trouble: Some(clip(error.to_string())),
            },
        }
    }
}

/// A session that writes down when the DUT sends its first data in it.
pub(super) struct Watched {
    stream: TlsStream<TcpStream>,
    log: ServiceLog,
    presented: CertificateKind,
    has_data: bool,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && !self.has_data {
            self.has_data = true;
            let presented = self.presented;
            self.log.record(Observation::TlsData { presented });
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn server_config(
    ca: &Arc<TestCa>,
    name: &str,
    alpn: &[Vec<u8>],
    settings: TlsSettings,
    log: &ServiceLog,
) -> Result<Arc<ServerConfig>, ServiceError> {
    let fail = |source| ServiceError::Tls {
        service: log.service().clone(),
        source,
    };
    let versions: &[&SupportedProtocolVersion] = match settings.versions {
        TlsVersions::Both => &[&TLS13, &TLS12],
        TlsVersions::Only12 => &[&TLS12],
        TlsVersions::Only13 => &[&TLS13],
    };
    let identity = ca.server(settings.certificate, name)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(fail)?;
    let builder = match settings.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Required => builder.with_client_cert_verifier(verifier(ca).map_err(fail)?),
        ClientAuth::Requested => {
            let inner = verifier(ca).map_err(fail)?;
            builder.with_client_cert_verifier(Arc::new(AcceptAny { inner }))
        }
    };
    let mut config = builder
        .with_single_cert(identity.chain(), identity.key())
        .map_err(fail)?;
    config.alpn_protocols = alpn.to_vec();
    // Every connection shows all: the certificate to the DUT, and the DUT's to us.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn verifier(ca: &TestCa) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate())?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| TlsError::General(error.to_string()))
}

/// Accepts every client, with any certificate or none. That it holds the certificate's key is verified.
#[derive(Debug)]
struct AcceptAny {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for AcceptAny {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
