//! Cinder's database as the program uses it: the contract, on every database, release and kind of
//! pool; and on MariaDB what happens under others' locks and when connections break.

#[macro_use]
mod cases;
mod connections;
mod figures;
mod locks;
mod old_releases;
mod other;
mod postgresql;
mod refusals;
mod through_multiplexer;
mod through_pgbouncer;
mod tunnel;
mod two_programs;

use std::sync::Arc;

use anyhow::{Context, Result};
use cases::{open, secret, swap};
use cinder_db::CinderDb;
use key_migration::ids::ResourceKind;
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::rows::{Swap, SwapOutcome};
use key_migrator_tests::{CinderDatabase, Dialect, Services, Volume};
use tokio::task::JoinHandle;

async fn fresh() -> Result<CinderDatabase> {
    CinderDatabase::new(&Services::from_env(), Dialect::MariaDb).await
}

contract!(fresh);

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
