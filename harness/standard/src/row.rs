//! Rows of IXIT tables: what test units run for, and whose results they give.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::conformance::Ixit;
use super::unit::LONGEST_ROW;

/// A row of an IXIT table. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The table, by its name in TS 103 701.
    pub table: String,
    /// Its id; `row 2 of 1-AuthMech` for one that has none, and with a number for one whose id another one of the table
    /// has, too.
    pub id: String,
    /// What it says, by the name of the field.
    pub fields: Arc<toml::Table>,
}

impl Row {
    /// What it says in a field.
    pub fn get(&self, field: &str) -> Option<&toml::Value> {
        self.fields.get(field)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl Ixit {
    /// The rows of a table, in their order; none if the supplier filled in none. No two have the same id.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let entries = self.table(table).unwrap_or_default();
        let mut ids = BTreeSet::new();
        entries
            .iter()
            .enumerate()
            .map(|(n, fields)| {
                let id = id_of(fields).unwrap_or_else(|| format!("row {} of {table}", n + 1));
                let id = if ids.contains(&id) {
                    format!("{id} ({})", n + 1)
                } else {
                    id
                };
                ids.insert(id.clone());
                Row {
                    table: table.to_owned(),
                    id,
                    fields: Arc::new(fields.clone()),
                }
            })
            .collect()
    }
}

/// What a row is called, in one line.
fn id_of(fields: &toml::Table) -> Option<String> {
    let id = fields.get("id")?.as_str()?;
    let plain = id.chars().map(|c| if c.is_control() { ' ' } else { c });
    let id: String = plain.take(LONGEST_ROW - 10).collect();
    let id = id.trim().to_owned();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let ixit = "[[7-UpdMech]]\nid = \"A\"\n[[7-UpdMech]]\n[[7-UpdMech]]\nid = \"A\"\nx = 1\n";
        let rows = Ixit::parse(ixit).unwrap().rows("7-UpdMech");
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["A", "row 2 of 7-UpdMech", "A (3)"]);
        assert_eq!(rows[2].get("x"), Some(&toml::Value::Integer(1)));
    }

    #[test]
    fn a_table_that_is_not_filled_in_has_no_rows() {
        assert_eq!(Ixit::default().rows("7-UpdMech"), []);
    }
}
