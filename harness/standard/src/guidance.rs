//! What each provision asks, how products meet it, and what goes wrong: for firmware engineers and assessors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::ProvisionId;
use crate::compiled::compiled_in;

/// Guidance on one provision.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guidance {
    /// What is asked, in one sentence.
    pub asks: String,
    /// Ways in which products meet it.
    pub examples: Vec<String>,
    /// What is often got wrong.
    pub pitfalls: Vec<String>,
    /// What a firmware engineer does.
    pub firmware: String,
    /// What an assessor wants to see.
    pub evidence: Vec<String>,
    /// What changes where the use case limits the device's resources; empty where nothing does.
    pub constrained: String,
    /// Sources: `OWASP Cheat Sheet: Password Storage`; what stands before the colon is in [`Guidance::source`].
    pub see: Vec<String>,
    /// Where the guide that this was compared with does not fit.
    pub note: Option<String>,
}

/// A source that guidance refers to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its title.
    pub title: String,
    /// How it is known.
    pub how: Known,
    /// The edition that it is about, where that matters.
    #[serde(rename = "for")]
    pub about: Option<String>,
}

/// How a source is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// Read for this.
    Seen,
    /// Its title was seen.
    Listed,
    /// From memory, with certain title and number.
    Known,
    /// An excerpt was seen.
    Search,
}

impl Guidance {
    /// Guidance on a provision of v3.1.3.
    pub fn on(provision: &ProvisionId) -> Option<&'static Self> {
        FILE.provision.get(provision)
    }

    /// All of it.
    pub fn all() -> impl Iterator<Item = (&'static ProvisionId, &'static Self)> {
        FILE.provision.iter()
    }

    /// What a short name in [`Guidance::see`] stands for: the longest one that the text begins with.
    pub fn source(see: &str) -> Option<(&'static str, &'static Source)> {
        let sources = FILE.source.see.iter();
        sources
            .filter(|(name, _)| see.starts_with(name.as_str()))
            .max_by_key(|(name, _)| name.len())
            .map(|(name, source)| (name.as_str(), source))
    }
}

static FILE: LazyLock<File> =
    LazyLock::new(|| compiled_in(include_str!("data/en-303-645-v3.1.3/guidance.toml")));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    source: Sources,
    provision: BTreeMap<ProvisionId, Guidance>,
}

/// Beside `see`, where things come from, for those who read the file.
#[derive(Deserialize)]
struct Sources {
    see: BTreeMap<String, Source>,
}
