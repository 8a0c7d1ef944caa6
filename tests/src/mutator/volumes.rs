//! What Cinder does to volumes within their host: creation, deletion, transfer, and the states
//! between.

use anyhow::Result;
use fastrand::Rng;

use super::cinder::{Cinder, sets_key};
use super::keys::{Keys, Storer};
use crate::rows::{Volume, ZERO_KEY};

/// The backends of the host, and the users whose volumes they keep.
pub(crate) const HOSTS: [&str; 2] = ["host1@lvm#lvm", "host1@lvm2#lvm2"];
pub(crate) const USERS: [&str; 3] = ["user-a", "user-b", "user-c"];

/// What `migration_status` may be when something new is begun with a volume.
pub(crate) const SETTLED: &str =
    "(migration_status IS NULL OR migration_status IN ('', 'success', 'error', 'deleting'))";

/// What nobody may have, for a volume to be deleted or moved.
pub(crate) const NO_SNAPSHOTS: &str = "NOT EXISTS (SELECT 1 FROM snapshots \
     WHERE snapshots.volume_id = volumes.id AND snapshots.deleted = 0)";

/// States that come and go, in pairs: from, to.
const WALKS: [(&str, &str); 10] = [
    ("available", "in-use"),
    ("in-use", "available"),
    ("available", "error"),
    ("error", "available"),
    ("available", "extending"),
    ("extending", "available"),
    ("available", "maintenance"),
    ("maintenance", "available"),
    ("available", "backing-up"),
    ("backing-up", "available"),
];

/// Creates a volume: from an image or another volume under the fixed key, or with a key of its own.
pub(crate) async fn create(cinder: &Cinder, random: &mut Rng) -> Result<String> {
    let key = if random.u8(..4) == 0 {
        Keys::own(random)
    } else {
        ZERO_KEY.to_owned()
    };
    let volume = Volume::on(HOSTS[random.usize(..HOSTS.len())])
        .owned_by(USERS[random.usize(..USERS.len())])
        .status("creating")
        .id(uuid::Uuid::from_u128(random.u128(..)))
        .key(key);
    let id = volume.id.to_string();
    cinder.insert(&volume).await?;
    cinder.work(random).await;
    cinder
        .change_if(
            "volumes",
            &id,
            "status = 'available'",
            "status = 'creating'",
        )
        .await?;
    Ok(id)
}

/// Deletes a volume, with its snapshots or only if it has none. The API deletes the key that it
/// has in memory as soon as nobody can use the volume any more.
pub(crate) async fn delete(cinder: &Cinder, id: &str, random: &mut Rng) -> Result<bool> {
    let Some(loaded) = cinder.load(id).await? else {
        return Ok(false);
    };
    cinder.work(random).await;
    let cascade = random.bool();
    let snapshots = match cascade {
        true => {
            "NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.volume_id = volumes.id \
                 AND snapshots.deleted = 0 AND snapshots.status NOT IN ('available', 'error'))"
        }
        false => NO_SNAPSHOTS,
    };
    let expected = format!("status IN ('available', 'error') AND {SETTLED} AND {snapshots}");
    if !cinder
        .change_if("volumes", id, "status = 'deleting'", &expected)
        .await?
    {
        return Ok(false);
    }
    let snapshots = cinder.snapshots_of(id).await?;
    for snapshot in &snapshots {
        cinder
            .save("snapshots", snapshot, "status = 'deleting'")
            .await?;
    }
    for snapshot in &snapshots {
        cinder.work(random).await;
        cinder.destroy("snapshots", snapshot).await?;
    }
    cinder.delete_key(loaded.key.as_deref(), id).await?;
    cinder.work(random).await;
    cinder.destroy("volumes", id).await?;
    Ok(true)
}

/// Gives a volume with its snapshots to another user: its key goes to Cinder's service first, then
/// to him. In between the volume is `awaiting-transfer`, which holds nobody off.
pub(crate) async fn transfer(cinder: &Cinder, id: &str, random: &mut Rng) -> Result<bool> {
    let Some(loaded) = cinder.load(id).await? else {
        return Ok(false);
    };
    cinder.work(random).await;
    let expected = format!("status = 'available' AND {SETTLED}");
    if !cinder
        .change_if("volumes", id, "status = 'awaiting-transfer'", &expected)
        .await?
    {
        return Ok(false);
    }
    let with_service = rekey(cinder, id, loaded.key.as_deref(), Storer::Service, random).await?;
    cinder.work(random).await;
    rekey(cinder, id, Some(&with_service), Storer::Owner, random).await?;
    let user = USERS[random.usize(..USERS.len())];
    let accepted = format!("status = 'available', user_id = '{user}'");
    cinder
        .change_if("volumes", id, &accepted, "status = 'awaiting-transfer'")
        .await?;
    for snapshot in cinder.snapshots_of(id).await? {
        let owner = format!("user_id = '{user}'");
        cinder
            .change_if("snapshots", &snapshot, &owner, "status = 'available'")
            .await?;
    }
    Ok(true)
}

/// Ends the one state of rest that holds a volume's key.
pub(crate) async fn end_maintenance(cinder: &Cinder) -> Result<()> {
    for id in cinder.volumes_in("maintenance").await? {
        cinder.save("volumes", &id, "status = 'available'").await?;
    }
    Ok(())
}

/// Stores a clone of the key that is in memory, writes it over whatever volume and snapshots hold,
/// and deletes the old one.
async fn rekey(
    cinder: &Cinder,
    id: &str,
    old: Option<&str>,
    storer: Storer,
    random: &mut Rng,
) -> Result<String> {
    let fixed = old.is_some_and(|old| !Keys::is_own(old));
    // Where the service stores it, it looks like one of Cinder's own migrator.
    let one_of = match storer {
        Storer::Service => 50,
        Storer::Owner => 4,
    };
    let new = if fixed && random.u8(..one_of) == 0 {
        cinder.keys.clone_of_the_fixed_key(storer).await?
    } else {
        Keys::own(random)
    };
    cinder.work(random).await;
    cinder.save("volumes", id, &sets_key(Some(&new))).await?;
    for snapshot in cinder.snapshots_of(id).await? {
        cinder.work(random).await;
        cinder
            .save("snapshots", &snapshot, &sets_key(Some(&new)))
            .await?;
    }
    cinder.delete_key(old, id).await?;
    Ok(new)
}

/// Attaches, detaches, extends, breaks and mends.
pub(crate) async fn change_state(cinder: &Cinder, id: &str, random: &mut Rng) -> Result<bool> {
    let Some(loaded) = cinder.load(id).await? else {
        return Ok(false);
    };
    let ways: Vec<_> = WALKS
        .iter()
        .filter(|(from, _)| *from == loaded.status)
        .collect();
    let Some((from, to)) = (!ways.is_empty()).then(|| ways[random.usize(..ways.len())]) else {
        return Ok(false);
    };
    cinder.work(random).await;
    let expected = format!("status = '{from}' AND {SETTLED}");
    cinder
        .change_if("volumes", id, &format!("status = '{to}'"), &expected)
        .await
}
