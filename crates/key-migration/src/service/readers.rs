//! Keeps the ACLs of our secrets as the users of what depends on a volume change: somebody takes a
//! snapshot or a backup of another's volume, or the last of theirs is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Environment, KeyMigrator};
use crate::ids::{RequestId, RowId, SecretId, SecretName, Service};
use crate::inventory::database_fault;
use crate::messages;
use crate::ports::{CinderDatabase, Clock, KeyManager, Ledger, SecretError};
use crate::reasons::Fault;
use crate::rows::{Readers, Scope, SharedRow};

/// The part of the time that the look for such rows may take is one over this.
const SPACING: u32 = 100;

/// Rows that are asked for at once: each page costs as much as all.
const PAGE: u32 = 1000;

/// Secrets whose readers are remembered, so that they need not be asked for again.
const MOST_REMEMBERED: usize = 100_000;

/// What was seen in the last round.
#[derive(Default)]
pub(super) struct ReadersUpkeep {
    due: Option<Instant>,
    /// The users who may read, of volumes that others than their own user need.
    known: BTreeMap<SecretId, Readers>,
}

impl<M: KeyManager, D: CinderDatabase, C: Clock, L: Ledger> KeyMigrator<M, D, C, L> {
    /// Corrects the ACLs of this host's volumes whose secrets are ours. Nothing waits for it: what
    /// fails is tried again in the next round.
    pub(super) async fn look_after_readers(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
    ) -> Result<(), Fault> {
        let now = Instant::now();
        if scope.service() != Service::Volume || self.readers.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        let mut after: Option<RowId> = None;
        let mut cost = Duration::ZERO;
        loop {
            let began = Instant::now();
            let page = environment.rows.shared_rows(scope, after.as_ref(), PAGE);
            let page = page.await.map_err(database_fault)?;
            cost += began.elapsed();
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|row| row.id.clone());
            for row in page {
                seen.extend(row.key.secret());
                self.correct_readers(environment, row).await?;
            }
            if is_last {
                break;
            }
        }
        self.readers.due = Some(Instant::now() + cost * SPACING);
        self.take_back(environment, &seen).await
    }

    async fn correct_readers(
        &mut self,
        environment: &Environment<M, D>,
        row: SharedRow,
    ) -> Result<(), Fault> {
        let Some(secret) = row.key.secret() else {
            return Ok(());
        };
        let extra = &environment.settings.extra_acl_users;
        let wanted: Readers = row.users.into_iter().chain(extra.iter().cloned()).collect();
        if self.readers.known.get(&secret) == Some(&wanted) {
            return Ok(());
        }
        self.set_readers(environment, secret, wanted).await
    }

    /// Volumes that nobody else needs any more: their own user is left.
    async fn take_back(
        &mut self,
        environment: &Environment<M, D>,
        seen: &BTreeSet<SecretId>,
    ) -> Result<(), Fault> {
        let gone: Vec<SecretId> = self
            .readers
            .known
            .keys()
            .filter(|secret| !seen.contains(secret))
            .copied()
            .collect();
        for secret in gone {
            self.readers.known.remove(&secret);
            let stored = environment.keys.describe(secret, RequestId::random()).await;
            let row = stored.ok().and_then(|stored| SecretName::row(&stored.name));
            let Some(row) = row else { continue };
            let fresh = environment.rows.row(&row).await.map_err(database_fault)?;
            let Some(fresh) = fresh.filter(|fresh| fresh.key.is(secret)) else {
                continue;
            };
            let readers = Readers::of(&fresh, &environment.settings.extra_acl_users);
            self.set_readers(environment, secret, readers).await?;
            self.readers.known.remove(&secret);
        }
        Ok(())
    }

    async fn set_readers(
        &mut self,
        environment: &Environment<M, D>,
        secret: SecretId,
        wanted: Readers,
    ) -> Result<(), Fault> {
        let request = RequestId::random();
        match correct(&*environment.keys, secret, &wanted, request).await {
            Ok(corrected) => {
                if corrected {
                    messages::readers_corrected(secret);
                }
                if self.readers.known.len() < MOST_REMEMBERED {
                    self.readers.known.insert(secret, wanted);
                }
                Ok(())
            }
            Err(SecretError::Fault(fault)) => Err(fault),
            // One secret that cannot be corrected does not keep the others from it.
            Err(error) => {
                tracing::debug!("the readers of secret {secret} are looked after later: {error}");
                Ok(())
            }
        }
    }
}

/// Sets the ACL of a secret of ours, if it is another. Says whether it did.
async fn correct<M: KeyManager>(
    keys: &M,
    secret: SecretId,
    wanted: &Readers,
    request: RequestId,
) -> Result<bool, SecretError> {
    let stored = keys.describe(secret, request).await?;
    let is_ours = stored.is_ours() && SecretName::row(&stored.name).is_some();
    if !is_ours || keys.readers(secret, request).await? == *wanted {
        return Ok(false);
    }
    keys.set_readers(secret, wanted, request).await?;
    Ok(true)
}
