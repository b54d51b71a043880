//! Checks that more than one part of the inventory needs.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;

use super::error::Problem;
use super::file::DeviceEntry;
use super::problem::ProblemKind;
use super::source::Source;
use super::{Target, suggest};

const LONGEST_NAME: usize = 64;

/// Names are used in file names, on the command line and in reports.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// What the kernel takes as an interface's name (`dev_valid_name`), as far as people would write it.
pub(super) fn is_interface(text: &str) -> bool {
    const LONGEST: usize = 15;
    (1..=LONGEST).contains(&text.len())
        && !matches!(text, "." | "..")
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !"/:".contains(c))
}

/// Names that are none, or are used twice.
pub(super) fn names<'a>(
    source: &Source,
    what: &'static str,
    with_article: &'static str,
    names: impl Iterator<Item = &'a Spanned<String>>,
) -> Vec<Problem> {
    let mut first: HashMap<&str, Range<usize>> = HashMap::new();
    let mut problems = Vec::new();
    for spanned in names {
        let name = spanned.get_ref();
        if !is_name(name) {
            let kind = ProblemKind::BadName {
                what: with_article,
                name: name.clone(),
            };
            problems.push(source.problem(kind, spanned.span()));
        }
        if let Some(first) = first.get(name.as_str()) {
            let kind = ProblemKind::Duplicate {
                what,
                name: name.clone(),
            };
            problems.push(
                source
                    .problem(kind, spanned.span())
                    .with_other(first.clone(), "first here"),
            );
        } else {
            first.insert(name, spanned.span());
        }
    }
    problems
}

/// A name that was asked for from outside the files.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let kind = ProblemKind::Unknown {
        what: what.to_owned(),
        name: name.to_owned(),
        known: suggest::by_likeness(name, known),
    };
    Problem::new(kind, None)
}

/// What a device asks of its target: an image set and options.
pub(super) fn device_fits_target(
    source: &Source,
    entry: &DeviceEntry,
    target: &Target,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (set, span) = entry.image_set();
    // What no probe programs need not have images.
    let has_none = target.images.is_empty() && target.chip.is_none() && entry.images.is_none();
    if !target.images.contains_key(set) && !has_none {
        let kind = ProblemKind::Unknown {
            what: format!("image set of target `{}`", target.name),
            name: set.to_owned(),
            known: suggest::by_likeness(set, target.images.keys()),
        };
        problems.push(source.problem(kind, span));
    }
    let probe = entry.probe.as_ref().map(Spanned::span);
    let board = entry.virtual_board.as_ref().map(Spanned::span);
    let provided = entry.provider.iter().flat_map(|p| &p.get_ref().provides);
    let mut provided = provided.filter(|word| word.get_ref() == "probe");
    let provided = provided.next().map(Spanned::span);
    if let (Some(span), None) = (probe.or(board).or(provided), &target.chip) {
        let kind = ProblemKind::NoChip {
            device: entry.name.get_ref().clone(),
            target: target.name.clone(),
        };
        problems.push(source.problem(kind, span));
    }
    for (option, value) in &entry.options {
        match target.options.get(option.get_ref()) {
            None => {
                let kind = ProblemKind::Unknown {
                    what: format!("option of target `{}`", target.name),
                    name: option.get_ref().clone(),
                    known: suggest::by_likeness(option.get_ref(), target.options.keys()),
                };
                problems.push(source.problem(kind, option.span()));
            }
            Some(values) if !values.is_empty() && !values.contains_key(value.get_ref()) => {
                let kind = ProblemKind::OptionValue {
                    option: option.get_ref().clone(),
                    value: value.get_ref().clone(),
                    target: target.name.clone(),
                    known: suggest::by_likeness(value.get_ref(), values.keys()),
                };
                problems.push(source.problem(kind, value.span()));
            }
            Some(_) => {}
        }
    }
    problems
}
