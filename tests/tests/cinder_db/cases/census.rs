//! What is left in the whole database.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::Census;
use key_migrator_tests::rows::Value;
use key_migrator_tests::{Backup, CinderDatabase, Service, Volume};
use uuid::Uuid;

use super::open;

const DOWN_TIME: Duration = Duration::from_secs(60);

pub(crate) async fn the_census_counts_every_host_and_tells_what_no_live_service_owns(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    assert!(db.census(DOWN_TIME).await?.is_clear());
    database
        .insert(&[
            Service::volume("up@b"),
            Service::backup("up"),
            Service::volume("deleted@b").deleted(),
            Service::volume("down@b").last_seen_seconds_ago(3600),
            Service::volume("silent@b").column("updated_at", Value::Null),
            Service::backup("down").last_seen_seconds_ago(3600),
            Service::backup("wrong-binary@b"),
            Service::volume("wrong-binary"),
        ])
        .await?;
    let owned = ["up@b", "up@b#p"];
    let unowned = [
        "up@b2",
        "UP@b",
        "down@b#p",
        "deleted@b",
        "silent@b",
        "wrong-binary@b",
        "",
        "up",
    ];
    database
        .insert(&owned.map(|host| Volume::on(host).with_snapshots(2)))
        .await?;
    database.insert(&unowned.map(Volume::on)).await?;
    database.insert(&Volume::without_host()).await?;
    database
        .insert(&[
            Volume::on("up@b").deleted(),
            Volume::on("up@b").without_key(),
        ])
        .await?;
    database
        .insert(&[Volume::on("x@b").key(Uuid::new_v4()).with_snapshots(1)])
        .await?;
    database.insert(&["up", "up"].map(Backup::on)).await?;
    database
        .insert(&["down", "Up", "up@b", "wrong-binary", "gone"].map(Backup::on))
        .await?;
    database.insert(&Backup::without_host()).await?;
    let census = db.census(DOWN_TIME).await?;
    assert_eq!((census.volumes, census.unowned_volumes), (11, 9));
    assert_eq!(census.snapshots, 5);
    assert_eq!((census.backups, census.unowned_backups), (8, 6));
    assert!(!census.is_clear());
    let told: BTreeSet<_> = by_host(&census).collect();
    let mut expected = BTreeSet::from([
        (Some("up@b"), None, 2, 0, true),
        (Some("up"), None, 0, 2, true),
        (None, None, 1, 1, false),
    ]);
    let volumes = unowned.map(|host| (Some(host.trim_end_matches("#p")), None, 1, 0, false));
    let backups = ["down", "Up", "up@b", "wrong-binary", "gone"];
    expected.extend(volumes);
    expected.extend(backups.map(|host| (Some(host), None, 0, 1, false)));
    assert_eq!(told, expected);
    let census = db.census(Duration::from_secs(7200)).await?;
    assert_eq!((census.unowned_volumes, census.unowned_backups), (8, 5));
    Ok(())
}

pub(crate) async fn the_census_knows_clusters(database: &CinderDatabase) -> Result<()> {
    database
        .insert(&[
            Service::volume("h@b").column("cluster_name", "c@b"),
            Service::volume("dead@b")
                .column("cluster_name", "dead@b")
                .last_seen_seconds_ago(3600),
        ])
        .await?;
    database.insert(&Service::volume("alone@b")).await?;
    let owned = [
        Volume::on_cluster("c@b#p", "gone@b#p"),
        Volume::on_cluster("c@b", "h@b"),
        Volume::on_cluster("dead@b", "alone@b"),
    ];
    let unowned = [
        Volume::on_cluster("dead@b#p", "h@b#p"),
        Volume::on_cluster("c@b2", "h@b"),
        Volume::on_cluster("C@b", "h@b"),
    ];
    database.insert(&owned).await?;
    database.insert(&unowned).await?;
    database
        .insert(&[Volume::on("h@b#p"), Volume::on("dead@b")])
        .await?;
    let census = open(database).census(DOWN_TIME).await?;
    assert_eq!((census.volumes, census.unowned_volumes), (8, 4));
    let of_c: Vec<_> = by_host(&census)
        .filter(|(_, cluster, ..)| *cluster == Some("c@b"))
        .collect();
    assert_eq!(
        of_c,
        [
            (Some("gone@b"), Some("c@b"), 1, 0, true),
            (Some("h@b"), Some("c@b"), 1, 0, true),
        ]
    );
    Ok(())
}

fn by_host(census: &Census) -> impl Iterator<Item = (Option<&str>, Option<&str>, u64, u64, bool)> {
    census.by_host.iter().map(|one| {
        let (host, cluster) = (one.host.as_deref(), one.cluster.as_deref());
        (host, cluster, one.volumes, one.backups, one.service_up)
    })
}

pub(crate) async fn the_census_counts_hosts_and_not_services(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    assert_eq!(db.census(DOWN_TIME).await?.hosts, 0);
    database
        .insert(&[
            Service::volume("one@a"),
            Service::volume("one@b").column("cluster_name", "c@b"),
            Service::backup("one"),
            Service::volume("two@a"),
            Service::backup("three"),
            Service::backup("gone").deleted(),
            Service::volume("down@a").last_seen_seconds_ago(3600),
        ])
        .await?;
    let scheduler = Service::volume("four").column("binary", "cinder-scheduler");
    database.insert(&scheduler).await?;
    assert_eq!(db.census(DOWN_TIME).await?.hosts, 3);
    assert_eq!(db.census(Duration::from_secs(7200)).await?.hosts, 4);
    Ok(())
}
