//! Reads a target's folder: `target.toml` and the files that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::error::{Place, Problem};
use super::file::{ImageEntry, MemoryEntry, OptionEntry, TargetEntry, TargetFile, TimingEntry};
use super::image::Ground;
use super::problem::ProblemKind;
use super::source::{Source, unreadable};
use super::{
    ConsoleDialect, IdentityRegister, Image, ImageFormat, InventoryError, LONGEST, MemoryRegion,
    OptionValue, Target, TargetNetwork, Timing, check, chip, networks, suggest,
};
use crate::confine::{LONGEST_TEXT, Roots};
use provebench_standard::{CaseId, Catalogue, Fault, Ics, Ixit};

/// What describes a target, in its folder.
pub(super) const FILE: &str = "target.toml";

impl Target {
    /// Reads a target's folder in the folder of targets. It may name files in the allowed folders, too.
    pub fn load(
        dir: &Path,
        targets: &Path,
        allowed: &[PathBuf],
    ) -> Result<Arc<Self>, InventoryError> {
        load(dir, targets, allowed)
    }
}

pub(super) fn load(
    dir: &Path,
    targets: &Path,
    allowed: &[PathBuf],
) -> Result<Arc<Target>, InventoryError> {
    Roots::new(targets, allowed)
        .check_folder(dir)
        .map_err(|error| {
            unreadable(
                dir,
                error,
                "a target is a folder in the folder of targets",
                None,
            )
        })?;
    let roots = Roots::new(dir, allowed);
    let source = Source::read(
        &dir.join(FILE),
        Some(&roots),
        "target",
        "a target is a folder with a target.toml (`provebench schema target` says what it may hold)",
        None,
    )?;
    let file: TargetFile = source.parse()?;
    let mut loader = Loader {
        source: &source,
        dir,
        roots,
        problems: Vec::new(),
    };
    let target = loader.target(&file);
    match target {
        Some(target) if loader.problems.is_empty() => Ok(Arc::new(target)),
        _ => Err(InventoryError::new(loader.problems)),
    }
}

struct Loader<'a> {
    source: &'a Source,
    dir: &'a Path,
    roots: Roots,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    /// `None` if something is wrong, which is then among the problems.
    fn target(&mut self, file: &TargetFile) -> Option<Target> {
        let entry = file.target.get_ref();
        self.check_name(&entry.name);
        let chip_description = entry
            .chip_description
            .as_ref()
            .map(|path| self.path(path.get_ref()));
        let chip = chip::find(self.source, entry, chip_description.as_deref(), &self.roots);
        let chip = chip.map_err(|problem| self.problems.push(problem));
        let chip = chip.ok().flatten();
        let options = self.options(&file.options);
        let components = self.components(&file.components);
        let memory = self.memory(&file.memory);
        let ground = Arc::new(Ground {
            memory: memory.clone(),
            chip,
        });
        let images = self.images(file, &ground);
        let driver = self.driver(entry);
        let ics = self.declaration(
            entry.ics.as_ref(),
            &file.target,
            TargetEntry::ICS,
            "ics",
            Ics::parse,
        );
        let ixit = self.declaration(
            entry.ixit.as_ref(),
            &file.target,
            TargetEntry::IXIT,
            "ixit",
            Ixit::parse,
        );
        Some(Target {
            name: entry.name.get_ref().clone(),
            dir: self.dir.to_owned(),
            roots: self.roots.clone(),
            model: entry.model.clone(),
            chip: entry.chip.as_ref().map(|chip| chip.get_ref().clone()),
            chip_description,
            build: entry.build.clone(),
            product: file.product.clone(),
            options,
            components,
            memory,
            images,
            driver,
            ics: ics?,
            ixit: ixit?,
            timing: self.timing(&file.timing),
            identity: self.identity(&file.identity),
            debug_port: file.debug_port.clone(),
            console: ConsoleDialect {
                baud: file.console.baud.get(),
            },
            network: self.network(file),
        })
    }

    fn options(
        &mut self,
        entries: &BTreeMap<String, Spanned<OptionEntry>>,
    ) -> BTreeMap<String, BTreeMap<String, OptionValue>> {
        let mut options = BTreeMap::new();
        for (option, entry) in entries {
            let values = match entry.get_ref() {
                OptionEntry::Values(values) => {
                    let values = values.iter();
                    values.map(|v| (v.clone(), OptionValue::new())).collect()
                }
                OptionEntry::Described(described) => {
                    let place = self.source.at(entry.span());
                    let read = self.described(option, &described.from, place);
                    read.unwrap_or_else(|problem| {
                        self.problems.push(problem);
                        BTreeMap::new()
                    })
                }
            };
            options.insert(option.clone(), values);
        }
        options
    }

    /// The values of an option that a file describes, which is named at a place.
    fn described(
        &self,
        option: &str,
        file: &Path,
        named_at: Place,
    ) -> Result<BTreeMap<String, OptionValue>, Problem> {
        let path = self.path(file);
        let remedy = "write a [[table]] for each value of the option, or correct the path (relative to target.toml)";
        let source = Source::read(&path, Some(&self.roots), "target", remedy, Some(named_at))?;
        let mut tables: BTreeMap<String, Vec<Spanned<OptionValue>>> = source.parse()?;
        let mut values = BTreeMap::new();
        for table in tables.remove(option).unwrap_or_default() {
            let span = table.span();
            let Some(name) = table.get_ref().get("name").and_then(|name| name.as_str()) else {
                return Err(source.malformed("the value has no `name`", Some(span)));
            };
            if values.contains_key(name) {
                let name = name.to_owned();
                let what = "value";
                return Err(source.problem(ProblemKind::Duplicate { what, name }, span));
            }
            values.insert(name.to_owned(), table.into_inner());
        }
        if values.is_empty() {
            let message = format!("there is no [[{option}]], which would be a value of the option");
            return Err(source.malformed(&message, None));
        }
        Ok(values)
    }

    fn network(&mut self, file: &TargetFile) -> Option<TargetNetwork> {
        let (network, problems) = networks::of(self.source, file);
        self.problems.extend(problems);
        network
    }

    fn components(
        &mut self,
        entries: &BTreeMap<String, Vec<Spanned<String>>>,
    ) -> BTreeMap<String, Vec<String>> {
        let cases: Vec<&CaseId> = Catalogue::shipped().cases().map(|case| &case.id).collect();
        for word in entries.values().flatten() {
            if !cases.iter().any(|id| id.is_within(word.get_ref())) {
                let names = |id: &&CaseId| {
                    let provision = &id.provision;
                    [id.to_string(), provision.to_string(), provision.clause()]
                };
                let all: BTreeSet<String> = cases.iter().flat_map(names).collect();
                let kind = ProblemKind::Unknown {
                    what: "test case, test group or clause".into(),
                    name: word.get_ref().clone(),
                    known: suggest::by_likeness(word.get_ref(), all),
                };
                self.problem(kind, word.span());
            }
        }
        let words = |words: &Vec<Spanned<String>>| {
            let words = words.iter().map(|word| word.get_ref().clone());
            words.collect()
        };
        let entries = entries.iter();
        entries.map(|(name, w)| (name.clone(), words(w))).collect()
    }

    fn check_name(&mut self, name: &Spanned<String>) {
        let folder = self.dir.canonicalize().ok();
        let folder = folder
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        if let Some(folder) = folder
            && folder != name.get_ref()
        {
            let kind = ProblemKind::TargetName {
                name: name.get_ref().clone(),
                folder: folder.to_owned(),
            };
            self.problem(kind, name.span());
        }
    }

    fn identity(&mut self, entries: &[Spanned<IdentityRegister>]) -> Vec<IdentityRegister> {
        for entry in entries {
            let register = entry.get_ref();
            let reason = if !register.address.is_multiple_of(4) {
                "its address is not a multiple of 4"
            } else if register.mask == 0 {
                "no bit of it counts"
            } else if register.value & !register.mask != 0 {
                "its value has bits that its mask leaves out"
            } else {
                continue;
            };
            let kind = ProblemKind::Identity {
                address: register.address,
                reason,
            };
            self.problem(kind, entry.span());
        }
        entries
            .iter()
            .map(|entry| entry.get_ref().clone())
            .collect()
    }

    fn memory(&mut self, entries: &[Spanned<MemoryEntry>]) -> Vec<MemoryRegion> {
        let names = entries.iter().map(|entry| &entry.get_ref().name);
        self.problems.extend(check::names(
            self.source,
            "memory region",
            "a memory region",
            names,
        ));
        let mut placed: Vec<(MemoryRegion, Range<usize>)> = Vec::new();
        for entry in entries {
            let MemoryEntry {
                name,
                role,
                start,
                size,
            } = entry.get_ref();
            let end = start.checked_add(*size).filter(|end| end > start);
            let Some(end) = end else {
                let kind = ProblemKind::RegionRange {
                    region: name.get_ref().clone(),
                    start: *start,
                    size: *size,
                };
                self.problem(kind, entry.span());
                continue;
            };
            let region = MemoryRegion {
                name: name.get_ref().clone(),
                role: *role,
                range: *start..end,
            };
            for (other, span) in &placed {
                let common = region.range.start.max(other.range.start)
                    ..region.range.end.min(other.range.end);
                if !common.is_empty() {
                    let kind = ProblemKind::Overlap {
                        first: other.name.clone(),
                        second: region.name.clone(),
                        common,
                    };
                    let problem = self.source.problem(kind, name.span());
                    self.problems
                        .push(problem.with_other(span.clone(), "with this"));
                }
            }
            placed.push((region, name.span()));
        }
        placed.into_iter().map(|(region, _)| region).collect()
    }

    fn images(
        &mut self,
        file: &TargetFile,
        ground: &Arc<Ground>,
    ) -> BTreeMap<String, BTreeMap<String, Image>> {
        self.problems.extend(check::names(
            self.source,
            "image set",
            "an image set",
            file.images.keys(),
        ));
        let build = file.target.get_ref().build.as_deref();
        let has_chip = file.target.get_ref().chip.is_some();
        let mut sets = BTreeMap::new();
        for (set, entries) in &file.images {
            self.problems.extend(check::names(
                self.source,
                "image",
                "an image",
                entries.keys(),
            ));
            let images = entries.iter().map(|(name, entry)| {
                (
                    name.get_ref().clone(),
                    self.image(name, entry, ground, (build, has_chip)),
                )
            });
            sets.insert(set.get_ref().clone(), images.collect());
        }
        sets
    }

    fn image(
        &mut self,
        name: &Spanned<String>,
        entry: &ImageEntry,
        ground: &Arc<Ground>,
        (build, has_chip): (Option<&str>, bool),
    ) -> Image {
        let image = || name.get_ref().clone();
        match (entry.format, &entry.address) {
            // What is no chip's memory has no addresses: the driver knows where an image goes.
            (ImageFormat::Bin, None) if entry.flash && has_chip => {
                self.problem(ProblemKind::NoAddress { image: image() }, name.span());
            }
            (ImageFormat::Elf | ImageFormat::Hex, Some(address)) => {
                self.problem(
                    ProblemKind::NeedlessAddress { image: image() },
                    address.span(),
                );
            }
            (ImageFormat::Bin, Some(address)) => {
                let first = *address.get_ref()..address.get_ref().saturating_add(1);
                let outside = ground.outside(name.get_ref(), &first);
                if let Some(kind) = outside {
                    self.problem(kind, address.span());
                }
            }
            _ => {}
        }
        Image {
            name: image(),
            path: self.path(entry.path.get_ref()),
            roots: self.roots.clone(),
            format: entry.format,
            address: entry.address.as_ref().map(|address| *address.get_ref()),
            flash: entry.flash,
            ground: Arc::clone(ground),
            build: build.map(str::to_owned),
            place: self.source.at(entry.path.span()),
            seen: Arc::default(),
        }
    }

    fn driver(&mut self, entry: &TargetEntry) -> PathBuf {
        let named = entry.driver.as_ref().map(Spanned::get_ref);
        let path = self.path(named.map_or(Path::new(TargetEntry::DRIVER), PathBuf::as_path));
        if let Err(source) = self.roots.open(&path, LONGEST_TEXT) {
            let place = self.naming_place(entry.driver.as_ref(), &entry.name);
            let remedy = "write the script that drives the product, or correct `driver` (relative to target.toml)";
            self.problems
                .push(unreadable(&path, source, remedy, Some(place)));
        }
        path
    }

    /// ICS or IXIT.
    fn declaration<T>(
        &mut self,
        named: Option<&Spanned<PathBuf>>,
        target: &Spanned<TargetEntry>,
        default: &str,
        schema: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Vec<Fault>>,
    ) -> Option<T> {
        let path = self.path(named.map_or(Path::new(default), |path| path.get_ref()));
        let place = self.naming_place(named, &target.get_ref().name);
        let remedy = "write down what the supplier declares (`provebench schema ics` and `... ixit` say how), or correct \
            the path (relative to target.toml)";
        match Source::read(&path, Some(&self.roots), schema, remedy, Some(place)) {
            Err(problem) => {
                self.problems.push(problem);
                None
            }
            Ok(source) => parse(source.text())
                .map_err(|faults| {
                    self.problems
                        .extend(faults.into_iter().map(|fault| source.fault(fault)));
                })
                .ok(),
        }
    }

    fn timing(&mut self, entry: &TimingEntry) -> Timing {
        let mut duration =
            |seconds: &Spanned<f64>| match Duration::try_from_secs_f64(*seconds.get_ref()) {
                Ok(duration) if !duration.is_zero() && duration <= LONGEST => duration,
                _ => {
                    let kind = ProblemKind::Duration {
                        seconds: *seconds.get_ref(),
                    };
                    self.problem(kind, seconds.span());
                    Duration::ZERO
                }
            };
        Timing {
            boot: duration(&entry.boot),
            reset: duration(&entry.reset),
            update: duration(&entry.update),
        }
    }

    /// Where a file is named, or, if it has its default name, where the target is.
    fn naming_place(&self, named: Option<&Spanned<PathBuf>>, target: &Spanned<String>) -> Place {
        self.source
            .at(named.map_or_else(|| target.span(), Spanned::span))
    }

    fn problem(&mut self, kind: ProblemKind, span: Range<usize>) {
        self.problems.push(self.source.problem(kind, span));
    }

    fn path(&self, relative: &Path) -> PathBuf {
        without_detours(&self.dir.join(relative))
    }
}

/// `targets/sensor/../../target/x` as `target/x`: messages show it, people read it.
fn without_detours(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            Component::CurDir if !plain.as_os_str().is_empty() => {}
            other => plain.push(other),
        }
    }
    plain
}
