//! Rows as they are in the tables at one moment.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqlitePool};

use super::ALL_ZEROS;

/// Which table a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `volumes`
    Volume,
    /// `snapshots`
    Snapshot,
    /// `backups`
    Backup,
}

/// The columns that a migration could touch, and those that say whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's ID.
    pub id: String,
    /// A snapshot's or backup's volume.
    pub volume_id: Option<String>,
    /// `user_id`
    pub user_id: Option<String>,
    /// `host`; none for a snapshot.
    pub host: Option<String>,
    /// `cluster_name`; volumes only.
    pub cluster_name: Option<String>,
    /// `status`
    pub status: Option<String>,
    /// `encryption_key_id`
    pub encryption_key_id: Option<String>,
    /// `updated_at` as text.
    pub updated_at: Option<String>,
    /// `deleted`
    pub deleted: bool,
}

impl FromRow<'_, SqliteRow> for Row {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            volume_id: row.try_get("volume_id")?,
            user_id: row.try_get("user_id")?,
            host: row.try_get("host")?,
            cluster_name: row.try_get("cluster_name")?,
            status: row.try_get("status")?,
            encryption_key_id: row.try_get("encryption_key_id")?,
            updated_at: row.try_get("updated_at")?,
            deleted: row.try_get("deleted")?,
        })
    }
}

impl Row {
    /// Whether it holds ConfKeyManager's key ID and is not deleted.
    pub fn is_live_zero(&self) -> bool {
        !self.deleted && self.encryption_key_id.as_deref() == Some(ALL_ZEROS)
    }
}

/// All rows of the three tables at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// By table and ID.
    pub rows: BTreeMap<(Kind, String), Row>,
}

impl Image {
    /// The rows of one table.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |((found, _), _)| *found == kind)
            .map(|(_, row)| row)
    }

    /// How many rows of one table hold ConfKeyManager's key ID and are not deleted.
    pub fn live_zeros(&self, kind: Kind) -> usize {
        self.of(kind).filter(|row| row.is_live_zero()).count()
    }
}

pub(super) async fn read(pool: &SqlitePool) -> Result<Image, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let volumes = sqlx::query_as::<_, Row>(
        "SELECT id, NULL AS volume_id, user_id, host, cluster_name, status, encryption_key_id, \
         CAST(updated_at AS TEXT) AS updated_at, deleted FROM volumes",
    );
    let snapshots = sqlx::query_as::<_, Row>(
        "SELECT id, volume_id, user_id, NULL AS host, NULL AS cluster_name, status, \
         encryption_key_id, CAST(updated_at AS TEXT) AS updated_at, deleted FROM snapshots",
    );
    let backups = sqlx::query_as::<_, Row>(
        "SELECT id, volume_id, user_id, host, NULL AS cluster_name, status, encryption_key_id, \
         CAST(updated_at AS TEXT) AS updated_at, deleted FROM backups",
    );
    let mut image = Image::default();
    for (kind, query) in [
        (Kind::Volume, volumes),
        (Kind::Snapshot, snapshots),
        (Kind::Backup, backups),
    ] {
        let rows = query.fetch_all(&mut *transaction).await?;
        image
            .rows
            .extend(rows.into_iter().map(|row| ((kind, row.id.clone()), row)));
    }
    Ok(image)
}
