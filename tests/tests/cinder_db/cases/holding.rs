//! A row held still while something is done about a secret that nothing needs.

use std::future::{pending, ready};
use std::sync::Arc;

use anyhow::Result;
use key_migration::ids::{ResourceKind, RowRef, SecretId};
use key_migration::ports::CinderDatabase as _;
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{open, row_id, row_ref, secret};

/// A volume that another secret has taken the place of.
async fn superseded(database: &CinderDatabase) -> Result<(Volume, RowRef)> {
    let volume = Volume::on("h@b").key(Uuid::new_v4());
    database.insert(&volume).await?;
    let row = row_ref(ResourceKind::Volume, volume.id);
    Ok((volume, row))
}

pub(crate) async fn an_act_runs_once_where_nothing_needs_the_secret(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let secret = secret();
    let keyed = Volume::on("h@b").key(Uuid::new_v4());
    let odd = Volume::on("h@b").key("not a UUID");
    // A deleted row may refer to it: nobody reads that any more.
    let deleted = Volume::on("h@b").key(secret.to_string()).deleted();
    let snapshot = Snapshot::of(&keyed).key(Uuid::new_v4());
    let backup = Backup::on("h").deleted();
    database
        .insert(&[keyed.clone(), odd.clone(), deleted.clone()])
        .await?;
    database.insert(&snapshot).await?;
    database.insert(&backup).await?;
    for (kind, id) in [
        (ResourceKind::Volume, keyed.id),
        (ResourceKind::Volume, odd.id),
        (ResourceKind::Volume, deleted.id),
        (ResourceKind::Snapshot, snapshot.id),
        (ResourceKind::Backup, backup.id),
    ] {
        let mut runs = 0;
        let act = async {
            runs += 1;
            "what became of it"
        };
        let done = db.while_unneeded(&row_ref(kind, id), secret, act).await?;
        assert_eq!(done, Some("what became of it"), "{kind} {id}");
        assert_eq!(runs, 1);
    }
    Ok(())
}

pub(crate) async fn an_act_does_not_run_where_something_needs_the_secret(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let never = async |row: &RowRef, secret: SecretId| {
        let act = async { panic!("{row} or another needs {secret}") };
        let done: Option<()> = db.while_unneeded(row, secret, act).await?;
        assert_eq!(done, None);
        anyhow::Ok(())
    };
    let own = secret();
    let zero = Volume::on("h@b");
    let plain = Volume::on("h@b").without_key();
    let holding = Volume::on("h@b").key(own.to_string().to_uppercase());
    database
        .insert(&[zero.clone(), plain.clone(), holding.clone()])
        .await?;
    never(&row_ref(ResourceKind::Volume, holding.id), own).await?;
    // Nothing refers to these secrets, but the row may still come to.
    for id in [zero.id, plain.id, Uuid::new_v4()] {
        never(&row_ref(ResourceKind::Volume, id), secret()).await?;
    }

    let (volume, row) = superseded(database).await?;
    let deleted = Backup::on("h").deleted();
    database.insert(&deleted).await?;
    let of_deleted = row_ref(ResourceKind::Backup, deleted.id);
    let [in_volume, in_snapshot, in_backup] = [(); 3].map(|()| secret());
    database
        .insert(&Volume::on("elsewhere@b").key(in_volume.to_string()))
        .await?;
    database
        .insert(&Snapshot::of(&volume).key(in_snapshot.to_string()))
        .await?;
    database
        .insert(&Backup::on("h").key(in_backup.to_string()))
        .await?;
    for needed in [in_volume, in_snapshot, in_backup] {
        never(&row, needed).await?;
        never(&of_deleted, needed).await?;
    }
    assert!(!database.is_locked("volumes", volume.id).await?);
    assert_eq!(db.while_unneeded(&row, secret(), ready(1)).await?, Some(1));
    Ok(())
}

pub(crate) async fn a_row_is_held_still_and_others_read_meanwhile(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let (volume, row) = superseded(database).await?;
    let deleted = Volume::on("h@b").deleted();
    database.insert(&deleted).await?;
    for (id, row) in [
        (volume.id, row),
        (deleted.id, row_ref(ResourceKind::Volume, deleted.id)),
    ] {
        let act = async {
            let held = database.is_locked("volumes", id).await?;
            let keys = db.keys(ResourceKind::Volume, &[row_id(volume.id)]).await?;
            anyhow::Ok((held, keys.len()))
        };
        let seen = db.while_unneeded(&row, secret(), act).await?;
        assert_eq!(seen.expect("nothing needs it")?, (true, 1));
        assert!(!database.is_locked("volumes", id).await?);
    }
    let kept = database.volume(deleted.id).await?;
    assert!(kept.is_zero(), "nothing is changed");
    Ok(())
}

pub(crate) async fn a_row_is_let_go_however_the_act_ends(database: &CinderDatabase) -> Result<()> {
    let db = Arc::new(open(database));
    let (volume, row) = superseded(database).await?;
    // Waits for the lock, and fails where it is never let go.
    let change = format!(
        "UPDATE volumes SET size = size + 1 WHERE id = '{}'",
        volume.id
    );
    let refused = db.while_unneeded(&row, secret(), ready(Err::<(), _>("refused")));
    assert_eq!(refused.await?, Some(Err("refused")));
    assert_eq!(database.execute(&change).await?, 1);

    let running = Arc::new(Notify::new());
    let (ours, their_row, started) = (Arc::clone(&db), row.clone(), Arc::clone(&running));
    let cancelled = tokio::spawn(async move {
        let act = async {
            started.notify_one();
            pending::<()>().await;
        };
        ours.while_unneeded(&their_row, secret(), act).await
    });
    running.notified().await;
    assert!(database.is_locked("volumes", volume.id).await?);
    cancelled.abort();
    let ended = cancelled.await.expect_err("it was aborted");
    assert!(ended.is_cancelled());
    assert_eq!(database.execute(&change).await?, 1);

    let (ours, their_row) = (Arc::clone(&db), row.clone());
    let crashed = tokio::spawn(async move {
        let act = async { panic!("this is the test's own") };
        ours.while_unneeded::<()>(&their_row, secret(), act).await
    });
    let ended = crashed.await.expect_err("it panicked");
    assert!(ended.is_panic());
    assert_eq!(database.execute(&change).await?, 1);
    assert_eq!(db.while_unneeded(&row, secret(), ready(2)).await?, Some(2));
    Ok(())
}

pub(crate) async fn many_acts_leave_connections_for_what_is_quick(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let (volume, row) = superseded(database).await?;
    let deleted: Vec<_> = (0..9).map(|_| Volume::on("h@b").deleted()).collect();
    database.insert(&deleted).await?;
    let rows: Vec<_> = deleted
        .iter()
        .map(|volume| row_ref(ResourceKind::Volume, volume.id))
        .chain([row])
        .collect();
    // Each act reads, too: with every connection held there would be none to read by.
    let acts = rows.iter().map(|row| {
        let reads = async { db.keys(ResourceKind::Volume, &[row_id(volume.id)]).await };
        db.while_unneeded(row, secret(), reads)
    });
    for done in futures_util::future::join_all(acts).await {
        assert_eq!(done?.expect("nothing needs it")?.len(), 1);
    }
    Ok(())
}
