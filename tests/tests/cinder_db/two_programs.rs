//! A whole run by two programs on one database.

use std::collections::BTreeSet;

use anyhow::Result;
use key_migrator_tests::{CinderConf, CinderDatabase, Cloud, Program, RoleWorld, Services, Volume};

/// Each row moves once, to a secret of its own, and its snapshots with it.
pub(crate) async fn each_row_moves_once(database: &CinderDatabase) -> Result<()> {
    let cloud = Services::from_env().cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let volumes: Vec<Volume> = ["host1@lvm#p", "host2@lvm#p"]
        .iter()
        .cycle()
        .take(40)
        .map(|host| Volume::on(host).owned_by(&cinder).with_snapshots(2))
        .collect();
    database.insert(&volumes).await?;
    let mut programs = Vec::new();
    for host in ["host1", "host2"] {
        let conf = CinderConf::new(&cloud, &cinder, database)?.host(host);
        let arguments = ["run", "--once", "--service", "volume"];
        programs.push(Program::start_with(&conf, arguments)?);
    }
    for program in programs {
        let ended = program.ended().await?;
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.lines);
    }
    let mut secrets = BTreeSet::new();
    for volume in &volumes {
        let secret = database.volume(volume.id).await?.secret_id();
        assert!(secrets.insert(secret), "a secret for each");
        for snapshot in volume.snapshot_ids() {
            assert_eq!(database.snapshot(snapshot).await?.secret_id(), secret);
        }
    }
    Ok(())
}
