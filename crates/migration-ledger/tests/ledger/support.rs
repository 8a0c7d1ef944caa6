//! Words for ledgers in real directories.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretId};
use key_migration::ledger::{Entry, Event};
use key_migration::ports::{Clock, Ledger};
use key_migration::reasons::Fault;
use migration_ledger::MigrationLedger;
use uuid::Uuid;

pub(crate) const KEEPER: &str = "cinder (user-id) in project service-id at https://barbican:9311";

/// Time as the test tells it, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

/// A directory that is removed at the end, and the ledger's in it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    pub(crate) clock: TestClock,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            clock: TestClock::default(),
        }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("key-migrator")
    }

    pub(crate) fn ledger(&self) -> MigrationLedger<TestClock> {
        MigrationLedger::new(self.state_dir(), self.clock.clone())
    }
}

pub(crate) fn ledger_file(state_dir: &Path) -> PathBuf {
    state_dir.join("ledger.sqlite")
}

pub(crate) fn volume(id: &str) -> RowRef {
    RowRef {
        kind: ResourceKind::Volume,
        id: id.into(),
    }
}

pub(crate) fn secret(number: u128) -> SecretId {
    SecretId::new(Uuid::from_u128(number)).expect("not zero")
}

pub(crate) fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn entry(row: &RowRef, event: Event) -> Entry {
    Entry {
        row: row.clone(),
        event,
        request: request(7),
    }
}

pub(crate) fn switched(number: u128) -> Event {
    Event::Switched {
        secret: secret(number),
        snapshots: 0,
    }
}

/// Rows whose intents are open.
pub(crate) async fn open_rows(ledger: &impl Ledger) -> Vec<String> {
    let found = ledger.recall(KEEPER, &[ResourceKind::Volume]).await;
    let open = found.expect("readable").open.into_iter();
    open.map(|open| open.row.id.to_string()).collect()
}

/// Records an intent for this volume.
pub(crate) async fn intend(ledger: &impl Ledger, id: &str) -> Vec<SecretId> {
    let intent = ledger.intend(KEEPER, &volume(id), request(1)).await;
    intent.expect("writable")
}

/// Why nothing can be intended.
pub(crate) async fn refused(ledger: &impl Ledger) -> Fault {
    let intent = ledger.intend(KEEPER, &volume("refused"), request(1)).await;
    intent.expect_err("refused")
}
