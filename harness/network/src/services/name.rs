//! Names of services.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// Follows the name of a service where it is spoken to without TLS.
const PLAIN: &str = "-plain";

/// What `t.services` has beside services.
pub const SCRIPT_WORDS: [&str; 16] = [
    "answer",
    "ca",
    "cut",
    "device_certificate",
    "hang",
    "mark",
    "offer_lease",
    "offer_tls",
    "present",
    "publish",
    "set_time_offset",
    "since",
    "start",
    "stop",
    "wait",
    "withdraw",
];

/// The name of a service as scripts and records write it: `mqtt`; or of its ports without TLS: `mqtt-plain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of the same service without TLS.
    pub(crate) fn plain(&self) -> Self {
        format!("{}{PLAIN}", self.0).as_str().into()
    }

    /// The service that is meant by a name, and whether it is meant without TLS.
    pub(crate) fn split(word: &str) -> (&str, bool) {
        match word.strip_suffix(PLAIN) {
            Some(name) => (name, true),
            None => (word, false),
        }
    }

    /// Why a service can't have that name; none if it can. Scripts write `t.services.NAME`.
    pub fn objection(word: &str) -> Option<&'static str> {
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !word.starts_with(|c: char| c.is_ascii_lowercase()) || !word.chars().all(is_inner) {
            return Some("names are lower case letters, digits and _, and begin with a letter");
        }
        SCRIPT_WORDS
            .contains(&word)
            .then_some("that is a function of t.services in test cases")
    }
}

impl From<&str> for ServiceName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for ServiceName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for ServiceName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
