//! The rows that hold the secrets.

use std::collections::BTreeMap;

use anyhow::Result;
use uuid::Uuid;

use super::Findings;
use crate::database::{CinderDatabase, Holder};
use crate::rows::ZERO_KEY;

/// The rows that are not deleted, by table.
pub(super) struct Rows {
    pub(super) volumes: Vec<Holder>,
    pub(super) snapshots: Vec<Holder>,
    pub(super) backups: Vec<Holder>,
}

impl Rows {
    pub(super) async fn of(database: &CinderDatabase) -> Result<Self> {
        Ok(Self {
            volumes: database.holders("volumes").await?,
            snapshots: database.holders("snapshots").await?,
            backups: database.holders("backups").await?,
        })
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Holder)> {
        let volumes = self.volumes.iter().map(|row| ("volume", row));
        let snapshots = self.snapshots.iter().map(|row| ("snapshot", row));
        let backups = self.backups.iter().map(|row| ("backup", row));
        volumes.chain(snapshots).chain(backups)
    }

    pub(super) fn encrypted(&self) -> impl Iterator<Item = (&'static str, &Holder)> {
        self.all()
            .filter(|(_, row)| row.encryption_key_id.is_some())
    }

    pub(super) fn holders_of(&self, secret: Uuid) -> Vec<(&'static str, &Holder)> {
        self.all()
            .filter(|(_, row)| row.secret_id() == Some(secret))
            .collect()
    }

    /// What the row says that a secret with this name was made for.
    pub(super) fn by_name(&self, name: Option<&str>) -> String {
        let row = name.and_then(|name| {
            let id = name.rsplit(':').next()?;
            self.all().find(|(_, row)| row.id == id)
        });
        match row {
            Some((kind, row)) => described(kind, row),
            None => "no row that is not deleted has such a name".to_owned(),
        }
    }

    pub(super) fn judge_snapshots(&self, findings: &mut Findings) {
        let volumes: BTreeMap<&str, &Holder> = self
            .volumes
            .iter()
            .map(|volume| (volume.id.as_str(), volume))
            .collect();
        for snapshot in &self.snapshots {
            let Some(volume) = volumes.get(snapshot.volume_id.as_str()) else {
                continue;
            };
            if snapshot.encryption_key_id != volume.encryption_key_id {
                let (of, one) = (described("volume", volume), described("snapshot", snapshot));
                findings.half_moved.push(format!("{one}, but {of}"));
            }
        }
    }
}

impl Holder {
    pub(super) fn is_zero(&self) -> bool {
        self.encryption_key_id.as_deref() == Some(ZERO_KEY)
    }

    pub(super) fn secret_id(&self) -> Option<Uuid> {
        self.encryption_key_id.as_deref()?.parse().ok()
    }
}

pub(super) fn users_of(rows: &[Holder], volume_id: &str) -> Vec<String> {
    let of_volume = rows.iter().filter(|row| row.volume_id == volume_id);
    of_volume.filter_map(|row| row.user_id.clone()).collect()
}

pub(super) fn described(kind: &str, row: &Holder) -> String {
    let key = row.encryption_key_id.as_deref().unwrap_or("NULL");
    format!("{kind} {} of key {key}", row.id)
}
