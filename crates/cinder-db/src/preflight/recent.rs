//! Rows that somebody has just given a key.

use key_migration::ids::{ALL_ZEROS, SecretId};
use key_migration::rows::{RowKey, Scope};

use crate::failure::Failure;
use crate::scan;
use crate::session::Session;

/// A little longer than Cinder's own migrator takes from one row to the next.
const LATELY: u64 = 60;
/// As many are asked about one by one.
const A_FEW: u32 = 10;

pub(super) async fn look(session: &mut Session, scope: &Scope) -> Result<Vec<SecretId>, Failure> {
    let mut statement = scan::own(session, "encryption_key_id", scope);
    statement.push(" AND encryption_key_id IS NOT NULL AND encryption_key_id <> '");
    statement.push(ALL_ZEROS).push("' AND updated_at >= ");
    statement.push(&session.dialect().seconds_ago(LATELY));
    statement.push(&format!(" ORDER BY updated_at DESC LIMIT {A_FEW}"));
    let mut secrets = Vec::new();
    for row in session.rows(&statement).await? {
        secrets.extend(RowKey::from_column(row.text(0)?).secret());
    }
    Ok(secrets)
}
