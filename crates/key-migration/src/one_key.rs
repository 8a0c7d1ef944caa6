//! Drives the state machine of one key through the ports.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::fixed_key::FixedKey;
use crate::ids::{RequestId, RowRef, SecretId, SecretName, UserId};
use crate::ledger::{Entry, Event};
use crate::machine::{Answer, KeyEnd, KeyMachine, Step, Task};
use crate::ports::{
    CinderDatabase, DatabaseError, Holds, KeyManager, Ledger, SecretError, StoreError, StoredSecret,
};
use crate::rows::RowKey;

/// A row is not kept locked for longer while a secret is deleted: Cinder may wait for it.
const LONGEST_LOCK: Duration = Duration::from_secs(5);

/// How the work for one key ended, and what it found on the way.
#[derive(Debug)]
pub(crate) struct KeyReport {
    pub(crate) end: KeyEnd,
    /// Unused secrets of ours under the row's name, oldest first.
    pub(crate) found: Vec<StoredSecret>,
    /// How long Barbican took for the three requests of a key that was stored and switched.
    pub(crate) latency: Option<Duration>,
}

/// What the work for one key needs.
pub(crate) struct KeyWork<M, D, L> {
    pub(crate) keys: Arc<M>,
    pub(crate) rows: Arc<D>,
    pub(crate) holds: Arc<dyn Holds>,
    pub(crate) ledger: Arc<L>,
    pub(crate) keeper: Arc<str>,
    pub(crate) fixed_key: Arc<FixedKey>,
    pub(crate) extra_acl_users: Arc<[UserId]>,
    pub(crate) row: RowRef,
    /// Secrets that were stored for the row and are not going to be its key.
    pub(crate) superseded: BTreeSet<SecretId>,
    pub(crate) request: RequestId,
}

impl<M: KeyManager, D: CinderDatabase, L: Ledger> KeyWork<M, D, L> {
    /// Does it. A dropped future leaves the key at any step, as a killed process would.
    pub(crate) async fn run(mut self, task: Task) -> KeyReport {
        let mut machine = KeyMachine::new(self.row.clone(), task, self.extra_acl_users.to_vec())
            .knowing(std::mem::take(&mut self.superseded));
        let mut at_barbican = Duration::ZERO;
        let mut sent = false;
        let end = loop {
            let step = machine.step();
            let began = Instant::now();
            let is_request = matches!(
                step,
                Step::Store | Step::SetReaders(..) | Step::ReadPayload(_)
            );
            sent |= step == Step::Store;
            let answer = self.take(step).await;
            if is_request {
                at_barbican += began.elapsed();
            }
            if let Some(end) = machine.hear(answer, Instant::now()) {
                break end;
            }
        };
        if machine.is_intended() && !sent {
            self.note(Event::NotStored);
        }
        let is_whole = sent && matches!(end, KeyEnd::Migrated { .. });
        KeyReport {
            found: machine.found().to_vec(),
            latency: is_whole.then_some(at_barbican),
            end,
        }
    }

    async fn take(&self, step: Step) -> Answer {
        match step {
            Step::ReadRow => match self.rows.row(&self.row).await {
                Ok(Some(row)) if row.key == RowKey::AllZeros && self.is_held() => Answer::Held,
                Ok(row) => Answer::Row(row),
                Err(error) => Answer::Database(error),
            },
            Step::Intend => {
                let intent = self.ledger.intend(&self.keeper, &self.row, self.request);
                intent.await.map_or_else(Answer::Fault, Answer::Intended)
            }
            Step::Find => {
                let name = SecretName::of(&self.row);
                let found = self.keys.find(&name, self.request).await;
                found.map_or_else(Answer::Fault, Answer::Found)
            }
            Step::Referred(secrets) => match self.rows.referred(&secrets).await {
                Ok(referred) => Answer::Referred(referred.into_iter().collect()),
                Err(error) => Answer::Database(error),
            },
            Step::Store => self.store().await,
            Step::LetRead(secret, users) => {
                done(self.keys.let_read(secret, &users, self.request).await)
            }
            Step::SetReaders(secret, readers) => {
                done(self.keys.set_readers(secret, &readers, self.request).await)
            }
            Step::ReadPayload(secret) => self.read_payload(secret).await,
            Step::Swap(_) if self.is_held() => Answer::Held,
            Step::Swap(swap) => match self.rows.switch(&swap).await {
                Ok(outcome) => Answer::Swapped(outcome),
                Err(error) => Answer::Database(error),
            },
            Step::Delete(secret) => {
                let deleted = delete_unneeded(&*self.keys, &*self.rows, &self.row, secret);
                done(deleted.await)
            }
            Step::Wait(time) => {
                tokio::time::sleep(jittered(time, self.request)).await;
                Answer::Done
            }
        }
    }

    fn is_held(&self) -> bool {
        self.holds.is_held(&self.row)
    }

    async fn store(&self) -> Answer {
        let name = SecretName::of(&self.row);
        let stored = self.keys.store(&name, &self.fixed_key, self.request).await;
        self.note(match &stored {
            Ok(secret) => Event::Stored(*secret),
            Err(StoreError::NotStored(_)) => Event::NotStored,
            Err(StoreError::OutcomeUnknown(_)) => Event::Unanswered,
        });
        stored.map_or_else(Answer::NotStored, Answer::Stored)
    }

    async fn read_payload(&self, secret: SecretId) -> Answer {
        match self.keys.payload(secret, self.request).await {
            Ok(payload) => Answer::Payload {
                equal: self.fixed_key.equals(&payload),
            },
            Err(error) => Answer::Secret(error),
        }
    }

    fn note(&self, event: Event) {
        let entry = Entry {
            row: self.row.clone(),
            event,
            request: self.request,
        };
        self.ledger.note(&self.keeper, entry);
    }
}

/// Those of these secrets that no row refers to.
pub(crate) async fn unused<D: CinderDatabase>(
    rows: &D,
    secrets: &[SecretId],
) -> Result<Vec<SecretId>, DatabaseError> {
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let referred = rows.referred(secrets).await?;
    let secrets = secrets.iter().filter(|secret| !referred.contains(secret));
    Ok(secrets.copied().collect())
}

/// Deletes a secret that this process stored for a row, while that row is locked and has something
/// else: nobody can adopt it at the same time.
pub(crate) async fn delete_unneeded<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    row: &RowRef,
    secret: SecretId,
) -> Result<(), SecretError> {
    let deletion = tokio::time::timeout(LONGEST_LOCK, keys.delete(secret, RequestId::random()));
    match rows.while_unneeded(row, secret, deletion).await {
        Ok(Some(Ok(deleted))) => deleted,
        Ok(Some(Err(_))) => Err(SecretError::Failed("it took too long".into())),
        Ok(None) => Err(SecretError::Failed("a row needs it".into())),
        Err(error) => Err(SecretError::Failed(error.to_string())),
    }
}

fn done(done: Result<(), SecretError>) -> Answer {
    done.map_or_else(Answer::Secret, |()| Answer::Done)
}

/// Up to twice as long, so that keys which failed together are not repeated together.
fn jittered(time: Duration, request: RequestId) -> Duration {
    time.mul_f64(1.0 + request.fraction())
}
