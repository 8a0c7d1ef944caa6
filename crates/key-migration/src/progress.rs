//! The one snapshot of a service's progress. HTTP, metrics and log render it; none keeps its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::host_rows::HostRows;
use crate::ids::{RowRef, Service};
use crate::reasons::{Fault, Reason, RowReason, ServiceState};
use crate::rows::Census;

/// Where one service stands. Its serialised form is an element of `services` in `/v1/status`.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceProgress {
    /// Which service.
    pub service: Service,
    /// What its loop is doing.
    pub state: ServiceState,
    /// Since when it is in that state (for `blocked`: with that reason).
    pub since: Timestamp,
    /// The `host@backend`, `cluster@backend` or host names whose rows it owns.
    pub owned: Vec<String>,
    /// Why it is blocked or disabled.
    pub reason: Option<StatedReason>,
    /// What the operator can do about it.
    pub remedy: Option<String>,
    /// When it tries again by itself.
    pub next_attempt_at: Option<Timestamp>,
    /// The pass under way, or the last one.
    pub pass: PassProgress,
    /// Its keys.
    pub keys: KeyCounts,
    /// Keys migrated a second, over the last minute of this pass.
    pub rate_per_second: f64,
    /// Seconds until nothing is left on this host at that rate; `None` where there is no rate.
    pub eta_seconds: Option<u64>,
    /// What only metrics show.
    #[serde(skip)]
    pub totals: Totals,
    /// Rows that wait or failed, at most 10,000 of them; `/v1/rows` shows them.
    #[serde(skip)]
    pub troubles: Arc<Vec<RowTrouble>>,
}

/// A row that waits for something, or failed, in this pass or in the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowTrouble {
    /// The row.
    pub row: RowRef,
    /// It failed, rather than waits for what passes by itself.
    pub failed: bool,
    /// Which of the closed list.
    pub reason: RowReason,
    /// What was seen.
    pub message: String,
    /// Since when it is so.
    pub since: Timestamp,
}

impl ServiceProgress {
    /// How a service begins.
    #[must_use]
    pub fn starting(service: Service, owned: Vec<String>, now: Timestamp) -> Self {
        Self {
            service,
            state: ServiceState::Starting,
            since: now,
            owned,
            reason: None,
            remedy: None,
            next_attempt_at: None,
            pass: PassProgress::default(),
            keys: KeyCounts::default(),
            rate_per_second: 0.0,
            eta_seconds: None,
            totals: Totals::default(),
            troubles: Arc::default(),
        }
    }
}

/// A reason of the closed list with what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatedReason {
    /// Which reason.
    pub code: Reason,
    /// What was refused or failed.
    pub message: String,
}

impl From<&Fault> for StatedReason {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.reason,
            message: fault.message.clone(),
        }
    }
}

/// A walk over all rows of this host.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PassProgress {
    /// Counted from 1 since the process started.
    pub number: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` while it is under way.
    pub finished_at: Option<Timestamp>,
}

/// The keys of this host, by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyCounts {
    /// Rows of this host at zeros.
    pub remaining: u64,
    /// Rows migrated since the process started.
    pub migrated: u64,
    /// Of those remaining, how many failed in this pass, or in the last one.
    pub failed: u64,
    /// Of those remaining, how many wait for something that passes by itself.
    pub deferred: u64,
    /// Keys that are being worked on now.
    pub in_flight: u64,
}

/// Counters that only grow, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Failures of single rows since the process started.
    pub row_failures: BTreeMap<RowReason, u64>,
    /// Failures that stopped a pass since the process started.
    pub faults: BTreeMap<Reason, u64>,
    /// Secrets of ours that no row refers to and that are not going to be used, as far as known.
    pub orphan_secrets: u64,
    /// The most keys in flight that are allowed now.
    pub concurrency_limit: u64,
    /// When the last pass ended.
    pub last_pass_at: Option<Timestamp>,
}

/// The global count and when it was made. Its serialised form is `global` in `/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "CountedJson")]
pub struct Counted {
    /// When it was counted.
    pub counted_at: Timestamp,
    /// What was found.
    pub census: Census,
}

/// The most places that are told one by one.
const MOST_HOSTS: usize = 100;

#[derive(Serialize)]
struct CountedJson {
    counted_at: Timestamp,
    volumes: u64,
    snapshots: u64,
    backups: u64,
    unowned: UnownedJson,
    hosts: Vec<HostRows>,
    more_hosts: u64,
}

#[derive(Serialize)]
struct UnownedJson {
    volumes: u64,
    backups: u64,
}

impl From<Counted> for CountedJson {
    fn from(counted: Counted) -> Self {
        let census = counted.census;
        Self {
            counted_at: counted.counted_at,
            volumes: census.volumes,
            snapshots: census.snapshots,
            backups: census.backups,
            unowned: UnownedJson {
                volumes: census.unowned_volumes,
                backups: census.unowned_backups,
            },
            more_hosts: census.by_host.len().saturating_sub(MOST_HOSTS) as u64,
            hosts: census.by_host.iter().take(MOST_HOSTS).cloned().collect(),
        }
    }
}
