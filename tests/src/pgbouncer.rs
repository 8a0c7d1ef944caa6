//! PgBouncer before the private PostgreSQL, handing out its few connections transaction by
//! transaction, as most sites run it.

use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::free_port::free_port;
use crate::owner::owner;
use crate::services::PostgreSql;

/// Where Debian has it.
const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// It refuses to run as root.
const USER: &str = "postgres";
/// Connections to the server for each database and user: fewer than the program opens, and more
/// than it holds rows still at once.
const POOL_SIZE: usize = 6;
const DEADLINE: Duration = Duration::from_secs(30);

/// It ends when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    _process: Child,
    _folder: TempDir,
    port: u16,
}

impl PgBouncer {
    /// Starts one before this server.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn before(server: &PostgreSql) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let users = folder.path().join("users.txt");
        std::fs::write(&users, format!("\"postgres\" \"{}\"\n", server.password))?;
        let configuration = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             pool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\nmax_client_conn = 500\n\
             auth_type = scram-sha-256\nauth_file = {users}\nauth_user = postgres\n\
             auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1\n",
            server_port = server.port,
            users = users.display(),
        );
        std::fs::write(&configuration, text)?;
        let (user, group) = owner(USER)?;
        for path in [folder.path(), &users, &configuration] {
            chown(path, Some(user), Some(group))?;
        }
        let mut process = Command::new("setpriv")
            .args([
                "--reuid",
                USER,
                "--regid",
                USER,
                "--init-groups",
                PROGRAM,
                "--quiet",
            ])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting setpriv")?;
        answers(&mut process, port)
            .await
            .with_context(|| format!("{PROGRAM}, which tests/run installs"))?;
        Ok(Self {
            _process: process,
            _folder: folder,
            port,
        })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn answers(process: &mut Child, port: u16) -> Result<()> {
    let answering = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = process.try_wait()? {
                bail!("it ended with {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, answering)
        .await
        .context("it does not answer")?
}
