//! Counting what is left in the whole database, and what nobody owns.

use std::collections::BTreeSet;
use std::time::Duration;

use key_migration::host_rows::HostRowsBuilder;
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
    let mut by_host = HostRowsBuilder::default();
    let volume = ResourceKind::Volume;
    let (volumes, unowned_volumes) = count(session, volume, &services, &mut by_host).await?;
    let backup = ResourceKind::Backup;
    let (backups, unowned_backups) = count(session, backup, &services, &mut by_host).await?;
    let snapshots = count_snapshots(session).await?;
    session.leave_cluster_view().await?;
    Ok(Census {
        volumes,
        snapshots,
        backups,
        unowned_volumes,
        unowned_backups,
        hosts: services.hosts(),
        by_host: by_host.build(),
    })
}

/// How many rows of this kind are at zeros, and how many of them no service owns; and where they
/// are. One reading of the table, in which owners are looked for only of rows at zeros.
async fn count(
    session: &mut Session,
    kind: ResourceKind,
    services: &LiveServices,
    by_host: &mut HostRowsBuilder,
) -> Result<(u64, u64), Failure> {
    let (table, dialect) = (table(kind), session.dialect());
    let mut statement = Statement::on(dialect, table, "SELECT COUNT(*), COUNT(CASE WHEN ");
    let cluster = match kind {
        ResourceKind::Backup => {
            services.own_backup(&mut statement);
            None
        }
        ResourceKind::Volume | ResourceKind::Snapshot => {
            services.own_volume(&mut statement);
            Some("cluster_name")
        }
    };
    statement.push(&format!(
        " THEN NULL ELSE 1 END), MIN(host), {} FROM {table} WHERE ",
        cluster.map_or("NULL".to_owned(), |column| format!("MIN({column})"))
    ));
    let place: Vec<&str> = ["host"].into_iter().chain(cluster).collect();
    statement
        .at_zeros()
        .push(" AND ")
        .not_deleted_in_whole_table()
        .push(" GROUP BY ")
        .push(&dialect.grouped_by_text(&place));
    let (mut all, mut unowned) = (0, 0);
    for row in session.rows(&statement).await? {
        let (rows, of_nobody) = (row.count(0)?, row.count(1)?);
        let (host, cluster) = (row.text(2)?, row.text(3)?);
        for (rows, service_up) in [(of_nobody, false), (rows - of_nobody, true)] {
            if rows > 0 {
                by_host.add(kind, host.as_deref(), cluster.as_deref(), rows, service_up);
            }
        }
        all += rows;
        unowned += of_nobody;
    }
    Ok((all, unowned))
}

/// They are where their volumes are, which to look up for each would be a second count.
async fn count_snapshots(session: &mut Session) -> Result<u64, Failure> {
    let table = table(ResourceKind::Snapshot);
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE ");
    let mut statement = Statement::on(session.dialect(), table, &sql);
    statement
        .at_zeros()
        .push(" AND ")
        .not_deleted_in_whole_table();
    match session.rows(&statement).await?.first() {
        Some(row) => row.count(0),
        None => Ok(0),
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
