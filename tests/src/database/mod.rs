//! Fresh Cinder databases with Cinder's own tables, and a look into their rows.

mod insert;
mod storage;
mod through;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use sqlx::mysql::{MySqlDatabaseError, MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection, QueryBuilder};
use uuid::Uuid;

pub use self::through::Through;

use self::storage::{MariaDbDatabase, PostgresDatabase, Storage};
use crate::rows::{Insert, ZERO_KEY};
use crate::services::{MariaDb, PostgreSql, Services};

/// The kinds of database that Cinder runs on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The private MariaDB of the services.
    MariaDb,
    /// The private PostgreSQL of the services.
    Postgres,
    /// A file of its own.
    Sqlite,
}

impl Dialect {
    /// Every dialect, for a test that must hold on each.
    pub const ALL: [Self; 3] = [Self::MariaDb, Self::Postgres, Self::Sqlite];
}

/// A Cinder database of one test, empty but for what `cinder-manage db sync` puts into it.
///
/// It is gone when this value is dropped.
#[derive(Debug)]
pub struct CinderDatabase {
    connection_url: String,
    default_volume_type_id: String,
    /// The columns of the tables that rows are inserted into: old releases have fewer.
    columns: BTreeSet<(String, String)>,
    pool: Pool,
    _storage: Storage,
}

/// What a row of `volumes`, `snapshots` or `backups` says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The key's ID, NULL for what is not encrypted.
    pub encryption_key_id: Option<String>,
    /// When the row was last changed, in Cinder's notation; MariaDB keeps whole seconds.
    pub updated_at: Option<String>,
    /// The status.
    pub status: Option<String>,
    /// The owner.
    pub user_id: Option<String>,
}

impl Resource {
    /// Whether the row still has the all-zeros key.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.encryption_key_id.as_deref() == Some(ZERO_KEY)
    }

    /// The ID of the secret that this row has been given.
    ///
    /// # Panics
    ///
    /// When its key is NULL, no UUID, or all zeros.
    #[must_use]
    pub fn secret_id(&self) -> Uuid {
        assert!(!self.is_zero(), "the row still has the all-zeros key");
        let key_id = self
            .encryption_key_id
            .as_deref()
            .expect("the row has a key");
        key_id.parse().expect("the row's key is a UUID")
    }
}

/// A row that is not deleted, as far as it says who may read which secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The row's ID.
    pub id: String,
    /// The key's ID, NULL for what is not encrypted.
    pub encryption_key_id: Option<String>,
    /// The owner.
    pub user_id: Option<String>,
    /// The volume that it is, or is of.
    pub volume_id: String,
}

#[derive(Debug)]
enum Pool {
    MariaDb(MySqlPool),
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Runs the same code on the pool that there is, with its own types.
macro_rules! on_pool {
    ($database:expr, $pool:ident => $body:expr) => {
        match &$database.pool {
            Pool::MariaDb($pool) => $body,
            Pool::Postgres($pool) => $body,
            Pool::Sqlite($pool) => $body,
        }
    };
}

impl CinderDatabase {
    /// A new database of this dialect.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn new(services: &Services, dialect: Dialect) -> Result<Self> {
        match dialect {
            Dialect::MariaDb => Self::mariadb(&services.mariadb).await,
            Dialect::Postgres => Self::postgresql(&services.postgresql).await,
            Dialect::Sqlite => Self::sqlite().await,
        }
    }

    /// A new database of this dialect with the tables of an old release, as its own migrations
    /// made them (`tests/schemas`).
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn of_release(services: &Services, dialect: Dialect, release: &str) -> Result<Self> {
        let schema = schema_of(release, dialect)?;
        match dialect {
            Dialect::MariaDb => Self::mariadb_with(&services.mariadb, schema).await,
            Dialect::Postgres => {
                let storage = PostgresDatabase::create_empty(&services.postgresql).await?;
                Self::postgresql_with(&services.postgresql, storage, schema).await
            }
            Dialect::Sqlite => Self::sqlite_with(schema).await,
        }
    }

    /// A new database on the private MariaDB, with a user and a random password of its own.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn mariadb(server: &MariaDb) -> Result<Self> {
        let dump = tokio::fs::read_to_string(&server.cinder_dump).await?;
        Self::mariadb_with(server, dump).await
    }

    async fn mariadb_with(server: &MariaDb, schema: String) -> Result<Self> {
        let storage = MariaDbDatabase::create(server)
            .await
            .context("making a database")?;
        let options = server.options().database(&storage.name);
        let pool = MySqlPoolOptions::new().connect_with(options).await?;
        sqlx::raw_sql(AssertSqlSafe(schema))
            .execute(&pool)
            .await
            .context("replaying the dump")?;
        let connection_url = storage.connection_url();
        Self::with_pool(
            connection_url,
            Pool::MariaDb(pool),
            Storage::MariaDb(Box::new(storage)),
        )
        .await
    }

    /// A new database on the private PostgreSQL, with a user and a random password of its own.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn postgresql(server: &PostgreSql) -> Result<Self> {
        let storage = PostgresDatabase::create(server)
            .await
            .context("making a database")?;
        Self::postgresql_with(server, storage, String::new()).await
    }

    async fn postgresql_with(
        server: &PostgreSql,
        storage: PostgresDatabase,
        schema: String,
    ) -> Result<Self> {
        let options = server.options().database(&storage.name);
        let pool = PgPoolOptions::new().connect_with(options).await?;
        sqlx::raw_sql(AssertSqlSafe(schema))
            .execute(&pool)
            .await
            .context("replaying the schema file")?;
        storage.hand_over(&pool).await?;
        let connection_url = storage.connection_url();
        let storage = Storage::Postgres(Box::new(storage));
        Self::with_pool(connection_url, Pool::Postgres(pool), storage).await
    }

    /// A new SQLite file; needs no services.
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub async fn sqlite() -> Result<Self> {
        Self::sqlite_with(SQLITE_SCHEMA.to_owned()).await
    }

    async fn sqlite_with(schema: String) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("cinder.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        sqlx::raw_sql(AssertSqlSafe(schema))
            .execute(&pool)
            .await
            .context("replaying the schema file")?;
        let connection_url = format!("sqlite:///{}", file.display());
        Self::with_pool(connection_url, Pool::Sqlite(pool), Storage::Sqlite(folder)).await
    }

    /// The connection in oslo.db's form, as in `[database] connection`, the password encoded.
    #[must_use]
    pub fn connection_url(&self) -> &str {
        &self.connection_url
    }

    /// Which kind of database this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.pool {
            Pool::MariaDb(_) => Dialect::MariaDb,
            Pool::Postgres(_) => Dialect::Postgres,
            Pool::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Inserts rows, all in one transaction.
    ///
    /// # Errors
    ///
    /// When the schema does not take them.
    pub async fn insert(&self, rows: &(impl Insert + ?Sized)) -> Result<()> {
        let statements = insert::statements(&rows.records(), self);
        on_pool!(self, pool => {
            let mut transaction = pool.begin().await?;
            for (table, sql) in statements {
                let inserted = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await;
                inserted.with_context(|| format!("inserting into {table}"))?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// The volume with this ID, deleted or not.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn volume(&self, id: Uuid) -> Result<Resource> {
        self.resource("volumes", id).await
    }

    /// The snapshot with this ID, deleted or not.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn snapshot(&self, id: Uuid) -> Result<Resource> {
        self.resource("snapshots", id).await
    }

    /// The backup with this ID, deleted or not.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn backup(&self, id: Uuid) -> Result<Resource> {
        self.resource("backups", id).await
    }

    /// How many rows of `volumes`, `snapshots` or `backups` have the all-zeros key and are not
    /// deleted.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub async fn zeros(&self, table: &'static str) -> Result<i64> {
        let sql =
            format!("SELECT COUNT(*) FROM {table} WHERE NOT deleted AND encryption_key_id = ");
        on_pool!(self, pool => {
            let mut query = QueryBuilder::new(sql);
            query.push_bind(ZERO_KEY);
            Ok(query.build_query_scalar().fetch_one(pool).await?)
        })
    }

    /// The key IDs of every row of `volumes`, `snapshots` or `backups` that is not deleted, with
    /// the rows' IDs, in the order of these.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub async fn keys(&self, table: &'static str) -> Result<Vec<(String, Option<String>)>> {
        let sql =
            format!("SELECT id, encryption_key_id FROM {table} WHERE NOT deleted ORDER BY id");
        on_pool!(self, pool => {
            Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await?)
        })
    }

    /// Every row of `volumes`, `snapshots` or `backups` that is not deleted, in the order of IDs.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub async fn holders(&self, table: &'static str) -> Result<Vec<Holder>> {
        let volume_id = if table == "volumes" {
            "id"
        } else {
            "volume_id"
        };
        let sql = format!(
            "SELECT id, encryption_key_id, user_id, {volume_id} FROM {table} WHERE NOT deleted \
             ORDER BY id"
        );
        let rows: Vec<(String, Option<String>, Option<String>, String)> = on_pool!(self, pool => {
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await?
        });
        let holder = |(id, encryption_key_id, user_id, volume_id)| Holder {
            id,
            encryption_key_id,
            user_id,
            volume_id,
        };
        Ok(rows.into_iter().map(holder).collect())
    }

    /// Every row of `volumes`, `snapshots` or `backups`, deleted or not: its ID, its key's ID,
    /// whether it is deleted, its user and its status.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub async fn every_key(
        &self,
        table: &'static str,
    ) -> Result<Vec<(String, Option<String>, bool, Option<String>, Option<String>)>> {
        let sql = format!("SELECT id, encryption_key_id, deleted, user_id, status FROM {table}");
        on_pool!(self, pool => {
            Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await?)
        })
    }

    /// Does what nothing else here does, and returns the number of rows that it changed.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn execute(&self, sql: &str) -> Result<u64> {
        on_pool!(self, pool => {
            let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await;
            Ok(done.with_context(|| format!("executing {sql}"))?.rows_affected())
        })
    }

    /// Whether somebody holds the row of `volumes`, `snapshots` or `backups` with this ID, so that
    /// it cannot be changed now. Asked without waiting.
    ///
    /// # Errors
    ///
    /// When the database does not answer that.
    pub async fn is_locked(&self, table: &'static str, id: Uuid) -> Result<bool> {
        let tried = match &self.pool {
            Pool::MariaDb(pool) => {
                let sql = format!("SELECT 1 FROM {table} WHERE id = '{id}' FOR UPDATE NOWAIT");
                let tried = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await;
                tried.map(drop)
            }
            Pool::Postgres(pool) => {
                let sql = format!("SELECT 1 FROM {table} WHERE id = '{id}' FOR UPDATE NOWAIT");
                let tried = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await;
                tried.map(drop)
            }
            Pool::Sqlite(pool) => {
                // Closed afterwards, as it is not patient any more.
                let mut connection = pool.acquire().await?.detach();
                let sql = "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK";
                let tried = sqlx::raw_sql(sql).execute(&mut connection).await;
                connection.close().await?;
                tried.map(drop)
            }
        };
        match tried {
            Ok(()) => Ok(false),
            Err(error) if is_refused_lock(&error) => Ok(true),
            Err(error) => Err(error).with_context(|| format!("asking for the lock of {id}")),
        }
    }

    async fn with_pool(connection_url: String, pool: Pool, storage: Storage) -> Result<Self> {
        let mut database = Self {
            connection_url,
            default_volume_type_id: String::new(),
            columns: BTreeSet::new(),
            pool,
            _storage: storage,
        };
        database.default_volume_type_id = database.volume_type().await?;
        database.columns = database.read_columns().await?;
        Ok(database)
    }

    /// The ID of the default volume type, which Cinder has made itself since Train.
    async fn volume_type(&self) -> Result<String> {
        let sql = "SELECT id FROM volume_types WHERE name = '__DEFAULT__'";
        let found: Option<String> =
            on_pool!(self, pool => sqlx::query_scalar(sql).fetch_optional(pool).await?);
        if let Some(id) = found {
            return Ok(id);
        }
        let id = Uuid::new_v4().to_string();
        let sql = format!(
            "INSERT INTO volume_types (id, name, deleted) VALUES ('{id}', '__DEFAULT__', false)"
        );
        self.execute(&sql).await?;
        Ok(id)
    }

    async fn read_columns(&self) -> Result<BTreeSet<(String, String)>> {
        let sql = match self.dialect() {
            Dialect::MariaDb => {
                "SELECT table_name, column_name FROM information_schema.columns \
                 WHERE table_schema = DATABASE()"
            }
            Dialect::Postgres => {
                "SELECT table_name::text, column_name::text FROM information_schema.columns \
                 WHERE table_schema = 'public'"
            }
            Dialect::Sqlite => {
                "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c \
                 WHERE t.type = 'table'"
            }
        };
        let columns: Vec<(String, String)> =
            on_pool!(self, pool => sqlx::query_as(sql).fetch_all(pool).await?);
        Ok(columns.into_iter().collect())
    }

    async fn resource(&self, table: &'static str, id: Uuid) -> Result<Resource> {
        let updated_at = match self.dialect() {
            Dialect::MariaDb => "CAST(updated_at AS CHAR)",
            Dialect::Postgres => "TO_CHAR(updated_at, 'YYYY-MM-DD HH24:MI:SS.US')",
            Dialect::Sqlite => "updated_at",
        };
        let sql = format!(
            "SELECT encryption_key_id, {updated_at}, status, user_id FROM {table} WHERE id = "
        );
        let row = on_pool!(self, pool => {
            let mut query = QueryBuilder::new(sql);
            query.push_bind(id.to_string());
            query.build_query_as().fetch_one(pool).await
        });
        let (encryption_key_id, updated_at, status, user_id) =
            row.with_context(|| format!("reading {id} of {table}"))?;
        Ok(Resource {
            encryption_key_id,
            updated_at,
            status,
            user_id,
        })
    }
}

/// Cinder's tables on SQLite; a test compares this file with a fresh `cinder-manage db sync`.
const SQLITE_SCHEMA: &str =
    include_str!("../../../crates/sandbox-cloud/schema/cinder-29.0.0.sqlite.sql");

/// The file that `tests/schemas/README.md` tells about.
fn schema_of(release: &str, dialect: Dialect) -> Result<String> {
    let kind = match dialect {
        Dialect::MariaDb => "mariadb",
        Dialect::Postgres => "postgresql",
        Dialect::Sqlite => "sqlite",
    };
    let path = format!(
        "{}/schemas/cinder-{release}.{kind}.sql",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

fn is_refused_lock(error: &sqlx::Error) -> bool {
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const SQLITE_BUSY: &str = "5";
    let Some(error) = error.as_database_error() else {
        return false;
    };
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => error.number() == LOCK_WAIT_TIMEOUT,
        None => matches!(
            error.code().as_deref(),
            Some(LOCK_NOT_AVAILABLE | SQLITE_BUSY)
        ),
    }
}
