//! What came in: counters, the most requests at one time, and a log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::faults::Operation;

/// One request that a service of the cloud received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// What it was for.
    pub operation: Operation,
    /// The ID that the service gave it and sent back as `x-openstack-request-id`.
    pub request_id: String,
    /// The ID that the caller sent in `X-Openstack-Request-Id`, if any.
    pub global_request_id: Option<String>,
    /// Method and path with query.
    pub target: String,
    /// The status answered; `None` while under way, or when the connection was
    /// closed without an answer.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
pub(crate) struct Traffic {
    books: Mutex<Books>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Books {
    log: Vec<LoggedRequest>,
    counts: HashMap<Operation, u64>,
    in_flight: HashMap<Operation, u64>,
    all_in_flight: u64,
    high_water: HashMap<Operation, u64>,
    all_high_water: u64,
}

impl Traffic {
    /// Books a request in; the number returned is its place in the log.
    pub(crate) fn arrive(&self, request: LoggedRequest) -> usize {
        let mut books = self.lock();
        let operation = request.operation;
        books.log.push(request);
        *books.counts.entry(operation).or_default() += 1;
        books.all_in_flight += 1;
        books.all_high_water = books.all_high_water.max(books.all_in_flight);
        let now = books.in_flight.entry(operation).or_default();
        *now += 1;
        let now = *now;
        let high = books.high_water.entry(operation).or_default();
        *high = (*high).max(now);
        let place = books.log.len() - 1;
        drop(books);
        self.changes.send_modify(|seen| *seen += 1);
        place
    }

    pub(crate) fn leave(&self, place: usize, status: Option<u16>) {
        let mut books = self.lock();
        let Some(entry) = books.log.get_mut(place) else {
            return;
        };
        entry.status = status;
        let operation = entry.operation;
        books.all_in_flight = books.all_in_flight.saturating_sub(1);
        if let Some(now) = books.in_flight.get_mut(&operation) {
            *now = now.saturating_sub(1);
        }
        drop(books);
        self.changes.send_modify(|seen| *seen += 1);
    }

    pub(crate) fn count(&self, operation: Operation) -> u64 {
        self.lock().counts.get(&operation).copied().unwrap_or(0)
    }

    /// Waits until `count` requests for `operation` have come.
    pub(crate) async fn wait_for(&self, operation: Operation, count: u64) {
        let mut changes = self.changes.subscribe();
        while self.count(operation) < count {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until no request is under way.
    pub(crate) async fn idle(&self) {
        let mut changes = self.changes.subscribe();
        while self.lock().all_in_flight > 0 {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn high_water(&self, operation: Option<Operation>) -> u64 {
        let books = self.lock();
        operation.map_or(books.all_high_water, |operation| {
            books.high_water.get(&operation).copied().unwrap_or(0)
        })
    }

    pub(crate) fn log(&self) -> Vec<LoggedRequest> {
        self.lock().log.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
