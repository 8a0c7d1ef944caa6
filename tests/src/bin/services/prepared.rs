//! The state that the services start from, made once and copied for every start: a MariaDB data
//! folder with the tables of Keystone, both Barbicans and Glance, Keystone's keys and its administrator.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use key_migrator_tests::free_port::free_port;
use key_migrator_tests::services::{MariaDb, PostgreSql};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::process::Command;
use uuid::Uuid;

use crate::mariadb;
use crate::postgresql;
use crate::process::{Process, isolated_command};

/// The databases on the server. The last one is there to be dumped.
const DATABASES: [&str; 5] = [
    "keystone",
    GLANCE,
    "barbican_as_shipped",
    "barbican_creator",
    "cinder",
];

/// The database of Glance.
pub(crate) const GLANCE: &str = "glance";

/// The prepared state's folder, or a copy of it.
pub(crate) struct State {
    pub(crate) folder: PathBuf,
    pub(crate) secrets: Secrets,
}

/// The passwords and keys that the state was made with.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Secrets {
    pub(crate) root_password: String,
    pub(crate) postgres_password: String,
    pub(crate) admin_password: String,
}

/// The Python environment that tests/run installs.
#[derive(Clone, Debug)]
pub(crate) struct Venv {
    folder: PathBuf,
}

impl Venv {
    pub(crate) fn in_home(home: &Path) -> Self {
        Self {
            folder: home.join("python"),
        }
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    pub(crate) fn glance_paste(&self) -> PathBuf {
        self.folder.join("etc/glance/glance-api-paste.ini")
    }

    pub(crate) fn barbican_paste(&self) -> PathBuf {
        self.folder.join("etc/barbican/barbican-api-paste.ini")
    }
}

impl State {
    /// A copy of the prepared state in a new folder; prepares it first if need be.
    pub(crate) async fn copy_to(folder: &Path, home: &Path) -> Result<Self> {
        let lock = std::fs::File::create(home.join("prepared.lock"))?;
        lock.lock()
            .context("waiting for somebody else to prepare the services")?;
        let prepared = home.join("prepared");
        let stamp = stamp(home).await?;
        if std::fs::read_to_string(prepared.join("stamp")).is_ok_and(|made| made == stamp) {
            drop(lock);
        } else {
            eprintln!("services: making the databases, once");
            prepare(home, &prepared, &stamp)
                .await
                .context("preparing the services")?;
        }
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto"])
            .arg(&prepared)
            .arg(folder);
        anyhow::ensure!(
            copy.status().await?.success(),
            "cannot copy {}",
            prepared.display()
        );
        let secrets = serde_json::from_str(&std::fs::read_to_string(folder.join("secrets"))?)?;
        Ok(Self {
            folder: folder.to_owned(),
            secrets,
        })
    }

    pub(crate) fn mariadb_data(&self) -> PathBuf {
        self.folder.join("mariadb")
    }

    /// The server's address, with the dump of Cinder's tables.
    pub(crate) fn mariadb(&self, port: u16) -> MariaDb {
        MariaDb {
            port,
            root_password: self.secrets.root_password.clone(),
            cinder_dump: self.folder.join("cinder.sql"),
        }
    }

    pub(crate) fn postgresql_data(&self) -> PathBuf {
        self.folder.join("postgresql")
    }

    /// The server's address.
    pub(crate) fn postgresql(&self, port: u16) -> PostgreSql {
        PostgreSql {
            port,
            password: self.secrets.postgres_password.clone(),
        }
    }

    /// Writes Keystone's configuration, and returns the home folder in which Keystone finds it.
    pub(crate) fn configure_keystone(&self, mariadb: &MariaDb) -> Result<PathBuf> {
        let home = self.folder.join("keystone");
        let folder = home.join(".keystone");
        std::fs::create_dir_all(&folder)?;
        let keys = home.display();
        let text = format!(
            "[DEFAULT]\nuse_stderr = true\n\
             [database]\nconnection = {}\n\
             [fernet_tokens]\nkey_repository = {keys}/fernet-keys\n\
             [fernet_receipts]\nkey_repository = {keys}/fernet-keys\n\
             [credential]\nkey_repository = {keys}/credential-keys\n\
             # As cheap as bcrypt gets: tests make many users.\n\
             [identity]\npassword_hash_rounds = 4\n",
            mariadb::url(mariadb, "keystone")
        );
        std::fs::write(folder.join("keystone.conf"), text)?;
        Ok(home)
    }
}

/// What the prepared state depends on: if any of it changes, it is made anew.
async fn stamp(home: &Path) -> Result<String> {
    let python = std::fs::read_to_string(home.join("python/installed"))
        .context("the Python environment is missing; tests/run installs it")?;
    Ok([
        python.as_str(),
        &mariadb::version().await?,
        &postgresql::version().await?,
        include_str!("prepared.rs"),
        include_str!("mariadb.rs"),
        include_str!("postgresql.rs"),
    ]
    .concat())
}

async fn prepare(home: &Path, prepared: &Path, stamp: &str) -> Result<()> {
    if prepared.exists() {
        std::fs::remove_dir_all(prepared)?;
    }
    let logs = prepared.join("logs");
    std::fs::create_dir_all(&logs)?;
    let secrets = Secrets {
        root_password: random_word(),
        postgres_password: random_word(),
        admin_password: random_word(),
    };
    std::fs::write(prepared.join("secrets"), serde_json::to_string(&secrets)?)?;
    let state = State {
        folder: prepared.to_owned(),
        secrets,
    };
    let data = state.mariadb_data();
    let access = state.mariadb(free_port()?);
    mariadb::install(&data, &logs, &access.root_password).await?;
    let server = mariadb::start(&data, &logs, &access).await?;
    create_databases(&access).await?;
    let venv = Venv::in_home(home);
    let postgresql = state.postgresql(free_port()?);
    tokio::try_join!(
        cinder_on_postgresql(&venv, &state, &postgresql, &logs),
        keystone(&venv, &state, &access, &logs),
        glance(&venv, &state, &access, &logs),
        barbican(&venv, &access, DATABASES[2], &logs),
        barbican(&venv, &access, DATABASES[3], &logs),
        cinder(&venv, &state, &access, &logs),
    )?;
    mariadb::stop(server).await;
    // Last of all: a state without its stamp is made anew.
    Ok(std::fs::write(prepared.join("stamp"), stamp)?)
}

async fn create_databases(access: &MariaDb) -> Result<()> {
    let mut connection = access.options().connect().await?;
    for database in DATABASES {
        let sql = format!("CREATE DATABASE {database} CHARACTER SET utf8mb3");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
    }
    Ok(())
}

async fn keystone(venv: &Venv, state: &State, access: &MariaDb, logs: &Path) -> Result<()> {
    let home = state.configure_keystone(access)?;
    let manage = |arguments: &[&str]| {
        let mut command = isolated_command(venv.program("keystone-manage"), &home);
        command.args(arguments);
        command
    };
    let owner = ["--keystone-user", "root", "--keystone-group", "root"];
    for step in ["fernet_setup", "credential_setup"] {
        let command = manage(&[&[step], owner.as_slice()].concat());
        Process::run(&format!("keystone-{step}"), command, logs).await?;
    }
    Process::run("keystone-db_sync", manage(&["db_sync"]), logs).await?;
    let password = &state.secrets.admin_password;
    let bootstrap = manage(&["bootstrap", "--bootstrap-password", password]);
    Process::run("keystone-bootstrap", bootstrap, logs).await
}

async fn barbican(venv: &Venv, access: &MariaDb, database: &str, logs: &Path) -> Result<()> {
    let mut command = isolated_command(venv.program("barbican-manage"), logs);
    command.args(["db", "upgrade", "--db-url", &mariadb::url(access, database)]);
    Process::run(&format!("{database}-db_upgrade"), command, logs).await
}

async fn glance(venv: &Venv, state: &State, access: &MariaDb, logs: &Path) -> Result<()> {
    let folder = state.folder.join("glance");
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("glance-api.conf");
    let text = format!(
        "[database]\nconnection = {}\n",
        mariadb::url(access, GLANCE)
    );
    std::fs::write(&configuration, text)?;
    let mut command = isolated_command(venv.program("glance-manage"), &folder);
    command
        .arg("--config-file")
        .arg(&configuration)
        .args(["db", "sync"]);
    Process::run("glance-db_sync", command, logs).await
}

async fn cinder(venv: &Venv, state: &State, access: &MariaDb, logs: &Path) -> Result<()> {
    let folder = state.folder.join("cinder");
    sync_cinder(venv, &folder, &mariadb::url(access, "cinder"), logs).await?;
    let mut dump = isolated_command("mariadb-dump", &folder);
    dump.args([
        "--no-defaults",
        "--user=root",
        "--skip-comments",
        "--skip-add-locks",
    ])
    .args([
        "--skip-disable-keys",
        "--skip-add-drop-table",
        "--host=127.0.0.1",
    ])
    .arg(format!("--port={}", access.port))
    .arg(format!("--result-file={}", access.cinder_dump.display()))
    .arg("cinder")
    .env("MYSQL_PWD", &access.root_password);
    Process::run("cinder-dump", dump, logs).await
}

/// A data folder in which a database with Cinder's tables is there to be copied.
async fn cinder_on_postgresql(
    venv: &Venv,
    state: &State,
    access: &PostgreSql,
    logs: &Path,
) -> Result<()> {
    let data = postgresql::Data::install(logs, &access.password).await?;
    let server = postgresql::start(&data, logs, access).await?;
    let mut connection = access.options().connect().await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE DATABASE {}",
        PostgreSql::CINDER
    )))
    .execute(&mut connection)
    .await?;
    let folder = state.folder.join("cinder-on-postgresql");
    let url = postgresql::url(access, PostgreSql::CINDER);
    sync_cinder(venv, &folder, &url, logs).await?;
    postgresql::stop(server).await;
    data.save(&state.postgresql_data()).await
}

/// Runs `cinder-manage db sync`; its files are in the folder.
async fn sync_cinder(venv: &Venv, folder: &Path, url: &str, logs: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let configuration = folder.join("cinder.conf");
    let text = format!(
        "[DEFAULT]\nstate_path = {}\n[database]\nconnection = {url}\n",
        folder.display(),
    );
    std::fs::write(&configuration, text)?;
    let mut command = isolated_command(venv.program("cinder-manage"), folder);
    command
        .arg("--config-file")
        .arg(&configuration)
        .args(["db", "sync"]);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Process::run(&format!("{name}-db_sync"), command, logs).await
}

fn random_word() -> String {
    Uuid::new_v4().simple().to_string()
}
