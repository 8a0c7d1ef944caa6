//! What only the audit asks of a database before the fixed key may go. Nothing in here writes, and
//! nothing asks for more than the right to read.

mod image_metadata;
mod keyed_rows;
mod nova;
mod old_backups;
mod shared_secrets;
mod verifying;

use crate::database::{CinderDb, WHOLE_TABLE};

use key_migration::ids::RowId;
use key_migration::ports::DatabaseError;

pub use self::image_metadata::ZeroImageMetadata;
pub use self::keyed_rows::{KeyedRow, KeyedVolume, Whose};
pub use self::nova::NovaCell;
pub use self::old_backups::{OldBackup, VolumeBehind};
pub use self::shared_secrets::SharedSecret;

impl CinderDb {
    /// A page, in the order of their IDs, of the backups that are not deleted and whose row has no
    /// key: those of unencrypted volumes, and those that are older than the column (Queens).
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn old_backups(
        &self,
        after: Option<&RowId>,
        limit: u32,
    ) -> Result<Vec<OldBackup>, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "reading backups without a key",
            |mut lease| async move {
                let done = old_backups::page(&mut lease.session, after, limit).await;
                lease.settle(done)
            },
        )
        .await
    }

    /// How many backups [`old_backups`](Self::old_backups) comes to.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn count_old_backups(&self) -> Result<u64, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "counting backups without a key",
            |mut lease| async move {
                let done = old_backups::count(&mut lease.session).await;
                lease.settle(done)
            },
        )
        .await
    }

    /// What `volume_glance_metadata` says of keys that are all zeros.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn zero_image_metadata(&self) -> Result<ZeroImageMetadata, DatabaseError> {
        self.run(
            WHOLE_TABLE,
            "reading image metadata of volumes",
            |mut lease| async move {
                let done = image_metadata::read(&mut lease.session).await;
                lease.settle(done)
            },
        )
        .await
    }
}
