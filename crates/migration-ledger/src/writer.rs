//! The one task that writes: what came in while it wrote goes into its next transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

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

/// Carries out orders until the queue is closed, then what is left as well as it can.
pub(crate) async fn write(desk: Arc<Desk>, mut store: Store) {
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
