//! Keeps the snapshot of one service's progress and publishes every change of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::ids::RowRef;
use crate::ports::Clock;
use crate::progress::{PassProgress, RowTrouble, ServiceProgress, StatedReason};
use crate::reasons::{Fault, RowReason, ServiceState};

/// The time over which the rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// The most rows whose trouble is remembered so as to be said once only.
const MOST_STATED: usize = 10_000;

/// A row that waits for longer is worth another line, with what an operator can do.
const LONG: Duration = Duration::from_secs(60 * 60);

/// Shows that a loop is alive.
#[derive(Debug)]
pub struct Heartbeat {
    born: Instant,
    last_beat_ms: AtomicU64,
}

impl Heartbeat {
    /// How often a living loop beats at least.
    pub const EVERY: Duration = Duration::from_secs(5);

    /// A heart that beats now for the first time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            born: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
        }
    }

    /// The time since the last beat.
    #[must_use]
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_beat_ms.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }

    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_beat_ms.store(now, Ordering::Relaxed);
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

/// Where progress is written down.
pub(crate) struct Board<C> {
    clock: C,
    progress: watch::Sender<ServiceProgress>,
    this_pass: PassTally,
    recent: VecDeque<(Instant, u64)>,
    stated: HashMap<RowRef, Stated>,
    stated_before: HashMap<RowRef, Stated>,
}

/// What was said of a row.
#[derive(Clone, Debug)]
struct Stated {
    reason: RowReason,
    failed: bool,
    message: String,
    since: Instant,
    since_at: jiff::Timestamp,
    /// It was said that this takes long.
    long: bool,
}

/// Whether something is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was said before.
    None,
    /// It was not said yet.
    First,
    /// It was said long ago, and is still so.
    Long,
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassTally {
    pub(crate) migrated: u64,
    pub(crate) failed: u64,
    pub(crate) deferred: u64,
    /// Rows whose request without an answer was given up on: they may be stored again.
    pub(crate) given_up: u64,
}

impl Stated {
    fn trouble(&self, row: &RowRef) -> RowTrouble {
        RowTrouble {
            row: row.clone(),
            failed: self.failed,
            reason: self.reason,
            message: self.message.clone(),
            since: self.since_at,
        }
    }
}

impl<C: Clock> Board<C> {
    pub(crate) fn new(clock: C, progress: watch::Sender<ServiceProgress>) -> Self {
        Self {
            clock,
            progress,
            this_pass: PassTally::default(),
            recent: VecDeque::new(),
            stated: HashMap::new(),
            stated_before: HashMap::new(),
        }
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    pub(crate) fn tally(&self) -> PassTally {
        self.this_pass
    }

    /// Rows of this host at zeros, as last counted.
    pub(crate) fn remaining_here(&self) -> u64 {
        self.progress.borrow().keys.remaining
    }

    /// Keys migrated since the process started.
    pub(crate) fn migrated_so_far(&self) -> u64 {
        self.progress.borrow().keys.migrated
    }

    /// Shows what the service is doing, and since when.
    pub(crate) fn state(
        &self,
        state: ServiceState,
        why: Option<StatedReason>,
        remedy: Option<String>,
    ) {
        let now = self.clock.now();
        self.progress.send_modify(|shown| {
            let code = |reason: &Option<StatedReason>| reason.as_ref().map(|reason| reason.code);
            if shown.state != state || code(&shown.reason) != code(&why) {
                shown.since = now;
            }
            shown.state = state;
            shown.reason = why;
            shown.remedy = remedy;
            shown.next_attempt_at = None;
        });
    }

    pub(crate) fn blocked(&self, fault: &Fault, wait: Duration) {
        self.state(
            ServiceState::Blocked,
            Some(fault.into()),
            Some(fault.remedy.clone()),
        );
        let next = self.clock.now().checked_add(wait).ok();
        self.progress
            .send_modify(|shown| shown.next_attempt_at = next);
    }

    pub(crate) fn count_fault(&self, fault: &Fault) {
        self.progress
            .send_modify(|shown| *shown.totals.faults.entry(fault.reason).or_default() += 1);
    }

    pub(crate) fn pass_begins(&mut self, owned: Vec<String>) {
        let now = self.clock.now();
        self.this_pass = PassTally::default();
        self.stated_before = std::mem::take(&mut self.stated);
        self.recent.clear();
        self.progress.send_modify(|shown| {
            let number = shown.pass.number + 1;
            shown.pass = PassProgress {
                number,
                started_at: Some(now),
                finished_at: None,
            };
            shown.owned = owned;
        });
    }

    /// After a pass that did not meet every row, what was said of the others is still said.
    pub(crate) fn pass_ends(&mut self, met_every_row: bool, orphan_secrets: u64) {
        if !met_every_row {
            for (row, stated) in self.stated_before.drain() {
                self.stated.entry(row).or_insert(stated);
            }
        }
        let now = self.clock.now();
        let PassTally {
            failed, deferred, ..
        } = self.this_pass;
        let troubles = self.stated.iter();
        let mut troubles: Vec<_> = troubles.map(|(row, stated)| stated.trouble(row)).collect();
        troubles.sort_by(|one, other| one.row.cmp(&other.row));
        self.progress.send_modify(|shown| {
            shown.troubles = Arc::new(troubles);
            shown.pass.finished_at = Some(now);
            shown.totals.last_pass_at = Some(now);
            shown.totals.orphan_secrets = orphan_secrets;
            shown.keys.failed = failed;
            shown.keys.deferred = deferred;
            shown.keys.in_flight = 0;
            shown.rate_per_second = 0.0;
            shown.eta_seconds = None;
        });
    }

    pub(crate) fn remaining(&self, remaining: u64) {
        self.progress
            .send_modify(|shown| shown.keys.remaining = remaining);
    }

    pub(crate) fn in_flight(&self, keys: usize, limit: usize) {
        self.progress.send_if_modified(|shown| {
            let (in_flight, most) = (keys as u64, limit as u64);
            let changed =
                (shown.keys.in_flight, shown.totals.concurrency_limit) != (in_flight, most);
            shown.keys.in_flight = in_flight;
            shown.totals.concurrency_limit = most;
            changed
        });
    }

    pub(crate) fn orphan_secrets(&self, secrets: u64) {
        self.progress.send_if_modified(|shown| {
            let before = std::mem::replace(&mut shown.totals.orphan_secrets, secrets);
            before != secrets
        });
    }

    pub(crate) fn migrated(&mut self) {
        self.this_pass.migrated += 1;
        let rate = self.rate();
        self.progress.send_modify(|shown| {
            shown.keys.migrated += 1;
            shown.keys.remaining = shown.keys.remaining.saturating_sub(1);
            shown.rate_per_second = rate;
            shown.eta_seconds = eta(shown.keys.remaining, rate);
        });
    }

    /// A row may be stored again that was waited for.
    pub(crate) fn gave_up(&mut self) {
        self.this_pass.given_up += 1;
    }

    pub(crate) fn not_ours(&self) {
        self.progress.send_modify(|shown| {
            shown.keys.remaining = shown.keys.remaining.saturating_sub(1);
        });
    }

    /// Notes that a row waits; says whether that is news.
    pub(crate) fn deferred(&mut self, row: &RowRef, reason: RowReason, message: &str) -> News {
        self.this_pass.deferred += 1;
        let deferred = self.this_pass.deferred;
        self.progress
            .send_modify(|shown| shown.keys.deferred = shown.keys.deferred.max(deferred));
        self.is_news(row, reason, false, message)
    }

    /// Notes that a row failed; says whether that is news.
    pub(crate) fn failed(&mut self, row: &RowRef, reason: RowReason, message: &str) -> bool {
        self.this_pass.failed += 1;
        let failed = self.this_pass.failed;
        self.progress
            .send_modify(|shown| shown.keys.failed = shown.keys.failed.max(failed));
        self.count_failure(reason);
        self.is_news(row, reason, true, message) == News::First
    }

    pub(crate) fn count_failure(&self, reason: RowReason) {
        self.progress
            .send_modify(|shown| *shown.totals.row_failures.entry(reason).or_default() += 1);
    }

    /// Whether this row's trouble was said in the pass before.
    pub(crate) fn is_known_trouble(&self, row: &RowRef) -> bool {
        self.stated_before.contains_key(row)
    }

    /// Beyond the most that are remembered nothing is said any more: the counts tell.
    fn is_news(&mut self, row: &RowRef, reason: RowReason, failed: bool, message: &str) -> News {
        if self.stated.len() >= MOST_STATED && !self.stated.contains_key(row) {
            return News::None;
        }
        let before = self.stated_before.get(row);
        let known = before.filter(|before| before.reason == reason).cloned();
        let is_known = known.is_some();
        let mut stated = known.unwrap_or_else(|| Stated {
            reason,
            failed,
            message: String::new(),
            since: Instant::now(),
            since_at: self.clock.now(),
            long: false,
        });
        let is_long = stated.since.elapsed() >= LONG && !stated.long;
        stated.long |= is_long;
        stated.failed = failed;
        message.clone_into(&mut stated.message);
        if !is_known {
            self.show_trouble(row, &stated);
        }
        self.stated.insert(row.clone(), stated);
        match (is_known, is_long) {
            (false, _) => News::First,
            (true, true) => News::Long,
            (true, false) => News::None,
        }
    }

    /// Shows a trouble that is new before the pass ends.
    fn show_trouble(&self, row: &RowRef, stated: &Stated) {
        let trouble = stated.trouble(row);
        let was_known = self.stated_before.contains_key(row) || self.stated.contains_key(row);
        self.progress.send_modify(|shown| {
            let troubles = Arc::make_mut(&mut shown.troubles);
            if was_known {
                troubles.retain(|other| other.row != *row);
            }
            troubles.push(trouble);
        });
    }

    /// Keys a second over the window, or over the pass where that is shorter.
    fn rate(&mut self) -> f64 {
        let now = Instant::now();
        self.recent.push_back((now, self.this_pass.migrated));
        while self.recent.len() > 2 && now - self.recent[0].0 > RATE_WINDOW {
            self.recent.pop_front();
        }
        let (since, before) = self.recent[0];
        let seconds = (now - since).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate of a minute's keys")]
        let keys = (self.this_pass.migrated - before) as f64;
        if seconds > 0.0 { keys / seconds } else { 0.0 }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate in whole seconds"
)]
fn eta(remaining: u64, rate: f64) -> Option<u64> {
    (rate > 0.0).then(|| (remaining as f64 / rate).ceil() as u64)
}
