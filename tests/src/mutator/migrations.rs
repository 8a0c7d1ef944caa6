//! Volumes that move between backends, to another type or not, by way of a second row.

use anyhow::Result;
use fastrand::Rng;

use super::cinder::{Cinder, Loaded, sets_key};
use super::keys::Keys;
use super::volumes::{HOSTS, NO_SNAPSHOTS, SETTLED};
use crate::rows::{Value, Volume};

/// Moves a volume to the other backend. The row that it moves through gets the key that the API
/// had in memory when it was asked.
pub(crate) async fn migrate(cinder: &Cinder, id: &str, random: &mut Rng) -> Result<bool> {
    let Some(volume) = cinder.load(id).await? else {
        return Ok(false);
    };
    cinder.work(random).await;
    let lock = if random.bool() {
        ", status = 'maintenance'"
    } else {
        ""
    };
    let begin = format!("migration_status = 'starting', previous_status = status{lock}");
    if !begins(cinder, id, &begin).await? {
        return Ok(false);
    }
    cinder
        .save("volumes", id, "migration_status = 'migrating'")
        .await?;
    let key = volume.key.clone();
    through_a_second_row(cinder, &volume, key, random).await
}

/// Moves a volume to a type with another cipher, and so under a new key.
pub(crate) async fn retype(cinder: &Cinder, id: &str, random: &mut Rng) -> Result<bool> {
    let Some(volume) = cinder.load(id).await? else {
        return Ok(false);
    };
    cinder.work(random).await;
    if !begins(cinder, id, "previous_status = status, status = 'retyping'").await? {
        return Ok(false);
    }
    cinder.work(random).await;
    cinder
        .save("volumes", id, "migration_status = 'migrating'")
        .await?;
    let key = Some(Keys::own(random));
    through_a_second_row(cinder, &volume, key, random).await
}

async fn begins(cinder: &Cinder, id: &str, values: &str) -> Result<bool> {
    let expected = format!("status IN ('available', 'in-use') AND {SETTLED} AND {NO_SNAPSHOTS}");
    cinder.change_if("volumes", id, values, &expected).await
}

/// Copies the data to a second row's place, and swaps what the rows say; or gives up half-way.
async fn through_a_second_row(
    cinder: &Cinder,
    volume: &Loaded,
    key: Option<String>,
    random: &mut Rng,
) -> Result<bool> {
    let host = HOSTS
        .into_iter()
        .find(|host| *host != volume.host)
        .unwrap_or(HOSTS[0]);
    let target = Volume::on(host)
        .owned_by(volume.user_id.as_str())
        .status("creating")
        .migration_status(&format!("target:{}", volume.id))
        .id(uuid::Uuid::from_u128(random.u128(..)))
        .key(key.map_or(Value::Null, Value::Text));
    let target_id = target.id.to_string();
    cinder.insert(&target).await?;
    cinder.work(random).await;
    cinder
        .save("volumes", &target_id, "status = 'available'")
        .await?;
    cinder.work(random).await;
    if random.u8(..5) == 0 {
        cinder
            .save("volumes", &target_id, "status = 'deleting'")
            .await?;
        let back = "migration_status = 'error', status = previous_status";
        cinder.save("volumes", &volume.id, back).await?;
    } else {
        cinder
            .save("volumes", &volume.id, "migration_status = 'completing'")
            .await?;
        cinder.work(random).await;
        finish(cinder, &volume.id, &target_id, random).await?;
    }
    cinder.work(random).await;
    cinder.destroy("volumes", &target_id).await?;
    Ok(true)
}

/// `finish_volume_migration`: each row takes what the other one had in memory, the key among it,
/// and the volume is at rest for a moment before its target is on the way out.
async fn finish(cinder: &Cinder, id: &str, target: &str, random: &mut Rng) -> Result<()> {
    let (Some(from), Some(to)) = (cinder.load(id).await?, cinder.load(target).await?) else {
        return Ok(());
    };
    let here = format!(
        "{}, host = '{}', status = 'available', migration_status = NULL",
        sets_key(to.key.as_deref()),
        to.host
    );
    let there = format!(
        "{}, host = '{}', status = 'deleting', migration_status = 'deleting'",
        sets_key(from.key.as_deref()),
        from.host
    );
    cinder.save("volumes", id, &here).await?;
    cinder.work(random).await;
    cinder.save("volumes", target, &there).await?;
    let end = "status = COALESCE(previous_status, 'available'), migration_status = 'success'";
    cinder.save("volumes", id, end).await
}
