//! Reading rows by their IDs.

use std::collections::BTreeSet;
use std::time::Duration;

use key_migration::ids::{ResourceKind, RowId, RowRef, UserId};
use key_migration::rows::{FreshRow, FreshVolume, Holder, RowKey, RowStatus};

use crate::backup_users::BackupUsers;
use crate::failure::Failure;
use crate::session::{Row, Session};
use crate::statement::Statement;

/// IDs asked for at once, well under every database's limit of values in a statement.
pub(crate) const IDS_AT_ONCE: usize = 500;

/// One row as it is now, or `None` where it is deleted or gone.
pub(crate) async fn row(
    session: &mut Session,
    row: &RowRef,
    backup_users: &BackupUsers,
) -> Result<Option<FreshRow>, Failure> {
    let columns = format!(
        "encryption_key_id, user_id, status, {}, {}",
        migration_status(row.kind),
        volume_id(row.kind)
    );
    let mut statement = select(session, &columns, row.kind);
    statement.not_deleted().push(" AND ");
    statement.exactly("id", row.id.as_str());
    let found = session.rows(&statement).await?;
    let Some(found) = found.first() else {
        return Ok(None);
    };
    let mut fresh = FreshRow {
        key: RowKey::from_column(found.text(0)?),
        user_id: found.text(1)?.map(UserId::from),
        status: status(found, 2)?,
        dependent_users: BTreeSet::new(),
        volume: None,
    };
    if row.kind == ResourceKind::Volume {
        fresh.dependent_users =
            users_of_dependents(session, ResourceKind::Snapshot, &row.id).await?;
        fresh
            .dependent_users
            .extend(backup_users.of(session, &row.id).await?);
    }
    if let Some(volume) = found.text(4)?.map(RowId::from) {
        fresh.volume = volume_of_snapshot(session, volume).await?.map(Box::new);
    }
    Ok(Some(fresh))
}

/// The volume with this ID, unless it is deleted or gone.
async fn volume_of_snapshot(
    session: &mut Session,
    id: RowId,
) -> Result<Option<FreshVolume>, Failure> {
    let mut statement = select(session, "encryption_key_id, user_id", ResourceKind::Volume);
    statement.not_deleted().push(" AND ");
    statement.exactly("id", id.as_str());
    let found = session.rows(&statement).await?;
    let Some(found) = found.first() else {
        return Ok(None);
    };
    Ok(Some(FreshVolume {
        id,
        key: RowKey::from_column(found.text(0)?),
        user_id: found.text(1)?.map(UserId::from),
    }))
}

/// The users of the volume's snapshots or backups that are not deleted.
pub(crate) async fn users_of_dependents(
    session: &mut Session,
    kind: ResourceKind,
    volume: &RowId,
) -> Result<BTreeSet<UserId>, Failure> {
    let user_id = session.dialect().bytes_of("user_id");
    let mut statement = select(session, "MIN(user_id)", kind);
    statement.not_deleted_in_whole_table().push(" AND ");
    statement.exactly("volume_id", volume.as_str());
    statement.push(&format!(" AND user_id IS NOT NULL GROUP BY {user_id}"));
    let mut users = BTreeSet::new();
    for row in session.rows(&statement).await? {
        users.extend(row.text(0)?.map(UserId::from));
    }
    Ok(users)
}

/// What these rows hold; deleted ones are left out.
pub(crate) async fn keys(
    session: &mut Session,
    kind: ResourceKind,
    ids: &[RowId],
) -> Result<Vec<(RowId, RowKey)>, Failure> {
    let mut keys = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_AT_ONCE) {
        let mut statement = select(session, "id, encryption_key_id", kind);
        statement.not_deleted().push(" AND id IN (");
        statement.bind_all(ids.iter().map(RowId::as_str)).push(")");
        for row in session.rows(&statement).await? {
            let key = RowKey::from_column(row.text(1)?);
            keys.extend(row.text(0)?.map(|id| (RowId::from(id), key)));
        }
    }
    Ok(keys)
}

/// What these rows are, deleted ones included.
pub(crate) async fn holders(
    session: &mut Session,
    kind: ResourceKind,
    ids: &[RowId],
) -> Result<Vec<(RowId, Holder)>, Failure> {
    let not_deleted = session.dialect().not_deleted(table(kind));
    let since = session.dialect().seconds_since("deleted_at");
    let columns = format!(
        "id, encryption_key_id, CASE WHEN {not_deleted} THEN NULL ELSE COALESCE({since}, 0) END"
    );
    let mut holders = Vec::with_capacity(ids.len());
    session.enter_cluster_view().await?;
    for ids in ids.chunks(IDS_AT_ONCE) {
        let mut statement = select(session, &columns, kind);
        statement.push("id IN (");
        statement.bind_all(ids.iter().map(RowId::as_str)).push(")");
        for row in session.rows(&statement).await? {
            let holder = Holder {
                key: RowKey::from_column(row.text(1)?),
                deleted_for: row.count_if_any(2)?.map(Duration::from_secs),
            };
            holders.extend(row.text(0)?.map(|id| (RowId::from(id), holder)));
        }
    }
    session.leave_cluster_view().await?;
    Ok(holders)
}

/// The one number that a statement selects.
pub(crate) async fn count(session: &mut Session, statement: &Statement) -> Result<u64, Failure> {
    match session.rows(statement).await?.first() {
        Some(row) => row.count(0),
        None => Ok(0),
    }
}

/// `SELECT columns FROM table WHERE `.
pub(crate) fn select(session: &Session, columns: &str, kind: ResourceKind) -> Statement {
    let table = table(kind);
    let sql = format!("SELECT {columns} FROM {table} WHERE ");
    Statement::on(session.dialect(), table, &sql)
}

/// The table of a kind of row.
pub(crate) fn table(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Volume => "volumes",
        ResourceKind::Snapshot => "snapshots",
        ResourceKind::Backup => "backups",
    }
}

/// Only volumes have the column.
pub(crate) fn migration_status(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Volume => "migration_status",
        ResourceKind::Snapshot | ResourceKind::Backup => "NULL",
    }
}

/// The volume that a snapshot is of. A backup's may be gone, and is not asked for.
pub(crate) fn volume_id(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Snapshot => "volume_id",
        ResourceKind::Volume | ResourceKind::Backup => "NULL",
    }
}

/// `status` in this column and `migration_status` in the next one.
pub(crate) fn status(row: &Row, column: usize) -> Result<RowStatus, Failure> {
    Ok(RowStatus {
        status: row.text(column)?,
        migration_status: row.text(column + 1)?,
    })
}
