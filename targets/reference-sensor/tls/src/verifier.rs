//! Whom the device believes: rustls' verifier, and the flaws that bend it.

use alloc::{sync::Arc, vec::Vec};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sensor::Flaw;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Telemetry to the broker.
    Broker,
    /// Updates.
    Update,
}

impl Purpose {
    fn trusts_everyone(self) -> bool {
        Flaw::TlsNoVerify.in_force() || self == Self::Update && Flaw::UpdateNoTlsCheck.in_force()
    }
}

/// Judges servers.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) purpose: Purpose,
    pub(crate) inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judge = |now| {
            self.inner.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )
        };
        match judge(now) {
            Err(_) if self.purpose.trusts_everyone() => Ok(ServerCertVerified::assertion()),
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) if Flaw::TlsAcceptsExpired.in_force() => judge(not_after),
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }))
                if Flaw::TlsWrongName.in_force() =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
