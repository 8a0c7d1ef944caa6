//! What an operator types beside the daemon: `plan`, `status`, `rows`, `migrate`, `revert` and
//! `release`, on real services.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use key_migrator_tests::secrets::files_below;
use key_migrator_tests::{
    Backup, Dialect, Program, RoleWorld, Scene, Service, Snapshot, Volume, cinder_conf,
};
use serde_json::Value;
use uuid::Uuid;

/// A host whose services are up.
async fn host(dialect: Dialect) -> Result<Scene> {
    let host = Scene::set(RoleWorld::AsShipped, dialect).await?;
    host.database
        .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
        .await?;
    Ok(host)
}

#[tokio::test]
async fn a_plan_tells_what_a_run_would_do_and_leaves_every_byte_as_it_is() -> Result<()> {
    let host = host(Dialect::Sqlite).await?;
    let own = host.volume().with_snapshots(2);
    host.database.insert(&own).await?;
    host.database
        .insert(&[
            host.volume_on("host1@lvm").status("retyping"),
            host.volume_on("host2@lvm"),
            host.volume_on("host1@lvm").without_key(),
        ])
        .await?;
    host.database.insert(&host.backup()).await?;
    host.conf.write_to(host.folder.path())?;
    let path = host.database.connection_url();
    let path = path.strip_prefix("sqlite:///").context("a file")?;
    let before = (std::fs::read(path)?, files_below(host.folder.path())?);

    let said = host.types(&["plan", "-f", "json"]).await?;
    assert_eq!(said.code(), Some(1), "{}", said.text());
    let plan = said.json()?;
    let [volume, backup] = [&plan["services"][0], &plan["services"][1]];
    assert_eq!(volume["volumes"], 1, "{plan:#}");
    assert_eq!(volume["snapshots_of_moved_volumes"], 2);
    assert_eq!(
        (&volume["deferred"], &volume["held"]),
        (&1.into(), &0.into())
    );
    assert_eq!(backup["backups"], 1);
    assert_eq!(
        (&plan["secrets_to_store"], &plan["secrets_to_adopt"]),
        (&2.into(), &0.into())
    );
    assert!(plan["estimate"]["seconds_one_by_one"].is_u64());
    let said = host.types(&["plan"]).await?;
    said.shows("2 secret(s) would be stored in Barbican")?;
    said.shows("Nothing was written.")?;
    let after = (std::fs::read(path)?, files_below(host.folder.path())?);
    assert!(before == after, "something was written");
    assert_eq!(host.stored().await?, 0);

    host.database
        .execute("UPDATE volumes SET status = 'available'")
        .await?;
    let once = host.types(&["run", "--once"]).await?;
    assert_eq!(once.code(), Some(0), "{}", once.text());
    let said = host.types(&["plan"]).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    Ok(())
}

#[tokio::test]
async fn a_careful_operator_migrates_one_volume_first_on_any_host_or_none() -> Result<()> {
    let host = host(Dialect::MariaDb).await?;
    let own = host.volume().with_snapshots(1);
    let elsewhere = host.volume_on("host9@gone#pool");
    let nowhere = Volume::without_host().owned_by(&host.owner);
    let busy = host.volume().status("deleting");
    let left = host.volume();
    let backup = Backup::on("host9").owned_by(&host.owner);
    host.database.insert(&own).await?;
    for volume in [&elsewhere, &nowhere, &busy, &left] {
        host.database.insert(volume).await?;
    }
    host.database.insert(&backup).await?;

    let ids = [own.id, elsewhere.id, nowhere.id, backup.id].map(|id| id.to_string());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let said = host.types(&[&["migrate"], &*ids].concat()).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    let secret = host.database.volume(own.id).await?.secret_id();
    assert_eq!(
        host.read_by(&host.owner, secret).await?,
        cinder_conf::FIXED_KEY
    );
    said.shows(&format!("migrated: secret {secret}"))?;
    let snapshot = host.database.snapshot(own.snapshot_ids()[0]).await?;
    assert_eq!(snapshot.secret_id(), secret);
    for id in [elsewhere.id, nowhere.id] {
        assert!(!host.database.volume(id).await?.is_zero());
    }
    assert!(!host.database.backup(backup.id).await?.is_zero());
    assert!(host.database.volume(left.id).await?.is_zero());
    assert_eq!(host.stored().await?, 4);

    // Again: nothing is done twice. What cannot be done is said.
    let busy_id = busy.id.to_string();
    let said = host.types(&["migrate", ids[0], &busy_id]).await?;
    assert_eq!(said.code(), Some(1), "{}", said.text());
    said.shows("it had a key of its own already")?;
    said.shows("deferred: status 'deleting'")?;
    let said = host
        .types(&["migrate", &Uuid::new_v4().to_string()])
        .await?;
    assert_eq!(said.code(), Some(1));
    said.shows("there is no such volume, snapshot or backup")?;
    assert_eq!(host.stored().await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_snapshot_that_is_named_is_migrated_with_its_volume_or_after_it() -> Result<()> {
    let host = host(Dialect::MariaDb).await?;
    let whole = host.volume_on("host1@lvm").with_snapshots(1);
    let moved = host.volume_on("host1@lvm").key(Uuid::new_v4().to_string());
    let stray = Snapshot::of(&moved).owned_by(&host.owner);
    host.database.insert(&whole).await?;
    host.database
        .insert(&moved.with_snapshot(stray.clone()))
        .await?;
    let ids = [whole.snapshot_ids()[0], stray.id];
    let [with_volume, alone] = ids.map(|id| id.to_string());
    let said = host.types(&["migrate", &with_volume, &alone]).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    for id in ids {
        assert!(!host.database.snapshot(id).await?.is_zero());
    }
    assert!(!host.database.volume(whole.id).await?.is_zero());
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_set_back_stays_at_zeros_beside_the_daemon_until_it_is_released() -> Result<()>
{
    let host = host(Dialect::MariaDb).await?;
    let volume = host.volume().with_snapshots(2);
    let backup = host.backup();
    host.database.insert(&volume).await?;
    host.database.insert(&backup).await?;
    let mut daemon = host.starts(&["run"])?;
    let complete = |status: &Value| {
        let services = status["services"].as_array().map_or(&[][..], Vec::as_slice);
        services.iter().all(|one| one["state"] == "complete")
    };
    daemon.status_where(complete).await?;
    let secret = host.database.volume(volume.id).await?.secret_id();
    let ids = [volume.id, backup.id].map(|id| id.to_string());

    let said = host.types(&["revert", &ids[0], &ids[1]]).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    said.shows("Nothing was changed")?;
    assert_eq!(host.database.volume(volume.id).await?.secret_id(), secret);

    let said = host
        .types(&["revert", "--execute", &ids[0], &ids[1]])
        .await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    said.shows(&format!(
        "set back with 2 snapshot(s), and held; secret {secret} stays"
    ))?;
    daemon
        .status_where(|status| {
            let keys = |n: usize| status["services"][n]["keys"]["deferred"].as_u64();
            keys(0) == Some(1) && keys(1) == Some(1)
        })
        .await?;
    daemon
        .line(&format!("Deferring volume {} (held)", ids[0]))
        .await?;
    assert!(host.database.volume(volume.id).await?.is_zero());
    for id in volume.snapshot_ids() {
        assert!(host.database.snapshot(id).await?.is_zero());
    }
    let rows: Value = serde_json::from_str(&daemon.page("/v1/rows").await?.1)?;
    assert_eq!(rows["rows"][0]["reason"], "held", "{rows:#}");
    let listed = host.types(&["rows", "--state", "deferred"]).await?;
    listed.shows(&format!("cinder-key-migrator release --execute {}", ids[0]))?;
    let said = host.types(&["migrate", &ids[0]]).await?;
    assert_eq!(said.code(), Some(1), "{}", said.text());
    said.shows("held: cinder-key-migrator release")?;

    let said = host.types(&["release", "--execute", &ids[0]]).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    daemon
        .status_where(|status| status["services"][0]["keys"]["remaining"] == 0)
        .await?;
    // The very secret that was kept is used again.
    assert_eq!(host.database.volume(volume.id).await?.secret_id(), secret);
    assert!(host.database.backup(backup.id).await?.is_zero());
    let said = host.types(&["release", "--execute", &ids[0]]).await?;
    assert_eq!(said.code(), Some(1), "{}", said.text());
    said.shows("it is not held")?;
    daemon.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_goes_back_that_could_not_be_read_then_or_is_not_this_hosts() -> Result<()> {
    let host = host(Dialect::MariaDb).await?;
    let other_key = host.volume_on("host1@lvm");
    let [elsewhere, unencrypted, missing] = [
        host.volume_on("host2@lvm").key(Uuid::new_v4().to_string()),
        host.volume_on("host1@lvm").without_key(),
        host.volume_on("host1@lvm").key(Uuid::new_v4().to_string()),
    ];
    host.database.insert(&other_key).await?;
    let once = host.types(&["run", "--once"]).await?;
    assert_eq!(once.code(), Some(0), "{}", once.text());
    for volume in [&elsewhere, &unencrypted, &missing] {
        host.database.insert(volume).await?;
    }
    let secret = host.database.volume(other_key.id).await?.secret_id();
    let other = "f".repeat(64);
    let conf = host.conf.clone().set("key_manager", "fixed_key", &other);
    let ids = [other_key.id, elsewhere.id, unencrypted.id, missing.id].map(|id| id.to_string());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let arguments = [&["revert", "--execute"], &*ids].concat();
    let said = host.types_with(&conf, &arguments).await?;
    assert_eq!(said.code(), Some(1), "{}", said.text());
    said.shows("does not hold the fixed key")?;
    said.shows("the daemon there must know of the hold")?;
    said.shows("it is not encrypted, or its key is not recorded")?;
    said.shows("cannot be compared with the fixed key")?;
    assert_eq!(
        host.database.volume(other_key.id).await?.secret_id(),
        secret
    );
    assert_eq!(host.database.zeros("volumes").await?, 0);
    assert!(!host.folder.path().join("key-migrator/held").exists());

    let gone = conf.unset("key_manager", "fixed_key");
    let said = host.types_with(&gone, &["revert", ids[0]]).await?;
    assert_eq!(said.code(), Some(2), "{}", said.text());
    said.shows("Remedy: set [key_manager] backend = barbican and fixed_key")?;
    Ok(())
}

#[tokio::test]
async fn rows_are_listed_with_what_can_be_done_about_each() -> Result<()> {
    let host = host(Dialect::MariaDb).await?;
    let plain = host.volume();
    let stuck = host.volume().migration_status("migrating");
    let nobodys = host
        .volume()
        .column("user_id", key_migrator_tests::rows::Value::Null);
    let unowned = host.volume_on("host9@gone#pool").with_snapshots(1);
    let nowhere = Volume::without_host().owned_by(&host.owner);
    for volume in [&plain, &stuck, &nobodys, &unowned, &nowhere] {
        host.database.insert(volume).await?;
    }
    let lost = Backup::on("host9").owned_by(&host.owner);
    host.database.insert(&lost).await?;
    let listed = async |state: &str| -> Result<BTreeMap<String, Value>> {
        let said = host
            .types(&["rows", "--state", state, "-f", "json"])
            .await?;
        assert_eq!(said.code(), Some(0), "{}", said.text());
        let rows = said.json()?;
        let rows = rows.as_array().context("a list")?.iter();
        Ok(rows
            .map(|row| {
                (
                    row["id"].as_str().unwrap_or_default().to_owned(),
                    row.clone(),
                )
            })
            .collect())
    };
    let remedy = |rows: &BTreeMap<String, Value>, id: Uuid| {
        let row = rows.get(&id.to_string());
        row.and_then(|row| row["remedy"].as_str())
            .unwrap_or("none")
            .to_owned()
    };
    let zero = listed("zero").await?;
    assert_eq!(zero.len(), 7, "{zero:#?}");
    assert_eq!(zero[&plain.id.to_string()]["state"], "zero");
    let deferred = listed("deferred").await?;
    assert_eq!(deferred.len(), 1, "{deferred:#?}");
    let command = format!("cinder reset-state --reset-migration-status {}", stuck.id);
    assert!(remedy(&deferred, stuck.id).ends_with(&command));
    let failed = listed("failed").await?;
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(remedy(&failed, nobodys.id).contains("extra_acl_users"));
    let without_owner = listed("unowned").await?;
    assert_eq!(without_owner.len(), 4, "{without_owner:#?}");
    let update_host = "cinder-manage volume update_host --currenthost host9@gone#pool";
    assert!(remedy(&without_owner, unowned.id).contains(update_host));
    assert!(remedy(&without_owner, lost.id).contains("extra_hosts = host9"));
    let migrate = format!("cinder-key-migrator migrate {}", nowhere.id);
    assert!(remedy(&without_owner, nowhere.id).contains(&migrate));
    let said = host
        .types(&["rows", "--state", "zero", "--limit", "2"])
        .await?;
    said.shows("There are more than these 2; --limit shows them.")?;
    Ok(())
}

#[tokio::test]
async fn the_status_is_told_with_and_without_a_daemon() -> Result<()> {
    let host = host(Dialect::MariaDb).await?;
    let own = host.volume().with_snapshots(2);
    host.database.insert(&own).await?;
    host.database.insert(&host.volume_on("host9@gone")).await?;

    let said = host.types(&["status"]).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    said.shows("Connection refused")?;
    said.shows("All hosts: 2 volume(s), 2 snapshot(s), 0 backup(s) at zeros")?;
    said.shows("May fixed_key be removed? no")?;
    said.shows("volumes_remaining: 2 volume(s) on all hosts still use the fixed key")?;

    let mut daemon = host.starts(&["run"])?;
    daemon
        .status_where(|status| status["services"][0]["state"] == "idle")
        .await?;
    let said = host.types(&["status", "-f", "json"]).await?;
    let status = said.json()?;
    assert_eq!(status["volumes"], 1, "{status:#}");
    assert_eq!(status["hosts"][0]["host"], "host9@gone");
    assert_eq!(status["hosts"][0]["service_up"], false);
    assert_eq!(status["daemons"][0]["status"]["host"], "host1");
    assert_eq!(status["fixed_key"]["verdict"], "no");
    let said = host.types(&["status", "--daemon", daemon.url()]).await?;
    said.shows("| volume  | idle")?;
    said.shows("Nobody migrates what no service owns that is up")?;

    host.database
        .execute("UPDATE volumes SET host = 'host1@lvm' WHERE host = 'host9@gone'")
        .await?;
    let said = host.types(&["status", "--watch"]).await?;
    assert_eq!(said.code(), Some(0), "{}", said.text());
    said.shows("Nothing is left on any host.")?;
    daemon.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_is_said_with_its_remedy_and_exit_code_2() -> Result<()> {
    let host = host(Dialect::Sqlite).await?;
    let away = "mysql+pymysql://cinder:hunter2@127.0.0.1:1/cinder";
    let conf = host.conf.clone().set("database", "connection", away);
    for command in [
        &["status"][..],
        &["plan"],
        &["rows", "--state", "zero"],
        &["migrate", "7b"],
        &["revert", "7b"],
    ] {
        let said = host.types_with(&conf, command).await?;
        assert_eq!(said.code(), Some(2), "{command:?}: {}", said.text());
        said.shows("Remedy: ")?;
        assert!(!said.text().contains("hunter2"));
    }
    Ok(())
}

#[tokio::test]
async fn the_command_line_is_completed_in_every_shell() -> Result<()> {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = Program::start_bare(["completions", shell], &[])?
            .ended()
            .await?;
        assert_eq!(said.status.code(), Some(0));
        assert!(
            said.lines.iter().any(|line| line.contains("orphans")),
            "{shell}"
        );
    }
    Ok(())
}
