//! A private MariaDB server on a data folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use key_migrator_tests::services::MariaDb;
use rustix::process::Signal;
use sqlx::ConnectOptions as _;

use crate::process::{Process, isolated_command};

/// Where Debian has the server, which is not on every user's search path.
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// Lets the server believe that what it has written is on disk: making and dropping a database, which
/// nearly every test does, is several times as fast.
const NO_SYNC: &str = "libeatmydata.so";

/// What the server executes before it listens, in its data folder.
const INIT_FILE: &str = "init.sql";

/// The server's name and version.
pub(crate) async fn version() -> Result<String> {
    let output = tokio::process::Command::new(MARIADBD)
        .arg("--version")
        .output()
        .await;
    let output = output.with_context(|| format!("{MARIADBD} is missing; tests/run installs it"))?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes an empty data folder, whose user `root` gets the password.
pub(crate) async fn install(data: &Path, logs: &Path, root_password: &str) -> Result<()> {
    let mut command = isolated_command("mariadb-install-db", data);
    command
        .env("TMPDIR", temporary(data)?)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--user=root",
        ])
        // It does not matter whether this machine can look up its own name.
        .arg("--force");
    Process::run("mariadb-install-db", command, logs).await?;
    let sql = format!(
        "ALTER USER root@'127.0.0.1' IDENTIFIED BY '{root_password}';\n\
         ALTER USER root@localhost IDENTIFIED BY '{root_password}';\n"
    );
    Ok(std::fs::write(data.join(INIT_FILE), sql)?)
}

/// Starts a server on a data folder, and waits until it answers.
pub(crate) async fn start(data: &Path, logs: &Path, access: &MariaDb) -> Result<Process> {
    let mut command = isolated_command(MARIADBD, data);
    command
        .env("TMPDIR", temporary(data)?)
        .env("LD_PRELOAD", NO_SYNC)
        .args([
            "--no-defaults",
            "--user=root",
            "--skip-name-resolve",
            "--max-connections=500",
        ])
        // Commits are on disk when the operating system pleases: they survive the server's death,
        // not the machine's. The small log makes the data folder quick to copy.
        .args([
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-log-file-size=32M",
        ])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--init-file={}", data.join(INIT_FILE).display()))
        // Relative to the data folder, as the path of a socket must not be long.
        .args([
            "--socket=socket",
            "--pid-file=pid",
            "--bind-address=127.0.0.1",
        ])
        .arg(format!("--port={}", access.port));
    let mut server = Process::start_service("mariadb", command, logs)?;
    let options = access.options();
    server
        .ready(async || options.connect().await.is_ok())
        .await?;
    Ok(server)
}

/// Where the server with this data folder has its temporary tables. A server that starts clears that
/// folder, of others' tables too.
fn temporary(data: &Path) -> Result<PathBuf> {
    let folder = data.with_extension("tmp");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Stops a server in order, so that its data folder can be copied.
pub(crate) async fn stop(server: Process) {
    server.stop(Signal::TERM, Duration::from_secs(60)).await;
}

/// The URL of a database as SQLAlchemy takes it.
pub(crate) fn url(access: &MariaDb, database: &str) -> String {
    let MariaDb {
        port,
        root_password,
        ..
    } = access;
    format!("mysql+pymysql://root:{root_password}@127.0.0.1:{port}/{database}?charset=utf8")
}
