//! What the reference sensor does, apart from its hardware: who it is ([`personalisation`]), whom it
//! lets in ([`credential`], [`lockout`], [`session`]), what it keeps for its user ([`user_data`]).
//!
//! Flash comes as a trait, so all of it is tested on the development machine, power cuts included.
#![no_std]
#![forbid(unsafe_code)]

pub mod credential;
pub mod entropy;
pub mod flaw;
pub mod lockout;
pub mod memory;
pub mod personalisation;
pub mod session;
pub mod user_data;

pub use flaw::Flaw;
pub use personalisation::{Credentials, Personalisation};

/// Model designation, as on the label; also the product that images are signed for.
pub const MODEL: &str = "PB-RS1";
/// Last day on which there are security updates (EN 303 645, provision 5.3-13).
pub const SUPPORTED_UNTIL: &str = "2031-12-31";
/// Where to tell of vulnerabilities (provision 5.2-1).
pub const SECURITY_CONTACT: &str = "mailto:security@sensor.example";
