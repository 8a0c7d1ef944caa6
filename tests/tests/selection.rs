//! Whose rows a host migrates, as its own `cinder.conf` says, on every database.

use anyhow::Result;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, User, Volume,
};
use uuid::Uuid;

struct Cases {
    services: Services,
    cinder: User,
}

impl Cases {
    async fn new() -> Result<Self> {
        let services = Services::from_env();
        let cinder = services
            .cloud(RoleWorld::AsShipped)
            .create_authorised_cinder_user()
            .await?;
        Ok(Self { services, cinder })
    }

    /// Runs one pass and tells apart which volumes moved.
    async fn moved(
        &self,
        dialect: Dialect,
        volumes: &[Volume],
        configure: impl Fn(CinderConf) -> CinderConf,
    ) -> Result<Vec<bool>> {
        let cloud = self.services.cloud(RoleWorld::AsShipped);
        let database = CinderDatabase::new(&self.services, dialect).await?;
        database.insert(volumes).await?;
        let conf = configure(CinderConf::new(&cloud, &self.cinder, &database)?);
        let ended = Program::run_to_end(&conf, ["run", "--once", "--service", "volume"]).await?;
        assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
        let mut moved = Vec::new();
        for volume in volumes {
            moved.push(!database.volume(volume.id).await?.is_zero());
        }
        Ok(moved)
    }
}

fn on(hosts: &[&str]) -> Vec<Volume> {
    hosts
        .iter()
        .map(|host| Volume::on(host).owned_by("user"))
        .collect()
}

#[tokio::test]
async fn a_backend_owns_its_pools_and_no_backend_whose_name_goes_on() -> Result<()> {
    let cases = Cases::new().await?;
    for dialect in Dialect::ALL {
        let volumes = on(&[
            "h@b",
            "h@b#pool",
            "h@b2",
            "h@b2#pool",
            "h2@b#pool",
            "H@b#pool",
            "h@B",
        ]);
        let moved = cases
            .moved(dialect, &volumes, |conf| conf.host("h").backends(&["b"]))
            .await?;
        assert_eq!(
            moved,
            [true, true, false, false, false, false, false],
            "{dialect:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_underscore_and_a_percent_sign_stand_for_themselves() -> Result<()> {
    let cases = Cases::new().await?;
    for dialect in Dialect::ALL {
        let volumes = on(&[
            "h_1@tripleo_ceph#p",
            "hx1@tripleo_ceph#p",
            "h_1@tripleoxceph#p",
            "h_1@a%b#p",
            "h_1@axxb#p",
        ]);
        let moved = cases
            .moved(dialect, &volumes, |conf| {
                conf.host("h_1").backends(&["tripleo_ceph", "a%b"])
            })
            .await?;
        assert_eq!(moved, [true, false, false, true, false], "{dialect:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_clustered_backend_owns_its_cluster_and_its_host_where_no_cluster_is_named() -> Result<()>
{
    let cases = Cases::new().await?;
    for dialect in Dialect::ALL {
        let volumes: Vec<Volume> = [
            Volume::on_cluster("c@b", "other@b#p"),
            Volume::on_cluster("c@b#p", "other@b#p"),
            Volume::on("h@b#p"),
            Volume::on_cluster("c@b2#p", "h@b#p"),
            Volume::on("other@b#p"),
        ]
        .map(|volume| volume.owned_by("user"))
        .into();
        let moved = cases
            .moved(dialect, &volumes, |conf| {
                conf.host("h")
                    .backends(&["b"])
                    .set("DEFAULT", "cluster", "c")
            })
            .await?;
        assert_eq!(moved, [true, true, true, false, false], "{dialect:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_host_counts_for_its_own_section_only() -> Result<()> {
    let cases = Cases::new().await?;
    let volumes = on(&["hostgroup@ceph#p", "h@ceph#p", "h@lvm#p", "hostgroup@lvm#p"]);
    let moved = cases
        .moved(Dialect::MariaDb, &volumes, |conf| {
            conf.host("h")
                .backends(&["ceph", "lvm"])
                .set("ceph", "backend_host", "hostgroup")
        })
        .await?;
    assert_eq!(moved, [true, false, true, false]);
    Ok(())
}

#[tokio::test]
async fn hosts_of_services_that_are_gone_can_be_named() -> Result<()> {
    let cases = Cases::new().await?;
    let volumes = on(&["dead@lvm#p", "h@lvm#p", "dead2@lvm#p"]);
    let moved = cases
        .moved(Dialect::MariaDb, &volumes, |conf| {
            conf.host("h")
                .backends(&["lvm"])
                .set("key_migrator", "extra_hosts", "dead@lvm,dead")
        })
        .await?;
    assert_eq!(moved, [true, true, false]);
    Ok(())
}

#[tokio::test]
async fn without_enabled_backends_the_volume_service_is_disabled_and_backups_go_on() -> Result<()> {
    let cases = Cases::new().await?;
    let cloud = cases.services.cloud(RoleWorld::AsShipped);
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&cases.services, dialect).await?;
        let volume = Volume::on("h@lvm#p").owned_by("user");
        let backups: Vec<Backup> = ["h", "h@lvm", "h2", "H"]
            .iter()
            .map(|host| Backup::on(host).owned_by("user"))
            .collect();
        database.insert(&volume).await?;
        database.insert(&backups[..]).await?;
        let conf = CinderConf::new(&cloud, &cases.cinder, &database)?
            .host("h")
            .set("key_migrator", "interval", "1")
            .unset("DEFAULT", "enabled_backends");
        let mut program = Program::start(&conf)?;
        let status = program
            .status_where(|status| {
                let state = |n: usize| status["services"][n]["state"].as_str().map(str::to_owned);
                state(0).as_deref() == Some("disabled") && state(1).as_deref() == Some("idle")
            })
            .await?;
        let reason = status["services"][0]["reason"]["message"]
            .as_str()
            .unwrap_or_default();
        assert!(reason.contains("enabled_backends"), "{status:#}");
        let mut moved = Vec::new();
        for backup in &backups {
            moved.push(!database.backup(backup.id).await?.is_zero());
        }
        assert_eq!(moved, [true, false, false, false], "{dialect:?}");
        assert!(database.volume(volume.id).await?.is_zero());
        program.terminate().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_row_without_a_user_fails_alone_until_extra_acl_users_is_set() -> Result<()> {
    let cases = Cases::new().await?;
    let cloud = cases.services.cloud(RoleWorld::AsShipped);
    let database = CinderDatabase::new(&cases.services, Dialect::MariaDb).await?;
    let orphan = Volume::on("host1@lvm#p")
        .owned_by("user")
        .column("user_id", key_migrator_tests::rows::Value::Null);
    let ordinary = Volume::on("host1@lvm#p").owned_by("user");
    database.insert(&[orphan.clone(), ordinary.clone()]).await?;
    let conf = CinderConf::new(&cloud, &cases.cinder, &database)?;
    let arguments = ["run", "--once", "--service", "volume"];
    let ended = Program::run_to_end(&conf, arguments).await?;
    assert_eq!(ended.code(), Some(1), "{:#?}", ended.lines);
    let told = format!(
        "Error migrating encryption key: volume {}: its user_id is NULL",
        orphan.id
    );
    assert!(
        ended.lines.iter().any(|line| line.contains(&told)),
        "{:#?}",
        ended.lines
    );
    assert!(!database.volume(ordinary.id).await?.is_zero());

    let reader = Uuid::new_v4().simple().to_string();
    let conf = conf.set("key_migrator", "extra_acl_users", &reader);
    let ended = Program::run_to_end(&conf, arguments).await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    Ok(())
}
