//! What this process stored and has not switched yet, what earlier runs left, and what nobody
//! knows. Held in memory; what is lost with the process is found again by name.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{ResourceKind, RowId, RowRef, SecretId};
use crate::ports::StoredSecret;

/// A secret of an earlier run, or of another process, may be adopted once it is this old: nobody
/// is at work on it any more.
pub(crate) const ADOPTABLE_AGE: Duration = Duration::from_secs(60 * 60);

/// A secret may be deleted at once only while it is younger than this: nobody else can have
/// adopted it.
pub(crate) const DELETABLE_AGE: Duration = Duration::from_secs(30 * 60);

/// A 404 this soon after a 201 may be a stale read.
const STALE_READ: Duration = Duration::from_secs(10 * 60);

/// How long to wait between two looks at a name that found nothing.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// A secret that may become a row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) secret: SecretId,
    pub(crate) origin: Origin,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This process stored it and was told so.
    StoredHere(Instant),
    /// It was found under the row's name.
    Found,
}

impl Candidate {
    /// Whether it was stored so short a while ago that Barbican may not show it everywhere yet.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.origin, Origin::StoredHere(at) if at.elapsed() < STALE_READ)
    }

    /// Whether it may be deleted without asking anybody, once no row refers to it.
    pub(crate) fn is_deletable(&self) -> bool {
        matches!(self.origin, Origin::StoredHere(at) if at.elapsed() < DELETABLE_AGE)
    }
}

/// What is to be done first for a row.
#[derive(Clone, Debug)]
pub(crate) enum Start {
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
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
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
                "an earlier run stored a secret for it, which may be adopted in {} s",
                rest.as_secs() + 1
            ),
        }
    }
}

#[derive(Debug)]
struct Parked {
    look_at: Instant,
    found_nothing_once: bool,
}

#[derive(Debug)]
struct Leftover {
    secret: SecretId,
    adoptable_at: Instant,
}

/// What is open, by row.
#[derive(Debug, Default)]
pub(crate) struct Intents {
    kept: HashMap<RowRef, Candidate>,
    parked: HashMap<RowRef, Parked>,
    leftovers: HashMap<RowRef, Vec<Leftover>>,
    superseded: HashSet<SecretId>,
    mismatch: Option<(RowRef, SecretId)>,
}

impl Intents {
    /// The secrets are kept elsewhere from now on: what was stored for rows so far is none of
    /// theirs any more. Says how many secrets that leaves, and how many POSTs without a known
    /// outcome.
    pub(crate) fn leave_behind(&mut self) -> (usize, usize) {
        let kept = self.kept.drain().map(|(_, candidate)| candidate.secret);
        let leftovers = self.leftovers.drain().flat_map(|(_, leftovers)| leftovers);
        let secrets: HashSet<SecretId> = kept
            .chain(leftovers.map(|leftover| leftover.secret))
            .collect();
        let parked = self.parked.drain().count();
        self.mismatch = None;
        let left = (secrets.len(), parked);
        self.superseded.extend(secrets);
        left
    }

    /// What is to be done for this row.
    pub(crate) fn start(&self, row: &RowRef) -> Start {
        let now = Instant::now();
        if let Some(parked) = self.parked.get(row) {
            return match parked.look_at.checked_duration_since(now) {
                Some(rest) if !rest.is_zero() => Start::Wait(Wait::LookUp(rest)),
                _ => Start::LookUp,
            };
        }
        if let Some(leftover) = self.leftovers.get(row).and_then(|oldest| oldest.first()) {
            return match leftover.adoptable_at.checked_duration_since(now) {
                Some(rest) if !rest.is_zero() => Start::Wait(Wait::Adoption(rest)),
                _ => Start::Use(Candidate {
                    secret: leftover.secret,
                    origin: Origin::Found,
                }),
            };
        }
        self.kept
            .get(row)
            .map_or(Start::Store, |candidate| Start::Use(*candidate))
    }

    /// A secret waits for its row.
    pub(crate) fn keep(&mut self, row: &RowRef, candidate: Candidate) {
        self.parked.remove(row);
        if candidate.origin != Origin::Found || !self.leftovers.contains_key(row) {
            self.kept.insert(row.clone(), candidate);
        }
    }

    /// Nobody knows whether a secret was stored for this row.
    pub(crate) fn park(&mut self, row: &RowRef, wait: Duration) {
        let parked = Parked {
            look_at: Instant::now() + wait,
            found_nothing_once: false,
        };
        self.parked.insert(row.clone(), parked);
    }

    /// A look at a parked row's name found nothing; the second time the row may be stored anew.
    /// Says whether that was it.
    pub(crate) fn found_nothing(&mut self, row: &RowRef) -> bool {
        let Some(parked) = self.parked.get_mut(row) else {
            return true;
        };
        let nothing = parked.found_nothing_once;
        if nothing {
            self.parked.remove(row);
        } else {
            parked.found_nothing_once = true;
            parked.look_at = Instant::now() + SECOND_LOOK;
        }
        nothing
    }

    /// A look at a row's name found this secret, which may be adopted at once: the row's own open
    /// request names it.
    pub(crate) fn add_found(&mut self, row: &RowRef, secret: SecretId) {
        let leftovers = self.leftovers.entry(row.clone()).or_default();
        leftovers.retain(|known| known.secret != secret);
        leftovers.push(Leftover {
            secret,
            adoptable_at: Instant::now(),
        });
        leftovers.sort_by_key(|leftover| leftover.adoptable_at);
    }

    /// A row needs nothing more: what else was stored for it is superseded, but for its own.
    /// Says what is.
    pub(crate) fn close(&mut self, row: &RowRef, holds: Option<SecretId>) -> Vec<SecretId> {
        self.parked.remove(row);
        let kept = self.kept.remove(row).map(|candidate| candidate.secret);
        let leftovers = self.leftovers.remove(row).unwrap_or_default();
        let others = leftovers.into_iter().map(|leftover| leftover.secret);
        let others = others.chain(kept).filter(|secret| Some(*secret) != holds);
        let others: Vec<SecretId> = others.collect();
        self.superseded.extend(&others);
        if let Some(secret) = holds {
            self.superseded.remove(&secret);
        }
        others
    }

    /// A second secret that this process stored for a row and that may be deleted at once.
    pub(crate) fn take_spare(&mut self, row: &RowRef, holds: SecretId) -> Option<Candidate> {
        let kept = self.kept.get(row)?;
        let spare = kept.secret != holds && kept.is_deletable();
        if spare { self.kept.remove(row) } else { None }
    }

    /// This secret is not going to be its row's, and stays.
    pub(crate) fn supersede(&mut self, row: &RowRef, secret: SecretId) {
        self.forget(row, secret);
        self.superseded.insert(secret);
    }

    /// This secret is gone, or is another row's.
    pub(crate) fn forget(&mut self, row: &RowRef, secret: SecretId) {
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
    pub(crate) fn add_leftover(&mut self, row: &RowRef, found: &StoredSecret) {
        let known_here = self
            .kept
            .get(row)
            .is_some_and(|kept| kept.secret == found.id);
        if known_here || !found.is_ours() {
            return;
        }
        let wait = ADOPTABLE_AGE.saturating_sub(found.age);
        let leftover = Leftover {
            secret: found.id,
            adoptable_at: Instant::now() + wait,
        };
        let leftovers = self.leftovers.entry(row.clone()).or_default();
        if leftovers.iter().all(|known| known.secret != found.id) {
            leftovers.push(leftover);
            leftovers.sort_by_key(|leftover| leftover.adoptable_at);
        }
    }

    /// A listing found a secret of ours whose row has another key.
    pub(crate) fn add_superseded(&mut self, secret: SecretId) {
        self.superseded.insert(secret);
    }

    /// Secrets that no row is going to use.
    pub(crate) fn superseded(&self) -> u64 {
        self.superseded.len() as u64
    }

    /// The secret kept for a row.
    pub(crate) fn kept(&self, row: &RowRef) -> Option<Candidate> {
        self.kept.get(row).copied()
    }

    /// Rows for which something is open, but for those whose name is not to be looked up yet.
    pub(crate) fn open_rows(&self, kind: ResourceKind) -> Vec<RowId> {
        let now = Instant::now();
        let parked = |row: &RowRef| self.parked.get(row).is_some_and(|row| row.look_at > now);
        let rows = self.kept.keys().chain(self.leftovers.keys());
        let open: HashSet<&RowRef> = rows.chain(self.parked.keys()).collect();
        open.into_iter()
            .filter(|row| row.kind == kind && !parked(row))
            .map(|row| row.id.clone())
            .collect()
    }

    /// A payload was read that is not the fixed key: nothing goes on before it is right or gone.
    pub(crate) fn set_mismatch(&mut self, row: &RowRef, secret: SecretId) {
        self.mismatch = Some((row.clone(), secret));
    }

    /// The secret that did not hold the fixed key, and the row that it was stored for.
    pub(crate) fn mismatch(&self) -> Option<(RowRef, SecretId)> {
        self.mismatch.clone()
    }

    /// It does now, or is gone.
    pub(crate) fn clear_mismatch(&mut self) {
        self.mismatch = None;
    }

    /// Whether the outcome of this row's POST is not known.
    pub(crate) fn is_parked(&self, row: &RowRef) -> bool {
        self.parked.contains_key(row)
    }

    /// How many POSTs are without a known outcome.
    pub(crate) fn parked(&self) -> u64 {
        self.parked.len() as u64
    }

    /// Whether any POST is without a known outcome.
    pub(crate) fn any_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// When the next parked row is to be looked up. What is due already has to wait for a pass.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let now = Instant::now();
        let looks = self.parked.values().map(|parked| parked.look_at);
        looks.filter(|at| *at > now).min()
    }
}
