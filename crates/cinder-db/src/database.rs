//! The port as the domain sees it: each operation on a connection of its own, under a time limit,
//! repeated where repeating can help.

use std::collections::HashSet;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId};
use key_migration::ports::{CinderDatabase, DatabaseError};
use key_migration::reasons::Fault;
use key_migration::rows::{
    Census, FreshRow, Holder, RowKey, ScannedRow, Scope, SharedRow, Swap, SwapOutcome,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::backup_users::BackupUsers;
use crate::connection::{ConnectionConfig, OPTION};
use crate::failure::Failure;
use crate::references::{self, Among};
use crate::session::{Lease, Pool};
use crate::{census, rows, scan, shared, swap, unneeded};

/// What looks at a few rows by an index; longer than a lock wait (5 s) in every statement of it.
pub(crate) const FEW_ROWS: Duration = Duration::from_secs(30);
/// What may have to read a whole table: `encryption_key_id` has no index.
pub(crate) const WHOLE_TABLE: Duration = Duration::from_secs(300);
/// As often as Cinder itself repeats what met a deadlock (oslo.db, `retry_on_deadlock`).
const REPEATS: usize = 5;
/// Rows held still at once. Each takes a connection for as long as somebody else takes to answer,
/// and some must be left for all that is quick.
const HELD_AT_ONCE: usize = 4;

/// Cinder's database. It connects when it is first asked, and again whenever it has to.
pub struct CinderDb {
    pub(crate) pool: Pool,
    backup_users: BackupUsers,
    held: Semaphore,
    /// The option that leads to the database, as remedies name it.
    option: String,
}

impl CinderDb {
    /// Takes the connection's description; nothing is sent yet.
    #[must_use]
    pub fn new(config: ConnectionConfig) -> Self {
        Self {
            pool: Pool::new(config.target),
            backup_users: BackupUsers::default(),
            held: Semaphore::new(HELD_AT_ONCE),
            option: config.option,
        }
    }

    async fn referred_among(
        &self,
        secrets: &[SecretId],
        among: Among,
    ) -> Result<HashSet<SecretId>, DatabaseError> {
        self.run(WHOLE_TABLE, "looking for secrets", |mut lease| async move {
            let done = references::referred(&mut lease.session, secrets, among).await;
            lease.settle(done)
        })
        .await
    }

    /// The failure, with the place of the option in its remedy.
    fn told(&self, failure: Failure) -> DatabaseError {
        let placed = |mut fault: Fault| {
            fault.remedy = fault.remedy.replacen(OPTION, &self.option, 1);
            fault
        };
        match DatabaseError::from(failure) {
            DatabaseError::Unreachable(fault) => DatabaseError::Unreachable(placed(fault)),
            DatabaseError::Refused(fault) => DatabaseError::Refused(placed(fault)),
            contended @ DatabaseError::Contended(_) => contended,
        }
    }

    pub(crate) async fn run<'d, T, F>(
        &'d self,
        limit: Duration,
        what: &str,
        operation: impl Fn(Lease<'d>) -> F,
    ) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(REPEATS)
            .with_jitter();
        let attempt = || async {
            let answer = timeout(limit, async { operation(self.pool.lease().await?).await }).await;
            answer.unwrap_or_else(|_| Err(Failure::timed_out(what, limit.as_secs())))
        };
        let done = attempt.retry(waits).when(Failure::may_pass).await;
        done.map_err(|failure| self.told(failure))
    }
}

impl CinderDatabase for CinderDb {
    async fn any_row(&self, scope: &Scope) -> Result<bool, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "asked for any row of this host",
            |mut lease| async move {
                let done = scan::any_row(&mut lease.session, scope).await;
                lease.settle(done)
            },
        )
        .await
    }

    async fn count_zero_rows(&self, scope: &Scope) -> Result<u64, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "counting rows of this host",
            |mut lease| async move {
                let done = scan::count_zero_rows(&mut lease.session, scope).await;
                lease.settle(done)
            },
        )
        .await
    }

    async fn zero_rows(
        &self,
        scope: &Scope,
        kind: ResourceKind,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<ScannedRow>, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "reading rows of this host",
            |mut lease| async move {
                let done = scan::zero_rows(&mut lease.session, scope, kind, after, limit).await;
                lease.settle(done)
            },
        )
        .await
    }

    async fn row(&self, row: &RowRef) -> Result<Option<FreshRow>, DatabaseError> {
        self.run(WHOLE_TABLE, "reading one row", |mut lease| async move {
            let done = rows::row(&mut lease.session, row, &self.backup_users).await;
            lease.settle(done)
        })
        .await
    }

    async fn keys(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> Result<Vec<(RowId, RowKey)>, DatabaseError> {
        self.run(FEW_ROWS, "reading keys of rows", |mut lease| async move {
            let done = rows::keys(&mut lease.session, kind, ids).await;
            lease.settle(done)
        })
        .await
    }

    async fn referred(&self, secrets: &[SecretId]) -> Result<HashSet<SecretId>, DatabaseError> {
        self.referred_among(secrets, Among::Live).await
    }

    async fn holders(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> Result<Vec<(RowId, Holder)>, DatabaseError> {
        self.run(FEW_ROWS, "reading rows", |mut lease| async move {
            let done = rows::holders(&mut lease.session, kind, ids).await;
            lease.settle(done)
        })
        .await
    }

    async fn referred_by_deleted(
        &self,
        secrets: &[SecretId],
    ) -> Result<HashSet<SecretId>, DatabaseError> {
        self.referred_among(secrets, Among::Deleted).await
    }

    async fn shared_rows(
        &self,
        scope: &Scope,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<SharedRow>, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "looking for shared keys",
            |mut lease| async move {
                let done = shared::shared_rows(&mut lease.session, scope, after, limit).await;
                lease.settle(done)
            },
        )
        .await
    }

    async fn while_unneeded<T: Send>(
        &self,
        row: &RowRef,
        secret: SecretId,
        act: impl Future<Output = T> + Send,
    ) -> Result<Option<T>, DatabaseError> {
        let _turn = self.held.acquire().await.expect("it is never closed");
        let locked = self.run(WHOLE_TABLE, "locking a row", |mut lease| async move {
            match unneeded::lock(&mut lease.session, row, secret).await {
                Ok(true) => Ok(Some(lease)),
                other => lease.settle(other.map(|_| None)),
            }
        });
        let Some(mut lease) = locked.await? else {
            return Ok(None);
        };
        // From here on nothing is repeated. Whoever drops this future drops the connection, and
        // with it the lock.
        let done = act.await;
        let released = timeout(FEW_ROWS, unneeded::release(&mut lease.session, row, secret));
        let released = released
            .await
            .unwrap_or_else(|_| Err(Failure::timed_out("unlocking a row", FEW_ROWS.as_secs())));
        lease.settle(released)?;
        Ok(Some(done))
    }

    async fn switch(&self, swap: &Swap) -> Result<SwapOutcome, DatabaseError> {
        self.run(FEW_ROWS, "switching a row", |mut lease| async move {
            let done = swap::switch(&mut lease.session, swap).await;
            lease.settle(done)
        })
        .await
    }

    async fn census(&self, service_down_time: Duration) -> Result<Census, DatabaseError> {
        self.run(WHOLE_TABLE, "counting all rows", |mut lease| async move {
            let done = census::census(&mut lease.session, service_down_time).await;
            lease.settle(done)
        })
        .await
    }
}
