//! Fresh Cinder databases with Cinder's own tables, and a look into their rows.

use anyhow::{Context, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection, Database, MySqlConnection, QueryBuilder};
use uuid::Uuid;

use crate::real_cloud::random_password;
use crate::rows::{Insert, Record, Value, ZERO_KEY};
use crate::services::{MariaDb, Services};

/// Rows a statement inserts: SQLite takes 32766 values in one.
const ROWS_AT_A_TIME: usize = 500;

/// The kinds of database that Cinder runs on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The private MariaDB of the services.
    MariaDb,
    /// A file of its own.
    Sqlite,
}

impl Dialect {
    /// Every dialect, for a test that must hold on each.
    pub const ALL: [Self; 2] = [Self::MariaDb, Self::Sqlite];
}

/// A Cinder database of one test, empty but for what `cinder-manage db sync` puts into it.
///
/// It is gone when this value is dropped.
#[derive(Debug)]
pub struct CinderDatabase {
    connection_url: String,
    default_volume_type_id: String,
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
    Sqlite(SqlitePool),
}

/// Runs the same code on the pool that there is, with its own types.
macro_rules! on_pool {
    ($database:expr, $pool:ident => $body:expr) => {
        match &$database.pool {
            Pool::MariaDb($pool) => $body,
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
            Dialect::Sqlite => Self::sqlite().await,
        }
    }

    /// A new database on the private MariaDB, with a user and a random password of its own.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn mariadb(server: &MariaDb) -> Result<Self> {
        let storage = MariaDbDatabase::create(server)
            .await
            .context("making a database")?;
        let options = server.options().database(&storage.name);
        let pool = MySqlPoolOptions::new().connect_with(options).await?;
        let dump = tokio::fs::read_to_string(&server.cinder_dump).await?;
        sqlx::raw_sql(AssertSqlSafe(dump))
            .execute(&pool)
            .await
            .context("replaying the dump")?;
        let connection_url = format!(
            "mysql+pymysql://{}:{}@127.0.0.1:{}/{}?charset=utf8",
            storage.name,
            percent_encoded(&storage.password),
            server.port,
            storage.name
        );
        Self::with_pool(
            connection_url,
            Pool::MariaDb(pool),
            Storage::MariaDb(Box::new(storage)),
        )
        .await
    }

    /// A new SQLite file; needs no services.
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub async fn sqlite() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("cinder.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        sqlx::raw_sql(SQLITE_SCHEMA)
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
            Pool::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Inserts rows, all in one transaction.
    ///
    /// # Errors
    ///
    /// When the schema does not take them.
    pub async fn insert(&self, rows: &(impl Insert + ?Sized)) -> Result<()> {
        let statements = statements(rows.records());
        on_pool!(self, pool => {
            let mut transaction = pool.begin().await?;
            for records in &statements {
                let mut query = QueryBuilder::new("");
                self.push_insert(&mut query, records);
                let inserted = query.build().execute(&mut *transaction).await;
                inserted.with_context(|| format!("inserting into {}", records[0].table))?;
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
            pool,
            _storage: storage,
        };
        let sql = "SELECT id FROM volume_types WHERE name = '__DEFAULT__'";
        database.default_volume_type_id =
            on_pool!(database, pool => sqlx::query_scalar(sql).fetch_one(pool).await?);
        Ok(database)
    }

    async fn resource(&self, table: &'static str, id: Uuid) -> Result<Resource> {
        let sql = format!(
            "SELECT encryption_key_id, CAST(updated_at AS CHAR) AS updated_at, status, user_id \
             FROM {table} WHERE id = "
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

    fn push_insert<DB: Database>(&self, query: &mut QueryBuilder<DB>, records: &[Record])
    where
        for<'t> String: sqlx::Encode<'t, DB> + sqlx::Type<DB>,
        for<'t> i64: sqlx::Encode<'t, DB> + sqlx::Type<DB>,
        for<'t> bool: sqlx::Encode<'t, DB> + sqlx::Type<DB>,
    {
        let names: Vec<_> = records[0]
            .values
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        query.push(format!(
            "INSERT INTO {} ({}) ",
            records[0].table,
            names.join(", ")
        ));
        query.push_values(records, |mut row, record| {
            for (_, value) in &record.values {
                match value.clone() {
                    Value::Null => row.push("NULL"),
                    Value::Text(text) => row.push_bind(text),
                    Value::Integer(number) => row.push_bind(number),
                    Value::Boolean(truth) => row.push_bind(truth),
                    Value::DefaultVolumeType => row.push_bind(self.default_volume_type_id.clone()),
                };
            }
        });
    }
}

impl MariaDb {
    /// How sqlx connects as `root`.
    #[must_use]
    pub fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("root")
            .password(&self.root_password)
            .ssl_mode(sqlx::mysql::MySqlSslMode::Disabled)
    }
}

/// Cinder's tables on SQLite; a test compares this file with a fresh `cinder-manage db sync`.
const SQLITE_SCHEMA: &str =
    include_str!("../../crates/sandbox-cloud/schema/cinder-29.0.0.sqlite.sql");

/// What must go when the test ends.
#[derive(Debug)]
enum Storage {
    MariaDb(#[expect(dead_code, reason = "held for its Drop")] Box<MariaDbDatabase>),
    Sqlite(#[expect(dead_code, reason = "held for its Drop")] tempfile::TempDir),
}

#[derive(Debug)]
struct MariaDbDatabase {
    server: MySqlConnectOptions,
    name: String,
    password: String,
}

impl MariaDbDatabase {
    async fn create(server: &MariaDb) -> Result<Self> {
        let database = Self {
            server: server.options(),
            name: format!("cinder_{}", &Uuid::new_v4().simple().to_string()[..20]),
            password: random_password(),
        };
        let Self { name, password, .. } = &database;
        let sql = format!(
            "CREATE DATABASE {name} CHARACTER SET utf8mb3; \
             CREATE USER {name}@'%' IDENTIFIED BY '{password}'; \
             GRANT ALL ON {name}.* TO {name}@'%'"
        );
        let mut connection = MySqlConnection::connect_with(&database.server).await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        Ok(database)
    }
}

impl Drop for MariaDbDatabase {
    /// Drops the database from a thread of its own, as `Drop` cannot await. A failure is left
    /// alone: the server's whole data folder goes when the services stop.
    fn drop(&mut self) {
        let Self { server, name, .. } = self;
        let sql = format!("DROP DATABASE {name}; DROP USER {name}@'%'");
        let dropping = async {
            let mut connection = MySqlConnection::connect_with(server).await?;
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.map(|runtime| runtime.block_on(dropping).map(drop))
            });
        });
    }
}

fn is_refused_lock(error: &sqlx::Error) -> bool {
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    const SQLITE_BUSY: &str = "5";
    let Some(error) = error.as_database_error() else {
        return false;
    };
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => error.number() == LOCK_WAIT_TIMEOUT,
        None => error.code().as_deref() == Some(SQLITE_BUSY),
    }
}

/// Groups of records that one statement can insert: the same table, the same columns.
fn statements(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut statements: Vec<Vec<Record>> = Vec::new();
    let mut tables: Vec<&str> = Vec::new();
    for record in &records {
        if !tables.contains(&record.table) {
            tables.push(record.table);
        }
    }
    for table in tables {
        for record in records.iter().filter(|record| record.table == table) {
            match statements.last_mut() {
                Some(batch) if batch.len() < ROWS_AT_A_TIME && alike(&batch[0], record) => {
                    batch.push(record.clone());
                }
                _ => statements.push(vec![record.clone()]),
            }
        }
    }
    statements
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

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
