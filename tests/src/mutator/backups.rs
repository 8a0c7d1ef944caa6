//! Backups, and volumes that are restored from them.

use anyhow::Result;
use fastrand::Rng;

use super::cinder::{Cinder, sets_key};
use super::keys::{Keys, Storer};
use super::volumes::{SETTLED, USERS};
use crate::rows::{Backup, ZERO_KEY};

/// Creates a backup, or imports the record of one: the old ones bring all zeros along.
pub(crate) async fn create(cinder: &Cinder, random: &mut Rng) -> Result<String> {
    let key = if random.u8(..4) == 0 {
        Keys::own(random)
    } else {
        ZERO_KEY.to_owned()
    };
    let backup = Backup::on("host1")
        .owned_by(USERS[random.usize(..USERS.len())])
        .status("creating")
        .id(uuid::Uuid::from_u128(random.u128(..)))
        .key(key);
    let id = backup.id.to_string();
    cinder.insert(&backup).await?;
    cinder.work(random).await;
    cinder
        .change_if(
            "backups",
            &id,
            "status = 'available'",
            "status = 'creating'",
        )
        .await?;
    Ok(id)
}

/// Deletes a backup and its key.
pub(crate) async fn delete(cinder: &Cinder, id: &str, random: &mut Rng) -> Result<bool> {
    let expected = "status IN ('available', 'error')";
    if !cinder
        .change_if("backups", id, "status = 'deleting'", expected)
        .await?
    {
        return Ok(false);
    }
    cinder.work(random).await;
    let key = cinder.key_of("backups", id).await?.flatten();
    cinder.delete_key(key.as_deref(), id).await?;
    cinder.save("backups", id, &sets_key(None)).await?;
    cinder.destroy("backups", id).await?;
    Ok(true)
}

/// Restores a volume: what the backup says of its key (all zeros, for those of old) is written
/// over the volume's, and unless that was the same before, a clone of the backup's key after it.
/// A node that is still on ConfKeyManager clones all zeros to all zeros.
pub(crate) async fn restore(
    cinder: &Cinder,
    backup: &str,
    volume: &str,
    random: &mut Rng,
) -> Result<bool> {
    let begin = "status = 'restoring'";
    if !cinder
        .change_if("backups", backup, begin, "status = 'available'")
        .await?
    {
        return Ok(false);
    }
    let expected = format!("status = 'available' AND {SETTLED}");
    if !cinder
        .change_if("volumes", volume, "status = 'restoring-backup'", &expected)
        .await?
    {
        cinder
            .save("backups", backup, "status = 'available'")
            .await?;
        return Ok(false);
    }
    let before = cinder.key_of("volumes", volume).await?.flatten();
    cinder.work(random).await;
    cinder
        .save("volumes", volume, &sets_key(Some(ZERO_KEY)))
        .await?;
    cinder.work(random).await;
    if before.as_deref() != Some(ZERO_KEY) {
        cinder.delete_key(before.as_deref(), volume).await?;
        let new = match random.u8(..10) {
            0..=5 => ZERO_KEY.to_owned(),
            6 => cinder.keys.clone_of_the_fixed_key(Storer::Owner).await?,
            _ => Keys::own(random),
        };
        cinder
            .save("volumes", volume, &sets_key(Some(&new)))
            .await?;
    }
    cinder
        .save("volumes", volume, "status = 'available'")
        .await?;
    cinder
        .save("backups", backup, "status = 'available'")
        .await?;
    Ok(true)
}
