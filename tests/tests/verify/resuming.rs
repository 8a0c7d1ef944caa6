//! What was interrupted goes on where it was.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use key_migrator_tests::{CinderDatabase, EmulatedCloud, RoleWorld, Scene, Signal, Volume};
use serde_json::Value;

use crate::verify;

/// More than two pages of rows whose secrets belong to somebody else.
async fn many_rows(rows: usize) -> Result<Scene<EmulatedCloud>> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let scene = Scene::set_in(cloud, CinderDatabase::sqlite().await?).await?;
    let volumes: Vec<Volume> = (0..rows).map(|_| scene.volume().key("no secret")).collect();
    scene.database.insert(&volumes).await?;
    Ok(scene)
}

/// Where it is written down how far one has come.
fn progress(scene: &Scene<EmulatedCloud>) -> PathBuf {
    scene
        .folder
        .path()
        .join("key-migrator/verify-progress.json")
}

#[tokio::test]
async fn what_was_killed_or_interrupted_is_continued_where_it_was() -> Result<()> {
    let scene = many_rows(2_600).await?;
    let file = progress(&scene);
    let examined = || -> Option<u64> {
        let text = std::fs::read(&file).ok()?;
        let course: Value = serde_json::from_slice(&text).ok()?;
        course["tally"]["examined"].as_u64()
    };
    let all = ["verify", "--all-hosts", "-f", "json"];
    let comes_beyond = async |rows: u64| {
        while examined().is_none_or(|examined| examined <= rows) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let first = scene.starts(&all)?;
    comes_beyond(0).await;
    first.kill().await?;
    let done = examined().context("progress")?;
    assert!((500..2_600).contains(&done), "{done}");

    let second = scene.starts(&all)?;
    comes_beyond(done).await;
    second.signal(Signal::TERM)?;
    let ended = second.ended().await?;
    let done = examined().context("progress")?;
    assert!((1_000..2_600).contains(&done), "{done}");
    assert_eq!(ended.code(), Some(2), "{:#?}", ended.lines);
    let told = ended.lines.join("\n");
    let kept = format!("interrupted; what came of {done} row(s) is kept");
    assert!(told.contains(&kept), "{told}");
    assert!(told.contains("Remedy: run the same command again within 24 hours"));

    let said = verify(&scene, &["--all-hosts"]).await?;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.report["resumed"], true, "{:#?}", said.log);
    assert_eq!(said.count("examined"), 2_600);
    assert_eq!(said.count("wrong"), 2_600);
    let going_on = format!("after {done} row(s)");
    assert!(
        said.log.iter().any(|line| line.contains(&going_on)),
        "{:#?}",
        said.log
    );
    assert!(!file.exists());
    let said = verify(&scene, &["--all-hosts"]).await?;
    assert_eq!(said.report["resumed"], false);
    Ok(())
}

#[tokio::test]
async fn what_was_interrupted_is_begun_anew_where_that_is_asked_for() -> Result<()> {
    let scene = many_rows(1_300).await?;
    let file = progress(&scene);
    let first = scene.starts(&["verify"])?;
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.kill().await?;
    scene
        .database
        .execute("UPDATE volumes SET encryption_key_id = NULL")
        .await?;
    let report = scene.folder.path().join("report.json");
    let path = report.to_str().context("a path")?;
    let said = verify(&scene, &["--restart", "--report", path]).await?;
    said.assert_right(0);
    assert_eq!(said.count("examined"), 0);
    assert_eq!(said.report["resumed"], false);
    let written: Value = serde_json::from_slice(&std::fs::read(report)?)?;
    assert_eq!(written, said.report);
    Ok(())
}
