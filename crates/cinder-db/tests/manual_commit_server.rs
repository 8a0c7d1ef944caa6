//! A server on which nothing is committed unless it is asked for (`autocommit = 0`), as some sites
//! configure it. On such a one a mere read opens a transaction, which would keep its lock on the
//! table for as long as the connection rests.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::Scope;
use secrecy::SecretString;
use sqlx::Connection as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use tempfile::TempDir;

/// Where Debian has the server, which is not on every user's search path.
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// What the query below reads of Cinder's schema.
const SCHEMA: &str = "CREATE DATABASE cinder;\n\
    CREATE TABLE cinder.backups (id VARCHAR(36) PRIMARY KEY, host VARCHAR(255), \
    deleted TINYINT NOT NULL, encryption_key_id VARCHAR(36)) ENGINE = InnoDB;\n\
    INSERT INTO cinder.backups VALUES \
    ('a', 'h', 0, '00000000-0000-0000-0000-000000000000');\nCOMMIT;\n";

/// A server of one test, without users, gone when dropped.
struct Server {
    process: Child,
    folder: TempDir,
}

impl Server {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (data, init) = (folder.path().join("data"), folder.path().join("init.sql"));
        std::fs::create_dir(&data)?;
        std::fs::write(&init, SCHEMA)?;
        let process = Command::new(MARIADBD)
            .args(["--no-defaults", "--user=root", "--autocommit=0"])
            .args(["--skip-grant-tables", "--skip-networking"])
            .args(["--innodb-log-file-size=8M", "--pid-file=pid"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--init-file={}", init.display()))
            .arg(format!("--socket={}", socket(&folder).display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{MARIADBD} is missing; tests/run installs it"))?;
        let mut server = Self { process, folder };
        let log = server.process.stderr.take().context("a pipe")?;
        let mut said = String::new();
        let mut log = BufReader::new(log);
        while !said.contains("ready for connections") {
            let before = said.len();
            log.read_line(&mut said)?;
            anyhow::ensure!(said.len() > before, "the server ended:\n{said}");
        }
        // What it says from now on goes nowhere, and must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(server)
    }

    fn cinder_db(&self) -> Result<CinderDb> {
        let socket = socket(&self.folder).display().to_string();
        let url = format!("mysql+pymysql://cinder@localhost/cinder?unix_socket={socket}");
        let (config, _) = ConnectionConfig::parse(&SecretString::from(url))?;
        Ok(CinderDb::new(config))
    }

    async fn somebody_else(&self) -> Result<MySqlConnection> {
        let options = MySqlConnectOptions::new().username("root");
        let options = options.socket(socket(&self.folder)).database("cinder");
        Ok(MySqlConnection::connect_with(&options).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("socket")
}

#[tokio::test]
async fn a_resting_connection_keeps_no_schema_change_waiting() -> Result<()> {
    let server = Server::start()?;
    let db = server.cinder_db()?;
    let scope = Scope::Backups(vec!["h".into()]);
    assert_eq!(db.count_zero_rows(&scope).await?, 1);
    let mut other = server.somebody_else().await?;
    // NOWAIT: it is refused where it would have to wait for the reader above.
    sqlx::raw_sql("ALTER TABLE backups NOWAIT ADD COLUMN size INT, ALGORITHM = COPY")
        .execute(&mut other)
        .await
        .context("a schema change beside a connection that rests")?;
    assert_eq!(db.count_zero_rows(&scope).await?, 1);
    Ok(())
}
