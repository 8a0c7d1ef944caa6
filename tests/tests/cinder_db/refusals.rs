//! A database that refuses: each time its own words, and what helps.

use std::future::ready;
use std::slice::from_ref;
use std::time::Duration;

use anyhow::Result;
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ids::ResourceKind;
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::reasons::Reason;
use key_migration::rows::{RowKey, Scope, SwapOutcome};
use key_migrator_tests::{CinderDatabase, Volume};
use secrecy::SecretString;

use crate::cases::{host, open, row_ref, secret, swap};
use crate::other::Other;
use crate::{MOVED, assert_tells_nothing_secret, fresh, name, one_volume};

/// All that is ever read.
const COLUMNS: [(&str, &str); 4] = [
    (
        "volumes",
        "id, host, cluster_name, user_id, status, migration_status, encryption_key_id, deleted, \
         deleted_at",
    ),
    (
        "snapshots",
        "id, volume_id, user_id, status, encryption_key_id, deleted, deleted_at",
    ),
    (
        "backups",
        "id, host, volume_id, user_id, status, encryption_key_id, deleted, deleted_at",
    ),
    (
        "services",
        "`binary`, host, cluster_name, updated_at, deleted",
    ),
];

async fn refusal(database: &CinderDatabase, db: &CinderDb) -> (String, String) {
    let failure = db
        .census(Duration::from_secs(60))
        .await
        .expect_err("it is refused");
    let DatabaseError::Refused(fault) = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(fault.reason, Reason::DatabaseUnreachable);
    assert_tells_nothing_secret(database, &format!("{fault:?}"));
    (fault.message, fault.remedy)
}

#[tokio::test]
async fn a_refused_sign_in_is_told_with_its_remedy() -> Result<()> {
    let database = fresh().await?;
    let name = name(&database);
    let url = database.connection_url();
    let wrong_password = url.replacen(&format!("://{name}:"), &format!("://{name}:not"), 1);
    let wrong_database = url.replacen(&format!("/{name}?"), "/elsewhere?", 1);
    for (url, code) in [
        (wrong_password, "error 1045"),
        (wrong_database, "error 1044"),
    ] {
        let (config, _) = ConnectionConfig::parse(&SecretString::from(url))?;
        let (message, remedy) = refusal(&database, &CinderDb::new(config)).await;
        assert!(message.contains(code), "{message}");
        assert!(remedy.contains("[database] connection"), "{remedy}");
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_table_or_column_is_told_with_its_remedy() -> Result<()> {
    let database = fresh().await?;
    database
        .execute("ALTER TABLE backups DROP COLUMN encryption_key_id")
        .await?;
    let (message, remedy) = refusal(&database, &open(&database)).await;
    assert!(
        message.contains("error 1054") && message.contains("backups"),
        "{message}"
    );
    assert!(remedy.contains("cinder-manage db sync"), "{remedy}");
    database
        .execute("RENAME TABLE backups TO elsewhere")
        .await?;
    let (message, _) = refusal(&database, &open(&database)).await;
    assert!(
        message.contains("error 1146") && message.contains("backups"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_grant_is_told_and_the_grants_of_the_remedy_suffice() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let name = name(&database);
    let mut root = Other::at(&database).await?;
    root.does(format!("REVOKE ALL ON {name}.* FROM {name}@'%'"))
        .await?;
    for (table, columns) in COLUMNS {
        root.does(format!(
            "GRANT SELECT ({columns}) ON {name}.{table} TO {name}@'%'"
        ))
        .await?;
    }
    let db = open(&database);
    let failure = db.switch(&swap).await.unwrap_err();
    let DatabaseError::Refused(fault) = failure else {
        panic!("{failure:?}")
    };
    assert!(fault.message.contains("volumes"), "{}", fault.message);
    assert!(
        fault
            .remedy
            .starts_with("GRANT SELECT, UPDATE (encryption_key_id, updated_at) ON volumes"),
        "{}",
        fault.remedy
    );
    for table in ["volumes", "snapshots", "backups"] {
        let grant = "UPDATE (encryption_key_id, updated_at)";
        root.does(format!("GRANT {grant} ON {name}.{table} TO {name}@'%'"))
            .await?;
    }
    let db = open(&database);
    assert_eq!(db.switch(&swap).await?, MOVED);
    let row = row_ref(ResourceKind::Volume, volume.id);
    let fresh = db.row(&row).await?.expect("it is there");
    assert!(fresh.key.is(swap.secret));
    everything_else_works(&database, &db, &volume).await
}

async fn everything_else_works(
    database: &CinderDatabase,
    db: &CinderDb,
    volume: &Volume,
) -> Result<()> {
    let snapshot = row_ref(ResourceKind::Snapshot, volume.snapshot_ids()[0]);
    let volume = row_ref(ResourceKind::Volume, volume.id);
    let fresh = db.row(&snapshot).await?.expect("it is there");
    let fresh_volume = fresh.volume.expect("it is there");
    let secret_of_both = fresh_volume.key.secret().expect("it has one");
    let keys = db.keys(snapshot.kind, from_ref(&snapshot.id)).await?;
    assert!(matches!(keys[..], [(_, RowKey::Other(_))]));
    for kind in [
        ResourceKind::Volume,
        ResourceKind::Snapshot,
        ResourceKind::Backup,
    ] {
        db.holders(kind, from_ref(&volume.id)).await?;
    }
    let asked = [secret_of_both];
    assert_eq!(db.referred(&asked).await?, asked.into());
    assert!(db.referred_by_deleted(&asked).await?.is_empty());
    let (volumes, backups) = (
        Scope::Volumes(vec![host("h@b")]),
        Scope::Backups(vec!["h".into()]),
    );
    assert!(db.any_row(&volumes).await?);
    assert!(!db.any_row(&backups).await?);
    assert!(db.shared_rows(&volumes, None, 10).await?.is_empty());

    database
        .execute("UPDATE snapshots SET encryption_key_id = '00000000-0000-0000-0000-000000000000'")
        .await?;
    assert_eq!(db.count_zero_rows(&volumes).await?, 1);
    let strays = db
        .zero_rows(&volumes, ResourceKind::Snapshot, None, 10)
        .await?;
    assert_eq!(strays.len(), 1);
    let id = strays[0].id.as_str().parse()?;
    let mut takes_it = swap(ResourceKind::Snapshot, id, secret_of_both);
    takes_it.shared_with = Some(volume.id.clone());
    let moved = SwapOutcome::Switched { snapshots: 0 };
    assert_eq!(db.switch(&takes_it).await?, moved);
    let done = db.while_unneeded(&volume, secret(), ready(1)).await?;
    assert_eq!(done, Some(1));
    assert!(db.census(Duration::from_secs(60)).await?.is_clear());
    Ok(())
}

#[tokio::test]
async fn a_limit_on_the_time_of_statements_is_named() -> Result<()> {
    let database = fresh().await?;
    let (_, swap) = one_volume(&database).await?;
    let name = name(&database);
    let mut root = Other::at(&database).await?;
    root.does(format!(
        "GRANT USAGE ON *.* TO {name}@'%' WITH MAX_STATEMENT_TIME 0.2"
    ))
    .await?;
    root.does("BEGIN; SELECT 1 FROM volumes FOR UPDATE").await?;
    let failure = open(&database).switch(&swap).await.unwrap_err();
    let DatabaseError::Refused(fault) = failure else {
        panic!("{failure:?}")
    };
    assert!(fault.message.contains("error 1969"), "{}", fault.message);
    assert!(
        fault.remedy.contains("max_statement_time"),
        "{}",
        fault.remedy
    );
    Ok(())
}
