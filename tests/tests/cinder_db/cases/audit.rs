//! What the audit asks before the fixed key may go.

use anyhow::{Context, Result};
use cinder_db::audit::VolumeBehind;
use key_migration::ids::ResourceKind;
use key_migrator_tests::{Backup, CinderDatabase, ImageMetadata, Snapshot, Volume, VolumeType};
use key_migrator_tests::{ZERO_KEY, rows::Value};
use uuid::Uuid;

use super::{open, row_ref};

const KEY: &str = "11111111-1111-4111-8111-111111111111";
const PROPERTY: &str = "cinder_encryption_key_id";

pub(crate) async fn backups_without_a_key_come_page_by_page_and_no_others(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let mut ids: Vec<Uuid> = (0..7).map(|_| Uuid::new_v4()).collect();
    let old = ids.iter().map(|id| Backup::on("host1").id(*id));
    let old: Vec<_> = old.map(|backup| backup.without_key()).collect();
    database.insert(&old).await?;
    database
        .insert(&[
            Backup::on("host1"),
            Backup::on("host1").key(KEY),
            Backup::on("host1").without_key().deleted(),
        ])
        .await?;
    ids.sort_by_key(Uuid::to_string);
    assert_eq!(db.count_old_backups().await?, 7);
    let mut seen = Vec::new();
    loop {
        let after = seen
            .last()
            .map(|backup: &cinder_db::audit::OldBackup| &backup.id);
        let page = db.old_backups(after, 3).await?;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        seen.extend(page);
    }
    let seen_ids: Vec<_> = seen.iter().map(|backup| backup.id.to_string()).collect();
    let expected: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    assert_eq!(seen_ids, expected);
    Ok(())
}

pub(crate) async fn the_volume_behind_a_backup_is_told_deleted_or_not(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let [plain, encrypted, formerly] = [
        VolumeType::plain(),
        VolumeType::encrypted(),
        VolumeType::formerly_encrypted(),
    ];
    for kind in [&plain, &encrypted, &formerly] {
        database.insert(kind).await?;
    }
    let of_type = |kind: &VolumeType| {
        let volume = Volume::on("h@b").without_key();
        volume.column("volume_type_id", kind.id)
    };
    let cases = [
        (Volume::on("h@b"), VolumeBehind::AtZeros),
        (Volume::on("h@b").deleted(), VolumeBehind::AtZeros),
        (Volume::on("h@b").key(KEY), VolumeBehind::HasKey),
        (of_type(&plain), VolumeBehind::NotEncrypted),
        (of_type(&plain).deleted(), VolumeBehind::NotEncrypted),
        (of_type(&encrypted), VolumeBehind::MayHaveBeenEncrypted),
        (of_type(&formerly), VolumeBehind::MayHaveBeenEncrypted),
    ];
    let mut expected = Vec::new();
    for (volume, behind) in cases {
        let backup = Backup::on("host1").without_key().of(&volume);
        database.insert(&volume).await?;
        expected.push((backup.id.to_string(), behind));
        database.insert(&backup).await?;
    }
    let purged = Backup::on("host1")
        .without_key()
        .status("error")
        .column("service_metadata", "volume_1_backup_2")
        .column("object_count", Value::Null);
    database.insert(&purged).await?;
    expected.push((purged.id.to_string(), VolumeBehind::Purged));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    let found = db.old_backups(None, 100).await?;
    let behind: Vec<_> = found
        .iter()
        .map(|backup| (backup.id.to_string(), backup.volume))
        .collect();
    assert_eq!(behind, expected);
    let seen = found
        .iter()
        .find(|it| it.id.as_str() == purged.id.to_string());
    let seen = seen.context("it is listed")?;
    assert_eq!(seen.status.as_deref(), Some("error"));
    assert_eq!(seen.container.as_deref(), Some("volumebackups"));
    assert_eq!(seen.project_id.as_deref(), Some("project"));
    assert_eq!(seen.service_metadata.as_deref(), Some("volume_1_backup_2"));
    assert_eq!(seen.object_count, 0);
    let driver = "cinder.backup.drivers.swift.SwiftBackupDriver";
    assert_eq!(seen.service.as_deref(), Some(driver));
    Ok(())
}

pub(crate) async fn image_metadata_at_zeros_is_stale_beside_what_has_no_key(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    assert_eq!(db.zero_image_metadata().await?, Default::default());
    let encrypted = Volume::on("h@b").key(KEY);
    let plain = Volume::on("h@b").without_key();
    let gone = Volume::on("h@b").without_key().deleted();
    let snapshot = Snapshot::of(&plain).without_key();
    let kept = Snapshot::of(&encrypted).key(KEY);
    for volume in [&encrypted, &plain, &gone] {
        database.insert(volume).await?;
    }
    database.insert(&[snapshot.clone(), kept.clone()]).await?;
    database
        .insert(&[
            ImageMetadata::of_volume(encrypted.id, PROPERTY, ZERO_KEY),
            ImageMetadata::of_volume(plain.id, PROPERTY, ZERO_KEY),
            ImageMetadata::of_volume(plain.id, "image_name", ZERO_KEY),
            ImageMetadata::of_volume(gone.id, PROPERTY, ZERO_KEY),
            ImageMetadata::of_volume(plain.id, PROPERTY, KEY),
            ImageMetadata::of_volume(plain.id, PROPERTY, ZERO_KEY).deleted(),
        ])
        .await?;
    database
        .insert(&[
            ImageMetadata::of_snapshot(snapshot.id, PROPERTY, ZERO_KEY),
            ImageMetadata::of_snapshot(kept.id, PROPERTY, ZERO_KEY),
        ])
        .await?;
    let found = db.zero_image_metadata().await?;
    assert_eq!((found.harmless, found.stale), (2, 2));
    let mut such_as = found.such_as;
    such_as.sort();
    let expected = [
        row_ref(ResourceKind::Volume, plain.id),
        row_ref(ResourceKind::Snapshot, snapshot.id),
    ];
    assert_eq!(such_as, expected);
    Ok(())
}
