//! Very many rows, and figures.

use std::time::Duration;

use anyhow::Result;
use key_migrator_tests::{Dialect, RoleWorld, Scene, Volume, million, said};

use crate::{Said, verify};

/// What walks over all rows does not keep them, and what groups them leaves that to the database.
#[tokio::test]
#[ignore = "long"]
async fn a_million_rows_of_each_kind_are_walked_in_little_memory() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    million::volumes(&scene.database, 1_000_000, 0).await?;
    million::snapshots_and_backups(&scene.database, 1_000_000).await?;
    let began = std::time::Instant::now();
    let arguments = ["verify", "--all-hosts", "--sample", "20", "-f", "json"];
    let mut program = scene.starts(&arguments)?;
    let pid = program.pid();
    let done = program.line_within("\"findings_total\"", Duration::from_secs(900));
    let (done, peak) = million::peak_rss_anon(pid, done).await?;
    done?;
    let said = said::Said::new(&arguments, program.ended().await?);
    let said = Said::read(&said)?;
    println!(
        "a walk over {} rows, and their secrets grouped: {:.1} s, RssAnon {peak} KiB at most",
        said.report["sample"]["of"],
        began.elapsed().as_secs_f64()
    );
    assert_eq!(said.count("examined"), 20, "{:#?}", said.log);
    assert!(peak < 24 * 1024, "{peak} KiB");
    Ok(())
}

/// Three requests a row.
#[tokio::test]
#[ignore = "long"]
async fn the_rate_at_which_the_real_barbican_is_read() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..150).map(|_| scene.volume()).collect();
    scene.database.insert(&volumes).await?;
    scene.migrates_all().await?;
    let began = std::time::Instant::now();
    let said = verify(&scene, &["--all-hosts"]).await?;
    let seconds = began.elapsed().as_secs_f64();
    said.assert_right(150);
    println!("verify reads {:.0} rows a second", 150.0 / seconds);
    Ok(())
}
