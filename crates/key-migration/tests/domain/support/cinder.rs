//! Cinder's database, as far as the domain sees it.

use std::time::Duration;

use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId};
use key_migration::ports::{CinderDatabase, DatabaseError};
use key_migration::reasons::Reason;
use key_migration::rows::{Census, FreshRow, RowKey, ScannedRow, Scope, Swap, SwapOutcome};
use tokio::time::Instant;

use super::cloud::{Cloud, Op, Trouble};
use super::world::{Row, World, snapshot};

pub(crate) struct Cinder(pub(crate) Cloud);

impl CinderDatabase for Cinder {
    async fn any_row(&self, scope: &Scope) -> Result<bool, DatabaseError> {
        self.read(Op::AnyRow, "", |world| world.owned(scope).next().is_some())
            .await
    }

    async fn count_zero_rows(&self, scope: &Scope) -> Result<u64, DatabaseError> {
        self.read(Op::CountZero, "", |world| {
            world.owned(scope).filter(|(_, row)| row.is_zero()).count() as u64
        })
        .await
    }

    async fn zero_rows(
        &self,
        scope: &Scope,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<ScannedRow>, DatabaseError> {
        self.read(Op::ZeroRows, "", |world| {
            let zero = world.owned(scope).filter(|(_, row)| row.is_zero());
            zero.filter(|(row, _)| after.is_none_or(|after| row.id > *after))
                .take(limit as usize)
                .map(|(row, held)| ScannedRow {
                    id: row.id.clone(),
                    status: held.status.clone(),
                })
                .collect()
        })
        .await
    }

    async fn row(&self, row: &RowRef) -> Result<Option<FreshRow>, DatabaseError> {
        self.read(Op::Row, row.id.as_str(), |world| world.fresh(row))
            .await
    }

    async fn keys(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> Result<Vec<(RowId, RowKey)>, DatabaseError> {
        self.read(Op::Keys, "", |world| {
            let live = world.rows.iter().filter(|(_, row)| !row.deleted);
            live.filter(|(row, _)| row.kind == kind && ids.contains(&row.id))
                .map(|(row, held)| (row.id.clone(), RowKey::from_column(held.key.clone())))
                .collect()
        })
        .await
    }

    async fn refers_to(&self, secret: SecretId) -> Result<bool, DatabaseError> {
        let about = self.0.world().about(secret);
        self.read(Op::RefersTo, &about, |world| world.is_referred_to(secret))
            .await
    }

    async fn switch(&self, swap: &Swap) -> Result<SwapOutcome, DatabaseError> {
        let about = swap.row.id.as_str();
        let (in_flight, trouble) = self.0.enter(Op::Switch, about).await;
        let reply_lost = match trouble {
            Some(Trouble::ReplyLost(fault)) => Some(fault),
            Some(trouble) => return Err(database_error(trouble)),
            None => None,
        };
        let outcome = self.0.world().switch(swap);
        self.0.leave(Op::Switch, about, in_flight).await;
        match reply_lost {
            Some(fault) => Err(DatabaseError::Unreachable(fault)),
            None => Ok(outcome),
        }
    }

    async fn census(&self, _: Duration) -> Result<Census, DatabaseError> {
        self.read(Op::Census, "", |world| world.census()).await
    }
}

impl Cinder {
    async fn read<T>(
        &self,
        op: Op,
        about: &str,
        answer: impl FnOnce(&World) -> T,
    ) -> Result<T, DatabaseError> {
        let (in_flight, trouble) = self.0.enter(op, about).await;
        if let Some(trouble) = trouble {
            return Err(database_error(trouble));
        }
        let answer = answer(&self.0.world());
        self.0.leave(op, about, in_flight).await;
        Ok(answer)
    }
}

impl World {
    fn owned(&self, scope: &Scope) -> impl Iterator<Item = (&RowRef, &Row)> {
        let rows = self.rows.iter().filter(|(_, row)| !row.deleted);
        rows.filter(move |(id, row)| match scope {
            Scope::Backups(hosts) => id.kind == ResourceKind::Backup && hosts.contains(&row.host),
            Scope::Volumes(backends) => {
                let host = row.host.split('#').next();
                let mut names = backends.iter().map(|backend| Some(backend.host.as_str()));
                id.kind == ResourceKind::Volume && names.any(|name| name == host)
            }
        })
    }

    fn fresh(&self, row: &RowRef) -> Option<FreshRow> {
        let held = self.rows.get(row).filter(|held| !held.deleted)?;
        let dependents = self.dependents(row);
        Some(FreshRow {
            key: RowKey::from_column(held.key.clone()),
            status: held.status.clone(),
            user_id: held.user_id.as_deref().map(Into::into),
            dependent_users: dependents
                .filter_map(|(_, row)| row.user_id.as_deref().map(Into::into))
                .collect(),
        })
    }

    /// A volume's snapshots and backups that are not deleted.
    pub(crate) fn dependents(&self, row: &RowRef) -> impl Iterator<Item = (&RowRef, &Row)> {
        let of = (row.kind == ResourceKind::Volume).then(|| row.id.as_str());
        let live = self.rows.iter().filter(|(_, row)| !row.deleted);
        live.filter(move |(_, row)| of.is_some() && row.volume.as_deref() == of)
    }

    fn switch(&mut self, swap: &Swap) -> SwapOutcome {
        let Some(held) = self.rows.get(&swap.row).filter(|held| !held.deleted) else {
            return SwapOutcome::Gone;
        };
        match RowKey::from_column(held.key.clone()) {
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
        }
    }

    /// Whether the row and all its snapshots hold this key.
    pub(crate) fn hold_the_same(&self, volume: &RowRef, snapshots: &[&str]) -> bool {
        let key = &self.rows[volume].key;
        let mut snapshots = snapshots.iter().map(|id| &self.rows[&snapshot(id)].key);
        snapshots.all(|held| held == key)
    }
}

fn database_error(trouble: Trouble) -> DatabaseError {
    match trouble {
        Trouble::Fault(fault) if fault.reason == Reason::Configuration => {
            DatabaseError::Refused(fault)
        }
        Trouble::Fault(fault) => DatabaseError::Unreachable(fault),
        Trouble::Contended => DatabaseError::Contended("others keep locking the row".into()),
        other => panic!("{other:?} is no answer of a database"),
    }
}
