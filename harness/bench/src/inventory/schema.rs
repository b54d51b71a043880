//! JSON Schemas of the files, so that editors complete and check them.

use std::fmt;
use std::str::FromStr;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::file::{DevicesFile, ProvidedFile, TargetFile};
use provebench_standard::{Catalogue, Claim, IXIT_TABLES};

/// A kind of file that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Devices,
        Self::Target,
        Self::Ics,
        Self::Ixit,
        Self::Wiring,
    ];

    /// The name that the command line knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Target => "target",
            Self::Ics => "ics",
            Self::Ixit => "ixit",
            Self::Wiring => "wiring",
        }
    }
}

/// The JSON Schema (draft 7, which TOML editors take) of a kind of file.
pub fn schema(kind: SchemaKind) -> Value {
    match kind {
        SchemaKind::Devices => schema_of::<DevicesFile>("devices.toml"),
        SchemaKind::Target => schema_of::<TargetFile>("target.toml"),
        SchemaKind::Ics => ics(),
        SchemaKind::Ixit => ixit(),
        SchemaKind::Wiring => schema_of::<ProvidedFile>("what a provider prints"),
    }
}

fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(title));
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

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SchemaKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                let all = Self::ALL.map(Self::as_str).join(", ");
                format!("there is no schema `{text}`, but: {all}")
            })
    }
}
