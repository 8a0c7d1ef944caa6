//! The whole answer.

use anyhow::{Context, Result};
use key_migration::verdict::{Finding, Item};
use key_migrator_tests::{
    Backup, CinderDatabase, Cloud, Dialect, EmulatedCloud, ImageMetadata, RoleWorld, Service,
    Services, Snapshot, Volume, ZERO_KEY,
};
use serde_json::Value;

use crate::backups::Stored;
use crate::{ATTEST, House, KEY};

/// Inserts one thing that is in the way, and says what it is.
struct Blocker {
    item: Item,
    state: &'static str,
    count: Option<u64>,
    words: &'static [&'static str],
}

#[tokio::test]
async fn the_answer_is_yes_where_everything_is_done_looked_at_and_attested() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let house = done(&cloud, database).await?;
    let database = &house.scene.database;
    let volumes = [
        Volume::on("host1@lvm#lvm").key(KEY),
        Volume::on("host1@lvm#lvm").without_key(),
    ];
    database.insert(&volumes).await?;
    let stored = Stored::of(&[&volumes[0], &volumes[1]]);
    stored.write(&house).await?;
    let said = house.audit(&ATTEST).await?;
    assert_eq!((said.code, said.verdict()), (Some(0), "yes"), "{said:#?}");
    for item in Item::ALL {
        let state = match item.is_for_people_only() || item == Item::EphemeralDisks {
            true => "attested",
            false => "clear",
        };
        said.assert_item(item, state, None, &[]);
    }
    let message = said.report["message"].as_str().unwrap_or_default();
    for words in [
        "may leave the configuration files",
        "keep it offline",
        "must stay",
    ] {
        assert!(message.contains(words), "{message}");
    }
    // It is kept: the next one needs no attestation, and the daemon says the same.
    assert_eq!(house.audit(&[]).await?.verdict(), "yes");
    let mut program = house.scene.starts(&["run"])?;
    let said = |status: &Value| status["fixed_key"]["verdict"] == "yes";
    program.status_where(said).await?;
    let (_, metrics) = program.page("/metrics").await?;
    let line = "cinder_key_migrator_fixed_key_verdict{verdict=\"yes\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    program.terminate().await?;
    Ok(())
}

/// A cloud with migrated rows and images, and somebody who answers for Nova.
async fn done<C: Cloud + Clone>(cloud: &C, database: CinderDatabase) -> Result<House<C>> {
    let house = House::new(cloud, database).await?;
    let database = &house.scene.database;
    let encrypted = Volume::on("host1@lvm#lvm").key(KEY).with_snapshots(0);
    let snapshot = Snapshot::of(&encrypted).key(KEY);
    let encrypted = encrypted.with_snapshot(snapshot);
    let plain = Volume::on("host1@lvm#lvm").without_key();
    database.insert(&[encrypted.clone(), plain.clone()]).await?;
    database
        .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
        .await?;
    let image = ImageMetadata::of_volume(encrypted.id, "cinder_encryption_key_id", ZERO_KEY);
    database.insert(&image).await?;
    house.glance.add(Some(KEY), false);
    house.glance.add(None, true);
    house.verified()?;
    let attested = house
        .audit(&["--attested-by", "ada", "--attest", "ephemeral_disks"])
        .await?;
    assert_eq!(attested.verdict(), "unknown", "{attested:#?}");
    Ok(house)
}

#[tokio::test]
async fn each_single_blocker_is_told_by_name_and_number() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let found = |item, words| Blocker {
        item,
        state: "blocking",
        count: Some(1),
        words,
    };
    for blocker in [
        found(Item::Volumes, &["1 volume(s) on all hosts"]),
        found(Item::Snapshots, &["1 snapshot(s) on all hosts"]),
        found(Item::Backups, &["1 backup(s) on all hosts"]),
        found(Item::OldBackups, &["1 backup is on the fixed key"]),
        found(Item::Images, &["1 image on the fixed key"]),
        found(
            Item::VolumeImageMetadata,
            &["openstack volume unset --image-property cinder_encryption_key_id"],
        ),
        found(Item::EphemeralDisks, &["1 instance has an ephemeral disk"]),
        found(Item::Configuration, &["as a test says"]),
        found(Item::Payloads, &["as a test says"]),
        Blocker {
            item: Item::BackupRecords,
            state: "unknown",
            count: None,
            words: &["--attest"],
        },
    ] {
        let database = CinderDatabase::sqlite().await?;
        let house = done(&cloud, database).await?;
        let arguments = block(&house, blocker.item).await?;
        let said = house.audit(&arguments).await?;
        let verdict = match blocker.state {
            "blocking" => "no",
            other => other,
        };
        let context = || format!("{said:#?}");
        assert_eq!(said.code, Some(1), "{}", context());
        assert_eq!(said.verdict(), verdict, "{}", context());
        said.assert_item(blocker.item, blocker.state, blocker.count, blocker.words);
        let others = Item::ALL.into_iter().filter(|item| *item != blocker.item);
        for other in others {
            let (state, ..) = said.item(other);
            // What was verified is not all there is, as long as rows are at zeros.
            let follows = other == Item::Payloads && blocker.item < Item::UnownedRows;
            assert!(
                matches!(state, "clear" | "attested") || follows,
                "{other:?}: {}",
                context()
            );
        }
    }
    Ok(())
}

/// Puts one thing in the way; answers with what to audit with.
async fn block<C: Cloud>(house: &House<C>, item: Item) -> Result<Vec<&'static str>> {
    let database = &house.scene.database;
    let plain = Volume::on("host1@lvm#lvm").without_key();
    match item {
        Item::Volumes => database.insert(&Volume::on("host1@lvm#lvm")).await?,
        Item::Snapshots => {
            database.insert(&plain).await?;
            database.insert(&Snapshot::of(&plain)).await?;
        }
        Item::Backups => database.insert(&Backup::on("host1")).await?,
        Item::OldBackups => {
            // Its volume was deleted when it was still at zeros.
            let volume = Volume::on("host1@lvm#lvm").deleted();
            let written = volume.clone().column("deleted", false);
            database.insert(&written).await?;
            let stored = Stored::of(&[&written]);
            stored.write(house).await?;
            let delete = format!("UPDATE volumes SET deleted = 1 WHERE id = '{}'", volume.id);
            database.execute(&delete).await?;
        }
        Item::Images => drop(house.glance.add(Some(ZERO_KEY), true)),
        Item::VolumeImageMetadata => {
            database.insert(&plain).await?;
            let property = "cinder_encryption_key_id";
            let copy = ImageMetadata::of_volume(plain.id, property, ZERO_KEY);
            database.insert(&copy).await?;
        }
        Item::EphemeralDisks => {
            nova(house, 1).await?;
            let file = house.path("nova.conf");
            let file = file.to_str().context("a path")?.to_owned();
            let file: &'static str = Box::leak(file.into_boxed_str());
            return Ok([&["--nova-config-file", file], &ATTEST[..]].concat());
        }
        Item::Configuration | Item::Payloads => house.keep(item, Finding::Blocking(1))?,
        Item::BackupRecords => return Ok([&ATTEST[..2], &ATTEST[4..]].concat()),
        _ => anyhow::bail!("nothing puts {item:?} in the way"),
    }
    Ok(ATTEST.to_vec())
}

/// A table of instances as Nova has it, as far as it is asked for, in the same database.
pub(crate) async fn nova<C: Cloud>(house: &House<C>, at_zeros: u32) -> Result<()> {
    let database = &house.scene.database;
    database
        .execute(
            "CREATE TABLE instances (id INTEGER PRIMARY KEY, deleted INTEGER, \
             ephemeral_key_uuid VARCHAR(36))",
        )
        .await?;
    let mut rows = vec![format!("(1, 0, '{KEY}')"), format!("(2, 2, '{ZERO_KEY}')")];
    rows.push("(3, 0, NULL)".to_owned());
    rows.extend((0..at_zeros).map(|row| format!("({}, 0, '{ZERO_KEY}')", row + 4)));
    let insert = format!("INSERT INTO instances VALUES {}", rows.join(", "));
    database.execute(&insert).await?;
    let url = database.connection_url().replace('$', "$$");
    let text = format!("[database]\nconnection = {url}\n");
    Ok(std::fs::write(house.path("nova.conf"), text)?)
}
