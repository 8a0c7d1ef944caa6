//! Everything that differs between databases, each in a file of its own; another database is
//! another file here and another arm in `session`.

pub(crate) mod mysql;
pub(crate) mod sqlite;

use crate::failure::Failure;
use crate::statement::Statement;

/// The kind of database, and so the SQL that it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    MySql,
    Sqlite,
}

impl Dialect {
    /// What marks the place of the next value. (PostgreSQL counts them.)
    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::MySql | Self::Sqlite => "?",
        }
    }

    /// Begins a transaction that will write.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::MySql => "START TRANSACTION",
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// The row of this table is not deleted; `deleted` is an integer here and a boolean on
    /// PostgreSQL.
    pub(crate) fn not_deleted(self, table: &str) -> String {
        match self {
            Self::MySql | Self::Sqlite => format!("{table}.deleted = 0"),
        }
    }

    /// Joins the next table by looking up its rows for those of the ones before, whatever the
    /// planner thinks of their sizes.
    pub(crate) fn join_in_this_order(self) -> &'static str {
        match self {
            Self::MySql => "STRAIGHT_JOIN",
            Self::Sqlite => "CROSS JOIN",
        }
    }

    /// At the end of a query by ID: nobody may change the row before the transaction ends.
    pub(crate) fn locking(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            // The transaction has locked the whole database.
            Self::Sqlite => "",
        }
    }

    /// As [`Self::locking`], but others may lock it so, too.
    pub(crate) fn locking_with_others(self) -> &'static str {
        match self {
            Self::MySql => " LOCK IN SHARE MODE",
            Self::Sqlite => "",
        }
    }

    /// Now, as `updated_at` holds it: UTC, without a zone, in the form that SQLAlchemy reads.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::MySql => mysql::NOW,
            Self::Sqlite => sqlite::NOW,
        }
    }

    /// This many seconds ago by the database's clock, comparable with `updated_at`.
    pub(crate) fn seconds_ago(self, seconds: u64) -> String {
        match self {
            Self::MySql => mysql::seconds_ago(seconds),
            Self::Sqlite => sqlite::seconds_ago(seconds),
        }
    }

    /// How many seconds ago, by the database's clock, it was what the column holds.
    pub(crate) fn seconds_since(self, column: &str) -> String {
        match self {
            Self::MySql => mysql::seconds_since(column),
            Self::Sqlite => sqlite::seconds_since(column),
        }
    }

    /// The column holds exactly these bytes.
    pub(crate) fn exactly(self, statement: &mut Statement, column: &str, value: &str) {
        match self {
            Self::MySql => mysql::exactly(statement, column, value),
            Self::Sqlite => sqlite::exactly(statement, column, value),
        }
    }

    /// The column holds exactly these bytes, or begins with them and a `#`.
    pub(crate) fn exactly_or_pool_of(self, statement: &mut Statement, column: &str, name: &str) {
        match self {
            Self::MySql => mysql::exactly_or_pool_of(statement, column, name),
            Self::Sqlite => sqlite::exactly_or_pool_of(statement, column, name),
        }
    }

    /// `h@b` of a column that holds `h@b` or `h@b#pool`.
    pub(crate) fn without_pool(self, column: &str) -> String {
        match self {
            Self::MySql => mysql::without_pool(column),
            Self::Sqlite => sqlite::without_pool(column),
        }
    }

    /// The text of the column as bytes, so that grouping and sets do not fold case.
    pub(crate) fn bytes_of(self, expression: &str) -> String {
        match self {
            Self::MySql => mysql::bytes_of(expression),
            Self::Sqlite => expression.to_owned(),
        }
    }

    /// What an error means: repeat, wait, or tell the operator.
    pub(crate) fn failure(self, error: &sqlx::Error, table: &str) -> Failure {
        match self {
            Self::MySql => mysql::failure(error, table),
            Self::Sqlite => sqlite::failure(error, table),
        }
    }
}
