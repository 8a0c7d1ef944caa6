//! Snapshots, which get the key of a volume that was loaded before.

use anyhow::Result;
use fastrand::Rng;

use super::cinder::{Cinder, sets_key};
use crate::rows::{Snapshot, Value};

/// Creates a snapshot: the API gives it the key of the volume that it has in memory; the manager
/// gives it that of the volume as it loads it afterwards, unless the snapshot is one of a group.
pub(crate) async fn create(cinder: &Cinder, volume: &str, random: &mut Rng) -> Result<bool> {
    let Some(loaded) = cinder.load(volume).await? else {
        return Ok(false);
    };
    if !can_be_taken(&loaded.status) {
        return Ok(false);
    }
    cinder.work(random).await;
    let user = match random.u8(..4) {
        0 => super::volumes::USERS[random.usize(..super::volumes::USERS.len())],
        _ => loaded.user_id.as_str(),
    };
    let snapshot = Snapshot::of_id(volume.parse()?)
        .owned_by(user)
        .status("creating")
        .id(uuid::Uuid::from_u128(random.u128(..)))
        .key(loaded.key.map_or(Value::Null, Value::Text));
    let id = snapshot.id.to_string();
    cinder.insert(&snapshot).await?;
    let Some(again) = cinder
        .load(volume)
        .await?
        .filter(|again| can_be_taken(&again.status))
    else {
        cinder.destroy("snapshots", &id).await?;
        return Ok(false);
    };
    cinder.work(random).await;
    if random.u8(..4) == 0 {
        return cinder
            .change_if("snapshots", &id, "status = 'available'", "TRUE")
            .await;
    }
    let resync = cinder.load(volume).await?.unwrap_or(again);
    if random.u8(..3) == 0 {
        cinder.work(random).await;
    }
    let values = format!("status = 'available', {}", sets_key(resync.key.as_deref()));
    cinder.change_if("snapshots", &id, &values, "TRUE").await
}

/// Deletes one of the volume's snapshots.
pub(crate) async fn delete(cinder: &Cinder, volume: &str, random: &mut Rng) -> Result<bool> {
    let snapshots = cinder.snapshots_of(volume).await?;
    if snapshots.is_empty() {
        return Ok(false);
    }
    let id = &snapshots[random.usize(..snapshots.len())];
    let expected = "status IN ('available', 'error')";
    if !cinder
        .change_if("snapshots", id, "status = 'deleting'", expected)
        .await?
    {
        return Ok(false);
    }
    cinder.work(random).await;
    cinder.destroy("snapshots", id).await?;
    Ok(true)
}

fn can_be_taken(volume_status: &str) -> bool {
    ["available", "in-use"].contains(&volume_status)
}
