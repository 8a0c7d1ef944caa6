//! What every face of the program shows: status, metrics, health and systemd's status line render
//! the same snapshot.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use key_migration::ids::Service;
use key_migration::ports::Clock as _;
use key_migration::progress::{Counted, RowTrouble, ServiceProgress};
use key_migration::reasons::RowReason;
use key_migration::service::Heartbeat;
use key_migration::verdict::{EvidenceBook, FixedKeyVerdict, Rows};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::SecondsClock;

/// A loop whose heart has not beaten for this long is taken for dead.
pub(crate) const DEAF_AFTER: Duration = Duration::from_secs(60);

/// Where the state of the process can be read at any time, without waiting for anything.
#[derive(Debug)]
pub(crate) struct View {
    /// When the process started.
    pub(crate) started_at: Timestamp,
    /// `[DEFAULT] host` as it is configured now.
    pub(crate) host: watch::Receiver<String>,
    /// One for each service.
    pub(crate) loops: Vec<Loop>,
    /// The global count.
    pub(crate) counted: watch::Receiver<Option<Counted>>,
    /// What the verdict rests on beside it.
    pub(crate) evidence: watch::Receiver<Known>,
    /// Whether the database has answered since the process started.
    pub(crate) database_reached: watch::Receiver<bool>,
}

/// What commands looked at, and what it may have missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// What was looked at and attested.
    pub(crate) book: EvidenceBook,
    /// When a row was last seen at zeros or switched, as far as this host knows.
    pub(crate) last_change: Option<Timestamp>,
}

/// One service's loop, seen from outside.
#[derive(Debug)]
pub(crate) struct Loop {
    /// Which service.
    pub(crate) service: Service,
    /// Where it stands; closed when the loop has ended.
    pub(crate) progress: watch::Receiver<ServiceProgress>,
    /// Cancelled when the loop has come to its end rather than crashed: with `--once`, or after a
    /// signal, the one of another service may be at work for long afterwards.
    pub(crate) through: CancellationToken,
    /// Whether it is alive.
    pub(crate) heartbeat: Arc<Heartbeat>,
}

impl Loop {
    /// The loop itself, seen to its end. It is given what its progress is sent with, too, so that
    /// nobody sees that closed before the loop counts as through.
    pub(crate) fn watch<F: Future>(
        &self,
        progress: watch::Sender<ServiceProgress>,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let through = self.through.clone();
        async move {
            let done = task.await;
            through.cancel();
            drop(progress);
            done
        }
    }

    /// Why it does not count as alive, or `None`.
    pub(crate) fn trouble(&self) -> Option<String> {
        let service = self.service;
        if self.progress.has_changed().is_err() {
            return (!self.through.is_cancelled())
                .then(|| format!("the loop of the {service} service has ended"));
        }
        let age = self.heartbeat.age();
        (age > DEAF_AFTER).then(|| {
            let seconds = age.as_secs();
            format!("the loop of the {service} service has not moved for {seconds} s")
        })
    }
}

impl View {
    /// Everything as it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let services = self.loops.iter();
        let services: Vec<_> = services.map(|one| one.progress.borrow().clone()).collect();
        let global = self.counted.borrow().clone();
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            host: self.host.borrow().clone(),
            started_at: self.started_at,
            orphan_secrets: services.iter().map(|one| one.totals.orphan_secrets).sum(),
            fixed_key: self.verdict(global.clone()),
            services,
            global,
        }
    }

    fn verdict(&self, counted: Option<Counted>) -> FixedKeyVerdict {
        let known = self.evidence.borrow();
        let rows = Rows {
            counted,
            last_change: known.last_change,
        };
        FixedKeyVerdict::of(rows, &known.book, SecondsClock.now())
    }

    /// The rows of this host that wait or failed.
    pub(crate) fn row_troubles(&self) -> RowTroubles {
        let services = self.loops.iter();
        let troubles = services.flat_map(|one| {
            let service = one.service;
            let troubles = Arc::clone(&one.progress.borrow().troubles);
            let shown = troubles
                .iter()
                .map(|trouble| ShownTrouble::new(service, trouble));
            shown.collect::<Vec<_>>()
        });
        RowTroubles {
            rows: troubles.collect(),
        }
    }

    /// What is wrong with the loops.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.loops.iter().filter_map(Loop::trouble).collect()
    }
}

/// Its serialised form is the answer of `/v1/status`.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) version: &'static str,
    pub(crate) host: String,
    pub(crate) started_at: Timestamp,
    pub(crate) services: Vec<ServiceProgress>,
    /// `None` before the first count.
    pub(crate) global: Option<Counted>,
    pub(crate) orphan_secrets: u64,
    pub(crate) fixed_key: FixedKeyVerdict,
}

/// The answer of `/v1/rows`: at most 10,000 rows of each service.
#[derive(Debug, Serialize)]
pub(crate) struct RowTroubles {
    rows: Vec<ShownTrouble>,
}

#[derive(Debug, Serialize)]
struct ShownTrouble {
    service: Service,
    resource: &'static str,
    id: String,
    state: &'static str,
    reason: RowReason,
    message: String,
    since: Timestamp,
}

impl ShownTrouble {
    fn new(service: Service, trouble: &RowTrouble) -> Self {
        Self {
            service,
            resource: trouble.row.kind.as_str(),
            id: trouble.row.id.to_string(),
            state: if trouble.failed { "failed" } else { "deferred" },
            reason: trouble.reason,
            message: trouble.message.clone(),
            since: trouble.since,
        }
    }
}
