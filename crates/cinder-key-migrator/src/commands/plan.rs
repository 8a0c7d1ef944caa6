//! `plan`: what a run on this host would do, and how long it might take. It writes nothing,
//! anywhere: not to the database, not to Barbican, not to the disk.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cinder_db::CinderDb;
use key_migration::ids::{RequestId, ResourceKind, RowId, Service};
use key_migration::inventory_fault;
use key_migration::orphans::{self, Class, OpenIntents};
use key_migration::ports::{CinderDatabase as _, Holds as _, KeyManager as _};
use key_migration::reasons::{Fault, Reason};
use key_migration::rows::Scope;
use openstack_client::BarbicanKeyManager;
use serde::Serialize;

use super::block_on;
use super::desk::{Desk, Log};
use super::output::{print, print_json, span, table};
use crate::cli::{self, Format};
use crate::exit::Failure;
use crate::holds::HoldStore;

const PAGE: u32 = 1000;

/// Requests that each key takes: store, ACL, read back.
const REQUESTS_A_KEY: u32 = 3;

/// Requests from whose time the time of a run is estimated.
const SAMPLES: u32 = 5;

/// Keys at once for the better estimate: what a small Barbican answers side by side.
const AT_ONCE: u32 = 8;

/// What a run would do.
#[derive(Serialize)]
struct Planned {
    services: Vec<PlannedService>,
    /// Secrets that an earlier run stored, and that a row here would be given instead of another;
    /// `None` where Barbican does not tell.
    secrets_to_adopt: Option<u64>,
    /// At most.
    secrets_to_store: u64,
    /// `None` where Barbican does not answer.
    estimate: Option<Estimate>,
}

#[derive(Serialize)]
struct PlannedService {
    service: Service,
    owned: Vec<String>,
    volumes: u64,
    /// They move with their volumes.
    snapshots_of_moved_volumes: u64,
    backups: u64,
    deferred: u64,
    held: u64,
}

#[derive(Serialize)]
struct Estimate {
    seconds_one_by_one: u64,
    seconds_at_once: u64,
    barbican_answers_in_ms: u64,
}

/// Says what would be done.
pub(super) fn run(command: &cli::Plan) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&command.origin, Log::ToTerminal)?;
    let (keys, _) = desk.keys()?;
    let planned = block_on(plan(&desk, &keys))?;
    match command.format {
        Format::Json => print_json(&planned),
        Format::Table => print_table(&planned),
    }
    let left = planned.services.iter().any(|one| one.rows() > 0);
    Ok(ExitCode::from(u8::from(left)))
}

impl PlannedService {
    fn rows(&self) -> u64 {
        self.volumes + self.backups + self.deferred + self.held
    }
}

async fn plan(desk: &Desk, keys: &BarbicanKeyManager) -> Result<Planned, Failure> {
    let mut services = Vec::new();
    for settings in &desk.services {
        let holds = desk.holds();
        let service = match &settings.scope {
            Some(scope) => walk(&desk.rows, scope, &holds).await?,
            None => PlannedService::of(settings.service, Vec::new()),
        };
        services.push(service);
    }
    let rows: u64 = services.iter().map(|one| one.volumes + one.backups).sum();
    let adopted = if rows > 0 {
        adoptable(desk, keys).await?.map(|found| found.min(rows))
    } else {
        Some(0)
    };
    let estimate = match (adopted, estimate(keys, rows).await) {
        (Some(_), Err(fault)) => {
            tracing::warn!("{fault}. Remedy: {}", fault.remedy);
            None
        }
        (_, estimate) => estimate.ok(),
    };
    Ok(Planned {
        services,
        secrets_to_adopt: adopted,
        secrets_to_store: rows - adopted.unwrap_or(0),
        estimate,
    })
}

impl PlannedService {
    fn of(service: Service, owned: Vec<String>) -> Self {
        Self {
            service,
            owned,
            volumes: 0,
            snapshots_of_moved_volumes: 0,
            backups: 0,
            deferred: 0,
            held: 0,
        }
    }
}

/// Meets every row of this host as a pass would.
async fn walk(rows: &CinderDb, scope: &Scope, holds: &HoldStore) -> Result<PlannedService, Fault> {
    let mut planned = PlannedService::of(scope.service(), scope.names());
    for &kind in scope.service().kinds() {
        let mut after: Option<RowId> = None;
        loop {
            let page = rows.zero_rows(scope, kind, after.as_ref(), PAGE).await;
            let page = page.map_err(inventory_fault)?;
            after = page.last().map(|row| row.id.clone());
            for row in &page {
                let row_ref = key_migration::ids::RowRef {
                    kind,
                    id: row.id.clone(),
                };
                if holds.is_held(&row_ref) {
                    planned.held += 1;
                } else if row.status.transitional(kind).is_some() {
                    planned.deferred += 1;
                } else {
                    match kind {
                        ResourceKind::Backup => planned.backups += 1,
                        // A stray snapshot gets a secret, or its volume's.
                        ResourceKind::Volume | ResourceKind::Snapshot => planned.volumes += 1,
                    }
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
    }
    if scope.service() == Service::Volume {
        planned.snapshots_of_moved_volumes = snapshots_here(rows, scope).await?;
    }
    Ok(planned)
}

/// Snapshots at zeros whose volume is of this host, as counted by host.
async fn snapshots_here(rows: &CinderDb, scope: &Scope) -> Result<u64, Fault> {
    let counts = rows.zero_rows_by_host().await.map_err(inventory_fault)?;
    let here = counts.iter().filter(|count| {
        let (host, cluster) = (count.place.host.as_deref(), count.place.cluster.as_deref());
        count.kind == ResourceKind::Snapshot && scope.owns(&"".into(), host, cluster)
    });
    Ok(here.map(|count| count.rows).sum())
}

/// Secrets under the names of rows at zeros: an earlier run stored them.
async fn adoptable(desk: &Desk, keys: &BarbicanKeyManager) -> Result<Option<u64>, Fault> {
    let request = RequestId::random();
    let open: OpenIntents = migration_ledger::open_intents(&desk.state_dir, None)
        .await?
        .into_iter()
        .collect();
    match orphans::find_all(keys, &*desk.rows, &open, request).await {
        Ok(found) => {
            let pending = found.iter().filter(|one| one.class == Class::Pending);
            Ok(Some(pending.count() as u64))
        }
        Err(fault) if fault.reason == Reason::DatabaseUnreachable => Err(fault),
        // A role that is to be granted yet is no reason to plan nothing.
        Err(fault) => {
            tracing::warn!("{fault}. Remedy: {}", fault.remedy);
            Ok(None)
        }
    }
}

/// From how long Barbican takes for a request that changes nothing.
async fn estimate(keys: &BarbicanKeyManager, rows: u64) -> Result<Estimate, Fault> {
    // The first one signs in and connects.
    keys.probe(RequestId::random()).await?;
    let began = Instant::now();
    for _ in 0..SAMPLES {
        keys.probe(RequestId::random()).await?;
    }
    let each = began.elapsed() / SAMPLES;
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    let one_by_one = each.saturating_mul(REQUESTS_A_KEY).saturating_mul(rows);
    Ok(Estimate {
        seconds_one_by_one: one_by_one.as_secs(),
        seconds_at_once: (one_by_one / AT_ONCE).as_secs(),
        barbican_answers_in_ms: u64::try_from(each.as_millis()).unwrap_or(u64::MAX),
    })
}

fn print_table(planned: &Planned) {
    let mut table = table([
        "service",
        "of",
        "to migrate",
        "with them",
        "deferred",
        "held",
    ]);
    for one in &planned.services {
        let (to_migrate, with_them) = match one.service {
            Service::Volume => (
                format!("{} volume(s)", one.volumes),
                format!("{} snapshot(s)", one.snapshots_of_moved_volumes),
            ),
            Service::Backup => (format!("{} backup(s)", one.backups), "-".to_owned()),
        };
        table.add_row([
            one.service.to_string(),
            one.owned.join("\n"),
            to_migrate,
            with_them,
            one.deferred.to_string(),
            one.held.to_string(),
        ]);
    }
    print(&table.to_string());
    let store = planned.secrets_to_store;
    print(&match planned.secrets_to_adopt {
        Some(adopt) => format!(
            "{store} secret(s) would be stored in Barbican; {adopt} that an earlier run stored would be used."
        ),
        None => format!(
            "At most {store} secret(s) would be stored in Barbican; it does not tell what an earlier run stored."
        ),
    });
    match &planned.estimate {
        Some(estimate) if store + planned.secrets_to_adopt.unwrap_or(0) > 0 => print(&format!(
            "Barbican answers in {} ms. That makes about {} with {AT_ONCE} keys at once, {} one by one.",
            estimate.barbican_answers_in_ms,
            span(Duration::from_secs(estimate.seconds_at_once)),
            span(Duration::from_secs(estimate.seconds_one_by_one)),
        )),
        _ => {}
    }
    print("Nothing was written.");
}
