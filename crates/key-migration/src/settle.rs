//! What is open for rows that left zeros without a pass of ours. No walk meets these rows again, so
//! what was stored for them is accounted for here.

use std::collections::HashMap;

use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName};
use crate::intents::Intents;
use crate::inventory::database_fault;
use crate::one_key::delete_unused;
use crate::ports::{CinderDatabase, DatabaseError, KeyManager};
use crate::reasons::Fault;
use crate::rows::RowKey;

/// Rows that are asked for at once.
const PAGE: usize = 500;

/// What came of a row.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It refers to the secret kept for it: a swap of ours had succeeded unheard.
    Migrated,
    /// It has another key or is gone, and these secrets of ours stay without a row.
    Lost(RowRef, Vec<SecretId>),
}

/// Accounts for every row that something is open for and that is not at zeros any more.
///
/// # Errors
/// What stands in the way; what is not settled yet is settled by the next call.
pub(crate) async fn settle<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    kind: ResourceKind,
    intents: &mut Intents,
) -> Result<Vec<Settled>, Fault> {
    let mut settled = Vec::new();
    let open = intents.open_rows(kind);
    for page in open.chunks(PAGE) {
        let held = rows.keys(kind, page).await.map_err(database_fault)?;
        let held: HashMap<RowId, RowKey> = held.into_iter().collect();
        for id in page {
            let key = held.get(id);
            if key == Some(&RowKey::AllZeros) {
                continue;
            }
            let row = RowRef {
                kind,
                id: id.clone(),
            };
            let holds = key.and_then(RowKey::secret);
            settled.extend(settle_row(keys, rows, intents, row, holds).await?);
        }
    }
    Ok(settled)
}

async fn settle_row<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    intents: &mut Intents,
    row: RowRef,
    holds: Option<SecretId>,
) -> Result<Option<Settled>, Fault> {
    let request = RequestId::random();
    if intents.is_parked(&row) {
        let found = stored_unheard(keys, rows, &row, request).await?;
        if found.is_empty() && !intents.found_nothing(&row) {
            return Ok(None);
        }
        for secret in found {
            intents.add_found(&row, secret);
        }
    }
    let was_begun_here = intents.kept(&row).is_some();
    if let Some(kept) = intents.kept(&row)
        && Some(kept.secret) != holds
        && delete_unused(keys, rows, kept, request).await
    {
        intents.forget(&row, kept.secret);
    }
    let unheard = intents
        .kept(&row)
        .is_some_and(|kept| Some(kept.secret) == holds);
    let unused = intents.close(&row, holds);
    Ok(if unheard {
        Some(Settled::Migrated)
    } else if unused.is_empty() && !was_begun_here {
        // Whoever stored what was found for it has switched it, or it is gone with all of that.
        None
    } else {
        Some(Settled::Lost(row, unused))
    })
}

/// What a request that was not answered stored under the name of the row, and nothing refers to.
async fn stored_unheard<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    row: &RowRef,
    request: RequestId,
) -> Result<Vec<SecretId>, Fault> {
    let found = keys.find(&SecretName::of(row), request).await?;
    unused(
        rows,
        found
            .iter()
            .filter(|found| found.is_ours())
            .map(|found| found.id),
    )
    .await
    .map_err(database_fault)
}

/// Those that no row refers to.
pub(crate) async fn unused<D: CinderDatabase>(
    rows: &D,
    secrets: impl Iterator<Item = SecretId>,
) -> Result<Vec<SecretId>, DatabaseError> {
    let mut unused = Vec::new();
    for secret in secrets {
        if !rows.refers_to(secret).await? {
            unused.push(secret);
        }
    }
    Ok(unused)
}
