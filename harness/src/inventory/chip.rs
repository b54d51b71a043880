//! Whether probe-rs knows the chip.

use std::path::Path;

use probe_rs::config::{Registry, RegistryError};

use super::error::Problem;
use super::file::TargetEntry;
use super::problem::ProblemKind;
use super::source::{self, Source, unreadable};
use super::suggest;
use crate::confine::Roots;

/// The problem with a target's chip, if there is one.
pub(super) fn check(
    source: &Source,
    entry: &TargetEntry,
    description: Option<&Path>,
    roots: &Roots,
) -> Option<Problem> {
    let chip = match (&entry.chip, &entry.chip_description) {
        (Some(chip), _) => chip,
        (None, None) => return None,
        (None, Some(named)) => {
            return Some(source.problem(ProblemKind::ChipUnnamed, named.span()));
        }
    };
    let mut registry;
    match (description, &entry.chip_description) {
        (Some(path), Some(named)) => {
            let text = match source::text(path, Some(roots)) {
                Ok(text) => text,
                Err(err) => {
                    let remedy = "correct `chip_description` (relative to target.toml), or leave it out for chips \
                        that probe-rs knows";
                    return Some(unreadable(path, err, remedy, Some(source.at(named.span()))));
                }
            };
            registry = Registry::new();
            if let Err(err) = registry.add_target_family_from_yaml(&text) {
                let kind = ProblemKind::ChipDescription {
                    path: path.to_owned(),
                    message: for_people(&err),
                };
                return Some(source.problem(kind, named.span()));
            }
        }
        _ => registry = Registry::from_builtin_families(),
    }
    let name = chip.get_ref();
    if registry.get_target_by_name(name).is_ok() {
        return None;
    }
    let chips = registry
        .families()
        .iter()
        .flat_map(|family| &family.variants)
        .map(|chip| chip.name.as_str());
    let kind = ProblemKind::Unknown {
        what: "chip".into(),
        name: name.clone(),
        known: suggest::by_likeness(name, chips),
    };
    Some(source.problem(kind, chip.span()))
}

/// probe-rs' own words only say what it was doing; what is wrong is in the causes.
fn for_people(err: &RegistryError) -> String {
    let causes = std::iter::successors(std::error::Error::source(err), |&cause| cause.source());
    causes
        .last()
        .map_or_else(|| err.to_string(), ToString::to_string)
}
