//! Cinder's database as the program uses it, on MariaDB: the contract that holds on every
//! database, and what happens under others' locks and when connections break.

#[macro_use]
mod cases;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cases::{open, secret, swap};
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ids::{ResourceKind, RowRef};
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::reasons::Reason;
use key_migration::rows::{RowKey, Scope, Swap, SwapOutcome};
use key_migrator_tests::{CinderDatabase, Dialect, Services, Snapshot, Volume};
use secrecy::SecretString;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use tokio::task::JoinHandle;
use tunnel::Tunnel;
use uuid::Uuid;

async fn fresh() -> Result<CinderDatabase> {
    CinderDatabase::new(&Services::from_env(), Dialect::MariaDb).await
}

contract!(fresh);

/// Somebody else at the same database, as `root`.
struct Other(MySqlConnection);

impl Other {
    async fn at(database: &CinderDatabase) -> Result<Self> {
        let options = Services::from_env()
            .mariadb
            .options()
            .database(name(database));
        Ok(Self(MySqlConnection::connect_with(&options).await?))
    }

    async fn does(&mut self, sql: impl Into<String>) -> Result<()> {
        let sql = sql.into();
        let done = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.0)
            .await;
        done.map(drop).with_context(|| sql)
    }

    /// Waits until a statement waits for a lock in this database, other than in the wait that is
    /// known already.
    async fn sees_a_lock_wait(&mut self, known: Option<&LockWait>) -> Result<LockWait> {
        let sql = "SELECT trx_mysql_thread_id, CAST(trx_wait_started AS CHAR) \
                   FROM information_schema.innodb_trx \
                   JOIN information_schema.processlist ON id = trx_mysql_thread_id \
                   WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()";
        let seen = async {
            loop {
                let turn = ONE_LOOK.lock().await;
                tokio::time::sleep(Duration::from_millis(150)).await;
                let waits = sqlx::raw_sql(sql).fetch_all(&mut self.0).await?;
                drop(turn);
                for row in waits {
                    let seen = LockWait {
                        connection: row.try_get(0)?,
                        since: row.try_get(1)?,
                    };
                    if known != Some(&seen) {
                        return Ok(seen);
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen)
            .await
            .context("nobody waits")?
    }
}

/// InnoDB makes a new picture of its transactions only if nobody has looked for 100 ms: those who
/// look in turns without a pause between them all would see the first one for ever.
static ONE_LOOK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A statement's wait for a lock.
#[derive(PartialEq)]
struct LockWait {
    connection: u64,
    since: String,
}

/// The rig names a database and its user alike.
fn name(database: &CinderDatabase) -> &str {
    let url = database.connection_url();
    let name = url.rsplit('/').next().unwrap_or_default();
    name.split('?').next().unwrap_or_default()
}

/// A swap under way. Tests that use it run on several threads, so that it ends even when they fail.
fn switching(db: &Arc<CinderDb>, swap: &Swap) -> JoinHandle<Result<SwapOutcome, DatabaseError>> {
    let (db, swap) = (Arc::clone(db), swap.clone());
    tokio::spawn(async move { db.switch(&swap).await })
}

async fn one_volume(database: &CinderDatabase) -> Result<(Volume, Swap)> {
    let volume = Volume::on("h@b").with_snapshots(1);
    database.insert(&volume).await?;
    let swap = swap(ResourceKind::Volume, volume.id, secret());
    Ok((volume, swap))
}

const MOVED: SwapOutcome = SwapOutcome::Switched { snapshots: 1 };

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
    other
        .does(format!(
            "UPDATE volumes SET size = 2 WHERE id = '{}'",
            volume.id
        ))
        .await?;
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
    other
        .does(format!(
            "BEGIN; UPDATE volumes SET size = 2 WHERE id = '{}'",
            volume.id
        ))
        .await?;
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
async fn a_swap_whose_connection_is_killed_is_repeated_on_another() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    other
        .does(format!(
            "BEGIN; UPDATE volumes SET size = 2 WHERE id = '{}'",
            volume.id
        ))
        .await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    let first = watcher.sees_a_lock_wait(None).await?;
    watcher.does(format!("KILL {}", first.connection)).await?;
    let second = watcher.sees_a_lock_wait(Some(&first)).await?;
    assert_ne!(second.connection, first.connection);
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, MOVED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long"]
async fn a_swap_that_keeps_meeting_locks_gives_up_and_changes_nothing() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let mut other = Other::at(&database).await?;
    other
        .does(format!(
            "BEGIN; UPDATE volumes SET size = 2 WHERE id = '{}'",
            volume.id
        ))
        .await?;
    let failure = open(&database).switch(&swap).await.unwrap_err();
    assert!(
        matches!(failure, DatabaseError::Contended(_)),
        "{failure:?}"
    );
    other.does("ROLLBACK").await?;
    assert!(database.volume(volume.id).await?.is_zero());
    Ok(())
}

#[tokio::test]
async fn resting_connections_that_died_are_replaced_unnoticed() -> Result<()> {
    let database = fresh().await?;
    let (volume, _) = one_volume(&database).await?;
    let db = open(&database);
    let row = RowRef {
        kind: ResourceKind::Volume,
        id: volume.id.to_string().into(),
    };
    assert!(db.row(&row).await?.is_some());
    let mut other = Other::at(&database).await?;
    other.does(format!("KILL USER {}", name(&database))).await?;
    assert!(db.row(&row).await?.is_some());
    Ok(())
}

/// The same database through a tunnel.
async fn through(tunnel: &Tunnel, database: &CinderDatabase) -> Result<CinderDb> {
    let port = Services::from_env().mariadb.port;
    let url = database
        .connection_url()
        .replace(&format!(":{port}/"), &format!(":{}/", tunnel.port()));
    let (config, _) = ConnectionConfig::parse(&SecretString::from(url))?;
    Ok(CinderDb::new(config))
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_and_one_that_is_back_is_used() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let mut tunnel = Tunnel::to(Services::from_env().mariadb.port).await?;
    let db = through(&tunnel, &database).await?;
    assert!(!db.refers_to(swap.secret).await?);
    for _ in 0..2 {
        tunnel.cut().await;
        let failure = db.switch(&swap).await.unwrap_err();
        let DatabaseError::Unreachable(fault) = failure else {
            panic!("{failure:?}")
        };
        assert_eq!(fault.reason, Reason::DatabaseUnreachable);
        assert_tells_nothing_secret(&database, &format!("{fault:?}"));
        tunnel.reopen().await?;
        assert!(!db.refers_to(swap.secret).await?);
    }
    assert_eq!(db.switch(&swap).await?, MOVED);
    assert!(!database.volume(volume.id).await?.is_zero());
    Ok(())
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unreachable_and_repeating_it_tells() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let tunnel = Tunnel::to(Services::from_env().mariadb.port).await?;
    let db = through(&tunnel, &database).await?;
    // As a packet: its length, its number, COM_QUERY. READ COMMITTED is said earlier.
    tunnel.lose_the_answer_to(b"\x07\0\0\0\x03COMMIT");
    let failure = db.switch(&swap).await.unwrap_err();
    assert!(
        matches!(failure, DatabaseError::Unreachable(_)),
        "{failure:?}"
    );
    assert!(!database.volume(volume.id).await?.is_zero());
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    Ok(())
}

#[tokio::test]
async fn a_statement_whose_answer_is_lost_before_the_commit_is_repeated() -> Result<()> {
    let database = fresh().await?;
    let (_, swap) = one_volume(&database).await?;
    let tunnel = Tunnel::to(Services::from_env().mariadb.port).await?;
    let db = through(&tunnel, &database).await?;
    tunnel.lose_the_answer_to(b"UPDATE snapshots");
    assert_eq!(db.switch(&swap).await?, MOVED);
    Ok(())
}

fn assert_tells_nothing_secret(database: &CinderDatabase, text: &str) {
    let url = database.connection_url();
    let password = url
        .split(':')
        .nth(2)
        .and_then(|it| it.split('@').next())
        .expect("it has one");
    for secret in [url, password, name(database), "127.0.0.1", "mysql+pymysql"] {
        assert!(!text.contains(secret), "{text} holds {secret}");
    }
}

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
    for table in ["volumes", "snapshots", "backups", "services"] {
        root.does(format!("GRANT SELECT ON {name}.{table} TO {name}@'%'"))
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
    let row = RowRef {
        kind: ResourceKind::Volume,
        id: volume.id.to_string().into(),
    };
    assert_eq!(
        db.row(&row).await?.map(|row| row.key.is(swap.secret)),
        Some(true)
    );
    assert_eq!(db.census(Duration::from_secs(60)).await?.volumes, 0);
    assert!(!db.any_row(&Scope::Backups(vec!["h".into()])).await?);
    assert!(db.refers_to(swap.secret).await?);
    let keys = db
        .keys(
            ResourceKind::Snapshot,
            &[volume.snapshot_ids()[0].to_string().into()],
        )
        .await?;
    assert!(matches!(keys[..], [(_, RowKey::Other(_))]));
    Ok(())
}

#[tokio::test]
async fn the_instants_that_a_swap_writes_are_read_by_cinders_own_library() -> Result<()> {
    let services = Services::from_env();
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let (volume, swap) = one_volume(&database).await?;
        assert_eq!(open(&database).switch(&swap).await?, MOVED);
        let seen = services
            .python()
            .run("cinder_rows.py", database.connection_url())
            .await?;
        let seen: serde_json::Value = serde_json::from_str(&seen)?;
        for (row, written) in [
            (&seen["volumes"][0], database.volume(volume.id).await?),
            (
                &seen["snapshots"][0],
                database.snapshot(volume.snapshot_ids()[0]).await?,
            ),
        ] {
            let read = row["updated_at"].as_str().context("an instant")?;
            let written = written.updated_at.context("it was set")?;
            assert_eq!(
                row["encryption_key_id"],
                swap.secret.to_string(),
                "{dialect:?}"
            );
            assert_eq!(read[..19], written[..19], "{dialect:?}");
        }
    }
    Ok(())
}
