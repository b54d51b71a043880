//! Private keys in the bytes of a firmware image.
//!
//! Programs that read or write keys hold parts of them, too: the lines around PEM, the bytes that all keys of a kind begin
//! with. So a key is only what can be read as one from its beginning to its end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memmem;
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, Tag, oid};
use x509_parser::der_parser::num_bigint::BigUint;

/// A private key, or one that a password protects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// `RSA private key of 2048 bits in PEM`.
    pub(super) what: String,
    /// Where it begins.
    pub(super) offset: usize,
    /// Whether it takes a password to read it.
    pub(super) is_encrypted: bool,
}

/// Where the name of a PEM label begins, and how those of private keys end (RFC 7468, and what was before it).
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const LABEL: &[u8] = b"PRIVATE KEY-----";
/// `RSA `, `ENCRYPTED `, `OPENSSH `.
const LONGEST_KIND: usize = 16;
/// An RSA key of 16384 bits takes 13 KB as PEM. What is longer is no key, and would take long to reckon with.
const LONGEST: usize = 32 * 1024;
/// Shorter than any key.
const SHORTEST: usize = 32;
/// The format of OpenSSH's own key files; the name of the cipher follows.
const OPENSSH: &[u8] = b"openssh-key-v1\0\0\0\0";

/// No key has more parts than that of RSA.
const MOST_PARTS: usize = 9;

const RSA: Oid<'_> = oid!(1.2.840.113549.1.1.1);
const EC: Oid<'_> = oid!(1.2.840.10045.2.1);
/// Of RFC 8410, whose keys are bytes and nothing else.
const EDWARDS: [(Oid<'_>, &str, usize); 4] = [
    (oid!(1.3.101.110), "X25519", 32),
    (oid!(1.3.101.111), "X448", 56),
    (oid!(1.3.101.112), "Ed25519", 32),
    (oid!(1.3.101.113), "Ed448", 57),
];
/// What encrypts keys (PKCS #5, PKCS #12).
const ENCRYPTED: [Oid<'_>; 2] = [oid!(1.2.840.113549.1.5), oid!(1.2.840.113549.1.12.1)];
const CURVES: [(Oid<'_>, &str); 4] = [
    (oid!(1.2.840.10045.3.1.7), "P-256"),
    (oid!(1.3.132.0.34), "P-384"),
    (oid!(1.3.132.0.35), "P-521"),
    (oid!(1.3.132.0.10), "secp256k1"),
];

/// All private keys, as they come: PEM, and DER of PKCS #1 (RSA), SEC 1 (elliptic curves) and PKCS #8 (both, Ed25519 and
/// its kin; encrypted). Keys without such a form (the bare 32 bytes) can't be told from other bytes.
pub(super) fn find(bytes: &[u8]) -> Vec<Found> {
    let mut found = in_pem(bytes);
    let mut end = 0;
    for at in memchr::memchr_iter(0x30, bytes) {
        // A key within a key is the same key.
        if at >= end
            && let Some((what, length)) = in_der(&bytes[at..])
        {
            end = at + length;
            found.push(what.at(at, "DER"));
        }
    }
    found.sort_by_key(|key| key.offset);
    found
}

/// What a key is, wherever it is.
#[derive(Debug)]
struct Key {
    what: String,
    is_encrypted: bool,
}

impl Key {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            is_encrypted: false,
        }
    }

    fn encrypted() -> Self {
        Self {
            what: "encrypted private key".into(),
            is_encrypted: true,
        }
    }

    fn at(self, offset: usize, form: &str) -> Found {
        Found {
            what: format!("{} in {form}", self.what),
            offset,
            is_encrypted: self.is_encrypted,
        }
    }
}

fn in_pem(bytes: &[u8]) -> Vec<Found> {
    memmem::find_iter(bytes, BEGIN)
        .filter_map(|at| {
            let rest = &bytes[at..];
            let head = &rest[..rest.len().min(BEGIN.len() + LONGEST_KIND + LABEL.len())];
            let label = memmem::find(head, LABEL)?;
            let is_encrypted = head[..label].ends_with(b"ENCRYPTED ");
            let rest = &rest[label + LABEL.len()..];
            let rest = &rest[..rest.len().min(LONGEST)];
            let text = std::str::from_utf8(&rest[..memmem::find(rest, END)?]).ok()?;
            Some(pem_body(text, is_encrypted)?.at(at, "PEM"))
        })
        .collect()
}

/// What is between the lines. Lines may end in an escaped newline: text within JSON.
fn pem_body(text: &str, mut is_encrypted: bool) -> Option<Key> {
    let mut base64 = String::new();
    for line in text.replace("\\r", "\n").replace("\\n", "\n").lines() {
        // Headers of older PEM (RFC 1421).
        if line.contains(':') {
            is_encrypted |= line.contains("ENCRYPTED");
        } else {
            base64.push_str(line.trim());
        }
    }
    let body = BASE64.decode(base64).ok()?;
    if body.len() < SHORTEST {
        return None;
    }
    if let Some(cipher) = body.strip_prefix(OPENSSH) {
        return Some(if cipher.starts_with(b"\x04none") {
            Key::new("OpenSSH private key")
        } else {
            Key::encrypted()
        });
    }
    if is_encrypted {
        return Some(Key::encrypted());
    }
    match in_der(&body) {
        Some((key, length)) if length == body.len() => Some(key),
        // Of another kind: the label vouches for what it is.
        _ => {
            let (after, _) = sequence(&body)?;
            after.is_empty().then(|| Key::new("private key"))
        }
    }
}

/// The key that the bytes begin with, and how many of them it takes.
fn in_der(bytes: &[u8]) -> Option<(Key, usize)> {
    let (rest, content) = sequence(bytes)?;
    let key = match content {
        // The number of the version comes first, or how it is encrypted.
        [2, 1, 0 | 1, ..] => {
            let parts = parts(content)?;
            pkcs1(&parts)
                .or_else(|| sec1(&parts, None))
                .or_else(|| pkcs8(&parts))?
        }
        [0x30, ..] => encrypted(&parts(content)?)?,
        _ => return None,
    };
    Some((key, bytes.len() - rest.len()))
}

/// The content of the SEQUENCE at the beginning, and what is after it.
fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    (is_universal(&any, Tag::Sequence) && any.header.is_constructed() && any.data.len() <= LONGEST)
        .then_some((rest, any.data))
}

/// All that is in a SEQUENCE, if that is the whole of its content.
fn parts(mut content: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut parts = Vec::new();
    while !content.is_empty() {
        if parts.len() == MOST_PARTS {
            return None;
        }
        let (rest, part) = Any::from_der(content).ok()?;
        parts.push(part);
        content = rest;
    }
    Some(parts)
}

/// RSAPrivateKey of RFC 8017, whose numbers belong together.
fn pkcs1(parts: &[Any<'_>]) -> Option<Key> {
    let numbers: Option<Vec<BigUint>> = parts.iter().map(number).collect();
    let [version, modulus, public, private, factor, other, ..] = &numbers?[..] else {
        return None;
    };
    let one = BigUint::from(1_u8);
    let is_inverse = |factor: &BigUint| (public * private) % (factor - &one) == one;
    let is_key = parts.len() == 9
        && *version == BigUint::ZERO
        && modulus.bits() >= 512
        && factor * other == *modulus
        && *factor > one
        && *other > one
        && is_inverse(factor)
        && is_inverse(other);
    is_key.then(|| Key::new(format!("RSA private key of {} bits", modulus.bits())))
}

/// ECPrivateKey of RFC 5915. By itself it must name its curve or show its public key, within PKCS #8 the curve is given.
fn sec1(parts: &[Any<'_>], curve: Option<&Oid<'_>>) -> Option<Key> {
    let [version, scalar, more @ ..] = parts else {
        return None;
    };
    let length = scalar.data.len();
    if number(version)? != BigUint::from(1_u8)
        || !is_universal(scalar, Tag::OctetString)
        || !(20..=72).contains(&length)
        || !is_random(scalar.data)
    {
        return None;
    }
    let mut curve = curve.cloned();
    let mut is_proven = curve.is_some();
    for part in more {
        if !part.header.is_contextspecific() {
            return None;
        }
        let (rest, inner) = Any::from_der(part.data).ok()?;
        match part.tag().0 {
            0 if inner.tag() == Tag::Oid => curve = Some(inner.oid().ok()?),
            // Parameters of a curve that has no name.
            0 if inner.tag() == Tag::Sequence => {}
            1 if inner.tag() == Tag::BitString && is_point(inner.data) => {}
            _ => return None,
        }
        if !rest.is_empty() {
            return None;
        }
        is_proven = true;
    }
    is_proven.then(|| {
        let name = CURVES
            .iter()
            .find(|(oid, _)| Some(oid) == curve.as_ref())
            .map_or_else(
                || format!("elliptic-curve private key of {} bits", 8 * length),
                |(_, name)| format!("{name} private key"),
            );
        Key::new(name)
    })
}

/// PrivateKeyInfo of RFC 5958.
fn pkcs8(parts: &[Any<'_>]) -> Option<Key> {
    let [_, algorithm, key, ..] = parts else {
        return None;
    };
    if !is_universal(algorithm, Tag::Sequence) || !is_universal(key, Tag::OctetString) {
        return None;
    }
    let (parameters, algorithm) = Oid::from_der(algorithm.data).ok()?;
    if algorithm == RSA {
        return pkcs1(&self::parts(sequence(key.data)?.1)?);
    }
    if algorithm == EC {
        // Parameters that are not the name of a curve say less, but they say that it is one.
        let curve = Oid::from_der(parameters).map_or(EC, |(_, curve)| curve);
        return sec1(&self::parts(sequence(key.data)?.1)?, Some(&curve));
    }
    let (_, name, length) = EDWARDS.into_iter().find(|(oid, ..)| *oid == algorithm)?;
    let (rest, key) = Any::from_der(key.data).ok()?;
    (is_universal(&key, Tag::OctetString)
        && rest.is_empty()
        && key.data.len() == length
        && is_random(key.data))
    .then(|| Key::new(format!("{name} private key")))
}

/// EncryptedPrivateKeyInfo of RFC 5958.
fn encrypted(parts: &[Any<'_>]) -> Option<Key> {
    let [algorithm, content] = parts else {
        return None;
    };
    let (_, algorithm) = Oid::from_der(algorithm.data).ok()?;
    (ENCRYPTED.iter().any(|known| algorithm.starts_with(known))
        && is_universal(content, Tag::OctetString)
        && content.data.len() >= SHORTEST
        && is_random(content.data))
    .then(Key::encrypted)
}

fn is_universal(part: &Any<'_>, tag: Tag) -> bool {
    part.header.is_universal() && part.tag() == tag
}

/// An INTEGER that is not negative.
fn number(part: &Any<'_>) -> Option<BigUint> {
    let is_number = is_universal(part, Tag::Integer) && part.data.first()? & 0x80 == 0;
    is_number.then(|| BigUint::from_bytes_be(part.data))
}

/// A point of a curve (SEC 1, 2.3.3) as a BIT STRING has it: none of its bits unused.
fn is_point(content: &[u8]) -> bool {
    match content {
        [0, 4, point @ ..] => point.len() % 2 == 0 && is_random(point),
        [0, 2 | 3, point @ ..] => is_random(point),
        _ => false,
    }
}

/// Whether the end of a secret (numbers may begin with zeros) is what chance gives: neither fill, nor text, nor code, nor
/// the number of a key that is elsewhere. Of 5000 keys one is missed.
fn is_random(secret: &[u8]) -> bool {
    let end = &secret[secret.len() - secret.len().min(32)..];
    let mut values: [bool; 256] = [false; 256];
    for byte in end {
        values[usize::from(*byte)] = true;
    }
    let different = values.iter().filter(|value| **value).count();
    // Of 32 random bytes, 30 are different on average.
    different * 32 >= end.len() * 25 && !end.is_ascii()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// What that program makes of some bytes.
    fn openssl(words: &str, input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "openssl {words}");
        output.stdout
    }

    fn noise(length: usize) -> Vec<u8> {
        (0..length).map(|_| rand::random()).collect()
    }

    const RSA: &str = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    const P256: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    const P384: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384";
    const P521: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521";
    const SECP256K1: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1";
    const BRAINPOOL: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP320r1";
    const EXPLICIT: &str =
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit";
    const ED25519: &str = "genpkey -algorithm ED25519";
    const PKCS8: &str = "pkcs8 -topk8 -nocrypt";
    const AES: &str = "pkcs8 -topk8 -passout pass:secret -v2 aes256";

    #[rstest]
    #[case::rsa_pkcs8(RSA, PKCS8, "RSA private key of 2048 bits")]
    #[case::rsa_pkcs1(RSA, "rsa -traditional", "RSA private key of 2048 bits")]
    #[case::p256_pkcs8(P256, PKCS8, "P-256 private key")]
    #[case::p256_sec1(P256, "ec", "P-256 private key")]
    #[case::p256_without_public_key(P256, "ec -no_public", "P-256 private key")]
    #[case::p384_pkcs8(P384, PKCS8, "P-384 private key")]
    #[case::p384_sec1(P384, "ec", "P-384 private key")]
    #[case::p384_compressed(P384, "ec -conv_form compressed", "P-384 private key")]
    #[case::p521_sec1(P521, "ec", "P-521 private key")]
    #[case::secp256k1_sec1(SECP256K1, "ec", "secp256k1 private key")]
    #[case::other_curve(BRAINPOOL, "ec", "elliptic-curve private key of 320 bits")]
    #[case::explicit_pkcs8(EXPLICIT, PKCS8, "elliptic-curve private key of 256 bits")]
    #[case::explicit_sec1(EXPLICIT, "ec", "elliptic-curve private key of 256 bits")]
    #[case::ed25519(ED25519, PKCS8, "Ed25519 private key")]
    #[case::ed448("genpkey -algorithm ED448", PKCS8, "Ed448 private key")]
    #[case::x25519("genpkey -algorithm X25519", PKCS8, "X25519 private key")]
    #[case::rsa_encrypted(RSA, AES, "encrypted private key")]
    #[case::ed25519_encrypted(ED25519, AES, "encrypted private key")]
    fn keys_are_found_where_they_are(
        #[case] kind: &str,
        #[case] form: &str,
        #[case] what: &str,
        #[values("DER", "PEM")] encoding: &str,
    ) {
        // Whatever chance makes, a key in 5000 looks like none.
        let key = (0..3)
            .map(|_| openssl(&format!("{form} -outform {encoding}"), &openssl(kind, b"")))
            .find(|key| !find(key).is_empty())
            .expect("one of three keys is found");
        let image = [noise(5000), key.clone(), noise(5000)].concat();
        let expected = Found {
            what: format!("{what} in {encoding}"),
            offset: 5000,
            is_encrypted: form == AES,
        };
        assert_eq!(find(&image), [expected]);
        // Not all of it is none of it.
        for part in [&key[..key.len() - 30], &key[..16]] {
            assert_eq!(find(part), []);
        }
    }

    #[rstest]
    #[case::headers_say_that_it_is_encrypted(
        openssl("rsa -traditional -aes128 -passout pass:secret", &openssl(RSA, b"")),
        "encrypted private key in PEM"
    )]
    #[case::of_another_kind(
        b"-----BEGIN DSA PRIVATE KEY-----\nMCQCAQACAQUCAQUCAQUCAQUCAQUEEAABAgMEBQYHCAkKCwwNDg8=\n-----END DSA PRIVATE KEY-----".to_vec(),
        "private key in PEM"
    )]
    #[case::of_openssh(
        pem("OPENSSH ", b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0"),
        "OpenSSH private key in PEM"
    )]
    #[case::of_openssh_encrypted(
        pem("OPENSSH ", b"openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\x06bcrypt\0"),
        "encrypted private key in PEM"
    )]
    #[case::in_json(
        String::from_utf8(openssl(RSA, b"")).expect("text").replace('\n', "\\n").into_bytes(),
        "RSA private key of 2048 bits in PEM"
    )]
    fn other_forms_of_pem(#[case] image: Vec<u8>, #[case] what: &str) {
        let found = find(&image);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].what, what);
        assert_eq!(found[0].is_encrypted, what.starts_with("encrypted"));
    }

    fn pem(kind: &str, body: &[u8]) -> Vec<u8> {
        let body = BASE64.encode(body);
        format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n")
            .into()
    }

    /// What programs that read and write keys have in them, and public halves.
    #[rstest]
    #[case::labels(b"-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0".to_vec())]
    #[case::a_label_with_lines(b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n".to_vec())]
    #[case::an_example(b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq...\n-----END PRIVATE KEY-----\n".to_vec())]
    #[case::a_certificate(openssl(
        "req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN=a",
        b""
    ))]
    #[case::a_certificate_in_der(openssl(
        "req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN=a -outform DER",
        b""
    ))]
    #[case::a_public_key(openssl("pkey -pubout -outform DER", &openssl(P256, b"")))]
    #[case::beginning_before_text([&hex::decode("302e020100300506032b657004220420").expect("hex")[..], b"error: no memory; error: bad key\0"].concat())]
    #[case::beginning_before_fill([&hex::decode("302e020100300506032b657004220420").expect("hex")[..], &[0xff; 64]].concat())]
    #[case::a_key_that_is_elsewhere([
        &hex::decode("30310201010420").expect("hex")[..],
        &hex::decode("10000000000000000000000000000000000000000000000020000001a5a6b5b6").expect("hex"),
        &hex::decode("a00a06082a8648ce3d030107").expect("hex"),
    ].concat())]
    #[case::what_ring_puts_a_key_into([
        &hex::decode("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420a144034200").expect("hex")[..],
        &noise(200),
    ].concat())]
    fn what_is_no_key(#[case] image: Vec<u8>) {
        assert_eq!(find(&image), []);
    }

    #[test]
    fn numbers_that_do_not_belong_together_are_no_rsa_key() {
        let mut key = openssl("rsa -traditional -outform DER", &openssl(RSA, b""));
        let middle = key.len() / 2;
        key[middle] ^= 1;
        assert_eq!(find(&key), []);
        // Factors that are none: 1 and n.
        let n = [&[0x02, 0x41, 0x00, 0x80][..], &[1; 63]].concat();
        let small = [0x02, 0x01, 0x01];
        let fields = [
            &[0x02, 0x01, 0x00][..],
            &n,
            &small,
            &small,
            &small,
            &n,
            &small,
            &small,
            &small,
        ];
        let fields = fields.concat();
        let image = [&[0x30, 0x81, fields.len() as u8][..], &fields].concat();
        assert_eq!(find(&image), []);
    }

    #[test]
    fn random_bytes_are_no_keys_whatever_they_begin_with() {
        let beginnings = [
            "",
            "302e0201003005",
            "3077020101",
            "308187020100301306072a8648ce3d020106082a8648ce3d030107",
            "308204a40201000282010100",
            "308204bd020100300d06092a864886f70d0101010500048204a7308204a30201000282010100",
        ];
        for beginning in beginnings {
            let beginning = hex::decode(beginning).expect("hex");
            for _ in 0..100 {
                assert_eq!(find(&[&beginning[..], &noise(8192)].concat()), []);
            }
        }
    }

    proptest! {
        #[test]
        fn no_change_to_a_key_makes_it_panic(
            changes in any::<Vec<(prop::sample::Index, u8)>>(),
            more in any::<Vec<u8>>(),
        ) {
            let identity = provebench_network::services::TestCa::new().unwrap().device("a", &[]).unwrap();
            let mut key = [identity.key_pkcs8_der(), identity.key_pem().as_bytes(), &more].concat();
            for (place, value) in changes {
                let place = place.index(key.len());
                key[place] = value;
            }
            find(&key);
        }
    }
}
