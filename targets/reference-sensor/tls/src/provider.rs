//! The cryptography that rustls is to use: RustCrypto's P-256, and the caller's random numbers.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};

use p256::{
    NonZeroScalar, PublicKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier},
    elliptic_curve::{ecdh, sec1::ToEncodedPoint},
};
use rustls::{
    Error, NamedGroup, PeerMisbehaved, SignatureScheme,
    crypto::{
        ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom,
        SharedSecret, SupportedKxGroup, WebPkiSupportedAlgorithms,
    },
    pki_types::{
        AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm,
        alg_id,
    },
    sign::SigningKey,
};

use sensor::Flaw;

use crate::{
    Environment,
    cipher::{SUITE, UNDECLARED},
};

pub(crate) const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&EcdsaP256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[&EcdsaP256])],
};

/// The provider that takes its random numbers from `environment`.
pub(crate) fn provider(environment: &'static Environment) -> Arc<CryptoProvider> {
    let mut cipher_suites = vec![SUITE];
    if Flaw::OffersUndeclaredSuite.in_force() {
        cipher_suites.push(UNDECLARED);
    }
    Arc::new(CryptoProvider {
        cipher_suites,
        kx_groups: vec![environment],
        signature_verification_algorithms: ALGORITHMS,
        secure_random: environment,
        key_provider: &NoKeyFiles,
    })
}

impl SecureRandom for Environment {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        (self.random)(bytes);
        Ok(())
    }
}

impl SupportedKxGroup for Environment {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = loop {
            let mut bytes = [0; 32];
            (self.random)(&mut bytes);
            // All but one of 2^32 numbers are below the order of the curve.
            if let Some(secret) = NonZeroScalar::from_repr(bytes.into()).into_option() {
                break secret;
            }
        };
        let public = PublicKey::from_secret_scalar(&secret);
        let public = public.to_encoded_point(false).as_bytes().to_vec();
        Ok(Box::new(KeyExchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct KeyExchange {
    secret: NonZeroScalar,
    public: Vec<u8>,
}

impl ActiveKeyExchange for KeyExchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = ecdh::diffie_hellman(self.secret, peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

#[derive(Debug)]
struct EcdsaP256;

impl SignatureVerificationAlgorithm for EcdsaP256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// The device's key comes from its personalisation, never through this.
#[derive(Debug)]
struct NoKeyFiles;

impl KeyProvider for NoKeyFiles {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("keys are not read from files".into()))
    }
}
