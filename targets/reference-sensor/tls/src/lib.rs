//! TLS 1.3 for the reference sensor: rustls, in as much as a device without std can run it, over any
//! [`embedded_io_async`] stream.
//!
//! One cipher suite (TLS_AES_128_GCM_SHA256), one curve (P-256): those that RFC 8446, section 9.1
//! obliges everyone to have, so that there is always one in common. Chain, name and time of the other
//! side are judged by rustls' own verifier (webpki).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cipher;
mod config;
mod provider;
mod signing;
mod stream;
mod verifier;

pub use config::{Client, Environment, Identity, Misfit, Server};
pub use stream::{Error, Stream};
pub use verifier::Purpose;

/// rustls, for its types.
pub use rustls;
