//! Rows as SQL. Values stand in the text, as PostgreSQL would not take a bound text for an instant.

use super::{CinderDatabase, Dialect};
use crate::rows::{Record, Value};

/// Rows a statement inserts: what MariaDB takes in one packet is far more.
const ROWS_AT_A_TIME: usize = 500;

/// The tables, and statements that insert into them.
pub(super) fn statements(
    records: &[Record],
    database: &CinderDatabase,
) -> Vec<(&'static str, String)> {
    let groups = groups(records);
    groups
        .iter()
        .map(|group| (group[0].table, statement(group, database)))
        .collect()
}

fn statement(records: &[&Record], database: &CinderDatabase) -> String {
    let quote = match database.dialect() {
        Dialect::MariaDb => '`',
        Dialect::Postgres | Dialect::Sqlite => '"',
    };
    let names: Vec<_> = records[0]
        .values
        .iter()
        .filter(|(name, _)| database.has_column(records[0].table, name))
        .map(|(name, _)| format!("{quote}{name}{quote}"))
        .collect();
    let rows: Vec<_> = records.iter().map(|record| row(record, database)).collect();
    format!(
        "INSERT INTO {} ({}) VALUES {}",
        records[0].table,
        names.join(", "),
        rows.join(", ")
    )
}

fn row(record: &Record, database: &CinderDatabase) -> String {
    let values: Vec<_> = record
        .values
        .iter()
        .filter(|(name, _)| database.has_column(record.table, name))
        .map(|(_, value)| match value {
            Value::Null => "NULL".to_owned(),
            Value::Text(text) => literal(text, database.dialect()),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            Value::DefaultVolumeType => {
                literal(&database.default_volume_type_id, database.dialect())
            }
        })
        .collect();
    format!("({})", values.join(", "))
}

/// A string. The backslash is special on MariaDB alone.
fn literal(text: &str, dialect: Dialect) -> String {
    let text = text.replace('\'', "''");
    let text = match dialect {
        Dialect::MariaDb => text.replace('\\', r"\\"),
        Dialect::Postgres | Dialect::Sqlite => text,
    };
    format!("'{text}'")
}

impl CinderDatabase {
    fn has_column(&self, table: &str, name: &str) -> bool {
        let column = (table.to_owned(), name.to_owned());
        self.columns.contains(&column)
    }
}

/// Groups of records that one statement can insert: the same table, the same columns.
fn groups(records: &[Record]) -> Vec<Vec<&Record>> {
    let mut groups: Vec<Vec<&Record>> = Vec::new();
    let mut tables: Vec<&str> = Vec::new();
    for record in records {
        if !tables.contains(&record.table) {
            tables.push(record.table);
        }
    }
    for table in tables {
        for record in records.iter().filter(|record| record.table == table) {
            match groups.last_mut() {
                Some(group) if group.len() < ROWS_AT_A_TIME && alike(group[0], record) => {
                    group.push(record);
                }
                _ => groups.push(vec![record]),
            }
        }
    }
    groups
}

fn alike(one: &Record, other: &Record) -> bool {
    let names = |record: &Record| {
        record
            .values
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    one.table == other.table && names(one) == names(other)
}
