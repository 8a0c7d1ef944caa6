//! What the end of one key's work leaves open for its row: as pure as the machine that came to it.

use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{RowRef, SecretId};
use crate::intents::{Intents, Start};
use crate::machine::{Candidate, KeyEnd, Origin, Task};
use crate::ports::StoredSecret;

/// What is left to do, and to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concluded {
    /// A second secret that this process stored for the row: it is deleted if nothing refers to it.
    pub spare: Option<Candidate>,
    /// Secrets that are not going to be the row's, which somebody else has, and stay.
    pub superseded: Vec<SecretId>,
}

impl Start {
    /// The work that this begins, if any, once everything stored by earlier runs is known. A row
    /// that is not at zeros any more needs none but for what is open for it.
    #[must_use]
    pub fn task(&self, at_zeros: bool) -> Option<Task> {
        match self {
            Self::Store => at_zeros.then_some(Task::StoreAndSwitch),
            Self::Use(candidate) => Some(Task::Switch(*candidate)),
            Self::LookUp => Some(Task::LookUp),
            Self::Wait(_) => None,
        }
    }
}

impl Intents {
    /// Takes in how the work for a row ended, and what was found under its name on the way.
    pub fn conclude(
        &mut self,
        row: &RowRef,
        found: &[StoredSecret],
        end: &KeyEnd,
        unknown_outcome_wait: Duration,
        now: Instant,
    ) -> Concluded {
        let was_looked_up = self.is_parked(row);
        for found in found {
            if was_looked_up {
                self.add_found(row, found.id, now);
            } else {
                self.add_leftover(row, found, now);
            }
        }
        let mut concluded = Concluded::default();
        match end {
            KeyEnd::Migrated {
                secret,
                snapshots,
                shared,
            } => {
                if !shared {
                    concluded.spare = self.take_spare(row, *secret, now);
                }
                self.switched(row, *secret, *snapshots);
            }
            KeyEnd::NotOurs { left, deleted, .. } => {
                concluded.superseded = self.not_ours(row, *left, *deleted);
            }
            KeyEnd::Stored(candidate) => self.keep(row, *candidate, now),
            KeyEnd::Deferred { kept, .. }
            | KeyEnd::Failed { kept, .. }
            | KeyEnd::Trouble { kept, .. }
            | KeyEnd::Fault { kept, .. } => {
                if let Some(candidate) = kept {
                    self.keep(row, *candidate, now);
                }
            }
            KeyEnd::Unknown { .. } => self.park(row, unknown_outcome_wait, now),
            KeyEnd::FoundNothing => {
                self.found_nothing(row, now);
            }
            KeyEnd::NotAdoptable(candidate) => self.not_adoptable(row, *candidate, now),
            KeyEnd::Mismatch(candidate) => {
                self.keep(row, *candidate, now);
                self.set_mismatch(row, candidate.secret);
            }
        }
        concluded
    }

    fn not_ours(
        &mut self,
        row: &RowRef,
        left: Option<Candidate>,
        deleted: Option<SecretId>,
    ) -> Vec<SecretId> {
        if let Some(secret) = deleted {
            self.deleted(row, secret);
        }
        let mut superseded = self.lost(row);
        if let Some(candidate) = left
            && !superseded.contains(&candidate.secret)
        {
            self.supersede(row, candidate.secret);
            superseded.push(candidate.secret);
        }
        superseded
    }

    fn not_adoptable(&mut self, row: &RowRef, candidate: Candidate, now: Instant) {
        self.gone(row, candidate.secret);
        if candidate.origin == Origin::Found || candidate.swap_in_doubt {
            self.found_nothing(row, now);
        } else {
            // It was stored and is not to be seen: its name tells before another is.
            self.park(row, Duration::ZERO, now);
        }
    }
}
