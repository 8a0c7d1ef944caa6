//! What happens under others' locks.

use std::future::ready;
use std::sync::Arc;

use anyhow::Result;
use key_migration::ids::ResourceKind;
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::rows::{Scope, Swap, SwapOutcome};
use key_migrator_tests::{CinderDatabase, Snapshot, Volume};
use uuid::Uuid;

use crate::cases::{host, open, row_id, row_ref, secret, swap};
use crate::other::Other;
use crate::{MOVED, fresh, one_volume, switching};

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_becomes_the_victim_of_a_deadlock_is_repeated() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    // InnoDB picks the transaction that changed fewer rows.
    other
        .does("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    database.insert(&["x@b"; 50].map(Volume::on)).await?;
    other
        .does("BEGIN; UPDATE volumes SET display_name = 'heavy' WHERE host = 'x@b'")
        .await?;
    other
        .does("UPDATE snapshots SET display_name = 'locked'")
        .await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    watcher.sees_a_lock_wait(None).await?;
    // Returns only because the swap, which holds this row, was rolled back.
    other.resizes(volume.id).await?;
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, MOVED);
    assert_eq!(database.zeros("snapshots").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_waits_out_a_lock_longer_than_the_lock_wait_timeout() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    other.holds(volume.id).await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    let first = watcher.sees_a_lock_wait(None).await?;
    watcher.sees_a_lock_wait(Some(&first)).await?;
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, MOVED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_commits_while_the_swap_waits_for_its_lock_counts() -> Result<()> {
    let database = fresh().await?;
    let db = Arc::new(open(&database));
    for (change, outcome) in [
        ("encryption_key_id = UUID()", SwapOutcome::Lost),
        (
            "status = 'deleting'",
            SwapOutcome::Transitional("status 'deleting'".into()),
        ),
        (
            "migration_status = 'migrating'",
            SwapOutcome::Transitional("migration_status 'migrating'".into()),
        ),
        ("user_id = 'another'", SwapOutcome::ReadersChanged),
        ("deleted = 1", SwapOutcome::Gone),
    ] {
        let (volume, swap) = one_volume(&database).await?;
        let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
        other
            .does(format!(
                "BEGIN; UPDATE volumes SET {change} WHERE id = '{}'",
                volume.id
            ))
            .await?;
        let switching = switching(&db, &swap);
        watcher.sees_a_lock_wait(None).await?;
        other.does("COMMIT").await?;
        assert_eq!(switching.await??, outcome, "{change}");
        assert!(
            database.snapshot(volume.snapshot_ids()[0]).await?.is_zero(),
            "{change}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_in_progress_blocks_no_snapshot_of_another_volume() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    // In the index on volume_id its snapshots come right before the first one's: where REPEATABLE
    // READ locks the gap.
    let previous = Volume::on("h@b").id(Uuid::from_u128(volume.id.as_u128().wrapping_sub(1)));
    database.insert(&previous).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    let last = Snapshot::of(&volume).id(Uuid::max());
    database.insert(&last).await?;
    other
        .does(format!(
            "BEGIN; SELECT 1 FROM snapshots WHERE id = '{}' FOR UPDATE",
            last.id
        ))
        .await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    let waiting = watcher.sees_a_lock_wait(None).await?;
    database.insert(&Snapshot::of(&previous)).await?;
    // Had it been blocked, it could have gone in only after the swap's wait had timed out.
    assert!(watcher.sees_a_lock_wait(None).await? == waiting);
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, SwapOutcome::Switched { snapshots: 2 });
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long"]
async fn a_swap_that_keeps_meeting_locks_gives_up_and_changes_nothing() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let mut other = Other::at(&database).await?;
    other.holds(volume.id).await?;
    let failure = open(&database).switch(&swap).await.unwrap_err();
    assert!(
        matches!(failure, DatabaseError::Contended(_)),
        "{failure:?}"
    );
    other.does("ROLLBACK").await?;
    assert!(database.volume(volume.id).await?.is_zero());
    Ok(())
}

/// What Cinder does to make a snapshot of the one volume there is, from the volume as it was
/// before.
async fn prepare_snapshot(other: &mut Other, id: Uuid) -> Result<&'static str> {
    other
        .does("CREATE TEMPORARY TABLE made SELECT * FROM snapshots LIMIT 1")
        .await?;
    other.does(format!("UPDATE made SET id = '{id}'")).await?;
    Ok("BEGIN; INSERT INTO snapshots SELECT * FROM made")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_being_made_moves_with_its_volume() -> Result<()> {
    let database = fresh().await?;
    let (_, swap) = one_volume(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    let insert = prepare_snapshot(&mut other, Uuid::new_v4()).await?;
    other.does(insert).await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    watcher.sees_a_lock_wait(None).await?;
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, SwapOutcome::Switched { snapshots: 2 });
    assert_eq!(database.zeros("snapshots").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_comes_too_late_for_its_volumes_swap_is_stray() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    let mut maker = Other::at(&database).await?;
    let late = Uuid::new_v4();
    let insert = prepare_snapshot(&mut maker, late).await?;
    other
        .does("BEGIN; SELECT 1 FROM snapshots FOR UPDATE")
        .await?;
    let db = Arc::new(open(&database));
    let switching = switching(&db, &swap);
    // It has the volume by now, and waits for the snapshot.
    let first = watcher.sees_a_lock_wait(None).await?;
    let making = tokio::spawn(async move {
        maker.does(insert).await?;
        maker.does("COMMIT").await
    });
    watcher.sees_a_lock_wait(Some(&first)).await?;
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, MOVED);
    making.await??;
    let scope = Scope::Volumes(vec![host("h@b")]);
    let strays = db
        .zero_rows(&scope, ResourceKind::Snapshot, None, 10)
        .await?;
    assert_eq!(strays.len(), 1);
    assert_eq!(strays[0].id, row_id(late));
    assert_eq!(
        database.volume(volume.id).await?.encryption_key_id,
        Some(swap.secret.to_string())
    );
    Ok(())
}

/// A stray that is to take the secret which its volume refers to.
async fn one_stray(database: &CinderDatabase) -> Result<(Volume, Swap)> {
    let secret = secret();
    let volume = Volume::on("h@b").key(secret.to_string()).with_snapshots(1);
    database.insert(&volume).await?;
    let mut swap = swap(ResourceKind::Snapshot, volume.snapshot_ids()[0], secret);
    swap.shared_with = Some(row_id(volume.id));
    Ok((volume, swap))
}

fn new_key_for(volume: &Volume) -> String {
    format!(
        "UPDATE volumes SET encryption_key_id = UUID() WHERE id = '{}'",
        volume.id
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_gets_another_key_meanwhile_does_not_give_the_old_one_to_its_snapshot()
-> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_stray(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    other.does("BEGIN").await?;
    other.does(new_key_for(&volume)).await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    watcher.sees_a_lock_wait(None).await?;
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, SwapOutcome::VolumeChanged);
    assert_eq!(database.zeros("snapshots").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_gets_no_other_key_between_the_check_for_its_snapshot_and_the_commit() -> Result<()>
{
    let database = fresh().await?;
    let (volume, swap) = one_stray(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    other
        .does("BEGIN; SELECT 1 FROM snapshots FOR UPDATE")
        .await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    let first = watcher.sees_a_lock_wait(None).await?;
    let mut cinder = Other::at(&database).await?;
    let new_key = new_key_for(&volume);
    let changing = tokio::spawn(async move { cinder.does(new_key).await });
    watcher.sees_a_lock_wait(Some(&first)).await?;
    let unchanged = database.volume(volume.id).await?.encryption_key_id;
    assert_eq!(unchanged, Some(swap.secret.to_string()));
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, SwapOutcome::Switched { snapshots: 0 });
    changing.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_while_a_row_is_about_to_be_held_counts() -> Result<()> {
    let database = fresh().await?;
    let db = Arc::new(open(&database));
    let volume = Volume::on("h@b").key(Uuid::new_v4());
    database.insert(&volume).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    let secret = secret();
    other
        .does(format!(
            "BEGIN; UPDATE volumes SET encryption_key_id = '{secret}' WHERE id = '{}'",
            volume.id
        ))
        .await?;
    let (ours, row) = (Arc::clone(&db), row_ref(ResourceKind::Volume, volume.id));
    let holding =
        tokio::spawn(async move { ours.while_unneeded(&row, secret, ready("ran")).await });
    watcher.sees_a_lock_wait(None).await?;
    other.does("COMMIT").await?;
    assert_eq!(holding.await??, None);
    Ok(())
}

#[tokio::test]
async fn no_transaction_stays_open_after_anything() -> Result<()> {
    let database = fresh().await?;
    let db = open(&database);
    let mut watcher = Other::at(&database).await?;
    let (volume, swap) = one_volume(&database).await?;
    let row = row_ref(ResourceKind::Volume, volume.id);
    let neighbour = row_ref(ResourceKind::Volume, Uuid::new_v4());
    assert_eq!(db.switch(&swap).await?, MOVED);
    watcher.sees_no_transaction().await?;
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    watcher.sees_no_transaction().await?;
    let done = db.while_unneeded(&row, secret(), ready(1)).await?;
    assert_eq!(done, Some(1));
    watcher.sees_no_transaction().await?;
    for row in [&row, &neighbour] {
        let done = db.while_unneeded(row, swap.secret, ready(1)).await?;
        assert_eq!(done, None);
        watcher.sees_no_transaction().await?;
    }
    let (_, stray) = one_stray(&database).await?;
    database
        .execute("UPDATE volumes SET encryption_key_id = NULL")
        .await?;
    assert_eq!(db.switch(&stray).await?, SwapOutcome::VolumeChanged);
    watcher.sees_no_transaction().await?;
    // One that is given up in the middle.
    let act = async {
        database.is_locked("volumes", volume.id).await?;
        std::future::pending::<Result<()>>().await
    };
    let secret = secret();
    database
        .execute("UPDATE volumes SET encryption_key_id = UUID()")
        .await?;
    let given_up = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        db.while_unneeded(&row, secret, act),
    );
    assert!(given_up.await.is_err());
    watcher.sees_no_transaction().await?;
    Ok(())
}
