//! Everything that differs between databases, each in a file of its own; another database is
//! another file here and another arm in `session`.

pub(crate) mod mysql;
pub(crate) mod postgresql;
pub(crate) mod sqlite;

use std::borrow::Cow;

use crate::failure::Failure;
use crate::statement::Statement;

/// The kind of database, and so the SQL that it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    MySql,
    Postgres,
    Sqlite,
}

/// Why a statement is refused whoever repeats it, where that can be told from the error's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The user has no right to it.
    NotAllowed,
    /// The table or column does not exist.
    NotThere,
}

impl Dialect {
    /// What marks the place of a value, the first of which is number 1.
    pub(crate) fn placeholder(self, number: usize) -> Cow<'static, str> {
        match self {
            Self::MySql | Self::Sqlite => "?".into(),
            Self::Postgres => format!("${number}").into(),
        }
    }

    /// Begins a transaction that will write.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::MySql => "START TRANSACTION",
            Self::Postgres => postgresql::BEGIN,
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// The row of this table is not deleted.
    pub(crate) fn not_deleted(self, table: &str) -> String {
        match self {
            Self::MySql | Self::Sqlite => format!("{table}.deleted = 0"),
            Self::Postgres => format!("{table}.deleted = FALSE"),
        }
    }

    /// Joins the next table by looking up its rows for those of the ones before, whatever the
    /// planner thinks of their sizes; PostgreSQL's cannot be told, and keeps statistics to know.
    pub(crate) fn join_in_this_order(self) -> &'static str {
        match self {
            Self::MySql => "STRAIGHT_JOIN",
            Self::Postgres => "JOIN",
            Self::Sqlite => "CROSS JOIN",
        }
    }

    /// At the end of a query by ID: nobody may change the row before the transaction ends.
    pub(crate) fn locking(self) -> &'static str {
        match self {
            Self::MySql | Self::Postgres => " FOR UPDATE",
            // The transaction has locked the whole database.
            Self::Sqlite => "",
        }
    }

    /// As [`Self::locking`], but others may lock it so, too.
    pub(crate) fn locking_with_others(self) -> &'static str {
        match self {
            Self::MySql => " LOCK IN SHARE MODE",
            Self::Postgres => " FOR SHARE",
            Self::Sqlite => "",
        }
    }

    /// Now, as `updated_at` holds it: UTC, without a zone, in the form that SQLAlchemy reads.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::MySql => mysql::NOW,
            Self::Postgres => postgresql::NOW,
            Self::Sqlite => sqlite::NOW,
        }
    }

    /// This many seconds ago by the database's clock, comparable with `updated_at`.
    pub(crate) fn seconds_ago(self, seconds: u64) -> String {
        match self {
            Self::MySql => mysql::seconds_ago(seconds),
            Self::Postgres => postgresql::seconds_ago(seconds),
            Self::Sqlite => sqlite::seconds_ago(seconds),
        }
    }

    /// How many seconds ago, by the database's clock, it was what the column holds.
    pub(crate) fn seconds_since(self, column: &str) -> String {
        match self {
            Self::MySql => mysql::seconds_since(column),
            Self::Postgres => postgresql::seconds_since(column),
            Self::Sqlite => sqlite::seconds_since(column),
        }
    }

    /// The column holds exactly these bytes.
    pub(crate) fn exactly(self, statement: &mut Statement, column: &str, value: &str) {
        match self {
            Self::MySql => mysql::exactly(statement, column, value),
            Self::Postgres => postgresql::exactly(statement, column, value),
            Self::Sqlite => sqlite::exactly(statement, column, value),
        }
    }

    /// The column holds exactly these bytes, or begins with them and a `#`.
    pub(crate) fn exactly_or_pool_of(self, statement: &mut Statement, column: &str, name: &str) {
        match self {
            Self::MySql => mysql::exactly_or_pool_of(statement, column, name),
            Self::Postgres => postgresql::exactly_or_pool_of(statement, column, name),
            Self::Sqlite => sqlite::exactly_or_pool_of(statement, column, name),
        }
    }

    /// `h@b` of a column that holds `h@b` or `h@b#pool`.
    pub(crate) fn without_pool(self, column: &str) -> String {
        match self {
            Self::MySql => mysql::without_pool(column),
            Self::Postgres => postgresql::without_pool(column),
            Self::Sqlite => sqlite::without_pool(column),
        }
    }

    /// The text of the column as bytes, so that grouping and sets do not fold case.
    pub(crate) fn bytes_of(self, expression: &str) -> String {
        match self {
            Self::MySql => mysql::bytes_of(expression),
            Self::Postgres | Self::Sqlite => expression.to_owned(),
        }
    }

    /// What to group by so that rows are together whose columns hold the same text.
    pub(crate) fn grouped_by_text(self, columns: &[&str]) -> String {
        match self {
            Self::MySql => mysql::grouped_by_text(columns),
            Self::Postgres | Self::Sqlite => columns.join(", "),
        }
    }

    /// Whether an error says that the user may not, or that something does not exist.
    pub(crate) fn refusal(self, error: &sqlx::Error) -> Option<Refusal> {
        match self {
            Self::MySql => mysql::refusal(error),
            Self::Postgres => postgresql::refusal(error),
            Self::Sqlite => sqlite::refusal(error),
        }
    }

    /// What an error means: repeat, wait, or tell the operator.
    pub(crate) fn failure(self, error: &sqlx::Error, table: &str) -> Failure {
        match self {
            Self::MySql => mysql::failure(error, table),
            Self::Postgres => postgresql::failure(error, table),
            Self::Sqlite => sqlite::failure(error, table),
        }
    }
}

/// A `LIKE` pattern that matches nothing but the text itself.
fn like_literally(text: &str, escape: char) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if matches!(character, '%' | '_') || character == escape {
            pattern.push(escape);
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_pattern_holds_no_wildcard() {
        assert_eq!(like_literally("h_1%|\\@b", '|'), "h|_1|%||\\@b");
    }
}
