//! What the verdict on the fixed key goes by.

use anyhow::Result;
use key_migrator_tests::{Dialect, RoleWorld, Scene, Volume};
use serde_json::{Value, json};

use crate::{evidence, verify};

#[tokio::test]
async fn a_sample_is_drawn_and_is_no_evidence() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let volumes: Vec<Volume> = (0..4).map(|_| scene.volume().with_snapshots(1)).collect();
    scene.database.insert(&volumes).await?;
    scene.migrates_all().await?;
    let said = verify(&scene, &["--sample", "3", "--all-hosts"]).await?;
    said.assert_right(3);
    assert_eq!(said.report["sample"], json!({ "size": 3, "of": 8 }));
    assert_eq!(said.report["complete"], false);
    let said = verify(&scene, &["--sample", "100"]).await?;
    said.assert_right(8);
    assert_eq!(said.report["complete"], true);
    let told = scene.types(&["verify", "--sample", "2"]).await?;
    let told = told.last_line();
    assert!(
        told.starts_with("A sample of 2 row(s), of the 8 of host1"),
        "{told}"
    );
    assert!(told.contains("no evidence"), "{told}");
    assert!(!evidence(&scene).exists());
    Ok(())
}

#[tokio::test]
async fn the_daemon_takes_a_full_verification_as_evidence_until_something_is_migrated() -> Result<()>
{
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volume = scene.volume().with_snapshots(1);
    scene.database.insert(&volume).await?;
    let mut daemon = scene.starts(&["run", "--service", "volume"])?;
    let blockers = |status: &Value, code: &str| {
        let blockers = status["fixed_key"]["blockers"].as_array();
        let mut blockers = blockers.into_iter().flatten();
        blockers.any(|blocker| blocker["code"] == code)
    };
    let all_migrated = |status: &Value| {
        let services = status["services"].as_array();
        let mut services = services.into_iter().flatten();
        services.all(|service| service["state"] == "complete")
    };
    let unverified = |status: &Value| blockers(status, "payloads_not_verified");
    daemon
        .status_where(|status| all_migrated(status) && unverified(status))
        .await?;
    // This host alone is not all there is.
    verify(&scene, &[]).await?.assert_right(2);
    verify(&scene, &["--all-hosts"]).await?.assert_right(2);
    daemon.status_where(|status| !unverified(status)).await?;

    let late = scene.volume();
    scene.database.insert(&late).await?;
    daemon
        .status_where(|status| all_migrated(status) && unverified(status))
        .await?;

    let secret = scene.secret_of(&late).await?;
    scene.let_read(secret, &[]).await?;
    let said = verify(&scene, &["--all-hosts"]).await?;
    said.assert_wrong(&[(late.id, &["acl_incomplete"])]);
    let status = daemon
        .status_where(|status| blockers(status, "payloads_wrong"))
        .await?;
    assert_eq!(status["fixed_key"]["verdict"], "no");
    scene.let_read(secret, &[&scene.owner.user_id]).await?;
    verify(&scene, &["--all-hosts"]).await?.assert_right(3);
    daemon
        .status_where(|status| !unverified(status) && !blockers(status, "payloads_wrong"))
        .await?;

    // What is at zeros while it goes on may be migrated behind its back.
    scene.database.insert(&Volume::on("elsewhere@lvm")).await?;
    verify(&scene, &["--all-hosts"]).await?.assert_right(3);
    let evidence = std::fs::read_to_string(evidence(&scene))?;
    assert!(
        evidence.contains("1 were at zeros when that began"),
        "{evidence}"
    );
    daemon.status_where(unverified).await?;
    daemon.terminate().await?;
    Ok(())
}
