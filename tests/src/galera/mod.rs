//! A Galera cluster of three nodes on this machine, any of which can be killed and come back.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::free_port::free_port;
use crate::owner::owner;
use crate::services::MariaDb;

const NODES: usize = 3;
const MARIADBD: &str = "/usr/sbin/mariadbd";
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
/// The state transfer between nodes refuses to run as root.
const USER: &str = "mysql";
/// How long a node may take to join on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// The cluster. Dropping it kills every node.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<Node>,
    root_password: String,
    cinder_dump: PathBuf,
    _folder: TempDir,
}

#[derive(Debug)]
struct Node {
    data: PathBuf,
    mysql: u16,
    group: u16,
    incremental: u16,
    state: u16,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    group: Pid,
}

impl Galera {
    /// Starts three nodes one after the other; Cinder's tables come from this dump.
    ///
    /// # Errors
    ///
    /// When a node does not start; the end of its log is in the error.
    pub async fn start(cinder_dump: &Path) -> Result<Self> {
        ensure!(
            Path::new(PROVIDER).exists(),
            "{PROVIDER} is missing; tests/run long installs it"
        );
        let folder = tempfile::tempdir()?;
        let owner = owner(USER)?;
        chown(folder.path(), Some(owner.0), Some(owner.1))?;
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let data = folder.path().join(format!("node{number}"));
            for folder in [&data, &temporary(&data)] {
                std::fs::create_dir(folder)?;
                chown(folder, Some(owner.0), Some(owner.1))?;
            }
            nodes.push(Node {
                data,
                mysql: free_port()?,
                group: free_port()?,
                incremental: free_port()?,
                state: free_port()?,
                running: None,
            });
        }
        let mut cluster = Self {
            nodes,
            root_password: uuid::Uuid::new_v4().simple().to_string(),
            cinder_dump: cinder_dump.to_owned(),
            _folder: folder,
        };
        cluster.install(0).await?;
        for number in 0..NODES {
            cluster.run(number, number == 0).await?;
        }
        Ok(cluster)
    }

    /// One node, as a server of its own.
    #[must_use]
    pub fn node(&self, number: usize) -> MariaDb {
        MariaDb {
            port: self.nodes[number].mysql,
            root_password: self.root_password.clone(),
            cinder_dump: self.cinder_dump.clone(),
        }
    }

    /// Kills a node as a power cut would.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn kill(&mut self, number: usize) -> Result<()> {
        let running = self.nodes[number].running.take();
        let mut running = running.context("the node is running")?;
        rustix::process::kill_process_group(running.group, Signal::KILL)?;
        running.child.wait().await?;
        Ok(())
    }

    /// Lets a killed node join again.
    ///
    /// # Errors
    ///
    /// When it does not start; the end of its log is in the error.
    pub async fn bring_back(&mut self, number: usize) -> Result<()> {
        self.run(number, false).await
    }

    /// Makes the data folder that the others are copied from.
    async fn install(&self, number: usize) -> Result<()> {
        let data = &self.nodes[number].data;
        let mut command = as_user(USER, "mariadb-install-db");
        command
            .env("TMPDIR", temporary(data))
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--force"])
            .arg(format!("--datadir={}", data.display()));
        let output = command.output().await.context("mariadb-install-db")?;
        ensure!(
            output.status.success(),
            "mariadb-install-db: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let password = &self.root_password;
        let sql = format!(
            "ALTER USER root@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             ALTER USER root@localhost IDENTIFIED BY '{password}';\n"
        );
        Ok(std::fs::write(data.join("init.sql"), sql)?)
    }

    async fn run(&mut self, number: usize, is_first: bool) -> Result<()> {
        let mut command = self.server(number);
        if is_first {
            command.arg("--wsrep-new-cluster");
            command.arg(format!(
                "--init-file={}/init.sql",
                self.nodes[number].data.display()
            ));
        }
        let log = std::fs::File::create(self.log(number))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("mariadbd")?;
        let pid = child.id().context("it was not awaited")?;
        let group = Pid::from_raw(pid.try_into()?).context("no process has the ID 0")?;
        self.nodes[number].running = Some(Running { child, group });
        let joining = tokio::time::timeout(DEADLINE, self.joined(number)).await;
        match joining.context("it takes too long").flatten() {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(format!(
                "starting node {number}; its log ends:\n{}",
                tail(&self.log(number))
            ))),
        }
    }

    fn server(&self, number: usize) -> Command {
        let node = &self.nodes[number];
        let members: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.group))
            .collect();
        let mut command = as_user(USER, MARIADBD);
        command
            .env("TMPDIR", temporary(&node.data))
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ])
            .args(["--socket=socket", "--pid-file=pid", "--max-connections=300"])
            .args(["--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"])
            .args([
                "--innodb-log-file-size=32M",
                "--innodb-flush-log-at-trx-commit=2",
            ])
            .arg(format!("--datadir={}", node.data.display()))
            .arg(format!("--port={}", node.mysql))
            .args(["--wsrep-on=ON", "--wsrep-sst-method=rsync"])
            .arg(format!("--wsrep-provider={PROVIDER}"))
            .arg(format!(
                "--wsrep-cluster-address=gcomm://{}",
                members.join(",")
            ))
            .arg(format!("--wsrep-node-address=127.0.0.1:{}", node.group))
            .arg(format!("--wsrep-node-name=node{number}"))
            .arg(format!(
                "--wsrep-sst-receive-address=127.0.0.1:{}",
                node.state
            ))
            .arg(format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{};\
                 ist.recv_addr=127.0.0.1:{};gcache.size=32M",
                node.group, node.incremental
            ));
        command
    }

    /// Waits until the node takes statements as a member of the cluster.
    async fn joined(&mut self, number: usize) -> Result<()> {
        let options = self.node(number).options();
        let running = self.nodes[number]
            .running
            .as_mut()
            .context("it was started")?;
        loop {
            if let Some(status) = running.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if let Ok(mut connection) = options.connect().await {
                let sql = "SHOW STATUS LIKE 'wsrep_local_state_comment'";
                let row = sqlx::query(sql).fetch_optional(&mut connection).await?;
                let state: Option<String> = row.map(|row| row.try_get(1)).transpose()?;
                connection.close().await?;
                if state.as_deref() == Some("Synced") {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self, number: usize) -> PathBuf {
        self.nodes[number].data.with_extension("log")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group may outlive its leader, which a state transfer would.
        let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
    }
}

/// Where the node with this data folder has its temporary tables. A server that starts clears that
/// folder, of others' tables too.
fn temporary(data: &Path) -> PathBuf {
    data.with_extension("tmp")
}

/// A command as this user, that ends with this process, with nothing of its environment but the
/// search path.
fn as_user(user: &str, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            user,
            "--regid",
            user,
            "--init-groups",
            "--pdeathsig",
            "KILL",
        ])
        .arg(program)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8");
    command
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
