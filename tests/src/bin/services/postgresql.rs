//! A private PostgreSQL server. It refuses to run as root, so it runs as the user that Debian's
//! package makes, on a folder that this user can reach wherever the project lies.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::owner::owner;
use key_migrator_tests::services::PostgreSql;
use rustix::process::Signal;
use sqlx::ConnectOptions as _;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, isolated_command_as};

/// Where Debian has the server, which is on nobody's search path.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const USER: &str = "postgres";

/// A data folder. Dropping it removes it.
pub(crate) struct Data(TempDir);

impl Data {
    fn folder() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (user, group) = owner(USER)?;
        chown(folder.path(), Some(user), Some(group))?;
        Ok(Self(folder))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// An empty one, whose user `postgres` gets the password. Text is sorted as people read it,
    /// not by its bytes: Cinder's databases are on both kinds.
    pub(crate) async fn install(logs: &Path, password: &str) -> Result<Self> {
        let data = Self::folder()?;
        let password_file = data.0.path().join("password");
        std::fs::write(&password_file, password)?;
        let mut command = isolated_command_as(USER, format!("{PROGRAMS}/initdb"), data.0.path());
        command
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--locale-provider=icu", "--icu-locale=en-US"])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg(format!("--pgdata={}", data.path().display()));
        Process::run("initdb", command, logs).await?;
        std::fs::remove_file(password_file)?;
        Ok(data)
    }

    /// A copy of one that was [saved](Self::save).
    pub(crate) async fn copy_of(saved: &Path) -> Result<Self> {
        let data = Self::folder()?;
        copy(saved, &data.path()).await?;
        Ok(data)
    }

    /// Keeps a copy, while no server runs on it.
    pub(crate) async fn save(&self, folder: &Path) -> Result<()> {
        copy(&self.path(), folder).await
    }
}

/// The server's name and version.
pub(crate) async fn version() -> Result<String> {
    let program = format!("{PROGRAMS}/postgres");
    let output = Command::new(&program).arg("--version").output().await;
    let output = output.with_context(|| format!("{program} is missing; tests/run installs it"))?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Starts a server on a data folder, and waits until it answers.
pub(crate) async fn start(data: &Data, logs: &Path, access: &PostgreSql) -> Result<Process> {
    let mut command = isolated_command_as(USER, format!("{PROGRAMS}/postgres"), data.0.path());
    command
        .arg("-D")
        .arg(data.path())
        .args(["-p", &access.port.to_string()]);
    // Commits survive the server's death, not the machine's.
    for setting in [
        "listen_addresses=127.0.0.1",
        "max_connections=300",
        "fsync=off",
        &format!("unix_socket_directories={}", data.0.path().display()),
    ] {
        command.args(["-c", setting]);
    }
    let mut server = Process::start_service("postgresql", command, logs)?;
    let options = access.options();
    server
        .ready(async || options.connect().await.is_ok())
        .await?;
    Ok(server)
}

/// Stops a server in order, so that its data folder can be copied.
pub(crate) async fn stop(server: Process) {
    server.stop(Signal::INT, Duration::from_secs(60)).await;
}

/// The URL of a database as SQLAlchemy takes it.
pub(crate) fn url(access: &PostgreSql, database: &str) -> String {
    let PostgreSql { port, password } = access;
    format!("postgresql+psycopg2://postgres:{password}@127.0.0.1:{port}/{database}")
}

async fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--reflink=auto"]).arg(from).arg(to);
    ensure!(
        copy.status().await?.success(),
        "cannot copy {}",
        from.display()
    );
    Ok(())
}
