//! Snapshots that were at zeros when their volume was no more.

use std::collections::BTreeSet;

use anyhow::Result;
use cinder_db::CinderDb;
use key_migration::ids::{ResourceKind, RowId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::{FreshVolume, RowKey, Scope, Swap, SwapOutcome};
use key_migrator_tests::rows::Value;
use key_migrator_tests::{CinderDatabase, Snapshot, Volume, ZERO_KEY};
use uuid::Uuid;

use super::{clustered, host, ids, open, row_id, row_ref, secret, swap};

fn scope() -> Scope {
    Scope::Volumes(vec![host("h@b")])
}

async fn strays(db: &CinderDb, scope: &Scope) -> Result<BTreeSet<String>> {
    let page = db
        .zero_rows(scope, ResourceKind::Snapshot, None, 1000)
        .await?;
    let volumes = db
        .zero_rows(scope, ResourceKind::Volume, None, 1000)
        .await?;
    let count = db.count_zero_rows(scope).await?;
    assert_eq!(count, (page.len() + volumes.len()) as u64);
    Ok(page.iter().map(|row| row.id.to_string()).collect())
}

/// A stray that is to take the secret which its volume refers to.
async fn one_stray(database: &CinderDatabase) -> Result<(Volume, Uuid, Swap)> {
    let secret = secret();
    let volume = Volume::on("h@b").key(secret.to_string()).with_snapshots(1);
    database.insert(&volume).await?;
    let snapshot = volume.snapshot_ids()[0];
    let mut swap = swap(ResourceKind::Snapshot, snapshot, secret);
    swap.shared_with = Some(row_id(volume.id));
    Ok((volume, snapshot, swap))
}

pub(crate) async fn a_snapshot_at_zeros_is_stray_once_its_volume_is_not(
    database: &CinderDatabase,
) -> Result<()> {
    let keyed = Volume::on("h@b#pool").key(Uuid::new_v4());
    let keyed = keyed
        .clone()
        .with_snapshot(Snapshot::of(&keyed).status("error"))
        .with_snapshot(Snapshot::of(&keyed).deleted())
        .with_snapshot(Snapshot::of(&keyed).key(Uuid::new_v4()))
        .with_snapshot(Snapshot::of(&keyed).without_key());
    let plain = Volume::on("h@b").without_key().with_snapshots(2);
    database
        .insert(&[
            keyed.clone(),
            plain.clone(),
            Volume::on("h@b").with_snapshots(1),
            Volume::on("h@b").deleted().with_snapshots(1),
            Volume::on("h@b")
                .key(Uuid::new_v4())
                .deleted()
                .with_snapshots(1),
        ])
        .await?;
    let db = open(database);
    let [stray, ..] = keyed.snapshot_ids()[..] else {
        unreachable!("it has some")
    };
    let [one, other] = plain.snapshot_ids()[..] else {
        unreachable!("it has two")
    };
    assert_eq!(strays(&db, &scope()).await?, ids([stray, one, other]));
    let page = db
        .zero_rows(&scope(), ResourceKind::Snapshot, None, 10)
        .await?;
    let told = page.iter().find(|row| row.id == row_id(stray));
    let status = told.map(|row| row.status.clone()).expect("it is told");
    assert_eq!(status.status.as_deref(), Some("error"));
    assert_eq!(status.migration_status, None);
    Ok(())
}

pub(crate) async fn stray_snapshots_are_those_of_this_hosts_volumes(
    database: &CinderDatabase,
) -> Result<()> {
    let key = || Value::from(Uuid::new_v4());
    let own = Volume::on("h@b").key(key()).with_snapshots(1);
    let in_cluster = Volume::on_cluster("c@b#pool", "x@b#pool")
        .key(key())
        .with_snapshots(1);
    database.insert(&own).await?;
    database.insert(&in_cluster).await?;
    database
        .insert(
            &["H@b", "h@b2", "other@b"].map(|host| Volume::on(host).key(key()).with_snapshots(1)),
        )
        .await?;
    database
        .insert(&Volume::without_host().key(key()).with_snapshots(1))
        .await?;
    let db = open(database);
    let found = strays(&db, &scope()).await?;
    assert_eq!(found, ids([own.snapshot_ids()[0]]));
    let both = Scope::Volumes(vec![clustered("c@b", "h@b")]);
    let found = strays(&db, &both).await?;
    assert_eq!(
        found,
        ids([own.snapshot_ids()[0], in_cluster.snapshot_ids()[0]])
    );
    assert_eq!(strays(&db, &Scope::Volumes(vec![])).await?, ids([]));
    Ok(())
}

pub(crate) async fn stray_snapshots_come_page_by_page(database: &CinderDatabase) -> Result<()> {
    let volumes: Vec<_> = (0..5)
        .map(|_| Volume::on("h@b").key(Uuid::new_v4()).with_snapshots(5))
        .collect();
    database.insert(&volumes).await?;
    let db = open(database);
    let mut walked: Vec<RowId> = Vec::new();
    loop {
        let page = db
            .zero_rows(&scope(), ResourceKind::Snapshot, walked.last(), 10)
            .await?;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        walked.extend(page.into_iter().map(|row| row.id));
    }
    let snapshots = volumes.iter().flat_map(Volume::snapshot_ids);
    let mut all: Vec<_> = snapshots.map(row_id).collect();
    all.sort();
    assert_eq!(walked, all);
    Ok(())
}

pub(crate) async fn a_fresh_snapshot_tells_its_volume(database: &CinderDatabase) -> Result<()> {
    let key = Uuid::new_v4();
    let volume = Volume::on("h@b")
        .owned_by("keeper")
        .key(key)
        .with_snapshot(Snapshot::of_id(Uuid::nil()).owned_by("snapper"));
    let nobodys = Volume::on("h@b")
        .column("user_id", Value::Null)
        .with_snapshots(1);
    let deleted = Volume::on("h@b").key(key).with_snapshots(1).deleted();
    database.insert(&[volume.clone(), deleted.clone()]).await?;
    database.insert(&nobodys).await?;
    let db = open(database);
    let read = async |volume: &Volume| {
        let row = row_ref(ResourceKind::Snapshot, volume.snapshot_ids()[0]);
        let fresh = db.row(&row).await?;
        anyhow::Ok(fresh.expect("it is there"))
    };

    let fresh = read(&volume).await?;
    assert_eq!(fresh.key, RowKey::AllZeros);
    assert_eq!(fresh.user_id, Some("snapper".into()));
    assert!(fresh.dependent_users.is_empty());
    let told = FreshVolume {
        id: row_id(volume.id),
        key: RowKey::Other(key.to_string()),
        user_id: Some("keeper".into()),
    };
    assert_eq!(fresh.volume.as_deref(), Some(&told));

    let told = FreshVolume {
        id: row_id(nobodys.id),
        key: RowKey::AllZeros,
        user_id: None,
    };
    assert_eq!(read(&nobodys).await?.volume.as_deref(), Some(&told));
    assert_eq!(read(&deleted).await?.volume, None);
    let volume = row_ref(ResourceKind::Volume, volume.id);
    let fresh = db.row(&volume).await?.expect("it is there");
    assert_eq!(fresh.volume, None, "a volume is of no other");
    Ok(())
}

pub(crate) async fn a_stray_snapshot_takes_its_volumes_secret(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let (_, snapshot, swap) = one_stray(database).await?;
    let moved = SwapOutcome::Switched { snapshots: 0 };
    assert_eq!(db.switch(&swap).await?, moved);
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    let key = database.snapshot(snapshot).await?.secret_id();
    assert_eq!(key.to_string(), swap.secret.to_string());
    assert_eq!(strays(&db, &scope()).await?, ids([]));

    // The same secret, however the volume spells it.
    let (volume, _, swap) = one_stray(database).await?;
    let shouted = swap.secret.to_string().to_uppercase();
    database
        .execute(&format!(
            "UPDATE volumes SET encryption_key_id = '{shouted}' WHERE id = '{}'",
            volume.id
        ))
        .await?;
    assert_eq!(db.switch(&swap).await?, moved);
    Ok(())
}

pub(crate) async fn a_snapshot_waits_where_its_volume_no_longer_refers_to_the_secret(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let other = Uuid::new_v4();
    for change in [
        &*format!("encryption_key_id = '{other}'"),
        &*format!("encryption_key_id = '{ZERO_KEY}'"),
        "encryption_key_id = NULL",
        "deleted = true",
    ] {
        let (volume, snapshot, mut swap) = one_stray(database).await?;
        database
            .execute(&format!(
                "UPDATE volumes SET {change} WHERE id = '{}'",
                volume.id
            ))
            .await?;
        assert_eq!(
            db.switch(&swap).await?,
            SwapOutcome::VolumeChanged,
            "{change}"
        );
        assert!(database.snapshot(snapshot).await?.is_zero(), "{change}");
        // For a secret of the snapshot's own it does not matter.
        swap.shared_with = None;
        let moved = SwapOutcome::Switched { snapshots: 0 };
        assert_eq!(db.switch(&swap).await?, moved, "{change}");
    }
    // Another volume refers to that secret, but the snapshot is not of it.
    let (_, snapshot, mut swap) = one_stray(database).await?;
    let elsewhere = Volume::on("h@b").key(swap.secret.to_string());
    database.insert(&elsewhere).await?;
    for id in [elsewhere.id, Uuid::new_v4()] {
        swap.shared_with = Some(row_id(id));
        assert_eq!(db.switch(&swap).await?, SwapOutcome::VolumeChanged);
    }
    assert!(database.snapshot(snapshot).await?.is_zero());
    Ok(())
}

pub(crate) async fn what_a_snapshot_itself_says_comes_before_its_volume(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    for outcome in [
        SwapOutcome::AlreadyHolds,
        SwapOutcome::Lost,
        SwapOutcome::Gone,
    ] {
        let (volume, snapshot, swap) = one_stray(database).await?;
        let change = match outcome {
            SwapOutcome::AlreadyHolds => format!("encryption_key_id = '{}'", swap.secret),
            SwapOutcome::Lost => format!("encryption_key_id = '{}'", Uuid::new_v4()),
            _ => "deleted = true".to_owned(),
        };
        for sql in [
            format!("UPDATE snapshots SET {change} WHERE id = '{snapshot}'"),
            format!(
                "UPDATE volumes SET deleted = true WHERE id = '{}'",
                volume.id
            ),
        ] {
            database.execute(&sql).await?;
        }
        assert_eq!(db.switch(&swap).await?, outcome, "{change}");
    }
    let (_, snapshot, mut swap) = one_stray(database).await?;
    swap.user_id = Some("another".into());
    assert_eq!(db.switch(&swap).await?, SwapOutcome::ReadersChanged);
    assert!(database.snapshot(snapshot).await?.is_zero());
    Ok(())
}

pub(crate) async fn a_snapshot_made_beside_a_swap_moves_with_it_or_is_stray(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    for _ in 0..20 {
        let volume = Volume::on("h@b").with_snapshots(1);
        database.insert(&volume).await?;
        // As Cinder makes it: from the volume as it was read before.
        let late = Snapshot::of(&volume);
        let swap = swap(ResourceKind::Volume, volume.id, secret());
        let (made, switched) = tokio::join!(database.insert(&late), db.switch(&swap));
        made?;
        let snapshots = match switched? {
            SwapOutcome::Switched { snapshots } => snapshots,
            // On PostgreSQL it may come between the statements of the swap, which then did nothing.
            SwapOutcome::ReadersChanged => match db.switch(&swap).await? {
                SwapOutcome::Switched { snapshots } => snapshots,
                other => panic!("{other:?}"),
            },
            other => panic!("nobody else switches it: {other:?}"),
        };
        let key = database.snapshot(late.id).await?.encryption_key_id;
        let expected = match snapshots {
            1 => ZERO_KEY.to_owned(),
            2 => swap.secret.to_string(),
            other => panic!("{other} snapshots moved"),
        };
        assert_eq!(key, Some(expected));
        let left = strays(&db, &scope()).await?;
        assert_eq!(left.contains(&late.id.to_string()), snapshots == 1);
        if snapshots == 1 {
            let mut of_stray = swap.clone();
            of_stray.row = row_ref(ResourceKind::Snapshot, late.id);
            of_stray.shared_with = Some(row_id(volume.id));
            let outcome = db.switch(&of_stray).await?;
            assert_eq!(outcome, SwapOutcome::Switched { snapshots: 0 });
        }
        assert_eq!(database.zeros("snapshots").await?, 0);
    }
    Ok(())
}
