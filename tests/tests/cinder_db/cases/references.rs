//! Who refers to a secret.

use std::collections::HashSet;

use anyhow::Result;
use key_migration::ids::SecretId;
use key_migration::ports::CinderDatabase as _;
use key_migrator_tests::{Backup, CinderDatabase, Snapshot, Volume};

use super::{open, secret};

pub(crate) async fn a_reference_is_found_in_every_table_and_spelling_unless_deleted(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let parent = Volume::on("h@b").without_key();
    database.insert(&parent).await?;
    let [in_volume, in_snapshot, in_backup, shouted, bare, gone] = [(); 6].map(|()| secret());
    let snapshot = Snapshot::of(&parent).key(in_snapshot.to_string());
    let bare_digits = bare.to_string().replace('-', "");
    database
        .insert(&[
            Volume::on("h@b").key(in_volume.to_string()),
            Volume::on("h@b").key(shouted.to_string().to_uppercase()),
            Volume::on("h@b").key(bare_digits),
            Volume::on("h@b").key(gone.to_string()).deleted(),
        ])
        .await?;
    database.insert(&snapshot).await?;
    database
        .insert(&Snapshot::of(&parent).key(gone.to_string()).deleted())
        .await?;
    database
        .insert(&Backup::without_host().key(in_backup.to_string()))
        .await?;
    database
        .insert(&Backup::on("h").key(gone.to_string()).deleted())
        .await?;
    let here = [in_volume, in_snapshot, in_backup, shouted, bare];
    for referred in here {
        assert_eq!(db.referred(&[referred]).await?, [referred].into());
    }
    let stranger = secret();
    let all: Vec<_> = here.into_iter().chain([gone, stranger]).collect();
    assert_eq!(db.referred(&all).await?, here.into());
    assert_eq!(db.referred(&[gone, stranger]).await?, HashSet::new());
    assert_eq!(db.referred(&[]).await?, HashSet::new());
    Ok(())
}

pub(crate) async fn what_only_deleted_rows_refer_to_is_told_apart(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let parent = Volume::on("h@b").without_key();
    database.insert(&parent).await?;
    let [in_volume, in_snapshot, in_backup, shouted, alive] = [(); 5].map(|()| secret());
    database
        .insert(&[
            Volume::on("h@b").key(in_volume.to_string()).deleted(),
            Volume::on("h@b")
                .key(shouted.to_string().to_uppercase())
                .deleted(),
            Volume::on("h@b").key(alive.to_string()),
        ])
        .await?;
    let snapshot = Snapshot::of(&parent).key(in_snapshot.to_string()).deleted();
    database.insert(&snapshot).await?;
    database
        .insert(&Backup::on("h").key(in_backup.to_string()).deleted())
        .await?;
    let asked = [in_volume, in_snapshot, in_backup, shouted, alive, secret()];
    let deleted = db.referred_by_deleted(&asked).await?;
    assert_eq!(deleted, asked[..4].iter().copied().collect());
    assert_eq!(db.referred(&asked).await?, [alive].into());
    assert_eq!(db.referred_by_deleted(&[]).await?, HashSet::new());
    Ok(())
}

pub(crate) async fn any_number_of_secrets_is_looked_for_at_once(
    database: &CinderDatabase,
) -> Result<()> {
    let asked: Vec<SecretId> = (0..1000).map(|_| secret()).collect();
    let referred = asked.iter().step_by(3).copied();
    let volumes: Vec<_> = referred
        .clone()
        .map(|secret| Volume::on("h@b").key(secret.to_string()))
        .collect();
    database.insert(&volumes).await?;
    let found = open(database).referred(&asked).await?;
    assert_eq!(found, referred.collect());
    Ok(())
}
