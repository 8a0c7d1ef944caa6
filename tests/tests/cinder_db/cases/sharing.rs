//! Volumes whose key others than their own user need.

use std::collections::BTreeSet;

use anyhow::Result;
use key_migration::ids::{RowId, UserId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::{RowKey, Scope, SharedRow};
use key_migrator_tests::rows::Value;
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume};
use uuid::Uuid;

use super::{clustered, host, open, row_id};

fn scope() -> Scope {
    Scope::Volumes(vec![host("h@b")])
}

fn keyed() -> Volume {
    Volume::on("h@b#pool").key(Uuid::new_v4())
}

fn users<const N: usize>(users: [&str; N]) -> BTreeSet<UserId> {
    users.map(UserId::from).into()
}

pub(crate) async fn a_volume_is_shared_that_another_users_snapshot_or_backup_is_of(
    database: &CinderDatabase,
) -> Result<()> {
    let by_snapshot = keyed();
    let by_snapshot = by_snapshot
        .clone()
        .with_snapshots(2)
        .with_snapshot(Snapshot::of(&by_snapshot).owned_by("Owner"))
        .with_snapshot(Snapshot::of(&by_snapshot).owned_by("OWNER"))
        .with_snapshot(Snapshot::of(&by_snapshot).column("user_id", Value::Null))
        .with_snapshot(Snapshot::of(&by_snapshot).owned_by("away").deleted());
    let by_backup = keyed().key("not a UUID");
    let by_both = keyed();
    let by_both = by_both.clone().with_snapshot(
        Snapshot::of(&by_both)
            .owned_by("snapper")
            .key(Uuid::new_v4()),
    );
    let nobodys = keyed().column("user_id", Value::Null).with_snapshot(
        // Whoever made it is another than nobody.
        Snapshot::of_id(Uuid::nil()).owned_by("maker"),
    );
    database
        .insert(&[by_snapshot.clone(), by_backup.clone(), by_both.clone()])
        .await?;
    database.insert(&nobodys).await?;
    let backup = |volume, user| Backup::on("x").of(volume).owned_by(user);
    database
        .insert(&[
            backup(&by_backup, "keeper"),
            backup(&by_backup, "owner"),
            backup(&by_backup, "away").deleted(),
            backup(&by_both, "keeper").without_key(),
        ])
        .await?;
    let shared = open(database).shared_rows(&scope(), None, 100).await?;
    let mut expected = [
        (&by_snapshot, users(["OWNER", "Owner", "owner"])),
        (&by_backup, users(["keeper", "owner"])),
        (&by_both, users(["keeper", "owner", "snapper"])),
        (&nobodys, users(["maker"])),
    ]
    .map(|(volume, users)| (row_id(volume.id), users));
    expected.sort();
    let found: Vec<_> = shared
        .iter()
        .map(|row| (row.id.clone(), row.users.clone()))
        .collect();
    assert_eq!(found, expected);
    let key_of = |volume: &Volume| {
        let row = shared.iter().find(|row| row.id == row_id(volume.id));
        row.map(|row| row.key.clone())
    };
    assert_eq!(
        key_of(&by_backup),
        Some(RowKey::Other("not a UUID".to_owned()))
    );
    assert!(matches!(key_of(&by_both), Some(RowKey::Other(_))));
    Ok(())
}

pub(crate) async fn a_volume_that_needs_no_other_reader_is_not_shared(
    database: &CinderDatabase,
) -> Result<()> {
    let of_another = |volume: Volume| {
        let snapshot = Snapshot::of(&volume).owned_by("another");
        volume.with_snapshot(snapshot)
    };
    let own = keyed().with_snapshots(2);
    let only_deleted = keyed();
    let only_deleted = only_deleted
        .clone()
        .with_snapshot(Snapshot::of(&only_deleted).owned_by("away").deleted())
        .with_snapshot(Snapshot::of(&only_deleted).column("user_id", Value::Null));
    database
        .insert(&[
            own.clone(),
            only_deleted.clone(),
            of_another(Volume::on("h@b")),
            of_another(Volume::on("h@b").without_key()),
            of_another(keyed().column("host", "H@b")),
            of_another(keyed().column("host", "h@b2")),
        ])
        .await?;
    database.insert(&of_another(keyed()).deleted()).await?;
    let nobodys = Backup::on("h").of(&own).column("user_id", Value::Null);
    database.insert(&nobodys).await?;
    database
        .insert(&[
            Backup::on("h").of(&own),
            Backup::on("h").owned_by("another"),
            Backup::on("h").of(&only_deleted).owned_by("away").deleted(),
        ])
        .await?;
    let db = open(database);
    assert_eq!(db.shared_rows(&scope(), None, 100).await?, []);
    let backups = Scope::Backups(vec!["h".into()]);
    assert_eq!(db.shared_rows(&backups, None, 100).await?, []);
    Ok(())
}

pub(crate) async fn shared_volumes_come_page_by_page(database: &CinderDatabase) -> Result<()> {
    let mut volumes = Vec::new();
    for number in 0..25 {
        let volume = Volume::on_cluster("c@b", "x@b").key(Uuid::new_v4());
        let another = || Snapshot::of(&volume).owned_by("another");
        let (snapshots, backups) = (number % 3 != 0, number % 3 != 1);
        let mut made = volume.clone();
        if snapshots {
            made = made.with_snapshot(another()).with_snapshot(another());
        }
        database.insert(&made).await?;
        if backups {
            let backup = Backup::on("h").of(&volume).owned_by("another");
            database.insert(&backup).await?;
        }
        volumes.push(volume);
    }
    let db = open(database);
    let scope = Scope::Volumes(vec![clustered("c@b", "h@b")]);
    let mut walked: Vec<SharedRow> = Vec::new();
    loop {
        let after = walked.last().map(|row| row.id.clone());
        let page = db.shared_rows(&scope, after.as_ref(), 4).await?;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 4);
        walked.extend(page);
    }
    let mut all: Vec<RowId> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    all.sort();
    let found: Vec<_> = walked.iter().map(|row| row.id.clone()).collect();
    assert_eq!(found, all);
    assert!(
        walked
            .iter()
            .all(|row| row.users == users(["another", "owner"]))
    );
    Ok(())
}
