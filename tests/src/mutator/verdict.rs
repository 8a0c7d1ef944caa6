//! What is wrong once all is calm: the promises, held against what the databases say.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use anyhow::{Result, ensure};

use super::audit::{Audit, Change, Writer};
use super::keys::Keys;
use super::secrets::{BarbicanTables, Secret};
use crate::database::CinderDatabase;
use crate::rows::ZERO_KEY;

/// Statuses in which Cinder may be at work on a row's key.
const BUSY_VOLUME: [&str; 8] = [
    "creating",
    "deleting",
    "unmanaging",
    "downloading",
    "retyping",
    "restoring-backup",
    "reverting",
    "maintenance",
];
const BUSY_BACKUP: [&str; 3] = ["creating", "restoring", "deleting"];
const SETTLED_MIGRATION: [&str; 4] = ["", "success", "error", "deleting"];

/// What came of a run. It is displayed as its figures.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Keys that the program set, rows counted.
    pub switched: usize,
    /// Keys other than all zeros that the program changed.
    pub overwritten_by_program: usize,
    /// Keys other than all zeros that Cinder's own migrator changed.
    pub overwritten_by_upstream: usize,
    /// Keys of the program that Cinder changed or took away again.
    pub overwritten_by_cinder: usize,
    /// Live secrets of the program that rows refer to which are not deleted.
    pub referred: usize,
    /// Live secrets of the program that only deleted rows refer to: Cinder left them.
    pub left_by_deleted_rows: usize,
    /// Live secrets of the program that no row refers to, because somebody else has overwritten
    /// them after they had been switched to.
    pub superseded_after_switch: BTreeSet<String>,
    /// Live secrets of the program that no row refers to or ever did.
    pub superseded_before_switch: BTreeSet<String>,
    /// Secrets that the program stored, deleted ones included.
    pub stored: usize,
    /// Of these, how many are deleted.
    pub deleted: usize,
    /// Rows whose key Cinder deleted for another row's sake.
    pub lost_by_cinder: usize,
    /// What no promise allows, one line each.
    pub broken: Vec<String>,
}

impl Verdict {
    /// Looks at everything. Rows must be at rest, and the program must have finished.
    ///
    /// # Errors
    ///
    /// When something cannot be looked at.
    pub async fn of(
        database: &CinderDatabase,
        audit: Option<&Audit>,
        barbican: &BarbicanTables,
        keys: Option<&Keys>,
    ) -> Result<Self> {
        let mut verdict = Self::default();
        let changes = match audit {
            Some(audit) => audit.changes().await?,
            None => Vec::new(),
        };
        verdict.judge_changes(&changes);
        let rows = rows(database).await?;
        let secrets = barbican.secrets().await?;
        let deleted_by_cinder = keys.map(Keys::deleted).unwrap_or_default();
        verdict.judge_rows(&rows, &secrets, &changes, &deleted_by_cinder);
        verdict.judge_secrets(&rows, &secrets, &changes);
        let used: BTreeSet<String> = rows.iter().filter_map(Row::secret).collect();
        for wrong in barbican
            .wrong_payloads(used.intersection(&live(&secrets)).cloned())
            .await?
        {
            verdict
                .broken
                .push(format!("I2: the payload of {wrong} is not the fixed key"));
        }
        Ok(verdict)
    }

    /// That nothing is broken.
    ///
    /// # Errors
    ///
    /// When something is: all of it, and what the programs wrote.
    pub fn assert_unbroken(&self, written: &[String]) -> Result<()> {
        ensure!(
            self.broken.is_empty(),
            "{}\nthe programs wrote:\n{}",
            self.broken.join("\n"),
            written.join("\n")
        );
        Ok(())
    }

    fn judge_changes(&mut self, changes: &[Change]) {
        let ours: HashSet<&str> = by(changes, Writer::Program)
            .filter_map(|change| change.new.as_deref())
            .collect();
        self.switched = by(changes, Writer::Program)
            .filter(|one| one.old != one.new)
            .count();
        self.overwritten_by_upstream = by(changes, Writer::Upstream)
            .filter(|one| one.overwrites_a_real_key())
            .count();
        self.overwritten_by_cinder = by(changes, Writer::Cinder)
            .filter(|one| one.old.as_deref().is_some_and(|old| ours.contains(old)))
            .count();
        for change in by(changes, Writer::Program) {
            if change.overwrites_a_real_key() {
                self.overwritten_by_program += 1;
            }
            if let Some(wrong) = what_is_wrong_with(change) {
                self.broken.push(format!("{wrong}: {change:?}"));
            }
        }
    }

    fn judge_rows(
        &mut self,
        rows: &[Row],
        secrets: &[Secret],
        changes: &[Change],
        deleted_by_cinder: &HashSet<String>,
    ) {
        let known: HashMap<&str, &Secret> = secrets
            .iter()
            .map(|secret| (secret.id.as_str(), secret))
            .collect();
        for row in rows.iter().filter(|row| !row.deleted) {
            let Some(key) = row.key.as_deref() else {
                continue;
            };
            if key == ZERO_KEY {
                self.broken
                    .push(format!("left at zeros: {row}\n{}", row.story(changes)));
                continue;
            }
            if Keys::is_own(key) {
                continue;
            }
            match known.get(key) {
                Some(secret)
                    if !secret.deleted
                        && secret.status == "ACTIVE"
                        && (secret.row().is_none() || secret.readers.contains(&row.user_id)) => {}
                Some(secret) if !secret.deleted && secret.status == "ACTIVE" => {
                    self.broken.push(format!(
                        "ACL: {row} is not readable to its user, but to {:?}",
                        secret.readers
                    ));
                }
                Some(_) if deleted_by_cinder.contains(key) && !row.was_last_set_by_us(changes) => {
                    self.lost_by_cinder += 1;
                }
                Some(_) => self.broken.push(format!(
                    "I4: {row} refers to a secret that is deleted\n{}",
                    row.story(changes)
                )),
                // Its clone belongs to the owner: it is in another project.
                None if row.was_last_set_by_us(changes) => self.broken.push(format!(
                    "I4: {row} refers to a secret that is not there\n{}",
                    row.story(changes)
                )),
                None => {}
            }
        }
    }

    /// A row refers to one secret, so what is more than one of a row (I5) is one that no row refers
    /// to. A snapshot that keeps the secret which its volume has lost has it for itself.
    fn judge_secrets(&mut self, rows: &[Row], secrets: &[Secret], changes: &[Change]) {
        let referred: HashSet<String> = rows
            .iter()
            .filter(|row| !row.deleted)
            .filter_map(Row::secret)
            .collect();
        let by_deleted: HashSet<String> = rows
            .iter()
            .filter(|row| row.deleted)
            .filter_map(Row::secret)
            .collect();
        let once_held: HashSet<&str> = changes
            .iter()
            .filter_map(|change| change.new.as_deref())
            .collect();
        for secret in secrets.iter().filter(|secret| secret.row().is_some()) {
            self.stored += 1;
            if secret.deleted {
                self.deleted += 1;
            } else if referred.contains(&secret.id) {
                self.referred += 1;
            } else if by_deleted.contains(&secret.id) {
                self.left_by_deleted_rows += 1;
            } else if once_held.contains(secret.id.as_str()) {
                self.superseded_after_switch.insert(secret.id.clone());
            } else {
                self.superseded_before_switch.insert(secret.id.clone());
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} keys set by the program; keys overwritten: {} by the program, {} by upstream, {} \
             of the program's by Cinder; secrets stored: {}, of these {} deleted, {} referred to, \
             {} left with deleted rows, {} superseded after their switch, {} before; {} rows lost \
             their key by Cinder's own hand",
            self.switched,
            self.overwritten_by_program,
            self.overwritten_by_upstream,
            self.overwritten_by_cinder,
            self.stored,
            self.deleted,
            self.referred,
            self.left_by_deleted_rows,
            self.superseded_after_switch.len(),
            self.superseded_before_switch.len(),
            self.lost_by_cinder,
        )
    }
}

/// A row with a key, deleted or not.
#[derive(Debug)]
struct Row {
    table: &'static str,
    id: String,
    key: Option<String>,
    deleted: bool,
    user_id: String,
    status: String,
}

impl Row {
    fn secret(&self) -> Option<String> {
        self.key
            .clone()
            .filter(|key| key != ZERO_KEY && !Keys::is_own(key))
    }

    /// Everything that happened to its key.
    fn story(&self, changes: &[Change]) -> String {
        let told = changes.iter().filter(|change| change.row == self.id);
        told.map(|change| format!("    {change:?}"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn was_last_set_by_us(&self, changes: &[Change]) -> bool {
        let last = changes
            .iter()
            .rfind(|change| change.row == self.id && change.old != change.new);
        last.is_some_and(|change| change.writer == Some(Writer::Program))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            id,
            key,
            user_id,
            status,
            ..
        } = self;
        write!(f, "{id} of {table} ({status}, {user_id}, key {key:?})")
    }
}

/// The changes of this writer.
fn by(changes: &[Change], writer: Writer) -> impl Iterator<Item = &Change> {
    changes
        .iter()
        .filter(move |change| change.writer == Some(writer))
}

fn live(secrets: &[Secret]) -> BTreeSet<String> {
    secrets
        .iter()
        .filter(|secret| !secret.deleted)
        .map(|secret| secret.id.clone())
        .collect()
}

/// What no promise allows about a change that the program made.
fn what_is_wrong_with(change: &Change) -> Option<&'static str> {
    let status = change.status.as_deref().unwrap_or_default();
    let migration = change.migration_status.as_deref().unwrap_or_default();
    let busy = match change.table.as_str() {
        "volumes" => BUSY_VOLUME.contains(&status) || !SETTLED_MIGRATION.contains(&migration),
        "backups" => BUSY_BACKUP.contains(&status),
        _ => false,
    };
    if change.old.as_deref() != Some(ZERO_KEY) {
        Some("I1: a row was changed that was not at all zeros")
    } else if change.new.is_none() || change.new.as_deref() == Some(ZERO_KEY) {
        Some("I1: a row was changed to no key")
    } else if change.deleted {
        Some("W9: a deleted row was changed")
    } else if busy {
        Some("W12: a row was switched that Cinder was at work on")
    } else if change.other_columns {
        Some("more than a key was changed")
    } else {
        None
    }
}

async fn rows(database: &CinderDatabase) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for table in ["volumes", "snapshots", "backups"] {
        for (id, key, deleted, user_id, status) in database.every_key(table).await? {
            let user_id = user_id.unwrap_or_default();
            let status = status.unwrap_or_default();
            rows.push(Row {
                table,
                id,
                key,
                deleted,
                user_id,
                status,
            });
        }
    }
    Ok(rows)
}
