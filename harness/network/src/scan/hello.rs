//! TLS ClientHellos that offer one version only, to find out which ones a server takes. Client libraries of today no
//! longer speak the old ones.

/// Versions, newest first.
pub(super) const VERSIONS: [u16; 5] = [0x0304, 0x0303, 0x0302, 0x0301, 0x0300];
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

const CIPHERS_1_3: [u16; 5] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305];
/// From strong to broken: what the server takes is what matters.
const CIPHERS_OLD: [u16; 40] = [
    0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca9, 0xcca8, 0xccaa, 0x009e, 0x009f, 0xc0ac, 0xc0ad, 0xc0ae,
    0xc023, 0xc024, 0xc027, 0xc028, 0xc009, 0xc00a, 0xc013, 0xc014, 0x0067, 0x006b, 0x0033, 0x0039,
    0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035, 0x000a, 0xc012, 0xc008, 0x0016, 0x0005, 0x0004,
    0x0009, 0x0003, 0x0002, 0x0001,
];
/// x25519, P-256, P-384, P-521.
const GROUPS: [u16; 4] = [0x001d, 0x0017, 0x0018, 0x0019];
/// ECDSA, RSA-PSS, RSA, Ed25519; SHA-1 last.
const SIGNATURES: [u16; 12] = [
    0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0807, 0x0203, 0x0201,
];

/// A record with a ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2) for this version.
pub(super) fn client_hello(version: u16) -> Vec<u8> {
    let mut body = version.min(TLS_1_2).to_be_bytes().to_vec();
    body.extend(rand::random::<[u8; 32]>());
    body.push(32);
    body.extend(rand::random::<[u8; 32]>());
    let ciphers: &[u16] = match version {
        TLS_1_3 => &CIPHERS_1_3,
        _ => &CIPHERS_OLD,
    };
    body.extend(sized16(&words(ciphers)));
    // No compression.
    body.extend([1, 0]);
    // SSL 3.0 has none.
    if version > 0x0300 {
        body.extend(sized16(&extensions(version)));
    }
    let mut handshake = vec![1, 0];
    handshake.extend(sized16(&body));
    let mut record = vec![22];
    // Versions before 1.0 know no later record; all others are fine with that.
    record.extend(version.min(0x0301).to_be_bytes());
    record.extend(sized16(&handshake));
    record
}

fn extensions(version: u16) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |kind: u16, data: &[u8]| {
        all.extend(kind.to_be_bytes());
        all.extend(sized16(data));
    };
    add(0x000a, &sized16(&words(&GROUPS)));
    // Points are not compressed.
    add(0x000b, &[1, 0]);
    if version >= TLS_1_2 {
        add(0x000d, &sized16(&words(&SIGNATURES)));
    }
    if version == TLS_1_3 {
        add(0x002b, &[2, 3, 4]);
        // Any 32 bytes are a public key of x25519. Servers of other groups ask again, which says enough.
        let mut share = GROUPS[0].to_be_bytes().to_vec();
        share.extend(sized16(&rand::random::<[u8; 32]>()));
        add(0x0033, &sized16(&share));
    }
    all
}

fn words(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn sized16(data: &[u8]) -> Vec<u8> {
    let mut all = (data.len() as u16).to_be_bytes().to_vec();
    all.extend_from_slice(data);
    all
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::flow::{TlsSeen, tls};

    #[rstest]
    fn each_offers_its_version_only(
        #[values((0x0304, "TLS 1.3"), (0x0303, "TLS 1.2"), (0x0302, "TLS 1.1"), (0x0301, "TLS 1.0"), (0x0300, "SSL 3.0"))]
        (version, name): (u16, &str),
    ) {
        let mut seen = TlsSeen::default();
        tls::look(&client_hello(version), true, &mut seen);
        assert_eq!(seen.offered, [name]);
        assert!(
            seen.offered_ciphers
                .iter()
                .any(|cipher| cipher.contains("AES"))
        );
    }
}
