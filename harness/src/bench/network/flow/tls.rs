//! TLS as it looks from outside: hellos, certificates before TLS 1.3, alerts.

use sha2::{Digest as _, Sha256};
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_extensions,
    parse_tls_message_handshake, parse_tls_raw_record,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bench::tls_names;

use super::{Certificate, TlsSeen};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// More than a DUT needs to show.
const MOST_CERTIFICATES: usize = 10;
const MOST_CIPHERS: usize = 100;
const MOST_ALERTS: usize = 8;

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
                .take(MOST_CIPHERS)
                .map(|id| tls_names::cipher(id.0))
                .collect();
            let mut offered = vec![hello.version];
            for extension in &extensions {
                match extension {
                    TlsExtension::SNI(names) => {
                        seen.sni = names.first().map(|(_, name)| readable(name));
                    }
                    TlsExtension::SupportedVersions(versions) => offered.clone_from(versions),
                    _ => {}
                }
            }
            // GREASE (RFC 8701) is no version.
            offered.retain(|version| version.0 >> 8 == 3);
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
    text.chars()
        .take(256)
        .flat_map(char::escape_debug)
        .collect()
}
