//! Reading rows: a host's own, one afresh, and who refers to a secret.

use std::collections::BTreeSet;

use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId, UserId};
use key_migration::rows::{FreshRow, RowKey, RowStatus, ScannedRow, Scope};

use crate::backup_users::BackupUsers;
use crate::failure::Failure;
use crate::session::{Row, Session};
use crate::statement::Statement;

/// IDs asked for at once, well under every database's limit of values in a statement.
const IDS_AT_ONCE: usize = 500;

/// Whether a row of this host exists, at zeros or not.
pub(crate) async fn any_row(session: &mut Session, scope: &Scope) -> Result<bool, Failure> {
    let mut statement = select(session, "1", kind(scope));
    owned_by(&mut statement, scope);
    statement.push(" LIMIT 1");
    Ok(!session.rows(&statement).await?.is_empty())
}

/// How many rows of this host are at zeros.
pub(crate) async fn count_zero_rows(session: &mut Session, scope: &Scope) -> Result<u64, Failure> {
    let mut statement = select(session, "COUNT(*)", kind(scope));
    statement.at_zeros().push(" AND ");
    owned_by(&mut statement, scope);
    count(session, &statement).await
}

/// A page of this host's rows at zeros, in the order of their IDs.
pub(crate) async fn zero_rows(
    session: &mut Session,
    scope: &Scope,
    after: Option<&RowId>,
    limit: u32,
) -> Result<Vec<ScannedRow>, Failure> {
    let kind = kind(scope);
    let columns = format!("id, status, {}", migration_status(kind));
    let mut statement = select(session, &columns, kind);
    statement.at_zeros().push(" AND ");
    owned_by(&mut statement, scope);
    if let Some(after) = after {
        statement.push(" AND id > ").bind(after.as_str());
    }
    statement.push(&format!(" ORDER BY id LIMIT {limit}"));
    let mut page = Vec::new();
    for row in session.rows(&statement).await? {
        if let Some(id) = row.text(0)? {
            page.push(ScannedRow {
                id: id.into(),
                status: status(&row, 1)?,
            });
        }
    }
    Ok(page)
}

/// One row as it is now, or `None` where it is deleted or gone.
pub(crate) async fn row(
    session: &mut Session,
    row: &RowRef,
    backup_users: &BackupUsers,
) -> Result<Option<FreshRow>, Failure> {
    let columns = format!(
        "encryption_key_id, user_id, status, {}",
        migration_status(row.kind)
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
    };
    if row.kind == ResourceKind::Volume {
        fresh.dependent_users =
            users_of_dependents(session, ResourceKind::Snapshot, &row.id).await?;
        fresh
            .dependent_users
            .extend(backup_users.of(session, &row.id).await?);
    }
    Ok(Some(fresh))
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

/// Whether any row that is not deleted refers to the secret, on any node of a cluster.
pub(crate) async fn refers_to(session: &mut Session, secret: SecretId) -> Result<bool, Failure> {
    session.enter_cluster_view().await?;
    let mut referred = false;
    for kind in [
        ResourceKind::Volume,
        ResourceKind::Snapshot,
        ResourceKind::Backup,
    ] {
        if !referred {
            referred = any_refers_to(session, kind, secret).await?;
        }
    }
    session.leave_cluster_view().await?;
    Ok(referred)
}

/// Finds the spellings of a UUID that fit the column: with and without hyphens, in either case.
async fn any_refers_to(
    session: &mut Session,
    kind: ResourceKind,
    secret: SecretId,
) -> Result<bool, Failure> {
    let hyphenated = secret.to_string();
    let bare = hyphenated.replace('-', "");
    let spellings = [
        hyphenated.to_uppercase(),
        bare.to_uppercase(),
        hyphenated,
        bare,
    ];
    let mut statement = select(session, "1", kind);
    statement.not_deleted_in_whole_table();
    statement.push(" AND encryption_key_id IN (");
    statement.bind_all(spellings).push(") LIMIT 1");
    Ok(!session.rows(&statement).await?.is_empty())
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

/// `status` in this column and `migration_status` in the next one.
pub(crate) fn status(row: &Row, column: usize) -> Result<RowStatus, Failure> {
    Ok(RowStatus {
        status: row.text(column)?,
        migration_status: row.text(column + 1)?,
    })
}

fn kind(scope: &Scope) -> ResourceKind {
    match scope {
        Scope::Volumes(_) => ResourceKind::Volume,
        Scope::Backups(_) => ResourceKind::Backup,
    }
}

/// The condition that tells this host's rows that are not deleted; see
/// [`key_migration::rows::Backend`].
fn owned_by(statement: &mut Statement, scope: &Scope) {
    if has_index(scope) {
        statement.not_deleted();
    } else {
        statement.not_deleted_in_whole_table();
    }
    statement.push(" AND (1 = 0");
    match scope {
        Scope::Backups(hosts) => {
            for host in hosts {
                statement.push(" OR ").exactly("host", host);
            }
        }
        Scope::Volumes(backends) => {
            for backend in backends {
                statement.push(" OR ");
                if let Some(cluster) = &backend.cluster {
                    statement.exactly_or_pool_of("cluster_name", cluster);
                    statement.push(" OR (cluster_name IS NULL AND ");
                    statement
                        .exactly_or_pool_of("host", &backend.host)
                        .push(")");
                } else {
                    statement.exactly_or_pool_of("host", &backend.host);
                }
            }
        }
    }
    statement.push(")");
}

/// Whether the index on `(deleted, host)`, which only volumes have, finds the rows.
fn has_index(scope: &Scope) -> bool {
    match scope {
        Scope::Volumes(backends) => backends.iter().all(|backend| backend.cluster.is_none()),
        Scope::Backups(_) => false,
    }
}
