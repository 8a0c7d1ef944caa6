//! What commands show of all hosts: rows at zeros with their places, and the services that might
//! own them. It only reads, and nothing of it decides what is migrated.

use std::time::Duration;

use key_migration::ids::{ResourceKind, RowId, RowRef, UserId};
use key_migration::ports::DatabaseError;
use key_migration::rows::{RowKey, RowStatus};

use crate::database::{CinderDb, FEW_ROWS, WHOLE_TABLE};
use crate::failure::Failure;
use crate::rows::{IDS_AT_ONCE, migration_status, status, table};
use crate::session::{Row, Session};
use crate::statement::Statement;

/// Where a row is, as its columns have it. A snapshot is where its volume is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `host`, which is NULL on a volume that was never scheduled.
    pub host: Option<String>,
    /// `cluster_name`, of volumes only.
    pub cluster: Option<String>,
}

/// Rows at zeros of one kind at one place, its pools taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCount {
    /// The table.
    pub kind: ResourceKind,
    /// Without the pool.
    pub place: Place,
    /// How many.
    pub rows: u64,
}

/// A row of the table `services`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// `cinder-volume`, `cinder-backup` and others.
    pub binary: String,
    /// `host@backend`, or the host alone.
    pub host: String,
    /// `cluster@backend`, where it is clustered.
    pub cluster: Option<String>,
    /// Whether its last heartbeat is young enough, by the database's clock.
    pub is_up: bool,
}

/// A row with what an operator wants to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedRow {
    /// The row.
    pub row: RowRef,
    /// What it holds.
    pub key: RowKey,
    /// What Cinder is doing with it.
    pub status: RowStatus,
    /// `user_id`, which may be NULL.
    pub user_id: Option<UserId>,
    /// Where it is.
    pub place: Place,
    /// A snapshot's volume.
    pub volume: Option<RowId>,
}

impl CinderDb {
    /// How many rows are at zeros at each place.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn zero_rows_by_host(&self) -> Result<Vec<HostCount>, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "counting rows by host",
            |mut lease| async move {
                let done = counts(&mut lease.session).await;
                lease.settle(done)
            },
        )
        .await
    }

    /// Cinder's services, by host. One is up if its heartbeat is at most `down_time` old.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn services(&self, down_time: Duration) -> Result<Vec<ServiceRecord>, DatabaseError> {
        self.run(FEW_ROWS, "reading services", |mut lease| async move {
            let done = services(&mut lease.session, down_time).await;
            lease.settle(done)
        })
        .await
    }

    /// The next rows at zeros of this kind on any host, in the order of their IDs, at most `limit`,
    /// after the given one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn zero_rows_anywhere(
        &self,
        kind: ResourceKind,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<SurveyedRow>, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "reading rows at zeros",
            |mut lease| async move {
                let mut statement = surveyed(&lease.session, kind);
                statement.at_zeros().push(" AND ");
                statement.not_deleted_in_whole_table();
                if let Some(after) = after {
                    let id = format!(" AND {}.id > ", table(kind));
                    statement.push(&id).bind(after.as_str());
                }
                statement.push(&format!(" ORDER BY {}.id LIMIT {limit}", table(kind)));
                let done = survey(&mut lease.session, &statement, kind).await;
                lease.settle(done)
            },
        )
        .await
    }

    /// The rows, of any kind, that have one of these IDs and are not deleted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn rows_named(&self, ids: &[RowId]) -> Result<Vec<SurveyedRow>, DatabaseError> {
        self.run(FEW_ROWS, "looking for rows", |mut lease| async move {
            let done = named(&mut lease.session, ids).await;
            lease.settle(done)
        })
        .await
    }
}

const KINDS: [ResourceKind; 3] = [
    ResourceKind::Volume,
    ResourceKind::Snapshot,
    ResourceKind::Backup,
];

async fn named(session: &mut Session, ids: &[RowId]) -> Result<Vec<SurveyedRow>, Failure> {
    let mut rows = Vec::new();
    for kind in KINDS {
        for ids in ids.chunks(IDS_AT_ONCE) {
            let mut statement = surveyed(session, kind);
            let column = format!("{}.id IN (", table(kind));
            statement.not_deleted().push(" AND ").push(&column);
            statement.bind_all(ids.iter().map(RowId::as_str)).push(")");
            rows.extend(survey(session, &statement, kind).await?);
        }
    }
    Ok(rows)
}

/// `SELECT` what a [`SurveyedRow`] holds `FROM` the table `WHERE `.
fn surveyed(session: &Session, kind: ResourceKind) -> Statement {
    let (table, place) = (table(kind), place(kind));
    let (from, volume) = match kind {
        ResourceKind::Snapshot => (
            "snapshots LEFT JOIN volumes ON volumes.id = snapshots.volume_id",
            "snapshots.volume_id",
        ),
        ResourceKind::Volume | ResourceKind::Backup => (table, "NULL"),
    };
    let sql = format!(
        "SELECT {table}.id, {table}.encryption_key_id, {table}.status, {}, {table}.user_id, \
         {place}, {volume} FROM {from} WHERE ",
        match kind {
            ResourceKind::Volume => "volumes.migration_status",
            other => migration_status(other),
        },
    );
    Statement::on(session.dialect(), table, &sql)
}

/// The columns that say where a row of this kind is.
fn place(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Volume | ResourceKind::Snapshot => "volumes.host, volumes.cluster_name",
        ResourceKind::Backup => "backups.host, NULL",
    }
}

async fn survey(
    session: &mut Session,
    statement: &Statement,
    kind: ResourceKind,
) -> Result<Vec<SurveyedRow>, Failure> {
    let mut rows = Vec::new();
    for row in session.rows(statement).await? {
        let Some(id) = row.text(0)?.map(RowId::from) else {
            continue;
        };
        rows.push(SurveyedRow {
            row: RowRef { kind, id },
            key: RowKey::from_column(row.text(1)?),
            status: status(&row, 2)?,
            user_id: row.text(4)?.map(UserId::from),
            place: place_in(&row, 5)?,
            volume: row.text(7)?.map(RowId::from),
        });
    }
    Ok(rows)
}

fn place_in(row: &Row, column: usize) -> Result<Place, Failure> {
    Ok(Place {
        host: row.text(column)?,
        cluster: row.text(column + 1)?,
    })
}

async fn counts(session: &mut Session) -> Result<Vec<HostCount>, Failure> {
    let mut counts = Vec::new();
    for kind in KINDS {
        let table = table(kind);
        let dialect = session.dialect();
        let (from, host, cluster) = match kind {
            ResourceKind::Backup => ("backups", "backups.host", "NULL"),
            ResourceKind::Volume => ("volumes", "volumes.host", "volumes.cluster_name"),
            ResourceKind::Snapshot => (
                "snapshots LEFT JOIN volumes ON volumes.id = snapshots.volume_id",
                "volumes.host",
                "volumes.cluster_name",
            ),
        };
        let pools = |column: &str| match column {
            "NULL" => column.to_owned(),
            column => dialect.without_pool(column),
        };
        let (host, cluster) = (pools(host), pools(cluster));
        let mut statement = Statement::on(
            dialect,
            table,
            &format!("SELECT {host}, {cluster}, COUNT(*) FROM {from} WHERE "),
        );
        statement.at_zeros().push(" AND ");
        statement.not_deleted_in_whole_table();
        let groups = match kind {
            ResourceKind::Backup => host.clone(),
            ResourceKind::Volume | ResourceKind::Snapshot => format!("{host}, {cluster}"),
        };
        statement.push(&format!(" GROUP BY {groups}"));
        for row in session.rows(&statement).await? {
            counts.push(HostCount {
                kind,
                place: place_in(&row, 0)?,
                rows: row.count(2)?,
            });
        }
    }
    Ok(counts)
}

async fn services(
    session: &mut Session,
    down_time: Duration,
) -> Result<Vec<ServiceRecord>, Failure> {
    let dialect = session.dialect();
    let since = dialect.seconds_ago(down_time.as_secs());
    let sql = format!(
        "SELECT services.binary, host, cluster_name, \
         CASE WHEN updated_at >= {since} THEN 1 ELSE 0 END FROM services WHERE "
    );
    let mut statement = Statement::on(dialect, "services", &sql);
    statement.not_deleted();
    let mut services = Vec::new();
    for row in session.rows(&statement).await? {
        let (Some(binary), Some(host)) = (row.text(0)?, row.text(1)?) else {
            continue;
        };
        services.push(ServiceRecord {
            binary,
            host,
            cluster: row.text(2)?,
            is_up: row.count(3)? == 1,
        });
    }
    Ok(services)
}
