//! What happens when connections break.

use std::future::ready;
use std::sync::Arc;

use anyhow::Result;
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ids::{ResourceKind, RowRef};
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::reasons::Reason;
use key_migration::rows::SwapOutcome;
use key_migrator_tests::{CinderDatabase, Services, Volume};
use secrecy::SecretString;
use uuid::Uuid;

use crate::cases::{open, row_ref, secret};
use crate::other::Other;
use crate::tunnel::Tunnel;
use crate::{MOVED, assert_tells_nothing_secret, fresh, name, one_volume, switching};

/// The same database through a tunnel.
async fn through(tunnel: &Tunnel, database: &CinderDatabase) -> Result<CinderDb> {
    let port = Services::from_env().mariadb.port;
    let url = database
        .connection_url()
        .replace(&format!(":{port}/"), &format!(":{}/", tunnel.port()));
    let (config, _) = ConnectionConfig::parse(&SecretString::from(url))?;
    Ok(CinderDb::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_whose_connection_is_killed_is_repeated_on_another() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let (mut other, mut watcher) = (Other::at(&database).await?, Other::at(&database).await?);
    other.holds(volume.id).await?;
    let switching = switching(&Arc::new(open(&database)), &swap);
    let first = watcher.sees_a_lock_wait(None).await?;
    watcher.does(format!("KILL {}", first.connection)).await?;
    let second = watcher.sees_a_lock_wait(Some(&first)).await?;
    assert_ne!(second.connection, first.connection);
    other.does("COMMIT").await?;
    assert_eq!(switching.await??, MOVED);
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

#[tokio::test]
async fn a_server_that_is_gone_is_told_and_one_that_is_back_is_used() -> Result<()> {
    let database = fresh().await?;
    let (volume, swap) = one_volume(&database).await?;
    let mut tunnel = Tunnel::to(Services::from_env().mariadb.port).await?;
    let db = through(&tunnel, &database).await?;
    assert!(db.referred(&[swap.secret]).await?.is_empty());
    for _ in 0..2 {
        tunnel.cut().await;
        let failure = db.switch(&swap).await.unwrap_err();
        let DatabaseError::Unreachable(fault) = failure else {
            panic!("{failure:?}")
        };
        assert_eq!(fault.reason, Reason::DatabaseUnreachable);
        assert_tells_nothing_secret(&database, &format!("{fault:?}"));
        tunnel.reopen().await?;
        assert!(db.referred(&[swap.secret]).await?.is_empty());
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

/// A row that another secret has taken the place of.
async fn superseded(database: &CinderDatabase) -> Result<RowRef> {
    let volume = Volume::on("h@b").key(Uuid::new_v4());
    database.insert(&volume).await?;
    Ok(row_ref(ResourceKind::Volume, volume.id))
}

#[tokio::test]
async fn an_act_whose_connection_is_killed_is_not_repeated() -> Result<()> {
    let database = fresh().await?;
    let row = superseded(&database).await?;
    let db = open(&database);
    let mut other = Other::at(&database).await?;
    let mut runs = 0;
    let act = async {
        runs += 1;
        other.does(format!("KILL USER {}", name(&database))).await
    };
    let failure = db.while_unneeded(&row, secret(), act).await.unwrap_err();
    assert!(
        matches!(failure, DatabaseError::Unreachable(_)),
        "{failure:?}"
    );
    assert_eq!(runs, 1);
    let done = db.while_unneeded(&row, secret(), ready("ran")).await?;
    assert_eq!(done, Some("ran"));
    Ok(())
}

#[tokio::test]
async fn a_row_is_locked_again_where_the_answer_is_lost_before_the_act() -> Result<()> {
    let database = fresh().await?;
    let row = superseded(&database).await?;
    let tunnel = Tunnel::to(Services::from_env().mariadb.port).await?;
    let db = through(&tunnel, &database).await?;
    tunnel.lose_the_answer_to(b"FOR UPDATE");
    let mut runs = 0;
    let act = async { runs += 1 };
    assert_eq!(db.while_unneeded(&row, secret(), act).await?, Some(()));
    assert_eq!(runs, 1);
    Ok(())
}

#[tokio::test]
async fn an_act_is_not_repeated_where_it_is_unknown_whether_its_lock_held() -> Result<()> {
    let database = fresh().await?;
    let row = superseded(&database).await?;
    let tunnel = Tunnel::to(Services::from_env().mariadb.port).await?;
    let db = through(&tunnel, &database).await?;
    let mut runs = 0;
    let act = async {
        runs += 1;
        tunnel.lose_the_answer_to(b"\x03ROLLBACK");
    };
    let failure = db.while_unneeded(&row, secret(), act).await.unwrap_err();
    assert!(
        matches!(failure, DatabaseError::Unreachable(_)),
        "{failure:?}"
    );
    assert_eq!(runs, 1);
    Ok(())
}
