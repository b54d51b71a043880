//! The command line: one file per subcommand. The only place that prints and picks exit codes.

mod check;
mod compare;
mod completions;
mod console;
mod context;
mod doctor;
mod exit;
mod flash;
mod list;
mod man;
mod output;
mod plan;
mod power;
mod reports;
mod run;
mod schema;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use context::Files;
pub use exit::Exit;
use exit::Failure;

use crate::bench::network::enter_user_namespace;

/// Tests whether IoT devices meet ETSI EN 303 645, as ETSI TS 103 701 says, on real boards.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Plan(plan::Arguments),
    Compare(compare::Arguments),
    Devices(list::Devices),
    List(list::Arguments),
    Flash(flash::Arguments),
    Console(console::Arguments),
    Power(power::Arguments),
    Check(check::Arguments),
    Doctor(doctor::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// As it is called in scripts, completions and manual pages.
const NAME: &str = "provebench";

/// All that the command line takes: what completions, manual pages and tests of documents are made of.
pub fn command() -> clap::Command {
    Cli::command().name(NAME)
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    // Silent unless asked: what matters is told by the commands themselves.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_env("PROVEBENCH_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let cli = Cli::parse();
    match cli.command.act(&cli.files) {
        Ok(exit) => exit.into(),
        Err(Failure { exit, report }) => {
            eprintln!("{report:?}");
            exit.into()
        }
    }
}

impl Command {
    fn act(self, files: &Files) -> Result<Exit, Failure> {
        if matches!(self, Self::Run(_) | Self::Plan(_) | Self::Doctor(_)) {
            // Only while there are no threads yet. Where it is not allowed, the plan says what can't be run for that.
            if let Err(error) = enter_user_namespace() {
                tracing::debug!(%error, "no user namespace");
            }
        }
        match self {
            Self::Run(arguments) => run::act(&arguments, files),
            Self::Plan(arguments) => plan::act(&arguments, files),
            Self::Compare(arguments) => compare::act(&arguments),
            Self::Devices(arguments) => list::act_on_devices(&arguments, files),
            Self::List(arguments) => list::act(&arguments, files),
            Self::Flash(arguments) => flash::act(&arguments, files),
            Self::Console(arguments) => console::act(&arguments, files),
            Self::Power(arguments) => power::act(&arguments, files),
            Self::Check(check::Arguments {}) => Ok(check::act(files)),
            Self::Doctor(arguments) => doctor::act(&arguments, files),
            Self::Schema(arguments) => Ok(schema::act(&arguments)),
            Self::Completions(arguments) => Ok(completions::act(&arguments)),
            Self::Man(arguments) => man::act(&arguments),
        }
    }
}
