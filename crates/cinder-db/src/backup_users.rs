//! The users of volumes' backups, read ahead.
//!
//! No Cinder has an index on `backups.volume_id`, so asking for one volume's backups reads the
//! whole table: with 300,000 backups more work than all else that is done for a key. As volumes
//! are walked in the order of their IDs, one reading serves those that follow. It may be a little
//! old: the users of backups are let into an ACL, and no swap depends on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use key_migration::ids::{ResourceKind, RowId, UserId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::rows::{select, users_of_dependents};
use crate::session::Session;

/// Backups read at once: bounds the memory.
const READ_AHEAD: usize = 5000;
/// A reading serves this many times as long as it took, which keeps the database's work on it
/// under 2 %, and hardly at all where the table is small.
const TIMES_AS_LONG: u32 = 50;
/// A reading serves at least this long.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What was read last.
#[derive(Default)]
pub(crate) struct BackupUsers(Mutex<Option<Stretch>>);

/// The backups of all volumes from one ID up to another.
struct Stretch {
    first: RowId,
    /// The first one that is not in it, or `None` for the end of the table.
    end: Option<RowId>,
    users: BTreeMap<RowId, BTreeSet<UserId>>,
    good_until: Instant,
}

impl BackupUsers {
    /// The users of this volume's backups that are not deleted.
    pub(crate) async fn of(
        &self,
        session: &mut Session,
        volume: &RowId,
    ) -> Result<BTreeSet<UserId>, Failure> {
        if !sorts_alike_everywhere(volume) {
            return users_of_dependents(session, ResourceKind::Backup, volume).await;
        }
        let mut known = self.0.lock().await;
        if !known.as_ref().is_some_and(|stretch| stretch.covers(volume)) {
            *known = Some(Stretch::read(session, volume).await?);
        }
        match known.as_ref().filter(|stretch| stretch.reaches(volume)) {
            Some(stretch) => Ok(stretch.users.get(volume).cloned().unwrap_or_default()),
            None => users_of_dependents(session, ResourceKind::Backup, volume).await,
        }
    }
}

impl Stretch {
    async fn read(session: &mut Session, first: &RowId) -> Result<Self, Failure> {
        let started = Instant::now();
        let mut statement = select(session, "volume_id, user_id", ResourceKind::Backup);
        statement.not_deleted_in_whole_table();
        statement.push(" AND volume_id >= ").bind(first.as_str());
        statement.push(&format!(" ORDER BY volume_id LIMIT {READ_AHEAD}"));
        let rows = session.rows(&statement).await?;
        let mut users: BTreeMap<RowId, BTreeSet<UserId>> = BTreeMap::new();
        let mut last = None;
        for row in &rows {
            let Some(volume) = row.text(0)?.map(RowId::from) else {
                continue;
            };
            last = Some(volume.clone());
            let of_volume = users.entry(volume).or_default();
            of_volume.extend(row.text(1)?.map(UserId::from));
        }
        Ok(Self {
            first: first.clone(),
            // The last volume's backups may go on where the reading stopped.
            end: last.filter(|_| rows.len() == READ_AHEAD),
            users,
            good_until: Instant::now() + AT_LEAST.max(started.elapsed() * TIMES_AS_LONG),
        })
    }

    fn covers(&self, volume: &RowId) -> bool {
        Instant::now() < self.good_until && self.reaches(volume)
    }

    fn reaches(&self, volume: &RowId) -> bool {
        *volume >= self.first && self.end.as_ref().is_none_or(|end| volume < end)
    }
}

/// Only such IDs does every database's collation put in the order of their bytes.
fn sorts_alike_everywhere(id: &RowId) -> bool {
    let plain = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    id.as_str().len() == 36 && id.as_str().bytes().all(plain)
}
