//! A host's own rows: whether there are any, and those at zeros.

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowId, Service};
use key_migration::rows::{ScannedRow, Scope};

use crate::failure::Failure;
use crate::rows::{count, migration_status, select, status, table};
use crate::session::Session;
use crate::statement::Statement;

/// Whether a row of this host exists, at zeros or not.
pub(crate) async fn any_row(session: &mut Session, scope: &Scope) -> Result<bool, Failure> {
    let mut statement = own(session, "1", scope);
    statement.push(" LIMIT 1");
    Ok(!session.rows(&statement).await?.is_empty())
}

/// How many rows of this host are at zeros, stray snapshots among them.
pub(crate) async fn count_zero_rows(session: &mut Session, scope: &Scope) -> Result<u64, Failure> {
    let mut statement = own(session, "COUNT(*)", scope);
    statement.push(" AND ").at_zeros();
    let mut rows = count(session, &statement).await?;
    if scope.service() == Service::Volume {
        let statement = stray_snapshots(session, "COUNT(*)", scope);
        rows += count(session, &statement).await?;
    }
    Ok(rows)
}

/// A page of this host's rows at zeros, in the order of their IDs.
pub(crate) async fn zero_rows(
    session: &mut Session,
    scope: &Scope,
    kind: ResourceKind,
    after: Option<&RowId>,
    limit: u32,
) -> Result<Vec<ScannedRow>, Failure> {
    let table = table(kind);
    let columns = format!("{table}.id, {table}.status, {}", migration_status(kind));
    let mut statement = match (scope.service(), kind) {
        (Service::Volume, ResourceKind::Snapshot) => stray_snapshots(session, &columns, scope),
        (service, kind) if kind == service.kind() => {
            let mut statement = own(session, &columns, scope);
            statement.push(" AND ").at_zeros();
            statement
        }
        _ => return Ok(Vec::new()),
    };
    if let Some(after) = after {
        statement.push(&format!(" AND {table}.id > "));
        statement.bind(after.as_str());
    }
    statement.push(&format!(" ORDER BY {table}.id LIMIT {limit}"));
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

/// The host's rows that are not deleted.
pub(crate) fn own(session: &Session, columns: &str, scope: &Scope) -> Statement {
    let mut statement = select(session, columns, scope.service().kind());
    if has_index(scope) {
        statement.not_deleted();
    } else {
        statement.not_deleted_in_whole_table();
    }
    statement.push(" AND ");
    owned_by(&mut statement, scope);
    statement
}

/// The snapshots at zeros whose volume of this host is not. Snapshots at zeros are few once their
/// volumes have moved, so those are looked up for them and not the other way round.
fn stray_snapshots(session: &Session, columns: &str, scope: &Scope) -> Statement {
    let join = session.dialect().join_in_this_order();
    let sql = format!(
        "SELECT {columns} FROM snapshots {join} volumes ON volumes.id = snapshots.volume_id WHERE "
    );
    let mut statement = Statement::on(session.dialect(), "snapshots", &sql);
    statement
        .at_zeros()
        .push(" AND ")
        .not_deleted_in_whole_table();
    statement.push(" AND ").not_deleted_of("volumes");
    statement.push(" AND (volumes.encryption_key_id IS NULL OR volumes.encryption_key_id <> '");
    statement.push(ALL_ZEROS).push("') AND ");
    owned_by(&mut statement, scope);
    statement
}

/// The condition that tells this host's rows; see [`key_migration::rows::Backend`].
pub(crate) fn owned_by(statement: &mut Statement, scope: &Scope) {
    statement.push("(1 = 0");
    match scope {
        Scope::Backups(hosts) => {
            for host in hosts {
                statement.push(" OR ").exactly("backups.host", host);
            }
        }
        Scope::Named(service, rows) => {
            let column = format!("{}.id", table(service.kind()));
            for row in rows {
                statement.push(" OR ").exactly(&column, row.as_str());
            }
        }
        Scope::Volumes(backends) => {
            for backend in backends {
                statement.push(" OR ");
                if let Some(cluster) = &backend.cluster {
                    statement.exactly_or_pool_of("volumes.cluster_name", cluster);
                    statement.push(" OR (volumes.cluster_name IS NULL AND ");
                    statement
                        .exactly_or_pool_of("volumes.host", &backend.host)
                        .push(")");
                } else {
                    statement.exactly_or_pool_of("volumes.host", &backend.host);
                }
            }
        }
    }
    statement.push(")");
}

/// Whether an index finds the rows: that on `(deleted, host)`, which only volumes have, or that of
/// the IDs.
fn has_index(scope: &Scope) -> bool {
    match scope {
        Scope::Volumes(backends) => backends.iter().all(|backend| backend.cluster.is_none()),
        Scope::Backups(_) => false,
        Scope::Named(..) => true,
    }
}
