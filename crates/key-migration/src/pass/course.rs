//! How far a pass has come.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::time::Instant;
use uuid::Uuid;

use super::PassEnd;
use crate::ids::{ResourceKind, RowId, RowRef};
use crate::peers::{AHEAD, LOOK_EVERY};
use crate::rows::ScannedRow;
use crate::walk::Walk;

/// Beside other daemons, by how many tenths each success raises the number of keys in flight.
const COMPANY_GROWTH: usize = 3;

/// Beside other daemons, rows at hand for each key in flight.
const COMPANY_SHARE: usize = 32;

/// The state of a pass.
pub(crate) struct Course {
    to_settle: VecDeque<RowRef>,
    pub(super) walk: Walk,
    later: VecDeque<ResourceKind>,
    pub(super) keys_in_flight: usize,
    /// Deletions and questions beside the keys that are worth waiting for.
    pub(super) extras: usize,
    /// The rows of the keys in flight, each with the walk that it was met on: none is begun twice.
    pub(super) begun: HashMap<RowRef, u32>,
    /// Questions under way whose secret it is that a row holds: no key is begun meanwhile.
    pub(super) asking: usize,
    /// Other daemons were met at work on the same rows: so many keys may be in flight,
    /// in tenths.
    company: Option<usize>,
    /// Rows that were met and are at zeros still: a walk that jumps meets them again.
    pub(super) met: HashSet<RowRef>,
    /// A key succeeded: the others may follow.
    pub(super) opened: bool,
    /// Keys in a row that Barbican failed.
    pub(super) trouble: u32,
    pub(super) next_start: Instant,
    /// When the global count is due; a long walk shows it too.
    pub(super) next_count: Option<Instant>,
    pub(super) next_watch: Instant,
    pub(super) watching: bool,
    pub(super) end: Option<PassEnd>,
}

impl Course {
    pub(super) fn new(kinds: &[ResourceKind], begin_after: RowId, to_settle: Vec<RowRef>) -> Self {
        let now = Instant::now();
        Self {
            to_settle: to_settle.into(),
            walk: Walk::from(kinds[0], Some(begin_after)),
            later: kinds[1..].iter().copied().collect(),
            keys_in_flight: 0,
            extras: 0,
            begun: HashMap::new(),
            asking: 0,
            company: None,
            met: HashSet::new(),
            opened: false,
            trouble: 0,
            next_start: now,
            next_count: Some(now),
            next_watch: now + LOOK_EVERY,
            watching: false,
            end: None,
        }
    }

    /// The next row that was not met yet, and what the scan saw of it.
    pub(super) fn next_row(&mut self) -> Option<(RowRef, Option<ScannedRow>)> {
        if let Some(row) = self.to_settle.pop_front() {
            return Some((row, None));
        }
        loop {
            let Some(scanned) = self.walk.rows.pop_front() else {
                if !self.walk.is_over() {
                    return None;
                }
                self.walk.turn_to(self.later.pop_front()?);
                return None;
            };
            let row = RowRef {
                kind: self.walk.kind,
                id: scanned.id.clone(),
            };
            if !self.begun.contains_key(&row) && !self.met.contains(&row) {
                return Some((row, Some(scanned)));
            }
        }
    }

    /// Another daemon has switched a row of the walk with this number: this one goes on elsewhere,
    /// with one key, as every key that is in flight when it comes upon others is stored in vain.
    pub(super) fn jump(&mut self, walk: Option<u32>, lot: Uuid) {
        if walk == Some(self.walk.number) {
            self.walk.jump(lot);
            self.company = Some(10);
        }
    }

    /// A key succeeded.
    pub(super) fn succeeded(&mut self) {
        self.opened = true;
        if let Some(company) = &mut self.company {
            *company += COMPANY_GROWTH;
        }
    }

    /// How many keys may be in flight of those that Barbican answers well: one until one succeeds,
    /// and few of few rows, where others are at work.
    pub(super) fn limit(&self, by_barbican: usize) -> usize {
        if !self.opened {
            return 1;
        }
        let Some(company) = self.company else {
            return by_barbican;
        };
        let share = (self.walk.rows.len() / COMPANY_SHARE).max(1);
        by_barbican.min(share).min(company / 10)
    }

    /// Rows that were at zeros when they were scanned and that come next.
    pub(super) fn rows_ahead(&self) -> Vec<RowRef> {
        let kind = self.walk.kind;
        let ahead = self.walk.rows.iter().take(AHEAD);
        let rows = ahead.map(|row| RowRef {
            kind,
            id: row.id.clone(),
        });
        rows.collect()
    }

    pub(super) fn is_over(&self) -> bool {
        self.to_settle.is_empty() && self.walk.is_over() && self.later.is_empty()
    }

    pub(super) fn is_throttled(&self) -> bool {
        Instant::now() < self.next_start
    }

    pub(super) fn wants_watch(&self) -> bool {
        self.end.is_none() && !self.watching
    }

    pub(super) fn watch_is_due(&self, now: Instant) -> bool {
        self.wants_watch() && self.next_watch <= now
    }

    pub(super) fn watched(&mut self) {
        self.watching = false;
        self.next_watch = Instant::now() + LOOK_EVERY;
    }
}
