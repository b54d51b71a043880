//! Which cryptography is best practice: verdicts on algorithms, sizes, protocol versions and cipher suites, with
//! sources.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::compiled::compiled_in;

/// What catalogues of cryptography say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cryptography {
    /// The day as of which it holds.
    pub version: String,
    /// What is still to be done to it.
    pub state: String,
    /// The catalogues, by short name.
    pub source: BTreeMap<String, Catalogue>,
    /// Cipher suites of TLS.
    pub suite: Vec<Suite>,
    /// All else.
    pub entry: Vec<Entry>,
}

/// A catalogue of cryptography, or another source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Its title.
    pub title: String,
    /// Where it was read.
    #[serde(rename = "where")]
    pub place: String,
    /// Whether it was read.
    pub read: bool,
}

/// Where a verdict comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A key of [`Cryptography::source`].
    pub id: String,
    /// Where in it.
    pub clause: Option<String>,
}

/// What catalogues make of a mechanism.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Standing {
    /// Recommended for new products.
    Recommended,
    /// Nothing speaks against it under the condition that is given; catalogues leave it out, or take it as second best.
    Acceptable,
    /// For compatibility only.
    Legacy,
    /// Does not give what it is for.
    Broken,
}

/// A cipher suite of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// IANA's name.
    pub name: String,
    /// IANA's value: `0x13,0x01`.
    pub iana: String,
    /// Whether the value was compared with another list; else it is from memory.
    pub iana_checked: bool,
    /// The versions of TLS that have it.
    pub version: String,
    /// Whether sessions stay secret when a long-term key does not.
    pub forward_secrecy: bool,
    /// Whether it encrypts and authenticates in one.
    pub aead: bool,
    /// What catalogues make of it.
    pub verdict: Standing,
    /// The year until which it may be used, where a source names one.
    pub until: Option<u16>,
    /// Condition or reason.
    pub why: Option<String>,
    /// Who says so.
    pub source: Vec<Source>,
    /// Whether at least one of the sources was read, and says so.
    pub source_checked: bool,
}

/// An algorithm, size, protocol version, or way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its short name.
    pub id: String,
    /// `cipher`, `hash`, `protocol`, ...
    pub kind: String,
    /// In words.
    pub name: String,
    /// What catalogues make of it.
    pub verdict: Standing,
    /// The year until which it may be used, where a source names one.
    pub until: Option<u16>,
    /// Condition or reason.
    pub why: Option<String>,
    /// What each catalogue says, where they differ.
    #[serde(default)]
    pub by: BTreeMap<String, String>,
    /// Who says so.
    pub source: Vec<Source>,
    /// Whether at least one of the sources was read, and says so.
    pub source_checked: bool,
}

impl Suite {
    /// Whether its use is a FAIL by this alone; all else that is not recommended is for a person to look at.
    pub fn is_fail(&self) -> bool {
        self.verdict == Standing::Broken && self.source_checked
    }
}

impl Entry {
    /// Whether its use is a FAIL by this alone; all else that is not recommended is for a person to look at.
    pub fn is_fail(&self) -> bool {
        self.verdict == Standing::Broken && self.source_checked
    }
}

impl Cryptography {
    /// What is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Cryptography> =
            LazyLock::new(|| compiled_in(include_str!("data/cryptography-2026-11-30.toml")));
        &SHIPPED
    }

    /// A cipher suite, by IANA's name.
    pub fn suite(&self, name: &str) -> Option<&Suite> {
        self.suite.iter().find(|suite| suite.name == name)
    }

    /// Anything else, by its short name.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entry.iter().find(|entry| entry.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_source_calls_broken_fails_by_itself() {
        let cryptography = Cryptography::shipped();
        let suite = |name: &str| cryptography.suite(name).unwrap();
        assert!(suite("TLS_RSA_WITH_RC4_128_SHA").is_fail());
        assert!(!suite("TLS_AES_128_GCM_SHA256").is_fail());
        let ssh = cryptography.entry("protocol/ssh-1").unwrap();
        assert_eq!(ssh.verdict, Standing::Broken);
        assert!(!ssh.is_fail(), "from memory only");
    }
}
