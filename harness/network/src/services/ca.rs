//! A certificate authority of its own for each run, and the certificates that servers and devices get from it: good
//! ones, and each way to be bad. ECDSA P-256 throughout; it is what small devices verify.

use std::sync::Arc;

use miette::Diagnostic;
use rand::Rng as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// How long certificates are valid before and after now, unless they are meant not to be.
const BEFORE: Duration = Duration::days(1);
const AFTER: Duration = Duration::days(365);
/// The CA outlives what it signs.
const CA_AFTER: Duration = Duration::days(3650);
/// How far expired and future certificates are from being valid.
const APART: Duration = Duration::days(30);
/// The name in a wrong-name certificate: RFC 2606 keeps it from being anybody's.
const WRONG_NAME: &str = "wrong-name.invalid";
/// Host of the list of revoked certificates. (Not of `.invalid`: resolvers need not ask for such names, RFC 6761.)
pub const CRL_NAME: &str = "crl.provebench.example";
/// Its path there.
pub(super) const CRL_PATH: &str = "/ca.crl";

/// What a server presents, in the words of scripts and records.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum CertificateKind {
    /// Right in all respects.
    Good,
    /// It ended 30 days ago.
    Expired,
    /// It begins in 30 days.
    NotYetValid,
    /// Right name, signed by its own key.
    SelfSigned,
    /// Signed by the run's CA, for another name.
    WrongName,
    /// Right name, signed by a CA of the same name and another key.
    UnknownCa,
    /// Right name, signed by the run's CA, and in the CA's revocation list, to which all certificates of servers point.
    Revoked,
    /// Right name, signed with a device's certificate, which the run's CA signed: that is no CA.
    SignedByDevice,
}

/// A certificate can't be made.
#[derive(Debug, Error, Diagnostic)]
#[error("no certificate can be made for `{name}`")]
#[diagnostic(help("names of servers must be valid DNS names in ASCII"))]
pub struct CaError {
    /// For whom.
    name: String,
    /// Why not.
    #[source]
    source: rcgen::Error,
}

/// The certificate authority of one run.
#[derive(Debug)]
pub struct TestCa {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// All revoked-looking certificates have this serial number: the list is known before they are made.
    revoked: SerialNumber,
    crl: Vec<u8>,
}

/// A certificate with its chain and private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl TestCa {
    /// Makes a CA with a new key.
    ///
    /// # Errors
    /// [`CaError`] if the system has no randomness.
    pub fn new() -> Result<Arc<Self>, CaError> {
        let name = "provebench test CA";
        let fail = fail(name);
        let key = new_key(name)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(new_serial());
        let now = OffsetDateTime::now_utc();
        params.not_before = now - APART;
        params.not_after = now + CA_AFTER;
        let certificate = params.self_signed(&key).map_err(&fail)?;
        let issuer = Issuer::new(params, key);
        let revoked = new_serial();
        let crl = revocation_list(&issuer, &revoked, now).map_err(&fail)?;
        Ok(Arc::new(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer,
            revoked,
            crl,
        }))
    }

    /// What a device must trust: X.509, DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The same as PEM, for other tools.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The list of revoked certificates, DER.
    pub fn crl_der(&self) -> &[u8] {
        &self.crl
    }

    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// A new key and certificate for a server of that name.
    ///
    /// # Errors
    /// [`CaError`] if it is not a DNS name.
    pub fn server(&self, kind: CertificateKind, name: &str) -> Result<Identity, CaError> {
        let fail = fail(name);
        let presented = match kind {
            CertificateKind::WrongName => WRONG_NAME,
            _ => name,
        };
        let mut params = CertificateParams::new([presented.to_owned()]).map_err(&fail)?;
        params.distinguished_name = subject(presented);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // All of them: only the list itself tells a revoked one from a good one.
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![format!("http://{CRL_NAME}{CRL_PATH}")],
        }];
        let now = end_entity(&mut params);
        match kind {
            CertificateKind::Expired => {
                params.not_before = now - 2 * APART;
                params.not_after = now - APART;
            }
            CertificateKind::NotYetValid => params.not_before = now + APART,
            CertificateKind::Revoked => params.serial_number = Some(self.revoked.clone()),
            _ => {}
        }
        let key = new_key(name)?;
        let mut chain = Vec::new();
        let certificate = match kind {
            CertificateKind::SelfSigned => params.self_signed(&key),
            CertificateKind::UnknownCa => params.signed_by(&key, &Self::new()?.issuer),
            CertificateKind::SignedByDevice => {
                let (device, params_of_device) = self.issue_to_device("device", &[])?;
                chain = device.chain;
                let issuer = Issuer::new(params_of_device, device.key);
                params.signed_by(&key, &issuer)
            }
            _ => params.signed_by(&key, &self.issuer),
        }
        .map_err(&fail)?;
        chain.insert(0, certificate.der().clone());
        Ok(Identity { chain, key })
    }

    /// A new key and certificate for a device: its identity as a client, and as a server of these DNS names.
    ///
    /// # Errors
    /// [`CaError`] if the name is longer than X.509 allows, or a host is no DNS name.
    pub fn device(&self, common_name: &str, hosts: &[String]) -> Result<Identity, CaError> {
        self.issue_to_device(common_name, hosts)
            .map(|(identity, _)| identity)
    }

    fn issue_to_device(
        &self,
        name: &str,
        hosts: &[String],
    ) -> Result<(Identity, CertificateParams), CaError> {
        let mut params = CertificateParams::new(hosts).map_err(fail(name))?;
        params.distinguished_name = subject(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        end_entity(&mut params);
        let key = new_key(name)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(fail(name))?;
        let identity = Identity {
            chain: vec![certificate.der().clone()],
            key,
        };
        Ok((identity, params))
    }
}

impl Identity {
    /// The chain without the root, the certificate itself first; DER.
    pub fn chain_der(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.chain.iter().map(AsRef::as_ref)
    }

    /// The private key as PKCS #8, DER.
    pub fn key_pkcs8_der(&self) -> &[u8] {
        self.key.serialized_der()
    }

    /// The private key as PKCS #8, PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The private key as the P-256 scalar, 32 bytes big-endian: the least that a small device needs.
    pub fn key_scalar(&self) -> Option<[u8; 32]> {
        // ECPrivateKey of RFC 5915, inside PKCS #8: version 1, then an OCTET STRING of 32 bytes.
        const BEFORE_KEY: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 32];
        let der = self.key_pkcs8_der();
        let at = der
            .windows(BEFORE_KEY.len())
            .position(|window| window == BEFORE_KEY)?
            + BEFORE_KEY.len();
        der.get(at..at + 32)?.try_into().ok()
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_pkcs8_der().to_vec()).into()
    }
}

fn revocation_list(
    issuer: &Issuer<'_, KeyPair>,
    revoked: &SerialNumber,
    now: OffsetDateTime,
) -> Result<Vec<u8>, rcgen::Error> {
    let params = CertificateRevocationListParams {
        this_update: now - BEFORE,
        next_update: now + AFTER,
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: revoked.clone(),
            revocation_time: now - BEFORE,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok(params.signed_by(issuer)?.der().to_vec())
}

/// What all certificates of servers and devices have in common. Gives the current time.
fn end_entity(params: &mut CertificateParams) -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(new_serial());
    params.not_before = now - BEFORE;
    params.not_after = now + AFTER;
    now
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn new_key(name: &str) -> Result<KeyPair, CaError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fail(name))
}

/// Positive, and not beginning with a zero: the same bytes in every encoding.
fn new_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn fail(name: &str) -> impl Fn(rcgen::Error) -> CaError + use<'_> {
    move |source| CaError {
        name: name.into(),
        source,
    }
}
