//! Reads one row's secret and says what is wrong. Requests that may do better are repeated.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use cinder_db::CinderDb;
use cinder_db::audit::{KeyedRow, SharedSecret};
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretId};
use key_migration::inventory_fault;
use key_migration::ports::{KeyManager as _, SecretError};
use key_migration::reasons::{Fault, Reason};
use key_migration::rows::RowKey;
use openstack_client::BarbicanKeyManager;
use tokio::sync::Mutex;

use super::finding::Finding;
use super::judgement::{self, Examined, Origin, Standard};
use super::mending::is_mendable;
use super::tally::Outcome;

/// Some 15 seconds in all: longer than a restart of Barbican behind a proxy.
const REPEATS: usize = 5;

/// What rows are examined with.
pub(super) struct Examiner<'a> {
    pub(super) keys: &'a BarbicanKeyManager,
    pub(super) rows: &'a CinderDb,
    pub(super) standard: Standard<'a>,
    /// What the ledger names for a row.
    pub(super) recorded: &'a HashSet<(RowRef, SecretId)>,
    /// What rows of several owners refer to.
    pub(super) shared: &'a BTreeMap<SecretId, SharedSecret>,
    /// Whether Barbican refused to show a secret, as it does where it is another's: or we have
    /// lost our role.
    pub(super) was_refused: AtomicBool,
    /// Held while an ACL is completed, where that is wanted: of two who add to one at the same
    /// time, one would undo the other.
    pub(super) mending: Option<Mutex<()>>,
}

impl Examiner<'_> {
    /// What the row turns out to be. What looks wrong is looked at twice: it may have been changed
    /// or deleted since it was read from the database.
    pub(super) async fn examine(&self, row: &KeyedRow) -> Result<Outcome, Fault> {
        let (origin, findings) = self.look(row).await?;
        if findings.is_empty() {
            return Ok(Outcome::Examined(origin, findings));
        }
        let Some((again, origin, findings)) = self.look_again(row).await? else {
            return Ok(Outcome::Changed);
        };
        match (&self.mending, again.key.secret()) {
            (Some(turn), Some(secret)) if is_mendable(&findings) => {
                self.mend(turn, &again, secret, origin).await
            }
            _ => Ok(Outcome::Examined(origin, findings)),
        }
    }

    /// The row as it is now, and what is wrong with it; `None` if it no longer is what it was.
    pub(super) async fn look_again(
        &self,
        row: &KeyedRow,
    ) -> Result<Option<(KeyedRow, Origin, Vec<Finding>)>, Fault> {
        let ids = [row.row.id.clone()];
        let again = self.rows.keyed_rows_named(row.row.kind, &ids).await;
        let again = again.map_err(inventory_fault)?.pop();
        let Some(again) = again.filter(|again| again.key == row.key) else {
            return Ok(None);
        };
        let (origin, findings) = self.look(&again).await?;
        Ok(Some((again, origin, findings)))
    }

    async fn look(&self, row: &KeyedRow) -> Result<(Origin, Vec<Finding>), Fault> {
        let secret = match (&row.key, row.key.secret()) {
            (_, Some(secret)) => secret,
            (RowKey::Other(_), None) => {
                return Ok((Origin::NotMigrated, vec![Finding::malformed(row)]));
            }
            (RowKey::Null | RowKey::AllZeros, None) => {
                return Ok((Origin::NotMigrated, Vec::new()));
            }
        };
        let is_recorded = self.is_recorded(row, secret);
        let (origin, examined) = match self.read(row, secret, is_recorded).await? {
            Read::All(origin, examined) => (origin, examined),
            Read::NotMigrated => return Ok((Origin::NotMigrated, Vec::new())),
            Read::Wrong(finding) => return Ok((Origin::Ours, vec![finding])),
        };
        let (origin, mut findings) = judgement::judge(row, &examined, origin, &self.standard);
        let shared = self.shared.get(&secret);
        if let Some(shared) = shared.filter(|_| !judgement::may_share(row))
            && origin != Origin::NotMigrated
        {
            let [one, other] = &shared.owners;
            let with = format!("{} row(s), of {one} and {other} among others", shared.rows);
            findings.push(Finding::shared(row, secret, &with));
        }
        Ok((origin, findings))
    }

    /// The ledger records a snapshot that moved with its volume under the volume.
    fn is_recorded(&self, row: &KeyedRow, secret: SecretId) -> bool {
        recordings(row).any(|row| self.recorded.contains(&(row, secret)))
    }

    async fn read(
        &self,
        row: &KeyedRow,
        secret: SecretId,
        is_recorded: bool,
    ) -> Result<Read, Fault> {
        let request = RequestId::random();
        let stored = self.ask(|| self.keys.describe(secret, request)).await?;
        let stored = match stored {
            Ok(stored) => stored,
            // Barbican shows nobody's secrets to others: whose it is, is not told.
            Err(SecretError::Forbidden(_)) if !is_recorded => {
                self.was_refused.store(true, Ordering::Relaxed);
                return Ok(Read::NotMigrated);
            }
            Err(error) => return Ok(Read::Wrong(unread(row, secret, &error))),
        };
        let origin = judgement::origin(row, &stored, is_recorded);
        if origin == Origin::NotMigrated {
            return Ok(Read::NotMigrated);
        }
        let payload = match self.ask(|| self.keys.payload(secret, request)).await? {
            Ok(payload) => payload,
            Err(error) => return Ok(Read::Wrong(unread(row, secret, &error))),
        };
        let readers = match self.ask(|| self.keys.readers(secret, request)).await? {
            Ok(readers) => readers,
            Err(error) => return Ok(Read::Wrong(unread(row, secret, &error))),
        };
        let examined = Examined {
            stored,
            payload,
            readers,
        };
        Ok(Read::All(origin, Box::new(examined)))
    }

    /// Sends a request, and again where that may help. What is left in the way of every request is
    /// the fault; what is said of this secret alone is the inner error.
    pub(super) async fn ask<T, F>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<Result<T, SecretError>, Fault>
    where
        F: Future<Output = Result<T, SecretError>>,
    {
        let waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(500))
            .with_max_times(REPEATS);
        let answered = (|| request()).retry(waits).when(may_pass).await;
        match answered {
            Err(SecretError::Fault(fault)) => Err(fault),
            // Does it fail on this secret, or on every one?
            Err(SecretError::Failed(why)) => {
                self.keys.probe(RequestId::random()).await?;
                Ok(Err(SecretError::Failed(why)))
            }
            answered => Ok(answered),
        }
    }
}

/// What reading a secret came to.
enum Read {
    All(Origin, Box<Examined>),
    NotMigrated,
    Wrong(Finding),
}

/// The rows for which the ledger may have recorded this row's secret.
pub(super) fn recordings(row: &KeyedRow) -> impl Iterator<Item = RowRef> {
    let volume = row.origin.clone();
    let volume = volume.filter(|_| row.row.kind == ResourceKind::Snapshot);
    let volume = volume.map(|id| RowRef {
        kind: ResourceKind::Volume,
        id,
    });
    [row.row.clone()].into_iter().chain(volume)
}

fn unread(row: &KeyedRow, secret: SecretId, error: &SecretError) -> Finding {
    match error {
        SecretError::NotFound(_) => Finding::missing(row, secret),
        error => Finding::unreadable(row, secret, &error.to_string()),
    }
}

fn may_pass(error: &SecretError) -> bool {
    match error {
        SecretError::Failed(_) => true,
        SecretError::Fault(fault) => matches!(
            fault.reason,
            Reason::BarbicanUnreachable | Reason::BarbicanFailing | Reason::KeystoneUnreachable
        ),
        SecretError::Forbidden(_) | SecretError::NotFound(_) | SecretError::Refused(_) => false,
    }
}
