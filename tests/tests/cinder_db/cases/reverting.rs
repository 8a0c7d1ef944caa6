//! The way back.

use anyhow::Result;
use cinder_db::SetBack;
use key_migration::ids::ResourceKind;
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume};
use uuid::Uuid;

use super::{open, row_ref, secret};

pub(crate) async fn a_volume_goes_back_with_the_snapshots_that_share_its_secret(
    database: &CinderDatabase,
) -> Result<()> {
    let (key, own) = (secret(), Uuid::new_v4());
    let volume = Volume::on("h@b").key(key.to_string());
    let shared = Snapshot::of(&volume).key(key.to_string());
    let apart = Snapshot::of(&volume).key(own.to_string());
    let gone = Snapshot::of(&volume).key(key.to_string()).deleted();
    let neighbour = Volume::on("h@b").key(key.to_string());
    let ids = [shared.id, apart.id, gone.id];
    let volume = volume
        .with_snapshot(shared)
        .with_snapshot(apart)
        .with_snapshot(gone);
    database.insert(&volume).await?;
    database.insert(&neighbour).await?;
    let row = row_ref(ResourceKind::Volume, volume.id);
    let done = open(database).set_back(&row, key).await?;
    assert_eq!(done, SetBack::Done { snapshots: 1 });
    let changed = database.volume(volume.id).await?;
    assert!(changed.is_zero() && changed.updated_at.is_some());
    assert!(database.snapshot(ids[0]).await?.is_zero());
    assert_eq!(database.snapshot(ids[1]).await?.secret_id(), own);
    assert!(!database.snapshot(ids[2]).await?.is_zero());
    assert!(!database.volume(neighbour.id).await?.is_zero());
    assert_eq!(open(database).set_back(&row, key).await?, SetBack::Lost);
    Ok(())
}

pub(crate) async fn a_backup_goes_back_alone(database: &CinderDatabase) -> Result<()> {
    let key = secret();
    let backup = Backup::on("h").key(key.to_string().to_uppercase());
    database.insert(&backup).await?;
    let row = row_ref(ResourceKind::Backup, backup.id);
    let done = open(database).set_back(&row, key).await?;
    assert_eq!(done, SetBack::Done { snapshots: 0 });
    assert!(database.backup(backup.id).await?.is_zero());
    Ok(())
}

pub(crate) async fn a_row_that_changed_meanwhile_stays_as_it_is(
    database: &CinderDatabase,
) -> Result<()> {
    let (key, other) = (secret(), Uuid::new_v4());
    let lost = Volume::on("h@b").key(other.to_string());
    let busy = Volume::on("h@b").key(key.to_string()).status("retyping");
    let moving = Volume::on("h@b")
        .key(key.to_string())
        .migration_status("migrating");
    let gone = Volume::on("h@b").key(key.to_string()).deleted();
    for volume in [&lost, &busy, &moving, &gone] {
        database.insert(volume).await?;
    }
    let db = open(database);
    let set_back = async |id| db.set_back(&row_ref(ResourceKind::Volume, id), key).await;
    assert_eq!(set_back(lost.id).await?, SetBack::Lost);
    let transitional = |what: &str| SetBack::Transitional(what.to_owned());
    assert_eq!(set_back(busy.id).await?, transitional("status 'retyping'"));
    assert_eq!(
        set_back(moving.id).await?,
        transitional("migration_status 'migrating'")
    );
    assert_eq!(set_back(gone.id).await?, SetBack::Gone);
    assert_eq!(set_back(Uuid::new_v4()).await?, SetBack::Gone);
    assert_eq!(database.volume(lost.id).await?.secret_id(), other);
    assert_eq!(database.zeros("volumes").await?, 0);
    Ok(())
}
