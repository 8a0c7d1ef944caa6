//! Secrets that more than one owner's rows refer to: whoever deletes the one deletes the other's
//! key.
//!
//! Cinder itself lets some rows share a secret. A snapshot has its volume's, and stands for its
//! volume here. The target of a volume migration and the volume of an image (`image-<image ID>`)
//! are copies that hold the key of what they were copied from (cinder/volume/manager.py); they are
//! left out.

use key_migration::ids::{ALL_ZEROS, RowId, SecretId};

use crate::failure::Failure;
use crate::session::Session;
use crate::statement::Statement;

/// A secret that rows of several owners refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSecret {
    /// Which; the last one of a page is where the next one begins.
    pub secret: SecretId,
    /// How many rows refer to it, snapshots included.
    pub rows: u64,
    /// Two of the volumes and backups that do, or whose snapshots do.
    pub owners: [RowId; 2],
}

/// Such secrets in their order, after the given one. The database groups all rows; what is read
/// from it is what is shared.
pub(super) async fn page(
    session: &mut Session,
    after: Option<SecretId>,
    limit: u32,
) -> Result<Vec<SharedSecret>, Failure> {
    let statement = statement(session, after, limit);
    session.enter_cluster_view().await?;
    let rows = session.rows(&statement).await?;
    session.leave_cluster_view().await?;
    let mut shared = Vec::with_capacity(rows.len());
    for row in rows {
        let secret = row.text(0)?.and_then(|secret| secret.parse().ok());
        if let (Some(secret), Some(one), Some(other)) = (secret, row.text(2)?, row.text(3)?) {
            shared.push(SharedSecret {
                secret,
                rows: row.count(1)?,
                owners: [one.into(), other.into()],
            });
        }
    }
    Ok(shared)
}

/// Secrets are grouped by their digits, in whatever spelling. What is longer or shorter than a UUID
/// is none.
fn statement(session: &Session, after: Option<SecretId>, limit: u32) -> Statement {
    let sql = "SELECT secret, COUNT(*), MIN(owner), MAX(owner) FROM (";
    let mut statement = Statement::on(session.dialect(), "volumes", sql);
    for (union, table, owner) in [
        ("", "volumes", "id"),
        (" UNION ALL ", "snapshots", "volume_id"),
        (" UNION ALL ", "backups", "id"),
    ] {
        statement.push(&format!(
            "{union}SELECT LOWER(REPLACE(encryption_key_id, '-', '')) AS secret, {owner} AS owner \
             FROM {table} WHERE encryption_key_id <> '{ALL_ZEROS}' AND "
        ));
        statement.not_deleted_of(table);
        if table == "volumes" {
            statement.push(
                " AND COALESCE(migration_status, '') NOT LIKE 'target:%' \
                 AND COALESCE(migration_status, '') <> 'deleting' \
                 AND COALESCE(display_name, '') NOT LIKE \
                 'image-________-____-____-____-____________'",
            );
        }
    }
    statement.push(") AS holders WHERE LENGTH(secret) = 32");
    if let Some(after) = after {
        statement.push(" AND secret > ");
        statement.bind(after.to_string().replace('-', ""));
    }
    statement.push(&format!(
        " GROUP BY secret HAVING MIN(owner) <> MAX(owner) ORDER BY secret LIMIT {limit}"
    ));
    statement
}
