//! Volumes whose key others than their own user need.

use std::collections::{BTreeMap, BTreeSet};

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowId, Service, UserId};
use key_migration::rows::{RowKey, Scope, SharedRow};

use crate::failure::Failure;
use crate::rows::{IDS_AT_ONCE, select, table};
use crate::scan::owned_by;
use crate::session::Session;
use crate::statement::Statement;

/// A page of this host's volumes that are shared, in the order of their IDs.
pub(crate) async fn shared_rows(
    session: &mut Session,
    scope: &Scope,
    after: Option<&RowId>,
    limit: u32,
) -> Result<Vec<SharedRow>, Failure> {
    if scope.service() != Service::Volume {
        return Ok(Vec::new());
    }
    let statement = shared(session, scope, after, limit);
    let mut ids = Vec::new();
    for row in session.rows(&statement).await? {
        ids.extend(row.text(0)?.map(RowId::from));
    }
    let mut shared = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_AT_ONCE) {
        shared.extend(described(session, ids).await?);
    }
    Ok(shared)
}

/// Their IDs: of those with such snapshots and of those with such backups, the first ones of both.
/// The database puts them in order, as it alone knows what comes after what.
fn shared(session: &Session, scope: &Scope, after: Option<&RowId>, limit: u32) -> Statement {
    let mut statement = Statement::on(session.dialect(), "volumes", "SELECT id FROM (");
    for (kind, opening) in [
        (ResourceKind::Snapshot, "SELECT id FROM ("),
        (ResourceKind::Backup, " UNION SELECT id FROM ("),
    ] {
        statement.push(opening);
        of_another_user(&mut statement, session, scope, kind, after);
        statement.push(&format!(
            " ORDER BY volumes.id LIMIT {limit}) AS {}_of",
            table(kind)
        ));
    }
    statement.push(&format!(") AS shared ORDER BY id LIMIT {limit}"));
    statement
}

/// Volumes that have a snapshot or backup of another user. Each such is compared with its volume,
/// found by its ID; no volume is looked at for itself.
fn of_another_user(
    statement: &mut Statement,
    session: &Session,
    scope: &Scope,
    kind: ResourceKind,
    after: Option<&RowId>,
) {
    let dialect = session.dialect();
    let (table, join) = (table(kind), dialect.join_in_this_order());
    let dependents_user = dialect.bytes_of(&format!("{table}.user_id"));
    let own_user = dialect.bytes_of("volumes.user_id");
    statement.push(&format!(
        "SELECT DISTINCT volumes.id FROM {table} {join} volumes \
         ON volumes.id = {table}.volume_id WHERE "
    ));
    statement.not_deleted_of(table).push(" AND ");
    statement.push(&format!(
        "{table}.user_id IS NOT NULL AND \
         (volumes.user_id IS NULL OR {dependents_user} <> {own_user}) AND "
    ));
    statement.not_deleted_of("volumes");
    statement.push(" AND volumes.encryption_key_id <> '");
    statement.push(ALL_ZEROS).push("' AND ");
    owned_by(statement, scope);
    if let Some(after) = after {
        statement.push(&format!(" AND {table}.volume_id > "));
        statement.bind(after.as_str());
    }
}

/// What these volumes hold, and who needs it.
async fn described(session: &mut Session, ids: &[RowId]) -> Result<Vec<SharedRow>, Failure> {
    let mut users = users_by_volume(session, ResourceKind::Snapshot, ids).await?;
    for (volume, of_backups) in users_by_volume(session, ResourceKind::Backup, ids).await? {
        users.entry(volume).or_default().extend(of_backups);
    }
    let mut statement = select(
        session,
        "id, encryption_key_id, user_id",
        ResourceKind::Volume,
    );
    statement.not_deleted().push(" AND id IN (");
    statement
        .bind_all(ids.iter().map(RowId::as_str))
        .push(") ORDER BY id");
    let mut shared = Vec::with_capacity(ids.len());
    for row in session.rows(&statement).await? {
        let Some(id) = row.text(0)?.map(RowId::from) else {
            continue;
        };
        let mut users = users.remove(&id).unwrap_or_default();
        users.extend(row.text(2)?.map(UserId::from));
        shared.push(SharedRow {
            id,
            key: RowKey::from_column(row.text(1)?),
            users,
        });
    }
    Ok(shared)
}

async fn users_by_volume(
    session: &mut Session,
    kind: ResourceKind,
    ids: &[RowId],
) -> Result<BTreeMap<RowId, BTreeSet<UserId>>, Failure> {
    let user_id = session.dialect().bytes_of("user_id");
    let mut statement = select(session, "MIN(volume_id), MIN(user_id)", kind);
    statement.not_deleted_in_whole_table();
    statement.push(" AND user_id IS NOT NULL AND volume_id IN (");
    statement.bind_all(ids.iter().map(RowId::as_str));
    statement.push(&format!(") GROUP BY volume_id, {user_id}"));
    let mut users: BTreeMap<RowId, BTreeSet<UserId>> = BTreeMap::new();
    for row in session.rows(&statement).await? {
        if let (Some(volume), Some(user)) = (row.text(0)?, row.text(1)?) {
            users.entry(volume.into()).or_default().insert(user.into());
        }
    }
    Ok(users)
}
