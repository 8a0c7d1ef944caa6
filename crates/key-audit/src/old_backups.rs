//! Backups from before Cinder recorded a backup's key in its row (Queens), and all others whose
//! row has none.
//!
//! The key that restoring such a backup takes is in the backup's own metadata, so that decides
//! wherever it can be read, whatever the volume's row says by now: a volume may have been retyped
//! since. Where it cannot, a row that never had a key, of a type that was never encrypted, is
//! believed; everything else is unknown.

use std::collections::BTreeMap;

use cinder_db::CinderDb;
use cinder_db::audit::{OldBackup, VolumeBehind};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use key_migration::ports::DatabaseError;
use key_migration::verdict::{Evidence, Finding};

use crate::stores::{StoredKey, Stores, Unreadable};
use crate::told::{Samples, counted};

/// Rows read at once.
const PAGE: u32 = 500;
/// Metadata objects read at once: what an object store answers in parallel.
const IN_FLIGHT: usize = 16;

/// What looking at them came to.
#[derive(Debug, Default)]
struct Tally {
    seen: u64,
    by_row: u64,
    at_zeros: Samples,
    unknown: BTreeMap<Unreadable, Samples>,
}

/// What one backup came to.
enum Key {
    Fixed,
    /// Its metadata says so.
    Another,
    /// Nothing but its volume's row says so.
    NoneByRow,
    Unknown(Unreadable),
}

/// Looks at all of them. `progress` is told how many of how many were looked at.
///
/// # Errors
/// The database does not answer or refuses. A store that cannot be read is no error.
pub async fn look(
    rows: &CinderDb,
    stores: &Stores,
    looked_at: Timestamp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Evidence, DatabaseError> {
    let all = rows.count_old_backups().await?;
    let mut tally = Tally::default();
    let mut after = None;
    loop {
        let page = rows.old_backups(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(tally.evidence(looked_at));
        };
        after = Some(last.id.clone());
        let mut keys = stream::iter(&page)
            .map(async |backup| (backup, key_of(backup, stores).await))
            .buffer_unordered(IN_FLIGHT);
        while let Some((backup, key)) = keys.next().await {
            tally.add(backup, key);
        }
        progress(tally.seen, all.max(tally.seen));
    }
}

async fn key_of(backup: &OldBackup, stores: &Stores) -> Key {
    match stores.key_of(backup).await {
        Ok(StoredKey::Zeros) => Key::Fixed,
        Ok(StoredKey::Other) => Key::Another,
        Err(_) if backup.volume == VolumeBehind::NotEncrypted => Key::NoneByRow,
        Err(_) if was_never_written(backup) => Key::NoneByRow,
        Err(why) => Key::Unknown(why),
    }
}

/// It failed before its driver had given it a place, so there is nothing to restore.
fn was_never_written(backup: &OldBackup) -> bool {
    let failed = matches!(backup.status.as_deref(), Some("error" | "error_deleting"));
    failed && backup.service_metadata.is_none() && backup.object_count == 0
}

impl Tally {
    fn add(&mut self, backup: &OldBackup, key: Key) {
        let id = backup.id.as_str();
        self.seen += 1;
        match key {
            Key::Fixed => {
                tracing::warn!("Backup {id} is on the fixed key: its stored metadata says so");
                self.at_zeros.add(id);
            }
            Key::Another => {}
            Key::NoneByRow => self.by_row += 1,
            Key::Unknown(why) => self.unknown.entry(why).or_default().add(id),
        }
    }

    fn evidence(self, looked_at: Timestamp) -> Evidence {
        let unknown = (!self.unknown.is_empty()).then(|| self.words_of_unknown());
        let (finding, message) = match (self.at_zeros.count, unknown) {
            (0, None) => (Finding::Clear, self.words_of_clear()),
            (0, Some(unknown)) => (Finding::Unknown, unknown),
            (count, unknown) => {
                let mut message = format!(
                    "{} on the fixed key though its row has no key: {}; delete it, or record the \
                     key in its row, after which the daemon migrates it: UPDATE backups SET \
                     encryption_key_id = '00000000-0000-0000-0000-000000000000' WHERE id = 'ID' \
                     AND encryption_key_id IS NULL",
                    counted(count, "backup is", "backups are"),
                    self.at_zeros
                );
                if let Some(unknown) = unknown {
                    message = format!("{message}. Besides, {unknown}");
                }
                (Finding::Blocking(count), message)
            }
        };
        Evidence {
            finding,
            looked_at,
            message,
        }
    }

    fn words_of_clear(&self) -> String {
        let seen = counted(self.seen, "backup", "backups");
        match (self.seen, self.by_row) {
            (0, _) => "every backup has its key in its row".to_owned(),
            (_, 0) => format!("{seen} without a key in the row, none of them on the fixed key"),
            (_, by_row) => format!(
                "{seen} without a key in the row, none of them on the fixed key; {by_row} of them \
                 judged by the rows of their volumes alone, which were never encrypted"
            ),
        }
    }

    fn words_of_unknown(&self) -> String {
        let reasons = self
            .unknown
            .iter()
            .map(|(why, which)| format!("{} ({which}): {why}", which.count));
        let all: u64 = self.unknown.values().map(|which| which.count).sum();
        format!(
            "of {} without a key in the row it cannot be told whether the fixed key is in use: {}; \
             run this where cinder-backup runs, or answer for them with `fixed-key audit --attest \
             old_backups`",
            counted(all, "backup", "backups"),
            reasons.collect::<Vec<_>>().join("; ")
        )
    }
}
