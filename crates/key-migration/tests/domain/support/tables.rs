//! Cinder's tables, and what the statements on them do.

use std::collections::BTreeMap;

use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId};
use key_migration::rows::{
    Census, FreshRow, FreshVolume, RowKey, Scope, SharedRow, Swap, SwapOutcome,
};
use tokio::time::Instant;

use super::world::{Row, World, snapshot, volume};

impl World {
    pub(super) fn owned(&self, scope: &Scope) -> impl Iterator<Item = (&RowRef, &Row)> {
        let rows = self.rows.iter().filter(|(_, row)| !row.deleted);
        rows.filter(move |(id, row)| match scope {
            Scope::Named(service, ids) => id.kind == service.kind() && ids.contains(&id.id),
            Scope::Backups(hosts) => id.kind == ResourceKind::Backup && hosts.contains(&row.host),
            Scope::Volumes(backends) => {
                let host = row.host.split('#').next();
                let mut names = backends.iter().map(|backend| Some(backend.host.as_str()));
                id.kind == ResourceKind::Volume && names.any(|name| name == host)
            }
        })
    }

    /// Rows of this kind and host at zeros; of snapshots, those that no volume takes along.
    pub(super) fn to_migrate(
        &self,
        scope: &Scope,
        kind: ResourceKind,
    ) -> impl Iterator<Item = (&RowRef, &Row)> {
        let owned: BTreeMap<&str, &Row> = self
            .owned(scope)
            .map(|(id, row)| (id.id.as_str(), row))
            .collect();
        let zero = self.rows.iter().filter(|(_, row)| row.is_zero());
        zero.filter(move |(id, row)| {
            let mut volumes = row.volume.iter().filter_map(|id| owned.get(id.as_str()));
            id.kind == kind
                && match kind {
                    ResourceKind::Snapshot => volumes.any(|volume| !volume.is_zero()),
                    _ => owned.contains_key(id.id.as_str()),
                }
        })
    }

    /// Volumes with a key, and a snapshot or backup of another user.
    pub(super) fn shared(&self, scope: &Scope) -> impl Iterator<Item = SharedRow> {
        let volumes = self.owned(scope).filter(|(id, row)| {
            id.kind == ResourceKind::Volume && matches!(row.held(), RowKey::Other(_))
        });
        volumes.filter_map(|(id, volume)| {
            let dependents = self.dependents(id).map(|(_, row)| row);
            let users = dependents.filter_map(|row| row.user_id.as_deref());
            let others: Vec<&str> = users
                .filter(|user| Some(*user) != volume.user_id.as_deref())
                .collect();
            let users = others.iter().copied().chain(volume.user_id.as_deref());
            (!others.is_empty()).then(|| SharedRow {
                id: id.id.clone(),
                key: volume.held(),
                users: users.map(Into::into).collect(),
            })
        })
    }

    pub(super) fn is_unneeded(&self, row: &RowRef, secret: SecretId) -> bool {
        let row = self.rows.get(row);
        let free = row.is_some_and(|row| row.deleted || matches!(row.held(), RowKey::Other(_)));
        free && !self.is_referred_to(secret)
    }

    pub(super) fn fresh(&self, row: &RowRef) -> Option<FreshRow> {
        let held = self.rows.get(row).filter(|held| !held.deleted)?;
        let dependents = self.dependents(row);
        Some(FreshRow {
            key: held.held(),
            status: held.status.clone(),
            user_id: held.user_id.as_deref().map(Into::into),
            dependent_users: dependents
                .filter_map(|(_, row)| row.user_id.as_deref().map(Into::into))
                .collect(),
            volume: self.volume_of(row),
        })
    }

    /// A snapshot's volume, if it is not deleted.
    fn volume_of(&self, row: &RowRef) -> Option<Box<FreshVolume>> {
        let of = (row.kind == ResourceKind::Snapshot).then(|| self.rows[row].volume.clone())??;
        let held = self.rows.get(&volume(&of)).filter(|held| !held.deleted)?;
        Some(Box::new(FreshVolume {
            id: of.as_str().into(),
            key: held.held(),
            user_id: held.user_id.as_deref().map(Into::into),
        }))
    }

    /// A volume's snapshots and backups that are not deleted.
    pub(crate) fn dependents(&self, row: &RowRef) -> impl Iterator<Item = (&RowRef, &Row)> {
        let of = (row.kind == ResourceKind::Volume).then(|| row.id.as_str());
        let live = self.rows.iter().filter(|(_, row)| !row.deleted);
        live.filter(move |(_, row)| of.is_some() && row.volume.as_deref() == of)
    }

    pub(super) fn switch(&mut self, swap: &Swap) -> SwapOutcome {
        let Some(held) = self.rows.get(&swap.row).filter(|held| !held.deleted) else {
            return SwapOutcome::Gone;
        };
        match held.held() {
            key if key.is(swap.secret) => return SwapOutcome::AlreadyHolds,
            RowKey::AllZeros => {}
            RowKey::Null | RowKey::Other(_) => return SwapOutcome::Lost,
        }
        if let Some(why) = held.status.transitional(swap.row.kind) {
            return SwapOutcome::Transitional(why);
        }
        let user_changed = held.user_id != swap.user_id.as_ref().map(|user| user.to_string());
        let zero_snapshots: Vec<RowRef> = self
            .dependents(&swap.row)
            .filter(|(id, row)| id.kind == ResourceKind::Snapshot && row.is_zero())
            .map(|(id, _)| id.clone())
            .collect();
        let mut users = zero_snapshots.iter().map(|id| &self.rows[id].user_id);
        let unread = users.any(|user| {
            let user = user.as_deref().map(Into::into);
            user.is_some_and(|user| !swap.readers.contains(&user))
        });
        if user_changed || unread {
            return SwapOutcome::ReadersChanged;
        }
        let volume = self.volume_of(&swap.row);
        let holds = |of: &RowId| {
            volume
                .as_deref()
                .is_some_and(|volume| volume.id == *of && volume.key.is(swap.secret))
        };
        if swap.shared_with.as_ref().is_some_and(|of| !holds(of)) {
            return SwapOutcome::VolumeChanged;
        }
        self.judge_switch(swap, &zero_snapshots);
        let now = Instant::now();
        for row in zero_snapshots.iter().chain([&swap.row]) {
            let row = self.row(row);
            row.key = Some(swap.secret.to_string());
            row.left_zeros = Some(now);
        }
        SwapOutcome::Switched {
            snapshots: zero_snapshots.len() as u64,
        }
    }

    pub(crate) fn census(&self) -> Census {
        let count = |kind, unowned: bool| {
            let zero = self.rows.iter().filter(|(_, row)| row.is_zero());
            zero.filter(|(id, row)| id.kind == kind && (row.unowned || !unowned))
                .count() as u64
        };
        Census {
            volumes: count(ResourceKind::Volume, false),
            snapshots: count(ResourceKind::Snapshot, false),
            backups: count(ResourceKind::Backup, false),
            unowned_volumes: count(ResourceKind::Volume, true),
            unowned_backups: count(ResourceKind::Backup, true),
            hosts: self.hosts,
            ..Census::default()
        }
    }

    /// Whether the row and all its snapshots hold this key.
    pub(crate) fn hold_the_same(&self, volume: &RowRef, snapshots: &[&str]) -> bool {
        let key = &self.rows[volume].key;
        let mut snapshots = snapshots.iter().map(|id| &self.rows[&snapshot(id)].key);
        snapshots.all(|held| held == key)
    }
}
