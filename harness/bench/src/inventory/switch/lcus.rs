//! Serial relay boards.

use std::num::{NonZeroU8, NonZeroU32};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem};

/// A relay of a USB relay board with the four-byte protocol of LCUS boards (CH340).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LcusConfig {
    /// Path of the port, best a stable one: `/dev/serial/by-id/...`.
    pub port: PathBuf,
    /// Bits per second; 9600 unless given.
    #[serde(default = "super::slow")]
    pub baud: NonZeroU32,
    /// Number of the relay; 1 unless given.
    #[serde(default = "super::first")]
    pub relay: NonZeroU8,
    /// The board answers when asked for its state. `false` for boards that do not: then what it was told is believed.
    #[serde(default = "yes")]
    pub feedback: bool,
}

impl Settings for LcusConfig {
    fn output(&self) -> String {
        format!("relay {} at {}", self.relay, self.port.display())
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        // FF is the question for the state.
        if self.relay.get() == u8::MAX {
            return Err(problem(
                "lcus",
                "no board has a relay 255",
                "correct `relay`",
            ));
        }
        Ok(())
    }

    fn rebase(&mut self, dir: &Path) {
        self.port = dir.join(&self.port);
    }
}

fn yes() -> bool {
    true
}
