//! What was stored and not switched yet, what earlier runs left, and what nobody knows: the ledger's
//! state as this process holds it. What it learns it hands out as entries for the ledger; without
//! that it is found again by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::ids::{ResourceKind, RowRef, SecretId};
use crate::ledger::{Event, Recollection};
use crate::machine::{ADOPTABLE_AGE, Candidate, Origin};
use crate::ports::StoredSecret;

mod late_looks;
mod superseded;

use self::late_looks::LateLooks;
use self::superseded::Superseded;

/// How long to wait between two looks at a name that found nothing.
pub const SECOND_LOOK: Duration = Duration::from_secs(10);

/// What is to be done first for a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Store a secret.
    Store,
    /// Go on with this one.
    Use(Candidate),
    /// Look up the name: a POST may have stored it.
    LookUp,
    /// Nothing yet.
    Wait(Wait),
}

/// Why nothing is done for a row yet, and for how long still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its name is looked up after that.
    LookUp(Duration),
    /// A secret that another run left is adopted after that.
    Adoption(Duration),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LookUp(rest) => write!(
                f,
                "a request that may have stored its secret was not answered; \
                 Barbican is asked for it in {} s",
                rest.as_secs() + 1
            ),
            Self::Adoption(rest) => write!(
                f,
                "another run stored a secret for it, which may be adopted in {} s",
                rest.as_secs() + 1
            ),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parked {
    look_at: Instant,
    found_nothing_once: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leftover {
    secret: SecretId,
    adoptable_at: Instant,
}

/// What is open, by row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Intents {
    kept: BTreeMap<RowRef, Candidate>,
    parked: BTreeMap<RowRef, Parked>,
    leftovers: BTreeMap<RowRef, Vec<Leftover>>,
    superseded: Superseded,
    late_looks: LateLooks,
    mismatch: Option<(RowRef, SecretId)>,
    journal: Vec<(RowRef, Event)>,
}

impl Intents {
    /// Takes in what the ledger knows and this process does not.
    pub fn recall(
        &mut self,
        known: &Recollection,
        unknown_outcome_wait: Duration,
        now: Instant,
        wall_clock: Timestamp,
    ) {
        for open in &known.open {
            let row = &open.row;
            if self.kept.contains_key(row) || self.parked.contains_key(row) {
                continue;
            }
            if let Some(secret) = open.secret {
                self.kept.insert(row.clone(), Candidate::found(secret));
            } else {
                // Its request can have been sent long after it was recorded: until that run ended.
                self.park(row, unknown_outcome_wait, now);
            }
        }
        for (row, secret) in &known.superseded {
            self.superseded.insert(*secret, row.clone());
        }
        for (row, since) in &known.second_looks {
            let passed = Duration::try_from(wall_clock.duration_since(*since)).unwrap_or_default();
            self.late_looks.recall(row, passed, now);
        }
    }

    /// What the ledger is to record since this was asked last.
    pub fn take_journal(&mut self) -> Vec<(RowRef, Event)> {
        std::mem::take(&mut self.journal)
    }

    /// The secrets are kept elsewhere from now on: what was stored for rows so far is none of
    /// theirs any more. Says how many secrets that leaves, and how many POSTs without a known
    /// outcome. The ledger keeps them under their former keeper.
    pub fn leave_behind(&mut self) -> (usize, usize) {
        let mut left = BTreeMap::new();
        for (row, candidate) in std::mem::take(&mut self.kept) {
            left.insert(candidate.secret, row);
        }
        for (row, leftovers) in std::mem::take(&mut self.leftovers) {
            left.extend(leftovers.iter().map(|old| (old.secret, row.clone())));
        }
        let parked = std::mem::take(&mut self.parked).len();
        self.mismatch = None;
        self.late_looks.clear();
        self.journal.clear();
        let secrets = left.len();
        for (secret, row) in left {
            self.superseded.insert(secret, row);
        }
        (secrets, parked)
    }

    /// What is to be done for this row.
    #[must_use]
    pub fn start(&self, row: &RowRef, now: Instant) -> Start {
        if let Some(parked) = self.parked.get(row) {
            return match rest(parked.look_at, now) {
                Some(rest) => Start::Wait(Wait::LookUp(rest)),
                None => Start::LookUp,
            };
        }
        let kept = self.kept.get(row);
        // What the row may hold already is seen to before anything else is given to it.
        if let Some(kept) = kept.filter(|kept| kept.swap_in_doubt) {
            return Start::Use(*kept);
        }
        let leftover = self.leftovers.get(row).and_then(|oldest| oldest.first());
        let waiting = leftover.and_then(|leftover| rest(leftover.adoptable_at, now));
        if let (Some(leftover), None) = (leftover, waiting) {
            return Start::Use(Candidate::found(leftover.secret));
        }
        if let Some(kept) = kept {
            return Start::Use(*kept);
        }
        waiting.map_or(Start::Store, |rest| Start::Wait(Wait::Adoption(rest)))
    }

    /// A secret waits for its row. Another one that did waits behind it.
    pub fn keep(&mut self, row: &RowRef, candidate: Candidate, now: Instant) {
        self.unpark(row);
        let is_leftover = self
            .leftovers
            .get(row)
            .is_some_and(|old| old.iter().any(|old| old.secret == candidate.secret));
        if candidate.origin != Origin::Found || candidate.swap_in_doubt || !is_leftover {
            let former = self.kept.insert(row.clone(), candidate);
            if let Some(former) = former.filter(|former| former.secret != candidate.secret) {
                self.push_leftover(row, former.secret, now);
            }
        }
    }

    /// Nobody knows whether a secret was stored for this row.
    pub fn park(&mut self, row: &RowRef, wait: Duration, now: Instant) {
        let parked = Parked {
            look_at: now + wait,
            found_nothing_once: false,
        };
        self.parked.insert(row.clone(), parked);
    }

    /// A look at a parked row's name found nothing; the second time the row may be stored anew.
    /// Says whether that was it.
    pub fn found_nothing(&mut self, row: &RowRef, now: Instant) -> bool {
        let Some(parked) = self.parked.get_mut(row) else {
            return true;
        };
        let nothing = parked.found_nothing_once;
        if nothing {
            self.unpark(row);
        } else {
            parked.found_nothing_once = true;
            parked.look_at = now + SECOND_LOOK;
        }
        nothing
    }

    /// A request without an answer is waited for no longer. What was found instead, if anything, need
    /// not be its secret: it may take effect still.
    fn unpark(&mut self, row: &RowRef) {
        if let Some(parked) = self.parked.remove(row) {
            self.late_looks.add(row, parked.look_at);
            self.journal.push((row.clone(), Event::GivenUp));
        }
    }

    /// A look at a row's name found this secret, which may be adopted at once: the row's own open
    /// request names it.
    pub fn add_found(&mut self, row: &RowRef, secret: SecretId, now: Instant) {
        self.superseded.remove(secret);
        // Its request is not waited for any more, and no later run would look for it.
        self.journal.push((row.clone(), Event::Found(secret)));
        self.push_leftover(row, secret, now);
    }

    fn push_leftover(&mut self, row: &RowRef, secret: SecretId, adoptable_at: Instant) {
        let leftovers = self.leftovers.entry(row.clone()).or_default();
        leftovers.retain(|known| known.secret != secret);
        leftovers.push(Leftover {
            secret,
            adoptable_at,
        });
        leftovers.sort_by_key(|leftover| leftover.adoptable_at);
    }

    /// The row refers to this secret now; what else was stored for it is superseded.
    pub fn switched(&mut self, row: &RowRef, secret: SecretId, snapshots: u64) {
        self.superseded.remove(secret);
        let event = Event::Switched { secret, snapshots };
        self.journal.push((row.clone(), event));
        self.let_go(row, Some(secret));
    }

    /// The row needs nothing more from us: what was stored for it is superseded. Says what is.
    pub fn lost(&mut self, row: &RowRef) -> Vec<SecretId> {
        self.journal.push((row.clone(), Event::Lost));
        self.let_go(row, None)
    }

    fn let_go(&mut self, row: &RowRef, holds: Option<SecretId>) -> Vec<SecretId> {
        self.unpark(row);
        let kept = self.kept.remove(row).map(|candidate| candidate.secret);
        let leftovers = self.leftovers.remove(row).unwrap_or_default();
        let others = leftovers.into_iter().map(|leftover| leftover.secret);
        let others: BTreeSet<SecretId> = others
            .chain(kept)
            .filter(|secret| Some(*secret) != holds)
            .collect();
        for secret in &others {
            self.add_superseded(row, *secret);
        }
        others.into_iter().collect()
    }

    /// A second secret that this process stored for a row and that may be deleted at once.
    pub fn take_spare(&mut self, row: &RowRef, holds: SecretId, now: Instant) -> Option<Candidate> {
        let kept = self.kept.get(row)?;
        let spare = kept.secret != holds && kept.is_deletable(now);
        if spare { self.kept.remove(row) } else { None }
    }

    /// This secret is not going to be its row's, and stays.
    pub fn supersede(&mut self, row: &RowRef, secret: SecretId) {
        self.forget(row, secret);
        self.add_superseded(row, secret);
    }

    /// This secret was deleted.
    pub fn deleted(&mut self, row: &RowRef, secret: SecretId) {
        self.forget(row, secret);
        self.superseded.remove(secret);
        self.journal.push((row.clone(), Event::Deleted(secret)));
    }

    /// Barbican knows this secret no more, or another row has it.
    pub fn gone(&mut self, row: &RowRef, secret: SecretId) {
        self.forget(row, secret);
        self.superseded.remove(secret);
        self.journal.push((row.clone(), Event::Gone(secret)));
    }

    /// This secret is another row's.
    pub fn forget(&mut self, row: &RowRef, secret: SecretId) {
        if self
            .kept
            .get(row)
            .is_some_and(|candidate| candidate.secret == secret)
        {
            self.kept.remove(row);
        }
        if let Some(leftovers) = self.leftovers.get_mut(row) {
            leftovers.retain(|leftover| leftover.secret != secret);
            if leftovers.is_empty() {
                self.leftovers.remove(row);
            }
        }
    }

    /// A listing found a secret under the name of a row that is at zeros.
    pub fn add_leftover(&mut self, row: &RowRef, found: &StoredSecret, now: Instant) {
        let known_here = self
            .kept
            .get(row)
            .is_some_and(|kept| kept.secret == found.id);
        // W10: nothing is waited for until what is superseded may be adopted after all.
        let lost_it = found.age < ADOPTABLE_AGE && self.superseded.contains(found.id);
        if known_here || lost_it || !found.is_ours() {
            return;
        }
        let waits = |known: &Vec<Leftover>| known.iter().any(|known| known.secret == found.id);
        if !self.leftovers.get(row).is_some_and(waits) {
            let rest = ADOPTABLE_AGE.saturating_sub(found.age);
            self.push_leftover(row, found.id, now + rest);
        }
    }

    /// A secret of ours is not going to be this row's, which has another key or is gone.
    pub fn add_superseded(&mut self, row: &RowRef, secret: SecretId) {
        if self.superseded.insert(secret, row.clone()) {
            self.journal.push((row.clone(), Event::Superseded(secret)));
        }
    }

    /// A row refers to this secret, although it was thought that none would.
    pub fn not_superseded(&mut self, secret: SecretId) {
        if let Some(row) = self.superseded.remove(secret) {
            let snapshots = 0;
            let event = Event::Switched { secret, snapshots };
            self.journal.push((row, event));
        }
    }

    /// Secrets that no row is going to use.
    #[must_use]
    pub fn superseded(&self) -> u64 {
        self.superseded.len() as u64
    }

    /// Secrets that were stored for this row and are not going to be its key.
    #[must_use]
    pub fn superseded_of(&self, row: &RowRef) -> BTreeSet<SecretId> {
        self.superseded.of(row)
    }

    /// The next of them behind this one, with the rows that they were stored for.
    #[must_use]
    pub fn superseded_after(
        &self,
        after: Option<SecretId>,
        most: usize,
    ) -> Vec<(SecretId, RowRef)> {
        let page = self.superseded.after(after).take(most);
        page.map(|(secret, row)| (secret, row.clone())).collect()
    }

    /// Rows for which something is open, but for those whose name is not to be looked up yet.
    #[must_use]
    pub fn open_rows(&self, kind: ResourceKind, now: Instant) -> Vec<RowRef> {
        let waits = |row: &RowRef| self.parked.get(row).is_some_and(|row| row.look_at > now);
        let open: BTreeSet<&RowRef> = self
            .kept
            .keys()
            .chain(self.leftovers.keys())
            .chain(self.parked.keys())
            .collect();
        let of_kind = open.into_iter().filter(|row| row.kind == kind);
        of_kind.filter(|row| !waits(row)).cloned().collect()
    }

    /// Secrets that a listing found under the name of this row, but for one that waits for it.
    pub fn leftovers(&self, row: &RowRef) -> impl Iterator<Item = SecretId> {
        let kept = self.kept.get(row).map(|kept| kept.secret);
        let leftovers = self.leftovers.get(row).into_iter().flatten();
        let secrets = leftovers.map(|leftover| leftover.secret);
        secrets.filter(move |secret| Some(*secret) != kept)
    }

    /// Whether anything is open for this row.
    #[must_use]
    pub fn is_open(&self, row: &RowRef) -> bool {
        self.kept.contains_key(row)
            || self.parked.contains_key(row)
            || self.leftovers.contains_key(row)
    }

    /// Whether nothing is open for any row.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.kept.is_empty() && self.parked.is_empty() && self.leftovers.is_empty()
    }

    /// Whether nothing waits that only a listing has shown.
    #[must_use]
    pub fn has_no_leftovers(&self) -> bool {
        self.leftovers.is_empty()
    }

    /// Names to be looked at once more: those that are due, and when all else is complete also the
    /// others, once.
    #[must_use]
    pub fn late_looks(&self, all_is_complete: bool, now: Instant) -> Vec<RowRef> {
        self.late_looks.wanted(all_is_complete, now)
    }

    /// A name was looked at once more. That is not the last look before its time, nor while what is
    /// found there waits for the row.
    pub fn looked_again(&mut self, row: &RowRef, now: Instant) {
        let waits = self.leftovers.contains_key(row);
        if self.late_looks.looked(row, waits, now) {
            self.journal.push((row.clone(), Event::LookedAgain));
        }
    }

    /// A payload was read that is not the fixed key: nothing goes on before it is right or gone.
    pub fn set_mismatch(&mut self, row: &RowRef, secret: SecretId) {
        self.mismatch = Some((row.clone(), secret));
    }

    /// The secret that did not hold the fixed key, and the row that it was stored for.
    #[must_use]
    pub fn mismatch(&self) -> Option<(RowRef, SecretId)> {
        self.mismatch.clone()
    }

    /// It does now, or is gone.
    pub fn clear_mismatch(&mut self) {
        self.mismatch = None;
    }

    /// Whether the outcome of this row's POST is not known.
    #[must_use]
    pub fn is_parked(&self, row: &RowRef) -> bool {
        self.parked.contains_key(row)
    }

    /// How many POSTs are without a known outcome.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked.len() as u64
    }

    /// Whether any POST is without a known outcome.
    #[must_use]
    pub fn any_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// When the next parked row is to be looked up. What is due already has to wait for a pass.
    #[must_use]
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        let looks = self.parked.values().map(|parked| parked.look_at);
        looks.filter(|at| *at > now).min()
    }
}

/// The time until then, if that is still to come.
fn rest(until: Instant, now: Instant) -> Option<Duration> {
    let rest = until.saturating_duration_since(now);
    (!rest.is_zero()).then_some(rest)
}

#[cfg(test)]
mod tests;
