//! What commands show of all hosts.

use std::time::Duration;

use anyhow::Result;
use cinder_db::{HostCount, Place};
use key_migration::ids::ResourceKind;
use key_migration::rows::RowKey;
use key_migrator_tests::rows::Value;
use key_migrator_tests::{Backup, CinderDatabase, Service, Volume};
use uuid::Uuid;

use super::{open, row_id};

fn at(host: Option<&str>, cluster: Option<&str>) -> Place {
    Place {
        host: host.map(Into::into),
        cluster: cluster.map(Into::into),
    }
}

pub(crate) async fn rows_at_zeros_are_counted_by_place_without_pools(
    database: &CinderDatabase,
) -> Result<()> {
    database
        .insert(&["h@b", "h@b#p1", "h@b#p2"].map(|host| Volume::on(host).with_snapshots(1)))
        .await?;
    database
        .insert(&[
            Volume::without_host(),
            Volume::on_cluster("c@b#p", "h@b#p"),
            Volume::on("h@b").deleted(),
            Volume::on("h@b").without_key(),
        ])
        .await?;
    database
        .insert(&[Backup::on("h"), Backup::on("h"), Backup::on("g")])
        .await?;
    let count = |kind, place, rows| HostCount { kind, place, rows };
    let mut counts = open(database).zero_rows_by_host().await?;
    counts.sort_by(|one, other| (one.kind, &one.place).cmp(&(other.kind, &other.place)));
    assert_eq!(
        counts,
        [
            count(ResourceKind::Volume, at(None, None), 1),
            count(ResourceKind::Volume, at(Some("h@b"), None), 3),
            count(ResourceKind::Volume, at(Some("h@b"), Some("c@b")), 1),
            count(ResourceKind::Snapshot, at(Some("h@b"), None), 3),
            count(ResourceKind::Backup, at(Some("g"), None), 1),
            count(ResourceKind::Backup, at(Some("h"), None), 2),
        ]
    );
    Ok(())
}

pub(crate) async fn services_are_up_by_the_databases_clock(
    database: &CinderDatabase,
) -> Result<()> {
    database
        .insert(&[
            Service::volume("a@b"),
            Service::volume("b@b").last_seen_seconds_ago(3600),
            Service::backup("c").column("updated_at", Value::Null),
            Service::backup("d").deleted(),
        ])
        .await?;
    let mut services = open(database).services(Duration::from_secs(60)).await?;
    services.sort_by(|one, other| one.host.cmp(&other.host));
    let up: Vec<_> = services
        .iter()
        .map(|one| (&*one.host, &*one.binary, one.is_up))
        .collect();
    assert_eq!(
        up,
        [
            ("a@b", "cinder-volume", true),
            ("b@b", "cinder-volume", false),
            ("c", "cinder-backup", false),
        ]
    );
    Ok(())
}

pub(crate) async fn rows_of_all_hosts_come_page_by_page_with_their_places(
    database: &CinderDatabase,
) -> Result<()> {
    let mut volumes: Vec<_> = (0..5)
        .map(|number| Volume::on(&format!("h{number}@b")).with_snapshots(1))
        .collect();
    volumes.sort_by_key(|volume| volume.id.to_string());
    for volume in &volumes {
        database.insert(volume).await?;
    }
    let db = open(database);
    let first = db.zero_rows_anywhere(ResourceKind::Volume, None, 3).await?;
    let after = row_id(volumes[2].id);
    let rest = db
        .zero_rows_anywhere(ResourceKind::Volume, Some(&after), 3)
        .await?;
    let ids: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|row| row.row.id.clone())
        .collect();
    assert_eq!(
        ids,
        volumes.iter().map(|one| row_id(one.id)).collect::<Vec<_>>()
    );
    let snapshots = db
        .zero_rows_anywhere(ResourceKind::Snapshot, None, 9)
        .await?;
    assert_eq!(snapshots.len(), 5);
    for snapshot in snapshots {
        let volume = volumes
            .iter()
            .find(|one| Some(row_id(one.id)) == snapshot.volume);
        assert!(
            volume.is_some() && snapshot.place.host.is_some(),
            "{snapshot:?}"
        );
    }
    Ok(())
}

pub(crate) async fn named_rows_are_found_in_every_table(database: &CinderDatabase) -> Result<()> {
    let key = Uuid::new_v4().to_string();
    let volume = Volume::on("h@b").key(&*key).with_snapshots(1);
    let (backup, deleted) = (Backup::on("h"), Volume::on("h@b").deleted());
    database.insert(&volume).await?;
    database.insert(&deleted).await?;
    database.insert(&backup).await?;
    let ids = [
        volume.id,
        volume.snapshot_ids()[0],
        backup.id,
        deleted.id,
        Uuid::new_v4(),
    ];
    let found = open(database).rows_named(&ids.map(row_id)).await?;
    let kinds: Vec<_> = found.iter().map(|row| row.row.kind).collect();
    assert_eq!(
        kinds,
        [
            ResourceKind::Volume,
            ResourceKind::Snapshot,
            ResourceKind::Backup
        ]
    );
    assert_eq!(found[0].key, RowKey::Other(key));
    assert_eq!(found[2].key, RowKey::AllZeros);
    assert_eq!(found[1].volume, Some(row_id(volume.id)));
    Ok(())
}
