//! What it does where it may not, or cannot, look.

use anyhow::{Context, Result};
use key_migrator_tests::{Cloud, Dialect, RoleWorld, Scene};
use uuid::Uuid;

use crate::{Said, evidence, verify, verify_as};

#[tokio::test]
async fn without_a_key_a_role_or_barbican_it_fails_and_says_what_helps() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let volume = scene.volume();
    scene.database.insert(&volume).await?;
    scene.migrates_all().await?;
    let told = |said: &Said| said.log.join("\n");

    let keyless = scene.conf.clone().unset("key_manager", "fixed_key");
    let said = verify_as(&scene, &keyless, &[]).await?;
    assert_eq!(said.code, Some(2), "{}", told(&said));
    assert!(told(&said).contains("Remedy: run this where fixed_key is still configured"));

    let nowhere = scene
        .conf
        .clone()
        .set("barbican", "barbican_endpoint", "http://127.0.0.1:9");
    let said = verify_as(&scene, &nowhere, &["--all-hosts"]).await?;
    assert_eq!(said.code, Some(2), "{}", told(&said));
    assert!(told(&said).contains("Remedy: "));

    // Without a role every secret looks like another's: that is not taken for all right.
    let role = scene.cloud.storing_role();
    scene.cloud.revoke(&scene.cinder, &role).await?;
    let said = verify(&scene, &["--all-hosts"]).await?;
    assert_eq!(said.code, Some(2), "{:#} {}", said.report, told(&said));
    assert!(
        told(&said).contains("openstack role add"),
        "{}",
        told(&said)
    );
    assert!(!evidence(&scene).exists());
    Ok(())
}

#[tokio::test]
async fn the_right_to_read_three_tables_is_enough() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volume = scene.volume().with_snapshots(1);
    scene.database.insert(&volume).await?;
    scene.migrates_all().await?;
    let reader = format!("reader{}", &Uuid::new_v4().simple().to_string()[..8]);
    scene
        .database
        .execute(&format!(
            "CREATE USER '{reader}'@'%' IDENTIFIED BY 'reading'"
        ))
        .await?;
    for table in ["volumes", "snapshots", "backups"] {
        let grant = format!("GRANT SELECT ON {table} TO '{reader}'@'%'");
        scene.database.execute(&grant).await?;
    }
    let (_, place) = scene
        .database
        .connection_url()
        .split_once('@')
        .context("a host")?;
    let url = format!("mysql+pymysql://{reader}:reading@{place}");
    let conf = scene.conf.clone().set("database", "connection", &url);
    let said = verify_as(&scene, &conf, &["--all-hosts"]).await;
    let drop = format!("DROP USER '{reader}'@'%'");
    scene.database.execute(&drop).await?;
    said?.assert_right(2);
    Ok(())
}
