//! Reads `devices.toml` and the targets that it names. Tells everything that is wrong, not only the first.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::Problem;
use super::file::{DeviceEntry, DevicesFile, ProviderEntry, VirtualEntry};
use super::load_target;
use super::load_wiring::Wirer;
use super::problem::ProblemKind;
use super::source::Source;
use super::{Device, Inventory, InventoryError, Target, check, suggest, wiring};
use crate::provider::{BOARDS, virtual_board};
use crate::{Capability, Program, Provider};

/// More than that, opening a bench does not wait for.
const LONGEST_START: Duration = Duration::from_mins(2);

impl Inventory {
    /// Reads an inventory and the targets that its devices name.
    pub fn load(devices_toml: &Path, targets_dir: &Path) -> Result<Self, InventoryError> {
        Self::load_allowing(devices_toml, targets_dir, &[])
    }

    /// As [`Self::load`]; targets may name files in these folders, too.
    pub fn load_allowing(
        devices_toml: &Path,
        targets_dir: &Path,
        allowed: &[PathBuf],
    ) -> Result<Self, InventoryError> {
        let source = Source::read(
            devices_toml,
            None,
            "devices",
            "create it (`provebench schema devices` says what it may hold), or name another with --devices",
            None,
        )?;
        let file: DevicesFile = source.parse()?;
        if file.device.is_empty() {
            return Err(source
                .problem(
                    ProblemKind::NoDevices {
                        path: devices_toml.to_owned(),
                    },
                    0..0,
                )
                .into());
        }
        let dir = devices_toml.parent().unwrap_or(Path::new(""));
        let of_file = file.allow_paths.iter().map(|path| dir.join(path));
        let mut loader = Loader {
            source: &source,
            dir,
            targets: Targets {
                dir: targets_dir,
                allowed: of_file.chain(allowed.iter().cloned()).collect(),
                loaded: BTreeMap::new(),
            },
            problems: Vec::new(),
        };
        let devices = loader.devices(&file);
        if !loader.problems.is_empty() {
            return Err(InventoryError::new(loader.problems));
        }
        Ok(Self {
            devices,
            path: devices_toml.to_owned(),
            allowed: loader.targets.allowed,
            runs_mode: file.runs_mode,
            log_limit: file.log_limit.unwrap_or_default(),
        })
    }

    /// A device, by its name.
    pub fn device(&self, name: &str) -> Result<&Device, InventoryError> {
        self.devices
            .iter()
            .find(|device| device.name == name)
            .ok_or_else(|| {
                let known = self.devices.iter().map(|device| device.name.as_str());
                check::unknown("device", name, known).into()
            })
    }

    /// The devices of the same target that have a label, other than this one.
    pub fn siblings<'a>(&'a self, device: &'a Device) -> impl Iterator<Item = &'a Device> {
        self.devices.iter().filter(|other| {
            other.name != device.name
                && other.target.name == device.target.name
                && !other.label.is_empty()
        })
    }
}

struct Loader<'a> {
    source: &'a Source,
    /// What paths in the file are relative to.
    dir: &'a Path,
    targets: Targets<'a>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn devices(&mut self, file: &DevicesFile) -> Vec<Device> {
        let names = file.device.iter().map(|entry| &entry.get_ref().name);
        self.problems
            .extend(check::names(self.source, "device", "a device", names));
        self.problems.extend(wiring::shared(file, self.source));
        file.device
            .iter()
            .filter_map(|entry| self.device(entry.get_ref()))
            .collect()
    }

    /// `None` if something is wrong, which is then among the problems.
    fn device(&mut self, entry: &DeviceEntry) -> Option<Device> {
        let name = entry.name.get_ref();
        let target = self.targets.get(entry, self.source, &mut self.problems);
        if let Some(target) = &target {
            let problems = check::device_fits_target(self.source, entry, target);
            self.problems.extend(problems);
        }
        let provider = self.provider(entry, target.as_deref());
        let target = target?;
        Some(Device {
            name: name.clone(),
            tags: entry.tags.clone(),
            images: entry.image_set().0.to_owned(),
            label: entry.label.clone(),
            options: entry
                .options
                .iter()
                .map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone()))
                .collect(),
            provider: provider?,
            target,
        })
    }

    fn provider(
        &mut self,
        entry: &DeviceEntry,
        target: Option<&Target>,
    ) -> Option<Arc<dyn Provider>> {
        let device = entry.name.get_ref();
        let provider = match (&entry.virtual_board, &entry.provider) {
            (Some(_), _) => Some("virtual"),
            (None, Some(_)) => Some("provider"),
            (None, None) => None,
        };
        if let Some(provider) = provider {
            let both = entry.virtual_board.as_ref().and(entry.provider.as_ref());
            let both = both.map(|other| ("provider", other.span()));
            for (key, span) in entry.wires().keys().chain(both) {
                let kind = ProblemKind::ProvidedAndReal {
                    device: device.clone(),
                    provider,
                    key,
                };
                self.problems.push(self.source.problem(kind, span));
            }
        }
        if let Some(board) = &entry.virtual_board {
            return self.virtual_board(device, board.get_ref());
        }
        if let Some(program) = &entry.provider {
            return self.program(device, program);
        }
        if entry.wires().keys().next().is_none() && entry.label.is_empty() {
            let kind = ProblemKind::NotWired {
                device: device.clone(),
            };
            self.problems
                .push(self.source.problem(kind, entry.name.span()));
        }
        let baud = target.map_or(0, |target| target.console.baud);
        let mut wirer = Wirer::new(self.source, self.dir);
        let wiring = wirer.wiring(device, &entry.wires(), baud);
        self.problems.extend(wirer.problems);
        Some(Arc::new(wiring))
    }

    fn program(
        &mut self,
        device: &str,
        entry: &toml::Spanned<ProviderEntry>,
    ) -> Option<Arc<dyn Provider>> {
        let mut problems = Vec::new();
        let mut wrong = |what: String, remedy, span| {
            let device = device.to_owned();
            let kind = ProblemKind::Provider {
                device,
                what,
                remedy,
            };
            problems.push(self.source.problem(kind, span));
        };
        let ProviderEntry {
            command,
            provides,
            cable,
            timeout,
        } = entry.get_ref();
        let mut words = command.get_ref().iter().map(OsString::from);
        let program = words.next().filter(|program| !program.is_empty());
        if program.is_none() {
            let remedy = "write a list: the program, then its arguments";
            wrong("`command` is empty".into(), remedy, command.span());
        }
        let mut capabilities = BTreeSet::new();
        for word in provides {
            match word.get_ref().parse::<Capability>() {
                Ok(capability) if capability.is_of_equipment() => {
                    capabilities.insert(capability);
                }
                _ => wrong(
                    format!("no equipment has `{}`", word.get_ref()),
                    "write what is there of probe, console, power, power.cut_at_write, power.current, net, press.NAME",
                    word.span(),
                ),
            }
        }
        if *cable {
            capabilities.insert(Capability::Net);
        }
        let limit = timeout
            .as_ref()
            .map_or(Ok(Program::START_LIMIT), |timeout| {
                let limit = Duration::try_from_secs_f64(*timeout.get_ref());
                let fits = |limit: &Duration| !limit.is_zero() && *limit <= LONGEST_START;
                limit.ok().filter(fits).ok_or(timeout)
            });
        if let Err(timeout) = limit {
            let seconds = provebench_record::text::number(*timeout.get_ref());
            let what = format!("`timeout` can't be {seconds} s");
            wrong(what, "write seconds, up to 120", timeout.span());
        }
        self.problems.extend(problems);
        // Relative to this file, unless it is looked for in PATH.
        let mut program = program?;
        if program.to_string_lossy().contains('/') {
            let dir = if self.dir == Path::new("") {
                Path::new(".")
            } else {
                self.dir
            };
            program = dir.join(program).into_os_string();
        }
        let command = std::iter::once(program).chain(words).collect();
        let provider = Program::new(command, capabilities, *cable, limit.ok()?, self.dir);
        Some(Arc::new(provider))
    }

    fn virtual_board(&mut self, device: &str, entry: &VirtualEntry) -> Option<Arc<dyn Provider>> {
        let board = entry.board.get_ref();
        if !BOARDS.contains(&board.as_str()) {
            let kind = ProblemKind::Unknown {
                what: "virtual board".into(),
                name: board.clone(),
                known: suggest::by_likeness(board, BOARDS),
            };
            self.problems
                .push(self.source.problem(kind, entry.board.span()));
            return None;
        }
        let dir = entry.dir.as_ref().map(|dir| self.dir.join(dir.get_ref()));
        let program = entry.program.as_ref().map(|program| self.dir.join(program));
        Some(Arc::new(virtual_board(device, dir, program, self.dir)))
    }
}

/// The targets that devices name, each read once.
struct Targets<'a> {
    dir: &'a Path,
    /// Folders whose files targets may name, too.
    allowed: Vec<PathBuf>,
    /// `None` for those that are wrong, which is told once.
    loaded: BTreeMap<String, Option<Arc<Target>>>,
}

impl Targets<'_> {
    fn get(
        &mut self,
        entry: &DeviceEntry,
        source: &Source,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Target>> {
        let name = entry.target.get_ref();
        let dir = self.dir.join(name);
        if !check::is_name(name) || !dir.join(load_target::FILE).is_file() {
            let kind = ProblemKind::Unknown {
                what: format!("target in {}", self.dir.display()),
                name: name.clone(),
                known: suggest::by_likeness(name, self.names()),
            };
            problems.push(source.problem(kind, entry.target.span()));
            return None;
        }
        self.loaded
            .entry(name.clone())
            .or_insert_with(|| match load_target::load(&dir, self.dir, &self.allowed) {
                Ok(target) => Some(target),
                Err(err) => {
                    problems.extend(err.into_problems());
                    None
                }
            })
            .clone()
    }

    /// The targets that there are.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.dir) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.path().join(load_target::FILE).is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}
