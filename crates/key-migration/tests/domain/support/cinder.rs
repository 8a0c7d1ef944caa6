//! Cinder's database, as far as the domain sees it.

use std::collections::HashSet;
use std::time::Duration;

use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId};
use key_migration::ports::{CinderDatabase, DatabaseError};
use key_migration::reasons::Reason;
use key_migration::rows::{
    Census, FreshRow, Holder, RowKey, ScannedRow, Scope, SharedRow, Swap, SwapOutcome,
};

use super::cloud::{Cloud, Op, Trouble};
use super::world::World;

pub(crate) struct Cinder(pub(crate) Cloud);

impl CinderDatabase for Cinder {
    async fn any_row(&self, scope: &Scope) -> Result<bool, DatabaseError> {
        self.read(Op::AnyRow, "", |world| world.owned(scope).next().is_some())
            .await
    }

    async fn count_zero_rows(&self, scope: &Scope) -> Result<u64, DatabaseError> {
        self.read(Op::CountZero, "", |world| {
            let kinds = scope.service().kinds();
            let of = |kind: &ResourceKind| world.to_migrate(scope, *kind).count() as u64;
            kinds.iter().map(of).sum()
        })
        .await
    }

    async fn zero_rows(
        &self,
        scope: &Scope,
        kind: ResourceKind,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<ScannedRow>, DatabaseError> {
        self.read(Op::ZeroRows, "", |world| {
            let zero = world.to_migrate(scope, kind);
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
                .map(|(row, held)| (row.id.clone(), held.held()))
                .collect()
        })
        .await
    }

    async fn referred(&self, secrets: &[SecretId]) -> Result<HashSet<SecretId>, DatabaseError> {
        let about = self.about(secrets);
        self.read(Op::Referred, &about, |world| {
            let secrets = secrets.iter().copied();
            secrets.filter(|id| world.is_referred_to(*id)).collect()
        })
        .await
    }

    async fn holders(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> Result<Vec<(RowId, Holder)>, DatabaseError> {
        self.read(Op::Holders, "", |world| {
            let rows = world.rows.iter();
            rows.filter(|(row, _)| row.kind == kind && ids.contains(&row.id))
                .map(|(row, held)| (row.id.clone(), held.holder()))
                .collect()
        })
        .await
    }

    async fn referred_by_deleted(
        &self,
        secrets: &[SecretId],
    ) -> Result<HashSet<SecretId>, DatabaseError> {
        let about = self.about(secrets);
        self.read(Op::ReferredByDeleted, &about, |world| {
            let deleted = world.rows.values().filter(|row| row.deleted);
            let held: HashSet<SecretId> = deleted.filter_map(|row| row.held().secret()).collect();
            let secrets = secrets.iter().copied();
            secrets.filter(|id| held.contains(id)).collect()
        })
        .await
    }

    async fn shared_rows(
        &self,
        scope: &Scope,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<SharedRow>, DatabaseError> {
        self.read(Op::SharedRows, "", |world| {
            let shared = world.shared(scope);
            shared
                .filter(|row| after.is_none_or(|after| row.id > *after))
                .take(limit as usize)
                .collect()
        })
        .await
    }

    async fn while_unneeded<T: Send>(
        &self,
        row: &RowRef,
        secret: SecretId,
        act: impl Future<Output = T> + Send,
    ) -> Result<Option<T>, DatabaseError> {
        let about = row.id.as_str();
        let (in_flight, trouble) = self.0.enter(Op::WhileUnneeded, about).await;
        let reply_lost = match trouble {
            Some(Trouble::ReplyLost(fault)) => Some(fault),
            Some(trouble) => return Err(database_error(trouble)),
            None => None,
        };
        if !self.0.world().is_unneeded(row, secret) {
            return Ok(None);
        }
        self.0.world().unneeded.insert(secret);
        let done = act.await;
        self.0.world().unneeded.remove(&secret);
        self.0.leave(Op::WhileUnneeded, about, in_flight).await;
        match reply_lost {
            Some(fault) => Err(DatabaseError::Unreachable(fault)),
            None => Ok(Some(done)),
        }
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
    /// The row that the first of these was stored for.
    fn about(&self, secrets: &[SecretId]) -> String {
        let first = secrets.first();
        first.map_or_else(String::new, |first| self.0.world().about(*first))
    }

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
