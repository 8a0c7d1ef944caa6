//! Backups whose row has no key, written by Cinder's own POSIX driver.

use std::path::PathBuf;

use anyhow::{Context, Result};
use key_migration::verdict::Item;
use key_migrator_tests::{
    Backup, CinderDatabase, Cloud, Dialect, EmulatedCloud, RoleWorld, Services, Volume, VolumeType,
};
use serde_json::json;
use uuid::Uuid;

use crate::{House, KEY};

const DRIVER: &str = "cinder.backup.drivers.posix.PosixBackupDriver";

/// Backups of these volumes, as Cinder wrote them before it recorded keys.
pub(crate) struct Stored {
    pub(crate) ids: Vec<Uuid>,
    rows: Vec<Backup>,
}

impl Stored {
    pub(crate) fn of(volumes: &[&Volume]) -> Self {
        let rows: Vec<_> = volumes.iter().map(|volume| posix_of(volume)).collect();
        let ids = rows.iter().map(|row| row.id).collect();
        Self { ids, rows }
    }

    /// Lets Cinder's own driver write them; the volumes' rows are in the database.
    pub(crate) async fn write<C: Cloud>(&self, house: &House<C>) -> Result<()> {
        let scene = &house.scene;
        scene.database.insert(&self.rows).await?;
        let conf = scene.conf.clone().set("DEFAULT", "transport_url", "fake:");
        let conf = conf.write_to(scene.folder.path())?;
        let request = json!({ "conf": conf, "backups": self.ids });
        let done = scene
            .services
            .python()
            .run("posix_backup.py", &request.to_string())
            .await;
        done.map(drop)
    }
}

fn posix_of(volume: &Volume) -> Backup {
    Backup::on("host1")
        .of(volume)
        .without_key()
        .status("creating")
        .column("service", DRIVER)
        .column("container", key_migrator_tests::rows::Value::Null)
}

/// Where the driver has put its metadata object.
fn metadata_of<C: Cloud>(house: &House<C>, backup: Uuid) -> Result<PathBuf> {
    let id = backup.to_string();
    let folder = house.path("backup");
    let folder = folder.join(&id[..2]).join(&id[2..4]).join(&id);
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("_metadata") {
            return Ok(path);
        }
    }
    anyhow::bail!("no metadata in {}", folder.display())
}

#[tokio::test]
async fn a_zero_key_in_a_real_backup_is_found_and_another_key_clears_its_row() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::Postgres).await?;
    let house = House::new(&cloud, database).await?;
    let database = &house.scene.database;
    let zeros = Volume::on("host1@lvm#lvm");
    let other = Volume::on("host1@lvm#lvm").key(KEY);
    let none = Volume::on("host1@lvm#lvm").without_key();
    database
        .insert(&[zeros.clone(), other.clone(), none.clone()])
        .await?;
    let stored = Stored::of(&[&zeros, &other, &none]);
    stored.write(&house).await?;
    // Its volume has moved on since, which the backup has not.
    let moved = format!(
        "UPDATE volumes SET encryption_key_id = '{KEY}' WHERE id = '{}'",
        zeros.id
    );
    database.execute(&moved).await?;
    let said = house.audit(&[]).await?;
    let id = stored.ids[0].to_string();
    let words = ["1 backup is on the fixed key", &id, "UPDATE backups"];
    said.assert_item(Item::OldBackups, "blocking", Some(1), &words);
    let line = format!("Backup {id} is on the fixed key");
    assert!(said.log.iter().any(|it| it.contains(&line)), "{said:#?}");

    // As the words say: once its key is in its row, it is a backup like any other.
    let record = format!(
        "UPDATE backups SET encryption_key_id = '00000000-0000-0000-0000-000000000000' \
         WHERE id = '{id}' AND encryption_key_id IS NULL"
    );
    assert_eq!(database.execute(&record).await?, 1);
    let said = house.audit(&[]).await?;
    let words = ["2 backups without a key in the row, none of them on the fixed key"];
    said.assert_item(Item::OldBackups, "clear", None, &words);
    said.assert_item(Item::Backups, "blocking", Some(1), &[]);
    Ok(())
}

#[tokio::test]
async fn where_the_store_cannot_be_read_the_volumes_row_decides_or_nobody_does() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let house = House::new(&cloud, database).await?;
    let database = &house.scene.database;
    let encrypted = VolumeType::encrypted();
    database.insert(&encrypted).await?;
    let plain = Volume::on("h@b").without_key();
    let untold = Volume::on("h@b")
        .without_key()
        .column("volume_type_id", encrypted.id);
    let keyed = Volume::on("h@b").key(KEY).deleted();
    database
        .insert(&[plain.clone(), untold.clone(), keyed.clone()])
        .await?;
    let ceph = |volume: &Volume| {
        let backup = Backup::on("host1").of(volume).without_key();
        let backup = backup.column("service", "cinder.backup.drivers.ceph.CephBackupDriver");
        backup.column("service_metadata", "{\"base\": \"b\"}")
    };
    let posix = |volume: &Volume| {
        let backup = posix_of(volume).status("available");
        let backup = backup.column("container", "aa/bb/cc");
        backup.column("service_metadata", "volume_v_backup_b")
    };
    database.insert(&[ceph(&plain), posix(&plain)]).await?;
    let said = house.audit(&[]).await?;
    let words = ["2 of them judged by the rows of their volumes alone"];
    said.assert_item(Item::OldBackups, "clear", None, &words);

    let purged = Backup::on("host1").without_key().column("service", DRIVER);
    let purged = purged.column("service_metadata", "volume_v_backup_c");
    let never = posix_of(&untold).status("error").column("object_count", 0);
    database
        .insert(&[ceph(&untold), ceph(&keyed), posix(&keyed)])
        .await?;
    database.insert(&[purged]).await?;
    database.insert(&[never]).await?;
    let said = house.audit(&[]).await?;
    let words = [
        "of 4 backups without a key in the row it cannot be told",
        "Ceph's metadata cannot be read by this program",
        "the directory in backup_posix_path, as seen from this host, has no metadata of them",
        "run this where cinder-backup runs",
        "--attest old_backups",
    ];
    said.assert_item(Item::OldBackups, "unknown", None, &words);
    let said = house
        .audit(&["--attested-by", "ada", "--attest", "old_backups"])
        .await?;
    said.assert_item(Item::OldBackups, "attested", None, &["(ada, "]);
    assert!(!house.path("backup").exists(), "nothing is made");
    Ok(())
}

#[tokio::test]
async fn metadata_that_is_damaged_or_hidden_is_unknown() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::Sqlite).await?;
    let house = House::new(&cloud, database).await?;
    let database = &house.scene.database;
    let volume = Volume::on("host1@lvm#lvm");
    database.insert(&volume).await?;
    let stored = Stored::of(&[&volume]);
    stored.write(&house).await?;
    let path = metadata_of(&house, stored.ids[0])?;
    let whole = std::fs::read(&path)?;
    std::fs::write(&path, &whole[..whole.len() / 2])?;
    let said = house.audit(&[]).await?;
    let words = ["is not what Cinder writes"];
    said.assert_item(Item::OldBackups, "unknown", None, &words);
    std::fs::remove_file(&path)?;
    std::fs::create_dir(&path)?;
    let said = house.audit(&[]).await?;
    let (state, _, message) = said.item(Item::OldBackups);
    assert_eq!(state, "unknown", "{message}");
    Ok(())
}

#[tokio::test]
async fn a_share_is_read_where_cinder_mounts_it() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::Sqlite).await?;
    let mut house = House::new(&cloud, database).await?;
    let database = &house.scene.database;
    let volume = Volume::on("host1@lvm#lvm");
    database.insert(&volume).await?;
    let stored = Stored::of(&[&volume]);
    stored.write(&house).await?;
    // The NFS driver is the POSIX driver on a mount point; `printf 1.2.3.4:/b | md5sum` names it.
    let base = house.path("backup_mount");
    std::fs::create_dir(&base)?;
    let mounted = base.join("7fa4a7c1f763254ba93187309eef7324");
    std::fs::rename(house.path("backup"), &mounted)?;
    let driver = "cinder.backup.drivers.nfs.NFSBackupDriver";
    let change = format!("UPDATE backups SET service = '{driver}'");
    database.execute(&change).await?;
    let said = house.audit(&[]).await?;
    let words = ["[DEFAULT] backup_share is not set on this host"];
    said.assert_item(Item::OldBackups, "unknown", None, &words);
    house.scene.conf = house
        .scene
        .conf
        .set("DEFAULT", "backup_share", "1.2.3.4:/b");
    let said = house.audit(&[]).await?;
    let id = stored.ids.first().context("one")?.to_string();
    said.assert_item(Item::OldBackups, "blocking", Some(1), &[&id]);
    Ok(())
}
