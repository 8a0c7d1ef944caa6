//! Rows read by their IDs.

use std::time::Duration;

use anyhow::Result;
use key_migration::ids::{ResourceKind, RowId, RowRef, UserId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::{Holder, RowKey};
use key_migrator_tests::rows::{Value, instant_seconds_ago};
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume};
use uuid::Uuid;

use super::{open, row_id, secret};

pub(crate) async fn a_fresh_row_tells_key_status_and_users(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").migration_status("success");
    let other = Volume::on("h@b");
    let volume = volume
        .clone()
        .with_snapshots(1)
        .with_snapshot(Snapshot::of(&volume).owned_by("Snapper"))
        .with_snapshot(Snapshot::of(&volume).owned_by("snapper"))
        .with_snapshot(Snapshot::of(&volume).column("user_id", Value::Null))
        .with_snapshot(Snapshot::of(&volume).owned_by("gone").deleted());
    database
        .insert(&[volume.clone(), other.clone().with_snapshots(1)])
        .await?;
    let key = Uuid::new_v4();
    let backup = Backup::on("h")
        .of(&volume)
        .owned_by("keeper")
        .key(key)
        .status("error");
    database.insert(&backup).await?;
    database
        .insert(&Backup::on("h").of(&volume).owned_by("away").deleted())
        .await?;
    database
        .insert(&Backup::on("h").of(&other).owned_by("stranger"))
        .await?;

    let db = open(database);
    let of = |kind, id| RowRef {
        kind,
        id: row_id(id),
    };
    let fresh = db
        .row(&of(ResourceKind::Volume, volume.id))
        .await?
        .expect("it is there");
    assert_eq!(fresh.key, RowKey::AllZeros);
    assert_eq!(fresh.status.status.as_deref(), Some("available"));
    assert_eq!(fresh.status.migration_status.as_deref(), Some("success"));
    assert_eq!(fresh.user_id, Some("owner".into()));
    let users = ["Snapper", "keeper", "owner", "snapper"].map(UserId::from);
    assert_eq!(fresh.dependent_users, users.into_iter().collect());

    let fresh = db
        .row(&of(ResourceKind::Backup, backup.id))
        .await?
        .expect("it is there");
    assert_eq!(fresh.key, RowKey::Other(key.to_string()));
    assert_eq!(fresh.status.status.as_deref(), Some("error"));
    assert_eq!(fresh.user_id, Some("keeper".into()));
    assert!(fresh.dependent_users.is_empty());

    let snapshot = of(ResourceKind::Snapshot, volume.snapshot_ids()[3]);
    let fresh = db.row(&snapshot).await?.expect("it is there");
    assert_eq!((fresh.key, fresh.user_id), (RowKey::AllZeros, None));
    Ok(())
}

pub(crate) async fn the_users_of_backups_are_told_for_volume_after_volume(
    database: &CinderDatabase,
) -> Result<()> {
    // More backups than are read at once, some of them all of one volume.
    let volumes: Vec<_> = (0..3).map(|_| Volume::on("h@b")).collect();
    database.insert(&volumes).await?;
    for (number, volume) in volumes.iter().enumerate() {
        let backup = Backup::on("h")
            .of(volume)
            .owned_by(&*format!("user{number}"));
        let backups: Vec<_> = (0..2000)
            .map(|_| backup.clone().id(Uuid::new_v4()))
            .collect();
        database.insert(&backups).await?;
    }
    let db = open(database);
    let backwards = (0..3).rev();
    for number in (0..3).chain(backwards) {
        let row = RowRef {
            kind: ResourceKind::Volume,
            id: row_id(volumes[number].id),
        };
        let fresh = db.row(&row).await?.expect("it is there");
        let user = UserId::from(format!("user{number}"));
        assert_eq!(fresh.dependent_users, [user].into());
    }
    Ok(())
}

pub(crate) async fn a_row_that_is_deleted_or_gone_is_none(database: &CinderDatabase) -> Result<()> {
    let deleted = Volume::on("h@b").deleted();
    database.insert(&deleted).await?;
    let db = open(database);
    for (kind, id) in [
        (ResourceKind::Volume, deleted.id),
        (ResourceKind::Volume, Uuid::new_v4()),
        (ResourceKind::Backup, deleted.id),
        (ResourceKind::Snapshot, deleted.id),
    ] {
        assert_eq!(
            db.row(&RowRef {
                kind,
                id: row_id(id)
            })
            .await?,
            None
        );
    }
    Ok(())
}

pub(crate) async fn keys_of_many_rows_are_read_at_once(database: &CinderDatabase) -> Result<()> {
    let volumes: Vec<_> = (0..1100).map(|_| Volume::on("h@b")).collect();
    let keyed = Volume::on("h@b").key(Uuid::new_v4());
    let plain = Volume::on("h@b").without_key();
    let deleted = Volume::on("h@b").deleted();
    database.insert(&volumes).await?;
    database
        .insert(&[keyed.clone(), plain.clone(), deleted.clone()])
        .await?;
    let db = open(database);
    let mut asked: Vec<RowId> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    asked.extend([keyed.id, plain.id, deleted.id, Uuid::new_v4()].map(row_id));
    let keys = db.keys(ResourceKind::Volume, &asked).await?;
    assert_eq!(keys.len(), 1102);
    assert!(keys.contains(&(row_id(plain.id), RowKey::Null)));
    let with_key = keys
        .iter()
        .filter(|(_, key)| matches!(key, RowKey::Other(_)));
    assert_eq!(
        with_key.map(|(id, _)| id.clone()).collect::<Vec<_>>(),
        [row_id(keyed.id)]
    );
    assert_eq!(db.keys(ResourceKind::Volume, &[]).await?, []);
    Ok(())
}

pub(crate) async fn a_holder_is_told_deleted_or_not(database: &CinderDatabase) -> Result<()> {
    let key = secret();
    let alive = Volume::on("h@b").key(key.to_string());
    let long_gone = Volume::on("h@b").column("deleted", true);
    let at = |seconds| instant_seconds_ago(seconds);
    let volumes = [
        alive.clone(),
        long_gone.clone().column("deleted_at", at(100_000)),
        // Some other host's clock.
        Volume::on("h@b").deleted().column("deleted_at", at(-3600)),
        Volume::on("h@b")
            .deleted()
            .column("deleted_at", Value::Null),
    ];
    database.insert(&volumes).await?;
    let mut asked: Vec<_> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    asked.push(row_id(Uuid::new_v4()));
    let db = open(database);
    let told = db.holders(ResourceKind::Volume, &asked).await?;
    assert_eq!(told.len(), 4, "what is not there is left out");
    let of = |id| {
        let found = told.iter().find(|(told, _)| *told == row_id(id));
        found
            .map(|(_, holder)| holder.clone())
            .expect("it is there")
    };
    let here = Holder {
        key: RowKey::Other(key.to_string()),
        deleted_for: None,
    };
    assert_eq!(of(alive.id), here);
    let gone = of(long_gone.id);
    assert_eq!(gone.key, RowKey::AllZeros);
    let seconds = gone.deleted_for.expect("it is deleted").as_secs();
    assert!((100_000..100_300).contains(&seconds), "{seconds} s");
    for just_now in [volumes[2].id, volumes[3].id] {
        assert_eq!(of(just_now).deleted_for, Some(Duration::ZERO));
    }
    Ok(())
}

pub(crate) async fn holders_of_every_kind_and_any_number_are_read_at_once(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1100);
    let backups: Vec<_> = (0..1100).map(|_| Backup::on("h").deleted()).collect();
    database.insert(&volume).await?;
    database.insert(&backups).await?;
    let db = open(database);
    let snapshots: Vec<_> = volume.snapshot_ids().into_iter().map(row_id).collect();
    let backups: Vec<_> = backups.iter().map(|backup| row_id(backup.id)).collect();
    for (kind, ids, deleted) in [
        (ResourceKind::Snapshot, &snapshots, false),
        (ResourceKind::Backup, &backups, true),
    ] {
        let told = db.holders(kind, ids).await?;
        assert_eq!(told.len(), 1100, "{kind}");
        assert!(told.iter().all(|(id, holder)| {
            ids.contains(id)
                && holder.key == RowKey::AllZeros
                && holder.deleted_for.is_some() == deleted
        }));
    }
    assert_eq!(db.holders(ResourceKind::Volume, &[]).await?, []);
    Ok(())
}
