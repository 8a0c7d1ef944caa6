//! `revert` and `release`: the way back to the fixed key for rows that the operator names, and what
//! keeps them there.
//!
//! The hold is on disk before the row goes back, and a daemon looks for it after it has read the row
//! at zeros; so it never takes a row at once that was just set back.

use std::process::ExitCode;

use cinder_db::{SetBack, SurveyedRow};
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, Service};
use key_migration::inventory_fault;
use key_migration::messages;
use key_migration::ports::{Clock as _, Holds as _, KeyManager as _, SecretError};
use key_migration::reasons::{Fault, Reason};
use key_migration::rows::RowKey;
use openstack_client::BarbicanKeyManager;

use super::block_on;
use super::desk::{Desk, Log, place};
use super::output::{print, table};
use crate::cli::Named;
use crate::clock::SecondsClock;
use crate::exit::Failure;
use crate::holds::Hold;

/// What becomes of one row.
struct Outcome {
    done: bool,
    text: String,
}

impl Outcome {
    fn done(text: impl Into<String>) -> Self {
        Self {
            done: true,
            text: text.into(),
        }
    }

    fn refused(text: impl Into<String>) -> Self {
        Self {
            done: false,
            text: text.into(),
        }
    }
}

/// Sets rows back.
pub(super) fn run(command: &Named) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&command.origin, Log::AsConfigured)?;
    block_on(async {
        let (keys, fixed_key) = desk.keys()?;
        let rows = desk.rows.rows_named(&command.ids).await;
        let rows = rows.map_err(inventory_fault)?;
        let mut outcomes = Vec::new();
        for id in &command.ids {
            let row = rows.iter().find(|row| row.row.id == *id);
            let Some(row) = row else {
                outcomes.push((id, Outcome::refused("there is no such volume or backup")));
                continue;
            };
            let revert = Revert {
                desk: &desk,
                keys: &keys,
                fixed_key: &fixed_key,
                execute: command.execute,
            };
            outcomes.push((id, revert.one(row).await?));
        }
        let code = report(&outcomes);
        if command.execute {
            print(
                "Cinder's own migrator does not know of a hold: it gives these rows a new key when \
                 their service is started next. Another daemon that owns them (a cluster, a shared \
                 host) must be told on its own host, by the same command.",
            );
        } else {
            print("Nothing was changed. With --execute it would be.");
        }
        Ok(code)
    })
}

/// Lets rows go.
pub(super) fn release(command: &Named) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&command.origin, Log::AsConfigured)?;
    let holds = desk.holds();
    let mut outcomes = Vec::new();
    for id in &command.ids {
        let mut held = [ResourceKind::Volume, ResourceKind::Backup]
            .map(|kind| RowRef {
                kind,
                id: id.clone(),
            })
            .into_iter()
            .filter(|row| holds.is_held(row));
        let outcome = match held.next() {
            None => Outcome::refused("it is not held"),
            Some(row) if !command.execute => {
                Outcome::done(format!("{} would be released", row.kind))
            }
            Some(row) => {
                holds
                    .remove(&row)
                    .map_err(|error| unwritable(&desk, &error))?;
                tracing::info!(target: messages::LOGGER, "Released {row}: it is migrated again.");
                Outcome::done("released: it is migrated again")
            }
        };
        outcomes.push((id, outcome));
    }
    let code = report(&outcomes);
    if !command.execute {
        print("Nothing was changed. With --execute it would be.");
    }
    Ok(code)
}

struct Revert<'a> {
    desk: &'a Desk,
    keys: &'a BarbicanKeyManager,
    fixed_key: &'a FixedKey,
    execute: bool,
}

impl Revert<'_> {
    async fn one(&self, row: &SurveyedRow) -> Result<Outcome, Fault> {
        let service = match row.row.kind {
            ResourceKind::Volume => Service::Volume,
            ResourceKind::Backup => Service::Backup,
            ResourceKind::Snapshot => {
                let volume = row.volume.as_ref().map_or("its volume", RowId::as_str);
                let text = format!("a snapshot goes back with its volume: name {volume}");
                return Ok(Outcome::refused(text));
            }
        };
        if !self.is_ours(service, row) {
            return Ok(Outcome::refused(format!(
                "it is on {}, and the daemon there must know of the hold: run this there, or add \
                 it to [key_migrator] extra_hosts here",
                place(&row.place)
            )));
        }
        if let Some(busy) = row.status.transitional(row.row.kind) {
            return Ok(Outcome::refused(format!("Cinder is at work on it: {busy}")));
        }
        match (&row.key, row.key.secret()) {
            (RowKey::AllZeros, _) => self.hold_only(&row.row),
            (RowKey::Other(_), Some(secret)) => self.to_zeros(&row.row, secret).await,
            (RowKey::Other(_), None) => Ok(Outcome::refused("its key is no secret's UUID")),
            (RowKey::Null, _) => Ok(Outcome::refused(
                "it is not encrypted, or its key is not recorded",
            )),
        }
    }

    fn is_ours(&self, service: Service, row: &SurveyedRow) -> bool {
        let (host, cluster) = (row.place.host.as_deref(), row.place.cluster.as_deref());
        let scope = self.desk.settings(service).scope;
        scope.is_some_and(|scope| scope.owns(&row.row.id, host, cluster))
    }

    /// It is at zeros already, on its way there or set back elsewhere.
    fn hold_only(&self, row: &RowRef) -> Result<Outcome, Fault> {
        if self.desk.holds().is_held(row) {
            return Ok(Outcome::done("it is at zeros, and held already"));
        }
        if !self.execute {
            return Ok(Outcome::done("it is at zeros; it would be held there"));
        }
        self.hold(row, None)?;
        tracing::info!(target: messages::LOGGER, "Holding {row} at zeros, as the operator asked.");
        Ok(Outcome::done("it is at zeros; held there"))
    }

    async fn to_zeros(&self, row: &RowRef, secret: SecretId) -> Result<Outcome, Fault> {
        if let Err(why) = self.compare(secret).await? {
            return Ok(Outcome::refused(why));
        }
        if !self.execute {
            let text = format!("would be set back and held; secret {secret} stays");
            return Ok(Outcome::done(text));
        }
        let is_new = self.hold(row, Some(secret))?;
        let done = self.desk.rows.set_back(row, secret).await;
        if is_new && !matches!(done, Ok(SetBack::Done { .. }) | Err(_)) {
            let released = self.desk.holds().remove(row);
            released.map_err(|error| unwritable(self.desk, &error))?;
        }
        Ok(match done.map_err(inventory_fault)? {
            SetBack::Done { snapshots } => {
                tracing::info!(
                    target: messages::LOGGER,
                    "Set {row} back from secret {secret} to all zeros with {snapshots} \
                     snapshot(s), as the operator asked; it is held there."
                );
                Outcome::done(format!(
                    "set back with {snapshots} snapshot(s), and held; secret {secret} stays"
                ))
            }
            SetBack::Lost => Outcome::refused("it got another key just now"),
            SetBack::Transitional(busy) => {
                Outcome::refused(format!("Cinder is at work on it: {busy}"))
            }
            SetBack::Gone => Outcome::refused("it was deleted just now"),
        })
    }

    /// With zeros the row is read with the fixed key: that must be what its secret holds.
    async fn compare(&self, secret: SecretId) -> Result<Result<(), String>, Fault> {
        match self.keys.payload(secret, RequestId::random()).await {
            Ok(payload) if self.fixed_key.equals(&payload) => Ok(Ok(())),
            Ok(_) => Ok(Err(format!(
                "secret {secret} does not hold the fixed key: with zeros its data could not be read"
            ))),
            Err(SecretError::Fault(fault)) => Err(fault),
            Err(error) => Ok(Err(format!(
                "secret {secret} cannot be compared with the fixed key: {error}"
            ))),
        }
    }

    fn hold(&self, row: &RowRef, secret: Option<SecretId>) -> Result<bool, Fault> {
        let hold = Hold::new(SecondsClock.now(), secret);
        let added = self.desk.holds().add(row, &hold);
        added.map_err(|error| unwritable(self.desk, &error))
    }
}

fn unwritable(desk: &Desk, error: &std::io::Error) -> Fault {
    let place = desk.state_dir.display();
    Fault::new(
        Reason::LedgerUnavailable,
        format!("holds cannot be recorded in {place}: {error}"),
        format!("run this as the user of the daemon, and make {place} writable"),
    )
}

fn report(outcomes: &[(&RowId, Outcome)]) -> ExitCode {
    let mut table = table(["ID", "outcome"]);
    for (id, outcome) in outcomes {
        table.add_row([id.as_str(), &outcome.text]);
    }
    print(&table.to_string());
    let all = outcomes.iter().all(|(_, outcome)| outcome.done);
    ExitCode::from(u8::from(!all))
}
