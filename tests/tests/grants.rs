//! `deploy/sql`: with these grants everything works, and nothing else is allowed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Service,
    Services, User, Volume,
};
use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use uuid::Uuid;

const SERVERS: [Dialect; 2] = [Dialect::MariaDb, Dialect::Postgres];

/// All that may be changed.
const WRITTEN: &[&str] = &[
    "backups.encryption_key_id",
    "backups.updated_at",
    "snapshots.encryption_key_id",
    "snapshots.updated_at",
    "volumes.encryption_key_id",
    "volumes.updated_at",
];

/// All that may be read.
const READ: &[&str] = &[
    "backups.container",
    "backups.deleted",
    "backups.deleted_at",
    "backups.encryption_key_id",
    "backups.host",
    "backups.id",
    "backups.object_count",
    "backups.project_id",
    "backups.service",
    "backups.service_metadata",
    "backups.status",
    "backups.updated_at",
    "backups.user_id",
    "backups.volume_id",
    "encryption.volume_type_id",
    "services.binary",
    "services.cluster_name",
    "services.deleted",
    "services.host",
    "services.updated_at",
    "snapshots.deleted",
    "snapshots.deleted_at",
    "snapshots.encryption_key_id",
    "snapshots.id",
    "snapshots.project_id",
    "snapshots.status",
    "snapshots.user_id",
    "snapshots.volume_id",
    "volume_glance_metadata.deleted",
    "volume_glance_metadata.id",
    "volume_glance_metadata.key",
    "volume_glance_metadata.snapshot_id",
    "volume_glance_metadata.value",
    "volume_glance_metadata.volume_id",
    "volume_types.id",
    "volumes.cluster_name",
    "volumes.deleted",
    "volumes.deleted_at",
    "volumes.display_name",
    "volumes.encryption_key_id",
    "volumes.host",
    "volumes.id",
    "volumes.migration_status",
    "volumes.project_id",
    "volumes.source_volid",
    "volumes.status",
    "volumes.updated_at",
    "volumes.user_id",
    "volumes.volume_type_id",
];

/// A database whose user has the rights of the file in `deploy/sql` and no others.
async fn granted(services: &Services, dialect: Dialect) -> Result<CinderDatabase> {
    let database = CinderDatabase::new(services, dialect).await?;
    let name = name(&database);
    let (file, revoke, given) = match dialect {
        Dialect::Postgres => (
            "grants-postgresql.sql",
            format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"),
            [
                ("cinder_key_migrator", name.to_owned()),
                ("", String::new()),
            ],
        ),
        _ => (
            "grants-mariadb.sql",
            format!("REVOKE ALL ON {name}.* FROM {name}@'%'"),
            [
                ("'cinder_key_migrator'@'%'", format!("{name}@'%'")),
                ("ON cinder.", format!("ON {name}.")),
            ],
        ),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/sql")
        .join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with("--"));
    let mut grants = lines.collect::<Vec<_>>().join("\n");
    for (placeholder, own) in given
        .iter()
        .filter(|(placeholder, _)| !placeholder.is_empty())
    {
        ensure!(grants.contains(placeholder), "{file} lacks {placeholder}");
        grants = grants.replace(placeholder, own);
    }
    database.execute(&revoke).await?;
    database.execute(&grants).await?;
    Ok(database)
}

/// The rig names a database and its user alike.
fn name(database: &CinderDatabase) -> &str {
    let url = database.connection_url();
    let name = url.rsplit('/').next().unwrap_or_default();
    name.split('?').next().unwrap_or_default()
}

#[tokio::test]
async fn with_the_grants_and_no_others_everything_works() -> Result<()> {
    let services = Services::from_env();
    let [mariadb, postgresql] = SERVERS.map(|dialect| works(&services, dialect));
    tokio::try_join!(mariadb, postgresql)?;
    Ok(())
}

async fn works(services: &Services, dialect: Dialect) -> Result<()> {
    let host = Host::new(services, dialect).await?;
    let done = async {
        host.migrates_and_goes_back().await?;
        host.looks_at_everything().await?;
        host.purges().await
    };
    done.await.with_context(|| format!("{dialect:?}"))
}

/// A host whose program has the grants and no others.
struct Host {
    services: Services,
    cloud: RealCloud,
    cinder: User,
    database: CinderDatabase,
    conf: CinderConf,
    folder: Arc<TempDir>,
    volume: Volume,
    elsewhere: Volume,
    backup: Backup,
}

impl Host {
    async fn new(services: &Services, dialect: Dialect) -> Result<Self> {
        let cloud = services.cloud(RoleWorld::AsShipped);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let [owner, other] = [cloud.create_owner().await?, cloud.create_owner().await?];
        let database = granted(services, dialect).await?;
        let volume = Volume::on("host1@lvm#lvm")
            .owned_by(&owner)
            .with_snapshots(2);
        let elsewhere = Volume::on("host9@gone").owned_by(&owner);
        let backup = Backup::on("host1").of(&volume).owned_by(&other);
        let plain = Volume::on("host1@lvm").without_key();
        let of_plain = Backup::on("host1").of(&plain).without_key();
        database
            .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
            .await?;
        database
            .insert(&[volume.clone(), elsewhere.clone(), plain])
            .await?;
        database.insert(&[backup.clone(), of_plain]).await?;
        let conf = CinderConf::new(&cloud, &cinder, &database)?;
        Ok(Self {
            services: services.clone(),
            conf: conf.set("key_migrator", "interval", "1"),
            folder: Arc::new(tempfile::tempdir()?),
            cloud,
            cinder,
            database,
            volume,
            elsewhere,
            backup,
        })
    }

    fn start(&self, arguments: &[&str]) -> Result<Program> {
        Program::start_in(Arc::clone(&self.folder), &self.conf, arguments)
    }

    /// What the command says, which must end with this code.
    async fn command(&self, arguments: &[&str], code: i32) -> Result<String> {
        let ended = self.start(arguments)?.ended().await?;
        let said = ended.lines.join("\n");
        ensure!(
            ended.code() == Some(code),
            "{arguments:?} ended with {:?}:\n{said}",
            ended.code()
        );
        Ok(said)
    }

    async fn migrates_and_goes_back(&self) -> Result<()> {
        let mut daemon = self.start(&["run"])?;
        let idle = |status: &Value, n: usize| status["services"][n]["state"] == "idle";
        daemon
            .status_where(|status| idle(status, 0) && idle(status, 1))
            .await?;
        let (id, far) = (self.volume.id.to_string(), self.elsewhere.id.to_string());
        self.command(&["status"], 0).await?;
        self.command(&["rows", "--state", "unowned"], 0).await?;
        self.command(&["migrate", &far], 0).await?;
        self.command(&["plan"], 0).await?;
        self.command(&["revert", "--execute", &id], 0).await?;
        assert_eq!(self.database.zeros("snapshots").await?, 2);
        daemon.terminate().await?;
        self.command(&["release", "--execute", &id], 0).await?;
        let mut daemon = self.start(&["run"])?;
        daemon
            .status_where(|status| status["services"][0]["state"] == "complete")
            .await?;
        daemon.terminate().await?;
        Ok(())
    }

    async fn looks_at_everything(&self) -> Result<()> {
        self.command(&["verify", "--all-hosts"], 0).await?;
        let said = self
            .command(&["fixed-key", "audit", "-f", "json"], 1)
            .await?;
        let report = &said[said.find("\n{").map_or(0, |at| at + 1)..];
        let report: Value = serde_json::from_str(report).context(said.clone())?;
        let items = report["items"].as_array().context("items")?;
        for item in [
            "volumes",
            "old_backups",
            "volume_image_metadata",
            "payloads",
        ] {
            let found = items.iter().find(|it| it["item"] == item);
            let state = found.context(item)?["state"].as_str();
            assert_eq!(state, Some("clear"), "{item}: {report:#}");
        }
        // Whatever else there is to be said, no right is lacking.
        let said = self.start(&["check"])?.ended().await?.lines.join("\n");
        ensure!(
            said.contains("Success") && !said.contains("GRANT"),
            "{said}"
        );
        Ok(())
    }

    async fn purges(&self) -> Result<()> {
        let superseded = self.database.backup(self.backup.id).await?.secret_id();
        let another = Uuid::new_v4();
        self.database
            .execute(&format!(
                "UPDATE backups SET encryption_key_id = '{another}'"
            ))
            .await?;
        // What is younger than a day is kept, and no API makes it older.
        let options = self.services.mariadb.options();
        let options = options.database("barbican_as_shipped");
        let mut barbican = MySqlConnection::connect_with(&options).await?;
        let sql = format!(
            "UPDATE secrets SET created_at = created_at - INTERVAL 2 DAY WHERE id = '{superseded}'"
        );
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        sql.execute(&mut barbican).await?;
        let said = self.command(&["orphans", "purge", "--execute"], 0).await?;
        ensure!(said.contains(&superseded.to_string()), "{said}");
        let python = self.services.python();
        let left = python.secrets_of(&self.cloud, &self.cinder).await?;
        assert!(!left.is_empty(), "{said}");
        let is_left = left.iter().any(|it| it.secret_id == superseded);
        assert!(!is_left, "{said}");
        Ok(())
    }
}

#[tokio::test]
async fn nothing_else_may_be_read_or_changed() -> Result<()> {
    let services = Services::from_env();
    for dialect in SERVERS {
        let database = granted(&services, dialect).await?;
        let mut account = Account::of(&database).await?;
        let columns = columns(&services, &database).await?;
        ensure!(columns.len() > 300, "{} columns", columns.len());
        let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
        for (table, column) in &columns {
            let (of_table, quoted) = (quoted(dialect, table), quoted(dialect, column));
            let name = format!("{table}.{column}");
            let select = format!("SELECT {quoted} FROM {of_table} WHERE 1 = 0");
            if account.may(&select).await? {
                read.insert(name.clone());
            }
            let update = format!("UPDATE {of_table} SET {quoted} = NULL WHERE 1 = 0");
            if account.may(&update).await? {
                written.insert(name);
            }
        }
        let expected = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
        assert_eq!(read, expected(READ), "{dialect:?}");
        assert_eq!(written, expected(WRITTEN), "{dialect:?}");

        let tables: BTreeSet<_> = columns.iter().map(|(table, _)| table).collect();
        for table in tables {
            let table = quoted(dialect, table);
            for statement in [
                format!("DELETE FROM {table} WHERE 1 = 0"),
                format!("INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0"),
                format!("ALTER TABLE {table} ADD COLUMN another INTEGER"),
                format!("DROP TABLE {table}"),
            ] {
                assert!(!account.may(&statement).await?, "{dialect:?}: {statement}");
            }
        }
        assert!(!account.may("CREATE TABLE another (id INTEGER)").await?);
    }
    Ok(())
}

fn quoted(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::MariaDb => format!("`{name}`"),
        _ => format!("\"{name}\""),
    }
}

/// Every column of every table of Cinder's, as an administrator sees them.
async fn columns(services: &Services, database: &CinderDatabase) -> Result<Vec<(String, String)>> {
    let name = name(database);
    Ok(match database.dialect() {
        Dialect::MariaDb => {
            let options = services.mariadb.options();
            let mut root = MySqlConnection::connect_with(&options).await?;
            let sql = format!(
                "SELECT table_name, column_name FROM information_schema.columns \
                 WHERE table_schema = '{name}'"
            );
            sqlx::query_as(AssertSqlSafe(sql))
                .fetch_all(&mut root)
                .await?
        }
        _ => {
            let options = services.postgresql.options().database(name);
            let mut root = PgConnection::connect_with(&options).await?;
            let sql = "SELECT table_name::text, column_name::text \
                       FROM information_schema.columns WHERE table_schema = 'public'";
            sqlx::query_as(sql).fetch_all(&mut root).await?
        }
    })
}

/// A connection as the program's user.
enum Account {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
}

impl Account {
    async fn of(database: &CinderDatabase) -> Result<Self> {
        let url = database.connection_url();
        let url = url.replace("+pymysql", "").replace("+psycopg2", "");
        Ok(match database.dialect() {
            Dialect::MariaDb => Self::MariaDb(MySqlConnection::connect(&url).await?),
            _ => Self::Postgres(PgConnection::connect(&url).await?),
        })
    }

    /// Whether it is done rather than refused for lack of a right.
    async fn may(&mut self, sql: &str) -> Result<bool> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let tried = match self {
            Self::MariaDb(connection) => statement.execute(connection).await.map(drop),
            Self::Postgres(connection) => statement.execute(connection).await.map(drop),
        };
        let Err(error) = tried else {
            return Ok(true);
        };
        let refusal = error.as_database_error().context("no answer")?;
        let missing_right = match self {
            // Tables and columns.
            Self::MariaDb(_) => ["1142", "1143"].contains(&&*mariadb_number(refusal)),
            Self::Postgres(_) => refusal.code().as_deref() == Some("42501"),
        };
        ensure!(missing_right, "{sql}: {refusal}");
        Ok(false)
    }
}

fn mariadb_number(error: &dyn sqlx::error::DatabaseError) -> String {
    let error = error.downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    error.number().to_string()
}
