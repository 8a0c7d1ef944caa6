//! Who changed which key: the database writes it down itself, by triggers, so that nobody's word
//! has to be taken for it.

use anyhow::{Context, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};

use crate::database::CinderDatabase;
use crate::rows::ZERO_KEY;
use crate::services::MariaDb;

/// The tables with keys, and the columns beside the key that the program must leave alone.
const TABLES: [(&str, &[&str]); 3] = [
    (
        "volumes",
        &[
            "status",
            "migration_status",
            "user_id",
            "host",
            "deleted",
            "previous_status",
        ],
    ),
    ("snapshots", &["status", "user_id", "volume_id", "deleted"]),
    ("backups", &["status", "user_id", "host", "deleted"]),
];

/// The triggers on one Cinder database, with a database user for each writer.
#[derive(Debug)]
pub struct Audit {
    root: MySqlPool,
    server: MySqlConnectOptions,
    port: u16,
    database: String,
}

/// Somebody who writes to Cinder's tables, by the database user that he is signed in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Writer {
    /// The program under test, which may read and set keys and nothing else.
    Program,
    /// Cinder's own migrator.
    Upstream,
    /// Cinder, as the mutator plays it.
    Cinder,
}

/// One change of a key, or any change that the program made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Grows with time.
    pub number: i64,
    /// Who; `None` for the test itself.
    pub writer: Option<Writer>,
    /// `volumes`, `snapshots` or `backups`.
    pub table: String,
    /// The row's ID.
    pub row: String,
    /// The key before.
    pub old: Option<String>,
    /// The key after.
    pub new: Option<String>,
    /// The row's `status` before.
    pub status: Option<String>,
    /// The row's `migration_status` before; volumes only.
    pub migration_status: Option<String>,
    /// Whether the row was deleted before.
    pub deleted: bool,
    /// Whether anything but the key and `updated_at` changed with it.
    pub other_columns: bool,
}

impl Change {
    /// Whether a key was there that is not all zeros.
    #[must_use]
    pub fn overwrites_a_real_key(&self) -> bool {
        self.old.as_deref().is_some_and(|old| old != ZERO_KEY) && self.old != self.new
    }
}

impl Writer {
    const ALL: [Self; 3] = [Self::Program, Self::Upstream, Self::Cinder];

    fn prefix(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Upstream => "upstream",
            Self::Cinder => "mutator",
        }
    }

    /// The database user's name: the database's with the writer before it.
    fn user(self, database: &str) -> String {
        format!(
            "{}_{}",
            self.prefix(),
            database.trim_start_matches("cinder_")
        )
    }
}

impl Audit {
    /// Installs the triggers and the users.
    ///
    /// # Errors
    ///
    /// When the database is not on this server, or refuses.
    pub async fn install(server: &MariaDb, database: &CinderDatabase) -> Result<Self> {
        Self::install_at(server.options(), server.port, database.connection_url()).await
    }

    /// As [`install`](Self::install), for a server that is reached with these options.
    ///
    /// # Errors
    ///
    /// As [`install`](Self::install).
    pub async fn install_at(
        server: MySqlConnectOptions,
        port: u16,
        connection_url: &str,
    ) -> Result<Self> {
        let name = connection_url.split(['/', '?']).nth(3);
        let database = name.context("the connection names a database")?.to_owned();
        let options = server.clone().database(&database);
        let audit = Self {
            root: MySqlPoolOptions::new().connect_with(options).await?,
            server,
            port,
            database,
        };
        audit.create_table().await?;
        for (table, columns) in TABLES {
            audit.create_trigger(table, columns).await?;
        }
        for writer in Writer::ALL {
            audit.create_user(writer).await?;
        }
        Ok(audit)
    }

    /// `[database] connection` for this writer.
    #[must_use]
    pub fn connection_url(&self, writer: Writer) -> String {
        let (user, port, database) = (writer.user(&self.database), self.port, &self.database);
        format!("mysql+pymysql://{user}:{user}@127.0.0.1:{port}/{database}?charset=utf8")
    }

    /// How sqlx connects as this writer.
    #[must_use]
    pub fn options(&self, writer: Writer) -> MySqlConnectOptions {
        let user = writer.user(&self.database);
        self.server
            .clone()
            .database(&self.database)
            .username(&user)
            .password(&user)
    }

    /// All changes so far, in their order.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn changes(&self) -> Result<Vec<Change>> {
        self.changes_after(0).await
    }

    /// The changes after this one, in their order.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn changes_after(&self, number: i64) -> Result<Vec<Change>> {
        let sql = "SELECT number, writer, kind, row_id, old_key, new_key, status, \
                   migration_status, was_deleted, other_columns FROM key_changes \
                   WHERE number > ? ORDER BY number";
        let rows = sqlx::query(sql).bind(number).fetch_all(&self.root).await?;
        rows.into_iter()
            .map(|row| {
                let user: String = row.try_get(1)?;
                Ok(Change {
                    number: row.try_get(0)?,
                    writer: Writer::ALL
                        .into_iter()
                        .find(|writer| user.starts_with(writer.prefix())),
                    table: row.try_get(2)?,
                    row: row.try_get(3)?,
                    old: row.try_get(4)?,
                    new: row.try_get(5)?,
                    status: row.try_get(6)?,
                    migration_status: row.try_get(7)?,
                    deleted: row.try_get(8)?,
                    other_columns: row.try_get(9)?,
                })
            })
            .collect()
    }

    async fn create_table(&self) -> Result<()> {
        self.execute(
            "CREATE TABLE key_changes (number BIGINT PRIMARY KEY AUTO_INCREMENT, \
             at DATETIME(6) NOT NULL, writer VARCHAR(80) NOT NULL, kind VARCHAR(10) NOT NULL, \
             row_id VARCHAR(36) NOT NULL, old_key VARCHAR(36), new_key VARCHAR(36), \
             status VARCHAR(255), migration_status VARCHAR(255), was_deleted BOOL NOT NULL, \
             other_columns BOOL NOT NULL) ENGINE = InnoDB",
        )
        .await
    }

    /// Writes each change of a key down, and each of the program's whatever it changes.
    async fn create_trigger(&self, table: &str, columns: &[&str]) -> Result<()> {
        let same: Vec<_> = columns
            .iter()
            .map(|column| format!("(NEW.{column} <=> OLD.{column})"))
            .collect();
        let migration_status = match table {
            "volumes" => "OLD.migration_status",
            _ => "NULL",
        };
        let program = Writer::Program.user(&self.database);
        self.execute(&format!(
            "CREATE TRIGGER key_changes_of_{table} AFTER UPDATE ON {table} FOR EACH ROW \
             IF NOT (NEW.encryption_key_id <=> OLD.encryption_key_id) OR USER() LIKE '{program}@%' \
             THEN INSERT INTO key_changes (at, writer, kind, row_id, old_key, new_key, status, \
             migration_status, was_deleted, other_columns) VALUES (NOW(6), USER(), '{table}', \
             OLD.id, OLD.encryption_key_id, NEW.encryption_key_id, OLD.status, \
             {migration_status}, OLD.deleted, NOT ({})); END IF",
            same.join(" AND ")
        ))
        .await
    }

    /// The program gets the rights that it needs and no others.
    async fn create_user(&self, writer: Writer) -> Result<()> {
        let (user, database) = (writer.user(&self.database), &self.database);
        self.execute(&format!("CREATE USER {user}@'%' IDENTIFIED BY '{user}'"))
            .await?;
        if writer != Writer::Program {
            return self
                .execute(&format!("GRANT ALL ON {database}.* TO {user}@'%'"))
                .await;
        }
        self.execute(&format!("GRANT SELECT ON {database}.* TO {user}@'%'"))
            .await?;
        for (table, _) in TABLES {
            self.execute(&format!(
                "GRANT UPDATE (encryption_key_id, updated_at) ON {database}.{table} TO {user}@'%'"
            ))
            .await?;
        }
        Ok(())
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.root)
            .await;
        done.with_context(|| format!("executing {sql}")).map(drop)
    }
}
