//! Counting what is left in the whole database, and what nobody owns.

use std::collections::HashSet;
use std::time::Duration;

use key_migration::ids::ResourceKind;
use key_migration::rows::Census;

use crate::failure::Failure;
use crate::rows::{count, select};
use crate::session::Session;
use crate::statement::Statement;

/// Counts all rows at zeros. `services` are up as cinder/objects/service.py, `is_up`, has it, but
/// by the database's clock.
pub(crate) async fn census(
    session: &mut Session,
    service_down_time: Duration,
) -> Result<Census, Failure> {
    let mut census = Census::default();
    let services = LiveServices::read(session, service_down_time).await?;
    for group in groups(session, ResourceKind::Volume).await? {
        census.volumes += group.rows;
        if !services.own_volume(&group) {
            census.unowned_volumes += group.rows;
        }
    }
    for group in groups(session, ResourceKind::Backup).await? {
        census.backups += group.rows;
        if !services.own_backup(&group) {
            census.unowned_backups += group.rows;
        }
    }
    let mut snapshots = select(session, "COUNT(*)", ResourceKind::Snapshot);
    snapshots
        .not_deleted_in_whole_table()
        .push(" AND ")
        .at_zeros();
    census.snapshots = count(session, &snapshots).await?;
    Ok(census)
}

/// Rows at zeros that share host and cluster.
struct Group {
    host: Option<String>,
    cluster_name: Option<String>,
    rows: u64,
}

/// As many as there are hosts and pools, however many rows.
async fn groups(session: &mut Session, kind: ResourceKind) -> Result<Vec<Group>, Failure> {
    let bytes_of = |column| session.dialect().bytes_of(column);
    let (cluster_name, by) = match kind {
        ResourceKind::Volume => (
            "MIN(cluster_name)",
            format!("{}, {}", bytes_of("host"), bytes_of("cluster_name")),
        ),
        ResourceKind::Snapshot | ResourceKind::Backup => ("NULL", bytes_of("host")),
    };
    let columns = format!("MIN(host), {cluster_name}, COUNT(*)");
    let mut statement = select(session, &columns, kind);
    statement
        .not_deleted_in_whole_table()
        .push(" AND ")
        .at_zeros();
    statement.push(&format!(" GROUP BY {by}"));
    let rows = session.rows(&statement).await?;
    let groups = rows.iter().map(|row| {
        Ok(Group {
            host: row.text(0)?,
            cluster_name: row.text(1)?,
            rows: row.count(2)?,
        })
    });
    groups.collect()
}

/// Who is up.
#[derive(Default)]
struct LiveServices {
    /// `host@backend` of volume services that are in a cluster.
    clustered_volume: HashSet<String>,
    /// `host@backend` of volume services that are in none.
    volume: HashSet<String>,
    /// `cluster@backend`
    clusters: HashSet<String>,
    /// `host` of backup services.
    backup: HashSet<String>,
}

impl LiveServices {
    async fn read(session: &mut Session, down_time: Duration) -> Result<Self, Failure> {
        let since = session.dialect().seconds_ago(down_time.as_secs());
        let mut statement = Statement::on(
            session.dialect(),
            "services",
            // After a dot, `binary` is a name even where it is a reserved word.
            "SELECT services.binary, host, cluster_name FROM services WHERE ",
        );
        statement
            .not_deleted()
            .push(" AND updated_at >= ")
            .push(&since);
        let mut services = Self::default();
        for row in session.rows(&statement).await? {
            let (Some(binary), Some(host)) = (row.text(0)?, row.text(1)?) else {
                continue;
            };
            match (&*binary, row.text(2)?) {
                ("cinder-backup", _) => services.backup.insert(host),
                ("cinder-volume", None) => services.volume.insert(host),
                ("cinder-volume", Some(cluster)) => {
                    services.clusters.insert(cluster);
                    services.clustered_volume.insert(host)
                }
                _ => false,
            };
        }
        Ok(services)
    }

    /// The rule of [`key_migration::rows::Backend`], for any live service.
    fn own_volume(&self, group: &Group) -> bool {
        let host = group.host.as_deref().map(without_pool);
        let cluster = group.cluster_name.as_deref().map(without_pool);
        let by_host = host.is_some_and(|host| {
            self.volume.contains(host)
                || (cluster.is_none() && self.clustered_volume.contains(host))
        });
        by_host || cluster.is_some_and(|cluster| self.clusters.contains(cluster))
    }

    fn own_backup(&self, group: &Group) -> bool {
        group
            .host
            .as_ref()
            .is_some_and(|host| self.backup.contains(host))
    }
}

/// `host@backend` of `host@backend#pool`.
fn without_pool(name: &str) -> &str {
    name.split_once('#').map_or(name, |(name, _)| name)
}
