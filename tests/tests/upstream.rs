//! That Cinder's own migrator, the peer of races and benchmarks, really runs here.

use anyhow::Result;
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, EmulatedCloud, RoleWorld, Services, Volume,
};

#[tokio::test]
async fn cinders_own_migrator_migrates_on_the_real_services() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    migrates(&services, &cloud, Dialect::MariaDb).await
}

#[tokio::test]
async fn cinders_own_migrator_takes_the_emulated_cloud_for_a_real_one() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    migrates(&services, &cloud, Dialect::Sqlite).await
}

async fn migrates(services: &Services, cloud: &impl Cloud, dialect: Dialect) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let owner = cloud.create_owner().await?;
    let database = CinderDatabase::new(services, dialect).await?;
    let volume = Volume::on("host1@lvm#lvm")
        .owned_by(&owner)
        .with_snapshots(1);
    let backup = Backup::on("host1").owned_by(&owner);
    database.insert(&volume).await?;
    database.insert(&backup).await?;

    let conf = CinderConf::new(cloud, &cinder, &database)?;
    let mut upstream = Upstream::start(services, &conf).await?;
    let volumes = upstream.migrate(UpstreamService::Volume).await?;
    let backups = upstream.migrate(UpstreamService::Backup).await?;
    upstream
        .line("Starting migration of ConfKeyManager keys.")
        .await?;
    let log = upstream.lines().join("\n");

    assert_eq!((volumes.rows, backups.rows), (1, 1), "{log}");
    let secret_id = database.volume(volume.id).await?.secret_id();
    let snapshot = database.snapshot(volume.snapshot_ids()[0]).await?;
    assert_eq!(snapshot.secret_id(), secret_id);
    assert_ne!(database.backup(backup.id).await?.secret_id(), secret_id);
    upstream.end().await
}
