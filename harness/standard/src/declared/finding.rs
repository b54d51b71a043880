//! What is wrong with a declaration.

use serde::Serialize;

use super::Place;
use crate::ProvisionId;

/// Something that is wrong, or that could not be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which kind of thing.
    pub kind: Kind,
    /// The rule that is broken or could not be checked, for these kinds.
    pub rule: Option<&'static str>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where, the most important place first; each with what is there.
    pub places: Vec<(Place, String)>,
    /// Test groups that it bears upon; none if upon the declaration as such.
    pub groups: Vec<ProvisionId>,
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Not TOML, or not of the shape that it must have.
    Malformed,
    /// A name that nobody knows.
    Unknown,
    /// A value that the field does not take.
    WrongValue,
    /// Something is there twice.
    Double,
    /// A field that has to be there and is not.
    Missing,
    /// A reference that leads nowhere.
    Unresolved,
    /// Two things that can't both be true.
    Contradiction,
    /// What has to agree does not.
    Breach,
    /// A rule that could not be checked, since a value is missing or is prose.
    Unchecked,
}

impl Kind {
    /// Whether the declaration can't be used as it is. Breaches bear upon verdicts, and what could not be checked is
    /// for a person.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Breach | Self::Unchecked | Self::Missing)
    }
}

impl Finding {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            rule: None,
            message: message.into(),
            help: None,
            places: Vec::new(),
            groups: Vec::new(),
        }
    }

    pub(super) fn at(mut self, place: &Place, what: impl Into<String>) -> Self {
        self.places.push((place.clone(), what.into()));
        self
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn bearing_on(mut self, groups: impl IntoIterator<Item = ProvisionId>) -> Self {
        self.groups = groups.into_iter().collect();
        self.groups.sort();
        self.groups.dedup();
        self
    }

    /// All of it in lines: `ixit.toml:12: message`, further places, help, groups.
    pub fn told(&self) -> String {
        let first = match self.places.first() {
            Some((place, _)) => format!("{place}: {}", self.message),
            None => self.message.clone(),
        };
        let places = self.places.iter().skip(1);
        let places = places.map(|(place, what)| format!("{place}: {what}"));
        let help = self.help.iter().map(|help| format!("help: {help}"));
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        let groups = (!groups.is_empty()).then(|| format!("bears upon {}", groups.join(", ")));
        let lines = [first].into_iter().chain(places).chain(help).chain(groups);
        lines.collect::<Vec<_>>().join("\n  ")
    }
}
