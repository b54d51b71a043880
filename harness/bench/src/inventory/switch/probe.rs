//! The reset line of the device's own debug probe.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem};

/// nRST of the device's debug probe: pressed, it holds the chip in reset.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeResetConfig {}

impl Settings for ProbeResetConfig {
    fn output(&self) -> String {
        "nRST of the debug probe".into()
    }

    fn check(&self, role: Role) -> Result<(), ProblemKind> {
        if role == Role::Actuator {
            return Ok(());
        }
        Err(problem(
            "probe",
            "a debug probe resets the chip, it does not switch its power",
            "use it for an actuator: actuators.reset = { driver = \"probe\" }",
        ))
    }
}
