//! Schemes that build on EN 303 645, and standards for kinds of products.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::ProvisionId;
use crate::compiled::compiled_in;

/// A label, law or checklist for products.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// `uk-psti`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub authority: String,
    /// What it asks, in one sentence.
    pub asks: String,
    /// What it rests on.
    pub basis: String,
    /// In force, draft, ...
    pub status: String,
    /// Whether a law makes it so.
    pub mandatory: bool,
    /// The edition of EN 303 645 that it names: an id of [`Editions::document`](crate::editions::Editions::document),
    /// or a sentence where it is not that simple.
    pub edition: Option<String>,
    /// What it asks for, by provision.
    #[serde(rename = "requirement", default)]
    pub requirements: Vec<Requirement>,
    /// Where was looked, if there is no mapping.
    pub seen: Option<String>,
    /// What should be read yet.
    pub more: Option<String>,
}

/// A requirement of a scheme, and the provisions that it comes down to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// As in the scheme, where that has one.
    pub id: String,
    /// What it asks, in our words.
    pub text: String,
    /// Level of the scheme.
    pub level: Option<String>,
    /// Provisions of EN 303 645 v3.1.3; empty if none comes near.
    pub provisions: Vec<ProvisionId>,
    /// Provisions as the source names them, if those are of another edition.
    #[serde(default)]
    pub as_stated: Vec<ProvisionId>,
    /// Where it was read.
    pub source: String,
    /// How sure the mapping is.
    pub confidence: Confidence,
    /// What is to be known of it.
    pub note: Option<String>,
}

/// Who says which provisions a requirement comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
pub enum Confidence {
    /// The scheme itself.
    #[serde(rename = "stated by the scheme")]
    #[strum(serialize = "stated by the scheme")]
    Scheme,
    /// Somebody else.
    #[serde(rename = "stated by a third party")]
    #[strum(serialize = "stated by a third party")]
    ThirdParty,
    /// We do.
    #[serde(rename = "derived")]
    #[strum(serialize = "derived")]
    Derived,
}

/// A standard or scheme for a kind of products.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vertical {
    /// `etsi-ts-103-848`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The kinds of products.
    pub products: Vec<String>,
    /// What it is about.
    pub scope: String,
    /// How it stands to EN 303 645: derived, assessment, method, supplement, uses, beside, none.
    pub relation: String,
    /// Of the document.
    pub status: String,
    /// What it adds.
    pub adds: Vec<String>,
    /// Where that was seen.
    pub sources: Vec<String>,
    /// High, medium or low.
    pub confidence: String,
    /// Provisions that it most likely changes or adds to.
    #[serde(default)]
    pub touches: Vec<ProvisionId>,
    /// What is to be known of it.
    pub note: Option<String>,
}

/// Schemes, as of 2026-11.
pub fn schemes() -> &'static [Scheme] {
    static SHIPPED: LazyLock<SchemesFile> =
        LazyLock::new(|| compiled_in(include_str!("data/schemes-2026-11.toml")));
    &SHIPPED.scheme
}

/// Standards for kinds of products, as of 2026-11.
pub fn verticals() -> &'static [Vertical] {
    static SHIPPED: LazyLock<VerticalsFile> =
        LazyLock::new(|| compiled_in(include_str!("data/verticals-2026-11.toml")));
    &SHIPPED.vertical
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemesFile {
    scheme: Vec<Scheme>,
}

#[derive(Deserialize)]
struct VerticalsFile {
    vertical: Vec<Vertical>,
}
