//! TLS_AES_128_GCM_SHA256, of RustCrypto's parts.

use alloc::boxed::Box;

use aes_gcm::{AeadInPlace, Aes128Gcm, KeyInit};
use hmac::Mac;
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
    crypto::{
        CipherSuiteCommon,
        cipher::{
            AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter,
            MessageEncrypter, Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
            Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
        },
        hash, hmac as rustls_hmac,
        tls13::HkdfUsingHmac,
    },
};
use sha2::{Digest, Sha256};

const TAG: usize = 16;
/// RFC 8446, section 5.5: 2^24.5 records of full size.
const CONFIDENTIALITY_LIMIT: u64 = 1 << 24;

pub(crate) static SUITE: SupportedCipherSuite =
    SupportedCipherSuite::Tls13(&numbered(CipherSuite::TLS13_AES_128_GCM_SHA256));

/// What [`Flaw::OffersUndeclaredSuite`](sensor::Flaw::OffersUndeclaredSuite) offers. It is a name without the means: few
/// servers have this one, and none prefers it.
pub(crate) static UNDECLARED: SupportedCipherSuite =
    SupportedCipherSuite::Tls13(&numbered(CipherSuite::TLS13_AES_128_CCM_SHA256));

const fn numbered(suite: CipherSuite) -> Tls13CipherSuite {
    Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite,
            hash_provider: &Hash,
            confidentiality_limit: CONFIDENTIALITY_LIMIT,
        },
        hkdf_provider: &HkdfUsingHmac(&Hmac),
        aead_alg: &Aead,
        quic: None,
    }
}

struct Hash;

impl hash::Hash for Hash {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(HashContext(Sha256::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&Sha256::digest(data))
    }

    fn output_len(&self) -> usize {
        32
    }

    fn algorithm(&self) -> hash::HashAlgorithm {
        hash::HashAlgorithm::SHA256
    }
}

struct HashContext(Sha256);

impl hash::Context for HashContext {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

struct Hmac;

impl rustls_hmac::Hmac for Hmac {
    fn with_key(&self, key: &[u8]) -> Box<dyn rustls_hmac::Key> {
        let key = <hmac::Hmac<Sha256> as Mac>::new_from_slice(key);
        Box::new(HmacKey(key.expect("HMAC takes keys of any length")))
    }

    fn hash_output_len(&self) -> usize {
        32
    }
}

struct HmacKey(hmac::Hmac<Sha256>);

impl rustls_hmac::Key for HmacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> rustls_hmac::Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        for part in middle {
            mac.update(part);
        }
        mac.update(last);
        rustls_hmac::Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        32
    }
}

struct Aead;

impl Aead {
    fn cipher(key: &AeadKey, iv: Iv) -> Box<Records> {
        // rustls makes keys of `key_len` bytes.
        let cipher = Aes128Gcm::new_from_slice(&key.as_ref()[..16]);
        Box::new(Records {
            cipher: cipher.expect("16 bytes"),
            iv,
        })
    }
}

impl Tls13AeadAlgorithm for Aead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Self::cipher(&key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Self::cipher(&key, iv)
    }

    fn key_len(&self) -> usize {
        16
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(ConnectionTrafficSecrets::Aes128Gcm { key, iv })
    }
}

/// One direction of a connection.
struct Records {
    cipher: Aes128Gcm,
    iv: Iv,
}

impl MessageEncrypter for Records {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let len = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(len);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let nonce = Nonce::new(&self.iv, sequence).0.into();
        let tag = self
            .cipher
            .encrypt_in_place_detached(&nonce, &make_tls13_aad(len), payload.as_mut())
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            // RFC 8446, section 5.2: the version that records pretend to have.
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let plain = payload.len().checked_sub(TAG).ok_or(Error::DecryptError)?;
        let nonce = Nonce::new(&self.iv, sequence).0.into();
        let (text, tag) = payload.split_at_mut(plain);
        self.cipher
            .decrypt_in_place_detached(&nonce, &aad, text, aes_gcm::Tag::from_slice(tag))
            .map_err(|_| Error::DecryptError)?;
        payload.truncate(plain);
        message.into_tls13_unpadded_message()
    }
}
