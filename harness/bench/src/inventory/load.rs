//! Reads `devices.toml` and the targets that it names. Tells everything that is wrong, not only the first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Problem;
use super::file::{ConsoleEntry, DeviceEntry, DevicesFile, NetworkEntry, ProbeEntry, VirtualEntry};
use super::load_target;
use super::problem::ProblemKind;
use super::source::Source;
use super::switch::Role;
use super::{
    Attachment, ConsoleConfig, ConsolePort, Device, Inventory, InventoryError, ProbeConfig,
    SwitchConfig, Target, VirtualBoard, Wiring, check, suggest, wiring,
};
use provebench_network::NetworkPort;

/// The boards that the virtual board can be.
const VIRTUAL_BOARDS: [&str; 1] = ["mps2-an385"];
/// IEEE 802.1Q: 0 is no VLAN, 4095 is reserved.
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;

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
        let attachment = self.attachment(entry, target.as_deref());
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
            attachment: attachment?,
            target,
        })
    }

    fn attachment(&mut self, entry: &DeviceEntry, target: Option<&Target>) -> Option<Attachment> {
        let device = entry.name.get_ref();
        if let Some(board) = &entry.virtual_board {
            let own = [
                ("probe", entry.probe.as_ref().map(toml::Spanned::span)),
                ("console", entry.console.as_ref().map(toml::Spanned::span)),
                ("power", entry.power.as_ref().map(toml::Spanned::span)),
                ("network", entry.network.as_ref().map(toml::Spanned::span)),
                (
                    "actuators",
                    entry.actuators.keys().next().map(toml::Spanned::span),
                ),
            ];
            for (key, span) in own {
                let kind = ProblemKind::VirtualAndReal {
                    device: device.clone(),
                    key,
                };
                self.problems
                    .extend(span.map(|span| self.source.problem(kind, span)));
            }
            return self.virtual_board(board.get_ref()).map(Attachment::Virtual);
        }
        let is_wired = entry.probe.is_some()
            || entry.console.is_some()
            || entry.power.is_some()
            || entry.network.is_some()
            || !entry.actuators.is_empty();
        if !is_wired && entry.label.is_empty() {
            let kind = ProblemKind::NotWired {
                device: device.clone(),
            };
            self.problems
                .push(self.source.problem(kind, entry.name.span()));
        }
        self.needs_a_probe(entry);
        let actuator_names = entry.actuators.keys();
        self.problems.extend(check::names(
            self.source,
            "actuator",
            "an actuator",
            actuator_names,
        ));
        let baud = target.map_or(0, |target| target.console.baud);
        Some(Attachment::Real(Wiring {
            probe: entry
                .probe
                .as_ref()
                .and_then(|probe| self.probe(probe.get_ref())),
            console: entry
                .console
                .as_ref()
                .and_then(|console| self.console(console.get_ref(), baud)),
            power: entry
                .power
                .as_ref()
                .and_then(|power| self.switch(power, Role::Power)),
            network: entry
                .network
                .as_ref()
                .and_then(|network| self.network(network.get_ref())),
            actuators: entry
                .actuators
                .iter()
                .filter_map(|(name, entry)| {
                    Some((name.get_ref().clone(), self.switch(entry, Role::Actuator)?))
                })
                .collect(),
        }))
    }

    /// What is a part of the debug probe takes one.
    fn needs_a_probe(&mut self, entry: &DeviceEntry) {
        if entry.probe.is_some() {
            return;
        }
        let buttons = entry.actuators.values();
        let lines = buttons.filter(|button| button.get_ref().is_probe());
        let lines = lines.map(toml::Spanned::span);
        let console = entry
            .console
            .as_ref()
            .map(|console| &console.get_ref().port);
        let rtt = console.filter(|port| {
            let port = port.get_ref().to_string_lossy();
            port.starts_with(ConsolePort::RTT)
        });
        for span in lines.chain(rtt.map(toml::Spanned::span)) {
            let kind = ProblemKind::NoProbe {
                device: entry.name.get_ref().clone(),
            };
            self.problems.push(self.source.problem(kind, span));
        }
    }

    fn virtual_board(&mut self, entry: &VirtualEntry) -> Option<VirtualBoard> {
        let board = entry.board.get_ref();
        if !VIRTUAL_BOARDS.contains(&board.as_str()) {
            let kind = ProblemKind::Unknown {
                what: "virtual board".into(),
                name: board.clone(),
                known: suggest::by_likeness(board, VIRTUAL_BOARDS),
            };
            self.problems
                .push(self.source.problem(kind, entry.board.span()));
            return None;
        }
        Some(VirtualBoard {
            board: board.clone(),
            dir: entry.dir.as_ref().map(|dir| self.dir.join(dir.get_ref())),
            program: entry.program.as_ref().map(|program| self.dir.join(program)),
        })
    }

    fn probe(&mut self, entry: &ProbeEntry) -> Option<ProbeConfig> {
        let selector = entry.selector.get_ref();
        if selector
            .parse::<probe_rs::probe::DebugProbeSelector>()
            .is_err()
        {
            let kind = ProblemKind::Selector {
                selector: selector.clone(),
            };
            self.problems
                .push(self.source.problem(kind, entry.selector.span()));
            return None;
        }
        Some(ProbeConfig {
            selector: selector.clone(),
            protocol: entry.protocol,
            speed_khz: entry.speed_khz.map(std::num::NonZeroU32::get),
        })
    }

    fn console(&mut self, entry: &ConsoleEntry, baud: u32) -> Option<ConsoleConfig> {
        let text = entry.port.get_ref();
        let port = ConsolePort::parse(text, self.dir).map_err(|reason| {
            let url = text.display().to_string();
            let kind = ProblemKind::ConsoleUrl { url, reason };
            self.problems
                .push(self.source.problem(kind, entry.port.span()));
        });
        Some(ConsoleConfig {
            port: port.ok()?,
            baud: entry.baud.map_or(baud, std::num::NonZeroU32::get),
        })
    }

    fn network(&mut self, entry: &NetworkEntry) -> Option<NetworkPort> {
        let interface = entry.interface.get_ref();
        let vlan = entry.vlan.as_ref();
        let before = self.problems.len();
        if !check::is_interface(interface) {
            let kind = ProblemKind::Interface {
                name: interface.clone(),
            };
            let problem = self.source.problem(kind, entry.interface.span());
            self.problems.push(problem);
        }
        if let Some(vlan) = vlan
            && !VLANS.contains(vlan.get_ref())
        {
            let kind = ProblemKind::Vlan {
                number: *vlan.get_ref(),
            };
            self.problems.push(self.source.problem(kind, vlan.span()));
        }
        (self.problems.len() == before).then(|| NetworkPort {
            interface: interface.clone(),
            vlan: vlan.map(|vlan| *vlan.get_ref()),
        })
    }

    fn switch(&mut self, entry: &toml::Spanned<SwitchConfig>, role: Role) -> Option<SwitchConfig> {
        let resolved = entry
            .get_ref()
            .resolve(self.dir, role, self.source, &entry.span());
        resolved.map_err(|problem| self.problems.push(problem)).ok()
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
