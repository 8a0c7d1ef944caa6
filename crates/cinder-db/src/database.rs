//! The port as the domain sees it: each operation on a connection of its own, under a time limit,
//! repeated where repeating can help.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId};
use key_migration::ports::{CinderDatabase, DatabaseError};
use key_migration::rows::{Census, FreshRow, RowKey, ScannedRow, Scope, Swap, SwapOutcome};
use tokio::time::timeout;

use crate::backup_users::BackupUsers;
use crate::connection::ConnectionConfig;
use crate::failure::Failure;
use crate::session::{Lease, Pool};
use crate::{census, rows, swap};

/// What looks at a few rows by an index; longer than a lock wait (5 s) in every statement of it.
const FEW_ROWS: Duration = Duration::from_secs(30);
/// What may have to read a whole table: `encryption_key_id` has no index.
const WHOLE_TABLE: Duration = Duration::from_secs(300);
/// As often as Cinder itself repeats what met a deadlock (oslo.db, `retry_on_deadlock`).
const REPEATS: usize = 5;

/// Cinder's database. It connects when it is first asked, and again whenever it has to.
pub struct CinderDb {
    pool: Pool,
    backup_users: BackupUsers,
}

impl CinderDb {
    /// Takes the connection's description; nothing is sent yet.
    #[must_use]
    pub fn new(config: ConnectionConfig) -> Self {
        Self {
            pool: Pool::new(config.target),
            backup_users: BackupUsers::default(),
        }
    }

    async fn run<'d, T, F>(
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
        done.map_err(DatabaseError::from)
    }
}

impl CinderDatabase for CinderDb {
    async fn any_row(&self, scope: &Scope) -> Result<bool, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "asked for any row of this host",
            |mut lease| async move {
                let done = rows::any_row(&mut lease.session, scope).await;
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
                let done = rows::count_zero_rows(&mut lease.session, scope).await;
                lease.settle(done)
            },
        )
        .await
    }

    async fn zero_rows(
        &self,
        scope: &Scope,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<ScannedRow>, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "reading rows of this host",
            |mut lease| async move {
                let done = rows::zero_rows(&mut lease.session, scope, after, limit).await;
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

    async fn refers_to(&self, secret: SecretId) -> Result<bool, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "looking for a secret",
            |mut lease| async move {
                let done = rows::refers_to(&mut lease.session, secret).await;
                lease.settle(done)
            },
        )
        .await
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
