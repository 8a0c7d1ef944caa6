//! What the domain needs from the world. Adapters implement these; tests put fakes behind them.
//!
//! The errors decide by their type what may be done next: whether a request can have taken effect
//! is known only where it was sent.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::fixed_key::{FixedKey, Payload};
use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName};
use crate::reasons::Fault;
use crate::rows::{Census, FreshRow, Readers, RowKey, ScannedRow, Scope, Swap, SwapOutcome};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It was certainly not stored, and the next one would not be either.
    #[error(transparent)]
    NotStored(Fault),
    /// The request went out and its outcome is not known: it may be stored, or may be yet.
    #[error("{0}")]
    OutcomeUnknown(String),
}

/// A request about one stored secret failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It would hit every secret.
    #[error(transparent)]
    Fault(Fault),
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

    /// How many rows of this host are at zeros and not deleted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn count_zero_rows(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<u64, DatabaseError>> + Send;

    /// The next rows of this host at zeros and not deleted, in the order of their IDs, at most
    /// `limit`, after the given one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn zero_rows(
        &self,
        scope: &Scope,
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

    /// Whether any row that is not deleted refers to this secret: volume, snapshot or backup.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn refers_to(
        &self,
        secret: SecretId,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send;

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
    /// (`services.updated_at`) is at most `service_down_time` old.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    fn census(
        &self,
        service_down_time: Duration,
    ) -> impl Future<Output = Result<Census, DatabaseError>> + Send;
}

/// The database did not do what it was asked. No text of it holds the connection URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
