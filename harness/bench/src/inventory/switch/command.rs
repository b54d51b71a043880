//! Whatever has a program that switches it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ProblemKind, Role, Settings, problem};
use crate::inventory::LONGEST;

/// Programs that switch. Each is a list: the program, then its arguments. No shell is involved. A program without `/` is
/// looked for in PATH, others relative to devices.toml.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// Switches on; exit code 0 says that it did.
    pub on: Vec<String>,
    /// Switches off; exit code 0 says that it did.
    pub off: Vec<String>,
    /// Tells the state: prints `on` or `off` (or 1 or 0) and exits with 0; or prints nothing and exits with 0 for on,
    /// 1 for off. Without it, `on` and `off` are believed.
    pub state: Option<Vec<String>>,
    /// How long each may take, in seconds; 30 unless given.
    #[serde(default = "half_a_minute")]
    pub timeout: f64,
}

impl CommandConfig {
    /// How long each may take.
    pub fn limit(&self) -> Duration {
        // Checked when the inventory was read.
        Duration::try_from_secs_f64(self.timeout).unwrap_or(Duration::from_secs(30))
    }

    /// Names the folder of what switches it on as `other` does. Not the program itself: one that is a link to another may
    /// go by its own name.
    pub(super) fn replace_folder(&mut self, other: impl Fn(&Path) -> io::Result<PathBuf>) {
        let Some(program) = self.on.first_mut().filter(|program| program.contains('/')) else {
            return;
        };
        let path = Path::new(program);
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && let Ok(folder) = other(folder)
        {
            *program = folder.join(name).to_string_lossy().into_owned();
        }
    }
}

impl Settings for CommandConfig {
    fn output(&self) -> String {
        format!("what `{}` switches", self.on.join(" "))
    }

    fn secrets(&self) -> Vec<String> {
        let commands = [Some(&self.on), Some(&self.off), self.state.as_ref()];
        let words = commands.into_iter().flatten().flatten();
        words.flat_map(|word| super::secrets_of_url(word)).collect()
    }

    fn check(&self, _: Role) -> Result<(), ProblemKind> {
        let commands = [("on", Some(&self.on)), ("off", Some(&self.off))];
        let commands = commands.into_iter().chain([("state", self.state.as_ref())]);
        for (key, command) in commands {
            if command.is_some_and(|words| words.first().is_none_or(String::is_empty)) {
                let remedy = "write a list: the program, then its arguments";
                return Err(problem("command", format!("`{key}` is empty"), remedy));
            }
        }
        if self.on == self.off {
            let remedy = "give the two commands arguments that differ";
            return Err(problem("command", "`on` and `off` are the same", remedy));
        }
        let limit = Duration::try_from_secs_f64(self.timeout);
        if !limit.is_ok_and(|limit| !limit.is_zero() && limit <= LONGEST) {
            let what = format!(
                "`timeout` can't be {} s",
                provebench_record::text::number(self.timeout)
            );
            return Err(problem("command", what, "write seconds, such as 30"));
        }
        Ok(())
    }

    fn rebase(&mut self, dir: &Path) {
        let commands = [Some(&mut self.on), Some(&mut self.off), self.state.as_mut()];
        for command in commands.into_iter().flatten() {
            if let Some(program) = command.first_mut()
                && program.contains('/')
            {
                // Relative to the present folder, a bare name of devices.toml has no folder.
                let dir = if dir == Path::new("") {
                    Path::new(".")
                } else {
                    dir
                };
                *program = dir.join(&*program).to_string_lossy().into_owned();
            }
        }
    }
}

fn half_a_minute() -> f64 {
    30.0
}
