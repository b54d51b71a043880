//! What the bench's own computer switches: lines of its GPIO chips, and the power of USB ports.

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem};

/// A port of a USB hub that switches the power of each (what `uhubctl` lists).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsbHubConfig {
    /// The hub, as in /sys/bus/usb/devices: `1-1.4`, or `usb1` for a root hub.
    pub hub: String,
    /// Number of the port, from 1.
    pub port: NonZeroU8,
}

/// A line of a GPIO chip.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpioConfig {
    /// The chip; `/dev/gpiochip0` unless given.
    #[serde(default = "first_chip")]
    pub chip: PathBuf,
    /// Number of the line on the chip (`gpioinfo` shows them).
    pub line: u32,
    /// The line is low for on.
    #[serde(default)]
    pub active_low: bool,
}

impl UsbHubConfig {
    /// Where the kernel shows USB devices.
    pub const DEVICES: &str = "/sys/bus/usb/devices";

    /// A port of a USB 3 hub has two halves with one power, each the other's `peer`: the one whose name comes first.
    pub(super) fn first_half(&self, devices: &Path) -> Self {
        let peer = self.folder(devices).join("peer").read_link();
        let peer = peer.ok().and_then(|folder| {
            let (hub, port) = folder.file_name()?.to_str()?.rsplit_once("-port")?;
            let (hub, port) = (hub.to_owned(), port.parse().ok()?);
            Some(Self { hub, port })
        });
        let halves = [Some(self.clone()), peer].into_iter().flatten();
        let first = halves.min_by(|a, b| (&a.hub, a.port).cmp(&(&b.hub, b.port)));
        first.unwrap_or_else(|| self.clone())
    }

    /// The kernel's folder for the port; `devices` is where it shows USB devices.
    pub fn folder(&self, devices: &Path) -> PathBuf {
        // A root hub's interface has the bus's number only.
        let interface = match self.hub.strip_prefix("usb") {
            Some(bus) => format!("{bus}-0:1.0"),
            None => format!("{}:1.0", self.hub),
        };
        let port = format!("{}-port{}", self.hub, self.port);
        devices.join(interface).join(port)
    }
}

impl Settings for UsbHubConfig {
    fn output(&self) -> String {
        format!("port {} of USB hub {}", self.port, self.hub)
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_root = self.hub.strip_prefix("usb").is_some_and(number);
        let is_hub = self
            .hub
            .split_once('-')
            .is_some_and(|(bus, ports)| number(bus) && ports.split('.').all(number));
        if is_root || is_hub {
            return Ok(());
        }
        let what = format!("`{}` is not the place of a hub", self.hub);
        let remedy =
            "write it as in /sys/bus/usb/devices, such as 1-1.4 or usb1; `uhubctl` lists them";
        Err(problem("usb-hub", what, remedy))
    }
}

impl Settings for GpioConfig {
    fn output(&self) -> String {
        format!("line {} of {}", self.line, self.chip.display())
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        Ok(())
    }

    fn rebase(&mut self, dir: &Path) {
        self.chip = dir.join(&self.chip);
    }
}

fn first_chip() -> PathBuf {
    "/dev/gpiochip0".into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_halves_of_a_usb_3_port_are_one_output() {
        let devices = tempfile::tempdir().unwrap();
        let port = |hub: &str| UsbHubConfig {
            hub: hub.into(),
            port: NonZeroU8::new(2).unwrap(),
        };
        let (one, other) = (port("1-1"), port("2-1"));
        let folders = [&one, &other].map(|port| port.folder(devices.path()));
        for (folder, peer) in [(&folders[0], &folders[1]), (&folders[1], &folders[0])] {
            fs::create_dir_all(folder).unwrap();
            symlink(peer, folder.join("peer")).unwrap();
        }
        assert_eq!(one.first_half(devices.path()), one);
        assert_eq!(other.first_half(devices.path()), one);
        let alone = port("3-1");
        assert_eq!(alone.first_half(devices.path()), alone);
    }
}
