//! What waits to be written: what somebody waits for, and what was only noted.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretId};
use key_migration::ledger::{Entry, Recollection};
use key_migration::reasons::Fault;
use tokio::sync::{Notify, oneshot};

use crate::store::Answer;

/// So many notes are kept while nothing can be written.
const MAX_NOTES: usize = 100_000;

/// So many orders go into one transaction at most.
const MAX_BATCH: usize = 1_000;

/// Who waits for an order to be carried out.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Fault>>;

/// Something to be written or read, in the order of their coming.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) keeper: String,
    pub(crate) at: Timestamp,
    pub(crate) task: Task,
}

#[derive(Debug)]
pub(crate) enum Task {
    Intend(RowRef, RequestId, Reply<Vec<SecretId>>),
    Listed(ResourceKind, Reply<()>),
    Recall(Vec<ResourceKind>, Reply<Recollection>),
    Flush(Reply<()>),
    Note(Entry),
}

impl Order {
    fn is_note(&self) -> bool {
        matches!(self.task, Task::Note(_))
    }

    /// Whether it changes the record.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.task, Task::Recall(..) | Task::Flush(_))
    }

    /// Whether it wants to know the record.
    pub(crate) fn reads(&self) -> bool {
        matches!(self.task, Task::Recall(..))
    }

    /// Tells whoever waits that it is done. Who does not wait any more is not told.
    pub(crate) fn done(self, answer: Answer) {
        match (self.task, answer) {
            (Task::Intend(_, _, reply), Answer::Secrets(secrets)) => {
                let _ = reply.send(Ok(secrets));
            }
            (Task::Recall(_, reply), Answer::Recollection(found)) => {
                let _ = reply.send(Ok(found));
            }
            (Task::Listed(_, reply) | Task::Flush(reply), Answer::Done) => {
                let _ = reply.send(Ok(()));
            }
            _ => {}
        }
    }

    /// Tells whoever waits that it failed; a note, for which nobody does, comes back.
    fn failed(self, fault: &Fault) -> Option<Self> {
        let fault = fault.clone();
        match self.task {
            Task::Note(_) => return Some(self),
            Task::Intend(_, _, reply) => {
                let _ = reply.send(Err(fault));
            }
            Task::Recall(_, reply) => {
                let _ = reply.send(Err(fault));
            }
            Task::Listed(_, reply) | Task::Flush(reply) => {
                let _ = reply.send(Err(fault));
            }
        }
        None
    }
}

/// The orders, and a bell for the one task that carries them out.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    notes: usize,
    closed: bool,
    /// Whether notes were dropped since something could be written last.
    dropping: bool,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Nothing,
    /// Nobody waits for it.
    Notes,
    /// Somebody waits for it.
    Urgent,
    /// Whatever there is, and then nothing any more.
    Last,
}

impl Queue {
    /// Adds an order; one that comes after the end is dropped.
    pub(crate) fn push(&self, order: Order) {
        let mut waiting = self.waiting();
        if waiting.closed {
            return;
        }
        waiting.push(order);
        drop(waiting);
        self.bell.notify_one();
    }

    /// No more orders come.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.bell.notify_one();
    }

    /// Waits for the next order or the end.
    pub(crate) async fn bell(&self) {
        self.bell.notified().await;
    }

    pub(crate) fn work(&self) -> Work {
        let waiting = self.waiting();
        if waiting.closed {
            Work::Last
        } else if waiting.orders.len() > waiting.notes {
            Work::Urgent
        } else if waiting.notes > 0 {
            Work::Notes
        } else {
            Work::Nothing
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().orders.is_empty()
    }

    /// The oldest orders, as many as go into one transaction.
    pub(crate) fn take_batch(&self) -> Vec<Order> {
        let mut waiting = self.waiting();
        let size = waiting.orders.len().min(MAX_BATCH);
        let batch: Vec<Order> = waiting.orders.drain(..size).collect();
        waiting.notes -= batch.iter().filter(|order| order.is_note()).count();
        batch
    }

    /// A batch could not be carried out: everybody who waits is told, also those behind it, and
    /// the notes are kept.
    pub(crate) fn give_back(&self, batch: Vec<Order>, fault: &Fault) {
        let mut waiting = self.waiting();
        let orders = batch.into_iter().chain(std::mem::take(&mut waiting.orders));
        let notes: VecDeque<Order> = orders.filter_map(|order| order.failed(fault)).collect();
        waiting.notes = notes.len();
        waiting.orders = notes;
        waiting.keep_to_bound();
    }

    /// Something was written.
    pub(crate) fn is_writable(&self) {
        self.waiting().dropping = false;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, order: Order) {
        self.notes += usize::from(order.is_note());
        self.orders.push_back(order);
        self.keep_to_bound();
    }

    fn keep_to_bound(&mut self) {
        while self.notes > MAX_NOTES {
            let Some(oldest) = self.orders.iter().position(Order::is_note) else {
                return;
            };
            self.orders.remove(oldest);
            self.notes -= 1;
            if !self.dropping {
                self.dropping = true;
                tracing::warn!(
                    "The ledger could not be written for so long that the oldest of what was noted \
                     is left out of it. What became of those rows is found again by their names."
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use key_migration::ledger::Event;
    use key_migration::reasons::Reason;

    use super::*;

    fn order(task: Task) -> Order {
        Order {
            keeper: "keeper".into(),
            at: Timestamp::UNIX_EPOCH,
            task,
        }
    }

    fn row(number: usize) -> RowRef {
        RowRef {
            kind: ResourceKind::Volume,
            id: number.to_string().into(),
        }
    }

    fn note(number: usize) -> Order {
        order(Task::Note(Entry {
            row: row(number),
            event: Event::Unanswered,
            request: RequestId::from_uuid(uuid::Uuid::nil()),
        }))
    }

    fn flush() -> (Order, oneshot::Receiver<Result<(), Fault>>) {
        let (reply, answer) = oneshot::channel();
        (order(Task::Flush(reply)), answer)
    }

    /// The rows of the notes in a batch, and `None` for what is none.
    fn rows(batch: &[Order]) -> Vec<Option<&str>> {
        batch
            .iter()
            .map(|order| match &order.task {
                Task::Note(entry) => Some(entry.row.id.as_str()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_only_noted_is_told_from_what_is_waited_for() {
        let queue = Queue::default();
        assert_eq!(queue.work(), Work::Nothing);
        assert!(queue.is_empty());
        queue.push(note(1));
        assert_eq!(queue.work(), Work::Notes);
        queue.push(flush().0);
        assert_eq!(queue.work(), Work::Urgent);
        assert_eq!(rows(&queue.take_batch()), [Some("1"), None]);
        assert_eq!(queue.work(), Work::Nothing);
        queue.close();
        assert_eq!(queue.work(), Work::Last);
    }

    #[test]
    fn a_failure_is_told_to_all_who_wait_and_the_notes_stay_in_order() {
        let queue = Queue::default();
        let (first, mut first_answer) = flush();
        let (second, mut second_answer) = flush();
        queue.push(note(1));
        queue.push(first);
        let batch = queue.take_batch();
        queue.push(note(2));
        queue.push(second);
        let fault = Fault::new(Reason::LedgerUnavailable, "message", "remedy");
        queue.give_back(batch, &fault);
        assert_eq!(first_answer.try_recv(), Ok(Err(fault.clone())));
        assert_eq!(second_answer.try_recv(), Ok(Err(fault)));
        assert_eq!(queue.work(), Work::Notes);
        assert_eq!(rows(&queue.take_batch()), [Some("1"), Some("2")]);
    }

    #[test]
    fn a_transaction_is_bounded_and_begins_with_the_oldest() {
        let queue = Queue::default();
        for number in 0..=MAX_BATCH {
            queue.push(note(number));
        }
        assert_eq!(queue.take_batch().len(), MAX_BATCH);
        assert_eq!(queue.work(), Work::Notes);
        let last = MAX_BATCH.to_string();
        assert_eq!(rows(&queue.take_batch()), [Some(last.as_str())]);
    }

    #[test]
    fn the_oldest_notes_are_dropped_and_never_what_is_waited_for() {
        let queue = Queue::default();
        let (waited_for, mut answer) = flush();
        queue.push(waited_for);
        for number in 0..MAX_NOTES + 2 {
            queue.push(note(number));
        }
        assert_eq!(queue.waiting().notes, MAX_NOTES);
        let batch = queue.take_batch();
        assert_eq!(rows(&batch)[..2], [None, Some("2")]);
        assert!(answer.try_recv().is_err(), "it waits still");
        queue.push(note(0));
        let fault = Fault::new(Reason::LedgerUnavailable, "message", "remedy");
        queue.give_back(batch, &fault);
        assert_eq!(queue.waiting().notes, MAX_NOTES);
    }
}
