//! The command line: one file per subcommand. The only place that prints and picks exit codes.

mod check;
mod compare;
mod completions;
mod console;
mod context;
mod doctor;
mod exit;
mod explain;
mod flash;
mod list;
mod man;
mod output;
mod plan;
mod power;
mod run;
mod schema;
mod stop;
mod terminal;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use nix::sys::stat::{Mode, umask};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use context::Files;
pub use exit::Exit;
use exit::Failure;
use output::{complete, lost, tell};

use provebench_network::enter_user_namespace;
use provebench_record::explain::with_remedy;

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
#[expect(clippy::large_enum_variant, reason = "there is only one")]
enum Command {
    Run(run::Arguments),
    Plan(plan::Arguments),
    Compare(compare::Arguments),
    Devices(list::Devices),
    List(list::Arguments),
    Explain(explain::Arguments),
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

/// The variable that asks for a log on standard error.
const LOG: &str = "PROVEBENCH_LOG";

/// All that the command line takes: what completions, manual pages and tests of documents are made of.
pub fn command() -> clap::Command {
    Cli::command().name(NAME)
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    keep_what_is_ours();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return explain(&told).into(),
    };
    let done = log().and_then(|()| cli.command.act(&cli.files));
    let exit = done.unwrap_or_else(|Failure { exit, report }| {
        tell(&format!("{:?}\n", with_remedy(report)));
        exit
    });
    complete(exit).into()
}

/// Help, version, or what is wrong with the command line.
fn explain(told: &clap::Error) -> Exit {
    let printed = told.print();
    if told.use_stderr() {
        return Exit::Usage;
    }
    printed.unwrap_or_else(lost);
    complete(Exit::Ok)
}

/// Files that their owner may not read or write are of no use, whatever the umask.
fn keep_what_is_ours() {
    let given = umask(Mode::S_IRWXG | Mode::S_IRWXO);
    umask(given - Mode::S_IRWXU);
}

/// Silent unless asked: what matters is told by the commands themselves.
fn log() -> Result<(), Failure> {
    let asked = std::env::var(LOG).unwrap_or_default();
    let wanted = if asked.is_empty() { "off" } else { &asked };
    let filter =
        EnvFilter::try_new(wanted).map_err(|source| Failure::usage(LogError { source }))?;
    let has_colours = io::stderr().is_terminal() && ::console::colors_enabled_stderr();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(has_colours)
        // It would be told where it could not be told.
        .log_internal_errors(false)
        .init();
    Ok(())
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{LOG} can't be understood")]
#[diagnostic(help(
    "write a level, such as `debug`, or levels of parts: `provebench=debug,probe_rs=warn`"
))]
struct LogError {
    source: ParseError,
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
            Self::Explain(arguments) => explain::act(&arguments, files),
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
