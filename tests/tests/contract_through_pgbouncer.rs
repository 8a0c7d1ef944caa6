//! The contract of the database adapter through PgBouncer, which hands the same six connections of
//! the server from one session to the other with every transaction; and a whole run.

#[macro_use]
#[path = "cinder_db/cases/mod.rs"]
mod cases;

use anyhow::Result;
use key_migrator_tests::database::Through;
use key_migrator_tests::pgbouncer::PgBouncer;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Volume,
};

async fn fresh() -> Result<Through<PgBouncer>> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::Postgres).await?;
    let bouncer = PgBouncer::before(&services.postgresql).await?;
    let port = bouncer.port();
    Ok(Through::new(
        database,
        services.postgresql.port,
        port,
        bouncer,
    ))
}

contract!(fresh);

#[tokio::test]
async fn two_programs_share_its_connections_and_each_row_moves_once() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = fresh().await?;
    let volumes: Vec<Volume> = ["host1@lvm#p", "host2@lvm#p"]
        .iter()
        .cycle()
        .take(40)
        .map(|host| Volume::on(host).owned_by(&cinder).with_snapshots(2))
        .collect();
    database.insert(&volumes).await?;
    let mut programs = Vec::new();
    for host in ["host1", "host2"] {
        let conf = CinderConf::new(&cloud, &cinder, &database)?.host(host);
        let arguments = ["run", "--once", "--service", "volume"];
        programs.push(Program::start_with(&conf, arguments)?);
    }
    for program in programs {
        let ended = program.ended().await?;
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.lines);
    }
    let mut secrets = std::collections::BTreeSet::new();
    for volume in &volumes {
        let secret = database.volume(volume.id).await?.secret_id();
        assert!(secrets.insert(secret), "a secret for each");
        for snapshot in volume.snapshot_ids() {
            assert_eq!(database.snapshot(snapshot).await?.secret_id(), secret);
        }
    }
    Ok(())
}
