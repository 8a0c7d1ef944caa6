//! Who refers to a secret. Decides whether it may be deleted, so it is asked in the view of the
//! whole cluster.

use std::collections::HashSet;

use key_migration::ids::{ResourceKind, SecretId};

use crate::failure::Failure;
use crate::rows::select;
use crate::session::Session;

/// Secrets asked for at once. Each has four spellings, and from 1000 values on MariaDB makes a
/// table of them.
const SECRETS_AT_ONCE: usize = 240;

/// The rows that are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Among {
    /// Those that are not deleted.
    Live,
    /// Those that are.
    Deleted,
}

/// Which of these secrets such rows refer to, on any node of a cluster.
pub(crate) async fn referred(
    session: &mut Session,
    secrets: &[SecretId],
    among: Among,
) -> Result<HashSet<SecretId>, Failure> {
    session.enter_cluster_view().await?;
    let referred = referred_here(session, secrets, among).await?;
    session.leave_cluster_view().await?;
    Ok(referred)
}

/// As [`referred`], as this node sees it.
pub(crate) async fn referred_here(
    session: &mut Session,
    secrets: &[SecretId],
    among: Among,
) -> Result<HashSet<SecretId>, Failure> {
    let mut referred = HashSet::new();
    for secrets in secrets.chunks(SECRETS_AT_ONCE) {
        for kind in [
            ResourceKind::Volume,
            ResourceKind::Snapshot,
            ResourceKind::Backup,
        ] {
            referred.extend(referred_by(session, kind, secrets, among).await?);
        }
    }
    Ok(referred)
}

async fn referred_by(
    session: &mut Session,
    kind: ResourceKind,
    secrets: &[SecretId],
    among: Among,
) -> Result<HashSet<SecretId>, Failure> {
    let mut statement = select(session, "DISTINCT encryption_key_id", kind);
    match among {
        Among::Live => statement.not_deleted_in_whole_table(),
        Among::Deleted => statement.deleted_in_whole_table(),
    };
    statement.push(" AND encryption_key_id IN (");
    statement
        .bind_all(secrets.iter().copied().flat_map(spellings))
        .push(")");
    let mut referred = HashSet::new();
    for row in session.rows(&statement).await? {
        referred.extend(row.text(0)?.and_then(|key| key.parse::<SecretId>().ok()));
    }
    Ok(referred)
}

/// The spellings of a UUID that fit the column: with and without hyphens, in either case.
fn spellings(secret: SecretId) -> [String; 4] {
    let hyphenated = secret.to_string();
    let bare = hyphenated.replace('-', "");
    [
        hyphenated.to_uppercase(),
        bare.to_uppercase(),
        hyphenated,
        bare,
    ]
}
