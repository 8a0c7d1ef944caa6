//! `--mend-acl`: who needs a row's key and may not read its secret is let, and nobody else loses
//! anything.

use anyhow::Result;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{Cloud, Dialect, RoleWorld, Scene, Signal, Snapshot, User, Volume};
use uuid::Uuid;

use crate::{Said, evidence, fixed_key, name_of, verify, verify_as};

const MEND: [&str; 3] = ["--all-hosts", "--mend-acl", "--execute"];

async fn assert_cannot_read(scene: &Scene, user: &User, secret: Uuid) {
    let refused = scene.read_by(user, secret).await;
    assert!(refused.is_err(), "{} reads {secret}", user.user_id);
}

fn rows(said: &Said) -> [u64; 3] {
    ["wrong", "mendable", "mended"].map(|what| said.count(what))
}

#[tokio::test]
async fn a_user_who_is_added_to_the_configuration_reads_what_was_stored_before() -> Result<()> {
    for (world, dialect) in [
        (RoleWorld::AsShipped, Dialect::MariaDb),
        (RoleWorld::Creator, Dialect::Postgres),
    ] {
        let scene = Scene::set(world, dialect).await?;
        let service = scene.cloud.create_owner().await?;
        let volume = scene.volume().with_snapshots(2);
        let backup = scene.backup();
        scene.database.insert(&volume).await?;
        scene.database.insert(&backup).await?;
        let mut daemon = scene.starts(&["run"])?;
        daemon
            .status_where(|status| status["global"]["volumes"] == 0)
            .await?;
        daemon
            .status_where(|status| status["global"]["backups"] == 0)
            .await?;
        let secrets = [
            scene.secret_of(&volume).await?,
            scene.database.backup(backup.id).await?.secret_id(),
        ];

        let id = &service.user_id;
        let conf = scene
            .conf
            .clone()
            .set("key_migrator", "extra_acl_users", id);
        daemon.reconfigure(&conf)?;
        daemon.signal(Signal::HUP)?;
        daemon
            .line("cinder-key-migrator verify --all-hosts --mend-acl --execute")
            .await?;
        daemon.terminate().await?;

        let incomplete = [
            volume.id,
            volume.snapshot_ids()[0],
            volume.snapshot_ids()[1],
        ];
        let incomplete = [&incomplete[..], &[backup.id]].concat();
        let wrong: Vec<_> = incomplete
            .iter()
            .map(|row| (*row, &["acl_incomplete"][..]))
            .collect();
        let dry = verify_as(&scene, &conf, &MEND[..2]).await?;
        dry.assert_wrong(&wrong);
        assert_eq!(rows(&dry), [4, 4, 0]);
        for secret in secrets {
            assert_cannot_read(&scene, &service, secret).await;
        }
        let told = scene.types_with(&conf, &["verify", "--mend-acl"]).await?;
        told.exits_with(1)?;
        told.shows("Nothing was changed: --execute would complete the ACL of 4 of the wrong ones")?;

        let said = verify_as(&scene, &conf, &MEND).await?;
        said.assert_right(4);
        // The volume's snapshots have its secret.
        assert_eq!(rows(&said), [0, 0, 2]);
        assert!(evidence(&scene).exists());
        for secret in secrets {
            assert_eq!(scene.read_by(&service, secret).await?, FIXED_KEY);
            assert_eq!(scene.read_by(&scene.owner, secret).await?, FIXED_KEY);
            let line = format!("Completed who may read secret {secret} of ");
            let told = said.log.iter().filter(|told| told.contains(&line));
            assert_eq!(told.count(), 1, "{:#?}", said.log);
        }
        // What is right already is left alone.
        let said = verify_as(&scene, &conf, &MEND).await?;
        said.assert_right(4);
        assert_eq!(rows(&said), [0, 0, 0]);
    }
    Ok(())
}

#[tokio::test]
async fn who_snapshots_what_cinder_migrated_reads_it_and_nobody_is_taken_off() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let other = scene.cloud.create_owner().await?;
    let volume = scene.volume();
    scene.database.insert(&volume).await?;
    let mut upstream = Upstream::start(&scene.services, &scene.conf).await?;
    upstream.migrate(UpstreamService::Volume).await?;
    upstream.end().await?;
    let secret = scene.secret_of(&volume).await?;
    scene
        .let_read(secret, &[&scene.owner.user_id, "a friend"])
        .await?;
    let snapshot = Snapshot::of(&volume)
        .owned_by(&other)
        .key(secret.to_string());
    scene.database.insert(&snapshot).await?;
    assert_cannot_read(&scene, &other, secret).await;

    let id = volume.id.to_string();
    let said = verify(&scene, &["--mend-acl", "--execute", &id]).await?;
    said.assert_right(1);
    assert_eq!(rows(&said), [0, 0, 1]);
    assert_eq!(scene.read_by(&other, secret).await?, FIXED_KEY);
    let mut readers = vec![
        "a friend".to_owned(),
        scene.owner.user_id.clone(),
        other.user_id.clone(),
    ];
    readers.sort();
    assert_eq!(scene.readers(secret).await?, readers);
    verify(&scene, &["--all-hosts"]).await?.assert_right(2);
    Ok(())
}

#[tokio::test]
async fn an_acl_is_left_alone_where_anything_else_is_wrong_or_the_key_is_its_owners() -> Result<()>
{
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let [wrong, swapped, other, shared, sharing] = [(); 5].map(|()| scene.volume());
    let all = [&wrong, &swapped, &other, &shared, &sharing].map(Volume::clone);
    scene.database.insert(&all).await?;
    scene.migrates_all().await?;
    let mut key = fixed_key();
    key[0] ^= 1;
    let secret = scene.store(&scene.cinder, name_of(&wrong), &key).await?;
    scene.point("volumes", wrong.id, secret).await?;
    let secrets = [
        secret,
        scene.secret_of(&other).await?,
        scene.secret_of(&swapped).await?,
        scene.secret_of(&shared).await?,
    ];
    scene.point("volumes", swapped.id, secrets[1]).await?;
    scene.point("volumes", other.id, secrets[2]).await?;
    scene.point("volumes", sharing.id, secrets[3]).await?;
    // Cinder's own user has a volume; its key looks as upstream's do but for the bytes.
    let own = scene
        .store(&scene.cinder, None, b"another key.....")
        .await?;
    let volume = scene.volume().owned_by(&scene.cinder).key(own.to_string());
    scene.database.insert(&volume).await?;
    for secret in secrets {
        scene.let_read(secret, &["a friend"]).await?;
    }

    let said = verify(&scene, &MEND).await?;
    said.assert_wrong(&[
        (wrong.id, &["wrong_key", "acl_incomplete"]),
        (swapped.id, &["swapped", "acl_incomplete"]),
        (other.id, &["swapped", "acl_incomplete"]),
        (shared.id, &["acl_incomplete", "shared"]),
        (sharing.id, &["swapped", "acl_incomplete", "shared"]),
    ]);
    assert_eq!(rows(&said), [5, 0, 0]);
    assert_eq!(said.count("not_migrated"), 1);
    for secret in secrets {
        assert_eq!(scene.readers(secret).await?, ["a friend"]);
    }
    let acl = scene.readers(own).await?;
    assert_eq!(acl, Vec::<String>::new());
    Ok(())
}
