//! What answers at an open TCP port: a banner, TLS, HTTP.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    hello,
    report::{OpenPort, TlsService},
};
use crate::flow::{TlsSeen, readable, tls};

/// Who greets does so soon.
const BANNER_LIMIT: Duration = Duration::from_millis(500);
/// Small devices take their time for a handshake.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Between tries to connect.
const RETRY: Duration = Duration::from_millis(50);
/// A certificate chain fits in.
const LONGEST_ANSWER: usize = 64 * 1024;
const SHOWN: usize = 128;

/// That so many are open is finding enough: what the others are is not asked, which takes seconds for each that is silent.
const MOST: usize = 32;

/// One after the other: small devices take one connection at a time.
pub(super) async fn all(dut: SocketAddr, ports: Vec<u16>) -> Vec<OpenPort> {
    let mut all = Vec::new();
    for port in ports {
        all.push(if all.len() < MOST {
            let mut address = dut;
            address.set_port(port);
            identify(address).await
        } else {
            OpenPort::bare(port)
        });
    }
    all
}

async fn identify(address: SocketAddr) -> OpenPort {
    let mut found = OpenPort::bare(address.port());
    if let Some(greeting) = exchange(address, &[], BANNER_LIMIT, |_| true).await
        && !greeting.is_empty()
    {
        found.banner = Some(shown(&greeting));
        return found;
    }
    found.tls = tls_service(address).await;
    if found.tls.is_none() {
        let request = format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", address.ip());
        let answer = exchange(address, request.as_bytes(), ANSWER_LIMIT, |_| true).await;
        found.banner = answer
            .filter(|text| !text.is_empty())
            .map(|text| shown(&text));
    }
    found
}

async fn tls_service(address: SocketAddr) -> Option<TlsService> {
    let mut service = TlsService::default();
    for version in hello::VERSIONS {
        let hello = hello::client_hello(version);
        let enough = |answer: &[u8]| is_answered(answer);
        let Some(answer) = exchange(address, &hello, ANSWER_LIMIT, enough).await else {
            break;
        };
        if tls_start(&answer) != Some(true) {
            // What is no TLS with the first is none with the others.
            break;
        }
        let mut seen = TlsSeen::default();
        tls::look(&answer, false, &mut seen);
        if let (Some(chosen), Some(cipher)) = (seen.version, seen.cipher) {
            // A server may choose an older version than the one offered.
            let chosen = (chosen, cipher);
            if !service.versions.contains(&chosen) {
                service.versions.push(chosen);
            }
        }
        if service.certificates.is_empty() {
            service.certificates = seen.certificates;
        }
    }
    (!service.versions.is_empty()).then_some(service)
}

/// A handshake or an alert.
fn tls_start(answer: &[u8]) -> Option<bool> {
    match answer {
        [21, 3, ..] => Some(true),
        _ => tls::is_tls(answer),
    }
}

/// Whether the server has said all that it says before the client's turn.
fn is_answered(answer: &[u8]) -> bool {
    let mut seen = TlsSeen::default();
    if tls_start(answer) != Some(true) {
        return answer.len() > 1;
    }
    let encrypted = tls::look(answer, false, &mut seen);
    encrypted || !seen.alerts.is_empty() || !seen.certificates.is_empty()
}

/// Sends and reads until it is `enough`, the server closes, or `limit` has passed. `None` when there is no connection.
async fn exchange(
    address: SocketAddr,
    request: &[u8],
    limit: Duration,
    enough: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut stream = timeout(CONNECT_LIMIT, connect(address)).await.ok()??;
    let deadline = Instant::now() + limit;
    let mut answer = Vec::new();
    // A server that closes meanwhile may have said something before.
    let _ = timeout_at(deadline, stream.write_all(request)).await;
    let mut chunk = [0; 4096];
    while answer.len() < LONGEST_ANSWER
        && let Ok(Ok(length @ 1..)) = timeout_at(deadline, stream.read(&mut chunk)).await
    {
        answer.extend_from_slice(&chunk[..length]);
        if enough(&answer) {
            break;
        }
    }
    Some(answer)
}

/// The port is open, and was spoken to just now: a small device that refuses is not done with that yet.
async fn connect(address: SocketAddr) -> Option<TcpStream> {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return Some(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => sleep(RETRY).await,
            Err(_) => return None,
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(SHOWN)];
    match after_negotiation(bytes) {
        Some(text) => format!("telnet {}", readable(text.trim_ascii()))
            .trim_end()
            .to_owned(),
        None => readable(bytes),
    }
}

/// What a server of telnet says beside what it negotiates (RFC 854); `None` if it does not negotiate.
fn after_negotiation(bytes: &[u8]) -> Option<Vec<u8>> {
    const SE: u8 = 240;
    const SB: u8 = 250;
    const WILL_TO_DONT: std::ops::RangeInclusive<u8> = 251..=254;
    const IAC: u8 = 255;
    if !matches!(bytes, [IAC, SB..=254, ..]) {
        return None;
    }
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] | [IAC] => return Some(text),
            [IAC, SB, more @ ..] => {
                let end = more.windows(2).position(|pair| pair == [IAC, SE]);
                end.map_or(&[][..], |end| &more[end + 2..])
            }
            [IAC, command, more @ ..] if WILL_TO_DONT.contains(command) => {
                more.get(1..).unwrap_or_default()
            }
            [IAC, _, more @ ..] => more,
            [byte, more @ ..] => {
                text.push(*byte);
                more
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        b"\xff\xfd\x18\xff\xfb\x01\xff\xfa\x18\x01\xff\xf0\r\nlogin: ",
        "telnet login:"
    )]
    #[case(b"\xff\xfd\x25\xff\xfb\x26\xff", "telnet")]
    #[case(b"SSH-2.0-x\r\n", r"SSH-2.0-x\r\n")]
    fn negotiation_is_not_shown_as_text(#[case] greeting: &[u8], #[case] expected: &str) {
        assert_eq!(shown(greeting), expected);
    }
}
