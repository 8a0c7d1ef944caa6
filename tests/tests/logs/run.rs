//! A run in which much happens, and the log file that it leaves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::program::DEADLINE;
use key_migrator_tests::rows;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services,
    Signal, User, Volume,
};
use serde_json::Value;
use tempfile::TempDir;

/// The name of the file in `log_dir`.
pub(crate) const FILE: &str = "cinder-key-migrator.log";

/// What a run left.
pub(crate) struct Log {
    /// Its process ID.
    pub(crate) pid: u32,
    /// The file's lines.
    pub(crate) lines: Vec<String>,
}

/// One host, and where its daemon logs to.
pub(crate) struct Host {
    pub(crate) conf: CinderConf,
    pub(crate) folder: Arc<TempDir>,
    /// Which lives as long as it is held.
    pub(crate) _database: CinderDatabase,
}

impl Host {
    /// A host that logs into a file.
    pub(crate) fn new(conf: CinderConf, database: CinderDatabase) -> Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs)?;
        Ok(Self {
            conf: conf.set("DEFAULT", "log_dir", &logs.display().to_string()),
            folder,
            _database: database,
        })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("logs").join(FILE)
    }

    /// Starts the daemon.
    pub(crate) fn start(&self) -> Result<Program> {
        Program::start_in(Arc::clone(&self.folder), &self.conf, ["run"])
    }
}

/// A run that is refused for want of a role by a user with a name of two lines, gets the role,
/// migrates volumes, snapshots and backups, defers one row and gives another back, and is given a
/// configuration with a fault.
pub(crate) async fn eventful(configure: impl FnOnce(CinderConf) -> CinderConf) -> Result<Log> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let keystone = cloud.keystone();
    let cinder = keystone
        .create_user("cinder\nof the region", "service")
        .await?;
    cloud.grant(&cinder, "service").await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let on = || Volume::on("host1@lvm#lvm");
    database
        .insert(&[
            on().with_snapshots(2),
            on(),
            on().status("retyping"),
            on().column("user_id", rows::Value::Null),
        ])
        .await?;
    database
        .insert(&[Backup::on("host1"), Backup::on("host1")])
        .await?;
    let mut conf = CinderConf::new(&cloud, &cinder, &database)?;
    for name in [
        "username",
        "user_domain_name",
        "project_name",
        "project_domain_name",
    ] {
        conf = conf.unset("keystone_authtoken", name);
    }
    let conf = conf
        .set("keystone_authtoken", "user_id", &cinder.user_id)
        .set("keystone_authtoken", "project_id", &cinder.project_id)
        .set("key_migrator", "interval", "1");
    let host = Host::new(configure(conf), database)?;
    let pid = through_it_all(&host, &cloud, &cinder).await;
    let text = std::fs::read_to_string(host.file())?;
    Ok(Log {
        pid: pid.with_context(|| format!("the program logged:\n{text}"))?,
        lines: text.lines().map(str::to_owned).collect(),
    })
}

async fn through_it_all(host: &Host, cloud: &RealCloud, cinder: &User) -> Result<u32> {
    let mut program = host.start()?;
    let pid = program.pid();
    let blocked = |status: &Value| status["services"][0]["state"] == "blocked";
    program.status_where(blocked).await?;
    cloud.grant(cinder, &cloud.storing_role()).await?;
    program.signal(Signal::HUP)?;
    let through = |status: &Value| {
        let left = |service: usize| status["services"][service]["keys"]["remaining"].as_u64();
        left(0) == Some(2) && left(1) == Some(0)
    };
    program.status_where(through).await?;
    has(&host.file(), "user_id is NULL").await?;
    program.reconfigure(&host.conf.clone().set("key_migrator", "interval", "soon"))?;
    program.signal(Signal::HUP)?;
    has(&host.file(), "the one from before stays in use").await?;
    let ended = program.terminate().await?;
    ensure!(
        ended.lines.is_empty(),
        "beside the file: {:#?}",
        ended.lines
    );
    Ok(pid)
}

/// Waits until a file holds this text.
pub(crate) async fn has(file: &Path, text: &str) -> Result<String> {
    let polling = async {
        loop {
            let read = std::fs::read_to_string(file).unwrap_or_default();
            if read.contains(text) {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let read = tokio::time::timeout(DEADLINE, polling).await;
    read.with_context(|| format!("no `{text}` in {}", file.display()))
}
