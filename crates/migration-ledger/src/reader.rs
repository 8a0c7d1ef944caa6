//! Reading beside the process that keeps the ledger.

use std::path::Path;

use key_migration::ledger::OpenIntent;
use key_migration::reasons::Fault;
use sqlx::Connection as _;

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
    let intents = read(state_dir, keeper).await;
    intents.map_err(|trouble| trouble.fault(state_dir))
}

async fn read(state_dir: &Path, keeper: Option<&str>) -> Result<Vec<OpenIntent>, Trouble> {
    match place::ledger(state_dir).metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Trouble::of_io(&error, state_dir)),
    }
    let failed = |error| Trouble::of_sqlite(&error, state_dir);
    let mut connection = schema::connect_to_read(state_dir).await.map_err(failed)?;
    let intents = match schema::examine(&mut connection, state_dir).await? {
        Format::Empty => Vec::new(),
        Format::Current => recall::open_intents(&mut connection, keeper)
            .await
            .map_err(failed)?,
    };
    let _ = connection.close().await;
    Ok(intents)
}
