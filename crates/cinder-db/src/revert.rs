//! The way back, by command only: a row, and with a volume the snapshots that share its secret,
//! leave that secret for all zeros. By compare-and-swap like the way there, so that a key that came
//! meanwhile is never lost.

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowRef, SecretId};
use key_migration::ports::DatabaseError;
use key_migration::rows::RowKey;

use crate::database::{CinderDb, FEW_ROWS};
use crate::failure::Failure;
use crate::rows::{migration_status, select, status, table};
use crate::session::Session;
use crate::statement::Statement;

/// What came of it. Only [`SetBack::Done`] changed anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetBack {
    /// The row and this many snapshots are at zeros now.
    Done {
        /// Snapshots that shared the secret.
        snapshots: u64,
    },
    /// The row does not refer to that secret any more.
    Lost,
    /// Cinder is in the middle of something with it.
    Transitional(String),
    /// It is deleted, or was never there.
    Gone,
}

impl CinderDb {
    /// Sets a volume or a backup back from this secret to all zeros.
    ///
    /// # Errors
    /// See [`DatabaseError`]; it may have been done all the same, and may be repeated.
    pub async fn set_back(&self, row: &RowRef, secret: SecretId) -> Result<SetBack, DatabaseError> {
        self.run(FEW_ROWS, "setting a row back", |mut lease| async move {
            let done = set_back(&mut lease.session, row, secret).await;
            lease.settle(done)
        })
        .await
    }
}

async fn set_back(
    session: &mut Session,
    row: &RowRef,
    secret: SecretId,
) -> Result<SetBack, Failure> {
    let table = table(row.kind);
    session.begin(table).await?;
    let done = within_transaction(session, row, secret).await;
    if let Ok(SetBack::Done { .. }) = done {
        session.commit(table).await?;
    } else if !matches!(done, Err(Failure::Broken(_))) {
        session.roll_back(table).await?;
    }
    done
}

async fn within_transaction(
    session: &mut Session,
    row: &RowRef,
    secret: SecretId,
) -> Result<SetBack, Failure> {
    let columns = format!("encryption_key_id, status, {}", migration_status(row.kind));
    let mut statement = select(session, &columns, row.kind);
    statement.not_deleted().push(" AND ");
    statement.exactly("id", row.id.as_str());
    statement.push(session.dialect().locking());
    let found = session.rows(&statement).await?;
    let Some(found) = found.first() else {
        return Ok(SetBack::Gone);
    };
    let held = found.text(0)?;
    if !RowKey::from_column(held.clone()).is(secret) {
        return Ok(SetBack::Lost);
    }
    if let Some(busy) = status(found, 1)?.transitional(row.kind) {
        return Ok(SetBack::Transitional(busy));
    }
    // As it is written: a UUID may be in capitals.
    let held = held.unwrap_or_default();
    let own = zeroing(session, row.kind, ("id", row.id.as_str()), &held);
    if session.write(&own).await? != 1 {
        return Ok(SetBack::Lost);
    }
    let snapshots = match row.kind {
        ResourceKind::Volume => {
            let place = ("volume_id", row.id.as_str());
            let snapshots = zeroing(session, ResourceKind::Snapshot, place, &held);
            session.write(&snapshots).await?
        }
        ResourceKind::Snapshot | ResourceKind::Backup => 0,
    };
    Ok(SetBack::Done { snapshots })
}

/// `UPDATE` to zeros what refers to this key and is not deleted.
fn zeroing(
    session: &Session,
    kind: ResourceKind,
    (column, id): (&str, &str),
    key: &str,
) -> Statement {
    let table = table(kind);
    let mut statement = Statement::on(session.dialect(), table, "UPDATE ");
    statement.push(table).push(" SET encryption_key_id = '");
    statement.push(ALL_ZEROS).push("', updated_at = ");
    statement.push(session.dialect().now()).push(" WHERE ");
    statement.not_deleted().push(" AND ").exactly(column, id);
    statement.push(" AND ").exactly("encryption_key_id", key);
    statement
}
