//! TLS as it looks from outside: hellos, certificates before TLS 1.3, alerts.

use sha2::{Digest as _, Sha256};
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_extensions,
    parse_tls_message_handshake, parse_tls_raw_record,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::tls_names;
use provebench_record::text::is_hostile;

use super::report::{Certificate, TlsSeen};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// More than a DUT needs to show.
const MOST_CERTIFICATES: usize = 10;
const MOST_CIPHERS: usize = 100;
const MOST_ALERTS: usize = 8;
/// What stands among the cipher suites and is none: "I know secure renegotiation" (RFC 5746), "I came down from a later
/// version" (RFC 7507).
const SIGNALS: [u16; 2] = [0x00ff, 0x5600];

/// Whether a stream that begins like this is TLS; `None` while it is too short to tell.
pub(in super::super) fn is_tls(start: &[u8]) -> Option<bool> {
    match start {
        [] | [HANDSHAKE] => None,
        [HANDSHAKE, 3, ..] => Some(true),
        _ => Some(false),
    }
}

/// Looks at the beginning of one direction of a connection. Returns whether there is nothing more to see in it.
pub(in super::super) fn look(start: &[u8], from_client: bool, seen: &mut TlsSeen) -> bool {
    let mut rest = start;
    let mut handshake = Vec::new();
    let mut alerts = Vec::new();
    let mut done = false;
    while let Ok((after, record)) = parse_tls_raw_record(rest) {
        rest = after;
        match record.hdr.record_type.0 {
            HANDSHAKE => handshake.extend_from_slice(record.data),
            ALERT if alerts.len() < MOST_ALERTS => {
                if let [_, description] = record.data {
                    alerts.push(tls_parser::TlsAlertDescription(*description).to_string());
                }
            }
            // Everything after that is encrypted (in TLS 1.3 it is for show, but all the same).
            CHANGE_CIPHER_SPEC | APPLICATION_DATA => {
                done = true;
                break;
            }
            _ => {}
        }
    }
    let mut rest = &handshake[..];
    // Only whole messages: the length is in the header.
    while let [_, a, b, c, ..] = rest {
        let length = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((message, after)) = rest.split_at_checked(length) else {
            break;
        };
        if let Ok((_, TlsMessage::Handshake(message))) = parse_tls_message_handshake(message) {
            note(&message, from_client, seen);
        }
        rest = after;
    }
    // A direction is looked at again whenever more of it has come.
    for alert in alerts {
        if !seen.alerts.contains(&alert) {
            seen.alerts.push(alert);
        }
    }
    done
}

fn note(message: &TlsMessageHandshake<'_>, from_client: bool, seen: &mut TlsSeen) {
    match message {
        TlsMessageHandshake::ClientHello(hello) if from_client => {
            let extensions = hello.ext.map(extensions).unwrap_or_default();
            seen.offered_ciphers = hello
                .ciphers
                .iter()
                .map(|id| id.0)
                .filter(|id| !is_grease(*id) && !SIGNALS.contains(id))
                .take(MOST_CIPHERS)
                .map(tls_names::cipher)
                .collect();
            let mut offered = vec![hello.version];
            for extension in &extensions {
                match extension {
                    TlsExtension::SNI(names) => {
                        seen.sni = names.first().map(|(_, name)| readable(name));
                    }
                    // The version of the hello itself is for show then: always 1.2 (RFC 8446, 4.1.2).
                    TlsExtension::SupportedVersions(versions) => offered.clone_from(versions),
                    _ => {}
                }
            }
            offered.retain(|version| !is_grease(version.0));
            seen.offered = offered
                .into_iter()
                .map(|version| tls_names::version(version.0))
                .collect();
        }
        TlsMessageHandshake::ServerHello(hello) if !from_client => {
            let mut version = hello.version;
            for extension in hello.ext.map(extensions).unwrap_or_default() {
                if let TlsExtension::SupportedVersions(chosen) = extension
                    && let [chosen] = chosen[..]
                {
                    version = chosen;
                }
            }
            seen.version = Some(tls_names::version(version.0));
            seen.cipher = Some(tls_names::cipher(hello.cipher.0));
        }
        TlsMessageHandshake::Certificate(chain) => {
            let chain = chain.cert_chain.iter().take(MOST_CERTIFICATES);
            let certificates = chain.map(|raw| certificate(raw.data)).collect();
            if from_client {
                seen.client_certificates = certificates;
            } else {
                seen.certificates = certificates;
            }
        }
        _ => {}
    }
}

/// Values that mean nothing, sent so that servers learn to ignore what they don't know (RFC 8701): 0x0A0A to 0xFAFA.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn extensions(bytes: &[u8]) -> Vec<TlsExtension<'_>> {
    parse_tls_extensions(bytes)
        .map(|(_, extensions)| extensions)
        .unwrap_or_default()
}

/// A certificate, as far as it can be read.
pub(in super::super) fn certificate(der: &[u8]) -> Certificate {
    let parsed = X509Certificate::from_der(der).ok();
    let parsed = parsed.as_ref().map(|(_, certificate)| certificate);
    Certificate {
        sha256: hex::encode(Sha256::digest(der)),
        subject: parsed.map(|it| it.subject().to_string()),
        issuer: parsed.map(|it| it.issuer().to_string()),
        not_after: parsed.map(|it| it.validity().not_after.to_string()),
    }
}

/// The DUT's bytes as text, within bounds.
pub(in super::super) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for c in text.chars().take(256) {
        if is_hostile(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello with these cipher suites and, unless they are none, these in `supported_versions`.
    fn client_hello(ciphers: &[u16], versions: &[u16]) -> Vec<u8> {
        let words = |words: &[u16]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend((2 * ciphers.len() as u16).to_be_bytes());
        body.extend(words(ciphers));
        body.extend([1, 0]);
        if !versions.is_empty() {
            let list = 2 * versions.len() as u8;
            body.extend([0, list + 5, 0, 0x2b, 0, list + 1, list]);
            body.extend(words(versions));
        }
        let length = body.len() as u8;
        let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &body[..]];
        record.concat()
    }

    fn offered(ciphers: &[u16], versions: &[u16]) -> TlsSeen {
        let mut seen = TlsSeen::default();
        look(&client_hello(ciphers, versions), true, &mut seen);
        seen
    }

    #[test]
    fn what_only_looks_like_an_offer_is_none() {
        let ciphers = [0x0a0a, 0x1301, 0xc02b, 0x00ff, 0x5600, 0xfafa];
        let seen = offered(&ciphers, &[0x3a3a, 0x0304]);
        assert_eq!(seen.offered, ["TLS 1.3"]);
        assert_eq!(
            seen.offered_ciphers,
            [
                "TLS_AES_128_GCM_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
            ]
        );
    }

    #[test]
    fn what_is_offered_is_shown_even_without_a_name() {
        let seen = offered(&[0x1301, 0x0a1a, 0x0a0b], &[0x0304, 0x0302, 0x7f1c]);
        assert_eq!(seen.offered, ["TLS 1.3", "TLS 1.1", "0x7f1c"]);
        assert_eq!(
            seen.offered_ciphers,
            ["TLS_AES_128_GCM_SHA256", "0x0a1a", "0x0a0b"]
        );
        assert_eq!(offered(&[0x1301], &[]).offered, ["TLS 1.2"]);
    }
}
