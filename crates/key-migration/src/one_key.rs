//! The steps of one key: store, ACL, read back, compare, swap. Each step is asked for once its
//! forerunner is known to have happened, and every end says what is left behind.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use crate::fixed_key::FixedKey;
use crate::ids::{RequestId, RowRef, SecretId, SecretName, UserId};
use crate::intents::{Candidate, Origin};
use crate::ports::{CinderDatabase, DatabaseError, KeyManager, SecretError, StoreError};
use crate::reasons::{Fault, RowReason};
use crate::rows::{FreshRow, Readers, RowKey, Swap, SwapOutcome};
use crate::settle::unused;

/// A payload that was read longer ago than this is read again before the swap.
const READBACK_VALID: Duration = Duration::from_secs(5 * 60);

/// How often the readers may change under one key before it is left for the next pass.
const READER_CHANGES: usize = 3;

/// How the work for one key ended.
#[derive(Debug)]
pub(crate) enum KeyEnd {
    /// The row refers to the secret now.
    Migrated(SecretId),
    /// The row needs nothing from us: it has another key, or is deleted. A candidate that was
    /// deleted is not among what is left.
    NotOurs {
        left: Option<Candidate>,
        deleted: Option<SecretId>,
    },
    /// It waits for something that passes by itself.
    Deferred {
        reason: RowReason,
        message: String,
        kept: Option<Candidate>,
    },
    /// It failed, and is tried again in the next pass.
    Failed {
        reason: RowReason,
        message: String,
        kept: Option<Candidate>,
    },
    /// Barbican failed in a way that other keys may meet as well.
    Trouble {
        message: String,
        kept: Option<Candidate>,
    },
    /// Nobody knows whether its secret was stored.
    Unknown { message: String },
    /// Nothing is stored under its name.
    FoundNothing,
    /// The candidate is not fit for this row.
    NotAdoptable(Candidate),
    /// The secret is stored; it is switched later.
    Stored(Candidate),
    /// Something that hits every key.
    Fault {
        fault: Fault,
        kept: Option<Candidate>,
    },
    /// The secret does not hold the fixed key: the row is not switched, and nothing else is stored
    /// for it.
    Mismatch(Candidate),
}

/// How the work for one key ended, and what it found on the way.
#[derive(Debug)]
pub(crate) struct KeyReport {
    pub(crate) end: KeyEnd,
    /// Secrets under the row's name that are fit for it, oldest first.
    pub(crate) found: Vec<SecretId>,
}

/// What to do for one key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Store a secret and switch the row to it.
    StoreAndSwitch,
    /// Store a secret and keep it: what is stored already could not be listed yet.
    StoreOnly,
    /// Switch the row to a secret that exists.
    Switch(Candidate),
    /// Look for a secret under the row's name and switch the row to it.
    LookUp,
}

/// What the work for one key needs.
pub(crate) struct KeyWork<M, D> {
    pub(crate) keys: Arc<M>,
    pub(crate) rows: Arc<D>,
    pub(crate) fixed_key: Arc<FixedKey>,
    pub(crate) extra_acl_users: Arc<[UserId]>,
    pub(crate) row: RowRef,
    pub(crate) request: RequestId,
}

impl<M: KeyManager, D: CinderDatabase> KeyWork<M, D> {
    /// Does it. A dropped future leaves the key at any step, as a killed process would.
    pub(crate) async fn run(self, task: Task) -> KeyReport {
        let mut found = Vec::new();
        let end = self.attempt(task, &mut found).await;
        KeyReport {
            end: end.unwrap_or_else(|end| end),
            found,
        }
    }

    /// A look-up comes before the row is read again: what it finds has to be accounted for even
    /// where the row needs nothing any more.
    async fn attempt(&self, task: Task, found: &mut Vec<SecretId>) -> Result<KeyEnd, KeyEnd> {
        let known = match task {
            Task::Switch(candidate) => Some(candidate),
            Task::LookUp => Some(self.look_up(found).await?),
            Task::StoreOnly | Task::StoreAndSwitch => None,
        };
        let fresh = self.fresh_row(known).await?;
        let candidate = match known {
            Some(candidate) => candidate,
            None => self.store().await?,
        };
        if matches!(task, Task::StoreOnly) {
            return Ok(KeyEnd::Stored(candidate));
        }
        self.switch(candidate, fresh).await
    }

    /// Reads the row just before something is sent for it.
    async fn fresh_row(&self, known: Option<Candidate>) -> Result<FreshRow, KeyEnd> {
        let fresh = match self.rows.row(&self.row).await {
            Ok(fresh) => fresh,
            Err(error) => return Err(self.database_end(error, known)),
        };
        if let (Some(fresh), Some(known)) = (&fresh, known)
            && fresh.key.is(known.secret)
        {
            return Err(KeyEnd::Migrated(known.secret));
        }
        let Some(fresh) = fresh.filter(|fresh| fresh.key == RowKey::AllZeros) else {
            return Err(self.not_ours(known).await);
        };
        if let Some(message) = fresh.status.transitional(self.row.kind) {
            return Err(KeyEnd::Deferred {
                reason: RowReason::Transitional,
                message,
                kept: known,
            });
        }
        if fresh.user_id.is_none() && self.extra_acl_users.is_empty() {
            let message = format!(
                "{}: its user_id is NULL, so its owner could not read its key; \
                 set [key_migrator] extra_acl_users to migrate such rows",
                self.row
            );
            return Err(KeyEnd::Failed {
                reason: RowReason::InvalidRow,
                message,
                kept: known,
            });
        }
        Ok(fresh)
    }

    async fn store(&self) -> Result<Candidate, KeyEnd> {
        let name = SecretName::of(&self.row);
        match self.keys.store(&name, &self.fixed_key, self.request).await {
            Ok(secret) => Ok(Candidate {
                secret,
                origin: Origin::StoredHere(Instant::now()),
            }),
            Err(StoreError::NotStored(fault)) => Err(KeyEnd::Fault { fault, kept: None }),
            Err(StoreError::OutcomeUnknown(message)) => Err(KeyEnd::Unknown { message }),
        }
    }

    /// The oldest secret under the row's name that no row has; our own open intent names it,
    /// whatever its age.
    async fn look_up(&self, fit: &mut Vec<SecretId>) -> Result<Candidate, KeyEnd> {
        let found = self
            .keys
            .find(&SecretName::of(&self.row), self.request)
            .await
            .map_err(|fault| KeyEnd::Fault { fault, kept: None })?;
        let ours = found.iter().filter(|secret| secret.is_ours());
        *fit = unused(&*self.rows, ours.map(|secret| secret.id))
            .await
            .map_err(|error| self.database_end(error, None))?;
        let secret = *fit.first().ok_or(KeyEnd::FoundNothing)?;
        Ok(Candidate {
            secret,
            origin: Origin::Found,
        })
    }

    async fn switch(&self, candidate: Candidate, mut fresh: FreshRow) -> Result<KeyEnd, KeyEnd> {
        if candidate.origin == Origin::Found {
            self.verify(candidate).await?;
            self.no_other_row_has(candidate).await?;
        }
        for _ in 0..READER_CHANGES {
            let readers = Readers::of(&fresh, &self.extra_acl_users);
            self.set_readers(candidate, &readers).await?;
            let user_id = fresh.user_id.clone();
            let swap = Swap {
                row: self.row.clone(),
                secret: candidate.secret,
                user_id,
                readers,
            };
            match self.swap(&swap, candidate).await? {
                SwapOutcome::Switched { .. } | SwapOutcome::AlreadyHolds => {
                    return Ok(KeyEnd::Migrated(candidate.secret));
                }
                SwapOutcome::Lost | SwapOutcome::Gone => {
                    return Ok(self.not_ours(Some(candidate)).await);
                }
                SwapOutcome::Transitional(message) => {
                    let reason = RowReason::Transitional;
                    return Ok(KeyEnd::Deferred {
                        reason,
                        message,
                        kept: Some(candidate),
                    });
                }
                SwapOutcome::ReadersChanged => fresh = self.fresh_row(Some(candidate)).await?,
            }
        }
        let message = format!(
            "{}: its users kept changing while its key was stored",
            self.row
        );
        Ok(KeyEnd::Failed {
            reason: RowReason::Raced,
            message,
            kept: Some(candidate),
        })
    }

    /// Reads the payload back and compares. On difference the row is never switched.
    async fn verify(&self, candidate: Candidate) -> Result<(), KeyEnd> {
        let secret = candidate.secret;
        let payload = (|| self.keys.payload(secret, self.request))
            .retry(again())
            .when(may_be_repeated)
            .await
            .map_err(|error| self.secret_end(error, candidate))?;
        if self.fixed_key.equals(&payload) {
            return Ok(());
        }
        Err(KeyEnd::Mismatch(candidate))
    }

    /// A secret that was found may belong to another row by now.
    async fn no_other_row_has(&self, candidate: Candidate) -> Result<(), KeyEnd> {
        match self.rows.refers_to(candidate.secret).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(KeyEnd::NotAdoptable(candidate)),
            Err(error) => Err(self.database_end(error, Some(candidate))),
        }
    }

    async fn set_readers(&self, candidate: Candidate, readers: &Readers) -> Result<(), KeyEnd> {
        (|| {
            self.keys
                .set_readers(candidate.secret, readers, self.request)
        })
        .retry(again())
        .when(may_be_repeated)
        .await
        .map_err(|error| self.secret_end(error, candidate))
    }

    /// Verifies and swaps; a swap whose reply was lost is simply asked for again.
    async fn swap(&self, swap: &Swap, candidate: Candidate) -> Result<SwapOutcome, KeyEnd> {
        let mut waits = backon::BackoffBuilder::build(again());
        let mut read_at = None::<Instant>;
        loop {
            if read_at.is_none_or(|at| at.elapsed() > READBACK_VALID) {
                self.verify(candidate).await?;
                read_at = Some(Instant::now());
            }
            match (self.rows.switch(swap).await, waits.next()) {
                (Ok(outcome), _) => return Ok(outcome),
                (Err(DatabaseError::Unreachable(_)), Some(wait)) => tokio::time::sleep(wait).await,
                (Err(error), _) => return Err(self.database_end(error, Some(candidate))),
            }
        }
    }

    /// The row went to somebody else. Our secret is deleted only if nobody can know of it and a
    /// fresh look shows that nothing refers to it.
    async fn not_ours(&self, candidate: Option<Candidate>) -> KeyEnd {
        let Some(candidate) = candidate else {
            return KeyEnd::NotOurs {
                left: None,
                deleted: None,
            };
        };
        if delete_unused(&*self.keys, &*self.rows, candidate, self.request).await {
            return KeyEnd::NotOurs {
                left: None,
                deleted: Some(candidate.secret),
            };
        }
        KeyEnd::NotOurs {
            left: Some(candidate),
            deleted: None,
        }
    }

    fn secret_end(&self, error: SecretError, candidate: Candidate) -> KeyEnd {
        let kept = Some(candidate);
        match error {
            SecretError::Fault(fault) => KeyEnd::Fault { fault, kept },
            SecretError::Refused(message) => KeyEnd::Failed {
                reason: RowReason::Refused,
                message,
                kept,
            },
            SecretError::NotFound(_) if !candidate.is_fresh() => KeyEnd::NotAdoptable(candidate),
            error @ (SecretError::Failed(_) | SecretError::NotFound(_)) => KeyEnd::Trouble {
                message: error.to_string(),
                kept,
            },
        }
    }

    fn database_end(&self, error: DatabaseError, kept: Option<Candidate>) -> KeyEnd {
        match error {
            DatabaseError::Unreachable(fault) | DatabaseError::Refused(fault) => {
                KeyEnd::Fault { fault, kept }
            }
            DatabaseError::Contended(message) => KeyEnd::Failed {
                reason: RowReason::Raced,
                message,
                kept,
            },
        }
    }
}

/// Deletes a secret that this process stored a short while ago and that no row refers to; says
/// whether it is gone.
pub(crate) async fn delete_unused<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    candidate: Candidate,
    request: RequestId,
) -> bool {
    candidate.is_deletable()
        && rows.refers_to(candidate.secret).await == Ok(false)
        && keys.delete(candidate.secret, request).await.is_ok()
}

/// Requests that may be repeated are, three times within two seconds or so.
fn again() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(1))
        .with_max_times(3)
        .with_jitter()
}

/// A 404 just after a 201 may be a stale read.
fn may_be_repeated(error: &SecretError) -> bool {
    matches!(error, SecretError::Failed(_) | SecretError::NotFound(_))
}
