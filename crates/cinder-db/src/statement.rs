//! SQL text and the values that belong to it, put together side by side so that no value can get
//! into the text.

use key_migration::ids::ALL_ZEROS;

use crate::dialect::Dialect;

/// One statement on one table.
pub(crate) struct Statement {
    dialect: Dialect,
    table: &'static str,
    sql: String,
    values: Vec<String>,
}

impl Statement {
    /// Begins a statement; the table is what errors name.
    pub(crate) fn on(dialect: Dialect, table: &'static str, sql: &str) -> Self {
        Self {
            dialect,
            table,
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// What the statement is written for.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Adds SQL. It must come from this crate alone.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a value, which may come from anywhere.
    pub(crate) fn bind(&mut self, value: impl Into<String>) -> &mut Self {
        self.values.push(value.into());
        let placeholder = self.dialect.placeholder(self.values.len());
        self.sql.push_str(&placeholder);
        self
    }

    /// Adds values with commas between them.
    pub(crate) fn bind_all<V: Into<String>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        for (position, value) in values.into_iter().enumerate() {
            if position > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self
    }

    /// The column holds exactly this text, byte for byte.
    pub(crate) fn exactly(&mut self, column: &str, value: &str) -> &mut Self {
        self.dialect.exactly(self, column, value);
        self
    }

    /// The column holds exactly this text, or it and a pool: `h@b` or `h@b#pool`.
    pub(crate) fn exactly_or_pool_of(&mut self, column: &str, name: &str) -> &mut Self {
        self.dialect.exactly_or_pool_of(self, column, name);
        self
    }

    /// The row is not deleted.
    pub(crate) fn not_deleted(&mut self) -> &mut Self {
        self.push(&self.dialect.not_deleted(self.table))
    }

    /// The row is not deleted, said so that no index serves it. Where no other index helps, those
    /// that begin with `deleted` only tempt the planner to fetch a million rows one by one: on
    /// MariaDB 10.11, 65 s instead of 1 s.
    pub(crate) fn not_deleted_in_whole_table(&mut self) -> &mut Self {
        self.not_deleted_of(self.table)
    }

    /// The same of a table that is joined.
    pub(crate) fn not_deleted_of(&mut self, table: &str) -> &mut Self {
        let not_deleted = self.dialect.not_deleted(table);
        self.push(&format!("CASE WHEN {not_deleted} THEN 1 END = 1"))
    }

    /// The row is deleted, also said so that no index serves it.
    pub(crate) fn deleted_in_whole_table(&mut self) -> &mut Self {
        let not_deleted = self.dialect.not_deleted(self.table);
        self.push(&format!("CASE WHEN {not_deleted} THEN 0 ELSE 1 END = 1"))
    }

    /// The row is at all zeros.
    pub(crate) fn at_zeros(&mut self) -> &mut Self {
        self.push(self.table)
            .push(".encryption_key_id = '")
            .push(ALL_ZEROS)
            .push("'")
    }

    /// The table that errors name.
    pub(crate) fn table(&self) -> &'static str {
        self.table
    }

    /// The text, with a placeholder for each value.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    /// The values in the order of their placeholders.
    pub(crate) fn values(&self) -> &[String] {
        &self.values
    }
}
