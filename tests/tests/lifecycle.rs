//! A daemon's life on real services: signals in the middle of the work.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use key_migrator_tests::relay::{Between, HttpRelay};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Signal, Volume,
};
use reqwest::Method;
use tokio::sync::Semaphore;

const DONE: &str = "No volumes are using the ConfKeyManager's encryption_key_id.";

#[tokio::test]
async fn sigterm_finishes_the_keys_in_flight_begins_none_and_leaves_no_secret_unused() -> Result<()>
{
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..40)
        .map(|_| Volume::on("host1@lvm#lvm").owned_by("user"))
        .collect();
    database.insert(&volumes[..]).await?;
    // Barbican's answers to PUT, but for the first dozen, are held back until the test lets them go.
    let gate = Arc::new(Semaphore::new(12));
    let held = Arc::clone(&gate);
    let between: Between = Arc::new(move |method, _| {
        let held = Arc::clone(&held);
        Box::pin(async move {
            if method == Method::PUT {
                held.acquire().await.expect("never closed").forget();
            }
        })
    });
    let barbican = HttpRelay::to(&cloud.barbican_endpoint(), between).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?
        .set("barbican", "barbican_endpoint", &barbican.url())
        .set("key_migrator", "max_concurrency", "4");
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    program
        .status_where(|status| {
            let keys = &status["services"][0]["keys"];
            keys["migrated"] == 12 && keys["in_flight"].as_u64() >= Some(1)
        })
        .await?;
    program.signal(Signal::TERM)?;
    gate.add_permits(1000);
    let ended = program.ended().await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);

    let left = usize::try_from(database.zeros("volumes").await?)?;
    let moved = volumes.len() - left;
    assert!(
        (13..=16).contains(&moved),
        "a dozen, then those in flight: {moved}"
    );
    let stored = services.python().secrets_of(&cloud, &cinder).await?;
    assert_eq!(stored.len(), moved, "{:#?}", ended.lines);
    Ok(())
}

#[tokio::test]
async fn sigterm_does_not_wait_for_a_barbican_that_never_answers() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&Volume::on("host1@lvm#lvm").owned_by("user"))
        .await?;
    let between: Between = Arc::new(|method, _| {
        Box::pin(async move {
            if method == Method::PUT {
                std::future::pending::<()>().await;
            }
        })
    });
    let barbican = HttpRelay::to(&cloud.barbican_endpoint(), between).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?.set(
        "barbican",
        "barbican_endpoint",
        &barbican.url(),
    );
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    program.line("Migrating volume").await?;
    program.signal(Signal::TERM)?;
    let ended = tokio::time::timeout(Duration::from_secs(15), program.ended()).await??;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    assert_eq!(database.zeros("volumes").await?, 1);
    let named = |line: &String| line.contains("Leaving volume ") && line.contains("in the middle");
    assert!(ended.lines.iter().any(named), "{:#?}", ended.lines);
    Ok(())
}

#[tokio::test]
async fn sighup_takes_a_new_pause_and_its_end_between_keys() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..30)
        .map(|_| Volume::on("host1@lvm#lvm").owned_by("user"))
        .collect();
    database.insert(&volumes[..]).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?
        .set("key_migrator", "interval", "600")
        .set("key_migrator", "max_rate", "5");
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    program.line("Migrating volume").await?;
    program.reconfigure(&conf.clone().set("key_migrator", "paused", "true"))?;
    program.signal(Signal::HUP)?;
    let status = program
        .status_where(|status| status["services"][0]["state"] == "paused")
        .await?;
    assert_ne!(status["services"][0]["keys"]["remaining"], 0);
    let left = database.zeros("volumes").await?;
    assert!(left > 0);

    program.reconfigure(&conf.set("key_migrator", "max_rate", "0"))?;
    program.signal(Signal::HUP)?;
    program.line(DONE).await?;
    program.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_run_is_taken_up_by_the_next_and_no_row_is_left_without_its_secret() -> Result<()>
{
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..60)
        .map(|_| Volume::on("host1@lvm#lvm").owned_by("user"))
        .collect();
    database.insert(&volumes[..]).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "1");
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    program
        .status_where(|status| status["services"][0]["keys"]["migrated"].as_u64() >= Some(10))
        .await?;
    program.kill().await?;
    // Asked through another process, Barbican has long ended what the killed one had begun.
    services.python().secrets_of(&cloud, &cinder).await?;

    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    program
        .status_where(|status| {
            let keys = &status["services"][0]["keys"];
            keys["remaining"] == keys["deferred"]
                && status["services"][0]["pass"]["finished_at"].is_string()
        })
        .await?;
    program.terminate().await?;
    // What the killed run had stored and not switched waits for its row until it is old enough to
    // be adopted; nothing is stored beside it.
    let left = usize::try_from(database.zeros("volumes").await?)?;
    let stored = services.python().secrets_of(&cloud, &cinder).await?;
    assert!(left <= 32, "{left}");
    assert_eq!(stored.len(), volumes.len());
    Ok(())
}
