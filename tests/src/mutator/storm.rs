//! Thousands of Cinder's operations at a time, on few rows, so that they meet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use fastrand::Rng;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use super::cinder::Cinder;
use super::{backups, migrations, snapshots, volumes};

/// What is done how often, of a hundred. Volumes and backups are created where one is missing.
const SHARES: [(Operation, u8); 9] = [
    (Operation::CreateSnapshot, 20),
    (Operation::DeleteSnapshot, 17),
    (Operation::DeleteVolume, 8),
    (Operation::Retype, 5),
    (Operation::Migrate, 8),
    (Operation::Restore, 10),
    (Operation::Transfer, 4),
    (Operation::ChangeState, 24),
    (Operation::DeleteBackup, 4),
];

/// How much is done, by how many at a time, on how many rows.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Decides what is done to which row; what comes of it depends on who is first.
    pub seed: u64,
    /// Operations that take effect; those that Cinder refuses come on top.
    pub operations: usize,
    /// Operations under way at a time.
    pub workers: usize,
    /// Volumes at a time.
    pub volumes: usize,
    /// Backups at a time.
    pub backups: usize,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Operations that took effect, by kind.
    pub done: BTreeMap<Operation, usize>,
    /// Operations that Cinder refused, as the row was in no state for them.
    pub refused: usize,
}

/// Something that a user asks Cinder for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A volume, mostly under the fixed key.
    CreateVolume,
    /// With its key, and with its snapshots or only if it has none.
    DeleteVolume,
    /// With the key of a volume that was loaded before.
    CreateSnapshot,
    /// One of a volume's.
    DeleteSnapshot,
    /// To another type, under a new key.
    Retype,
    /// To another backend.
    Migrate,
    /// A volume from a backup, to all zeros or a new key.
    Restore,
    /// A volume with its snapshots to another user, with two new keys on the way.
    Transfer,
    /// Attach, detach, extend, break, mend.
    ChangeState,
    /// Or import the record of one.
    CreateBackup,
    /// With its key.
    DeleteBackup,
}

/// The rows there are, each in a place of its own: the seed decides on the place, not on the row.
#[derive(Debug)]
struct Places {
    volumes: Vec<RwLock<Option<String>>>,
    backups: Vec<RwLock<Option<String>>>,
    left: AtomicUsize,
}

impl Report {
    /// How many operations took effect.
    #[must_use]
    pub fn total(&self) -> usize {
        self.done.values().sum()
    }

    fn note(&mut self, operation: Operation, done: bool) {
        if done {
            *self.done.entry(operation).or_default() += 1;
        } else {
            self.refused += 1;
        }
    }
}

impl Storm {
    /// Fills every place, before anything else happens.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn gather(self, cinder: &Cinder) -> Result<Gathered> {
        let mut random = Rng::with_seed(self.seed);
        let (mut volumes, mut backups) = (Vec::new(), Vec::new());
        for _ in 0..self.volumes {
            let id = volumes::create(cinder, &mut random).await?;
            if random.bool() {
                snapshots::create(cinder, &id, &mut random).await?;
            }
            volumes.push(RwLock::new(Some(id)));
        }
        for _ in 0..self.backups {
            backups.push(RwLock::new(Some(
                backups::create(cinder, &mut random).await?,
            )));
        }
        let places = Places {
            volumes,
            backups,
            left: AtomicUsize::new(self.operations),
        };
        Ok(Gathered {
            storm: self,
            cinder: cinder.clone(),
            places: Arc::new(places),
        })
    }
}

/// A storm whose rows are there.
#[derive(Debug)]
pub struct Gathered {
    storm: Storm,
    cinder: Cinder,
    places: Arc<Places>,
}

impl Gathered {
    /// Lets it loose. All is calm again when it returns: nothing that was begun is left half-way.
    ///
    /// # Errors
    ///
    /// When Cinder could not do something that it should be able to do.
    pub async fn rage(self) -> Result<Report> {
        let mut workers = JoinSet::new();
        for worker in 0..self.storm.workers {
            let seed = self.storm.seed.wrapping_add(worker as u64 + 1);
            let (cinder, places) = (self.cinder.clone(), Arc::clone(&self.places));
            workers.spawn(work(cinder, places, Rng::with_seed(seed)));
        }
        let mut report = Report::default();
        while let Some(done) = workers.join_next().await {
            let done = done??;
            report.refused += done.refused;
            for (operation, count) in done.done {
                *report.done.entry(operation).or_default() += count;
            }
        }
        volumes::end_maintenance(&self.cinder).await?;
        Ok(report)
    }

    /// How many operations are still to come.
    pub fn progress(&self) -> impl Fn() -> usize + Send + use<> {
        let places = Arc::clone(&self.places);
        move || places.left.load(Ordering::Relaxed)
    }
}

async fn work(cinder: Cinder, places: Arc<Places>, mut random: Rng) -> Result<Report> {
    let mut report = Report::default();
    while places.left.load(Ordering::Relaxed) > 0 {
        let wanted = pick(&mut random);
        let (operation, done) = places.perform(wanted, &cinder, &mut random).await?;
        report.note(operation, done);
        if done {
            let less = |left: usize| Some(left.saturating_sub(1));
            let _ = places
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
    Ok(report)
}

fn pick(random: &mut Rng) -> Operation {
    let mut lot = random.u8(..100);
    for (operation, share) in SHARES {
        if lot < share {
            return operation;
        }
        lot -= share;
    }
    Operation::ChangeState
}

impl Places {
    /// Does it, or fills the place that turns out to be empty.
    async fn perform(
        &self,
        wanted: Operation,
        cinder: &Cinder,
        random: &mut Rng,
    ) -> Result<(Operation, bool)> {
        let place = &self.volumes[random.usize(..self.volumes.len())];
        let backup_place = &self.backups[random.usize(..self.backups.len())];
        if let Operation::DeleteBackup | Operation::Restore = wanted {
            let Some(backup) = backup_place.read().await.clone() else {
                return fill(backup_place, Operation::CreateBackup, cinder, random).await;
            };
            if wanted == Operation::DeleteBackup {
                let done = backups::delete(cinder, &backup, random).await?;
                return empty(backup_place, &backup, wanted, done).await;
            }
            let Some(volume) = place.read().await.clone() else {
                return fill(place, Operation::CreateVolume, cinder, random).await;
            };
            let done = backups::restore(cinder, &backup, &volume, random).await?;
            return Ok((Operation::Restore, done));
        }
        let Some(volume) = place.read().await.clone() else {
            return fill(place, Operation::CreateVolume, cinder, random).await;
        };
        let done = match wanted {
            Operation::DeleteVolume => {
                let done = volumes::delete(cinder, &volume, random).await?;
                return empty(place, &volume, wanted, done).await;
            }
            Operation::CreateSnapshot => snapshots::create(cinder, &volume, random).await?,
            Operation::DeleteSnapshot => snapshots::delete(cinder, &volume, random).await?,
            Operation::Retype => migrations::retype(cinder, &volume, random).await?,
            Operation::Migrate => migrations::migrate(cinder, &volume, random).await?,
            Operation::Transfer => volumes::transfer(cinder, &volume, random).await?,
            _ => {
                return Ok((
                    Operation::ChangeState,
                    volumes::change_state(cinder, &volume, random).await?,
                ));
            }
        };
        Ok((wanted, done))
    }
}

async fn fill(
    place: &RwLock<Option<String>>,
    operation: Operation,
    cinder: &Cinder,
    random: &mut Rng,
) -> Result<(Operation, bool)> {
    let id = match operation {
        Operation::CreateBackup => backups::create(cinder, random).await?,
        _ => volumes::create(cinder, random).await?,
    };
    let mut place = place.write().await;
    if place.is_none() {
        *place = Some(id);
    }
    Ok((operation, true))
}

async fn empty(
    place: &RwLock<Option<String>>,
    id: &str,
    operation: Operation,
    done: bool,
) -> Result<(Operation, bool)> {
    if done {
        let mut place = place.write().await;
        if place.as_deref() == Some(id) {
            *place = None;
        }
    }
    Ok((operation, done))
}
