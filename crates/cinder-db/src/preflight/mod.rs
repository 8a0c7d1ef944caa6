//! What can be told of the database before anything is changed in it. All of this only reads.

mod access;
mod other_users;
mod recent;

use std::time::Duration;

use key_migration::ids::SecretId;
use key_migration::ports::DatabaseError;
use key_migration::rows::Scope;

pub use self::access::Access;
pub use self::other_users::OtherUsers;
use crate::CinderDb;

/// What may have to read whole tables.
const WHOLE_TABLES: Duration = Duration::from_secs(300);

impl CinderDb {
    /// What the tables have, and what the user in `[database] connection` may do with them.
    ///
    /// # Errors
    /// The database does not answer, or does not let us in.
    pub async fn access(&self) -> Result<Access, DatabaseError> {
        self.run(
            WHOLE_TABLES,
            "asked what may be done",
            |mut lease| async move {
                let target = &self.pool.target;
                let done = access::look(&mut lease.session, target).await;
                lease.settle(done)
            },
        )
        .await
    }

    /// The users who have snapshots or backups, not deleted, of others' volumes at zeros, those
    /// with the most first.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn other_users(&self) -> Result<Vec<OtherUsers>, DatabaseError> {
        self.run(
            WHOLE_TABLES,
            "looking for other users",
            |mut lease| async move {
                let done = other_users::look(&mut lease.session).await;
                lease.settle(done)
            },
        )
        .await
    }

    /// A few secrets that rows of this host hold which were changed in the last minute, by the
    /// database's clock.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn lately_held(&self, scope: &Scope) -> Result<Vec<SecretId>, DatabaseError> {
        self.run(
            WHOLE_TABLES,
            "looking for recent changes",
            |mut lease| async move {
                let done = recent::look(&mut lease.session, scope).await;
                lease.settle(done)
            },
        )
        .await
    }
}
