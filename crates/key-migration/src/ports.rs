//! What the domain needs from the world. Adapters implement these; tests put fakes behind them.
//!
//! The errors decide by their type what may be done next: whether a request can have taken effect
//! is known only where it was sent.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::fixed_key::{FixedKey, Payload};
use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName};
use crate::ledger::{Entry, Recollection};
use crate::reasons::Fault;
use crate::rows::{
    Census, FreshRow, Holder, Readers, RowKey, ScannedRow, Scope, SharedRow, Swap, SwapOutcome,
};

/// Wall-clock time. Durations are measured with tokio's monotonic clock instead.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> jiff::Timestamp;
}

/// The key manager: Barbican, signed in as Cinder's service user.
///
/// No method repeats a request by itself, except once after a token was renewed: a 401 is answered
/// before anything takes effect.
pub trait KeyManager: Send + Sync + 'static {
    /// Tells where secrets are kept and whose they are. Two key managers with the same words see
    /// the same secrets; it holds nothing secret.
    fn identity(&self) -> String;

    /// One cheap request that changes nothing: do Keystone and Barbican answer?
    ///
    /// # Errors
    /// What stands in the way.
    fn probe(&self, request: RequestId) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Stores the key under this name. Names are not unique in Barbican: a second call makes a
    /// second secret.
    ///
    /// # Errors
    /// [`StoreError`] tells whether it can have been stored all the same.
    fn store(
        &self,
        name: &SecretName,
        key: &FixedKey,
        request: RequestId,
    ) -> impl Future<Output = Result<SecretId, StoreError>> + Send;

    /// Replaces the secret's read ACL. May be repeated.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn set_readers(
        &self,
        secret: SecretId,
        readers: &Readers,
        request: RequestId,
    ) -> impl Future<Output = Result<(), SecretError>> + Send;

    /// Lets these users read the secret beside those who may already; it need not be one of ours.
    /// Nothing is written where they all may.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn let_read(
        &self,
        secret: SecretId,
        users: &Readers,
        request: RequestId,
    ) -> impl Future<Output = Result<(), SecretError>> + Send;

    /// Who may read the secret by its ACL.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn readers(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> impl Future<Output = Result<Readers, SecretError>> + Send;

    /// What a listing would show of this secret, whoever's it is.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn describe(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> impl Future<Output = Result<StoredSecret, SecretError>> + Send;

    /// Reads the secret's payload.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn payload(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> impl Future<Output = Result<Payload, SecretError>> + Send;

    /// Deletes the secret. One that is gone already counts as deleted.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn delete(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> impl Future<Output = Result<(), SecretError>> + Send;

    /// Every secret of our project with exactly this name, oldest first.
    ///
    /// # Errors
    /// What stands in the way of a complete answer.
    fn find(
        &self,
        name: &SecretName,
        request: RequestId,
    ) -> impl Future<Output = Result<Vec<StoredSecret>, Fault>> + Send;

    /// Every secret of our project whose name was made for this kind of row, page by page into
    /// the channel. The same secret may come more than once; none is left out.
    ///
    /// # Errors
    /// What stands in the way of a complete answer. A receiver that is closed ends it early.
    fn list(
        &self,
        kind: ResourceKind,
        pages: mpsc::Sender<Vec<StoredSecret>>,
        request: RequestId,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A secret as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    /// Its UUID.
    pub id: SecretId,
    /// Its name, as stored.
    pub name: String,
    /// How long ago Barbican says it was created, by Barbican's own clock.
    pub age: Duration,
    /// Whether `creator_id` is the user we are signed in as.
    pub created_by_us: bool,
    /// Whether its status is ACTIVE.
    pub active: bool,
}

impl StoredSecret {
    /// Whether it may be one that we stored for a row and can use.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.active && self.created_by_us
    }
}

/// A secret was not stored, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreError {
    /// It was certainly not stored, and the next one would not be either.
    #[error(transparent)]
    NotStored(Fault),
    /// The request went out and its outcome is not known: it may be stored, or may be yet.
    #[error("{0}")]
    OutcomeUnknown(String),
}

/// A request about one stored secret failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SecretError {
    /// It would hit every secret.
    #[error(transparent)]
    Fault(Fault),
    /// Barbican does not let us do this with this secret. For one of ours that is the fault of
    /// the whole service that stands in it; another's may simply not be ours to use.
    #[error(transparent)]
    Forbidden(Fault),
    /// Barbican knows no such secret; just after it was stored, this may be a stale read.
    #[error("Barbican knows no secret {0}")]
    NotFound(SecretId),
    /// Barbican refuses this very request: repeating it as it is does not help.
    #[error("{0}")]
    Refused(String),
    /// Barbican failed or did not answer in time; the request may be repeated.
    #[error("{0}")]
    Failed(String),
}

/// Cinder's database. Every statement names the rows that it may touch; reads that decide whether
/// a secret may be deleted are synchronised with the cluster where there is one.
pub trait CinderDatabase: Send + Sync + 'static {
    /// Whether this host owns any row at all that is not deleted, encrypted or not.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn any_row(&self, scope: &Scope) -> impl Future<Output = Result<bool, DatabaseError>> + Send;

    /// How many rows of this host are to be migrated: those at zeros and not deleted, and for
    /// volumes also the stray snapshots, as in [`CinderDatabase::zero_rows`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn count_zero_rows(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<u64, DatabaseError>> + Send;

    /// The next rows of this kind and host at zeros and not deleted, in the order of their IDs, at
    /// most `limit`, after the given one. Of snapshots, only the stray ones: those whose volume
    /// (of this host, not deleted) is not at zeros, and so does not take them along.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn zero_rows(
        &self,
        scope: &Scope,
        kind: ResourceKind,
        after: Option<&RowId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<ScannedRow>, DatabaseError>> + Send;

    /// One row as it is now, or `None` where it is deleted or gone.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn row(
        &self,
        row: &RowRef,
    ) -> impl Future<Output = Result<Option<FreshRow>, DatabaseError>> + Send;

    /// What these rows (not deleted) hold; rows that are deleted or gone are left out.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn keys(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> impl Future<Output = Result<Vec<(RowId, RowKey)>, DatabaseError>> + Send;

    /// Which of these secrets any row that is not deleted refers to: volume, snapshot or backup.
    /// One reading of each table, however many secrets.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn referred(
        &self,
        secrets: &[SecretId],
    ) -> impl Future<Output = Result<HashSet<SecretId>, DatabaseError>> + Send;

    /// What these rows are, deleted ones included; rows that are not in the database are left out.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn holders(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> impl Future<Output = Result<Vec<(RowId, Holder)>, DatabaseError>> + Send;

    /// Which of these secrets deleted rows refer to.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn referred_by_deleted(
        &self,
        secrets: &[SecretId],
    ) -> impl Future<Output = Result<HashSet<SecretId>, DatabaseError>> + Send;

    /// This host's volumes (not deleted) that hold a key other than zeros and have a snapshot or
    /// backup, not deleted, of another user than their own; in the order of their IDs, at most
    /// `limit`, after the given one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn shared_rows(
        &self,
        scope: &Scope,
        after: Option<&RowId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<SharedRow>, DatabaseError>> + Send;

    /// Runs `act` while the row is locked against every change and refers to nothing that would
    /// need this secret: the row exists, is deleted or holds another key that is not zeros, and no
    /// row that is not deleted refers to the secret. Says `None`, having run nothing, where that
    /// does not hold.
    ///
    /// # Errors
    /// See [`DatabaseError`]; `act` may have been run all the same.
    fn while_unneeded<T: Send>(
        &self,
        row: &RowRef,
        secret: SecretId,
        act: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Result<Option<T>, DatabaseError>> + Send;

    /// Switches a row, and with a volume its zero snapshots, in one transaction, by
    /// compare-and-swap of everything that the secret was made for.
    ///
    /// # Errors
    /// See [`DatabaseError`]. After [`DatabaseError::Unreachable`] the commit may have taken
    /// effect; the same swap may be repeated and then says so.
    fn switch(
        &self,
        swap: &Swap,
    ) -> impl Future<Output = Result<SwapOutcome, DatabaseError>> + Send;

    /// Counts all rows at zeros, and those that no service owns whose heartbeat
    /// (`services.updated_at`) is at most `service_down_time` old. Sees what was committed on any
    /// node of a cluster before it began.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn census(
        &self,
        service_down_time: Duration,
    ) -> impl Future<Output = Result<Census, DatabaseError>> + Send;
}

/// The database did not do what it was asked. No text of it holds the connection URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DatabaseError {
    /// Nobody answers, or the connection broke.
    #[error(transparent)]
    Unreachable(Fault),
    /// It answers and refuses: access, a missing table or column.
    #[error(transparent)]
    Refused(Fault),
    /// Others kept locking the row through every retry; it was not changed.
    #[error("{0}")]
    Contended(String),
}

/// Rows that the operator holds at zeros: asked after a row was read at zeros and before anything is
/// done for it, so that a hold which was recorded before its row went back to zeros is always seen.
pub trait Holds: Send + Sync + 'static {
    /// Whether this row is held.
    fn is_held(&self, row: &RowRef) -> bool;
}

/// Nothing is held.
impl Holds for () {
    fn is_held(&self, _: &RowRef) -> bool {
        false
    }
}

/// The durable record of intents and outcomes. It speeds things up and is the audit record; nothing
/// is wrong without it, only slower, and it alone never permits a deletion. It never holds a key.
///
/// All entries and recollections are of one `keeper`: the [`KeyManager::identity`] that the secrets
/// are kept under.
pub trait Ledger: Send + Sync + 'static {
    /// What is recorded for rows of these kinds.
    ///
    /// # Errors
    /// Always [`Reason::LedgerUnavailable`](crate::reasons::Reason::LedgerUnavailable), with what
    /// is wrong and what helps.
    fn recall(
        &self,
        keeper: &str,
        kinds: &[ResourceKind],
    ) -> impl Future<Output = Result<Recollection, Fault>> + Send;

    /// Records that a secret is about to be stored for this row; on disk when it returns. Intents
    /// that are recorded at the same time share a commit. Hands back the secrets that were recorded
    /// as the row's before, latest first, except those recorded as gone or superseded: where there
    /// are any, they are looked for before another is stored.
    ///
    /// # Errors
    /// As [`Ledger::recall`]. The record may be there all the same.
    fn intend(
        &self,
        keeper: &str,
        row: &RowRef,
        request: RequestId,
    ) -> impl Future<Output = Result<Vec<SecretId>, Fault>> + Send;

    /// Records what became of something, with the next commit and soon. Failure shows in the next
    /// [`Ledger::intend`].
    fn note(&self, keeper: &str, entry: Entry);

    /// Records that all secrets of this kind that the keeper holds were listed and accounted for,
    /// and that from now on nothing is stored for such rows without an intent in this ledger.
    ///
    /// # Errors
    /// As [`Ledger::recall`].
    fn listed(
        &self,
        keeper: &str,
        kind: ResourceKind,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Waits until everything noted is on disk, or cannot be.
    ///
    /// # Errors
    /// As [`Ledger::recall`].
    fn flush(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}
