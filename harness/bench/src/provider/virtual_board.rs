//! A virtual board: a program that provides one, with what is around it known beforehand.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::{Program, program::Remedies};
use crate::Capability;

/// The machines that it can emulate.
pub(crate) const BOARDS: [&str; 1] = ["mps2-an385"];
/// The program, unless `devices.toml` names another.
const PROGRAM: &str = "virtual-board";

/// The provider of device `name`, with its memory in `dir` and the program that stands for the board, where those are given.
pub(crate) fn virtual_board(
    name: &str,
    dir: Option<PathBuf>,
    program: Option<PathBuf>,
    base: &Path,
) -> Program {
    let dir = dir.unwrap_or_else(|| state_dir().join(folder_name(name)));
    let program = program.unwrap_or_else(beside_this_program);
    let arguments = ["--name", name, "--power", "off", "--dir"].map(Into::into);
    let mut command = vec![program.into_os_string()];
    command.extend(arguments);
    command.push(dir.clone().into_os_string());
    Program {
        command,
        provides: [
            Capability::Probe,
            Capability::Console,
            Capability::Power,
            Capability::PowerCutAtWrite,
            Capability::Press("reset".into()),
            Capability::Net,
        ]
        .into(),
        takes_cable: true,
        // That makes it another board than the next one.
        memory: Some(dir),
        base: base.to_owned(),
        kind: "virtual",
        what: "virtual board",
        remedies: Remedies {
            no_program: "build it (`cargo build --workspace`), or name it in devices.toml: virtual = { program = \"...\" }",
            refused: "if QEMU is missing, `ci/setup` installs it; if the board's folder is in use, another run has the board",
            not_ready: "are harness and virtual board of the same version? Build both: `cargo build --workspace`",
        },
        limit: Program::START_LIMIT,
    }
}

/// Next to the harness; test programs lie one folder deeper.
fn beside_this_program() -> PathBuf {
    let here = env::current_exe().unwrap_or_default();
    let folders = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(PROGRAM));
    let mut candidates = folders.collect::<Vec<_>>();
    let first = if candidates.is_empty() {
        PathBuf::from(PROGRAM)
    } else {
        candidates.remove(0)
    };
    candidates
        .into_iter()
        .find(|program| !first.exists() && program.exists())
        .unwrap_or(first)
}

/// Where the memory of virtual boards outlives a run, unless `devices.toml` says where.
fn state_dir() -> PathBuf {
    let home = |variable: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    home("XDG_STATE_HOME")
        .or_else(|| Some(home("HOME")?.join(".local/state")))
        .unwrap_or_else(env::temp_dir)
        .join("provebench/boards")
}

/// A device's name as a folder's name.
fn folder_name(device: &str) -> String {
    device
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sensor-a", "sensor-a")]
    #[case("../../etc", "______etc")]
    fn a_device_name_stays_in_the_folder(#[case] device: &str, #[case] folder: &str) {
        assert_eq!(folder_name(device), folder);
    }
}
