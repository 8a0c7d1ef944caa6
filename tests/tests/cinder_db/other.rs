//! Somebody else at work in Cinder's database.

use std::time::Duration;

use anyhow::{Context, Result};
use key_migrator_tests::{CinderDatabase, Services};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use uuid::Uuid;

use crate::name;

/// Somebody else at the same database, as `root`.
pub(crate) struct Other(MySqlConnection);

impl Other {
    pub(crate) async fn at(database: &CinderDatabase) -> Result<Self> {
        let options = Services::from_env()
            .mariadb
            .options()
            .database(name(database));
        Ok(Self(MySqlConnection::connect_with(&options).await?))
    }

    pub(crate) async fn does(&mut self, sql: impl Into<String>) -> Result<()> {
        let sql = sql.into();
        let done = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.0)
            .await;
        done.map(drop).with_context(|| sql)
    }

    /// Changes a volume's row, within a transaction if one was begun.
    pub(crate) async fn resizes(&mut self, volume: Uuid) -> Result<()> {
        let sql = format!("UPDATE volumes SET size = 2 WHERE id = '{volume}'");
        self.does(sql).await
    }

    /// Begins a transaction, and holds a volume's row in it.
    pub(crate) async fn holds(&mut self, volume: Uuid) -> Result<()> {
        self.does("BEGIN").await?;
        self.resizes(volume).await
    }

    /// Waits until a statement waits for a lock in this database, other than in the wait that is
    /// known already.
    pub(crate) async fn sees_a_lock_wait(&mut self, known: Option<&LockWait>) -> Result<LockWait> {
        let sql = "SELECT trx_mysql_thread_id, CAST(trx_wait_started AS CHAR) \
                   FROM information_schema.innodb_trx \
                   JOIN information_schema.processlist ON id = trx_mysql_thread_id \
                   WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()";
        let seen = async {
            loop {
                for row in self.looks(sql).await? {
                    let seen = LockWait {
                        connection: row.try_get(0)?,
                        since: row.try_get(1)?,
                    };
                    if known != Some(&seen) {
                        return Ok(seen);
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen)
            .await
            .context("nobody waits")?
    }

    /// Waits until nobody in this database is in a transaction.
    pub(crate) async fn sees_no_transaction(&mut self) -> Result<()> {
        let sql = "SELECT 1 FROM information_schema.innodb_trx \
                   JOIN information_schema.processlist ON id = trx_mysql_thread_id \
                   WHERE db = DATABASE()";
        let seen = async {
            while !self.looks(sql).await?.is_empty() {}
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(10), seen)
            .await
            .context("a transaction stays open")?
    }

    async fn looks(&mut self, sql: &'static str) -> Result<Vec<MySqlRow>> {
        let _turn = ONE_LOOK.lock().await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        Ok(sqlx::raw_sql(sql).fetch_all(&mut self.0).await?)
    }
}

/// InnoDB makes a new picture of its transactions only if nobody has looked for 100 ms: those who
/// look in turns without a pause between them all would see the first one for ever.
static ONE_LOOK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A statement's wait for a lock.
#[derive(PartialEq)]
pub(crate) struct LockWait {
    pub(crate) connection: u64,
    since: String,
}
