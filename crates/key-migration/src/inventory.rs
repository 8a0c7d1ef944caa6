//! What earlier runs left in Barbican, listed once by name before the first secret is stored.
//!
//! Each page is held against the database at once, so that memory holds only what is left over,
//! never all secrets.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::fixed_key::FixedKey;
use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName};
use crate::intents::Intents;
use crate::one_key::unused;
use crate::ports::{CinderDatabase, DatabaseError, KeyManager, SecretError, StoredSecret};
use crate::reasons::{Fault, Reason};
use crate::rows::RowKey;

/// Lists what is stored for this kind of row. Hands back a secret that must hold the fixed key, if
/// there is one.
///
/// # Errors
/// What stands in the way; nothing may be stored before this has succeeded once.
pub(crate) async fn take<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    kind: ResourceKind,
    intents: &mut Intents,
) -> Result<Option<(RowRef, SecretId)>, Fault> {
    let (sender, mut pages) = mpsc::channel(2);
    let listing = keys.list(kind, sender, RequestId::random());
    // The receiver is moved in, so that a listing nobody reads any more ends too.
    let reading = async move {
        let mut sample = None;
        while let Some(page) = pages.recv().await {
            let found = sort_page(rows, kind, &page, &mut *intents).await?;
            sample = sample.or(found);
        }
        Ok(sample)
    };
    let (listed, read) = tokio::join!(listing, reading);
    let sample = read.map_err(database_fault)?;
    listed?;
    Ok(sample)
}

/// A secret that must hold the fixed key, from the first page of a listing. What that shows is taken
/// in like all of it.
///
/// # Errors
/// What stands in the way.
pub(crate) async fn sample<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    kind: ResourceKind,
    intents: &mut Intents,
) -> Result<Option<(RowRef, SecretId)>, Fault> {
    let (sender, mut pages) = mpsc::channel(1);
    let listing = keys.list(kind, sender, RequestId::random());
    let reading = async move {
        match pages.recv().await {
            Some(page) => sort_page(rows, kind, &page, intents).await,
            None => Ok(None),
        }
    };
    let (listed, read) = tokio::join!(listing, reading);
    let sample = read.map_err(database_fault)?;
    listed?;
    Ok(sample)
}

/// W19: compares the payload of one secret of ours with the fixed key before anything is stored.
///
/// # Errors
/// It holds something else, or cannot be read.
pub(crate) async fn compare_sample<M: KeyManager>(
    keys: &M,
    fixed_key: &FixedKey,
    (row, secret): (RowRef, SecretId),
    intents: &mut Intents,
) -> Result<(), Fault> {
    let compared = compare(keys, fixed_key, &row, secret).await;
    if let Err(Fault {
        reason: Reason::FixedKeyMismatch,
        ..
    }) = compared
    {
        intents.set_mismatch(&row, secret);
    }
    compared
}

/// Holds a page against the database. Hands back a secret that must hold the fixed key, if there is
/// one: the row that it was stored for is in this database, not in that of another region.
async fn sort_page<D: CinderDatabase>(
    rows: &D,
    kind: ResourceKind,
    page: &[StoredSecret],
    intents: &mut Intents,
) -> Result<Option<(RowRef, SecretId)>, DatabaseError> {
    let named: Vec<(RowRef, &StoredSecret)> = page
        .iter()
        .filter_map(|secret| Some((SecretName::row(&secret.name)?, secret)))
        .filter(|(row, _)| row.kind == kind)
        .collect();
    let ids: Vec<RowId> = named.iter().map(|(row, _)| row.id.clone()).collect();
    let held: HashMap<RowId, RowKey> = rows.keys(kind, &ids).await?.into_iter().collect();
    let now = Instant::now();
    let mut sample = None;
    let mut unheld = BTreeMap::new();
    for (row, secret) in named {
        let Some(key) = held.get(&row.id) else {
            continue;
        };
        if secret.is_ours() {
            sample.get_or_insert_with(|| (row.clone(), secret.id));
        }
        if *key == RowKey::AllZeros {
            intents.add_leftover(&row, secret, now);
        } else if secret.created_by_us && !key.is(secret.id) {
            unheld.insert(secret.id, row);
        }
    }
    // Another row may have taken it over, as in a volume migration.
    let secrets: Vec<SecretId> = unheld.keys().copied().collect();
    for secret in unused(rows, &secrets).await? {
        intents.add_superseded(&unheld[&secret], secret);
    }
    Ok(sample)
}

/// This host's fixed key must be the one that a secret stored for a row holds, if it still exists.
///
/// # Errors
/// It holds something else, or cannot be read.
pub(crate) async fn compare<M: KeyManager>(
    keys: &M,
    fixed_key: &FixedKey,
    row: &RowRef,
    secret: SecretId,
) -> Result<(), Fault> {
    let payload = match keys.payload(secret, RequestId::random()).await {
        Ok(payload) => payload,
        Err(SecretError::NotFound(_)) => return Ok(()),
        Err(SecretError::Fault(fault) | SecretError::Forbidden(fault)) => return Err(fault),
        Err(SecretError::Refused(message) | SecretError::Failed(message)) => {
            let remedy = "look for that secret in the log of the Barbican API";
            let message = format!("secret {secret} cannot be read: {message}");
            return Err(Fault::new(Reason::BarbicanFailing, message, remedy));
        }
    };
    if fixed_key.equals(&payload) {
        return Ok(());
    }
    Err(mismatch(row, secret))
}

/// A secret of ours does not hold the fixed key: which of the two is wrong, the operator has to say.
pub(crate) fn mismatch(row: &RowRef, secret: SecretId) -> Fault {
    let message = format!(
        "secret {secret}, stored under the name of {row}, does not hold this host's fixed_key"
    );
    let remedy = "compare [key_manager] fixed_key of all hosts: they must be the same; \
         if they are, look at that secret in Barbican";
    Fault::new(Reason::FixedKeyMismatch, message, remedy)
}

/// A database error as the fault that it is for a whole service.
#[must_use]
pub fn database_fault(error: DatabaseError) -> Fault {
    match error {
        DatabaseError::Unreachable(fault) | DatabaseError::Refused(fault) => fault,
        DatabaseError::Contended(message) => Fault::new(
            Reason::DatabaseUnreachable,
            message,
            "look for long transactions in Cinder's database",
        ),
    }
}
