use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use strum::VariantArray;

use super::exit::Exit;
use super::output::out;
use provebench_bench::inventory::{SchemaKind, schema};

/// Print the JSON Schema of a file, for completion and checks in editors
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_parser = kinds())]
    what: SchemaKind,
}

fn kinds() -> impl TypedValueParser<Value = SchemaKind> {
    let kinds = SchemaKind::VARIANTS.iter();
    let kinds = kinds.map(|kind| PossibleValue::new(<&str>::from(kind)).help(kind.of()));
    PossibleValuesParser::new(kinds).try_map(|kind| kind.parse::<SchemaKind>())
}

pub(super) fn act(arguments: &Arguments) -> Exit {
    let schema = schema(arguments.what);
    out(&format!("{schema:#}\n"));
    Exit::Ok
}
