//! The model of EN 303 645, annex A: what is around a device, and the states that it can be in.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::ProvisionId;
use crate::compiled::compiled_in;

/// Annex A, as data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Roles, parts, interfaces, places and links.
    pub architecture: Architecture,
    /// States of the device.
    pub state: States,
}

/// What is in a product and around it. No device has to have all of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Where it comes from.
    pub basis: String,
    /// Whether the standard binds anybody to it.
    pub binding: bool,
    /// How to use it.
    pub note: String,
    /// Who has to do with a product.
    pub role: Vec<Part>,
    /// What a device consists of.
    pub part: Vec<Part>,
    /// Kinds of interfaces; one socket may be several of them.
    pub interface: Vec<Interface>,
    /// Where things are.
    pub place: Vec<Part>,
    /// Who speaks with whom.
    pub link: Vec<Link>,
    /// Whether a service is an associated one: the first rule that fits decides.
    pub associated: Vec<Associated>,
}

/// A role, a part of a device, or a place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name.
    pub id: String,
    /// What it is.
    pub meaning: String,
    /// Provisions that it matters for.
    #[serde(default)]
    pub matters_for: Vec<ProvisionId>,
}

/// A kind of interface.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its name.
    pub id: String,
    /// What it is.
    pub meaning: String,
    /// Instances.
    pub examples: Vec<String>,
    /// Provisions that it matters for.
    pub matters_for: Vec<ProvisionId>,
    /// The kind that it is a special case of.
    pub of: Option<String>,
    /// The kind that it runs on.
    pub runs_on: Option<String>,
}

/// A way between two places.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// One end.
    pub from: String,
    /// The other end.
    pub to: String,
    /// By which media.
    pub over: String,
    /// Whether the standard is about it, as we read it.
    pub in_scope: bool,
}

/// A rule on which services are associated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Associated {
    /// If this holds ...
    #[serde(rename = "if")]
    pub condition: String,
    /// ... it is one, or not.
    pub then: bool,
}

/// States of the device, and ways between them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    /// Where they come from.
    pub basis: String,
    /// Whether the standard binds anybody to them.
    pub binding: bool,
    /// What is the standard's, and what ours.
    pub note: String,
    /// The states.
    pub state: Vec<State>,
    /// The ways between them.
    pub transition: Vec<Transition>,
}

/// A state of the device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// `factory-default`.
    pub id: String,
    /// In words.
    pub name: String,
    /// Whether the standard does not name it.
    #[serde(default)]
    pub ours: bool,
    /// What it is.
    pub meaning: String,
    /// What the device stores in it.
    pub stores: Vec<String>,
    /// What it must not store in it.
    #[serde(default)]
    pub stores_not: Vec<String>,
    /// What a bench does in it.
    pub bench: String,
    /// Provisions that speak of it.
    pub provisions: Vec<ProvisionId>,
}

/// A way from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// `factory-reset`.
    pub id: String,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Whether the standard does not name it.
    #[serde(default)]
    pub ours: bool,
    /// What happens.
    pub meaning: String,
    /// Provisions that speak of it.
    #[serde(default)]
    pub provisions: Vec<ProvisionId>,
}

impl Model {
    /// What is compiled in.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Model> =
            LazyLock::new(|| compiled_in(include_str!("data/en-303-645-v3.1.3/model.toml")));
        &SHIPPED
    }

    /// A state of the device, by its identifier.
    pub fn state(&self, id: &str) -> Option<&State> {
        self.state.state.iter().find(|state| state.id == id)
    }
}
