//! A large run on real services that is killed and started again, and what has become of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::Watch;
use crate::program::Ended;
use crate::rows::ZERO_KEY;
use crate::{
    Backup, CinderConf, CinderDatabase, Clean, Cloud, Dialect, Program, RealCloud, RoleWorld,
    Services, User, Volume,
};

/// For whatever a run has to do, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(900);

/// One host's work on real services, MariaDB among them.
#[derive(Debug)]
pub struct LargeRun {
    cloud: RealCloud,
    cinder: User,
    owner: User,
    database: CinderDatabase,
    watch: Watch,
    conf: CinderConf,
    folder: Arc<TempDir>,
    tally: Tally,
}

/// What the kills have met.
#[derive(Clone, Debug, Default)]
struct Tally {
    kills: usize,
    /// From each start to the first row that it switched, where it came to that.
    resumed: Vec<Duration>,
    /// Secrets whose rows were still at zeros when the run that stored them was killed.
    left_behind: BTreeSet<String>,
}

impl LargeRun {
    /// An empty database, a user of its own, and a host without any state.
    ///
    /// # Errors
    ///
    /// When the services refuse.
    pub async fn new(services: &Services) -> Result<Self> {
        let cloud = services.cloud(RoleWorld::AsShipped);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        let database = CinderDatabase::new(services, Dialect::MariaDb).await?;
        let watch = Watch::before(&cloud.barbican_endpoint()).await?;
        // What a killed run has sent is answered before the next one starts, so this may be short.
        let conf = CinderConf::new(&cloud, &cinder, &database)?
            .set("barbican", "barbican_endpoint", &watch.url())
            .set("key_migrator", "unknown_outcome_wait", "1")
            .set("key_migrator", "interval", "1");
        Ok(Self {
            cloud,
            cinder,
            owner,
            database,
            watch,
            conf,
            folder: Arc::new(tempfile::tempdir()?),
            tally: Tally::default(),
        })
    }

    /// Where its rows are.
    #[must_use]
    pub fn database(&self) -> &CinderDatabase {
        &self.database
    }

    /// What it asked Barbican to store.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Puts volumes there, with two snapshots each, and backups of some of them.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn plant(&self, volumes: usize, backups: usize) -> Result<()> {
        let volume = || {
            let volume = Volume::on("host1@lvm#lvm").owned_by(&self.owner);
            volume.with_snapshots(2)
        };
        let volumes: Vec<Volume> = (0..volumes).map(|_| volume()).collect();
        let backup = |volume| Backup::on("host1").of(volume).owned_by(&self.owner);
        let backups: Vec<Backup> = volumes.iter().take(backups).map(backup).collect();
        self.database.insert(&volumes).await?;
        self.database.insert(&backups).await
    }

    /// Starts the program, with the state of its earlier runs.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&self) -> Result<Program> {
        Program::start_in(Arc::clone(&self.folder), &self.conf, ["run"])
    }

    /// Starts the program and kills it at `moment` after so many further requests to store a
    /// secret have come. Returns when nothing that it has sent can take effect any more.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or stores nothing.
    pub async fn kill_after(&mut self, posts: usize, moment: Duration) -> Result<()> {
        let posts_before = self.watch.posts().len();
        let program = self.start()?;
        let started = Instant::now();
        let due = async {
            self.watch.posts_have_come(posts_before + posts).await;
            sleep(moment).await;
        };
        let mut resumed = None;
        let watching = async {
            migrated(&program, 1).await;
            resumed = Some(started.elapsed());
            std::future::pending().await
        };
        let killed = timeout(DEADLINE, async {
            tokio::select! {
                () = due => {}
                () = watching => {}
            }
        });
        if killed.await.is_err() {
            let lines = program.lines().join("\n");
            bail!("a run stores nothing; it wrote:\n{lines}");
        }
        program.kill().await?;
        self.watch.hung_up().await;
        self.tally.kills += 1;
        self.tally.resumed.extend(resumed);
        let behind = self.left_behind_since(posts_before).await?;
        self.tally.left_behind.extend(behind);
        Ok(())
    }

    /// Lets the program work until nothing is left, and then once more, which must find nothing.
    ///
    /// # Errors
    ///
    /// When it does not come to an end; with what it said.
    pub async fn finish(&self) -> Result<()> {
        let program = self.start()?;
        match timeout(DEADLINE, self.fewer_zeros_than(1)).await {
            Ok(finished) => finished?,
            Err(_) => bail!("there is no end; it wrote:\n{}", program.lines().join("\n")),
        }
        program.terminate().await?;
        let folder = Arc::clone(&self.folder);
        let once = Program::start_in(folder, &self.conf, ["run", "--once"])?;
        let Ended { status, lines } = once.ended().await?;
        ensure!(status.success(), "{status}:\n{}", lines.join("\n"));
        Ok(())
    }

    /// Looks at every row and every secret.
    ///
    /// # Errors
    ///
    /// When anything is lost, left over, doubled or half done.
    pub async fn assert_clean(&self) -> Result<()> {
        let clean = Clean::of(&self.database, &self.cloud, &self.cinder);
        clean.assert().await.map(drop)
    }

    /// That for each of so many rows one secret was ever asked for.
    ///
    /// # Errors
    ///
    /// When there are more or fewer.
    pub fn assert_each_stored_once(&self, rows: usize) -> Result<()> {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for post in self.watch.posts() {
            *times.entry(post.name).or_default() += 1;
        }
        let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        ensure!(twice.is_empty(), "stored more than once: {twice:#?}");
        ensure!(times.len() == rows, "{} names for {rows} rows", times.len());
        Ok(())
    }

    /// How many volumes and backups are at zeros.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn count_zeros(&self) -> Result<usize> {
        let volumes = self.database.zeros("volumes").await?;
        let backups = self.database.zeros("backups").await?;
        Ok(usize::try_from(volumes + backups)?)
    }

    /// Waits until fewer volumes and backups than that are at zeros.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn fewer_zeros_than(&self, count: usize) -> Result<()> {
        while self.count_zeros().await? >= count {
            // Nothing tells of a change in a table.
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The kills in figures.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn figures(&self) -> Result<String> {
        let Tally {
            kills,
            mut resumed,
            left_behind,
        } = self.tally.clone();
        let keys: BTreeSet<String> = self.keys().await?.into_iter().map(|(_, key)| key).collect();
        let adopted = left_behind.intersection(&keys).count();
        resumed.sort();
        let median = resumed.get(resumed.len() / 2).copied().unwrap_or_default();
        let longest = resumed.last().copied().unwrap_or_default();
        Ok(format!(
            "{kills} kills, {} secrets asked for, {} keys in the end; {} secrets were left behind \
             by a killed run, of which {adopted} were adopted; from a start to its first key \
             {median:.2?} (median of {}), at most {longest:.2?}",
            self.watch.posts().len(),
            keys.len(),
            left_behind.len(),
            resumed.len(),
        ))
    }

    /// The secrets that were stored since then, and whose rows are still at zeros.
    async fn left_behind_since(&self, posts: usize) -> Result<Vec<String>> {
        let zeros: BTreeSet<String> = self
            .keys()
            .await?
            .into_iter()
            .filter_map(|(id, key)| (key == ZERO_KEY).then_some(id))
            .collect();
        let posts = self.watch.posts().split_off(posts);
        let behind = posts.into_iter().filter_map(|post| {
            let row = post.name.rsplit(':').next()?;
            zeros.contains(row).then_some(post.secret_id?.to_string())
        });
        Ok(behind.collect())
    }

    /// The keys of all volumes and backups.
    async fn keys(&self) -> Result<Vec<(String, String)>> {
        let mut keys = self.database.keys("volumes").await?;
        keys.extend(self.database.keys("backups").await?);
        let keyed = |(id, key): (String, Option<String>)| Some((id, key?));
        Ok(keys.into_iter().filter_map(keyed).collect())
    }
}

/// Waits until the program says that it has migrated so many keys since it was started.
pub async fn migrated(program: &Program, keys: u64) {
    loop {
        let status = program.page("/v1/status").await;
        let status = status
            .ok()
            .and_then(|(_, text)| serde_json::from_str(&text).ok());
        let status: Value = status.unwrap_or_default();
        let services = status["services"].as_array().into_iter().flatten();
        let migrated = services.filter_map(|service| service["keys"]["migrated"].as_u64());
        if migrated.sum::<u64>() >= keys {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}
