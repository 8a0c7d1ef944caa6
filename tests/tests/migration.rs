//! The main job on real services: every key right, everything else untouched.

use anyhow::{Context, Result};
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Service, Services,
    Snapshot, Volume,
};
use uuid::Uuid;

const NO_BACKUPS: &str = "No backups are known to be using the ConfKeyManager's encryption_key_id.";

#[tokio::test]
async fn every_volume_and_backup_gets_a_secret_of_its_own_that_its_owner_can_read() -> Result<()> {
    let services = Services::from_env();
    for (world, dialect) in [
        (RoleWorld::AsShipped, Dialect::MariaDb),
        (RoleWorld::Creator, Dialect::Sqlite),
    ] {
        let cloud = services.cloud(world);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        let colleague = cloud.create_owner().await?;
        let database = CinderDatabase::new(&services, dialect).await?;
        let volumes: Vec<Volume> = ["available", "in-use", "error", "error_deleting"]
            .into_iter()
            .map(|status| Volume::on("host1@lvm#lvm").owned_by(&owner).status(status))
            .map(|volume| volume.with_snapshots(2))
            .collect();
        let shared = Volume::on("host1@lvm#lvm").owned_by(&owner);
        let foreign_snapshot = Snapshot::of(&shared).owned_by(&colleague);
        let shared = shared.with_snapshot(foreign_snapshot);
        let backup = Backup::on("host1").owned_by(&owner);
        database.insert(&volumes[..]).await?;
        database.insert(&shared).await?;
        database.insert(&backup).await?;

        let conf = CinderConf::new(&cloud, &cinder, &database)?;
        let ended = Program::run_to_end(&conf, ["run", "--once"]).await?;
        assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
        assert!(
            ended.lines.iter().any(|line| line.ends_with(NO_BACKUPS)),
            "{:#?}",
            ended.lines
        );

        let mut secrets = vec![database.backup(backup.id).await?.secret_id()];
        for volume in volumes.iter().chain([&shared]) {
            let secret = database.volume(volume.id).await?.secret_id();
            for snapshot in volume.snapshot_ids() {
                assert_eq!(database.snapshot(snapshot).await?.secret_id(), secret);
            }
            secrets.push(secret);
        }
        let payloads = services
            .python()
            .payloads_as(&cloud, &owner, &secrets)
            .await?;
        for payload in payloads {
            let payload = payload.map_err(anyhow::Error::msg)?;
            assert_eq!(hex::encode(payload), FIXED_KEY, "{world:?}, {dialect:?}");
        }
        let of_shared = &secrets[secrets.len() - 1..];
        let seen = services
            .python()
            .payloads_as(&cloud, &colleague, of_shared)
            .await?;
        assert_eq!(
            hex::encode(seen[0].as_ref().expect("the snapshot's user reads")),
            FIXED_KEY
        );
        let closed = services
            .python()
            .payloads_as(&cloud, &colleague, &secrets[..1])
            .await?;
        assert!(closed[0].is_err(), "another project's user reads a secret");

        secrets.sort();
        let mut stored: Vec<Uuid> = Vec::new();
        for secret in services.python().secrets_of(&cloud, &cinder).await? {
            let name = secret.name.context("each secret of ours has a name")?;
            assert!(name.starts_with("cinder-key-migrator:v1:"), "{name}");
            assert_eq!(secret.bit_length, Some(256));
            stored.push(secret.secret_id);
        }
        stored.sort();
        assert_eq!(stored, secrets, "one secret a row, and none besides");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_this_hosts_or_has_a_key_or_is_deleted_stays_byte_for_byte() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let own_key = Uuid::new_v4();
        let ours = Volume::on("host1@lvm#lvm").owned_by("user");
        let rekeyed = Snapshot::of(&ours).key(Uuid::new_v4());
        let gone = Snapshot::of(&ours).deleted();
        let ours = ours
            .with_snapshot(rekeyed.clone())
            .with_snapshot(gone.clone())
            .with_snapshots(1);
        let untouched = [
            Volume::on("host2@lvm#lvm"),
            Volume::on("host1@lvm2#lvm"),
            Volume::on("host1@lvm#lvm").key(own_key),
            Volume::on("host1@lvm#lvm").without_key(),
            Volume::on("host1@lvm#lvm").deleted(),
            Volume::on("host1@lvm#lvm").status("retyping"),
            Volume::without_host(),
        ];
        database.insert(&ours).await?;
        database.insert(&untouched).await?;
        let backups = [
            Backup::on("host2"),
            Backup::on("host1").deleted(),
            Backup::without_host(),
        ];
        database.insert(&backups).await?;
        let mut before = Vec::new();
        for volume in &untouched {
            before.push(database.volume(volume.id).await?);
        }
        let ours_before = database.volume(ours.id).await?;

        let conf = CinderConf::new(&cloud, &cinder, &database)?;
        let ended = Program::run_to_end(&conf, ["run", "--once"]).await?;
        assert_eq!(
            ended.code(),
            Some(1),
            "the retyping one is left: {:#?}",
            ended.lines
        );

        for (volume, before) in untouched.iter().zip(before) {
            assert_eq!(database.volume(volume.id).await?, before, "{dialect:?}");
        }
        for backup in &backups {
            assert!(database.backup(backup.id).await?.is_zero(), "{dialect:?}");
        }
        let ours_after = database.volume(ours.id).await?;
        assert!(
            ours_after.updated_at > ours_before.updated_at,
            "{dialect:?}"
        );
        let secret = ours_after.secret_id();
        let [rekeyed_id, gone_id, zero_id] = ours.snapshot_ids()[..] else {
            panic!()
        };
        assert_ne!(database.snapshot(rekeyed_id).await?.secret_id(), secret);
        assert!(database.snapshot(gone_id).await?.is_zero());
        assert_eq!(database.snapshot(zero_id).await?.secret_id(), secret);
    }
    Ok(())
}

#[tokio::test]
async fn a_host_is_complete_once_nothing_is_left_anywhere_and_idle_before() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&[Service::volume("host1@lvm"), Service::volume("host2@lvm")])
        .await?;
    database
        .insert(&Volume::on("host1@lvm#lvm").owned_by("user"))
        .await?;
    let elsewhere = Volume::on("host2@lvm#lvm").owned_by("user");
    database.insert(&elsewhere).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "1");
    let mut first = Program::start_with(&conf, ["run", "--service", "volume"])?;
    first
        .status_where(|status| status["services"][0]["state"] == "idle")
        .await?;

    let other = CinderConf::new(&cloud, &cinder, &database)?.host("host2");
    let ended = Program::run_to_end(&other, ["run", "--once", "--service", "volume"]).await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    let status = first
        .status_where(|status| status["services"][0]["state"] == "complete")
        .await?;
    assert_eq!(status["global"]["volumes"], 0);
    assert_eq!(status["services"][0]["keys"]["migrated"], 1);

    database
        .execute(&format!(
            "UPDATE volumes SET encryption_key_id = '00000000-0000-0000-0000-000000000000' \
             WHERE id = '{}'",
            elsewhere.id
        ))
        .await?;
    first
        .status_where(|status| status["services"][0]["state"] == "idle")
        .await?;
    first.terminate().await?;
    Ok(())
}
