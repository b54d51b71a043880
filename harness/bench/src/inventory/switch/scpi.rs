//! Laboratory supplies.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, is_host, problem, same_host};

/// An output of a supply that speaks SCPI, in the network (`host`) or at a serial port (`port`).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScpiConfig {
    /// Its name or address in the network.
    pub host: Option<String>,
    /// Its TCP port for SCPI; 5025 unless given.
    #[serde(default = "scpi_raw")]
    pub tcp_port: NonZeroU16,
    /// Path of the serial port that it's at, best a stable one: `/dev/serial/by-id/...`.
    pub port: Option<PathBuf>,
    /// Bits per second of the serial port; 9600 unless given.
    #[serde(default = "super::slow")]
    pub baud: NonZeroU32,
    /// Number of the output, for supplies with several (`INST:NSEL`).
    pub channel: Option<NonZeroU8>,
    /// Voltage in V, set before it is switched on; as set at the supply unless given.
    pub voltage: Option<f64>,
    /// Limit of the current in A, set before it is switched on; as set at the supply unless given.
    pub current: Option<f64>,
    /// It takes commands only after `SYST:REM`, as many supplies do at their serial port.
    #[serde(default)]
    pub remote: bool,
}

impl ScpiConfig {
    /// Where it is.
    pub(super) fn supply(&self) -> String {
        match (&self.host, &self.port) {
            (Some(host), _) => format!("{}:{}", same_host(host), self.tcp_port),
            (None, Some(port)) => port.display().to_string(),
            (None, None) => "nothing".to_owned(),
        }
    }
}

impl Settings for ScpiConfig {
    fn output(&self) -> String {
        let supply = self.supply();
        match self.channel {
            Some(channel) => format!("output {channel} of {supply}"),
            None => format!("the output of {supply}"),
        }
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        let where_is_it = match (&self.host, &self.port) {
            (Some(host), None) if !is_host(host) => {
                Some(format!("`{host}` is not a name or address"))
            }
            (Some(_), None) | (None, Some(_)) => None,
            (Some(_), Some(_)) => Some("it has both `host` and `port`".to_owned()),
            (None, None) => Some("it has neither `host` nor `port`".to_owned()),
        };
        if let Some(what) = where_is_it {
            let remedy = "write host = \"NAME or ADDRESS\", or port = \"/dev/serial/by-id/...\"";
            return Err(problem("scpi", what, remedy));
        }
        for (key, value) in [("voltage", self.voltage), ("current", self.current)] {
            if value.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
                let what = format!("`{key}` can't be {}", value.unwrap_or_default());
                return Err(problem(
                    "scpi",
                    what,
                    "write volts and amperes, such as 5.0",
                ));
            }
        }
        Ok(())
    }

    fn rebase(&mut self, dir: &Path) {
        self.port = self.port.take().map(|port| dir.join(port));
    }
}

fn scpi_raw() -> NonZeroU16 {
    const { NonZeroU16::new(5025).unwrap() }
}
