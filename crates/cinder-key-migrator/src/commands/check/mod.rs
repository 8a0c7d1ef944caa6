//! `check`: looks whether everything is ready, before anything is changed. Each group of checks is
//! a file; here they are put in order, and what needs another one waits for it.
//!
//! Nothing is written, not even a log. With `--probe` one secret is stored and deleted.

mod access;
mod barbican;
mod containers;
mod database;
mod files;
mod fingerprint;
mod keys;
mod ledger;
mod line;
mod peer;
mod report;
mod role;
mod rows;
mod tls;

use std::process::ExitCode;
use std::sync::Arc;

use cinder_db::CinderDb;
use openstack_client::BarbicanKeyManager;

use self::line::Line;
use super::block_on;
use crate::cli;
use crate::exit::Failure;
use crate::settings::{self, Inspection};

/// Does what the command line says.
pub(crate) fn run(command: cli::Check) -> Result<ExitCode, Failure> {
    let lines = block_on(async { Ok(look(&command).await) })?;
    report::print_report(&lines, command.format);
    Ok(report::exit_code(&lines))
}

/// All checks, in the order in which they are shown.
async fn look(command: &cli::Check) -> Vec<Line> {
    let mut found = settings::inspect(&command.origin);
    let keys = open_key_manager(&mut found);
    let rows = found.connection.take().map(CinderDb::new);
    let mut lines = vec![
        files::check(&found),
        files::of_permissions(&found),
        containers::check(&found),
        keys::of_cinder(found.keys.as_ref()),
    ];
    lines.extend(keys::of_nova(found.keys.as_ref(), &command.nova));
    lines.push(access::of_deletions(found.deletions.as_ref()));
    let rows = database::check(rows.as_ref(), &mut lines).await;
    let census = rows::check(rows, &found, &mut lines).await;
    let reached = barbican::check(keys.as_ref(), &mut lines).await;
    lines.push(tls::check(reached.as_ref()));
    lines.push(barbican::of_clock(reached.as_ref()));
    lines.push(role::check(reached.as_ref(), command.probe).await);
    lines.push(barbican::of_quota(reached.as_ref(), census).await);
    lines.push(ledger::check(found.state_dir.as_deref()));
    lines.push(peer::check(reached.as_ref(), rows, &found.scopes).await);
    lines
}

/// The adapter; what is wrong with its certificates is a fault of the configuration.
fn open_key_manager(found: &mut Inspection) -> Option<BarbicanKeyManager> {
    let config = found.key_manager.take()?;
    match BarbicanKeyManager::new(config.keystone, config.barbican, Arc::new(())) {
        Ok(keys) => Some(keys),
        Err(error) => {
            found.faults.push(error.to_string());
            None
        }
    }
}
