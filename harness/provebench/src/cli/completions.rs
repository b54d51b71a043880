use clap::Args;
use clap_complete::{Shell, generate};

use super::exit::Exit;
use super::output::out;
use super::{NAME, command};

/// Print the completions of a shell
///
/// bash: provebench completions bash > ~/.local/share/bash-completion/completions/provebench
///
/// fish: provebench completions fish > ~/.config/fish/completions/provebench.fish
///
/// zsh: provebench completions zsh > DIR/_provebench, with DIR in $fpath before compinit is called
#[derive(Debug, Args)]
pub(super) struct Arguments {
    shell: Shell,
}

pub(super) fn act(arguments: &Arguments) -> Exit {
    let mut script = Vec::new();
    generate(arguments.shell, &mut command(), NAME, &mut script);
    out(&String::from_utf8_lossy(&script));
    Exit::Ok
}
