//! The bench as a client of the DUT: HTTP requests, and bytes of any kind to any port. What the DUT does with them is
//! a result; an error is the bench's own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::SendRequest,
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{closing::Closing, error::NetworkError, host::within, network::Network, tls_names};

/// A connection or a TLS session that takes longer is none.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// More of an answer is not kept.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// How to speak to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP in the clear.
    Tcp,
    /// TLS over TCP, whatever certificate is presented.
    Tls,
    /// One datagram; the answer is the first that comes back.
    Udp,
}

/// Whom to speak to, whom to expect there, and how long for.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where.
    pub address: SocketAddr,
    /// The name that its certificate is to have; without, any name will do.
    pub name: Option<String>,
    /// The authority that is to have signed its certificate, DER.
    pub authority: Vec<u8>,
    /// For a request, or for the answer in an exchange.
    pub limit: Duration,
}

/// An HTTP request to the DUT.
#[derive(Debug, Clone)]
pub struct Question {
    /// In the clear, or over TLS.
    pub transport: Transport,
    /// `GET`, ...
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Host`, `Content-Length` and `Connection` are added.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
}

/// What was negotiated with a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsPeer {
    /// `TLS 1.3`, ...
    pub version: String,
    /// IANA's name of the cipher suite.
    pub cipher: String,
    /// Its certificate, DER.
    #[serde(skip)]
    pub certificate: Vec<u8>,
    /// Why a client that verifies would not have gone on.
    pub trouble: Option<String>,
}

/// A server's answer, or why there is none.
#[derive(Debug, Clone, Default)]
pub struct HttpAnswer {
    /// `None` when there is no answer.
    pub status: Option<u16>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As received.
    pub body: Vec<u8>,
    /// `None` in the clear, or when TLS was not reached.
    pub tls: Option<TlsPeer>,
    /// What went wrong: the DUT refuses, falls silent, or sends what is no HTTP.
    pub trouble: Option<String>,
    /// There was more than is kept.
    pub is_cut: bool,
    /// Over which connection it came.
    pub over: Over,
}

/// Over which connection an answer came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Over {
    /// One of its own.
    #[default]
    Own,
    /// That of the request before.
    Kept,
    /// One of its own, after that of the request before had this status, which may not have been about this request.
    OwnAfter(u16),
    /// One of its own, after that of the request before had no answer, for this reason.
    OwnAfterNone(String),
}

/// A connection that goes on after an answer, for whoever asks the same with the same headers.
#[derive(Debug)]
pub struct Kept {
    asked: Asked,
    sender: SendRequest<Full<Bytes>>,
    tls: Option<TlsPeer>,
    since: Instant,
    /// Drives it, and ends with it.
    _connection: JoinSet<()>,
}

/// Who was asked, and as whom: the headers may have a session's token.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    address: SocketAddr,
    name: Option<String>,
    transport: Transport,
    headers: Vec<(String, String)>,
}

impl Kept {
    /// Whether the DUT has ended it.
    pub fn has_ended(&self) -> bool {
        self.sender.is_closed()
    }

    /// How long ago the latest answer was.
    pub fn idle(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether it can be used for that. What may not be sent twice is never sent where it may be lost (RFC 9110 9.2.2).
    fn serves(&self, asked: &Asked, method: &str) -> bool {
        let is_idempotent = Method::from_bytes(method.as_bytes()).is_ok_and(|m| m.is_idempotent());
        is_idempotent && self.asked == *asked && !self.has_ended()
    }
}

/// What came back from a port.
#[derive(Debug, Clone, Default)]
pub struct Exchanged {
    /// Whether there was a connection. Always, for UDP.
    pub connected: bool,
    /// What the DUT said.
    pub received: Vec<u8>,
    /// Whether the DUT ended the connection, or refused the datagram.
    pub closed: bool,
    /// Why, if there was no connection.
    pub trouble: Option<String>,
    /// There was more than is kept.
    pub is_cut: bool,
}

impl Network {
    /// Sends a request to the DUT on a connection of its own.
    ///
    /// # Errors
    /// [`NetworkError::Client`] when the request is none.
    pub async fn request(&self, peer: Peer, request: Question) -> Result<HttpAnswer, NetworkError> {
        let message = message(&peer, &request, false)?;
        let (tls, name) = tls_client(&peer)?;
        self.inside(async move {
            let mut answer = HttpAnswer::default();
            let asking = ask(&peer, request.transport, message, &tls, name, &mut answer);
            match within(peer.limit, asking).await {
                Ok(Ok(())) => {}
                Ok(Err(trouble)) => answer.trouble = Some(trouble),
                Err(_) => answer.trouble = Some(format!("no answer for {:?}", peer.limit)),
            }
            answer
        })
        .await
    }

    /// The same on the connection that the request before has left, if it can be, and leaves one. An answer counts only if
    /// it grants (2xx); for any other, or none, the request is sent again on a connection of its own: what one request did
    /// to a connection is no answer to the next.
    ///
    /// # Errors
    /// [`NetworkError::Client`] when the request is none.
    pub async fn request_keeping(
        &self,
        peer: Peer,
        request: Question,
        kept: Option<Kept>,
    ) -> Result<(HttpAnswer, Option<Kept>), NetworkError> {
        let first = message(&peer, &request, true)?;
        let again = message(&peer, &request, true)?;
        let (tls, name) = tls_client(&peer)?;
        self.inside(async move {
            let asked = Asked {
                address: peer.address,
                name: peer.name.clone(),
                transport: request.transport,
                headers: request.headers,
            };
            let kept = kept.filter(|kept| kept.serves(&asked, &request.method));
            let over = match kept {
                None => Over::Own,
                Some(mut kept) => match ask_again(&mut kept, first, peer.limit).await {
                    Ok(answer) => {
                        kept.since = Instant::now();
                        return (answer, Some(kept));
                    }
                    Err(over) => over,
                },
            };
            let mut answer = HttpAnswer {
                over,
                ..HttpAnswer::default()
            };
            let asking = ask_keeping(asked, again, &tls, name, &mut answer);
            let kept = match within(peer.limit, asking).await {
                Ok(Ok(kept)) => Some(kept),
                Ok(Err(trouble)) => {
                    answer.trouble = Some(trouble);
                    None
                }
                Err(_) => {
                    answer.trouble = Some(format!("no answer for {:?}", peer.limit));
                    None
                }
            };
            // After what was refused, nobody knows where the next request begins for the DUT.
            let kept = kept.filter(|_| answer.status.is_some_and(is_granted));
            (answer, kept)
        })
        .await
    }

    /// Sends bytes to a port of the DUT, and reads what comes back until the DUT ends the connection, has sent
    /// 1 MiB, or time is over, which begins once there is a connection.
    ///
    /// # Errors
    /// [`NetworkError::Client`] when the bench has no socket.
    pub async fn exchange(
        &self,
        peer: Peer,
        transport: Transport,
        data: Vec<u8>,
    ) -> Result<Exchanged, NetworkError> {
        let (tls, name) = tls_client(&peer)?;
        self.inside(async move {
            match transport {
                Transport::Udp => datagram(peer.address, &data, peer.limit).await,
                Transport::Tcp => Ok(match connect(peer.address).await {
                    Ok(stream) => speak(stream, &data, peer.limit).await,
                    Err(trouble) => Exchanged::unconnected(trouble),
                }),
                Transport::Tls => Ok(match connect(peer.address).await {
                    Ok(stream) => {
                        let connected = tls.connector.connect(name, stream);
                        match within(CONNECT_LIMIT, connected).await {
                            Ok(Ok(stream)) => speak(stream, &data, peer.limit).await,
                            Ok(Err(error)) => {
                                Exchanged::unconnected(format!("no TLS session: {error}"))
                            }
                            Err(_) => Exchanged::unconnected("no TLS session in time".to_owned()),
                        }
                    }
                    Err(trouble) => Exchanged::unconnected(trouble),
                }),
            }
        })
        .await?
    }

    /// Sockets are the DUT's network's where its runtime makes them.
    async fn inside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NetworkError> {
        self.handle()
            .spawn(work)
            .await
            .map_err(|error| NetworkError::Client {
                reason: error.to_string(),
            })
    }
}

impl Exchanged {
    fn unconnected(trouble: String) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::default()
        }
    }
}

fn message(
    peer: &Peer,
    request: &Question,
    is_kept: bool,
) -> Result<Request<Full<Bytes>>, NetworkError> {
    let no_request = |reason: String| NetworkError::Client { reason };
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|error| no_request(format!("method {:?}: {error}", request.method)))?;
    let host = peer
        .name
        .clone()
        .unwrap_or_else(|| peer.address.ip().to_string());
    let mut builder = Request::builder().method(method).uri(&request.path);
    if !is_kept {
        builder = builder.header(header::CONNECTION, "close");
    }
    let named = |name: &str| {
        let mut names = request.headers.iter();
        names.any(|(given, _)| given.eq_ignore_ascii_case(name))
    };
    if !named("host") {
        builder = builder.header(header::HOST, host);
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Full::from(request.body.clone()))
        .map_err(|error| no_request(error.to_string()))
}

async fn ask(
    peer: &Peer,
    transport: Transport,
    message: Request<Full<Bytes>>,
    tls: &TlsClient,
    name: ServerName<'static>,
    answer: &mut HttpAnswer,
) -> Result<(), String> {
    match reach(peer.address, transport, tls, name).await? {
        Reached::Tls(stream, negotiated) => {
            answer.tls = Some(negotiated);
            converse(*stream, message, answer).await
        }
        Reached::Tcp(stream) => converse(stream, message, answer).await,
    }
}

/// The same on a connection that may go on.
async fn ask_keeping(
    asked: Asked,
    message: Request<Full<Bytes>>,
    tls: &TlsClient,
    name: ServerName<'static>,
    answer: &mut HttpAnswer,
) -> Result<Kept, String> {
    let mut connection = JoinSet::new();
    let mut sender = match reach(asked.address, asked.transport, tls, name).await? {
        Reached::Tls(stream, negotiated) => {
            answer.tls = Some(negotiated);
            driven(*stream, &mut connection).await?
        }
        Reached::Tcp(stream) => driven(stream, &mut connection).await?,
    };
    answered(&mut sender, message, answer).await?;
    Ok(Kept {
        asked,
        sender,
        tls: answer.tls.clone(),
        since: Instant::now(),
        _connection: connection,
    })
}

/// Asks on a connection that goes on. Without an answer that counts, gives what there was instead.
async fn ask_again(
    kept: &mut Kept,
    message: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<HttpAnswer, Over> {
    let mut answer = HttpAnswer {
        tls: kept.tls.clone(),
        over: Over::Kept,
        ..HttpAnswer::default()
    };
    let asking = async {
        // One that has ended meanwhile was sent nothing.
        kept.sender.ready().await.map_err(|_| Over::Own)?;
        let response = kept.sender.try_send_request(message).await;
        let response = response.map_err(|mut error| match error.take_message() {
            Some(_) => Over::Own,
            None => Over::OwnAfterNone(told(error.error())),
        })?;
        let received = received(response, &mut answer).await;
        received.map_err(Over::OwnAfterNone)
    };
    match within(limit, asking).await {
        Ok(asked) => asked?,
        Err(_) => return Err(Over::OwnAfterNone(format!("no answer for {limit:?}"))),
    }
    match answer.status {
        Some(status) if !is_granted(status) => Err(Over::OwnAfter(status)),
        _ => Ok(answer),
    }
}

fn is_granted(status: u16) -> bool {
    (200..300).contains(&status)
}

/// A port that speaks.
enum Reached {
    Tcp(TcpStream),
    Tls(Box<Closing<TlsStream<TcpStream>>>, TlsPeer),
}

async fn reach(
    address: SocketAddr,
    transport: Transport,
    tls: &TlsClient,
    name: ServerName<'static>,
) -> Result<Reached, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("no connection: {error}"))?;
    match transport {
        Transport::Tls => {
            let stream = tls
                .connector
                .connect(name, stream)
                .await
                .map_err(|error| format!("no TLS session: {error}"))?;
            let negotiated = tls.negotiated(&stream);
            Ok(Reached::Tls(Box::new(Closing(stream)), negotiated))
        }
        Transport::Tcp => Ok(Reached::Tcp(stream)),
        Transport::Udp => Err("HTTP is not spoken over UDP".to_owned()),
    }
}

async fn driven(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    connections: &mut JoinSet<()>,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| told(&error))?;
    connections.spawn(async move {
        // Whoever asks is told of its errors.
        let _ = connection.await;
    });
    Ok(sender)
}

pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    message: Request<Full<Bytes>>,
    answer: &mut HttpAnswer,
) -> Result<(), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| told(&error))?;
    let exchange = answered(&mut sender, message, answer);
    // The connection does its part while the exchange lasts, and is dropped with it.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut exchange => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Sends a request, and takes in the answer.
async fn answered(
    sender: &mut SendRequest<Full<Bytes>>,
    message: Request<Full<Bytes>>,
    answer: &mut HttpAnswer,
) -> Result<(), String> {
    let response = sender.send_request(message).await;
    received(response.map_err(|error| told(&error))?, answer).await
}

async fn received(response: Response<Incoming>, answer: &mut HttpAnswer) -> Result<(), String> {
    answer.status = Some(response.status().as_u16());
    answer.headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
    answer.body = match body.await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) if error.is::<LengthLimitError>() => {
            answer.is_cut = true;
            return Err(format!("an answer longer than {LONGEST_ANSWER} bytes"));
        }
        Err(error) => return Err(format!("the answer breaks off: {error}")),
    };
    Ok(())
}

/// An error of hyper with its cause, which alone says what happened.
fn told(error: &hyper::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    // A slow DUT, or a busy bench, is no closed port.
    match within(CONNECT_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("no connection: {error}")),
        Err(_) => Err("no connection in time".to_owned()),
    }
}

async fn speak(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    data: &[u8],
    limit: Duration,
) -> Exchanged {
    let mut exchanged = Exchanged {
        connected: true,
        ..Exchanged::default()
    };
    let conversation = async {
        // A DUT that closes while we send may have said why.
        let sent = stream.write_all(data).await;
        let _ = sent.and(stream.flush().await);
        let mut chunk = vec![0; 16 * 1024];
        while exchanged.received.len() < LONGEST_ANSWER {
            let Ok(length @ 1..) = stream.read(&mut chunk).await else {
                exchanged.closed = true;
                break;
            };
            exchanged.received.extend_from_slice(&chunk[..length]);
            exchanged.is_cut = exchanged.received.len() >= LONGEST_ANSWER;
        }
    };
    // What has come by then is what there is.
    let _ = within(limit, conversation).await;
    exchanged
}

async fn datagram(
    address: SocketAddr,
    data: &[u8],
    limit: Duration,
) -> Result<Exchanged, NetworkError> {
    let no_socket = |error: std::io::Error| NetworkError::Client {
        reason: error.to_string(),
    };
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(no_socket)?;
    socket.connect(address).await.map_err(no_socket)?;
    socket.send(data).await.map_err(no_socket)?;
    let mut exchanged = Exchanged {
        connected: true,
        ..Exchanged::default()
    };
    let mut answer = vec![0; 64 * 1024];
    match within(limit, socket.recv(&mut answer)).await {
        Ok(Ok(length)) => {
            answer.truncate(length);
            exchanged.received = answer;
        }
        // Port unreachable.
        Ok(Err(_)) => exchanged.closed = true,
        Err(_) => {}
    }
    Ok(exchanged)
}

/// Speaks TLS with everybody, and remembers what there is to be said against them.
struct TlsClient {
    connector: TlsConnector,
    verifier: Arc<Witness>,
}

impl TlsClient {
    fn negotiated(&self, stream: &TlsStream<TcpStream>) -> TlsPeer {
        let (_, connection) = stream.get_ref();
        let text = |value: Option<String>| value.unwrap_or_default();
        let trouble = self.verifier.trouble.lock();
        TlsPeer {
            version: text(
                connection
                    .protocol_version()
                    .map(|v| tls_names::version(v.into())),
            ),
            cipher: text(
                connection
                    .negotiated_cipher_suite()
                    .map(|suite| tls_names::cipher(suite.suite().into())),
            ),
            certificate: connection
                .peer_certificates()
                .and_then(<[_]>::first)
                .map(|certificate| certificate.to_vec())
                .unwrap_or_default(),
            trouble: trouble.unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn tls_client(peer: &Peer) -> Result<(TlsClient, ServerName<'static>), NetworkError> {
    let unusable = |error: &dyn std::fmt::Display| NetworkError::Client {
        reason: error.to_string(),
    };
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(peer.authority.clone()))
        .map_err(|error| unusable(&error))?;
    let strict = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .map_err(|error| unusable(&error))?;
    let verifier = Arc::new(Witness {
        strict,
        any_name: peer.name.is_none(),
        provider: Arc::clone(&provider),
        trouble: Mutex::default(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Witness>::clone(&verifier))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let name = match &peer.name {
        Some(name) => ServerName::try_from(name.clone()).map_err(|error| unusable(&error))?,
        None => ServerName::from(peer.address.ip()),
    };
    let connector = TlsConnector::from(Arc::new(config));
    Ok((
        TlsClient {
            connector,
            verifier,
        },
        name,
    ))
}

/// Verifies as a client should, but goes on whatever the result.
#[derive(Debug)]
struct Witness {
    strict: Arc<WebPkiServerVerifier>,
    any_name: bool,
    provider: Arc<CryptoProvider>,
    trouble: Mutex<Option<String>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.strict.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let trouble = match verified {
            Ok(_) => None,
            // The name is looked at last: all else is in order.
            Err(TlsError::InvalidCertificate(
                rustls::CertificateError::NotValidForName
                | rustls::CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => None,
            Err(error) => Some(error.to_string()),
        };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
