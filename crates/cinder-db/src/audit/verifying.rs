//! What `verify` asks: rows that hold keys, and secrets that several of them refer to.

use key_migration::ids::{ResourceKind, RowId, SecretId};
use key_migration::ports::DatabaseError;

use super::keyed_rows::{self, KeyedRow, Whose};
use super::shared_secrets::{self, SharedSecret};
use crate::database::{CinderDb, WHOLE_TABLE};

impl CinderDb {
    /// How many rows of this kind hold a key other than zeros and are not deleted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn count_keyed_rows(
        &self,
        kind: ResourceKind,
        whose: Whose<'_>,
    ) -> Result<u64, DatabaseError> {
        let what = "counting rows with keys";
        self.run(WHOLE_TABLE, what, |mut lease| async move {
            let done = keyed_rows::count(&mut lease.session, kind, whose).await;
            lease.settle(done)
        })
        .await
    }

    /// The IDs of these rows, in their order, at most `limit`, after the given one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn keyed_row_ids(
        &self,
        kind: ResourceKind,
        whose: Whose<'_>,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<RowId>, DatabaseError> {
        let what = "listing rows with keys";
        self.run(WHOLE_TABLE, what, |mut lease| async move {
            let done = keyed_rows::ids(&mut lease.session, kind, whose, after, limit).await;
            lease.settle(done)
        })
        .await
    }

    /// These rows in the order of their IDs, at most `limit`, after the given one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn keyed_rows(
        &self,
        kind: ResourceKind,
        whose: Whose<'_>,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<KeyedRow>, DatabaseError> {
        let what = "reading rows with keys";
        self.run(WHOLE_TABLE, what, |mut lease| async move {
            let done = keyed_rows::page(&mut lease.session, kind, whose, after, limit).await;
            lease.settle(done)
        })
        .await
    }

    /// The rows of this kind with these IDs, whatever they hold and on any host, in any order;
    /// those that are deleted or gone are left out.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn keyed_rows_named(
        &self,
        kind: ResourceKind,
        ids: &[RowId],
    ) -> Result<Vec<KeyedRow>, DatabaseError> {
        self.run(WHOLE_TABLE, "reading rows", |mut lease| async move {
            let done = keyed_rows::named(&mut lease.session, kind, ids).await;
            lease.settle(done)
        })
        .await
    }

    /// The secrets that rows of more than one owner refer to, on whatever host, in their order, at
    /// most `limit`, after the given one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn shared_secrets(
        &self,
        after: Option<SecretId>,
        limit: u32,
    ) -> Result<Vec<SharedSecret>, DatabaseError> {
        let what = "looking for secrets of several rows";
        self.run(WHOLE_TABLE, what, |mut lease| async move {
            let done = shared_secrets::page(&mut lease.session, after, limit).await;
            lease.settle(done)
        })
        .await
    }
}
