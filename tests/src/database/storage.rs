//! Where a test's database is, and what makes it go when the test ends.

use anyhow::Result;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions, MySql, Postgres};
use uuid::Uuid;

use crate::real_cloud::random_password;
use crate::services::{MariaDb, PostgreSql};

/// What must go when the test ends.
#[derive(Debug)]
#[expect(dead_code, reason = "held for their Drop")]
pub(super) enum Storage {
    MariaDb(Box<MariaDbDatabase>),
    Postgres(Box<PostgresDatabase>),
    Sqlite(tempfile::TempDir),
}

/// A database on the private MariaDB, with a user of the same name.
#[derive(Debug)]
pub(super) struct MariaDbDatabase {
    server: MySqlConnectOptions,
    port: u16,
    pub(super) name: String,
    password: String,
}

/// A database on the private PostgreSQL, with a user of the same name.
#[derive(Debug)]
pub(super) struct PostgresDatabase {
    server: PgConnectOptions,
    port: u16,
    pub(super) name: String,
    password: String,
}

impl MariaDbDatabase {
    pub(super) async fn create(server: &MariaDb) -> Result<Self> {
        let database = Self {
            server: server.options(),
            port: server.port,
            name: random_name(),
            password: random_password(),
        };
        let Self { name, password, .. } = &database;
        let sql = format!(
            "CREATE DATABASE {name} CHARACTER SET utf8mb3; \
             CREATE USER {name}@'%' IDENTIFIED BY '{password}'; \
             GRANT ALL ON {name}.* TO {name}@'%'"
        );
        let mut connection = database.server.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        Ok(database)
    }

    pub(super) fn connection_url(&self) -> String {
        format!(
            "mysql+pymysql://{name}:{password}@127.0.0.1:{port}/{name}?charset=utf8",
            name = self.name,
            password = percent_encoded(&self.password),
            port = self.port
        )
    }
}

impl Drop for MariaDbDatabase {
    fn drop(&mut self) {
        let Self { server, name, .. } = self;
        execute_apart::<MySql>(
            server.connect(),
            vec![
                format!("DROP DATABASE {name}"),
                format!("DROP USER {name}@'%'"),
            ],
        );
    }
}

impl PostgresDatabase {
    /// A copy of the database that has Cinder's tables.
    pub(super) async fn create(server: &PostgreSql) -> Result<Self> {
        Self::copied_from(server, PostgreSql::CINDER).await
    }

    pub(super) async fn create_empty(server: &PostgreSql) -> Result<Self> {
        Self::copied_from(server, "template1").await
    }

    async fn copied_from(server: &PostgreSql, template: &str) -> Result<Self> {
        let database = Self {
            server: server.options(),
            port: server.port,
            name: random_name(),
            password: random_password(),
        };
        let Self { name, password, .. } = &database;
        let mut connection = database.server.connect().await?;
        for sql in [
            format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"),
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await?;
        }
        Ok(database)
    }

    /// Lets its user do with the tables what Cinder does.
    pub(super) async fn hand_over(&self, pool: &PgPool) -> Result<()> {
        let sql = format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", self.name);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
        Ok(())
    }

    pub(super) fn connection_url(&self) -> String {
        format!(
            "postgresql+psycopg2://{name}:{password}@127.0.0.1:{port}/{name}",
            name = self.name,
            password = percent_encoded(&self.password),
            port = self.port
        )
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let Self { server, name, .. } = self;
        execute_apart::<Postgres>(
            server.connect(),
            vec![
                format!("DROP DATABASE {name} WITH (FORCE)"),
                format!("DROP ROLE {name}"),
            ],
        );
    }
}

/// Executes statements from a thread of its own, as `Drop` cannot await. A failure is left alone:
/// the server's whole data folder goes when the services stop.
fn execute_apart<DB: sqlx::Database>(
    connecting: impl Future<Output = sqlx::Result<DB::Connection>> + Send,
    sql: Vec<String>,
) where
    for<'c> &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
{
    let executing = async {
        let mut connection = connecting.await?;
        for sql in sql {
            let sql = sqlx::raw_sql(AssertSqlSafe(sql));
            sql.execute(&mut connection).await?;
        }
        Ok::<_, sqlx::Error>(())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.map(|runtime| runtime.block_on(executing))
        });
    });
}

fn random_name() -> String {
    format!("cinder_{}", &Uuid::new_v4().simple().to_string()[..20])
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
