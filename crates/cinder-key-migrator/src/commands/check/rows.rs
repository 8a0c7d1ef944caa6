//! The rows that there are to migrate, and whose they are.

use cinder_db::{CinderDb, OtherUsers};
use key_migration::ids::Service;
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::rows::{Census, Scope};

use super::database::CHECK as DATABASE;
use super::line::Line;
use crate::settings::Inspection;

const OWN: &str = "Rows of this host";
const UNOWNED: &str = "Rows that no live service owns";
const USERS: &str = "Users of others' volumes";

/// More users than this are only counted.
const SHOWN: usize = 10;

/// What is left in the whole database, where that can be told.
pub(super) async fn check(
    rows: Option<&CinderDb>,
    found: &Inspection,
    lines: &mut Vec<Line>,
) -> Option<Census> {
    let Some(rows) = rows else {
        lines.extend([OWN, UNOWNED, USERS].map(|check| Line::not_done(check, DATABASE)));
        return None;
    };
    lines.push(match of_this_host(rows, &found.scopes).await {
        Ok(line) => line,
        Err(error) => Line::of_database(OWN, &error),
    });
    let census = rows.census(found.service_down_time).await;
    lines.push(match &census {
        Ok(census) => unowned(census),
        Err(error) => Line::of_database(UNOWNED, error),
    });
    lines.push(match rows.other_users().await {
        Ok(users) => other_users(&users, found),
        Err(error) => Line::of_database(USERS, &error),
    });
    census.ok()
}

async fn of_this_host(
    rows: &CinderDb,
    scopes: &[(Service, Option<Scope>)],
) -> Result<Line, DatabaseError> {
    if scopes.is_empty() {
        return Ok(Line::not_done(OWN, "Configuration"));
    }
    let mut details = Vec::new();
    let mut strange = false;
    for (service, scope) in scopes {
        let Some(scope) = scope else {
            details.push(format!("{service}: no backend is enabled here"));
            strange = true;
            continue;
        };
        let names = scope.names().join(", ");
        if rows.any_row(scope).await? {
            let zeros = rows.count_zero_rows(scope).await?;
            details.push(format!("{service}, {names}: {zeros} at zeros"));
        } else {
            details.push(format!("{service}, {names}: no row at all"));
            strange |= *service == Service::Volume;
        }
    }
    let details = format!("{}.", details.join("; "));
    if !strange {
        return Ok(Line::success(OWN, details));
    }
    Ok(Line::warning(
        OWN,
        details,
        "if there should be some: compare [DEFAULT] host and enabled_backends, and backend_host of \
         each backend, with `cinder-manage host list`; else let [key_migrator] services name the \
         service that is here",
    ))
}

fn unowned(census: &Census) -> Line {
    let left = format!(
        "At zeros on all hosts: {} volumes, {} snapshots, {} backups",
        census.volumes, census.snapshots, census.backups
    );
    if census.unowned_volumes + census.unowned_backups == 0 {
        return Line::success(
            UNOWNED,
            format!("{left}; each belongs to a service that is up."),
        );
    }
    Line::warning(
        UNOWNED,
        format!(
            "{left}; of these {} volumes and {} backups belong to no service that is up.",
            census.unowned_volumes, census.unowned_backups
        ),
        "cinder-key-migrator rows --state unowned; then start their services again, or give their \
         hosts to this one with [key_migrator] extra_hosts = HOST@BACKEND, or: cinder-manage \
         volume update_host --currenthost HOST@BACKEND --newhost HOST@BACKEND",
    )
}

/// Who has a snapshot or backup of a volume may read its secret. Of other volumes they cannot make
/// any more, which a service account must.
fn other_users(users: &[OtherUsers], found: &Inspection) -> Line {
    let nobody_else = "Besides a volume's user, those of its snapshots and backups, and Cinder, \
                       nobody reads its key any more: neither other members of its project nor \
                       admins";
    if users.is_empty() {
        let details = format!("None has snapshots or backups of others' volumes. {nobody_else}.");
        return Line::success(USERS, details);
    }
    let count = |of: fn(&OtherUsers) -> u64| users.iter().map(of).sum::<u64>();
    let details = format!(
        "{} users have {} snapshots and {} backups of others' volumes. {nobody_else}",
        users.len(),
        count(|user| user.snapshots),
        count(|user| user.backups),
    );
    let known = &found.extra_acl_users;
    let unknown: Vec<_> = users
        .iter()
        .filter(|user| !known.contains(&user.user))
        .map(|user| user.user.as_str())
        .collect();
    if unknown.is_empty() {
        return Line::success(USERS, format!("{details} but extra_acl_users."));
    }
    let more = match unknown.len() > SHOWN {
        true => format!(" and {} more", unknown.len() - SHOWN),
        false => String::new(),
    };
    let shown = unknown[..unknown.len().min(SHOWN)].join(", ");
    Line::warning(
        USERS,
        format!(
            "{details}; of volumes that they have none of yet these lose access: {shown}{more}."
        ),
        format!(
            "for those that are service accounts (backups, live migration): [key_migrator] \
             extra_acl_users = {}; they can then read every migrated key, those that are migrated \
             already after: cinder-key-migrator verify --all-hosts --mend-acl --execute",
            known
                .iter()
                .map(|user| user.as_str())
                .chain(unknown.iter().take(SHOWN).copied())
                .collect::<Vec<_>>()
                .join(",")
        ),
    )
}
