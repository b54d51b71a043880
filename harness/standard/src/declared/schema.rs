//! JSON Schemas of ICS and IXIT, so that editors complete them and explain each field while one types.

use serde_json::{Map, Value, json};

use super::facts::{FactInfo, FactKind, facts_of};
use super::ics::{DOCUMENT, PRODUCT, SUPPLIER};
use super::ixit::OWN;
use crate::{Catalogue, Entry, FieldKind, IxitField, IxitTable, ProForma};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// Of an ICS.
pub fn ics_schema() -> Value {
    let catalogue = Catalogue::shipped();
    let answer = json!({
        "type": "object",
        "properties": {
            "support": {
                "enum": ["yes", "no", "n/a"],
                "description": "Whether the provision is met; n/a if what it depends on is absent.",
            },
            "detail": {
                "type": "string",
                "description": "How it is met, why it is not, or how was found that it does not apply.",
            },
        },
        "required": ["support"],
        "additionalProperties": false,
    });
    let provisions = catalogue.provisions().map(|provision| {
        let about = format!("{} ({})", provision.title, provision.status);
        (
            provision.id.to_string(),
            json!({ "description": about, "allOf": [{ "$ref": "#/definitions/answer" }] }),
        )
    });
    let declared = |keys: Vec<(&str, &str)>| {
        let holds = keys.into_iter().map(|(key, meaning)| {
            let flag = with_detail(&json!({ "type": "boolean" }));
            (key.to_owned(), described(flag, meaning))
        });
        object(holds)
    };
    let party = |keys: &[&str]| {
        let texts = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
        object(keys.iter().map(|&key| (key.to_owned(), texts.clone())))
    };
    let tables = [
        (
            "conditions",
            described(
                declared(catalogue.conditions()),
                "Which conditions (C) hold.",
            ),
        ),
        (
            "features",
            described(
                declared(catalogue.features()),
                "Which features (F) the product has.",
            ),
        ),
        (
            "product",
            described(party(&PRODUCT), "The device under test."),
        ),
        (
            "supplier",
            described(party(&SUPPLIER), "Who asks for the assessment."),
        ),
        ("document", described(party(&DOCUMENT), "This statement.")),
    ];
    let tables = tables
        .into_iter()
        .map(|(key, schema)| (key.to_owned(), schema));
    root(
        "Implementation conformance statement: what the supplier claims for each provision of EN 303 645.",
        provisions.chain(tables),
        json!({ "answer": answer }),
    )
}

/// Of an IXIT.
pub fn ixit_schema() -> Value {
    let tables = ProForma::shipped().tables().iter();
    let tables = tables.map(|table| (table.id.clone(), of_table(table)));
    root(
        "Implementation extra information for testing: how the product does what the ICS claims.",
        tables,
        json!({}),
    )
}

fn root(
    about: &str,
    properties: impl IntoIterator<Item = (String, Value)>,
    definitions: Value,
) -> Value {
    let mut schema = object(properties);
    schema["$schema"] = json!(DRAFT);
    schema["description"] = json!(about);
    schema["definitions"] = definitions;
    schema
}

fn of_table(table: &IxitTable) -> Value {
    let fields = table
        .fields
        .iter()
        .map(|field| (field.key.clone(), of_field(field)));
    let facts = facts_of(&table.id).map(|fact| (fact.key.clone(), of_fact(fact)));
    let own = json!({
        "type": "object",
        "description": "What the pro forma has in prose only, stated for rules, and parameters of test cases.",
        "properties": facts.collect::<Map<_, _>>(),
    });
    let own = [(OWN.to_owned(), own)];
    let mut row = object(fields.chain(own));
    if table.entry == Entry::Many {
        row["required"] = json!(["id"]);
    }
    let rows = match table.entry {
        Entry::Many => json!({ "type": "array", "items": row }),
        Entry::Single => {
            json!({ "anyOf": [row, { "type": "array", "items": row, "maxItems": 1 }] })
        }
    };
    described(rows, &format!("{}: {}", table.title, table.each))
}

fn of_field(field: &IxitField) -> Value {
    let text = json!({ "type": "string" });
    let schema = match &field.kind {
        FieldKind::Text | FieldKind::Address if field.key == "id" => text,
        FieldKind::Text | FieldKind::Address => {
            with_detail(&json!({ "anyOf": [text, words(&[])] }))
        }
        FieldKind::List { choices } => with_detail(&one_or_more(choices)),
        FieldKind::Choice { choices } => with_detail(&json!({ "enum": choices })),
        FieldKind::Reference { .. } => with_detail(&one_or_more(&[])),
        FieldKind::Boolean => with_detail(&json!({ "type": "boolean" })),
    };
    let mut about = format!("{}: {}.", field.name, field.meaning);
    if let FieldKind::Reference { refers_to } = &field.kind {
        about.push_str(" Ids of rows in ");
        about.push_str(&refers_to.join(", "));
        about.push_str(", or \"none: ...\" with a reason.");
    }
    match &field.required_when {
        _ if field.required => about.push_str(" In each row."),
        Some(when) => {
            about.push_str(" When ");
            about.push_str(when);
            about.push('.');
        }
        None => {}
    }
    described(schema, &about)
}

fn of_fact(fact: &FactInfo) -> Value {
    let schema = match fact.kind {
        FactKind::Boolean => with_detail(&json!({ "type": "boolean" })),
        FactKind::Word => with_detail(&json!({ "enum": fact.choices })),
        FactKind::Words => with_detail(&one_or_more(&fact.choices)),
        FactKind::Ids => with_detail(&one_or_more(&[])),
        FactKind::Number => json!({ "type": "integer" }),
        FactKind::Text => json!({ "type": "string" }),
    };
    described(schema, &fact.meaning)
}

fn words(choices: &[String]) -> Value {
    let word = if choices.is_empty() {
        json!({ "type": "string" })
    } else {
        json!({ "enum": choices })
    };
    json!({ "type": "array", "items": word })
}

/// A word, or a list of them.
fn one_or_more(choices: &[String]) -> Value {
    let list = words(choices);
    json!({ "anyOf": [list["items"], list] })
}

/// The value, or `{ is = VALUE, detail = "..." }`.
fn with_detail(value: &Value) -> Value {
    let pair = json!({
        "type": "object",
        "properties": { "is": value, "detail": { "type": "string", "description": "What else there is to be said." } },
        "required": ["is"],
        "additionalProperties": false,
    });
    json!({ "anyOf": [value, pair] })
}

/// An object with these properties and no others.
fn object(properties: impl IntoIterator<Item = (String, Value)>) -> Value {
    let properties: Map<String, Value> = properties.into_iter().collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = json!(about);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_and_fact_is_there_with_what_it_tells() {
        let schema = ixit_schema();
        for table in ProForma::shipped().tables() {
            let of_table = &schema["properties"][&table.id];
            assert!(of_table["description"].is_string(), "{}", table.id);
            let row = match table.entry {
                Entry::Many => &of_table["items"],
                Entry::Single => &of_table["anyOf"][0],
            };
            assert_eq!(row["additionalProperties"], false);
            for field in &table.fields {
                let about = row["properties"][&field.key]["description"].as_str();
                assert!(
                    about.is_some_and(|about| about.contains(&field.meaning)),
                    "{}",
                    field.key
                );
            }
            for fact in facts_of(&table.id) {
                let own = &row["properties"][OWN]["properties"][&fact.key];
                assert_eq!(own["description"], fact.meaning.as_str());
            }
        }
    }

    #[test]
    fn values_are_those_that_are_read() {
        let schema = ixit_schema();
        let field = |table: &str, key: &str| {
            let row = &schema["properties"][table]["items"];
            row["properties"][key]["anyOf"][0].clone()
        };
        assert_eq!(
            field("10-SecParam", "type"),
            json!({ "enum": ["critical", "public"] })
        );
        assert_eq!(
            field("15-PhyIntf", "debug_interface"),
            json!({ "type": "boolean" })
        );
        let text = json!({ "type": "string" });
        assert_eq!(
            field("6-SoftComp", "update_mechanism")["anyOf"],
            json!([text, { "type": "array", "items": text }])
        );
    }

    #[test]
    fn every_provision_condition_and_feature_is_there() {
        let schema = ics_schema();
        let properties = &schema["properties"];
        for provision in Catalogue::shipped().provisions() {
            let about = properties[provision.id.to_string()]["description"].as_str();
            assert!(about.is_some_and(|about| about.starts_with(&provision.title)));
        }
        assert_eq!(
            properties["features"]["properties"]["v"]["description"],
            "the device senses its surroundings"
        );
        assert_eq!(
            properties["conditions"]["properties"]
                .as_object()
                .unwrap()
                .len(),
            5
        );
    }
}
