//! The one thread that writes: what came in while it wrote goes into its next transaction.
//!
//! It is a thread because a transaction is many short steps, each of which would otherwise wait for
//! its turn among all else that the program does, and with it every key that waits for its intent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;
use tracing::dispatcher;

use crate::faults::Trouble;
use crate::queue::{Order, Queue, Work};
use crate::store::{Answer, Store};

/// How long what nobody waits for may wait for something that somebody does.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long after a failure notes are tried again, if nobody asks for anything before.
const RETRY: Duration = Duration::from_secs(1);

/// What the writer shares with its ledger.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) queue: Queue,
    pub(crate) commits: AtomicU64,
}

/// The thread, of which only its end is to be seen.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Its other half is dropped at the end, also of a thread that crashed.
    end: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts it. Where no thread can be had, whoever waits is told.
    pub(crate) fn start(desk: Arc<Desk>, store: Store) -> Self {
        let (at_work, end) = oneshot::channel();
        let log = dispatcher::get_default(Clone::clone);
        let begun = Arc::clone(&desk);
        let state_dir = store.state_dir().to_owned();
        let work = move || {
            let _at_work = at_work;
            let _log = dispatcher::set_default(&log);
            match Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime.block_on(write(begun, store)),
                Err(_) => begun.turn_away(store.state_dir()),
            }
        };
        if thread::Builder::new()
            .name("ledger".into())
            .spawn(work)
            .is_err()
        {
            desk.turn_away(&state_dir);
        }
        Self { end }
    }

    /// One whose end is what a test makes it.
    #[cfg(test)]
    pub(crate) fn that(end: oneshot::Receiver<()>) -> Self {
        Self { end }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.end.try_recv() != Err(TryRecvError::Empty)
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        // Nothing is ever sent.
        let _ = self.end.await;
    }
}

impl Desk {
    /// There is nobody to carry out anything.
    fn turn_away(&self, state_dir: &Path) {
        let fault = Trouble::Stopped.fault(state_dir);
        self.queue.give_back(self.queue.take_batch(), &fault);
    }
}

/// Carries out orders until the queue is closed, then what is left as well as it can.
async fn write(desk: Arc<Desk>, mut store: Store) {
    let mut patience = PATIENCE;
    loop {
        let work = next_work(&desk.queue, patience).await;
        let carried_out = carry_out(&desk, &mut store).await;
        patience = if carried_out { PATIENCE } else { RETRY };
        if work == Work::Last && (desk.queue.is_empty() || !carried_out) {
            store.close().await;
            return;
        }
    }
}

/// Waits until there is something to do that has waited long enough.
async fn next_work(queue: &Queue, patience: Duration) -> Work {
    let mut due = None;
    loop {
        match queue.work() {
            Work::Nothing => queue.bell().await,
            Work::Notes => {
                let due = *due.get_or_insert_with(|| Instant::now() + patience);
                if tokio::time::timeout_at(due, queue.bell()).await.is_err() {
                    return Work::Notes;
                }
            }
            work @ (Work::Urgent | Work::Last) => return work,
        }
    }
}

/// One transaction. Says whether it succeeded.
async fn carry_out(desk: &Desk, store: &mut Store) -> bool {
    let batch = desk.queue.take_batch();
    let writes = batch.iter().any(Order::writes);
    let result = if writes || batch.iter().any(Order::reads) {
        store.transact(&batch).await
    } else {
        Ok(batch.iter().map(|_| Answer::Done).collect())
    };
    match result {
        Ok(answers) => {
            if writes {
                desk.commits.fetch_add(1, Ordering::Relaxed);
                desk.queue.is_writable();
            }
            for (order, answer) in batch.into_iter().zip(answers) {
                order.done(answer);
            }
            true
        }
        Err(trouble) => {
            desk.queue
                .give_back(batch, &trouble.fault(store.state_dir()));
            false
        }
    }
}
