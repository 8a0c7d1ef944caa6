//! One walk over this host's rows at zeros, with several keys in flight.
//!
//! A pass takes no input but the settings and may be ended anywhere: the next pass is the retry.
//! It starts with one key; the others follow its first success, as many as Barbican answers well.
//! What would hit every key ends it.

mod course;
mod events;
mod key_ends;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use self::course::Course;
use self::events::{Begun, Event, KeyDone};
use crate::board::Board;
use crate::census::CensusKeeper;
use crate::concurrency::Concurrency;
use crate::fixed_key::FixedKey;
use crate::ids::{RequestId, RowId, RowRef};
use crate::intents::{Intents, Start};
use crate::machine::{HELD, Task};
use crate::messages;
use crate::one_key::KeyWork;
use crate::peers::{self, PeerWatch};
use crate::ports::{CinderDatabase, Clock, KeyManager, Ledger};
use crate::reasons::{Fault, RowReason};
use crate::rows::{ScannedRow, Scope};
use crate::service::Environment;
use crate::walk::{PAGE, Stumbles};

/// How often a pass looks whether anything is due while nothing ends.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// The longest wait between two keys that a rate asks for.
const MOST_SPACING: Duration = Duration::from_secs(3600);

/// How a pass ended.
#[derive(Debug)]
pub(crate) enum PassEnd {
    /// Every row was met, or as many as were asked for.
    Walked,
    /// The operator stopped it, or gave new settings.
    Interrupted,
    /// A secret was stored although the listing had been refused: list again before the next.
    ListAgain,
    /// Something that hits every key.
    Faulted(Fault),
}

/// Stands for what may end a pass from outside.
pub(crate) trait Interrupt {
    /// Comes back once the pass is to start no further key.
    fn interrupted(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a pass needs. What it changes outlives it.
pub(crate) struct Pass<'a, M, D, C, L, I> {
    pub(crate) environment: &'a Environment<M, D>,
    pub(crate) ledger: &'a Arc<L>,
    pub(crate) keeper: Arc<str>,
    pub(crate) scope: &'a Scope,
    pub(crate) fixed_key: Arc<FixedKey>,
    pub(crate) intents: &'a mut Intents,
    pub(crate) board: &'a mut Board<C>,
    pub(crate) census: &'a CensusKeeper<C>,
    pub(crate) concurrency: &'a mut Concurrency,
    pub(crate) peers: &'a mut PeerWatch,
    pub(crate) interrupt: &'a mut I,
    /// Where the walk begins, and where it goes on when others are met: several daemons may own
    /// the same rows.
    pub(crate) begin_after: RowId,
    pub(crate) entropy: fn() -> Uuid,
    /// Most keys to migrate.
    pub(crate) most: Option<u64>,
    /// What this pass finds out about with one key, saying nothing while it is still so.
    pub(crate) probing: &'a mut Option<Fault>,
    /// Why the listing was refused: one secret may be stored, to see whether that is too.
    pub(crate) unlisted: Option<Fault>,
    /// Rows that Barbican failed in this and in earlier passes.
    pub(crate) stumbles: &'a mut Stumbles,
    /// Rows that are at zeros no more and for which something is open.
    pub(crate) to_settle: Vec<RowRef>,
    /// Whether it was said that a migration starts; a pass that only meets rows whose trouble is
    /// known says nothing.
    pub(crate) starting_said: &'a mut bool,
}

impl<'a, M, D, C, L, I> Pass<'a, M, D, C, L, I>
where
    M: KeyManager,
    D: CinderDatabase,
    C: Clock,
    L: Ledger,
    I: Interrupt,
{
    /// Walks until every row was met, or until something ends it; what is in flight then is
    /// waited for.
    pub(crate) async fn run(mut self) -> PassEnd {
        self.concurrency
            .set_most(self.environment.settings.max_concurrency);
        self.concurrency.restart();
        let begin_after = self.stumbles.begin_after();
        let begin_after = begin_after.unwrap_or_else(|| self.begin_after.clone());
        let kinds = self.environment.settings.service.kinds();
        let mut course = Course::new(kinds, begin_after, std::mem::take(&mut self.to_settle));
        let mut events: FuturesUnordered<BoxFuture<'a, Event>> = FuturesUnordered::new();
        events.push(self.count_here());
        loop {
            self.start_what_may(&mut course, &events);
            self.say_how_far(&course);
            let over = course.end.is_some() || course.is_over() || self.left_to_ask(0) == 0;
            if events.is_empty() && over {
                return course.end.unwrap_or(PassEnd::Walked);
            }
            // Pages, looks and counts are not waited for; they leave nothing half done.
            if course.keys_in_flight == 0 {
                if let Some(end) = course.end.take() {
                    return end;
                }
                if over && course.extras == 0 {
                    return PassEnd::Walked;
                }
            }
            tokio::select! {
                Some(event) = events.next(), if !events.is_empty() => {
                    self.handle(&mut course, &events, event);
                    self.write_down();
                }
                () = self.interrupt.interrupted(), if course.end.is_none() => {
                    course.end = Some(PassEnd::Interrupted);
                }
                () = tokio::time::sleep_until(course.next_start), if course.is_throttled() => {}
                () = tokio::time::sleep_until(course.next_watch), if course.wants_watch() => {}
                () = tokio::time::sleep(LOOK_AROUND) => {}
            }
        }
    }

    fn say_how_far(&self, course: &Course) {
        let limit = course.limit(self.concurrency.limit());
        self.board.in_flight(course.keys_in_flight, limit);
    }

    fn start_what_may(
        &mut self,
        course: &mut Course,
        events: &FuturesUnordered<BoxFuture<'a, Event>>,
    ) {
        while course.end.is_none() && !course.is_throttled() && self.has_room(course) {
            let Some((row, scanned)) = course.next_row() else {
                break;
            };
            if let Some(task) = self.task_for(course, &row, scanned.as_ref()) {
                course.keys_in_flight += 1;
                course.begun.insert(row.clone(), course.walk.number);
                course.next_start = self.next_start();
                events.push(self.begin(row, task));
            }
        }
        if course.end.is_some() {
            return;
        }
        let now = Instant::now();
        if course.next_count.is_some_and(|due| due <= now) {
            course.next_count = None;
            events.push(self.count());
        }
        if course.watch_is_due(now) {
            course.watching = true;
            events.push(self.watch(course.rows_ahead()));
        }
        if course.walk.wants_page() {
            course.walk.fetching = true;
            events.push(self.page(course));
        }
    }

    fn page(&self, course: &Course) -> BoxFuture<'a, Event> {
        let rows = Arc::clone(&self.environment.rows);
        let (scope, kind, after) = (self.scope, course.walk.kind, course.walk.after.clone());
        let walk = course.walk.number;
        Box::pin(async move {
            let page = rows.zero_rows(scope, kind, after.as_ref(), PAGE).await;
            Event::Page { walk, page }
        })
    }

    /// Looks at rows that were switched a moment ago, and at those that come next: Cinder's own
    /// migrator overwrites the ones and takes the others.
    fn watch(&self, ahead: Vec<RowRef>) -> BoxFuture<'a, Event> {
        let Environment { keys, rows, .. } = self.environment.clone();
        let watched = self.peers.watched();
        Box::pin(async move {
            let taken = peers::taken(&*keys, &*rows, ahead).await;
            let overwritten = peers::overwritten(&*keys, &*rows, watched).await;
            // Where the database fails, the keys say so.
            Event::Watched {
                taken: taken.unwrap_or_default(),
                overwritten: overwritten.unwrap_or_default(),
            }
        })
    }

    /// How much there is to do, beside the first keys: on a large host the count takes a while.
    fn count_here(&self) -> BoxFuture<'a, Event> {
        let (rows, scope) = (Arc::clone(&self.environment.rows), self.scope);
        Box::pin(async move { Event::CountedHere(rows.count_zero_rows(scope).await) })
    }

    fn count(&self) -> BoxFuture<'a, Event> {
        let (census, rows) = (self.census, Arc::clone(&self.environment.rows));
        let down_time = self.environment.settings.service_down_time;
        Box::pin(async move {
            // A count that fails here is made again after the walk, and said then.
            let _ = census.count(&*rows, down_time, None).await;
            Event::Counted
        })
    }

    /// One key alone until it succeeds; then as many as Barbican answers well, within what was
    /// asked for.
    fn has_room(&self, course: &Course) -> bool {
        let limit = course.limit(self.concurrency.limit());
        course.asking == 0
            && course.keys_in_flight < limit
            && self.left_to_ask(course.keys_in_flight as u64) > 0
    }

    /// Keys that may still be begun of those asked for, with so many in flight.
    fn left_to_ask(&self, in_flight: u64) -> u64 {
        let begun = self.board.tally().migrated + in_flight;
        self.most
            .map_or(u64::MAX, |most| most.saturating_sub(begun))
    }

    fn next_start(&self) -> Instant {
        let Some(rate) = self.environment.settings.max_rate else {
            return Instant::now();
        };
        let spacing = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(MOST_SPACING);
        Instant::now() + spacing.min(MOST_SPACING)
    }

    /// A row to settle comes without a scan.
    fn task_for(
        &mut self,
        course: &mut Course,
        row: &RowRef,
        scanned: Option<&ScannedRow>,
    ) -> Option<Task> {
        if self.environment.holds.is_held(row) {
            self.defer(course, row, RowReason::Held, HELD);
            return None;
        }
        let start = self.intents.start(row, Instant::now());
        // A look-up changes nothing for Cinder, and its outcome is worth knowing meanwhile.
        let looks_only = matches!(start, Start::LookUp) || scanned.is_none();
        if !looks_only
            && let Some(message) = scanned.and_then(|scanned| scanned.status.transitional(row.kind))
        {
            self.defer(course, row, RowReason::Transitional, &message);
            return None;
        }
        // What an unanswered request may have stored counts among the keys that were asked for.
        let begun = course.keys_in_flight as u64 + self.intents.parked();
        if !looks_only && self.left_to_ask(begun) == 0 {
            return None;
        }
        if let Start::Wait(wait) = start {
            self.defer(course, row, RowReason::UnknownOutcome, &wait.to_string());
        }
        match (start.task(scanned.is_some())?, &self.unlisted) {
            (Task::StoreAndSwitch, Some(_)) => Some(Task::StoreOnly),
            (Task::LookUp | Task::Switch(_), Some(refused)) => {
                let refused = refused.clone();
                self.fault(course, row, &refused);
                None
            }
            (task, _) => Some(task),
        }
    }

    fn begin(&mut self, row: RowRef, task: Task) -> BoxFuture<'a, Event> {
        let request = RequestId::random();
        let span = info_span!(target: messages::LOGGER, "key", request_id = %request, row = %row);
        let said = self.probing.is_none() && !self.board.is_known_trouble(&row);
        if said {
            self.say_starting();
            span.in_scope(|| messages::migrating(&row));
        }
        let work = KeyWork {
            keys: Arc::clone(&self.environment.keys),
            rows: Arc::clone(&self.environment.rows),
            holds: Arc::clone(&self.environment.holds),
            ledger: Arc::clone(self.ledger),
            keeper: Arc::clone(&self.keeper),
            fixed_key: Arc::clone(&self.fixed_key),
            extra_acl_users: self.environment.settings.extra_acl_users.clone().into(),
            superseded: self.intents.superseded_of(&row),
            row: row.clone(),
            request,
        };
        let work = work.run(task).instrument(span.clone());
        let mut begun = Begun::new(row);
        Box::pin(async move {
            let report = work.await;
            let row = begun.has_ended();
            Event::Key(Box::new(KeyDone {
                row,
                request,
                span,
                report,
                said,
            }))
        })
    }

    /// Says once a pass that a migration starts.
    pub(super) fn say_starting(&mut self) {
        if !std::mem::replace(self.starting_said, true) {
            messages::starting();
        }
    }
}
