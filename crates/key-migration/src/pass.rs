//! One walk over this host's rows at zeros, with several keys in flight.
//!
//! A pass takes no input but the settings and may be ended anywhere: the next pass is the retry.
//! It starts with one key; the others follow its first success. What would hit every key ends it.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::{Instrument, Span, info_span};

use crate::board::Board;
use crate::census::CensusKeeper;
use crate::fixed_key::FixedKey;
use crate::ids::{RequestId, ResourceKind, RowId, RowRef, UserId};
use crate::intents::{Candidate, Intents, Start};
use crate::inventory::database_fault;
use crate::messages;
use crate::one_key::{KeyEnd, KeyReport, KeyWork, Task, delete_unused};
use crate::ports::{CinderDatabase, Clock, DatabaseError, KeyManager};
use crate::reasons::{Fault, RowReason};
use crate::rows::{ScannedRow, Scope};
use crate::service::Environment;
use crate::walk::{PAGE, Stumbles, Walk};

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
pub(crate) struct Pass<'a, M, D, C, I> {
    pub(crate) environment: &'a Environment<M, D>,
    pub(crate) scope: &'a Scope,
    pub(crate) fixed_key: Arc<FixedKey>,
    pub(crate) intents: &'a mut Intents,
    pub(crate) board: &'a mut Board<C>,
    pub(crate) census: &'a CensusKeeper<C>,
    pub(crate) interrupt: &'a mut I,
    /// Most keys to migrate.
    pub(crate) most: Option<u64>,
    /// What this pass finds out about with one key, saying nothing while it is still so.
    pub(crate) probing: &'a mut Option<Fault>,
    /// Why the listing was refused: one secret may be stored, to see whether that is too.
    pub(crate) unlisted: Option<Fault>,
    /// Rows that Barbican failed in this and in earlier passes.
    pub(crate) stumbles: &'a mut Stumbles,
    /// Whether it was said that a migration starts; a pass that only meets rows whose trouble is
    /// known says nothing.
    pub(crate) starting_said: &'a mut bool,
}

/// A key that has come to its end.
struct KeyDone {
    row: RowRef,
    span: Span,
    report: KeyReport,
    /// Whether it was said that it was begun.
    said: bool,
}

enum Event {
    Key(Box<KeyDone>),
    SpareDone {
        row: RowRef,
        spare: Candidate,
        deleted: bool,
    },
    Page(Result<Vec<ScannedRow>, DatabaseError>),
    Counted,
    CountedHere(Result<u64, DatabaseError>),
}

/// A key that was begun. One that is dropped before its end is named in the log.
struct Begun {
    row: RowRef,
    ended: bool,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.ended {
            messages::given_up(&self.row);
        }
    }
}

/// How far a pass has come.
pub(crate) struct Course {
    walk: Walk,
    keys_in_flight: usize,
    /// The rows of the keys in flight: none is begun twice.
    begun: HashSet<RowId>,
    /// A key succeeded: the others may follow.
    pub(crate) opened: bool,
    /// Keys in a row that Barbican failed.
    pub(crate) trouble: u32,
    next_start: Instant,
    /// When the global count is due; a long walk shows it too.
    next_count: Option<Instant>,
    pub(crate) end: Option<PassEnd>,
}

impl<'a, M, D, C, I> Pass<'a, M, D, C, I>
where
    M: KeyManager,
    D: CinderDatabase,
    C: Clock,
    I: Interrupt,
{
    /// Walks until every row was met, or until something ends it; what is in flight then is
    /// waited for.
    pub(crate) async fn run(mut self) -> PassEnd {
        let mut course = Course {
            walk: Walk::from(self.stumbles.begin_after()),
            begun: HashSet::new(),
            keys_in_flight: 0,
            opened: false,
            trouble: 0,
            next_start: Instant::now(),
            next_count: Some(Instant::now()),
            end: None,
        };
        let mut events: FuturesUnordered<BoxFuture<'a, Event>> = FuturesUnordered::new();
        events.push(self.count_here());
        loop {
            self.start_what_may(&mut course, &events);
            let over = course.end.is_some() || course.walk.is_over() || self.left_to_ask(0) == 0;
            if events.is_empty() && over {
                return course.end.unwrap_or(PassEnd::Walked);
            }
            // Pages and counts are not waited for; they leave nothing half done.
            if course.keys_in_flight == 0
                && let Some(end) = course.end.take()
            {
                return end;
            }
            tokio::select! {
                Some(event) = events.next(), if !events.is_empty() => {
                    self.handle(&mut course, &events, event);
                }
                () = self.interrupt.interrupted(), if course.end.is_none() => {
                    course.end = Some(PassEnd::Interrupted);
                }
                () = tokio::time::sleep_until(course.next_start), if course.is_throttled() => {}
                () = tokio::time::sleep(LOOK_AROUND) => {}
            }
        }
    }

    fn start_what_may(
        &mut self,
        course: &mut Course,
        events: &FuturesUnordered<BoxFuture<'a, Event>>,
    ) {
        while course.end.is_none() && !course.is_throttled() && self.has_room(course) {
            let Some(scanned) = course.walk.rows.pop_front() else {
                break;
            };
            let row = RowRef {
                kind: self.kind(),
                id: scanned.id.clone(),
            };
            if course.begun.contains(&row.id) {
                continue;
            }
            if let Some(task) = self.task_for(course, &row, &scanned) {
                course.keys_in_flight += 1;
                course.begun.insert(row.id.clone());
                course.next_start = self.next_start();
                events.push(self.begin(row, task));
            }
        }
        self.board.in_flight(course.keys_in_flight);
        if course.end.is_none() && course.next_count.is_some_and(|due| due <= Instant::now()) {
            course.next_count = None;
            events.push(self.count());
        }
        if course.end.is_none() && course.walk.wants_page() {
            course.walk.fetching = true;
            let rows = Arc::clone(&self.environment.rows);
            let (scope, after) = (self.scope, course.walk.after.clone());
            events.push(Box::pin(async move {
                Event::Page(rows.zero_rows(scope, after.as_ref(), PAGE).await)
            }));
        }
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

    /// One key alone until it succeeds; then as many as allowed, within what was asked for.
    fn has_room(&self, course: &Course) -> bool {
        let settings = &self.environment.settings;
        let limit = if course.opened {
            settings.max_concurrency.max(1)
        } else {
            1
        };
        course.keys_in_flight < limit && self.left_to_ask(course.keys_in_flight as u64) > 0
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

    fn task_for(
        &mut self,
        course: &mut Course,
        row: &RowRef,
        scanned: &ScannedRow,
    ) -> Option<Task> {
        let start = self.intents.start(row);
        // A look-up changes nothing for Cinder, and its outcome is worth knowing meanwhile.
        let looks_only = matches!(start, Start::LookUp);
        if !looks_only && let Some(message) = scanned.status.transitional(row.kind) {
            self.defer(row, RowReason::Transitional, &message);
            return None;
        }
        // What an unanswered request may have stored counts among the keys that were asked for.
        let begun = course.keys_in_flight as u64 + self.intents.parked();
        if !looks_only && self.left_to_ask(begun) == 0 {
            return None;
        }
        match (start, &self.unlisted) {
            (Start::Wait(wait), _) => {
                self.defer(row, RowReason::UnknownOutcome, &wait.to_string());
                None
            }
            (Start::Store, Some(_)) => Some(Task::StoreOnly),
            (Start::Store, None) => Some(Task::StoreAndSwitch),
            (Start::LookUp | Start::Use(_), Some(refused)) => {
                let refused = refused.clone();
                self.fault(course, row, &refused);
                None
            }
            (Start::Use(candidate), None) => Some(Task::Switch(candidate)),
            (Start::LookUp, None) => Some(Task::LookUp),
        }
    }

    fn begin(&mut self, row: RowRef, task: Task) -> BoxFuture<'a, Event> {
        let request = RequestId::random();
        let span = info_span!(target: messages::LOGGER, "key", request_id = %request, row = %row);
        let said = self.probing.is_none() && !self.board.is_known_trouble(&row.id);
        if said {
            self.say_starting();
            span.in_scope(|| messages::migrating(&row));
        }
        let work = KeyWork {
            keys: Arc::clone(&self.environment.keys),
            rows: Arc::clone(&self.environment.rows),
            fixed_key: Arc::clone(&self.fixed_key),
            extra_acl_users: self.extra_acl_users(),
            row: row.clone(),
            request,
        };
        let work = work.run(task).instrument(span.clone());
        let mut begun = Begun { row, ended: false };
        Box::pin(async move {
            let report = work.await;
            begun.ended = true;
            Event::Key(Box::new(KeyDone {
                row: begun.row.clone(),
                span,
                report,
                said,
            }))
        })
    }

    fn handle(
        &mut self,
        course: &mut Course,
        events: &FuturesUnordered<BoxFuture<'a, Event>>,
        event: Event,
    ) {
        match event {
            // Where it failed, the count after the walk says so.
            Event::CountedHere(count) => {
                if let Ok(remaining) = count {
                    self.board.remaining(remaining);
                }
            }
            Event::Counted => {
                course.next_count = Some(Instant::now() + self.environment.settings.interval);
            }
            Event::Page(Ok(page)) => course.walk.take_page(page),
            Event::Page(Err(error)) => {
                course.walk.fetching = false;
                let fault = database_fault(error);
                if course.end.is_none() && self.is_change(&fault) {
                    messages::blocked(self.environment.settings.service, &fault);
                    messages::remedy(&fault.remedy);
                }
                self.end_with(course, fault);
            }
            Event::Key(done) => {
                course.keys_in_flight -= 1;
                let KeyDone {
                    row,
                    span,
                    report: KeyReport { end, found },
                    said,
                } = *done;
                course.begun.remove(&row.id);
                for secret in found {
                    self.intents.add_found(&row, secret);
                }
                if let KeyEnd::Migrated(secret) = &end
                    && let Some(spare) = self.intents.take_spare(&row, *secret)
                {
                    course.keys_in_flight += 1;
                    events.push(self.drop_spare(row.clone(), spare));
                }
                span.in_scope(|| self.key_ended(course, &row, end, said));
                self.board.orphan_secrets(self.intents.superseded());
            }
            Event::SpareDone {
                row,
                spare,
                deleted,
            } => {
                course.keys_in_flight -= 1;
                if !deleted {
                    self.intents.supersede(&row, spare.secret);
                    self.board.orphan_secrets(self.intents.superseded());
                }
            }
        }
    }

    /// Deletes a second secret that this process stored for a row, beside the keys in flight.
    fn drop_spare(&self, row: RowRef, spare: Candidate) -> BoxFuture<'a, Event> {
        let Environment { keys, rows, .. } = self.environment.clone();
        Box::pin(async move {
            let deleted = delete_unused(&*keys, &*rows, spare, RequestId::random()).await;
            Event::SpareDone {
                row,
                spare,
                deleted,
            }
        })
    }

    /// Says once a pass that a migration starts.
    pub(crate) fn say_starting(&mut self) {
        if !std::mem::replace(self.starting_said, true) {
            messages::starting();
        }
    }

    fn kind(&self) -> ResourceKind {
        self.environment.settings.service.kind()
    }

    fn extra_acl_users(&self) -> Arc<[UserId]> {
        self.environment.settings.extra_acl_users.clone().into()
    }
}

impl Course {
    fn is_throttled(&self) -> bool {
        Instant::now() < self.next_start
    }
}
