//! The statements that Cinder's operations are made of, and the time that passes between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Error};

use super::keys::Keys;
use crate::database::CinderDatabase;
use crate::rows::{Insert, ZERO_KEY};

/// What InnoDB and Galera say to a statement that lost against another: a deadlock, a wait for a
/// lock that took too long, a record that changed since it was read.
const CONFLICTS: [u16; 3] = [1213, 1205, 1020];
/// As often as oslo.db tries.
const ATTEMPTS: usize = 20;

/// Cinder's services, signed in at their database.
#[derive(Clone, Debug)]
pub struct Cinder {
    pool: MySqlPool,
    database: Arc<CinderDatabase>,
    pub(crate) keys: Arc<Keys>,
    pause: Duration,
    conflicts: Arc<AtomicU64>,
}

/// A volume as a service holds it in memory, while the row goes its own way.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) id: String,
    pub(crate) key: Option<String>,
    pub(crate) status: String,
    pub(crate) user_id: String,
    pub(crate) host: String,
}

impl Cinder {
    /// Cinder that works on this database, and rests about so long between two statements.
    ///
    /// # Errors
    ///
    /// When it cannot sign in.
    pub async fn new(
        options: MySqlConnectOptions,
        database: Arc<CinderDatabase>,
        keys: Arc<Keys>,
        pause: Duration,
    ) -> Result<Self> {
        let pool = MySqlPoolOptions::new()
            .max_connections(50)
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            database,
            keys,
            pause,
            conflicts: Arc::default(),
        })
    }

    /// How often a statement had to be repeated because it lost against another.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }

    /// The volume as it is now, unless it is deleted.
    pub(crate) async fn load(&self, id: &str) -> Result<Option<Loaded>> {
        let sql = "SELECT encryption_key_id, status, user_id, host FROM volumes \
                   WHERE id = ? AND deleted = 0";
        let row = sqlx::query_as(sql)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(key, status, user_id, host)| Loaded {
            id: id.to_owned(),
            key,
            status,
            user_id,
            host,
        }))
    }

    /// The key of a row that is not deleted; `None` where there is no such row.
    pub(crate) async fn key_of(&self, table: &str, id: &str) -> Result<Option<Option<String>>> {
        let sql = format!("SELECT encryption_key_id FROM {table} WHERE id = ? AND deleted = 0");
        Ok(sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// The snapshots of a volume that are not deleted.
    pub(crate) async fn snapshots_of(&self, volume: &str) -> Result<Vec<String>> {
        let sql = "SELECT id FROM snapshots WHERE volume_id = ? AND deleted = 0 ORDER BY id";
        Ok(sqlx::query_scalar(sql)
            .bind(volume)
            .fetch_all(&self.pool)
            .await?)
    }

    /// The volumes with this status that are not deleted.
    pub(crate) async fn volumes_in(&self, status: &str) -> Result<Vec<String>> {
        let sql = "SELECT id FROM volumes WHERE status = ? AND deleted = 0 ORDER BY id";
        Ok(sqlx::query_scalar(sql)
            .bind(status)
            .fetch_all(&self.pool)
            .await?)
    }

    pub(crate) async fn insert(&self, row: &impl Insert) -> Result<()> {
        self.database.insert(row).await
    }

    /// Cinder's `conditional_update`: whether the row was as expected, and so was changed.
    pub(crate) async fn change_if(
        &self,
        table: &str,
        id: &str,
        values: &str,
        expected: &str,
    ) -> Result<bool> {
        let sql = format!(
            "UPDATE {table} SET {values}, updated_at = UTC_TIMESTAMP() \
             WHERE id = '{id}' AND deleted = 0 AND {expected}"
        );
        Ok(self.write(sql).await? == 1)
    }

    /// Cinder's `save`: whatever the row holds by now.
    pub(crate) async fn save(&self, table: &str, id: &str, values: &str) -> Result<()> {
        self.change_if(table, id, values, "TRUE").await.map(drop)
    }

    /// Marks a row as deleted.
    pub(crate) async fn destroy(&self, table: &str, id: &str) -> Result<()> {
        let values = match table {
            "volumes" => "migration_status = NULL, status = 'deleted', deleted = 1",
            _ => "status = 'deleted', deleted = 1",
        };
        self.save(
            table,
            id,
            &format!("{values}, deleted_at = UTC_TIMESTAMP()"),
        )
        .await
    }

    /// Deletes the key that a row had, unless another row lives by it: Cinder would lose that
    /// row's data, which is no business of ours.
    pub(crate) async fn delete_key(&self, key: Option<&str>, row: &str) -> Result<()> {
        let Some(key) = key.filter(|key| *key != ZERO_KEY && !Keys::is_own(key)) else {
            return Ok(());
        };
        for table in ["volumes", "snapshots", "backups"] {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM {table} WHERE encryption_key_id = ? \
                 AND deleted = 0 AND id <> ?)"
            );
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(key).bind(row);
            if query.fetch_one(&self.pool).await? {
                return Ok(());
            }
        }
        self.keys.delete(key).await
    }

    /// What Cinder does between two statements: mostly little, now and then much.
    pub(crate) async fn work(&self, random: &mut Rng) {
        let longer = if random.u8(..10) == 0 { 10.0 } else { 1.0 };
        tokio::time::sleep(self.pause.mul_f64(random.f64() * longer)).await;
    }

    async fn write(&self, sql: String) -> Result<u64> {
        for _ in 0..ATTEMPTS {
            let done = sqlx::query(AssertSqlSafe(sql.clone()))
                .execute(&self.pool)
                .await;
            match done {
                Ok(done) => return Ok(done.rows_affected()),
                Err(error) if is_conflict(&error) => {
                    self.conflicts.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return Err(error).with_context(|| format!("executing {sql}")),
            }
        }
        bail!("{sql} lost against another {ATTEMPTS} times")
    }
}

/// Whether a statement lost against another, and may be repeated.
fn is_conflict(error: &Error) -> bool {
    let Error::Database(error) = error else {
        return false;
    };
    error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .is_some_and(|error| CONFLICTS.contains(&error.number()))
}

/// `encryption_key_id = ...` for an UPDATE.
pub(crate) fn sets_key(key: Option<&str>) -> String {
    match key {
        Some(key) => format!("encryption_key_id = '{key}'"),
        None => "encryption_key_id = NULL".to_owned(),
    }
}
