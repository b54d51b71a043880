//! Signatures with the device's own key. ECDSA as in RFC 6979: no random numbers are needed.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use p256::ecdsa::{DerSignature, SigningKey, signature::Signer as _};
use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    sign::{self, Signer},
};

/// A P-256 key.
#[derive(Clone)]
pub(crate) struct Key(SigningKey);

impl Key {
    /// Takes the secret scalar; None if it is none.
    pub(crate) fn new(scalar: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(scalar).ok().map(Self)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&self.scheme())
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
