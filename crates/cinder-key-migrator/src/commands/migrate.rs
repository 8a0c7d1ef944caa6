//! `migrate`: a few rows now, wherever they are, by the very code of the daemon and with its
//! guards.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use cinder_db::SurveyedRow;
use key_migration::census::CensusKeeper;
use key_migration::ids::{ResourceKind, RowId, Service};
use key_migration::inventory_fault;
use key_migration::ports::{Clock as _, Holds as _};
use key_migration::progress::ServiceProgress;
use key_migration::rows::{RowKey, Scope};
use key_migration::service::{Ending, Environment, Heartbeat, KeyMigrator, Mode, Wiring};
use migration_ledger::MigrationLedger;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::desk::{Desk, Log};
use super::output::{print, table};
use super::{BESIDE, block_on};
use crate::cli::Named;
use crate::clock::{SecondsClock, SystemClock};
use crate::exit::{FAILED, Failure};

/// Migrates them.
pub(super) fn run(command: &Named) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&command.origin, Log::AsConfigured)?;
    desk.keys()?;
    block_on(migrate(&desk, &command.ids))
}

async fn migrate(desk: &Desk, ids: &[RowId]) -> Result<ExitCode, Failure> {
    let before = desk.rows.rows_named(ids).await.map_err(inventory_fault)?;
    let mut failed = false;
    for service in [Service::Volume, Service::Backup] {
        let rows = to_migrate(&before, service);
        if !rows.is_empty() {
            failed |= run_service(desk, service, rows).await? == Ending::Failed;
        }
    }
    let after = desk.rows.rows_named(ids).await.map_err(inventory_fault)?;
    let done = report(desk, ids, &before, &after);
    Ok(match (done, failed) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(FAILED),
        (false, false) => ExitCode::FAILURE,
    })
}

/// The rows that this service migrates for those that are named: a snapshot goes with its volume,
/// or, where that has a key, as a stray one of it.
fn to_migrate(named: &[SurveyedRow], service: Service) -> Vec<RowId> {
    let mut rows = Vec::new();
    for row in named.iter().filter(|row| row.key == RowKey::AllZeros) {
        let id = match (service, row.row.kind) {
            (Service::Volume, ResourceKind::Volume) | (Service::Backup, ResourceKind::Backup) => {
                Some(&row.row.id)
            }
            (Service::Volume, ResourceKind::Snapshot) => row.volume.as_ref(),
            _ => None,
        };
        if let Some(id) = id.filter(|id| !rows.contains(*id)) {
            rows.push(id.clone());
        }
    }
    rows
}

async fn run_service(desk: &Desk, service: Service, rows: Vec<RowId>) -> Result<Ending, Failure> {
    let (keys, _) = desk.keys()?;
    let mut settings = desk.settings(service);
    settings.scope = Some(Scope::Named(service, rows));
    settings.paused = false;
    let owned = settings
        .scope
        .as_ref()
        .map(Scope::names)
        .unwrap_or_default();
    let (_keep, environment) = watch::channel(Environment {
        settings: Arc::new(settings),
        keys,
        rows: Arc::clone(&desk.rows),
        holds: Arc::new(desk.holds()),
    });
    let starting = ServiceProgress::starting(service, owned, SecondsClock.now());
    let (progress, _) = watch::channel(starting);
    let migrator = KeyMigrator::new(Wiring {
        clock: SecondsClock,
        entropy: Uuid::new_v4,
        ledger: Arc::new(MigrationLedger::new(state_dir(desk), SystemClock)),
        environment,
        census: Arc::new(CensusKeeper::new(SecondsClock)),
        progress,
        heartbeat: Arc::new(Heartbeat::new()),
        stop: stop_on_signal()?,
        mode: Mode::Once { limit: None },
    });
    Ok(migrator.run().await)
}

/// The daemon has the ledger while it runs. Beside it, another one does as well: each promise holds
/// without any, and what either stored is found by name.
fn state_dir(desk: &Desk) -> PathBuf {
    if migration_ledger::is_in_use(&desk.state_dir) {
        desk.state_dir.join(BESIDE)
    } else {
        desk.state_dir.clone()
    }
}

/// What is under way is finished; no further key is begun.
fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}

/// Says what became of each, and whether each has a secret of its own now.
fn report(desk: &Desk, ids: &[RowId], before: &[SurveyedRow], after: &[SurveyedRow]) -> bool {
    let mut table = table(["ID", "resource", "outcome"]);
    let mut done = true;
    for id in ids {
        let was = before.iter().find(|row| row.row.id == *id);
        let is = after.iter().find(|row| row.row.id == *id);
        let (outcome, is_done) = match (was, is) {
            (_, None) => (
                "there is no such volume, snapshot or backup".to_owned(),
                false,
            ),
            (Some(was), Some(is)) => outcome(desk, was, is),
            (None, Some(_)) => ("it came just now; ask again".to_owned(), false),
        };
        done &= is_done;
        let kind = is.or(was).map_or("-", |row| row.row.kind.as_str());
        table.add_row([id.as_str(), kind, &outcome]);
    }
    print(&table.to_string());
    done
}

fn outcome(desk: &Desk, was: &SurveyedRow, is: &SurveyedRow) -> (String, bool) {
    match (&was.key, &is.key) {
        (RowKey::Null, _) => (
            "it is not encrypted, or its key is not recorded".to_owned(),
            false,
        ),
        (RowKey::Other(_), _) => ("it had a key of its own already".to_owned(), true),
        (RowKey::AllZeros, RowKey::Other(key)) => (format!("migrated: secret {key}"), true),
        (RowKey::AllZeros, _) if desk.holds().is_held(&is.row) => {
            let id = &is.row.id;
            let text = format!("held: cinder-key-migrator release --execute {id}");
            (text, false)
        }
        (RowKey::AllZeros, _) => match is.status.transitional(is.row.kind) {
            Some(busy) => (format!("deferred: {busy}"), false),
            None => ("not migrated; the log says why".to_owned(), false),
        },
    }
}
