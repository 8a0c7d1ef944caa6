//! Cinder's own migrator, which runs whenever a service of Cinder starts.

use cinder_db::CinderDb;
use key_migration::ids::{RequestId, Service};
use key_migration::peers::was_stored_by_peer;
use key_migration::ports::{DatabaseError, KeyManager as _};
use key_migration::rows::Scope;
use openstack_client::BarbicanKeyManager;

use super::barbican::{Answering, BARBICAN};
use super::line::Line;

const CHECK: &str = "Cinder's own migrator";

pub(super) async fn check(
    barbican: Option<&Answering<'_>>,
    rows: Option<&CinderDb>,
    scopes: &[(Service, Option<Scope>)],
) -> Line {
    let (Some(barbican), Some(rows)) = (barbican, rows) else {
        let needs = match barbican {
            None => BARBICAN,
            Some(_) => super::database::CHECK,
        };
        return Line::not_done(CHECK, needs);
    };
    match is_at_work(barbican.keys, rows, scopes).await {
        // It alone reads updated_at; the rest works without that right.
        Err(DatabaseError::Refused(fault)) => Line::warning(
            CHECK,
            format!("Not looked at: {}.", fault.message),
            "GRANT SELECT (updated_at) ON volumes and backups to the user in [database] connection",
        ),
        Err(error) => Line::of_database(CHECK, &error),
        Ok(false) => Line::success(
            CHECK,
            "It has given no row of this host a key within the last 30 seconds.",
        ),
        Ok(true) => Line::warning(
            CHECK,
            "It is at work: it has given a row of this host a key within the last 30 seconds. It \
             overwrites what others do meanwhile, so this program waits for it.",
            "let it end, then check again: grep 'encryption key' in the logs of cinder-volume and \
             cinder-backup",
        ),
    }
}

async fn is_at_work(
    keys: &BarbicanKeyManager,
    rows: &CinderDb,
    scopes: &[(Service, Option<Scope>)],
) -> Result<bool, DatabaseError> {
    for scope in scopes.iter().filter_map(|(_, scope)| scope.as_ref()) {
        for secret in rows.lately_held(scope).await? {
            let described = keys.describe(secret, RequestId::random()).await;
            if described.is_ok_and(|stored| was_stored_by_peer(&stored)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
