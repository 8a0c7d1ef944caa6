//! `rows`: which rows use the fixed key, and what can be done about those that wait, failed or
//! belong to nobody.

use std::collections::HashMap;
use std::process::ExitCode;

use cinder_db::{ServiceRecord, SurveyedRow};
use key_migration::ids::{ResourceKind, RowId};
use key_migration::inventory_fault;
use key_migration::ports::Holds as _;
use key_migration::reasons::RowReason;
use key_migration::remedies;
use serde::Serialize;
use serde_json::Value;

use super::desk::{Desk, Log, is_owned, place};
use super::output::{print, print_json, table};
use super::{block_on, daemon_client};
use crate::cli::{Format, RowState, Rows};
use crate::exit::Failure;
use crate::holds::HoldStore;

const PAGE: u32 = 1000;

/// Lists them.
pub(super) fn run(command: &Rows) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&command.origin, Log::ToTerminal)?;
    let told = match command.state {
        RowState::Zero | RowState::Unowned => Told::default(),
        RowState::Deferred | RowState::Failed => Told::by_daemon(&desk),
    };
    let found = block_on(find(&desk, command, &told))?;
    match command.format {
        Format::Json => print_json(&found.rows),
        Format::Table => print_table(&found, command),
    }
    Ok(ExitCode::SUCCESS)
}

/// What this host's daemon says of rows that wait or failed, by their IDs.
#[derive(Default)]
struct Told(HashMap<String, Trouble>);

struct Trouble {
    failed: bool,
    reason: Option<RowReason>,
    message: String,
}

impl Told {
    /// Without a daemon, only what the database shows is known.
    fn by_daemon(desk: &Desk) -> Self {
        let answer = match daemon_client::get_json(&desk.listen, "/v1/rows") {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    "No daemon answers at {} ({error}): only what the database shows is listed",
                    desk.listen
                );
                return Self::default();
            }
        };
        let rows = answer["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let rows = rows.iter().filter_map(|row| {
            let text = |name: &str| row[name].as_str();
            let trouble = Trouble {
                failed: text("state")? == "failed",
                reason: reason_named(&row["reason"]),
                message: text("message")?.to_owned(),
            };
            Some((text("id")?.to_owned(), trouble))
        });
        Self(rows.collect())
    }
}

fn reason_named(name: &Value) -> Option<RowReason> {
    let mut all = RowReason::ALL.into_iter();
    all.find(|reason| name.as_str() == Some(reason.as_str()))
}

/// One row as it is printed.
#[derive(Serialize)]
struct Listed {
    resource: &'static str,
    id: String,
    host: Option<String>,
    cluster: Option<String>,
    status: Option<String>,
    state: &'static str,
    reason: Option<String>,
    remedy: Option<String>,
}

struct Found {
    rows: Vec<Listed>,
    /// There are more than were asked for.
    more: bool,
}

async fn find(desk: &Desk, command: &Rows, told: &Told) -> Result<Found, Failure> {
    let services = desk.rows.services(desk.service_down_time()).await;
    let services = services.map_err(inventory_fault)?;
    let holds = desk.holds();
    let judge = Judge {
        told,
        services: &services,
        holds: &holds,
        has_extra_users: !desk.services[0].extra_acl_users.is_empty(),
    };
    let mut rows = Vec::new();
    for kind in [
        ResourceKind::Volume,
        ResourceKind::Snapshot,
        ResourceKind::Backup,
    ] {
        let mut after: Option<RowId> = None;
        loop {
            let page = desk
                .rows
                .zero_rows_anywhere(kind, after.as_ref(), PAGE)
                .await;
            let page = page.map_err(inventory_fault)?;
            let at_the_end = page.len() < PAGE as usize;
            after = page.last().map(|row| row.row.id.clone());
            for row in &page {
                if let Some(listed) = judge.listed(row, command.state) {
                    if rows.len() == command.limit {
                        return Ok(Found { rows, more: true });
                    }
                    rows.push(listed);
                }
            }
            if at_the_end {
                break;
            }
        }
    }
    Ok(Found { rows, more: false })
}

struct Judge<'a> {
    told: &'a Told,
    services: &'a [ServiceRecord],
    holds: &'a HoldStore,
    has_extra_users: bool,
}

impl Judge<'_> {
    /// The row as it is printed, if it is one of those that were asked for.
    fn listed(&self, row: &SurveyedRow, wanted: RowState) -> Option<Listed> {
        let owned = is_owned(row.row.kind, &row.place, self.services);
        let trouble = self.trouble(row);
        let (state, reason, remedy) = match (wanted, trouble) {
            (RowState::Unowned, _) if !owned => self.unowned(row),
            (RowState::Zero, None) if !owned => self.unowned(row),
            (RowState::Zero, None) => ("zero", None, None),
            (RowState::Zero, Some(trouble)) => stated(row, trouble),
            (RowState::Deferred, Some(trouble)) if !trouble.failed => stated(row, trouble),
            (RowState::Failed, Some(trouble)) if trouble.failed => stated(row, trouble),
            _ => return None,
        };
        Some(Listed {
            resource: row.row.kind.as_str(),
            id: row.row.id.to_string(),
            host: row.place.host.clone(),
            cluster: row.place.cluster.clone(),
            status: row.status.status.clone(),
            state,
            reason,
            remedy,
        })
    }

    /// What the row shows by itself, and else what the daemon tells of it.
    fn trouble(&self, row: &SurveyedRow) -> Option<Trouble> {
        let of_row = |failed, reason, message| {
            Some(Trouble {
                failed,
                reason: Some(reason),
                message,
            })
        };
        if self.holds.is_held(&row.row) {
            let message = "set back to zeros by `revert`".to_owned();
            return of_row(false, RowReason::Held, message);
        }
        if let Some(busy) = row.status.transitional(row.row.kind) {
            return of_row(false, RowReason::Transitional, busy);
        }
        if row.user_id.is_none() && !self.has_extra_users {
            let message = "its user_id is NULL, so nobody could read its key".to_owned();
            return of_row(true, RowReason::InvalidRow, message);
        }
        let told = self.told.0.get(row.row.id.as_str())?;
        Some(Trouble {
            failed: told.failed,
            reason: told.reason,
            message: told.message.clone(),
        })
    }

    fn unowned(&self, row: &SurveyedRow) -> (&'static str, Option<String>, Option<String>) {
        let Some(host) = &row.place.host else {
            let reason = "it has no host: it was never scheduled, or its creation failed";
            let remedy = format!(
                "delete it if it is of no use, or: cinder-key-migrator migrate {}",
                moved_with(row)
            );
            return ("unowned", Some(reason.into()), Some(remedy));
        };
        let reason = format!("no Cinder service that is up owns {}", place(&row.place));
        let remedy = match row.row.kind {
            ResourceKind::Backup => format!(
                "if {host} is gone: set [key_migrator] extra_hosts = {host} on another host, or: \
                 cinder-key-migrator migrate {}",
                row.row.id
            ),
            ResourceKind::Volume | ResourceKind::Snapshot => {
                let backend = host.split('#').next().unwrap_or(host);
                format!(
                    "if {backend} is gone: cinder-manage volume update_host --currenthost {host} \
                     --newhost NEWHOST@BACKEND#POOL, or [key_migrator] extra_hosts = {backend} on \
                     another host, or: cinder-key-migrator migrate {}",
                    moved_with(row)
                )
            }
        };
        ("unowned", Some(reason), Some(remedy))
    }
}

/// The ID to migrate so that the row is.
fn moved_with(row: &SurveyedRow) -> &RowId {
    row.volume.as_ref().unwrap_or(&row.row.id)
}

fn stated(row: &SurveyedRow, trouble: Trouble) -> (&'static str, Option<String>, Option<String>) {
    let state = if trouble.failed { "failed" } else { "deferred" };
    let remedy = trouble
        .reason
        .map(|reason| remedies::of_row(&row.row, reason, &trouble.message));
    let reason = match trouble.reason {
        Some(reason) => format!("{reason}: {}", trouble.message),
        None => trouble.message,
    };
    (state, Some(reason), remedy)
}

fn print_table(found: &Found, command: &Rows) {
    if found.rows.is_empty() {
        print("No such row.");
        return;
    }
    let mut table = table([
        "resource",
        "ID",
        "host",
        "status",
        "state",
        "reason and remedy",
    ]);
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    for row in &found.rows {
        let why = [&row.reason, &row.remedy].into_iter().flatten();
        let why: Vec<_> = why.map(String::as_str).collect();
        table.add_row([
            row.resource.to_owned(),
            row.id.clone(),
            or_none(&row.host),
            or_none(&row.status),
            row.state.to_owned(),
            why.join("\n"),
        ]);
    }
    print(&table.to_string());
    if found.more {
        print(&format!(
            "There are more than these {}; --limit shows them.",
            command.limit
        ));
    }
}
