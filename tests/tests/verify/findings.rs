//! What it must catch, and what it must let pass.

use anyhow::Result;
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{Backup, Cloud, Dialect, RoleWorld, Scene, Services, Snapshot, Volume};
use reqwest::Method;
use uuid::Uuid;

use crate::{fixed_key, name_of, verify};

#[tokio::test]
async fn what_we_migrated_and_what_cinder_migrated_passes_and_tenants_keys_are_left_alone()
-> Result<()> {
    for (world, dialect) in [
        (RoleWorld::AsShipped, Dialect::MariaDb),
        (RoleWorld::Creator, Dialect::Postgres),
    ] {
        let scene = Scene::set(world, dialect).await?;
        scene
            .cloud
            .grant(&scene.owner, world.storing_role())
            .await?;
        let by_cinder = scene.volume().with_snapshots(2);
        let backup_by_cinder = scene.backup();
        scene.database.insert(&by_cinder).await?;
        scene.database.insert(&backup_by_cinder).await?;
        let mut upstream = Upstream::start(&Services::from_env(), &scene.conf).await?;
        upstream.migrate(UpstreamService::Volume).await?;
        upstream.migrate(UpstreamService::Backup).await?;
        upstream.end().await?;
        verify(&scene, &[]).await?.assert_right(4);

        // Later on somebody else takes a snapshot and a backup of one of ours.
        let ours = scene.volume();
        let snapshot = Snapshot::of(&ours).owned_by("somebody");
        let backup = Backup::on("host1").of(&ours).owned_by("another");
        // Cinder's volumes of its own user have keys of their own that look like upstream's.
        let secret = scene
            .store(&scene.cinder, None, b"another key.....")
            .await?;
        let own = scene.volume().owned_by(&scene.cinder).key(secret);
        let secret = scene.store(&scene.owner, None, b"a tenant's key..").await?;
        let tenants = scene.volume().key(secret);
        // A clone carries the name of the secret that it was cloned from.
        let secret = scene
            .store(&scene.owner, name_of(&ours), &fixed_key())
            .await?;
        let clone = scene.volume().key(secret);
        let elsewhere = Volume::on("host2@lvm#lvm").without_key();
        scene
            .database
            .insert(&[ours.with_snapshot(snapshot), own, tenants, clone, elsewhere])
            .await?;
        scene.database.insert(&backup).await?;
        scene.migrates_all().await?;

        let said = verify(&scene, &["--all-hosts"]).await?;
        said.assert_right(7);
        assert_eq!(said.count("migrated_upstream"), 4, "{:#}", said.report);
        assert_eq!(said.count("migrated_here"), 3);
        assert_eq!(said.count("not_migrated"), 3);
        assert_eq!(said.report["scope"], "all hosts");
        assert_eq!(said.report["complete"], true);
        verify(&scene, &[]).await?.assert_right(7);
    }
    Ok(())
}

#[tokio::test]
async fn a_swapped_a_deleted_a_wrong_and_a_shared_secret_and_an_acl_without_the_user_are_caught()
-> Result<()> {
    for (world, dialect) in [
        (RoleWorld::AsShipped, Dialect::MariaDb),
        (RoleWorld::Creator, Dialect::Sqlite),
    ] {
        let scene = Scene::set(world, dialect).await?;
        let owner = &*scene.owner.user_id;
        let volumes: Vec<Volume> = (0..9).map(|_| scene.volume()).collect();
        let [
            one,
            other,
            deleted,
            wrong,
            unreadable,
            shared,
            sharing,
            stray,
            bystander,
        ] = <[Volume; 9]>::try_from(volumes).expect("nine");
        let foreign = Snapshot::of(&unreadable).owned_by("somebody");
        let strays = Snapshot::of(&stray);
        let unreadable = unreadable.with_snapshot(foreign.clone());
        let stray = stray.with_snapshot(strays.clone());
        let backup = scene.backup();
        let rows = [
            one.clone(),
            other.clone(),
            deleted.clone(),
            wrong.clone(),
            unreadable.clone(),
            shared.clone(),
            sharing.clone(),
            stray.clone(),
            bystander.clone(),
        ];
        scene.database.insert(&rows).await?;
        scene.database.insert(&backup).await?;
        scene.migrates_all().await?;
        verify(&scene, &["--all-hosts"]).await?.assert_right(12);

        // Both hold the same bytes: only their names tell.
        let [first, second] = [scene.secret_of(&one).await?, scene.secret_of(&other).await?];
        scene.point("volumes", one.id, second).await?;
        scene.point("volumes", other.id, first).await?;

        let path = format!("/{}", scene.secret_of(&deleted).await?);
        let gone = scene.barbican(&scene.cinder, Method::DELETE, &path, None);
        gone.await?;

        let mut key = fixed_key();
        key[31] ^= 1;
        let secret = scene.store(&scene.cinder, name_of(&wrong), &key).await?;
        scene.let_read(secret, &[owner]).await?;
        scene.point("volumes", wrong.id, secret).await?;

        let secret = scene.secret_of(&unreadable).await?;
        scene.let_read(secret, &[owner]).await?;

        let secret = scene.secret_of(&shared).await?;
        scene.point("volumes", sharing.id, secret).await?;

        let secret = scene.secret_of(&bystander).await?;
        scene.point("snapshots", strays.id, secret).await?;

        // A snapshot whose volume's secret it may read by itself is not wrong for its volume's.
        let all: [(Uuid, &[&str]); 10] = [
            (one.id, &["swapped"]),
            (other.id, &["swapped"]),
            (deleted.id, &["missing"]),
            (wrong.id, &["wrong_key"]),
            (unreadable.id, &["acl_incomplete"]),
            (foreign.id, &["acl_incomplete"]),
            (shared.id, &["shared"]),
            (sharing.id, &["swapped", "shared"]),
            (strays.id, &["swapped", "snapshot_elsewhere", "shared"]),
            (bystander.id, &["shared"]),
        ];
        let said = verify(&scene, &["--all-hosts"]).await?;
        said.assert_wrong(&all);
        assert_eq!(said.count("verified"), 2, "{:#}", said.report);
        verify(&scene, &[]).await?.assert_wrong(&all);
        for (row, codes) in all {
            let said = verify(&scene, &[&row.to_string()]).await?;
            said.assert_wrong(&[(row, codes)]);
        }

        // Each is right again once it is put right.
        scene.point("volumes", one.id, first).await?;
        scene.point("volumes", other.id, second).await?;
        let named = [one.id.to_string(), other.id.to_string()];
        let said = verify(&scene, &[&named[0], &named[1]]).await?;
        said.assert_right(2);
    }
    Ok(())
}

#[tokio::test]
async fn what_cinders_migrator_left_wrong_is_caught_too() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let owner = &*scene.owner.user_id;
    let [wrong, unreadable, stray] = [(); 3].map(|()| scene.volume().with_snapshots(1));
    let rows = [wrong.clone(), unreadable.clone(), stray.clone()];
    scene.database.insert(&rows).await?;
    let mut upstream = Upstream::start(&Services::from_env(), &scene.conf).await?;
    upstream.migrate(UpstreamService::Volume).await?;
    upstream.end().await?;
    verify(&scene, &[]).await?.assert_right(6);

    let secret = scene
        .store(&scene.cinder, None, b"of another host's fixed_key")
        .await?;
    scene.let_read(secret, &[owner]).await?;
    scene.point("volumes", wrong.id, secret).await?;
    scene
        .point("snapshots", wrong.snapshot_ids()[0], secret)
        .await?;
    let secret = scene.secret_of(&unreadable).await?;
    scene.let_read(secret, &[]).await?;
    let secret = scene.store(&scene.cinder, None, &fixed_key()).await?;
    scene.let_read(secret, &[owner]).await?;
    let strays = stray.snapshot_ids()[0];
    scene.point("snapshots", strays, secret).await?;
    verify(&scene, &[]).await?.assert_wrong(&[
        (wrong.id, &["wrong_key"]),
        (wrong.snapshot_ids()[0], &["wrong_key"]),
        (unreadable.id, &["acl_incomplete"]),
        (unreadable.snapshot_ids()[0], &["acl_incomplete"]),
        (strays, &["snapshot_elsewhere"]),
    ]);
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_named_is_looked_at_wherever_it_is_and_whatever_it_holds() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let migrated = scene.volume().with_snapshots(1);
    let backup = scene.backup();
    let zero = scene.volume_on("host2@lvm#lvm");
    let plain = Volume::without_host().without_key();
    let malformed = Volume::without_host().key("no UUID");
    scene
        .database
        .insert(&[migrated.clone(), plain.clone()])
        .await?;
    scene.database.insert(&backup).await?;
    scene.migrates_all().await?;
    scene
        .database
        .insert(&[zero.clone(), malformed.clone()])
        .await?;

    let right =
        [migrated.id, migrated.snapshot_ids()[0], backup.id, plain.id].map(|id| id.to_string());
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    let said = verify(&scene, &right).await?;
    said.assert_right(3);
    assert_eq!(said.count("not_migrated"), 1);
    assert_eq!(said.report["scope"], "named rows");

    let absent = Uuid::new_v4();
    let wrong = [zero.id, malformed.id, absent].map(|id| id.to_string());
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let said = verify(&scene, &[&right[..], &wrong].concat()).await?;
    said.assert_wrong(&[
        (zero.id, &["at_zeros"]),
        (malformed.id, &["malformed"]),
        (absent, &["no_such_row"]),
    ]);
    assert_eq!(said.count("verified"), 3);
    Ok(())
}
