//! Names whose request to store was given up on: each is looked at once more, as the request may
//! take effect still (W3).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::RowRef;
use crate::machine::ADOPTABLE_AGE;

/// A name is looked at once more after this.
pub(super) const LATE_LOOK: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LateLooks(BTreeMap<RowRef, LateLook>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LateLook {
    due: Instant,
    /// It was looked at before it was due, when all else was complete.
    looked_early: bool,
}

impl LateLook {
    fn at(due: Instant) -> Self {
        Self {
            due,
            looked_early: false,
        }
    }
}

impl LateLooks {
    pub(super) fn add(&mut self, row: &RowRef, given_up: Instant) {
        let look = LateLook::at(given_up + LATE_LOOK);
        self.0.insert(row.clone(), look);
    }

    /// Takes in what an earlier run gave up on so long ago.
    pub(super) fn recall(&mut self, row: &RowRef, ago: Duration, now: Instant) {
        let look = LateLook::at(now + LATE_LOOK.saturating_sub(ago));
        self.0.entry(row.clone()).or_insert(look);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are due, and when all else is complete also the others, once.
    pub(super) fn wanted(&self, all_is_complete: bool, now: Instant) -> Vec<RowRef> {
        let wanted = |look: &LateLook| look.due <= now || (all_is_complete && !look.looked_early);
        let looks = self.0.iter().filter(|(_, look)| wanted(look));
        looks.map(|(row, _)| row.clone()).collect()
    }

    /// A name was looked at once more. Says whether that was the last look: it is not before its
    /// time, nor while what was found there waits for the row, as another run has to find it, too.
    pub(super) fn looked(&mut self, row: &RowRef, waits: bool, now: Instant) -> bool {
        let Some(look) = self.0.get_mut(row) else {
            return false;
        };
        if look.due > now {
            look.looked_early = true;
        } else if waits {
            look.due = now + ADOPTABLE_AGE;
        } else {
            self.0.remove(row);
            return true;
        }
        false
    }
}
