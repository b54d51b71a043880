use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::output::out;
use provebench_bench::inventory::{SchemaKind, schema};

/// Print the JSON Schema of a file, for completion and checks in editors
#[derive(Debug, Args)]
pub(super) struct Arguments {
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// devices.toml
    Devices,
    /// target.toml
    Target,
    /// ics.toml
    Ics,
    /// ixit.toml
    Ixit,
}

pub(super) fn act(arguments: &Arguments) -> Exit {
    let schema = schema(match arguments.what {
        What::Devices => SchemaKind::Devices,
        What::Target => SchemaKind::Target,
        What::Ics => SchemaKind::Ics,
        What::Ixit => SchemaKind::Ixit,
    });
    out(&format!("{schema:#}\n"));
    Exit::Ok
}
