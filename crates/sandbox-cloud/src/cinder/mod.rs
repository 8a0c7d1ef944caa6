//! A Cinder database in SQLite with Cinder's own schema, its rows, and the check
//! of what became of them.

mod check;
mod heartbeat;
mod planter;
mod population;
mod rows;

use std::path::{Path, PathBuf};

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use crate::clock::Clock;
pub use check::{Check, Fault, Line, Report, Scope};
pub use heartbeat::Heartbeat;
pub use population::{HOSTS, Host, Planted, Population, Tenant};
pub use rows::{Image, Kind, Row};

/// Cinder 29.0.0's schema with the rows that `cinder-manage db sync` inserts.
const SCHEMA: &str = include_str!("../../schema/cinder-29.0.0.sqlite.sql");

/// The `encryption_key_id` that ConfKeyManager gives to everything.
pub const ALL_ZEROS: &str = "00000000-0000-0000-0000-000000000000";

/// A Cinder database in one file. Its journal mode is SQLite's default, as Cinder
/// leaves it.
#[derive(Clone, Debug)]
pub struct CinderDatabase {
    path: PathBuf,
    pool: SqlitePool,
}

/// The database could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[error("{doing} in the sandbox's Cinder database")]
pub struct DatabaseError {
    doing: &'static str,
    #[source]
    source: sqlx::Error,
}

impl CinderDatabase {
    /// Makes the file with Cinder's schema.
    ///
    /// # Errors
    ///
    /// When the file cannot be written or holds tables already.
    pub async fn create(path: impl AsRef<Path>) -> Result<Self, DatabaseError> {
        let path = path.as_ref().to_owned();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .busy_timeout(std::time::Duration::from_secs(30));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await;
        let pool = pool.map_err(while_doing("opening the file"))?;
        sqlx::raw_sql(SCHEMA)
            .execute(&pool)
            .await
            .map_err(while_doing("making the tables"))?;
        Ok(Self { path, pool })
    }

    /// The `[database] connection` that leads here.
    pub fn connection(&self) -> String {
        format!("sqlite:///{}", self.path.display())
    }

    /// The pool, for statements of a test's own.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Fills the tables and plants the keys of rows that have real ones.
    ///
    /// # Errors
    ///
    /// When a row cannot be written.
    pub async fn populate(
        &self,
        population: &Population,
        cloud: &crate::Cloud,
    ) -> Result<Planted, DatabaseError> {
        population::plant(self, population, cloud).await
    }

    /// Every volume, snapshot and backup as it is now, deleted ones included.
    ///
    /// # Errors
    ///
    /// When a table cannot be read.
    pub async fn image(&self) -> Result<Image, DatabaseError> {
        rows::read(&self.pool)
            .await
            .map_err(while_doing("reading all rows"))
    }

    /// Keeps the services of living hosts up, as Cinder's own do every 10 s, until
    /// the heartbeat is dropped.
    ///
    /// # Errors
    ///
    /// When the first beat cannot be written.
    pub async fn keep_services_up(&self, clock: &Clock) -> Result<Heartbeat, DatabaseError> {
        Heartbeat::start(self.pool.clone(), clock.clone())
            .await
            .map_err(while_doing("writing a heartbeat"))
    }
}

fn while_doing(doing: &'static str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    move |source| DatabaseError { doing, source }
}

/// An instant as SQLAlchemy keeps it in SQLite: UTC, microseconds, no zone.
fn sqlite_instant(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}
