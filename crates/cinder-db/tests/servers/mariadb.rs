//! A MariaDB server of one test, with the one table that the test asks for.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use key_migrator_tests::free_port::free_port;
use key_migrator_tests::tls::{Authority, Certified};
use sqlx::Connection as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use tempfile::TempDir;

/// Where Debian has the server, which is not on every user's search path.
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// The table, with one row at zeros, and two accounts.
const INIT: &str = "CREATE DATABASE cinder;\n\
    CREATE TABLE cinder.backups (id VARCHAR(36) PRIMARY KEY, host VARCHAR(255), \
    deleted TINYINT NOT NULL, encryption_key_id VARCHAR(36)) ENGINE = InnoDB;\n\
    INSERT INTO cinder.backups VALUES \
    ('a', 'h', 0, '00000000-0000-0000-0000-000000000000');\nCOMMIT;\n\
    CREATE USER cinder@'%' IDENTIFIED BY 'hunter2';\n\
    GRANT SELECT ON cinder.* TO cinder@'%';\n\
    CREATE USER certified@'%' IDENTIFIED BY 'hunter2' REQUIRE X509;\n\
    GRANT SELECT ON cinder.* TO certified@'%';\n";

/// It is gone when it is dropped.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// One that shows this certificate, and knows those of the authority.
    pub(crate) fn start(authority: &Authority, certified: &Certified) -> Result<Self> {
        let bundle = format!("--ssl-ca={}", authority.bundle().display());
        Self::run(Some(certified), &[bundle])
    }

    pub(crate) fn without_tls() -> Result<Self> {
        Self::run(None, &["--skip-ssl".to_owned()])
    }

    /// One that commits nothing unless it is asked to.
    pub(crate) fn without_autocommit() -> Result<Self> {
        Self::run(
            None,
            &["--skip-ssl".to_owned(), "--autocommit=0".to_owned()],
        )
    }

    fn run(certified: Option<&Certified>, options: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        // A server that starts clears its folder for temporary tables, of others' tables too.
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary)?;
        let made = Command::new("mariadb-install-db")
            .env("TMPDIR", &temporary)
            .args(["--no-defaults", "--user=root", "--skip-test-db", "--force"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!("--datadir={}", data.display()))
            .output()
            .context("mariadb-install-db is missing; tests/run installs it")?;
        ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let init = folder.path().join("init.sql");
        std::fs::write(&init, INIT)?;
        let port = free_port()?;
        let mut command = Command::new(MARIADBD);
        command
            .env("TMPDIR", &temporary)
            .args(["--no-defaults", "--user=root", "--skip-name-resolve"])
            .args(["--bind-address=127.0.0.1", "--pid-file=pid"])
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--init-file={}", init.display()))
            .arg(format!("--socket={}", socket(&folder).display()))
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(certified) = certified {
            place(certified, folder.path())?;
            command
                .arg(format!(
                    "--ssl-cert={}",
                    folder.path().join("server.pem").display()
                ))
                .arg(format!(
                    "--ssl-key={}",
                    folder.path().join("server.key").display()
                ));
        }
        let process = command
            .spawn()
            .with_context(|| format!("{MARIADBD} is missing; tests/run installs it"))?;
        let mut server = Self {
            process,
            folder,
            port,
        };
        let log = server.process.stderr.take().context("a pipe")?;
        let mut said = String::new();
        let mut log = BufReader::new(log);
        while !said.contains("ready for connections") {
            let before = said.len();
            log.read_line(&mut said)?;
            ensure!(said.len() > before, "the server ended:\n{said}");
        }
        // What it says from now on goes nowhere, and must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(server)
    }

    /// Lets it show this certificate from now on.
    pub(crate) async fn present(&self, certified: &Certified) -> Result<()> {
        place(certified, self.folder.path())?;
        sqlx::raw_sql("FLUSH SSL")
            .execute(&mut self.root().await?)
            .await?;
        Ok(())
    }

    /// A connection of the administrator.
    pub(crate) async fn root(&self) -> Result<MySqlConnection> {
        let options = MySqlConnectOptions::new().username("root");
        let options = options.socket(socket(&self.folder));
        Ok(MySqlConnection::connect_with(&options).await?)
    }

    /// The URL for this user, `cinder` if it is empty, with these parameters.
    pub(crate) fn url(&self, user: &str, parameters: &str) -> String {
        let user = if user.is_empty() { "cinder" } else { user };
        let port = self.port;
        format!("mysql+pymysql://{user}:hunter2@127.0.0.1:{port}/cinder?{parameters}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn place(certified: &Certified, folder: &Path) -> Result<()> {
    std::fs::copy(&certified.certificate, folder.join("server.pem"))?;
    std::fs::copy(&certified.key, folder.join("server.key"))?;
    Ok(())
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("socket")
}
