//! Cinder's own migrator at work on the same rows (W20). It never reads a row again before it
//! writes, so whatever we switch meanwhile may be overwritten: it is let go first.
//!
//! It is known by its secrets: without a name, and created by the very user that we sign in as.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName};
use crate::ports::{CinderDatabase, DatabaseError, KeyManager, StoredSecret};
use crate::reasons::{Fault, Reason};
use crate::rows::{RowKey, Scope};

/// After this time without a row that somebody else switched, it is done.
pub(crate) const QUIET: Duration = Duration::from_secs(30);

/// How often a few rows are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The rows switched last that are looked at again.
const MOST_WATCHED: usize = 64;

/// Rows at zeros that are watched while waiting.
const SAMPLE: u32 = 500;

/// Rows that the walk comes to next and that are looked at, too.
pub(crate) const AHEAD: usize = 300;

/// Of those that somebody has switched, so many are looked into.
const MOST_ASKED: usize = 3;

/// A row that was ours and holds another secret now.
#[derive(Clone, Debug)]
pub(crate) struct Overwritten {
    pub(crate) row: RowRef,
    /// What we had switched it to.
    pub(crate) secret: SecretId,
    /// Whether a row still refers to that.
    pub(crate) still_used: bool,
    /// Whether it was Cinder's own migrator, a moment ago.
    pub(crate) by_peer: bool,
}

/// What is watched, and when somebody else was seen at work last.
#[derive(Debug, Default)]
pub(crate) struct PeerWatch {
    switched: VecDeque<(RowRef, SecretId)>,
    zeros: Vec<RowRef>,
    seen_at: Option<Instant>,
}

impl PeerWatch {
    /// We switched this row to this secret.
    pub(crate) fn switched(&mut self, row: &RowRef, secret: SecretId) {
        if self.switched.len() == MOST_WATCHED {
            self.switched.pop_front();
        }
        self.switched.push_back((row.clone(), secret));
    }

    /// The rows to look at.
    pub(crate) fn watched(&self) -> Vec<(RowRef, SecretId)> {
        self.switched.iter().cloned().collect()
    }

    /// This row is somebody else's now.
    pub(crate) fn forget(&mut self, row: &RowRef) {
        self.switched.retain(|(watched, _)| watched != row);
    }

    /// Cinder's own migrator was seen at work.
    pub(crate) fn seen(&mut self, now: Instant) {
        self.seen_at = Some(now);
    }

    /// Whether it was seen and is not known to be done.
    pub(crate) fn was_seen(&self) -> bool {
        self.seen_at.is_some()
    }

    /// How long it still has to be quiet, if it was seen.
    pub(crate) fn quiet_in(&self, now: Instant) -> Option<Duration> {
        let rest = (self.seen_at? + QUIET).saturating_duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }

    /// It was quiet for long enough.
    pub(crate) fn is_over(&mut self) {
        self.seen_at = None;
        self.zeros.clear();
    }

    /// Looks whether any row of a sample was switched by somebody else since the last look; nothing
    /// of ours switches rows meanwhile.
    pub(crate) async fn look_while_waiting<D: CinderDatabase>(
        &mut self,
        rows: &D,
        scope: &Scope,
        kind: ResourceKind,
        after: &RowId,
    ) -> Result<(), DatabaseError> {
        let mut now_held = HashMap::new();
        for (row, key) in held(rows, self.zeros.iter().cloned()).await? {
            now_held.insert(row, key);
        }
        let before = self.zeros.len();
        self.zeros
            .retain(|row| now_held.get(row) == Some(&RowKey::AllZeros));
        let switched = now_held.values().any(|key| *key != RowKey::AllZeros);
        if switched {
            self.seen(Instant::now());
        }
        if before == 0 {
            let mut page = rows.zero_rows(scope, kind, Some(after), SAMPLE).await?;
            if page.is_empty() {
                page = rows.zero_rows(scope, kind, None, SAMPLE).await?;
            }
            let ids = page.into_iter().map(|row| RowRef { kind, id: row.id });
            self.zeros = ids.collect();
        }
        Ok(())
    }
}

/// The watched rows that hold another secret by now.
pub(crate) async fn overwritten<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    watched: Vec<(RowRef, SecretId)>,
) -> Result<Vec<Overwritten>, DatabaseError> {
    let held = held(rows, watched.iter().map(|(row, _)| row.clone())).await?;
    let held: HashMap<RowRef, RowKey> = held.into_iter().collect();
    let mut overwritten = Vec::new();
    for (row, secret) in watched {
        let Some(key) = held.get(&row).filter(|key| !key.is(secret)) else {
            continue;
        };
        let by_peer = match key.secret() {
            Some(holds) => is_peers(keys, holds).await,
            None => false,
        };
        overwritten.push(Overwritten {
            row,
            secret,
            still_used: !rows.referred(&[secret]).await?.is_empty(),
            by_peer,
        });
    }
    Ok(overwritten)
}

/// One of these rows, which were at zeros a moment ago, that Cinder's own migrator has switched
/// since.
pub(crate) async fn taken<M: KeyManager, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    at_zeros: Vec<RowRef>,
) -> Result<Option<RowRef>, DatabaseError> {
    let held = held(rows, at_zeros.into_iter()).await?;
    let switched = held
        .into_iter()
        .filter_map(|(row, key)| key.secret().map(|secret| (row, secret)));
    for (row, secret) in switched.take(MOST_ASKED) {
        if is_peers(keys, secret).await {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

async fn held<D: CinderDatabase>(
    rows: &D,
    wanted: impl Iterator<Item = RowRef>,
) -> Result<Vec<(RowRef, RowKey)>, DatabaseError> {
    let mut by_kind: HashMap<ResourceKind, Vec<RowId>> = HashMap::new();
    for row in wanted {
        by_kind.entry(row.kind).or_default().push(row.id);
    }
    let mut held = Vec::new();
    for (kind, ids) in by_kind {
        let keys = rows.keys(kind, &ids).await?;
        held.extend(keys.into_iter().map(|(id, key)| (RowRef { kind, id }, key)));
    }
    Ok(held)
}

/// Whose secret a row holds that we meant to switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Another daemon of ours stored it, and is at work where we are.
    Siblings,
    /// Cinder's own migrator stored it a moment ago.
    Peers,
    /// Anybody's.
    Others,
}

/// Who stored this secret. What cannot be told now counts as anybody's.
pub(crate) async fn whose<M: KeyManager>(keys: &M, secret: SecretId) -> Whose {
    match keys.describe(secret, RequestId::random()).await {
        Ok(stored) if SecretName::row(&stored.name).is_some() => Whose::Siblings,
        Ok(stored) if was_stored_by_peer(&stored) => Whose::Peers,
        _ => Whose::Others,
    }
}

async fn is_peers<M: KeyManager>(keys: &M, secret: SecretId) -> bool {
    whose(keys, secret).await == Whose::Peers
}

/// Whether Cinder's own migrator stored this secret a moment ago.
///
/// Cinder's migrator gives its secrets no name (cinder/keymgr/migration.py); Barbican may show the
/// ID in its place (barbican/model/models.py).
#[must_use]
pub fn was_stored_by_peer(stored: &StoredSecret) -> bool {
    let is_nameless = stored.name.is_empty() || stored.name == stored.id.to_string();
    stored.created_by_us && is_nameless && stored.age < QUIET
}

/// Why the service waits.
pub(crate) fn fault(row: &RowRef) -> Fault {
    at_work(&format!(": it has just switched {row}"))
}

/// Why it still waits.
pub(crate) fn still_at_work() -> Fault {
    at_work("")
}

fn at_work(seen: &str) -> Fault {
    let message = format!("Cinder's own migrator is at work on rows of this host{seen}");
    let remedy = format!(
        "nothing: keys are migrated again once nobody else has switched a row of this host for \
         {} s",
        QUIET.as_secs()
    );
    Fault::new(Reason::PeerAtWork, message, remedy)
}
