//! What is known of earlier runs before anything is stored: from the ledger, or where that does not
//! know, from a listing by name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Environment, KeyMigrator};
use crate::fixed_key::FixedKey;
use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId};
use crate::inventory::{self, database_fault};
use crate::messages;
use crate::one_key::unused;
use crate::ports::{CinderDatabase, Clock, DatabaseError, KeyManager, Ledger};
use crate::reasons::Fault;
use crate::rows::RowKey;

/// After this time a listing is worth a line.
const LONG: Duration = Duration::from_secs(10);

/// Rows that are asked for at once.
const PAGE: usize = 500;

/// What was learnt so far.
#[derive(Default)]
pub(super) struct Known {
    /// Who keeps the secrets that the intents speak of.
    pub(super) keeper: Option<Arc<str>>,
    /// The ledger was read.
    recalled: bool,
    /// Kinds of row whose secrets need no listing (any more).
    listed: HashSet<ResourceKind>,
    /// Of those, the ones that the ledger was not told of yet.
    untold: HashSet<ResourceKind>,
    /// A secret that must hold the fixed key.
    sample: Option<(RowRef, SecretId)>,
    /// The fixed key in use, if this was held against it.
    compared_with: Option<Arc<FixedKey>>,
}

impl Known {
    /// Lets go of a fixed key that is not the one in use: the configuration may have been read again,
    /// and the key replaced or taken away. The same key is kept in memory once.
    pub(super) fn keep_only(&mut self, fixed_key: Option<&Arc<FixedKey>>) {
        let same = |known: Arc<FixedKey>| {
            let used = fixed_key.filter(|used| known.same_as(used));
            used.map(Arc::clone)
        };
        self.compared_with = self.compared_with.take().and_then(same);
    }
}

impl<M: KeyManager, D: CinderDatabase, C: Clock, L: Ledger> KeyMigrator<M, D, C, L> {
    /// Secrets are kept by another user, in another project or at another Barbican from now on:
    /// nothing there answers for what was stored before.
    pub(super) fn leave_former_keeper(&mut self, identity: String) {
        let identity: Arc<str> = identity.into();
        if self.known.keeper.as_ref() == Some(&identity) {
            return;
        }
        let former = std::mem::take(&mut self.known);
        self.known.keeper = Some(identity);
        if former.keeper.is_none() {
            return;
        }
        let (secrets, parked) = self.intents.leave_behind();
        if secrets + parked > 0 {
            messages::moved_elsewhere(secrets, parked);
        }
    }

    pub(super) fn keeper(&self) -> Arc<str> {
        self.known.keeper.clone().unwrap_or_default()
    }

    /// Reads the ledger, once.
    pub(super) async fn recall(&mut self, environment: &Environment<M, D>) -> Result<(), Fault> {
        if self.known.recalled {
            return Ok(());
        }
        let kinds = environment.settings.service.kinds();
        let known = self.ledger.recall(&self.keeper(), kinds).await?;
        self.intents.recall(
            &known,
            environment.settings.unknown_outcome_wait,
            Instant::now(),
            self.board.now(),
        );
        self.known.listed = known.listed.into_iter().collect();
        self.known.sample = known.sample;
        self.known.recalled = true;
        Ok(())
    }

    /// Rows for which something is open and which are at zeros no more: no walk meets them.
    pub(super) async fn rows_to_settle(
        &mut self,
        environment: &Environment<M, D>,
    ) -> Result<Vec<RowRef>, Fault> {
        let mut to_settle = Vec::new();
        for &kind in environment.settings.service.kinds() {
            for page in self.intents.open_rows(kind, Instant::now()).chunks(PAGE) {
                let moved_on = self.settle_leftovers(&*environment.rows, kind, page).await;
                to_settle.extend(moved_on.map_err(database_fault)?);
            }
        }
        Ok(to_settle)
    }

    /// Of these rows, those at zeros no more for which more is open than what a listing has shown.
    /// That is settled here: another daemon has switched the row to it, or nobody will.
    async fn settle_leftovers(
        &mut self,
        rows: &D,
        kind: ResourceKind,
        open: &[RowRef],
    ) -> Result<Vec<RowRef>, DatabaseError> {
        let ids: Vec<RowId> = open.iter().map(|row| row.id.clone()).collect();
        let held: HashMap<RowId, RowKey> = rows.keys(kind, &ids).await?.into_iter().collect();
        let moved_on = |row: &&RowRef| held.get(&row.id) != Some(&RowKey::AllZeros);
        let moved_on: Vec<RowRef> = open.iter().filter(moved_on).cloned().collect();
        let leftovers: BTreeMap<SecretId, &RowRef> = moved_on
            .iter()
            .flat_map(|row| self.intents.leftovers(row).map(move |secret| (secret, row)))
            .collect();
        let secrets: Vec<SecretId> = leftovers.keys().copied().collect();
        for secret in unused(rows, &secrets).await? {
            self.intents.supersede(leftovers[&secret], secret);
        }
        for (secret, row) in leftovers {
            self.intents.forget(row, secret);
        }
        Ok(moved_on
            .into_iter()
            .filter(|row| self.intents.is_open(row))
            .collect())
    }

    /// Makes sure that everything stored by earlier runs is known, and that the fixed key is the one
    /// that their secrets hold.
    pub(super) async fn list(
        &mut self,
        environment: &Environment<M, D>,
        fixed_key: &Arc<FixedKey>,
    ) -> Result<(), Fault> {
        self.recheck_mismatch(environment, fixed_key).await?;
        let is_compared = self.known.compared_with.is_some();
        let kinds = environment.settings.service.kinds();
        let unlisted = kinds.iter().any(|kind| !self.known.listed.contains(kind));
        if is_compared && !unlisted {
            return match self.blocked {
                Some(_) => environment.keys.probe(RequestId::random()).await,
                None => Ok(()),
            };
        }
        let (keys, rows) = (&*environment.keys, &*environment.rows);
        let mut lists = false;
        for &kind in kinds {
            if self.known.listed.contains(&kind) {
                continue;
            }
            lists = true;
            let listing = inventory::take(keys, rows, kind, &mut self.intents);
            let sample = said_if_long(listing, messages::listing).await?;
            self.known.sample = self.known.sample.take().or(sample);
            self.known.listed.insert(kind);
            self.known.untold.insert(kind);
        }
        self.write_down();
        if !lists && self.known.sample.is_none() {
            let kind = environment.settings.service.kind();
            let sample = inventory::sample(keys, rows, kind, &mut self.intents).await;
            self.write_down();
            self.known.sample = sample?;
        }
        if let Some(sample) = self.known.sample.clone() {
            inventory::compare_sample(keys, fixed_key, sample, &mut self.intents).await?;
        }
        self.known.compared_with = Some(Arc::clone(fixed_key));
        self.tell_listed().await
    }

    /// Lets the next start do without a listing; what only a listing has shown has to be placed
    /// before.
    pub(super) async fn tell_listed(&mut self) -> Result<(), Fault> {
        if !self.intents.has_no_leftovers() {
            return Ok(());
        }
        for kind in std::mem::take(&mut self.known.untold) {
            if let Err(fault) = self.ledger.listed(&self.keeper(), kind).await {
                self.known.untold.insert(kind);
                return Err(fault);
            }
        }
        Ok(())
    }

    /// A secret that did not hold the fixed key: nothing goes on before it does, or is gone.
    async fn recheck_mismatch(
        &mut self,
        environment: &Environment<M, D>,
        fixed_key: &FixedKey,
    ) -> Result<(), Fault> {
        if let Some((row, secret)) = self.intents.mismatch() {
            inventory::compare(&*environment.keys, fixed_key, &row, secret).await?;
            self.intents.clear_mismatch();
        }
        Ok(())
    }
}

/// Does it, and says so if it takes long.
async fn said_if_long<T>(step: impl Future<Output = T>, say: fn()) -> T {
    tokio::pin!(step);
    tokio::select! {
        done = &mut step => return done,
        () = tokio::time::sleep(LONG) => say(),
    }
    step.await
}
