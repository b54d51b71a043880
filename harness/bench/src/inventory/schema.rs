//! JSON Schemas of the files, so that editors complete and check them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::file::{DevicesFile, ProvidedFile, TargetFile};
use provebench_standard::{Catalogue, Claim, IXIT_TABLES};

/// A kind of file that has a schema. Displays as the command line knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum SchemaKind {
    /// `devices.toml`
    Devices,
    /// `target.toml`
    Target,
    /// `ics.toml`
    Ics,
    /// `ixit.toml`
    Ixit,
    /// What a `provider` prints.
    Wiring,
}

impl SchemaKind {
    /// What it is the schema of.
    pub const fn of(self) -> &'static str {
        match self {
            Self::Devices => "devices.toml",
            Self::Target => "target.toml",
            Self::Ics => "ics.toml",
            Self::Ixit => "ixit.toml",
            Self::Wiring => "what a provider prints",
        }
    }
}

/// The JSON Schema (draft 7, which TOML editors take) of a kind of file.
pub fn schema(kind: SchemaKind) -> Value {
    match kind {
        SchemaKind::Devices => schema_of::<DevicesFile>(kind),
        SchemaKind::Target => schema_of::<TargetFile>(kind),
        SchemaKind::Ics => ics(),
        SchemaKind::Ixit => ixit(),
        SchemaKind::Wiring => schema_of::<ProvidedFile>(kind),
    }
}

fn schema_of<T: JsonSchema>(kind: SchemaKind) -> Value {
    let mut schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(kind.of()));
    schema.to_value()
}

/// One claim for each provision, so that editors offer them with what they are about.
fn ics() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let claim: Schema = generator.subschema_for::<Claim>();
    let provisions: Map<String, Value> = Catalogue::shipped()
        .provisions()
        .map(|provision| {
            let about = format!("{} ({})", provision.title, provision.status);
            (
                provision.id.to_string(),
                json!({ "description": about, "allOf": [&claim] }),
            )
        })
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ics.toml",
        "description": "What the supplier claims for each provision of EN 303 645.",
        "type": "object",
        "properties": provisions,
        "additionalProperties": false,
        "definitions": generator.take_definitions(true),
    })
}

/// The IXIT's tables are lists of entries whose fields are the supplier's business.
fn ixit() -> Value {
    let tables: Map<String, Value> = IXIT_TABLES
        .iter()
        .map(|&table| {
            (
                table.to_owned(),
                json!({ "type": "array", "items": { "type": "object" } }),
            )
        })
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ixit.toml",
        "description": "How the supplier meets the provisions: the tables of TS 103 701.",
        "type": "object",
        "properties": tables,
        "additionalProperties": false,
    })
}
