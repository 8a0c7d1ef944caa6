//! A ledger in memory. Daemons that are given clones of it share it, as processes that follow each
//! other share a file.
//!
//! `crates/migration-ledger` holds the real ledger to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretId};
use key_migration::ledger::{Entry, Event, OpenIntent, Recollection};
use key_migration::ports::{Clock, Ledger};
use key_migration::reasons::Fault;

/// What was noted is on disk after this long at the latest.
const PATIENCE: SignedDuration = SignedDuration::from_millis(100);

#[derive(Clone)]
pub(crate) struct MemoryLedger {
    clock: Arc<dyn Clock>,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    books: BTreeMap<String, Book>,
    /// Noted and not written yet.
    notes: Vec<(String, Entry, Timestamp)>,
    trouble: Option<Fault>,
}

/// What is recorded for one keeper. Numbers are the order of things.
#[derive(Default)]
struct Book {
    events: u64,
    intents: BTreeMap<RowRef, (u64, OpenIntent)>,
    secrets: BTreeMap<(RowRef, SecretId), Held>,
    second_looks: BTreeMap<RowRef, (u64, Timestamp)>,
    listed: Vec<ResourceKind>,
}

struct Held {
    superseded: bool,
    seq: u64,
    switched: Option<u64>,
}

impl MemoryLedger {
    pub(crate) fn new(clock: impl Clock) -> Self {
        Self {
            clock: Arc::new(clock),
            memory: Arc::default(),
        }
    }

    /// From now on it cannot be written or read, or can again.
    pub(crate) fn fail(&self, trouble: Option<Fault>) {
        self.memory().trouble = trouble;
    }

    /// The file is deleted.
    pub(crate) fn forget(&self) {
        self.write_notes(false);
        self.memory().books.clear();
    }

    /// The process is killed: what it noted just now is not on disk yet.
    pub(crate) fn kill(&self) {
        self.write_notes(false);
        self.memory().notes.clear();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The book of a keeper, with everything in it that was noted.
    fn book<T>(&self, keeper: &str, act: impl FnOnce(&mut Book) -> T) -> Result<T, Fault> {
        self.write_notes(true);
        let mut memory = self.memory();
        match &memory.trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(act(memory.books.entry(keeper.to_owned()).or_default())),
        }
    }

    /// Writes all notes, or those that are on disk by now although nobody asked for it.
    fn write_notes(&self, all: bool) {
        let now = self.clock.now();
        let mut memory = self.memory();
        if memory.trouble.is_some() {
            return;
        }
        let due = memory.notes.iter();
        let due = due.take_while(|(.., at)| all || now.duration_since(*at) >= PATIENCE);
        let due = due.count();
        let due: Vec<_> = memory.notes.drain(..due).collect();
        for (keeper, entry, at) in due {
            memory.books.entry(keeper).or_default().note(&entry, at);
        }
    }
}

impl Ledger for MemoryLedger {
    async fn recall(&self, keeper: &str, kinds: &[ResourceKind]) -> Result<Recollection, Fault> {
        self.book(keeper, |book| book.recall(kinds))
    }

    async fn intend(
        &self,
        keeper: &str,
        row: &RowRef,
        _: RequestId,
    ) -> Result<Vec<SecretId>, Fault> {
        let now = self.clock.now();
        self.book(keeper, |book| book.intend(row, now))
    }

    fn note(&self, keeper: &str, entry: Entry) {
        let now = self.clock.now();
        self.memory().notes.push((keeper.to_owned(), entry, now));
    }

    async fn listed(&self, keeper: &str, kind: ResourceKind) -> Result<(), Fault> {
        self.book(keeper, |book| {
            book.events += 1;
            if !book.listed.contains(&kind) {
                book.listed.push(kind);
            }
        })
    }

    async fn flush(&self) -> Result<(), Fault> {
        self.write_notes(true);
        let memory = self.memory();
        match &memory.trouble {
            Some(trouble) if !memory.notes.is_empty() => Err(trouble.clone()),
            _ => Ok(()),
        }
    }
}

impl Book {
    fn intend(&mut self, row: &RowRef, now: Timestamp) -> Vec<SecretId> {
        self.events += 1;
        let intent = OpenIntent {
            row: row.clone(),
            since: now,
            secret: None,
        };
        self.intents.insert(row.clone(), (self.events, intent));
        let held = self.secrets.iter();
        let held = held.filter(|((of, _), held)| of == row && !held.superseded);
        let mut before: Vec<_> = held
            .map(|((_, secret), held)| (held.seq, *secret))
            .collect();
        before.sort_unstable();
        before.into_iter().rev().map(|(_, secret)| secret).collect()
    }

    fn note(&mut self, entry: &Entry, at: Timestamp) {
        self.events += 1;
        let row = &entry.row;
        match entry.event {
            Event::Unanswered => {}
            Event::Stored(secret) | Event::Found(secret) => {
                self.hold(row, secret).superseded = false;
                if let Some((_, open)) = self.intents.get_mut(row) {
                    open.secret.get_or_insert(secret);
                }
            }
            Event::Switched { secret, .. } => {
                let seq = self.events;
                let held = self.hold(row, secret);
                held.superseded = false;
                held.switched = Some(seq);
                self.intents.remove(row);
            }
            Event::NotStored | Event::Lost => {
                self.intents.remove(row);
            }
            Event::GivenUp => {
                let open = self.intents.get(row).map(|(_, open)| open);
                let since = open.map_or(at, |open| open.since);
                if open.is_some_and(|open| open.secret.is_none()) {
                    self.intents.remove(row);
                }
                self.second_looks.insert(row.clone(), (self.events, since));
            }
            Event::LookedAgain => {
                self.second_looks.remove(row);
            }
            Event::Deleted(secret) | Event::Gone(secret) => {
                self.secrets.remove(&(row.clone(), secret));
                self.unname(row, secret);
            }
            Event::Superseded(secret) => {
                let held = self.hold(row, secret);
                held.superseded = true;
                held.switched = None;
                self.unname(row, secret);
            }
        }
    }

    fn hold(&mut self, row: &RowRef, secret: SecretId) -> &mut Held {
        let seq = self.events;
        let held = self.secrets.entry((row.clone(), secret)).or_insert(Held {
            superseded: false,
            seq,
            switched: None,
        });
        held.seq = seq;
        held
    }

    /// The open intent does not lead to this secret any more.
    fn unname(&mut self, row: &RowRef, secret: SecretId) {
        if let Some((_, open)) = self.intents.get_mut(row) {
            open.secret = open.secret.filter(|known| *known != secret);
        }
    }

    fn recall(&self, kinds: &[ResourceKind]) -> Recollection {
        let asked = |row: &RowRef| kinds.contains(&row.kind);
        let secrets = self.secrets.iter().filter(|((row, _), _)| asked(row));
        let mut superseded = Vec::new();
        let mut switched = Vec::new();
        for ((row, secret), held) in secrets {
            if held.superseded {
                superseded.push((held.seq, (row.clone(), *secret)));
            }
            switched.extend(held.switched.map(|seq| (seq, (row.clone(), *secret))));
        }
        let open = self.intents.values().filter(|(_, open)| asked(&open.row));
        let looks = self.second_looks.iter().filter(|(row, _)| asked(row));
        let looks = looks.map(|(row, (seq, since))| (*seq, (row.clone(), *since)));
        Recollection {
            listed: kinds
                .iter()
                .filter(|kind| self.listed.contains(kind))
                .copied()
                .collect(),
            open: in_order(open.cloned().collect()),
            superseded: in_order(superseded),
            second_looks: in_order(looks.collect()),
            sample: in_order(switched).pop(),
        }
    }
}

fn in_order<T>(mut found: Vec<(u64, T)>) -> Vec<T> {
    found.sort_by_key(|(seq, _)| *seq);
    found.into_iter().map(|(_, thing)| thing).collect()
}
