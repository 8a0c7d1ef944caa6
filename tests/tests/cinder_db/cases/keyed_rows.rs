//! What an audit sees of rows that hold keys.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use cinder_db::CinderDb;
use cinder_db::audit::{KeyedRow, Whose};
use key_migration::ids::{ResourceKind, RowId, SecretId};
use key_migration::rows::{RowKey, Scope};
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume};
use uuid::Uuid;

use super::{clustered, host, open, row_id, row_ref, secret};

const KINDS: [ResourceKind; 3] = [
    ResourceKind::Volume,
    ResourceKind::Snapshot,
    ResourceKind::Backup,
];

pub(crate) async fn what_holds_a_key_is_told_with_all_who_need_it(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let origin = Uuid::new_v4();
    let [of_volume, of_snapshot, of_backup] = [(); 3].map(|()| secret());
    let volume = Volume::on("h@b#p")
        .owned_by("ada")
        .key(of_volume.to_string())
        .column("display_name", "image-7")
        .column("source_volid", origin)
        .migration_status("success");
    let snapshot = Snapshot::of(&volume)
        .owned_by("ben")
        .key(of_snapshot.to_string());
    let backup = Backup::on("h").of(&volume).owned_by("cyd");
    database
        .insert(&volume.clone().with_snapshot(snapshot.clone()))
        .await?;
    database
        .insert(&[
            backup.clone().key(of_backup.to_string()),
            Backup::on("h").of(&volume).owned_by("dan").deleted(),
            Backup::on("h").of(&volume).owned_by("cyd"),
        ])
        .await?;
    for unkeyed in [
        Volume::on("h@b"),
        Volume::on("h@b").without_key(),
        Volume::on("h@b").key(secret().to_string()).deleted(),
    ] {
        database.insert(&unkeyed).await?;
    }

    let seen = only(&db, ResourceKind::Volume).await?;
    assert_eq!(seen.row, row_ref(ResourceKind::Volume, volume.id));
    assert!(seen.key.is(of_volume));
    assert_eq!(seen.user_id, Some("ada".into()));
    assert_eq!(seen.project_id.as_deref(), Some("project"));
    assert_eq!(seen.host.as_deref(), Some("h@b#p"));
    assert_eq!(seen.status.status.as_deref(), Some("available"));
    assert_eq!(seen.status.migration_status.as_deref(), Some("success"));
    assert_eq!(seen.display_name.as_deref(), Some("image-7"));
    assert_eq!(seen.origin, Some(row_id(origin)));
    assert_eq!(seen.dependent_users, ["ben", "cyd"].map(Into::into).into());
    assert_eq!(seen.volume, None);

    let seen = only(&db, ResourceKind::Snapshot).await?;
    assert_eq!(seen.row, row_ref(ResourceKind::Snapshot, snapshot.id));
    assert!(seen.key.is(of_snapshot));
    assert_eq!(seen.user_id, Some("ben".into()));
    assert_eq!(seen.host.as_deref(), Some("h@b#p"));
    let its_volume = seen.volume.context("its volume")?;
    assert_eq!(its_volume.id, row_id(volume.id));
    assert!(its_volume.key.is(of_volume));
    assert_eq!(its_volume.user_id, Some("ada".into()));

    let seen = only(&db, ResourceKind::Backup).await?;
    assert_eq!(seen.row, row_ref(ResourceKind::Backup, backup.id));
    assert!(seen.key.is(of_backup));
    assert_eq!(seen.origin, Some(row_id(volume.id)));
    assert_eq!(seen.host.as_deref(), Some("h"));
    Ok(())
}

pub(crate) async fn a_host_sees_its_own_rows_and_the_snapshots_of_its_volumes(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let keyed = |volume: Volume| {
        let snapshot = Snapshot::of(&volume).key(secret().to_string());
        volume.key(secret().to_string()).with_snapshot(snapshot)
    };
    let ours = [
        keyed(Volume::on("h@b")),
        keyed(Volume::on("h@b#pool")),
        keyed(Volume::on_cluster("c@d#pool", "x@d")),
        keyed(Volume::on("h@d")),
    ];
    let others = [
        keyed(Volume::on("H@b")),
        keyed(Volume::on("h@bb")),
        keyed(Volume::on_cluster("c@dd", "h@d")),
        keyed(Volume::without_host()),
    ];
    let backups = [Backup::on("h"), Backup::on("H"), Backup::without_host()]
        .map(|backup| backup.key(secret().to_string()));
    database.insert(&ours).await?;
    database.insert(&others).await?;
    database.insert(&backups).await?;

    let scopes = [
        Scope::Volumes(vec![host("h@b"), clustered("c@d", "h@d")]),
        Scope::Backups(vec!["h".into()]),
    ];
    let volumes = ours.iter().map(|volume| volume.id);
    let snapshots = ours.iter().flat_map(Volume::snapshot_ids);
    let expected: [BTreeSet<RowId>; 3] = [
        volumes.map(row_id).collect(),
        snapshots.map(row_id).collect(),
        [row_id(backups[0].id)].into(),
    ];
    for (kind, expected) in KINDS.into_iter().zip(expected) {
        let whose = Whose::Of(&scopes);
        let seen = db.keyed_rows(kind, whose, None, 100).await?;
        let seen: BTreeSet<RowId> = seen.into_iter().map(|row| row.row.id).collect();
        assert_eq!(seen, expected, "{kind}");
        let count = db.count_keyed_rows(kind, whose).await?;
        assert_eq!(count, expected.len() as u64, "{kind}");
        assert_eq!(db.count_keyed_rows(kind, Whose::Of(&[])).await?, 0);
    }
    let everybody = db.count_keyed_rows(ResourceKind::Volume, Whose::Everybody);
    assert_eq!(everybody.await?, 8);
    Ok(())
}

pub(crate) async fn keyed_rows_come_page_by_page_and_none_is_left_out(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let volumes: Vec<_> = (0..7)
        .map(|_| {
            let volume = Volume::on("h@b").key(secret().to_string());
            let snapshot = Snapshot::of(&volume).key(secret().to_string());
            volume.with_snapshot(snapshot)
        })
        .collect();
    database.insert(&volumes).await?;
    for kind in [ResourceKind::Volume, ResourceKind::Snapshot] {
        let mut rows: Vec<KeyedRow> = Vec::new();
        let mut ids: Vec<RowId> = Vec::new();
        loop {
            let after = rows.last().map(|row| row.row.id.clone());
            let page = db.keyed_rows(kind, Whose::Everybody, after.as_ref(), 3);
            let page = page.await?;
            let named = db.keyed_row_ids(kind, Whose::Everybody, after.as_ref(), 3);
            ids.extend(named.await?);
            rows.extend(page.clone());
            if page.len() < 3 {
                break;
            }
        }
        let seen: Vec<RowId> = rows.iter().map(|row| row.row.id.clone()).collect();
        assert_eq!(seen, ids);
        assert!(ids.is_sorted());
        let expected: BTreeSet<RowId> = match kind {
            ResourceKind::Volume => volumes.iter().map(|volume| row_id(volume.id)).collect(),
            _ => volumes
                .iter()
                .flat_map(Volume::snapshot_ids)
                .map(row_id)
                .collect(),
        };
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    Ok(())
}

pub(crate) async fn a_row_that_is_named_is_told_whatever_it_holds(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let volumes = [
        Volume::on("h@b"),
        Volume::on("h@b").without_key(),
        Volume::without_host().key("no UUID"),
        Volume::on("h@b").deleted(),
    ];
    database.insert(&volumes).await?;
    let mut ids: Vec<RowId> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    ids.extend((0..600).map(|_| row_id(Uuid::new_v4())));
    let seen = db.keyed_rows_named(ResourceKind::Volume, &ids).await?;
    let key_of = |id: Uuid| {
        let row = seen.iter().find(|row| row.row.id == row_id(id));
        row.map(|row| row.key.clone())
    };
    assert_eq!(key_of(volumes[0].id), Some(RowKey::AllZeros));
    assert_eq!(key_of(volumes[1].id), Some(RowKey::Null));
    assert_eq!(
        key_of(volumes[2].id),
        Some(RowKey::from_column(Some("no UUID".into())))
    );
    assert_eq!(key_of(volumes[3].id), None);
    assert_eq!(seen.len(), 3);
    Ok(())
}

pub(crate) async fn a_secret_of_two_owners_is_found_in_every_spelling(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let [twice, shouted, with_backup, elsewhere, alone] = [(); 5].map(|()| secret());
    let volume = |key: String| Volume::on("h@b").key(key);
    let bystander = volume(secret().to_string());
    let strays = Snapshot::of(&bystander).key(elsewhere.to_string());
    let volumes = [
        volume(twice.to_string()),
        volume(twice.to_string()),
        volume(shouted.to_string()),
        volume(shouted.to_string().replace('-', "").to_uppercase()),
        volume(with_backup.to_string()),
        volume(elsewhere.to_string()),
        volume(alone.to_string()),
        volume(alone.to_string()).deleted(),
        bystander.with_snapshot(strays),
        volume("no UUID".into()),
        volume("no UUID".into()),
        Volume::on("h@b"),
        Volume::on("h@b"),
    ];
    database.insert(&volumes).await?;
    let backup = Backup::on("h").key(with_backup.to_string());
    database.insert(&backup).await?;

    let mut found = Vec::new();
    let mut after: Option<SecretId> = None;
    loop {
        let page = db.shared_secrets(after, 3).await?;
        after = page.last().map(|shared| shared.secret);
        let is_last = page.len() < 3;
        found.extend(page);
        if is_last {
            break;
        }
    }
    let secrets: BTreeSet<SecretId> = found.iter().map(|shared| shared.secret).collect();
    assert_eq!(secrets, [twice, shouted, with_backup, elsewhere].into());
    assert_eq!(found.len(), 4);
    for shared in &found {
        assert_eq!(shared.rows, 2, "{shared:?}");
        assert_ne!(shared.owners[0], shared.owners[1]);
    }
    let pair = found.iter().find(|shared| shared.secret == twice);
    let owners: BTreeSet<RowId> = pair.context("it")?.owners.iter().cloned().collect();
    assert_eq!(
        owners,
        volumes[..2].iter().map(|it| row_id(it.id)).collect()
    );
    Ok(())
}

pub(crate) async fn what_cinder_itself_lets_share_a_secret_is_not_reported(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let secrets = [(); 4].map(|()| secret().to_string());
    let volume = |key: &String| Volume::on("h@b").key(key.clone());
    let source = volume(&secrets[0]);
    let snapshots = [(); 2].map(|()| Snapshot::of(&source).key(secrets[0].clone()));
    let [one, other] = snapshots;
    let target = format!("target:{}", source.id);
    let rows = [
        source.with_snapshot(one).with_snapshot(other),
        volume(&secrets[0]).migration_status(&target),
        volume(&secrets[1]),
        volume(&secrets[1]).migration_status("deleting"),
        volume(&secrets[2]),
        volume(&secrets[2]).column("display_name", format!("image-{}", Uuid::new_v4())),
    ];
    database.insert(&rows).await?;
    assert_eq!(db.shared_secrets(None, 100).await?, []);
    // A name that only looks like an image's does not hide anything.
    let named = [volume(&secrets[3]), volume(&secrets[3])];
    let [one, other] = named.map(|volume| volume.column("display_name", "image-of-mine"));
    database.insert(&[one, other]).await?;
    assert_eq!(db.shared_secrets(None, 100).await?.len(), 1);
    Ok(())
}

async fn only(db: &CinderDb, kind: ResourceKind) -> Result<KeyedRow> {
    let mut rows = db.keyed_rows(kind, Whose::Everybody, None, 10).await?;
    anyhow::ensure!(rows.len() == 1, "{rows:?}");
    rows.pop().context("one row")
}
