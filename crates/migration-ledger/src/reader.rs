//! Reading beside the process that keeps the ledger.

use std::collections::HashSet;
use std::path::Path;

use jiff::Timestamp;
use key_migration::ids::{RowRef, SecretId};
use key_migration::ledger::OpenIntent;
use key_migration::reasons::Fault;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use crate::faults::Trouble;
use crate::schema::{self, Format};
use crate::{place, recall};

/// The intents that are open in this directory's ledger, of one keeper or of all, oldest first;
/// none where there is no ledger. Changes nothing, and does not mind that a process has the ledger.
///
/// # Errors
/// Always [`Reason::LedgerUnavailable`](key_migration::reasons::Reason::LedgerUnavailable), with
/// what is wrong and what helps.
pub async fn open_intents(
    state_dir: &Path,
    keeper: Option<&str>,
) -> Result<Vec<OpenIntent>, Fault> {
    let intents = read(state_dir, Vec::new(), async |connection| {
        recall::open_intents(connection, keeper).await
    });
    intents.await.map_err(|trouble| trouble.fault(state_dir))
}

/// When a row of this host was last switched, as far as this directory's ledger knows.
///
/// # Errors
/// As [`open_intents`].
pub async fn last_switch(state_dir: &Path) -> Result<Option<Timestamp>, Fault> {
    const LATEST: &str = "SELECT at FROM events WHERE id = \
        (SELECT MAX(switched) FROM secrets WHERE switched IS NOT NULL)";
    let looked_up = read(state_dir, None, async |connection| {
        let row = sqlx::query(LATEST).fetch_optional(connection).await?;
        row.map(|row| row.try_get::<String, _>(0)).transpose()
    });
    let at = looked_up
        .await
        .map_err(|trouble| trouble.fault(state_dir))?;
    match at.map(|at| at.parse()).transpose() {
        Ok(at) => Ok(at),
        Err(_) => {
            let trouble = Trouble::Corrupted("it holds a time that is none".into());
            Err(trouble.fault(state_dir))
        }
    }
}

/// Of these pairs, those that this directory's ledger records: the secret was stored for the row,
/// or the row was switched to it, and it is not known to be gone or superseded.
///
/// # Errors
/// As [`open_intents`].
pub async fn recorded(
    state_dir: &Path,
    pairs: &[(RowRef, SecretId)],
) -> Result<HashSet<(RowRef, SecretId)>, Fault> {
    // By an index that begins with the keeper, of which there are few.
    const RECORDED: &str = "SELECT 1 FROM secrets WHERE keeper IN (SELECT id FROM keepers)
        AND kind = ? AND row_id = ? AND secret_id = ? AND NOT superseded LIMIT 1";
    let looked_up = read(state_dir, HashSet::new(), async |connection| {
        let mut found = HashSet::new();
        for (row, secret) in pairs {
            let known = sqlx::query(RECORDED)
                .bind(row.kind.as_str())
                .bind(row.id.as_str())
                .bind(secret.to_string())
                .fetch_optional(&mut *connection);
            if known.await?.is_some() {
                found.insert((row.clone(), *secret));
            }
        }
        Ok(found)
    });
    looked_up.await.map_err(|trouble| trouble.fault(state_dir))
}

/// Asks the ledger something, or says `nothing` where there is none.
async fn read<T>(
    state_dir: &Path,
    nothing: T,
    ask: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> Result<T, Trouble> {
    match place::ledger(state_dir).metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(Trouble::of_io(&error, state_dir)),
    }
    let failed = |error| Trouble::of_sqlite(&error, state_dir);
    let mut connection = schema::connect_to_read(state_dir).await.map_err(failed)?;
    let answer = match schema::examine(&mut connection, state_dir).await? {
        Format::Empty => nothing,
        Format::Current => ask(&mut connection).await.map_err(failed)?,
    };
    let _ = connection.close().await;
    Ok(answer)
}
