//! Backups whose row has no key, with what is still known of the volume that they are of.

use key_migration::ids::{ALL_ZEROS, RowId};

use crate::failure::Failure;
use crate::rows;
use crate::session::{Row, Session};
use crate::statement::Statement;

const TABLE: &str = "backups";

/// A backup whose row has no key. What was not recorded is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldBackup {
    /// Its ID.
    pub id: RowId,
    /// Its status.
    pub status: Option<String>,
    /// The driver that wrote it, as in `cinder.backup.drivers.swift.SwiftBackupDriver`.
    pub service: Option<String>,
    /// Where the driver keeps it: a container, a bucket or a directory.
    pub container: Option<String>,
    /// What the driver needs to find it; of the chunked drivers, what its objects' names begin
    /// with.
    pub service_metadata: Option<String>,
    /// How many objects it takes; 0 or nothing where it was never written to its end.
    pub object_count: u64,
    /// Whose account it is in where each project has one of its own.
    pub project_id: Option<String>,
    /// What the volume's row says.
    pub volume: VolumeBehind,
}

/// What is known of the volume that a backup is of, deleted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeBehind {
    /// Its row is gone.
    Purged,
    /// It is at all zeros.
    AtZeros,
    /// It has a key, which it may have got in place of all zeros.
    HasKey,
    /// It has no key, but its type is, was, or may have been an encrypted one.
    MayHaveBeenEncrypted,
    /// It has no key, and its type was never encrypted.
    NotEncrypted,
}

pub(super) async fn count(session: &mut Session) -> Result<u64, Failure> {
    let sql = "SELECT COUNT(*) FROM backups WHERE encryption_key_id IS NULL AND ";
    let mut statement = Statement::on(session.dialect(), TABLE, sql);
    statement.not_deleted_in_whole_table();
    rows::count(session, &statement).await
}

/// Volumes are looked up by their IDs, page by page, so that neither side is ever read whole.
pub(super) async fn page(
    session: &mut Session,
    after: Option<&RowId>,
    limit: u32,
) -> Result<Vec<OldBackup>, Failure> {
    let columns = "backups.id, backups.status, backups.service, backups.container, \
                   backups.service_metadata, backups.object_count, backups.project_id";
    let sql = format!(
        "SELECT {columns}, volumes.id, volumes.encryption_key_id, CASE \
         WHEN volumes.volume_type_id IS NULL THEN 0 \
         WHEN EXISTS (SELECT 1 FROM encryption \
         WHERE encryption.volume_type_id = volumes.volume_type_id) THEN 1 \
         WHEN EXISTS (SELECT 1 FROM volume_types \
         WHERE volume_types.id = volumes.volume_type_id) THEN 0 ELSE 1 END \
         FROM backups LEFT JOIN volumes ON volumes.id = backups.volume_id \
         WHERE backups.encryption_key_id IS NULL AND "
    );
    let mut statement = Statement::on(session.dialect(), TABLE, &sql);
    statement.not_deleted_in_whole_table();
    if let Some(after) = after {
        statement.push(" AND backups.id > ").bind(after.as_str());
    }
    statement.push(&format!(" ORDER BY backups.id LIMIT {limit}"));
    let found = session.rows(&statement).await?;
    let backups = found.iter().map(backup);
    backups.filter_map(Result::transpose).collect()
}

fn backup(row: &Row) -> Result<Option<OldBackup>, Failure> {
    let Some(id) = row.text(0)? else {
        return Ok(None);
    };
    Ok(Some(OldBackup {
        id: id.into(),
        status: row.text(1)?,
        service: row.text(2)?,
        container: row.text(3)?,
        service_metadata: row.text(4)?,
        object_count: row.count(5)?,
        project_id: row.text(6)?,
        volume: match (row.text(7)?, row.text(8)?, row.count(9)?) {
            (None, ..) => VolumeBehind::Purged,
            (_, Some(key), _) if key == ALL_ZEROS => VolumeBehind::AtZeros,
            (_, Some(_), _) => VolumeBehind::HasKey,
            (_, None, 0) => VolumeBehind::NotEncrypted,
            (_, None, _) => VolumeBehind::MayHaveBeenEncrypted,
        },
    }))
}
