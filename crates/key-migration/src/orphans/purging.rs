//! Deleting one secret, after everything was looked at again.

use super::finding::look_at;
use super::judgement::Evidence;
use super::{Class, Consumers, Kept, Orphan, UnderWay};
use crate::ids::{RequestId, SecretId};
use crate::inventory::database_fault;
use crate::messages;
use crate::ports::{CinderDatabase, DatabaseError, SecretError};
use crate::reasons::Fault;

/// What became of a secret that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// It is gone, by this or somebody else's deletion.
    Deleted,
    /// It stays after all.
    Kept(Kept),
}

/// A secret was to be deleted, and was not, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// The others would fare no better.
    #[error(transparent)]
    Everything(Fault),
    /// Only this one.
    #[error("{0}")]
    This(String),
}

/// Deletes a secret that was found, if all that was found out about it still holds. `by_name`
/// where the operator named it.
///
/// # Errors
/// [`PurgeError`] tells whether others may be tried.
pub async fn purge<M: Consumers, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    under_way: &impl UnderWay,
    orphan: &Orphan,
    by_name: bool,
    request: RequestId,
) -> Result<Purged, PurgeError> {
    let purge = Purge {
        keys,
        rows,
        secret: orphan.secret,
        request,
    };
    if let Some(kept) = orphan.kept(by_name) {
        return Ok(Purged::Kept(kept));
    }
    let Some(now) = purge.look_again(under_way, orphan).await? else {
        return Ok(Purged::Deleted);
    };
    if let Some(kept) = now.kept(by_name) {
        return Ok(Purged::Kept(kept));
    }
    let deleted = match now.class {
        Class::UnknownRow => purge.delete_without_row().await?,
        _ => purge.delete_under_lock(&now).await?,
    };
    match deleted {
        None => Ok(Purged::Kept(Kept::Changed)),
        Some(Ok(())) => {
            messages::purged(now.secret, &now.row, now.class.as_str(), request);
            Ok(Purged::Deleted)
        }
        Some(Err(error)) => {
            messages::not_purged(now.secret, &now.row, &error.to_string(), request);
            Err(purge.failed(error))
        }
    }
}

struct Purge<'a, M, D> {
    keys: &'a M,
    rows: &'a D,
    secret: SecretId,
    request: RequestId,
}

impl<M: Consumers, D: CinderDatabase> Purge<'_, M, D> {
    /// The secret as it is now, or `None` where it is gone. Whether any row refers to it is left
    /// to the look under the lock.
    async fn look_again(
        &self,
        under_way: &impl UnderWay,
        before: &Orphan,
    ) -> Result<Option<Orphan>, PurgeError> {
        let looked = look_at(self.keys, self.secret, self.request).await;
        let (row, stored) = match looked.map_err(PurgeError::Everything)? {
            Ok(found) => found,
            Err(Kept::NoSuchSecret) => return Ok(None),
            Err(kept) => return Ok(Some(before.but_kept(kept))),
        };
        let open = under_way.open().await.map_err(PurgeError::Everything)?;
        let holders = self.rows.holders(row.kind, std::slice::from_ref(&row.id));
        let holders = holders.await.map_err(of_database)?;
        let evidence = Evidence {
            stored: &stored,
            open: open.include(&row, self.secret),
            holder: holders.first().map(|(_, holder)| holder),
            by_deleted: before.class == Class::ReferredByDeleted,
            row,
        };
        let now = evidence.judge();
        let consumers = self.keys.consumers(self.secret, self.request).await;
        match consumers {
            Ok(0) => Ok(Some(now)),
            Ok(consumers) => Ok(Some(now.but_kept(Kept::Consumers(consumers)))),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn delete_under_lock(
        &self,
        orphan: &Orphan,
    ) -> Result<Option<Result<(), SecretError>>, PurgeError> {
        let mut outcome = None;
        let delete = async {
            outcome = Some(self.keys.delete(self.secret, self.request).await);
        };
        let held = self.rows.while_unneeded(&orphan.row, self.secret, delete);
        match held.await {
            Ok(_) => Ok(outcome),
            // What Barbican said counts, though the lock was lost behind it.
            Err(_) if outcome.is_some() => Ok(outcome),
            Err(error) => Err(of_database(error)),
        }
    }

    /// There is no row to lock; the operator has answered for it by naming the secret.
    async fn delete_without_row(&self) -> Result<Option<Result<(), SecretError>>, PurgeError> {
        let referred = self.rows.referred(&[self.secret]).await;
        if !referred.map_err(of_database)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.keys.delete(self.secret, self.request).await))
    }

    fn failed(&self, error: SecretError) -> PurgeError {
        match error {
            SecretError::Fault(fault) | SecretError::Forbidden(fault) => {
                PurgeError::Everything(fault)
            }
            error => PurgeError::This(error.to_string()),
        }
    }
}

impl Orphan {
    fn but_kept(&self, kept: Kept) -> Self {
        Self {
            obstacle: Some(kept),
            ..self.clone()
        }
    }
}

fn of_database(error: DatabaseError) -> PurgeError {
    match error {
        DatabaseError::Contended(text) => PurgeError::This(text),
        error => PurgeError::Everything(database_fault(error)),
    }
}
