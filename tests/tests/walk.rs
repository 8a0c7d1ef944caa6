//! A newcomer's walk through docs/operations.md, from install to removal, on real services. It is
//! written to be read: each step is what the document says to type, and what is seen then.

use std::path::Path;

use anyhow::{Result, ensure};
use key_migrator_tests::{
    CinderDatabase, Cloud, Dialect, RoleWorld, Scene, Service, Services, Signal, cinder_conf,
};

#[tokio::test]
async fn from_install_to_removal() -> Result<()> {
    // The cloud as it is found: encrypted volumes, snapshots and a backup on the fixed key, one
    // volume in the middle of a migration that broke long ago, and one of a host that is gone.
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let operator = Scene::set_with(cloud, cinder, database).await?;
    let database = &operator.database;
    database
        .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
        .await?;
    let first = operator.volume().with_snapshots(2);
    let stuck = operator.volume().migration_status("migrating");
    let unowned = operator.volume_on("host9@gone#pool");
    for volume in [&first, &stuck, &unowned] {
        database.insert(volume).await?;
    }
    for _ in 0..20 {
        database
            .insert(&operator.volume().with_snapshots(1))
            .await?;
    }
    database.insert(&operator.backup()).await?;

    // 2. Look, change nothing.
    let nova_conf = operator.nova_conf()?;
    let check = ["check", "--nova-config-file", &nova_conf];
    let said = operator.types(&check).await?;
    said.exits_with(2)?;
    said.shows("Key Migration Check Results")?;
    said.shows("openstack role add")?;
    let said = operator.types(&["plan"]).await?;
    said.exits_with(1)?;
    said.shows("21 volume(s)")?;
    said.shows("Nothing was written.")?;
    operator
        .types(&["rows", "--state", "unowned"])
        .await?
        .shows("cinder-manage volume update_host --currenthost host9@gone#pool")?;

    // 3. Grant the role.
    operator.cloud.grant(&operator.cinder, "member").await?;
    let said = operator.types(&[&check[..], &["--probe"]].concat()).await?;
    ensure!(said.code() != Some(2), "{}", said.text());

    // 4. One volume first, and back, and there again.
    let id = first.id.to_string();
    operator.types(&["migrate", &id]).await?.exits_with(0)?;
    let secret = database.volume(first.id).await?.secret_id();
    assert_eq!(
        operator.read_by(&operator.owner, secret).await?,
        cinder_conf::FIXED_KEY
    );
    operator.types(&["revert", &id]).await?.exits_with(0)?;
    operator
        .types(&["revert", "--execute", &id])
        .await?
        .exits_with(0)?;
    assert!(database.volume(first.id).await?.is_zero());
    operator.types(&["migrate", &id]).await?.exits_with(1)?;
    operator
        .types(&["release", "--execute", &id])
        .await?
        .exits_with(0)?;
    operator.types(&["migrate", &id]).await?.exits_with(0)?;
    assert_eq!(database.volume(first.id).await?.secret_id(), secret);

    // 5. Run. What stays is named, with what to type.
    let mut daemon = operator.starts(&["run"])?;
    daemon
        .status_where(|status| status["services"][0]["keys"]["remaining"] == 1)
        .await?;
    operator
        .types(&["rows", "--state", "deferred"])
        .await?
        .shows(&format!(
            "cinder reset-state --reset-migration-status {}",
            stuck.id
        ))?;
    database
        .execute("UPDATE volumes SET migration_status = NULL")
        .await?;
    operator
        .types(&["migrate", &unowned.id.to_string()])
        .await?
        .exits_with(0)?;
    daemon
        .status_where(|status| {
            let services = status["services"].as_array().map_or(&[][..], Vec::as_slice);
            services.iter().all(|one| one["state"] == "complete")
        })
        .await?;
    let said = operator.types(&["status"]).await?;
    said.shows("0 volume(s), 0 snapshot(s), 0 backup(s) at zeros (nothing is left)")?;
    said.shows("May fixed_key be removed? unknown")?;

    // 6. Verify.
    let said = operator.types(&["verify", "--all-hosts"]).await?;
    said.exits_with(0)?;

    // 7. Audit: what nobody has looked at is named, and what only people know is attested.
    let node = operator.other_node(&nova_conf)?;
    let (cinder_conf, nova_conf) = (node.join("cinder.conf"), node.join("nova.conf"));
    let (cinder_conf, nova_conf) = (shown(&cinder_conf), shown(&nova_conf));
    let audit = [
        "fixed-key",
        "audit",
        "--attested-by",
        "ada",
        "--config-tree",
        &shown(&node),
    ];
    let said = operator
        .types(&[&audit[..], &["--attest", "backup_records"]].concat())
        .await?;
    said.exits_with(1)?;
    said.shows("database_dumps")?;
    let remove = ["fixed-key", "remove", "--execute", &cinder_conf, &nova_conf];
    let said = operator.types(&remove).await?;
    said.exits_with(1)?;
    said.shows("Refused")?;
    let attested = [
        "database_dumps",
        "other_regions",
        "barbican_backup",
        "images",
        "ephemeral_disks",
    ];
    let attested: Vec<_> = attested
        .iter()
        .flat_map(|item| ["--attest", item])
        .collect();
    let said = operator.types(&[&audit[..], &attested].concat()).await?;
    said.exits_with(0)?;
    said.shows("ada")?;
    daemon
        .status_where(|status| status["fixed_key"]["verdict"] == "yes")
        .await?;

    // 8. Remove, on each node; and back, to see that it can be.
    let before = std::fs::read(&cinder_conf)?;
    operator
        .types(&["fixed-key", "remove", &cinder_conf])
        .await?
        .shows("fixed_key = ****")?;
    assert_eq!(std::fs::read(&cinder_conf)?, before);
    let said = operator.types(&remove).await?;
    said.exits_with(0)?;
    said.shows("Keep the fixed key offline")?;
    for file in [&cinder_conf, &nova_conf] {
        let text = std::fs::read_to_string(file)?;
        assert!(!text.contains(cinder_conf::FIXED_KEY), "{text}");
    }
    operator
        .types(&["fixed-key", "restore", "--execute", &cinder_conf])
        .await?
        .exits_with(0)?;
    assert_eq!(std::fs::read(&cinder_conf)?, before);
    operator.types(&remove).await?.exits_with(0)?;

    // The daemon sees a host without the key; whoever owns a volume reads it as ever.
    let conf = operator.conf.clone().unset("key_manager", "fixed_key");
    daemon.reconfigure(&conf)?;
    daemon.signal(Signal::HUP)?;
    daemon
        .line("Not migrating encryption keys because the ConfKeyManager's fixed_key is not in use.")
        .await?;
    assert_eq!(
        operator.read_by(&operator.owner, secret).await?,
        cinder_conf::FIXED_KEY
    );
    daemon.terminate().await?;
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
