//! What the end of one key means for the pass: what is kept, what is said, and whether the others
//! go on.

use tokio::time::Instant;

use super::course::Course;
use super::{Interrupt, Pass, PassEnd};
use crate::board::News;
use crate::ids::{RowRef, SecretId};
use crate::inventory::mismatch;
use crate::machine::KeyEnd;
use crate::messages;
use crate::ports::{CinderDatabase, Clock, KeyManager, Ledger};
use crate::reasons::{Fault, Reason, RowReason, ServiceState};

/// Keys in a row that Barbican may fail before it is left alone for a while.
const MOST_TROUBLE: u32 = 3;

impl<M, D, C, L, I> Pass<'_, M, D, C, L, I>
where
    M: KeyManager,
    D: CinderDatabase,
    C: Clock,
    L: Ledger,
    I: Interrupt,
{
    /// `said` tells whether the operator knows that the key was begun.
    pub(super) fn key_ended(
        &mut self,
        course: &mut Course,
        row: &RowRef,
        end: KeyEnd,
        superseded: &[SecretId],
        said: bool,
    ) {
        match end {
            KeyEnd::Migrated { .. } => {
                if !said {
                    self.say_what_was_withheld(row);
                }
                self.board.migrated();
                course.succeeded();
                course.trouble = 0;
                self.stumbles.are_over();
            }
            KeyEnd::NotOurs { deleted, .. } => self.not_ours(row, superseded, deleted),
            KeyEnd::Stored(_) => {
                course.end.get_or_insert(PassEnd::ListAgain);
            }
            KeyEnd::Deferred {
                reason, message, ..
            } => self.defer(course, row, reason, &message),
            KeyEnd::Failed {
                reason, message, ..
            } => {
                course.met.insert(row.clone());
                if self.board.failed(row, reason, &message) {
                    messages::key_failed(&message);
                }
            }
            KeyEnd::Trouble { message, .. } => {
                course.met.insert(row.clone());
                let news = self.board.failed(row, RowReason::Refused, &message);
                self.trouble(course, row, &message, news);
            }
            KeyEnd::Unknown { message } => {
                course.met.insert(row.clone());
                self.board.count_failure(RowReason::UnknownOutcome);
                let news = self
                    .board
                    .deferred(row, RowReason::UnknownOutcome, &message);
                self.trouble(course, row, &message, news == News::First);
            }
            KeyEnd::FoundNothing => {
                if !self.intents.is_parked(row) {
                    self.board.gave_up();
                }
                let message = "nothing is stored under its name yet";
                self.defer(course, row, RowReason::UnknownOutcome, message);
            }
            KeyEnd::NotAdoptable(candidate) => {
                let secret = candidate.secret;
                let message = format!("secret {secret}, found under its name, is not fit for it");
                self.defer(course, row, RowReason::UnknownOutcome, &message);
            }
            KeyEnd::Fault { fault, kept } => {
                if kept.is_some() && self.unlisted.is_none() {
                    self.stumbles.over(&row.id);
                }
                self.fault(course, row, &fault);
            }
            KeyEnd::Mismatch(candidate) => {
                self.board.count_failure(RowReason::ReadbackMismatch);
                self.fault(course, row, &mismatch(row, candidate.secret));
            }
        }
    }

    fn not_ours(&mut self, row: &RowRef, superseded: &[SecretId], deleted: Option<SecretId>) {
        self.board.not_ours();
        if deleted.is_some() || !superseded.is_empty() {
            self.board.count_failure(RowReason::Raced);
        }
        match (superseded, deleted) {
            ([], None) => {}
            ([], Some(_)) => messages::lost(row, None),
            (superseded, _) => {
                for secret in superseded {
                    messages::lost(row, Some(*secret));
                }
            }
        }
    }

    pub(super) fn defer(
        &mut self,
        course: &mut Course,
        row: &RowRef,
        reason: RowReason,
        message: &str,
    ) {
        course.met.insert(row.clone());
        let news = self.board.deferred(row, reason, message);
        if self.probing.is_some() {
            return;
        }
        match news {
            News::First => messages::deferred(row, reason, message),
            News::Long => messages::deferred_long(row, reason, message),
            News::None => {}
        }
    }

    /// Barbican failed one key in a way that others may meet too: after some in a row, or the
    /// probing one, it is left alone for a while.
    fn trouble(&mut self, course: &mut Course, row: &RowRef, message: &str, news: bool) {
        course.trouble += 1;
        self.concurrency.pushed_back(Instant::now());
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
    pub(super) fn fault(&mut self, course: &mut Course, row: &RowRef, fault: &Fault) {
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

    pub(super) fn end_with(&mut self, course: &mut Course, fault: Fault) {
        if !matches!(course.end, Some(PassEnd::Faulted(_))) {
            self.board.count_fault(&fault);
            course.end = Some(PassEnd::Faulted(fault));
        }
    }

    /// Whether this is not what the pass set out to find still there. The message may name other
    /// rows or requests each time; reason and remedy tell.
    pub(super) fn is_change(&self, fault: &Fault) -> bool {
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
