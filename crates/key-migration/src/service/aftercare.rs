//! What is looked after between passes: names that a late request may still fill (W3), and secrets
//! that were superseded.

use std::time::Duration;

use tokio::time::Instant;

use super::{Environment, KeyMigrator};
use crate::ids::{RequestId, RowRef, SecretId, SecretName};
use crate::inventory::database_fault;
use crate::ledger::Entry;
use crate::one_key::unused;
use crate::ports::{CinderDatabase, Clock, KeyManager, Ledger, SecretError, StoredSecret};
use crate::reasons::Fault;
use crate::rows::{RowKey, Scope};

/// Names looked at after one pass: each costs Barbican as much as it has secrets.
const MOST_LOOKS: usize = 20;

/// Superseded secrets are looked at again this often, so many at a time.
const RECHECK_EVERY: Duration = Duration::from_secs(60 * 60);
const MOST_RECHECKED: usize = 100;

/// Where it stands.
#[derive(Default)]
pub(super) struct Aftercare {
    rechecked_at: Option<Instant>,
    /// The operator wants to know: nobody waits for the hour.
    asked: bool,
    /// The last secret of the round under way.
    after: Option<SecretId>,
}

impl Aftercare {
    /// Superseded secrets are looked at again after the next pass.
    pub(super) fn recheck_soon(&mut self) {
        self.asked = true;
    }
}

impl<M: KeyManager, D: CinderDatabase, C: Clock, L: Ledger> KeyMigrator<M, D, C, L> {
    /// Looks after what is due. What fails is tried again after the next pass: no key waits for it.
    pub(super) async fn look_after(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        all_is_complete: bool,
    ) {
        let looked = self.look_again(environment, all_is_complete).await;
        let rechecked = self.recheck_superseded(environment).await;
        let readers = self.look_after_readers(environment, scope).await;
        let faults = [looked.err(), rechecked.err(), readers.err()];
        for fault in faults.into_iter().flatten() {
            tracing::debug!("what was stored before is looked after later: {fault}");
        }
        self.write_down();
        self.board.orphan_secrets(self.intents.superseded());
    }

    /// A request that was given up on may have taken effect since.
    async fn look_again(
        &mut self,
        environment: &Environment<M, D>,
        all_is_complete: bool,
    ) -> Result<(), Fault> {
        let due = self.intents.late_looks(all_is_complete, Instant::now());
        for row in due.into_iter().take(MOST_LOOKS) {
            let (keys, rows) = (&*environment.keys, &*environment.rows);
            let found = keys
                .find(&SecretName::of(&row), RequestId::random())
                .await?;
            let ours: Vec<StoredSecret> = found.into_iter().filter(StoredSecret::is_ours).collect();
            let ids: Vec<SecretId> = ours.iter().map(|found| found.id).collect();
            let unused = unused(rows, &ids).await.map_err(database_fault)?;
            let held = rows.keys(row.kind, std::slice::from_ref(&row.id)).await;
            let held = held.map_err(database_fault)?;
            let is_zero = held.iter().any(|(_, key)| *key == RowKey::AllZeros);
            let now = Instant::now();
            for found in ours.iter().filter(|found| unused.contains(&found.id)) {
                if is_zero {
                    self.intents.add_leftover(&row, found, now);
                } else {
                    self.intents.add_superseded(&row, found.id);
                }
            }
            self.intents.looked_again(&row, now);
        }
        Ok(())
    }

    /// An operator may have purged them, or a row may have come to refer to one.
    async fn recheck_superseded(&mut self, environment: &Environment<M, D>) -> Result<(), Fault> {
        let is_due = |at: Instant| at.elapsed() >= RECHECK_EVERY;
        let began = *self.aftercare.rechecked_at.get_or_insert_with(Instant::now);
        let asked = std::mem::take(&mut self.aftercare.asked);
        if self.aftercare.after.is_none() && !is_due(began) && !asked {
            return Ok(());
        }
        self.aftercare.rechecked_at = Some(Instant::now());
        let page = self
            .intents
            .superseded_after(self.aftercare.after, MOST_RECHECKED);
        self.aftercare.after = page.last().map(|(secret, _)| *secret);
        let ids: Vec<SecretId> = page.iter().map(|(secret, _)| *secret).collect();
        let unused = unused(&*environment.rows, &ids)
            .await
            .map_err(database_fault)?;
        for (secret, row) in page {
            if !unused.contains(&secret) {
                self.intents.not_superseded(secret);
                continue;
            }
            let described = environment.keys.describe(secret, RequestId::random());
            match described.await {
                Err(SecretError::NotFound(_)) => self.intents.gone(&row, secret),
                Err(SecretError::Fault(fault)) => return Err(fault),
                _ => {}
            }
        }
        Ok(())
    }

    /// Hands to the ledger what was learnt beside the keys.
    pub(super) fn write_down(&mut self) {
        let keeper = self.keeper();
        let request = RequestId::random();
        for (row, event) in self.intents.take_journal() {
            let entry = Entry {
                row,
                event,
                request,
            };
            self.ledger.note(&keeper, entry);
        }
    }

    /// Secrets that rows no longer refer to because somebody else overwrote them.
    pub(super) fn account_for_overwritten(&mut self, row: &RowRef, secret: SecretId) {
        self.intents.add_superseded(row, secret);
        self.board.orphan_secrets(self.intents.superseded());
    }
}
