//! The copies of an image's properties that Cinder keeps beside a volume or a snapshot.
//!
//! Nothing decrypts with the key that stands there. But when a volume is uploaded as an image, its
//! copies become properties of that image (cinder/volume/api.py, `_merge_volume_image_meta`): of an
//! encrypted volume with the key replaced by a clone of the volume's own, of an unencrypted one as
//! it is. So all zeros beside what has a key harm nobody; beside what has none they make images
//! that no volume can be made from once the fixed key is gone.

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowId, RowRef};

use crate::failure::Failure;
use crate::session::Session;
use crate::statement::Statement;

const TABLE: &str = "volume_glance_metadata";

/// As many rows are told by name.
const SHOWN: u32 = 20;

/// What `volume_glance_metadata` says of `cinder_encryption_key_id` at all zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZeroImageMetadata {
    /// Copies beside a volume or snapshot that has a key of its own.
    pub harmless: u64,
    /// Copies beside a volume or snapshot that has none.
    pub stale: u64,
    /// Of the latter, some of those that they stand beside.
    pub such_as: Vec<RowRef>,
}

pub(super) async fn read(session: &mut Session) -> Result<ZeroImageMetadata, Failure> {
    let counts = "COUNT(CASE WHEN volumes.encryption_key_id IS NOT NULL \
                  OR snapshots.encryption_key_id IS NOT NULL THEN 1 END), \
                  COUNT(CASE WHEN volumes.encryption_key_id IS NULL \
                  AND snapshots.encryption_key_id IS NULL THEN 1 END)";
    let mut found = ZeroImageMetadata::default();
    if let Some(row) = session.rows(&at_zeros(session, counts)).await?.first() {
        (found.harmless, found.stale) = (row.count(0)?, row.count(1)?);
    }
    if found.stale == 0 {
        return Ok(found);
    }
    let mut statement = at_zeros(session, "volumes.id, snapshots.id");
    statement.push(&format!(
        " AND volumes.encryption_key_id IS NULL AND snapshots.encryption_key_id IS NULL \
         ORDER BY {TABLE}.id LIMIT {SHOWN}"
    ));
    for row in session.rows(&statement).await? {
        let (volume, snapshot) = (row.text(0)?, row.text(1)?);
        let volume = volume.map(|id| (ResourceKind::Volume, id));
        let beside = volume.or(snapshot.map(|id| (ResourceKind::Snapshot, id)));
        found.such_as.extend(beside.map(|(kind, id)| RowRef {
            kind,
            id: RowId::from(id),
        }));
    }
    Ok(found)
}

/// The copies at all zeros that are not deleted, beside what is not deleted either.
fn at_zeros(session: &Session, columns: &str) -> Statement {
    let sql = format!(
        "SELECT {columns} FROM {TABLE} \
         LEFT JOIN volumes ON volumes.id = {TABLE}.volume_id \
         LEFT JOIN snapshots ON snapshots.id = {TABLE}.snapshot_id \
         WHERE {TABLE}.key = 'cinder_encryption_key_id' AND {TABLE}.value = '{ALL_ZEROS}' AND "
    );
    let mut statement = Statement::on(session.dialect(), TABLE, &sql);
    statement.not_deleted_in_whole_table();
    statement.push(" AND (").not_deleted_of("volumes");
    statement.push(" OR ").not_deleted_of("snapshots");
    statement.push(")");
    statement
}
