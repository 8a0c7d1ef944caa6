//! What the end of one key means for the pass: what is kept, what is said, and whether the others
//! go on.

use crate::ids::{RequestId, RowRef, SecretId};
use crate::intents::Candidate;
use crate::inventory::mismatch;
use crate::messages;
use crate::one_key::{KeyEnd, delete_unused};
use crate::pass::{Course, Interrupt, Pass, PassEnd};
use crate::ports::{CinderDatabase, Clock, KeyManager};
use crate::reasons::{Fault, Reason, RowReason, ServiceState};
use crate::service::Environment;

/// Keys in a row that Barbican may fail before it is left alone for a while.
const MOST_TROUBLE: u32 = 3;

impl<M, D, C, I> Pass<'_, M, D, C, I>
where
    M: KeyManager,
    D: CinderDatabase,
    C: Clock,
    I: Interrupt,
{
    pub(crate) fn key_ended(&mut self, course: &mut Course, row: &RowRef, end: KeyEnd) {
        match end {
            KeyEnd::Migrated(secret) => {
                self.intents.close(row, Some(secret));
                self.say_what_was_withheld(row);
                self.board.migrated();
                course.opened = true;
                course.trouble = 0;
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
                self.trouble(course, &message, news);
            }
            KeyEnd::Unknown { message } => {
                self.intents
                    .park(row, self.environment.settings.unknown_outcome_wait);
                self.board.count_failure(RowReason::UnknownOutcome);
                let news = self.board.deferred(&row.id, RowReason::UnknownOutcome);
                self.trouble(course, &message, news);
            }
            KeyEnd::FoundNothing => {
                self.intents.found_nothing(row);
                self.defer(
                    row,
                    RowReason::UnknownOutcome,
                    "nothing is stored under its name yet",
                );
            }
            KeyEnd::NotAdoptable(secret) => {
                self.intents.forget(row, secret);
                self.intents.found_nothing(row);
                let message = format!("secret {secret}, found under its name, is not fit for it");
                self.defer(row, RowReason::UnknownOutcome, &message);
            }
            KeyEnd::Fault { fault, kept } => {
                self.keep(row, kept);
                self.fault(course, &fault);
            }
            KeyEnd::Mismatch(candidate) => {
                self.intents.keep(row, candidate);
                self.intents.set_mismatch(row, candidate.secret);
                self.board.count_failure(RowReason::ReadbackMismatch);
                self.fault(course, &mismatch(row, candidate.secret));
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

    pub(crate) async fn drop_spare(&mut self, row: &RowRef, spare: Candidate) {
        let Environment { keys, rows, .. } = self.environment;
        if !delete_unused(&**keys, &**rows, spare, RequestId::random()).await {
            self.intents.supersede(row, spare.secret);
        }
    }

    pub(crate) fn defer(&mut self, row: &RowRef, reason: RowReason, message: &str) {
        if self.board.deferred(&row.id, reason) && self.probing.is_none() {
            messages::deferred(row, reason, message);
        }
    }

    /// Barbican failed one key in a way that others may meet too: after some in a row, or the
    /// probing one, it is left alone for a while.
    fn trouble(&mut self, course: &mut Course, message: &str, news: bool) {
        course.trouble += 1;
        let remedy = "see the log of the Barbican API, and of what stands in front of it";
        let fault = Fault::new(Reason::BarbicanFailing, message, remedy);
        let ends = self.probing.is_some() || course.trouble >= MOST_TROUBLE;
        let said = matches!(course.end, Some(PassEnd::Faulted(_))) || !self.is_change(&fault);
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
    pub(crate) fn fault(&mut self, course: &mut Course, fault: &Fault) {
        let already = matches!(course.end, Some(PassEnd::Faulted(_)));
        if !already && self.is_change(fault) {
            messages::key_failed(&fault.message);
            messages::remedy(&fault.remedy);
        }
        self.end_with(course, fault.clone());
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
            messages::starting();
            messages::migrating(row);
            self.board.state(ServiceState::Migrating, None, None);
        }
    }
}
