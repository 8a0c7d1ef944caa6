//! The one change: rows leave all zeros for a secret.

use anyhow::Result;
use key_migration::ids::{ResourceKind, RowRef, SecretId, UserId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::{RowKey, SwapOutcome, TRANSITIONAL_BACKUP, TRANSITIONAL_VOLUME};
use key_migrator_tests::rows::{UPDATED_AT, Value};
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume, ZERO_KEY};
use uuid::Uuid;

use super::{open, row_id, secret, swap};

fn assert_not_moved(updated_at: Option<String>) {
    let updated_at = updated_at.expect("it was set");
    assert!(UPDATED_AT.starts_with(&updated_at), "{updated_at}");
}

/// Also that the instant is one that SQLAlchemy reads, which takes no zone.
fn assert_moved_on(updated_at: Option<String>) {
    let updated_at = updated_at.expect("it was set");
    assert!(updated_at.as_str() > UPDATED_AT, "{updated_at}");
    let shape: String = updated_at
        .chars()
        .map(|it| if it.is_ascii_digit() { '9' } else { it })
        .collect();
    let full = "9999-99-99 99:99:99.999999";
    assert!(shape == full || shape == full[..19], "{updated_at}");
}

pub(crate) async fn a_volume_moves_with_its_zero_snapshots_and_nothing_else(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").status("in-use");
    let other_key = Uuid::new_v4();
    let volume = volume
        .clone()
        .with_snapshots(2)
        .with_snapshot(Snapshot::of(&volume).owned_by("reader"))
        .with_snapshot(Snapshot::of(&volume).column("user_id", Value::Null))
        .with_snapshot(Snapshot::of(&volume).key(other_key))
        .with_snapshot(Snapshot::of(&volume).without_key())
        .with_snapshot(Snapshot::of(&volume).owned_by("gone").deleted());
    let neighbour = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h").of(&volume);
    database
        .insert(&[volume.clone(), neighbour.clone()])
        .await?;
    database.insert(&backup).await?;

    let secret = secret();
    let mut swap = swap(ResourceKind::Volume, volume.id, secret);
    swap.readers = ["owner", "reader"].map(UserId::from).into_iter().collect();
    let outcome = open(database).switch(&swap).await?;
    assert_eq!(outcome, SwapOutcome::Switched { snapshots: 4 });

    let moved = database.volume(volume.id).await?;
    assert_eq!(moved.encryption_key_id, Some(secret.to_string()));
    assert_eq!(moved.status.as_deref(), Some("in-use"));
    assert_moved_on(moved.updated_at);
    let snapshots = volume.snapshot_ids();
    for id in &snapshots[..4] {
        let moved = database.snapshot(*id).await?;
        assert_eq!(moved.encryption_key_id, Some(secret.to_string()));
        assert_moved_on(moved.updated_at);
    }
    let stayed = [Some(other_key.to_string()), None, Some(ZERO_KEY.to_owned())];
    for (id, key) in snapshots[4..].iter().zip(stayed) {
        let snapshot = database.snapshot(*id).await?;
        assert_eq!(snapshot.encryption_key_id, key);
        assert_not_moved(snapshot.updated_at);
    }
    let [neighbours_snapshot] = neighbour.snapshot_ids()[..] else {
        unreachable!("it has one")
    };
    for resource in [
        database.volume(neighbour.id).await?,
        database.snapshot(neighbours_snapshot).await?,
        database.backup(backup.id).await?,
    ] {
        assert!(resource.is_zero());
        assert_not_moved(resource.updated_at);
    }
    Ok(())
}

pub(crate) async fn a_volume_without_user_or_status_moves(database: &CinderDatabase) -> Result<()> {
    let volume = Volume::on("h@b")
        .column("user_id", Value::Null)
        .column("status", Value::Null);
    let volume = volume.with_snapshots(1);
    database.insert(&volume).await?;
    let mut swap = swap(ResourceKind::Volume, volume.id, secret());
    swap.user_id = None;
    swap.readers = [UserId::from("extra")].into_iter().collect();
    let outcome = open(database).switch(&swap).await?;
    assert_eq!(outcome, SwapOutcome::Switched { snapshots: 1 });
    Ok(())
}

pub(crate) async fn a_backup_moves_alone(database: &CinderDatabase) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h").of(&volume).status("error");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let secret = secret();
    let outcome = open(database)
        .switch(&swap(ResourceKind::Backup, backup.id, secret))
        .await?;
    assert_eq!(outcome, SwapOutcome::Switched { snapshots: 0 });
    let moved = database.backup(backup.id).await?;
    assert_eq!(moved.encryption_key_id, Some(secret.to_string()));
    assert_moved_on(moved.updated_at);
    assert!(database.volume(volume.id).await?.is_zero());
    assert_eq!(database.zeros("snapshots").await?, 1);
    Ok(())
}

pub(crate) async fn a_snapshot_left_behind_moves_alone(database: &CinderDatabase) -> Result<()> {
    let key = Uuid::new_v4();
    let volume = Volume::on("h@b").key(key).with_snapshots(2);
    database.insert(&volume).await?;
    let [straggler, sibling] = volume.snapshot_ids()[..] else {
        unreachable!("it has two")
    };
    let swap = swap(
        ResourceKind::Snapshot,
        straggler,
        SecretId::new(key).expect("not nil"),
    );
    let db = open(database);
    assert_eq!(
        db.switch(&swap).await?,
        SwapOutcome::Switched { snapshots: 0 }
    );
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    assert_eq!(database.snapshot(straggler).await?.secret_id(), key);
    assert!(database.snapshot(sibling).await?.is_zero());
    assert_eq!(database.volume(volume.id).await?.secret_id(), key);
    Ok(())
}

pub(crate) async fn a_swap_repeated_finds_that_it_holds_already(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    database.insert(&volume).await?;
    let swap = swap(ResourceKind::Volume, volume.id, secret());
    let db = open(database);
    assert_eq!(
        db.switch(&swap).await?,
        SwapOutcome::Switched { snapshots: 1 }
    );
    // A snapshot that comes later is not this swap's affair any more.
    let late = Snapshot::of(&volume);
    database.insert(&late).await?;
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    assert!(database.snapshot(late.id).await?.is_zero());
    Ok(())
}

pub(crate) async fn a_row_that_got_another_key_meanwhile_is_lost(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let db = open(database);
    let row = RowRef {
        kind: ResourceKind::Volume,
        id: row_id(volume.id),
    };
    assert_eq!(
        db.row(&row).await?.expect("it is there").key,
        RowKey::AllZeros
    );
    let other = Uuid::new_v4();
    database
        .execute(&format!("UPDATE volumes SET encryption_key_id = '{other}'"))
        .await?;
    database
        .execute("UPDATE backups SET encryption_key_id = NULL")
        .await?;
    for (kind, id) in [
        (ResourceKind::Volume, volume.id),
        (ResourceKind::Backup, backup.id),
    ] {
        assert_eq!(
            db.switch(&swap(kind, id, secret())).await?,
            SwapOutcome::Lost,
            "{kind}"
        );
    }
    assert_eq!(database.volume(volume.id).await?.secret_id(), other);
    assert_eq!(database.backup(backup.id).await?.encryption_key_id, None);
    assert_eq!(database.zeros("snapshots").await?, 1);
    Ok(())
}

pub(crate) async fn a_row_that_was_deleted_meanwhile_is_gone(
    database: &CinderDatabase,
) -> Result<()> {
    let [deleted, purged] = [Volume::on("h@b"), Volume::on("h@b")];
    database.insert(&[deleted.clone(), purged.clone()]).await?;
    let db = open(database);
    database
        .execute(&format!(
            "UPDATE volumes SET deleted = true WHERE id = '{}'",
            deleted.id
        ))
        .await?;
    database
        .execute(&format!("DELETE FROM volumes WHERE id = '{}'", purged.id))
        .await?;
    for id in [deleted.id, purged.id] {
        let outcome = db.switch(&swap(ResourceKind::Volume, id, secret())).await?;
        assert_eq!(outcome, SwapOutcome::Gone);
    }
    assert!(database.volume(deleted.id).await?.is_zero());
    Ok(())
}

pub(crate) async fn a_row_in_a_transitional_state_is_left_alone(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let db = open(database);
    for (table, kind, id, states) in [
        (
            "volumes",
            ResourceKind::Volume,
            volume.id,
            TRANSITIONAL_VOLUME,
        ),
        (
            "backups",
            ResourceKind::Backup,
            backup.id,
            TRANSITIONAL_BACKUP,
        ),
    ] {
        for state in states {
            database
                .execute(&format!("UPDATE {table} SET status = '{state}'"))
                .await?;
            let outcome = db.switch(&swap(kind, id, secret())).await?;
            assert_eq!(
                outcome,
                SwapOutcome::Transitional(format!("status '{state}'"))
            );
        }
    }
    assert_eq!(database.zeros("volumes").await?, 1);
    assert_eq!(database.zeros("snapshots").await?, 1);
    assert_eq!(database.zeros("backups").await?, 1);
    Ok(())
}

pub(crate) async fn a_volume_under_migration_is_left_alone_and_a_settled_one_moves(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    for moving in ["starting", "migrating", "completing", "target:5f"] {
        let volume = Volume::on("h@b").migration_status(moving);
        database.insert(&volume).await?;
        let outcome = db
            .switch(&swap(ResourceKind::Volume, volume.id, secret()))
            .await?;
        assert_eq!(
            outcome,
            SwapOutcome::Transitional(format!("migration_status '{moving}'"))
        );
    }
    for settled in ["", "success", "error", "deleting"] {
        let volume = Volume::on("h@b").migration_status(settled);
        database.insert(&volume).await?;
        let outcome = db
            .switch(&swap(ResourceKind::Volume, volume.id, secret()))
            .await?;
        assert_eq!(
            outcome,
            SwapOutcome::Switched { snapshots: 0 },
            "{settled:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_changed_user_stops_the_swap(database: &CinderDatabase) -> Result<()> {
    let db = open(database);
    let stranger = Volume::on("h@b").owned_by("Owner");
    let nobody = Volume::on("h@b").column("user_id", Value::Null);
    let appeared = Volume::on("h@b");
    database
        .insert(&[stranger.clone(), appeared.clone()])
        .await?;
    database.insert(&nobody).await?;
    for id in [stranger.id, nobody.id] {
        let outcome = db.switch(&swap(ResourceKind::Volume, id, secret())).await?;
        assert_eq!(outcome, SwapOutcome::ReadersChanged);
    }
    let mut for_nobody = swap(ResourceKind::Volume, appeared.id, secret());
    for_nobody.user_id = None;
    assert_eq!(db.switch(&for_nobody).await?, SwapOutcome::ReadersChanged);
    assert_eq!(database.zeros("volumes").await?, 3);
    Ok(())
}

pub(crate) async fn a_snapshot_of_a_user_who_may_not_read_stops_the_whole_swap(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(2);
    database.insert(&volume).await?;
    let late = Snapshot::of(&volume).owned_by("OWNER");
    database.insert(&late).await?;
    let db = open(database);
    let mut swap = swap(ResourceKind::Volume, volume.id, secret());
    assert_eq!(db.switch(&swap).await?, SwapOutcome::ReadersChanged);
    assert_eq!(database.zeros("volumes").await?, 1);
    assert_eq!(database.zeros("snapshots").await?, 3);
    assert_not_moved(database.volume(volume.id).await?.updated_at);
    swap.readers = ["owner", "OWNER"].map(UserId::from).into_iter().collect();
    assert_eq!(
        db.switch(&swap).await?,
        SwapOutcome::Switched { snapshots: 3 }
    );
    Ok(())
}

pub(crate) async fn of_two_swaps_at_once_one_wins(database: &CinderDatabase) -> Result<()> {
    let [one, other] = [open(database), open(database)];
    for _ in 0..10 {
        let volume = Volume::on("h@b").with_snapshots(2);
        database.insert(&volume).await?;
        let [a, b] = [secret(), secret()];
        let (first, second) = tokio::join!(
            async { one.switch(&swap(ResourceKind::Volume, volume.id, a)).await },
            async {
                other
                    .switch(&swap(ResourceKind::Volume, volume.id, b))
                    .await
            },
        );
        let won = SwapOutcome::Switched { snapshots: 2 };
        let winner = match (first?, second?) {
            (first, SwapOutcome::Lost) if first == won => a,
            (SwapOutcome::Lost, second) if second == won => b,
            outcomes => panic!("{outcomes:?}"),
        };
        assert_eq!(
            database.volume(volume.id).await?.secret_id().to_string(),
            winner.to_string()
        );
        for id in volume.snapshot_ids() {
            let key = database.snapshot(id).await?.secret_id();
            assert_eq!(key.to_string(), winner.to_string());
        }
    }
    Ok(())
}
