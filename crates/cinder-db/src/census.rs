//! Counting what is left in the whole database, and what nobody owns.

use std::collections::BTreeSet;
use std::time::Duration;

use key_migration::ids::ResourceKind;
use key_migration::rows::Census;

use crate::failure::Failure;
use crate::rows::table;
use crate::session::Session;
use crate::statement::Statement;

/// Counts all rows at zeros. `services` are up as cinder/objects/service.py, `is_up`, has it, but
/// by the database's clock.
pub(crate) async fn census(
    session: &mut Session,
    service_down_time: Duration,
) -> Result<Census, Failure> {
    session.enter_cluster_view().await?;
    let services = LiveServices::read(session, service_down_time).await?;
    let (volumes, unowned_volumes) = count(session, ResourceKind::Volume, &services).await?;
    let (backups, unowned_backups) = count(session, ResourceKind::Backup, &services).await?;
    let (snapshots, _) = count(session, ResourceKind::Snapshot, &services).await?;
    session.leave_cluster_view().await?;
    Ok(Census {
        volumes,
        snapshots,
        backups,
        unowned_volumes,
        unowned_backups,
        hosts: services.hosts(),
    })
}

/// How many rows of this kind are at zeros, and how many of them no service owns. One reading of
/// the table, in which owners are looked for only of rows at zeros; to group these by host and
/// cluster would take MariaDB seven times as long where a million are.
async fn count(
    session: &mut Session,
    kind: ResourceKind,
    services: &LiveServices,
) -> Result<(u64, u64), Failure> {
    let table = table(kind);
    let mut statement = Statement::on(
        session.dialect(),
        table,
        "SELECT COUNT(*), COUNT(CASE WHEN ",
    );
    match kind {
        ResourceKind::Volume => services.own_volume(&mut statement),
        ResourceKind::Backup => services.own_backup(&mut statement),
        ResourceKind::Snapshot => drop(statement.push("1 = 1")),
    }
    statement.push(&format!(" THEN NULL ELSE 1 END) FROM {table} WHERE "));
    statement
        .at_zeros()
        .push(" AND ")
        .not_deleted_in_whole_table();
    match session.rows(&statement).await?.first() {
        Some(row) => Ok((row.count(0)?, row.count(1)?)),
        None => Ok((0, 0)),
    }
}

/// Who is up.
#[derive(Default)]
struct LiveServices {
    /// `host@backend` of volume services that are in a cluster.
    clustered_volume: BTreeSet<String>,
    /// `host@backend` of volume services that are in none.
    volume: BTreeSet<String>,
    /// `cluster@backend`
    clusters: BTreeSet<String>,
    /// `host` of backup services.
    backup: BTreeSet<String>,
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

    /// How many hosts they are on: `host` of `host@backend`, which backup services have alone.
    fn hosts(&self) -> u64 {
        let volume = self.clustered_volume.iter().chain(&self.volume);
        let hosts = volume.chain(&self.backup).map(|name| {
            let (host, _) = name.split_once('@').unwrap_or((name, ""));
            host
        });
        hosts.collect::<BTreeSet<_>>().len() as u64
    }

    /// The rule of [`key_migration::rows::Backend`], for any live service.
    fn own_volume(&self, statement: &mut Statement) {
        let dialect = statement.dialect();
        let host = dialect.bytes_of(&dialect.without_pool("host"));
        let cluster = dialect.bytes_of(&dialect.without_pool("cluster_name"));
        one_of(statement, &host, &self.volume);
        statement.push(" OR (cluster_name IS NULL AND ");
        one_of(statement, &host, &self.clustered_volume);
        statement.push(") OR ");
        one_of(statement, &cluster, &self.clusters);
    }

    fn own_backup(&self, statement: &mut Statement) {
        let host = statement.dialect().bytes_of("host");
        one_of(statement, &host, &self.backup);
    }
}

fn one_of(statement: &mut Statement, expression: &str, names: &BTreeSet<String>) {
    if names.is_empty() {
        statement.push("1 = 0");
    } else {
        statement.push(expression).push(" IN (");
        statement
            .bind_all(names.iter().map(String::as_str))
            .push(")");
    }
}
