//! The ledger as the domain knows it.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretId};
use key_migration::ledger::{Entry, Recollection};
use key_migration::ports::{Clock, Ledger};
use key_migration::reasons::Fault;
use tokio::sync::oneshot;

use crate::faults::Trouble;
use crate::queue::{Order, Reply, Task};
use crate::store::Store;
use crate::writer::{Desk, Writer};

/// Who waits this long is told that the disk hangs. What was asked may be done all the same.
const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger in a directory of its own, written by one thread. Dropping it lets that thread write
/// what was noted, and end; [`Ledger::flush`] waits for it.
#[derive(Debug)]
pub struct MigrationLedger<C> {
    clock: C,
    state_dir: PathBuf,
    desk: Arc<Desk>,
    writer: Mutex<Option<Writer>>,
}

impl<C: Clock> MigrationLedger<C> {
    /// Nothing is opened yet: that is done when something is first asked or noted, and again
    /// whenever it is needed, so that a fault that is mended is over by itself.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>, clock: C) -> Self {
        Self {
            clock,
            state_dir: state_dir.into(),
            desk: Arc::default(),
            writer: Mutex::default(),
        }
    }

    /// How many times this process has waited for the disk to have something of it.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.desk.commits.load(Ordering::Relaxed)
    }

    /// Writes what was noted, as well as it can, and lets go of the directory. What is asked of the
    /// ledger after that fails.
    pub async fn close(&self) {
        self.desk.queue.close();
        let writer = self.writer().take();
        if let Some(writer) = writer {
            writer.ended().await;
        }
    }

    fn order(&self, keeper: &str, task: Task) {
        self.desk.queue.push(Order {
            keeper: keeper.to_owned(),
            at: self.clock.now(),
            task,
        });
        self.see_to_the_writer();
    }

    /// Starts the thread that writes, where none runs: none was needed yet, or it crashed.
    fn see_to_the_writer(&self) {
        let mut writer = self.writer();
        if writer.as_mut().is_none_or(Writer::has_ended) {
            let store = Store::new(self.state_dir.clone());
            *writer = Some(Writer::start(Arc::clone(&self.desk), store));
        }
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(&self, keeper: &str, task: impl FnOnce(Reply<T>) -> Task) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.order(keeper, task(reply));
        let fault = match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => Trouble::Stopped,
            Err(_) => Trouble::Slow,
        };
        Err(fault.fault(&self.state_dir))
    }
}

impl<C: Clock> Ledger for MigrationLedger<C> {
    async fn recall(&self, keeper: &str, kinds: &[ResourceKind]) -> Result<Recollection, Fault> {
        self.ask(keeper, |reply| Task::Recall(kinds.to_owned(), reply))
            .await
    }

    async fn intend(
        &self,
        keeper: &str,
        row: &RowRef,
        request: RequestId,
    ) -> Result<Vec<SecretId>, Fault> {
        self.ask(keeper, |reply| Task::Intend(row.clone(), request, reply))
            .await
    }

    fn note(&self, keeper: &str, entry: Entry) {
        self.order(keeper, Task::Note(entry));
    }

    async fn listed(&self, keeper: &str, kind: ResourceKind) -> Result<(), Fault> {
        self.ask(keeper, |reply| Task::Listed(kind, reply)).await
    }

    async fn flush(&self) -> Result<(), Fault> {
        self.ask("", Task::Flush).await
    }
}

impl<C> Drop for MigrationLedger<C> {
    fn drop(&mut self) {
        self.desk.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_told_after_a_minute() {
        let ledger = MigrationLedger::new("/nowhere", Epoch);
        let (_hanging, ended) = oneshot::channel();
        *ledger.writer() = Some(Writer::that(ended));
        let asked = tokio::time::Instant::now();
        let fault = ledger.flush().await.expect_err("no answer");
        assert_eq!(fault, Trouble::Slow.fault("/nowhere".as_ref()));
        assert_eq!(asked.elapsed().as_secs(), 60);
    }

    #[tokio::test]
    async fn a_writer_that_crashes_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = MigrationLedger::new(dir.path(), Epoch);
        let (crashed, ended) = oneshot::channel();
        drop(crashed);
        *ledger.writer() = Some(Writer::that(ended));
        assert_eq!(ledger.listed("keeper", ResourceKind::Volume).await, Ok(()));
    }
}
