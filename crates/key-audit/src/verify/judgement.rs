//! Whose a row's secret is, and whether it is the right one. Decided from what was read, without
//! reading anything.
//!
//! All migrated rows hold the same bytes, so a secret that was exchanged for another is told by the
//! name that it was stored under. Cinder moves and copies keys by itself, and a name may then
//! rightly be another row's; those cases are listed in [`explains`].

use std::collections::BTreeSet;

use cinder_db::audit::KeyedRow;
use key_migration::fixed_key::{FixedKey, Payload};
use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId, SecretName, UserId};
use key_migration::ports::StoredSecret;
use key_migration::rows::{Readers, RowKey};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::finding::Finding;

/// Whose work a row's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This program's.
    Ours,
    /// That of Cinder's own migrator: a secret without a name that Cinder's user stored.
    Upstream,
    /// Nobody's: the row has a key of its owner.
    NotMigrated,
}

/// What a row is held against.
pub(super) struct Standard<'a> {
    pub(super) fixed_key: &'a FixedKey,
    /// Who is let read every secret that this program stores.
    pub(super) extra_acl_users: &'a [UserId],
    /// Cinder's own user.
    pub(super) own_user: &'a UserId,
}

/// Whose the secret is that a row refers to. `is_recorded` says that the ledger names it for the
/// row.
pub(super) fn origin(row: &KeyedRow, stored: &StoredSecret, is_recorded: bool) -> Origin {
    if is_recorded {
        return Origin::Ours;
    }
    match SecretName::row(&stored.name) {
        // A clone carries the name of what it was cloned from (castellan takes it along), and
        // belongs to the user who made it.
        Some(named) if stored.created_by_us || is_named_for(row, &named) => Origin::Ours,
        None if stored.name.is_empty() && stored.created_by_us => Origin::Upstream,
        _ => Origin::NotMigrated,
    }
}

/// What was read of a secret.
pub(super) struct Examined {
    pub(super) stored: StoredSecret,
    pub(super) payload: Payload,
    pub(super) readers: Readers,
}

/// Everything that is wrong with a migrated row whose secret could be read; whose it is after all.
pub(super) fn judge(
    row: &KeyedRow,
    examined: &Examined,
    origin: Origin,
    standard: &Standard<'_>,
) -> (Origin, Vec<Finding>) {
    let Examined {
        stored,
        payload,
        readers,
    } = examined;
    let is_equal: bool = payload.expose().ct_eq(standard.fixed_key.expose()).into();
    let own_of_cinder =
        origin == Origin::Upstream && row.user_id.as_ref() == Some(standard.own_user);
    if !is_equal && own_of_cinder {
        // Cinder's user has volumes, too, and their keys look as upstream's do but for the bytes.
        return (Origin::NotMigrated, Vec::new());
    }
    let mut findings = Vec::new();
    if !is_equal {
        findings.push(Finding::wrong_key(row, stored.id));
    }
    let named = SecretName::row(&stored.name);
    if let Some(named) = &named
        && stored.created_by_us
        && !is_named_for(row, named)
        && !explains(row, named)
    {
        findings.push(Finding::swapped(row, stored.id, named));
    }
    let needed = readers_needed(row, origin, standard);
    let missing: Vec<&UserId> = needed
        .into_iter()
        .filter(|user| !readers.contains(user))
        .collect();
    if !missing.is_empty() {
        findings.push(Finding::acl_incomplete(row, stored.id, &missing));
    }
    findings.extend(elsewhere(row, stored.id, named.as_ref()));
    (origin, findings)
}

/// A snapshot's secret is its volume's or its own.
fn elsewhere(row: &KeyedRow, secret: SecretId, named: Option<&RowRef>) -> Option<Finding> {
    if row.row.kind != ResourceKind::Snapshot || named == Some(&row.row) {
        return None;
    }
    let volume = row.volume.as_ref()?;
    let holds = match &volume.key {
        key if key.is(secret) => return None,
        // It has lost its key to Cinder, which writes zeros at times; the snapshot has not.
        RowKey::AllZeros | RowKey::Null if named.is_none_or(|named| named.id == volume.id) => {
            return None;
        }
        RowKey::AllZeros => "is at all zeros".to_owned(),
        RowKey::Null => "has no key".to_owned(),
        RowKey::Other(key) => format!("to {key}"),
    };
    Some(Finding::snapshot_elsewhere(row, secret, &holds))
}

/// Whether the name is that of the row, or of the volume of a snapshot.
fn is_named_for(row: &KeyedRow, named: &RowRef) -> bool {
    let is_its_volume = row.row.kind == ResourceKind::Snapshot
        && named.kind == ResourceKind::Volume
        && row.origin.as_ref() == Some(&named.id);
    *named == row.row || is_its_volume
}

/// Whether Cinder's own doings give this row a secret that was stored for that one.
fn explains(row: &KeyedRow, named: &RowRef) -> bool {
    if named.kind != ResourceKind::Volume {
        return false;
    }
    match row.row.kind {
        // Cloned by Cinder's own user.
        ResourceKind::Backup => row.origin.as_ref() == Some(&named.id),
        ResourceKind::Volume => {
            row.origin.as_ref() == Some(&named.id)
                || is_target_of(row, &named.id)
                || is_going(row)
                || is_image(row)
        }
        ResourceKind::Snapshot => false,
    }
}

/// A volume migration copies the key to its target.
fn is_target_of(row: &KeyedRow, source: &RowId) -> bool {
    let status = row.status.migration_status.as_deref();
    status.and_then(|status| status.strip_prefix("target:")) == Some(source.as_str())
}

/// At its end the two rows exchange their keys, and one of them is deleted.
fn is_going(row: &KeyedRow) -> bool {
    let [status, migration_status] = [&row.status.status, &row.status.migration_status];
    [status, migration_status]
        .map(Option::as_deref)
        .contains(&Some("deleting"))
}

/// The volume of an image is a copy with the same key.
pub(super) fn is_image(row: &KeyedRow) -> bool {
    let name = row.display_name.as_deref().unwrap_or_default();
    let id = name.strip_prefix("image-").unwrap_or_default();
    id.len() == 36 && Uuid::try_parse(id).is_ok()
}

/// Whether the row may share its secret with another one's; see
/// [`CinderDb::shared_secrets`](cinder_db::CinderDb::shared_secrets), which leaves these out.
pub(super) fn may_share(row: &KeyedRow) -> bool {
    let migration = row.status.migration_status.as_deref().unwrap_or_default();
    row.row.kind == ResourceKind::Volume
        && (is_image(row) || migration.starts_with("target:") || migration == "deleting")
}

/// Who needs to read the row's secret. Those whom the operator adds are let read what this program
/// stores; nobody lets them read what upstream stored.
pub(super) fn readers_needed<'a>(
    row: &'a KeyedRow,
    origin: Origin,
    standard: &Standard<'a>,
) -> BTreeSet<&'a UserId> {
    let extra = match origin {
        Origin::Ours => standard.extra_acl_users,
        Origin::Upstream | Origin::NotMigrated => &[],
    };
    let own = row.user_id.iter().chain(&row.dependent_users);
    own.chain(extra).collect()
}
