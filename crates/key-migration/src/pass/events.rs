//! What a pass hears of, and what it makes of each.

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::Span;

use super::course::Course;
use super::{Interrupt, Pass};
use crate::ids::{RequestId, RowRef, SecretId};
use crate::inventory::database_fault;
use crate::ledger::Entry;
use crate::machine::{Candidate, KeyEnd};
use crate::messages;
use crate::one_key::{KeyReport, delete_unneeded};
use crate::peers::{self, Overwritten, Whose};
use crate::ports::{CinderDatabase, Clock, DatabaseError, KeyManager, Ledger};
use crate::rows::ScannedRow;
use crate::service::Environment;

/// A key that has come to its end.
pub(super) struct KeyDone {
    pub(super) row: RowRef,
    pub(super) request: RequestId,
    pub(super) span: Span,
    pub(super) report: KeyReport,
    /// Whether it was said that it was begun.
    pub(super) said: bool,
}

pub(super) enum Event {
    Key(Box<KeyDone>),
    SpareDone {
        row: RowRef,
        spare: Candidate,
        deleted: bool,
    },
    /// Whose secret a row holds that we meant to switch.
    Lost {
        row: RowRef,
        /// The walk on which the row was met.
        walk: Option<u32>,
        whose: Whose,
    },
    /// What others did to rows that were switched a moment ago, and to one that comes next.
    Watched {
        taken: Option<RowRef>,
        overwritten: Vec<Overwritten>,
    },
    Page {
        walk: u32,
        page: Result<Vec<ScannedRow>, DatabaseError>,
    },
    Counted,
    CountedHere(Result<u64, DatabaseError>),
}

/// A key that was begun. One that is dropped before its end is named in the log.
pub(super) struct Begun(Option<RowRef>);

impl Begun {
    pub(super) fn new(row: RowRef) -> Self {
        Self(Some(row))
    }

    pub(super) fn has_ended(&mut self) -> RowRef {
        self.0.take().expect("a key ends once")
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(row) = &self.0 {
            messages::given_up(row);
        }
    }
}

impl<'a, M, D, C, L, I> Pass<'a, M, D, C, L, I>
where
    M: KeyManager,
    D: CinderDatabase,
    C: Clock,
    L: Ledger,
    I: Interrupt,
{
    pub(super) fn handle(
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
            Event::Page { walk, .. } if walk != course.walk.number => {}
            Event::Page { page: Ok(page), .. } => course.walk.take_page(page),
            Event::Page {
                page: Err(error), ..
            } => {
                course.walk.fetching = false;
                let fault = database_fault(error);
                if course.end.is_none() && self.is_change(&fault) {
                    messages::blocked(self.environment.settings.service, &fault);
                    messages::remedy(&fault.remedy);
                }
                self.end_with(course, fault);
            }
            Event::Key(done) => self.key_done(course, events, *done),
            Event::SpareDone {
                row,
                spare,
                deleted,
            } => {
                course.extras -= 1;
                if deleted {
                    self.intents.deleted(&row, spare.secret);
                } else {
                    self.intents.supersede(&row, spare.secret);
                }
            }
            Event::Lost { row, walk, whose } => {
                course.extras -= 1;
                course.asking -= 1;
                match whose {
                    Whose::Siblings => course.jump(walk, (self.entropy)()),
                    Whose::Peers => self.peer_seen(course, &row),
                    Whose::Others => {}
                }
            }
            Event::Watched { taken, overwritten } => {
                course.watched();
                for overwritten in overwritten {
                    self.overwritten(course, &overwritten);
                }
                if let Some(row) = taken {
                    self.peer_seen(course, &row);
                }
            }
        }
        self.board.orphan_secrets(self.intents.superseded());
    }

    fn key_done(
        &mut self,
        course: &mut Course,
        events: &FuturesUnordered<BoxFuture<'a, Event>>,
        done: KeyDone,
    ) {
        course.keys_in_flight -= 1;
        let KeyDone {
            row,
            request,
            span,
            report,
            said,
        } = done;
        let walk = course.begun.remove(&row);
        let now = Instant::now();
        if let Some(latency) = report.latency {
            self.concurrency
                .answered(latency, course.keys_in_flight + 1, now);
        }
        let KeyReport { end, found, .. } = report;
        let wait = self.environment.settings.unknown_outcome_wait;
        let concluded = self.intents.conclude(&row, &found, &end, wait, now);
        if let KeyEnd::Migrated {
            secret,
            shared: false,
            ..
        } = end
        {
            self.peers.switched(&row, secret);
        }
        if let Some(spare) = concluded.spare {
            course.extras += 1;
            events.push(self.drop_spare(row.clone(), spare));
        }
        if let KeyEnd::NotOurs {
            holds: Some(holds), ..
        } = end
        {
            course.extras += 1;
            course.asking += 1;
            events.push(self.ask_whose(row.clone(), walk, holds));
        }
        span.in_scope(|| self.key_ended(course, &row, end, &concluded.superseded, said));
        self.write_down_under(request);
    }

    /// Deletes a second secret that this process stored for a row, beside the keys in flight.
    fn drop_spare(&self, row: RowRef, spare: Candidate) -> BoxFuture<'a, Event> {
        let Environment { keys, rows, .. } = self.environment.clone();
        Box::pin(async move {
            let deleted = delete_unneeded(&*keys, &*rows, &row, spare.secret)
                .await
                .is_ok();
            Event::SpareDone {
                row,
                spare,
                deleted,
            }
        })
    }

    fn ask_whose(&self, row: RowRef, walk: Option<u32>, holds: SecretId) -> BoxFuture<'a, Event> {
        let keys = std::sync::Arc::clone(&self.environment.keys);
        Box::pin(async move {
            let whose = peers::whose(&*keys, holds).await;
            Event::Lost { row, walk, whose }
        })
    }

    fn overwritten(&mut self, course: &mut Course, overwritten: &Overwritten) {
        let Overwritten {
            row,
            secret,
            still_used,
            by_peer,
        } = overwritten;
        self.peers.forget(row);
        if !still_used {
            self.intents.add_superseded(row, *secret);
            messages::lost(row, Some(*secret));
        }
        if *by_peer {
            self.peer_seen(course, row);
        }
    }

    /// W20: nothing more is switched until Cinder's own migrator is through.
    fn peer_seen(&mut self, course: &mut Course, row: &RowRef) {
        self.peers.seen(Instant::now());
        let fault = peers::fault(row);
        if course.end.is_none() && self.is_change(&fault) {
            messages::blocked(self.environment.settings.service, &fault);
            messages::remedy(&fault.remedy);
        }
        self.end_with(course, fault);
    }

    /// Hands what was learnt to the ledger.
    pub(super) fn write_down(&mut self) {
        self.write_down_under(RequestId::random());
    }

    fn write_down_under(&mut self, request: RequestId) {
        for (row, event) in self.intents.take_journal() {
            let entry = Entry {
                row,
                event,
                request,
            };
            self.ledger.note(&self.keeper, entry);
        }
    }
}
