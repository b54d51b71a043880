//! Rows under columns, as a table for people, or as JSON or CSV for programs.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::cli::output::table_of;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// A list of objects
    Json,
    /// With a line of headings
    Csv,
}

/// Rows under columns.
#[derive(Debug)]
pub(super) struct Listing {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// What stands in a row under a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    /// Several words; joined but in JSON.
    List(Vec<String>),
}

impl Listing {
    pub(super) fn new(columns: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, row: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = row.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// As it is printed, with a newline at the end.
    pub(super) fn in_format(&self, format: Format) -> String {
        match format {
            Format::Table => self.table(),
            Format::Json => format!("{:#}\n", self.json()),
            Format::Csv => self.csv(),
        }
    }

    fn table(&self) -> String {
        let mut table = table_of(&self.columns);
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::joined));
        }
        format!("{table}\n")
    }

    fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let keys = self.columns.iter().map(|column| key(column));
            let values = row.iter().map(|cell| match cell {
                Cell::Text(text) => json!(text),
                Cell::List(words) => json!(words),
            });
            Value::Object(keys.zip(values).collect::<Map<String, Value>>())
        };
        self.rows.iter().map(object).collect()
    }

    fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rows = self.rows.iter();
        let rows = rows.map(|row| row.iter().map(Cell::joined).collect::<Vec<_>>());
        let header = self
            .columns
            .iter()
            .map(|&column| column.to_owned())
            .collect();
        for row in [header].into_iter().chain(rows) {
            writer
                .write_record(row)
                .expect("all rows have as many columns, and memory takes them");
        }
        let bytes = writer.into_inner().expect("memory takes it");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Cell {
    pub(super) fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    pub(super) fn list(words: impl IntoIterator<Item = impl ToString>) -> Self {
        Self::List(words.into_iter().map(|word| word.to_string()).collect())
    }

    fn joined(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            // Where words have spaces of their own, they are kept apart.
            Self::List(words) if words.iter().any(|word| word.contains(' ')) => words.join(", "),
            Self::List(words) => words.join(" "),
        }
    }
}

/// `In use by` becomes `in_use_by`.
fn key(column: &str) -> String {
    column.to_lowercase().replace([' ', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::new(["Case", "In use by"]);
        listing.add([Cell::text("5.1-1-2"), Cell::list(["a", "b"])]);
        listing.add([Cell::text("5.1-1-1"), Cell::list(["a b", "c"])]);
        listing.add([Cell::text("say \"x\", y"), Cell::List(vec![])]);
        listing
    }

    #[test]
    fn json_has_an_object_for_each_row() {
        let json: Value = serde_json::from_str(&listing().in_format(Format::Json)).unwrap();
        let expected = json!([
            { "case": "5.1-1-2", "in_use_by": ["a", "b"] },
            { "case": "5.1-1-1", "in_use_by": ["a b", "c"] },
            { "case": "say \"x\", y", "in_use_by": [] },
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            listing().in_format(Format::Csv),
            "Case,In use by\n5.1-1-2,a b\n5.1-1-1,\"a b, c\"\n\"say \"\"x\"\", y\",\n"
        );
    }

    #[test]
    fn a_table_has_columns_and_rows() {
        let table = listing().in_format(Format::Table);
        assert!(
            table.contains("In use by") && table.contains("a b"),
            "{table}"
        );
    }
}
