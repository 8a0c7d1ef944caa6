//! A row held still while something is done about a secret that nothing needs.
//!
//! The lock keeps Cinder and its other migrators from changing the row on this server. On a Galera
//! cluster it does not reach the other nodes: what they commit breaks the transaction instead, and
//! [`release`] tells. On SQLite it keeps the whole database from being written: others wait for
//! their own patience (Cinder for 5 s).

use key_migration::ids::{RowRef, SecretId};
use key_migration::rows::RowKey;

use crate::failure::Failure;
use crate::references::{Among, referred_here};
use crate::rows::{select, table};
use crate::session::Session;

/// Locks the row and says whether it and all others do without the secret. The lock is kept only
/// where they do.
pub(crate) async fn lock(
    session: &mut Session,
    row: &RowRef,
    secret: SecretId,
) -> Result<bool, Failure> {
    let table = table(row.kind);
    // Within a transaction only its beginning waits for the cluster.
    session.enter_cluster_view().await?;
    session.begin(table).await?;
    let unneeded = match does_without(session, row, secret).await {
        Ok(true) => {
            let referred = referred_here(session, &[secret], Among::Live).await;
            referred.map(|referred| referred.is_empty())
        }
        other => other,
    };
    if !matches!(unneeded, Ok(true) | Err(Failure::Broken(_))) {
        session.roll_back(table).await?;
        session.leave_cluster_view().await?;
    }
    unneeded
}

/// Gives the lock back, or says that it was lost while it was needed.
pub(crate) async fn release(
    session: &mut Session,
    row: &RowRef,
    secret: SecretId,
) -> Result<(), Failure> {
    let held = does_without(session, row, secret).await;
    session.roll_back(table(row.kind)).await?;
    session.leave_cluster_view().await?;
    if held? {
        return Ok(());
    }
    Err(Failure::Contended(format!("{row} changed under its lock")))
}

/// Whether the row is there, and deleted or at another key.
async fn does_without(
    session: &mut Session,
    row: &RowRef,
    secret: SecretId,
) -> Result<bool, Failure> {
    let not_deleted = session.dialect().not_deleted(table(row.kind));
    let columns = format!("encryption_key_id, CASE WHEN {not_deleted} THEN 0 ELSE 1 END");
    let mut statement = select(session, &columns, row.kind);
    statement.exactly("id", row.id.as_str());
    statement.push(session.dialect().locking());
    let found = session.rows(&statement).await?;
    let Some(found) = found.first() else {
        return Ok(false);
    };
    let deleted = found.count(1)? == 1;
    let key = RowKey::from_column(found.text(0)?);
    Ok(deleted || (matches!(key, RowKey::Other(_)) && !key.is(secret)))
}
