//! What the end of one key means for the pass: what is kept, what is said, and whether the others
//! go on.

use std::time::Duration;

use crate::ids::{RowRef, SecretId};
use crate::intents::{Candidate, Origin};
use crate::inventory::mismatch;
use crate::messages;
use crate::one_key::KeyEnd;
use crate::pass::{Course, Interrupt, Pass, PassEnd};
use crate::ports::{CinderDatabase, Clock, KeyManager};
use crate::reasons::{Fault, Reason, RowReason, ServiceState};

/// Keys in a row that Barbican may fail before it is left alone for a while.
const MOST_TROUBLE: u32 = 3;

impl<M, D, C, I> Pass<'_, M, D, C, I>
where
    M: KeyManager,
    D: CinderDatabase,
    C: Clock,
    I: Interrupt,
{
    /// `said` tells whether the operator knows that the key was begun.
    pub(crate) fn key_ended(&mut self, course: &mut Course, row: &RowRef, end: KeyEnd, said: bool) {
        match end {
            KeyEnd::Migrated(secret) => {
                self.intents.close(row, Some(secret));
                if !said {
                    self.say_what_was_withheld(row);
                }
                self.board.migrated();
                course.opened = true;
                course.trouble = 0;
                self.stumbles.are_over();
            }
            KeyEnd::NotOurs { left, deleted } => self.not_ours(row, left, deleted),
            KeyEnd::Stored(candidate) => {
                self.intents.keep(row, candidate);
                course.end.get_or_insert(PassEnd::ListAgain);
            }
            KeyEnd::Deferred {
                reason,
                message,
                kept,
            } => {
                self.keep(row, kept);
                self.defer(row, reason, &message);
            }
            KeyEnd::Failed {
                reason,
                message,
                kept,
            } => {
                self.keep(row, kept);
                if self.board.failed(&row.id, reason) {
                    messages::key_failed(&message);
                }
            }
            KeyEnd::Trouble { message, kept } => {
                self.keep(row, kept);
                let news = self.board.failed(&row.id, RowReason::Refused);
                self.trouble(course, row, &message, news);
            }
            KeyEnd::Unknown { message } => {
                self.intents
                    .park(row, self.environment.settings.unknown_outcome_wait);
                self.board.count_failure(RowReason::UnknownOutcome);
                let news = self.board.deferred(&row.id, RowReason::UnknownOutcome);
                self.trouble(course, row, &message, news);
            }
            KeyEnd::FoundNothing => {
                self.intents.found_nothing(row);
                self.defer(
                    row,
                    RowReason::UnknownOutcome,
                    "nothing is stored under its name yet",
                );
            }
            KeyEnd::NotAdoptable(candidate) => {
                let secret = candidate.secret;
                self.intents.forget(row, secret);
                if candidate.origin == Origin::Found {
                    self.intents.found_nothing(row);
                } else {
                    // It was stored and is not to be seen: its name tells before another is.
                    self.intents.park(row, Duration::ZERO);
                }
                let message = format!("secret {secret}, found under its name, is not fit for it");
                self.defer(row, RowReason::UnknownOutcome, &message);
            }
            KeyEnd::Fault { fault, kept } => {
                if kept.is_some() && self.unlisted.is_none() {
                    self.stumbles.over(&row.id);
                }
                self.keep(row, kept);
                self.fault(course, row, &fault);
            }
            KeyEnd::Mismatch(candidate) => {
                self.intents.keep(row, candidate);
                self.intents.set_mismatch(row, candidate.secret);
                self.board.count_failure(RowReason::ReadbackMismatch);
                self.fault(course, row, &mismatch(row, candidate.secret));
            }
        }
    }

    fn keep(&mut self, row: &RowRef, kept: Option<Candidate>) {
        if let Some(candidate) = kept {
            self.intents.keep(row, candidate);
        }
    }

    fn not_ours(&mut self, row: &RowRef, left: Option<Candidate>, deleted: Option<SecretId>) {
        if let Some(secret) = deleted {
            self.intents.forget(row, secret);
        }
        if let Some(candidate) = left {
            self.intents.supersede(row, candidate.secret);
        }
        self.board.not_ours();
        if left.is_some() || deleted.is_some() {
            self.board.count_failure(RowReason::Raced);
            messages::lost(row, left.map(|candidate| candidate.secret));
        }
    }

    pub(crate) fn defer(&mut self, row: &RowRef, reason: RowReason, message: &str) {
        if self.board.deferred(&row.id, reason) && self.probing.is_none() {
            messages::deferred(row, reason, message);
        }
    }

    /// Barbican failed one key in a way that others may meet too: after some in a row, or the
    /// probing one, it is left alone for a while.
    fn trouble(&mut self, course: &mut Course, row: &RowRef, message: &str, news: bool) {
        course.trouble += 1;
        self.stumbles.over(&row.id);
        let remedy = "see the log of the Barbican API, and of what stands in front of it";
        let fault = Fault::new(Reason::BarbicanFailing, message, remedy);
        let ends = self.probing.is_some() || course.trouble >= MOST_TROUBLE;
        let said = matches!(course.end, Some(PassEnd::Faulted(_))) || !self.is_change(&fault);
        self.say_if_another_block(row, &fault);
        if !said && (news || ends) {
            messages::key_failed(message);
        }
        if ends {
            if !said {
                messages::remedy(remedy);
            }
            self.end_with(course, fault);
        }
    }

    /// Says what hits every key, once, and ends the pass.
    pub(crate) fn fault(&mut self, course: &mut Course, row: &RowRef, fault: &Fault) {
        let already = matches!(course.end, Some(PassEnd::Faulted(_)));
        if !already && self.is_change(fault) {
            self.say_if_another_block(row, fault);
            messages::key_failed(&fault.message);
            messages::remedy(&fault.remedy);
        }
        self.end_with(course, fault.clone());
    }

    /// What the service waited for is given, and now something else stands in the way: the
    /// operator is told of the key that found out.
    fn say_if_another_block(&mut self, row: &RowRef, fault: &Fault) {
        if self
            .probing
            .as_ref()
            .is_some_and(|known| known.reason != fault.reason)
        {
            self.say_what_was_withheld(row);
        }
    }

    pub(crate) fn end_with(&mut self, course: &mut Course, fault: Fault) {
        if !matches!(course.end, Some(PassEnd::Faulted(_))) {
            self.board.count_fault(&fault);
            course.end = Some(PassEnd::Faulted(fault));
        }
    }

    /// Whether this is not what the pass set out to find still there. The message may name other
    /// rows or requests each time; reason and remedy tell.
    pub(crate) fn is_change(&self, fault: &Fault) -> bool {
        self.probing
            .as_ref()
            .is_none_or(|known| (known.reason, &known.remedy) != (fault.reason, &fault.remedy))
    }

    fn say_what_was_withheld(&mut self, row: &RowRef) {
        if let Some(gone) = self.probing.take() {
            messages::going_on(self.environment.settings.service, gone.reason);
            self.board.state(ServiceState::Migrating, None, None);
        }
        self.say_starting();
        messages::migrating(row);
    }
}
