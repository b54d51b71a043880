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
