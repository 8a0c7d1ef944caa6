//! Rows that hold a key of their own, with everything that tells which secret that should be and
//! who needs to read it. Apart from the queries of the migration: what those overlook must not be
//! overlooked here, too.

use std::collections::{BTreeMap, BTreeSet};

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowId, RowRef, UserId};
use key_migration::rows::{RowKey, RowStatus, Scope};

use crate::failure::Failure;
use crate::session::{Row, Session};
use crate::statement::Statement;

/// IDs asked for at once, well under every database's limit of values in a statement, and under
/// the 1000 from which MariaDB makes a table of them.
const IDS_AT_ONCE: usize = 500;

/// Whose rows are looked at.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Those of every host, or of none.
    Everybody,
    /// Those that these services own; a snapshot belongs to its volume's.
    Of(&'a [Scope]),
}

/// A row that is not deleted, as an audit sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRow {
    /// Which row.
    pub row: RowRef,
    /// What it holds.
    pub key: RowKey,
    /// `user_id`, which Cinder allows to be NULL.
    pub user_id: Option<UserId>,
    /// `project_id`
    pub project_id: Option<String>,
    /// `host`; a snapshot's is its volume's.
    pub host: Option<String>,
    /// What Cinder is doing with it.
    pub status: RowStatus,
    /// `display_name`: an image that is a volume is named `image-<image ID>`.
    pub display_name: Option<String>,
    /// The volume that a volume was cloned from, or that a snapshot or backup is of.
    pub origin: Option<RowId>,
    /// A snapshot's volume, if it is there and not deleted.
    pub volume: Option<KeyedVolume>,
    /// The users of a volume's snapshots and backups that are not deleted.
    pub dependent_users: BTreeSet<UserId>,
}

/// The volume of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedVolume {
    /// Its ID.
    pub id: RowId,
    /// What it holds.
    pub key: RowKey,
    /// Its `user_id`.
    pub user_id: Option<UserId>,
}

/// How many such rows of this kind hold a key other than zeros.
pub(super) async fn count(
    session: &mut Session,
    kind: ResourceKind,
    whose: Whose<'_>,
) -> Result<u64, Failure> {
    let mut statement = select(session, "COUNT(*)", kind, whose);
    keyed(&mut statement, kind);
    session.enter_cluster_view().await?;
    let rows = session.rows(&statement).await?;
    session.leave_cluster_view().await?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// The IDs of such rows, in their order, after the given one.
pub(super) async fn ids(
    session: &mut Session,
    kind: ResourceKind,
    whose: Whose<'_>,
    after: Option<&RowId>,
    limit: u32,
) -> Result<Vec<RowId>, Failure> {
    let id = format!("{}.id", table(kind));
    let statement = page_of(select(session, &id, kind, whose), kind, after, limit);
    let mut ids = Vec::new();
    for row in session.rows(&statement).await? {
        ids.extend(row.text(0)?.map(RowId::from));
    }
    Ok(ids)
}

/// Such rows in the order of their IDs, after the given one.
pub(super) async fn page(
    session: &mut Session,
    kind: ResourceKind,
    whose: Whose<'_>,
    after: Option<&RowId>,
    limit: u32,
) -> Result<Vec<KeyedRow>, Failure> {
    let statement = select(session, columns(kind), kind, whose);
    let statement = page_of(statement, kind, after, limit);
    session.enter_cluster_view().await?;
    let rows = described(session, kind, &statement).await?;
    session.leave_cluster_view().await?;
    Ok(rows)
}

/// These rows, whatever they hold; those that are deleted or gone are left out.
pub(super) async fn named(
    session: &mut Session,
    kind: ResourceKind,
    ids: &[RowId],
) -> Result<Vec<KeyedRow>, Failure> {
    let mut rows = Vec::with_capacity(ids.len());
    session.enter_cluster_view().await?;
    for ids in ids.chunks(IDS_AT_ONCE) {
        let mut statement = select(session, columns(kind), kind, Whose::Everybody);
        statement.push(&format!(" AND {}.id IN (", table(kind)));
        statement.bind_all(ids.iter().map(RowId::as_str)).push(")");
        rows.extend(described(session, kind, &statement).await?);
    }
    session.leave_cluster_view().await?;
    Ok(rows)
}

fn page_of(
    mut statement: Statement,
    kind: ResourceKind,
    after: Option<&RowId>,
    limit: u32,
) -> Statement {
    let table = table(kind);
    keyed(&mut statement, kind);
    if let Some(after) = after {
        statement.push(&format!(" AND {table}.id > "));
        statement.bind(after.as_str());
    }
    statement.push(&format!(" ORDER BY {table}.id LIMIT {limit}"));
    statement
}

/// `SELECT columns FROM ... WHERE ...` of rows that are not deleted. Whatever the condition on
/// hosts, the table is read in the order of its IDs, so that a page costs a page.
fn select(session: &Session, columns: &str, kind: ResourceKind, whose: Whose<'_>) -> Statement {
    let dialect = session.dialect();
    let of_volume = format!(
        "volumes ON volumes.id = snapshots.volume_id AND {}",
        dialect.not_deleted("volumes")
    );
    let from = match (kind, whose) {
        (ResourceKind::Volume | ResourceKind::Backup, _) => table(kind).to_owned(),
        (ResourceKind::Snapshot, Whose::Everybody) => format!("snapshots LEFT JOIN {of_volume}"),
        (ResourceKind::Snapshot, Whose::Of(_)) => {
            format!("snapshots {} {of_volume}", dialect.join_in_this_order())
        }
    };
    let sql = format!("SELECT {columns} FROM {from} WHERE ");
    let mut statement = Statement::on(dialect, table(kind), &sql);
    statement.not_deleted_in_whole_table();
    if let Whose::Of(scopes) = whose {
        statement.push(" AND (1 = 0");
        for scope in scopes {
            or_owned(&mut statement, kind, scope);
        }
        statement.push(")");
    }
    statement
}

/// The rule of [`key_migration::rows::Backend`], in words of its own.
fn or_owned(statement: &mut Statement, kind: ResourceKind, scope: &Scope) {
    match (scope, kind) {
        (Scope::Backups(hosts), ResourceKind::Backup) => {
            for host in hosts {
                statement.push(" OR ").exactly("backups.host", host);
            }
        }
        (Scope::Volumes(backends), ResourceKind::Volume | ResourceKind::Snapshot) => {
            for backend in backends {
                statement.push(" OR (");
                if let Some(cluster) = &backend.cluster {
                    statement
                        .exactly_or_pool_of("volumes.cluster_name", cluster)
                        .push(") OR (volumes.cluster_name IS NULL AND ");
                }
                statement
                    .exactly_or_pool_of("volumes.host", &backend.host)
                    .push(")");
            }
        }
        _ => {}
    }
}

fn keyed(statement: &mut Statement, kind: ResourceKind) {
    let table = table(kind);
    statement.push(&format!(" AND {table}.encryption_key_id <> '{ALL_ZEROS}'"));
}

/// As [`read`] takes them apart; what a table does not have is NULL.
fn columns(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Volume => {
            "volumes.id, volumes.encryption_key_id, volumes.user_id, volumes.project_id, \
             volumes.host, volumes.status, volumes.migration_status, volumes.display_name, \
             volumes.source_volid, NULL, NULL, NULL"
        }
        ResourceKind::Snapshot => {
            "snapshots.id, snapshots.encryption_key_id, snapshots.user_id, snapshots.project_id, \
             volumes.host, snapshots.status, NULL, NULL, snapshots.volume_id, volumes.id, \
             volumes.encryption_key_id, volumes.user_id"
        }
        ResourceKind::Backup => {
            "backups.id, backups.encryption_key_id, backups.user_id, backups.project_id, \
             backups.host, backups.status, NULL, NULL, backups.volume_id, NULL, NULL, NULL"
        }
    }
}

async fn described(
    session: &mut Session,
    kind: ResourceKind,
    statement: &Statement,
) -> Result<Vec<KeyedRow>, Failure> {
    let mut rows = Vec::new();
    for row in session.rows(statement).await? {
        rows.extend(read(kind, &row)?);
    }
    if kind == ResourceKind::Volume {
        let mut users = users_of_dependents(session, &rows).await?;
        for row in &mut rows {
            row.dependent_users = users.remove(&row.row.id).unwrap_or_default();
        }
    }
    Ok(rows)
}

fn read(kind: ResourceKind, row: &Row) -> Result<Option<KeyedRow>, Failure> {
    let Some(id) = row.text(0)?.map(RowId::from) else {
        return Ok(None);
    };
    let volume = match row.text(9)? {
        None => None,
        Some(id) => Some(KeyedVolume {
            id: id.into(),
            key: RowKey::from_column(row.text(10)?),
            user_id: row.text(11)?.map(UserId::from),
        }),
    };
    Ok(Some(KeyedRow {
        row: RowRef { kind, id },
        key: RowKey::from_column(row.text(1)?),
        user_id: row.text(2)?.map(UserId::from),
        project_id: row.text(3)?,
        host: row.text(4)?,
        status: RowStatus {
            status: row.text(5)?,
            migration_status: row.text(6)?,
        },
        display_name: row.text(7)?,
        origin: row.text(8)?.map(RowId::from),
        volume,
        dependent_users: BTreeSet::new(),
    }))
}

/// Who has a snapshot or backup of these volumes.
async fn users_of_dependents(
    session: &mut Session,
    volumes: &[KeyedRow],
) -> Result<BTreeMap<RowId, BTreeSet<UserId>>, Failure> {
    let mut users: BTreeMap<RowId, BTreeSet<UserId>> = BTreeMap::new();
    for volumes in volumes.chunks(IDS_AT_ONCE) {
        for table in ["snapshots", "backups"] {
            let sql = format!("SELECT DISTINCT volume_id, user_id FROM {table} WHERE ");
            let mut statement = Statement::on(session.dialect(), table, &sql);
            statement.not_deleted_in_whole_table();
            statement.push(" AND user_id IS NOT NULL AND volume_id IN (");
            statement.bind_all(volumes.iter().map(|volume| volume.row.id.as_str()));
            statement.push(")");
            for row in session.rows(&statement).await? {
                if let (Some(volume), Some(user)) = (row.text(0)?, row.text(1)?) {
                    users.entry(volume.into()).or_default().insert(user.into());
                }
            }
        }
    }
    Ok(users)
}

fn table(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Volume => "volumes",
        ResourceKind::Snapshot => "snapshots",
        ResourceKind::Backup => "backups",
    }
}
