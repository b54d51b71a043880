//! Names of TLS versions and cipher suites: the same wherever they are seen, declared or compared.

/// `TLS 1.3`, ...; the number where it has none.
pub(super) fn version(number: u16) -> String {
    match number {
        0x0300 => "SSL 3.0".into(),
        0x0301 => "TLS 1.0".into(),
        0x0302 => "TLS 1.1".into(),
        0x0303 => "TLS 1.2".into(),
        0x0304 => "TLS 1.3".into(),
        other => format!("{other:#06x}"),
    }
}

/// IANA's name of a cipher suite; the number where it has none.
pub(super) fn cipher(number: u16) -> String {
    tls_parser::TlsCipherSuiteID(number)
        .get_ciphersuite()
        .map_or_else(|| format!("{number:#06x}"), |suite| suite.name.into())
}
