//! Files over HTTP (HTTP/1.1, RFC 9110), with ranges: what the update server and the revocation list have in common.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use http_range_header::parse_range_header;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT_RANGES, ALLOW, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderName, HeaderValue, IF_RANGE,
        RANGE, USER_AGENT,
    },
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    content::{Content, Flaw, Garbled},
    handler::{ConnectionHandler, Port, Serve},
    observation::{Excerpt, Observation, RequestSeen, clip},
    record::ServiceLog,
    tls::Tls,
};

/// How long a request's head may take: also how long a connection may be idle between requests.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a request's body may take.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// Largest head and body of a request.
const LARGEST_HEAD: usize = 16 * 1024;
const LARGEST_BODY: usize = 256 * 1024;
/// Headers of a request that are written down: hyper takes no more.
const MOST_HEADERS: usize = 100;

/// How a web server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteAnswer {
    /// As a well-behaved service does.
    Normal,
    /// This status, 100 to 999, for whatever is asked.
    Status(u16),
    /// Bytes that are no HTTP.
    Garbage,
    /// Normal, but the connection is cut when this many bytes of the content are sent.
    Truncated(u64),
    /// Normal, but the content comes at this pace.
    Slow {
        /// Bytes a second, at least 1.
        bytes_per_second: u32,
    },
    /// Normal, but a bit of this byte of each file (counted from its start) is wrong.
    Corrupt(u64),
}

/// What a web server has, and how it answers.
pub(super) struct Site {
    /// Of all its files.
    content_type: &'static str,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) files: BTreeMap<String, Bytes>,
    pub(super) answer: SiteAnswer,
}

/// One of its doors: with TLS or without.
struct Door {
    tls: Option<Arc<Tls>>,
    site: Arc<Site>,
}

impl ConnectionHandler for Door {
    fn handle(self: Arc<Self>, stream: TcpStream, log: ServiceLog) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            match &self.tls {
                None => self.site.serve(stream, &log).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream, &log).await {
                        self.site.serve(stream, &log).await;
                    }
                }
            }
        })
    }
}

impl Site {
    /// Without files, answering rightly.
    pub(super) fn new(content_type: &'static str) -> Self {
        Self {
            content_type,
            state: Mutex::new(State {
                files: BTreeMap::new(),
                answer: SiteAnswer::Normal,
            }),
        }
    }

    /// Doors at these addresses.
    pub(super) fn ports(
        self: &Arc<Self>,
        listen: &[SocketAddr],
        tls: Option<Arc<Tls>>,
    ) -> Vec<Port> {
        let site = self.clone();
        let door = Arc::new(Door { tls, site });
        let port = |address: &SocketAddr| Port {
            address: *address,
            interface: None,
            serve: Serve::Tcp(door.clone()),
        };
        listen.iter().map(port).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        log: &ServiceLog,
    ) {
        let is_garbled = Arc::new(AtomicBool::new(false));
        let stream = Garbled::new(stream, is_garbled.clone());
        let answer = service_fn(|request| self.respond(request, &is_garbled, log));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        if let Err(error) = connection.await
            && (error.is_parse() || error.is_timeout())
        {
            log.record(Observation::malformed(error.to_string(), &[]));
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        is_garbled: &AtomicBool,
        log: &ServiceLog,
    ) -> Result<Response<Content>, Infallible> {
        let (head, body) = request.into_parts();
        let body = match timeout(BODY_LIMIT, Limited::new(body, LARGEST_BODY).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        };
        let (body, response) = match body {
            Ok(body) => (body, self.answer(&head)),
            Err(status) => (Bytes::new(), plain(status)),
        };
        let is_garbage = self.lock().answer == SiteAnswer::Garbage;
        is_garbled.store(is_garbage, Ordering::Relaxed);
        log.record(Observation::Http(RequestSeen {
            method: clip(head.method.as_str()),
            path: clip(head.uri.to_string()),
            host: header(&head.headers, &HOST),
            user_agent: header(&head.headers, &USER_AGENT),
            range: header(&head.headers, &RANGE),
            headers: head
                .headers
                .iter()
                .take(MOST_HEADERS)
                .map(|(name, value)| (clip(name.as_str()), text(value)))
                .collect(),
            body: Excerpt::new(&body),
            status: if is_garbage {
                0
            } else {
                response.status().as_u16()
            },
            length: response.body().announced(),
        }));
        Ok(response)
    }

    fn answer(&self, head: &Parts) -> Response<Content> {
        let state = self.lock();
        if let SiteAnswer::Status(status) = state.answer {
            return plain(
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            );
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let Some(file) = state.files.get(head.uri.path()).cloned() else {
            return plain(StatusCode::NOT_FOUND);
        };
        let file = match state.answer {
            SiteAnswer::Corrupt(at) => corrupt(&file, at),
            _ => file,
        };
        let flaw = match state.answer {
            SiteAnswer::Truncated(after) => Flaw::CutAfter(after),
            SiteAnswer::Slow { bytes_per_second } => Flaw::Slow { bytes_per_second },
            _ => Flaw::None,
        };
        drop(state);
        let whole = file.len() as u64;
        let (status, window) = match wanted_range(head, whole) {
            Wanted::Whole => (StatusCode::OK, 0..file.len()),
            Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let range = match status {
            StatusCode::PARTIAL_CONTENT => {
                Some(format!("bytes {}-{}/{whole}", window.start, window.end - 1))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{whole}")),
            _ => None,
        };
        let mut response = Response::new(Content::new(file.slice(window), flaw));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(range) = range.and_then(|range| range.parse().ok()) {
            headers.insert(CONTENT_RANGE, range);
        }
        response
    }
}

enum Wanted {
    Whole,
    Part(Range<usize>),
    Unsatisfiable,
}

/// RFC 9110, 14.2: a range that makes no sense is ignored, one outside of the file is not. Several ranges at once may
/// be ignored, and are. We give no validators, so `If-Range` never matches (13.1.5): then the whole is sent.
fn wanted_range(head: &Parts, whole: u64) -> Wanted {
    let range = match head.headers.get(RANGE).map(HeaderValue::to_str) {
        Some(Ok(range)) if head.method == Method::GET && !head.headers.contains_key(IF_RANGE) => {
            range
        }
        _ => return Wanted::Whole,
    };
    let Ok(parsed) = parse_range_header(range) else {
        return Wanted::Whole;
    };
    match parsed.validate(whole).as_deref() {
        Ok([part]) => match (usize::try_from(*part.start()), usize::try_from(*part.end())) {
            (Ok(first), Ok(last)) => Wanted::Part(first..last + 1),
            _ => Wanted::Whole,
        },
        Ok(_) => Wanted::Whole,
        Err(_) => Wanted::Unsatisfiable,
    }
}

fn plain(status: StatusCode) -> Response<Content> {
    let reason = status.canonical_reason().unwrap_or("as configured");
    let mut response = Response::new(Content::new(reason.into(), Flaw::None));
    *response.status_mut() = status;
    response
}

fn corrupt(file: &Bytes, at: u64) -> Bytes {
    let mut bytes = file.to_vec();
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1;
    }
    bytes.into()
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(text)
}

fn text(value: &HeaderValue) -> String {
    clip(String::from_utf8_lossy(value.as_bytes()))
}
