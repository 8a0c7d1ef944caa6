//! One small run on a cloud of its own: killed, started again, and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Outcome, Waiting};
use crate::cinder_conf::{CinderConf, FIXED_KEY};
use crate::database::CinderDatabase;
use crate::emulated_cloud::EmulatedCloud;
use crate::program::binary;
use crate::rows::{Snapshot, Volume, ZERO_KEY};
use crate::services::RoleWorld;
use crate::{Cloud, User};

/// Whose volumes these are, and half of their snapshots.
const OWNER: &str = "owner";

/// Whose the other snapshots are.
const COLLEAGUE: &str = "colleague";

/// For a run with all its waits, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

const ARGUMENTS: [&str; 4] = ["run", "--once", "--service", "volume"];

/// What each run begins with: a database with some volumes at zeros, each with two snapshots.
#[derive(Debug)]
pub struct Template {
    database: CinderDatabase,
    bytes: Vec<u8>,
}

impl Template {
    /// A database of so many volumes.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub async fn new(volumes: usize) -> Result<Self> {
        let database = CinderDatabase::sqlite().await?;
        let volumes: Vec<Volume> = (0..volumes).map(|_| volume()).collect();
        database.insert(&volumes).await?;
        let url = database.connection_url();
        let file = url.strip_prefix("sqlite:///").context("an SQLite URL")?;
        let bytes = fs::read(file)?;
        Ok(Self { database, bytes })
    }
}

fn volume() -> Volume {
    let volume = Volume::on("host1@lvm#lvm").owned_by(OWNER);
    let of_colleague = Snapshot::of(&volume).owned_by(COLLEAGUE);
    volume.with_snapshots(1).with_snapshot(of_colleague)
}

/// A cloud and a host of its own, on which one run is killed.
#[derive(Debug)]
pub struct SmallRun {
    cloud: EmulatedCloud,
    cinder: User,
    folder: TempDir,
}

impl SmallRun {
    /// A fresh cloud, and a copy of the database.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    pub async fn new(template: &Template) -> Result<Self> {
        let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
        let cinder = cloud.create_authorised_cinder_user().await?;
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("cinder.sqlite");
        fs::write(&database, &template.bytes)?;
        let socket = folder.path().join("http");
        CinderConf::new(&cloud, &cinder, &template.database)?
            .set(
                "database",
                "connection",
                &format!("sqlite:///{}", database.display()),
            )
            .set(
                "key_migrator",
                "listen",
                &format!("unix:{}", socket.display()),
            )
            .set("key_migrator", "unknown_outcome_wait", "1")
            .set("key_migrator", "interval", "1")
            .write_to(folder.path())?;
        Ok(Self {
            cloud,
            cinder,
            folder,
        })
    }

    /// Runs the program and kills it as it is about to make its `nth` call that others can see.
    /// Once this returns, nothing that it has sent can take effect any more.
    ///
    /// # Errors
    ///
    /// When it could not be run so, or ends in another way.
    pub async fn kill_at(&self, nth: usize) -> Result<Outcome> {
        let conf = [
            "--config-file".into(),
            self.path("cinder.conf").into_os_string(),
        ];
        let arguments = ARGUMENTS.iter().map(OsString::from).chain(conf);
        let log = self.path("killed.log");
        let waiting = Waiting::start(&binary()?, arguments, self.folder.path(), log)?;
        let pid = Pid::from_raw(waiting.id().try_into()?).context("no process has the ID 0")?;
        let mut tracing = spawn_blocking(move || waiting.run_until(nth));
        let outcome = match timeout(DEADLINE, &mut tracing).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                kill_process(pid, Signal::KILL)?;
                tracing.await?.context("it does not end")
            }
        };
        self.cloud.emulation().hung_up().await;
        outcome.with_context(|| self.said("killed.log"))
    }

    /// Takes the ledger away, as a host that was built anew would have none; and lets the time
    /// pass after which a secret of an unknown run may be adopted.
    ///
    /// # Errors
    ///
    /// When it cannot be deleted.
    pub fn lose_ledger(&self) -> Result<()> {
        match fs::remove_dir_all(self.path("key-migrator")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let hour = Duration::from_secs(61 * 60);
        self.cloud.emulation().clock().advance(hour);
        Ok(())
    }

    /// Runs the program once more, to its end, and says how long that took.
    ///
    /// # Errors
    ///
    /// When it does not end in time, or leaves something undone; with what it said.
    pub async fn start_again(&self) -> Result<Duration> {
        let log = fs::File::create(self.path("restarted.log"))?;
        let started = Instant::now();
        let mut child = Command::new(binary()?)
            .args(ARGUMENTS)
            .arg("--config-file")
            .arg(self.path("cinder.conf"))
            .env_clear()
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        match timeout(DEADLINE, child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => {
                Ok(started.elapsed())
            }
            Ok(status) => bail!(
                "the restart ended with {}\n{}",
                status?,
                self.said("restarted.log")
            ),
            Err(_) => bail!("the restart does not end\n{}", self.said("restarted.log")),
        }
    }

    /// What stands in Barbican, in a few words. The database is left alone: to read it would be to
    /// repair it.
    #[must_use]
    pub fn stored(&self) -> String {
        let secrets = self.cloud.emulation().secrets();
        let with_acl = secrets.iter().filter(|secret| secret.acl.is_some());
        format!(
            "{} secrets, {} with an ACL",
            secrets.len(),
            with_acl.count()
        )
    }

    /// Everything that is not as it should be after the end.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn faults(&self) -> Result<Vec<String>> {
        let rows = self.rows().await?;
        let mut faults = Vec::new();
        let stored = self.cloud.emulation().secrets();
        let by_id: BTreeMap<String, _> = stored
            .iter()
            .map(|secret| (secret.secret_id.to_string(), secret))
            .collect();
        for (id, key) in &rows.volumes {
            match by_id.get(key) {
                _ if is_zero(key) => faults.push(format!("lost: volume {id} is at zeros")),
                None => faults.push(format!("lost: volume {id} names {key}, which is not there")),
                Some(secret) => faults.extend(self.wrong_with(id, secret)),
            }
        }
        for (id, volume, key) in &rows.snapshots {
            if rows.volumes.get(volume) != Some(key) {
                faults.push(format!("half-moved: snapshot {id} of {volume} has {key}"));
            }
        }
        let named: BTreeSet<&String> = rows.volumes.values().collect();
        let mut names = BTreeSet::new();
        for secret in &stored {
            let (id, name) = (secret.secret_id, secret.name.as_deref().unwrap_or("-"));
            if !named.contains(&id.to_string()) {
                faults.push(format!("orphan: no row refers to {id}, named {name}"));
            }
            if !names.insert(name) {
                faults.push(format!("duplicate: {id} is not the first named {name}"));
            }
        }
        if named.len() != rows.volumes.len() {
            faults.push("shared: two volumes have one secret".to_owned());
        }
        Ok(faults)
    }

    /// What is wrong with the secret of a volume.
    fn wrong_with(&self, volume: &str, secret: &sandbox_cloud::SecretView) -> Vec<String> {
        let mut faults = Vec::new();
        if secret.payload().map(hex::encode).as_deref() != Some(FIXED_KEY) {
            faults.push(format!("lost: the secret of {volume} is not the fixed key"));
        }
        let name = format!("cinder-key-migrator:v1:volume:{volume}");
        if secret.name.as_ref() != Some(&name) || secret.creator_id != self.cinder.user_id {
            faults.push(format!("misplaced: the secret of {volume} is {secret:?}"));
        }
        let readers = secret.acl.iter().flat_map(|acl| &acl.users);
        let readers: BTreeSet<&str> = readers.map(String::as_str).collect();
        if readers != BTreeSet::from([COLLEAGUE, OWNER]) {
            faults.push(format!("unreadable: {volume} may be read by {readers:?}"));
        }
        faults
    }

    /// What the killed and the restarted program wrote.
    #[must_use]
    pub fn logs(&self) -> String {
        format!(
            "{}\n{}",
            self.said("killed.log"),
            self.said("restarted.log")
        )
    }

    fn said(&self, log: &str) -> String {
        let text = fs::read_to_string(self.path(log)).unwrap_or_default();
        format!("--- {log}\n{text}")
    }

    async fn rows(&self) -> Result<Rows> {
        let options = SqliteConnectOptions::new().filename(self.path("cinder.sqlite"));
        let mut connection: SqliteConnection = options.connect().await?;
        let volumes = sqlx::query_as("SELECT id, encryption_key_id FROM volumes")
            .fetch_all(&mut connection)
            .await?;
        let snapshots = sqlx::query_as("SELECT id, volume_id, encryption_key_id FROM snapshots")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        Ok(Rows {
            volumes: volumes.into_iter().collect(),
            snapshots,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The keys of the rows by their IDs; of snapshots also the volume's.
struct Rows {
    volumes: BTreeMap<String, String>,
    snapshots: Vec<(String, String, String)>,
}

fn is_zero(key: &str) -> bool {
    key == ZERO_KEY
}
