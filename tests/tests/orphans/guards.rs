//! What stands in the way of a deletion, one thing at a time.

use anyhow::{Context, Result};
use key_migration::ids::{RequestId, ResourceKind, RowRef};
use key_migration::ledger::{Entry, Event};
use key_migration::ports::{Clock, Ledger as _};
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud as _, Dialect, EmulatedCloud, Program, RoleWorld, Services,
    Volume,
};
use migration_ledger::MigrationLedger;
use sandbox_cloud::{Fault, Operation, Service};
use uuid::Uuid;

use crate::orphans;
use key_migrator_tests::vault::{Author, LONG, Vault as _};

#[tokio::test]
async fn a_region_that_shares_barbican_and_project_loses_nothing_to_another() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let author = Author::new(&cloud, &cinder).await?;
    let (here, there) = (
        CinderDatabase::new(&services, Dialect::MariaDb).await?,
        CinderDatabase::new(&services, Dialect::MariaDb).await?,
    );
    let volume = Volume::on("host1@lvm#lvm");
    let used = author.store_old("volume", volume.id).await?;
    let superseded = author.store_old("volume", volume.id).await?;
    there.insert(&volume.key(used)).await?;

    let conf = CinderConf::new(&cloud, &cinder, &here)?;
    let purged = orphans(&conf, &["purge", "--execute"]).await?;
    assert_eq!((purged.code, purged.secrets.len()), (Some(0), 2));
    assert!(
        purged
            .secrets
            .iter()
            .all(|said| said["class"] == "unknown_row")
    );
    assert_eq!(
        author.those_left(&[used, superseded]).await?,
        [used, superseded]
    );

    let conf = CinderConf::new(&cloud, &cinder, &there)?;
    let purged = orphans(&conf, &["purge", "--execute"]).await?;
    assert_eq!((purged.code, purged.secrets.len()), (Some(0), 1));
    assert_eq!(author.those_left(&[used, superseded]).await?, [used]);

    // What is in another project is not even seen.
    let elsewhere = cloud.create_authorised_cinder_user().await?;
    let conf = CinderConf::new(&cloud, &elsewhere, &here)?;
    assert_eq!(orphans(&conf, &["list"]).await?.secrets.len(), 0);
    let named = used.to_string();
    let refused = orphans(&conf, &["purge", "--execute", &named]).await?;
    assert_eq!(refused.code, Some(1));
    let reason = ("kept", "Barbican does not let us see it");
    assert_eq!(refused.outcome(used), Some(reason));
    Ok(())
}

/// An emulated cloud with a superseded secret for each of so many volumes.
struct Stage {
    cloud: EmulatedCloud,
    _database: CinderDatabase,
    conf: CinderConf,
    volumes: Vec<Uuid>,
    secrets: Vec<Uuid>,
}

impl Stage {
    async fn new(volumes: usize) -> Result<Self> {
        let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
        let database = CinderDatabase::sqlite().await?;
        let cinder = cloud.create_authorised_cinder_user().await?;
        let author = Author::new(&cloud, &cinder).await?;
        let volumes: Vec<Volume> = (0..volumes)
            .map(|_| Volume::on("host1@lvm#lvm").key(Uuid::new_v4()))
            .collect();
        database.insert(&volumes).await?;
        let mut secrets = Vec::new();
        for volume in &volumes {
            secrets.push(author.store_for("volume", volume.id).await?);
        }
        let conf = CinderConf::new(&cloud, &cinder, &database)?;
        Ok(Self {
            cloud,
            _database: database,
            conf,
            volumes: volumes.iter().map(|volume| volume.id).collect(),
            secrets,
        })
    }

    async fn old(volumes: usize) -> Result<Self> {
        let stage = Self::new(volumes).await?;
        for &secret in &stage.secrets {
            stage.cloud.age(secret).await?;
        }
        Ok(stage)
    }

    fn left(&self) -> usize {
        let there = |secret: &&Uuid| self.cloud.emulation().secret(**secret).is_some();
        self.secrets.iter().filter(there).count()
    }
}

#[tokio::test]
async fn a_secret_may_go_once_barbicans_clock_says_that_a_day_has_passed() -> Result<()> {
    let stage = Stage::new(1).await?;
    let purged = orphans(&stage.conf, &["purge", "--execute"]).await?;
    let young = ("kept", "it is not yet 24 hours old");
    assert_eq!(purged.outcome(stage.secrets[0]), Some(young));
    assert_eq!((purged.code, stage.left()), (Some(0), 1));
    stage.cloud.emulation().clock().advance(LONG);
    let purged = orphans(&stage.conf, &["purge", "--execute"]).await?;
    assert_eq!(purged.outcome(stage.secrets[0]), Some(("deleted", "")));
    assert_eq!((purged.code, stage.left()), (Some(0), 0));
    Ok(())
}

#[tokio::test]
async fn what_the_ledger_has_open_is_pending_and_stays() -> Result<()> {
    let stage = Stage::old(3).await?;
    let folder = tempfile::tempdir()?;
    let state_dir = folder.path().join("state");
    let conf = stage.conf.clone();
    let conf = conf.set(
        "key_migrator",
        "state_dir",
        &state_dir.display().to_string(),
    );
    let clock = stage.cloud.emulation().clock().clone();
    let ledger = MigrationLedger::new(&state_dir, SandboxClock(clock));
    // Of the first, the row is known; of the second, under another row, the secret.
    let row = |id: Uuid| RowRef {
        kind: ResourceKind::Volume,
        id: id.to_string().into(),
    };
    let request = RequestId::random();
    ledger
        .intend("here", &row(stage.volumes[0]), request)
        .await?;
    let other = row(Uuid::new_v4());
    ledger.intend("there", &other, request).await?;
    let entry = Entry {
        row: other,
        event: Event::Stored(stage.secrets[1].to_string().parse()?),
        request,
    };
    ledger.note("there", entry);
    ledger.flush().await?;

    // The ledger is open all the while, as by a daemon.
    let named = stage.secrets[0].to_string();
    for command in [&["purge", "--execute"][..], &["purge", "--execute", &named]] {
        let purged = orphans(&conf, command).await?;
        let pending = ("kept", "it is going to be used for its row");
        assert_eq!(
            purged.outcome(stage.secrets[0]),
            Some(pending),
            "{purged:#?}"
        );
        let said = purged.of(stage.secrets[0]).context("the first")?;
        assert_eq!(said["class"], "pending");
        assert_eq!(stage.left(), 2);
    }
    let there = |secret: Uuid| stage.cloud.emulation().secret(secret).is_some();
    assert!(there(stage.secrets[0]) && there(stage.secrets[1]));

    for id in &stage.volumes {
        let lost = Event::Lost;
        let entry = |row| Entry {
            row,
            event: lost.clone(),
            request,
        };
        ledger.note("here", entry(row(*id)));
    }
    ledger.flush().await?;
    orphans(&conf, &["purge", "--execute"]).await?;
    assert!(!there(stage.secrets[0]) && there(stage.secrets[1]));
    ledger.close().await;
    Ok(())
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_keeps_everything() -> Result<()> {
    let stage = Stage::old(1).await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("ledger.sqlite"),
        "no ledger, but long enough".repeat(99),
    )?;
    let conf = stage.conf.clone();
    let conf = conf.set(
        "key_migrator",
        "state_dir",
        &folder.path().display().to_string(),
    );
    let purged = orphans(&conf, &["purge", "--execute"]).await?;
    assert_eq!((purged.code, stage.left()), (Some(2), 1), "{purged:#?}");
    let remedy = |line: &String| line.contains("Remedy: ");
    assert!(purged.log.iter().any(remedy), "{:#?}", purged.log);
    Ok(())
}

/// The sandbox's clock as the ledger reads it.
struct SandboxClock(sandbox_cloud::Clock);

impl Clock for SandboxClock {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
}

#[tokio::test]
async fn one_that_fails_does_not_hold_the_others_and_shows_in_the_exit_code() -> Result<()> {
    let stage = Stage::old(3).await?;
    let emulation = stage.cloud.emulation();
    emulation.inject(Operation::DeleteSecret, Fault::status_before(500), 1);
    let purged = orphans(&stage.conf, &["purge", "--execute"]).await?;
    assert_eq!((purged.code, stage.left()), (Some(2), 1), "{purged:#?}");
    let failed: Vec<_> = purged
        .secrets
        .iter()
        .filter(|said| said["outcome"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{purged:#?}");
    assert_eq!(failed[0]["reason"], "Fault: This fault was asked for.");
    let told = |line: &String| line.contains("Deleting secret ") && line.contains(" failed: ");
    assert!(purged.log.iter().any(told), "{:#?}", purged.log);
    let purged = orphans(&stage.conf, &["purge", "--execute"]).await?;
    assert_eq!((purged.code, stage.left()), (Some(0), 0));
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_gone_ends_the_command_with_its_remedy() -> Result<()> {
    let stage = Stage::old(2).await?;
    let emulation = stage.cloud.emulation();
    let user = emulation.secrets()[0].clone();
    emulation.revoke_role(&user.creator_id, &user.project_id, "member");
    emulation.revoke_all_tokens();
    for command in [&["list"][..], &["purge", "--execute"]] {
        let said = orphans(&stage.conf, command).await?;
        assert_eq!(said.code, Some(2), "{said:#?}");
        let remedy = |line: &String| line.contains("Remedy: openstack role add --user cinder");
        assert!(said.log.iter().any(remedy), "{:#?}", said.log);
    }
    assert_eq!(stage.left(), 2);
    emulation.stop(Service::Barbican).await;
    let said = orphans(&stage.conf, &["list"]).await?;
    assert_eq!(said.code, Some(2), "{said:#?}");
    Ok(())
}

#[tokio::test]
async fn people_get_a_table_and_no_key() -> Result<()> {
    let stage = Stage::old(1).await?;
    let ended = Program::run_to_end(&stage.conf, ["orphans", "list"]).await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    let row = format!(
        "| {} | superseded | volume {} | 1d 1h | yes       |",
        stage.secrets[0], stage.volumes[0]
    );
    assert!(ended.lines.contains(&row), "{row}: {:#?}", ended.lines);
    let ended = Program::run_to_end(&stage.conf, ["orphans", "purge"]).await?;
    let dry = "Nothing was deleted. With --execute it would be.";
    assert!(
        ended.lines.iter().any(|line| line == dry),
        "{:#?}",
        ended.lines
    );
    assert!(!ended.lines.concat().contains(FIXED_KEY));
    assert_eq!(stage.left(), 1);
    Ok(())
}

#[tokio::test]
async fn an_id_that_is_none_is_a_usage_error_and_a_missing_option_one_of_the_configuration()
-> Result<()> {
    let stage = Stage::new(0).await?;
    let ended = Program::run_to_end(&stage.conf, ["orphans", "purge", "7b"]).await?;
    assert_eq!(ended.code(), Some(64), "{:#?}", ended.lines);
    let conf = stage.conf.clone().unset("keystone_authtoken", "auth_url");
    let ended = Program::run_to_end(&conf, ["orphans", "list"]).await?;
    assert_eq!(ended.code(), Some(78), "{:#?}", ended.lines);
    Ok(())
}
