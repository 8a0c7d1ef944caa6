//! Looking through Barbican and the database.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc;

use super::judgement::Evidence;
use super::{Consumers, Kept, OpenIntents, Orphan};
use crate::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName};
use crate::inventory::database_fault;
use crate::ports::{CinderDatabase, SecretError, StoredSecret};
use crate::reasons::{Fault, Reason};
use crate::rows::Holder;

const KINDS: [ResourceKind; 3] = [
    ResourceKind::Volume,
    ResourceKind::Snapshot,
    ResourceKind::Backup,
];

/// How many secrets that are not their row's are looked for in all tables at once. Each time costs
/// a reading of the tables.
const BATCH: usize = 1000;

/// Finds every secret with a name of ours that no row refers to, other than deleted ones. Memory
/// grows with those, not with the secrets that rows do refer to.
///
/// # Errors
/// What stands in the way of a complete answer.
pub async fn find_all<M: Consumers, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    open: &OpenIntents,
    request: RequestId,
) -> Result<Vec<Orphan>, Fault> {
    let mut search = Search::new(keys, rows, open, request, false);
    for kind in KINDS {
        let (sender, mut pages) = mpsc::channel(2);
        let listing = keys.list(kind, sender, request);
        let search = &mut search;
        // The receiver is moved in, so that a listing nobody reads any more ends too.
        let reading = async move {
            while let Some(page) = pages.recv().await {
                search.meet(kind, page).await?;
            }
            Ok(())
        };
        let (listed, read) = tokio::join!(listing, reading);
        read?;
        listed?;
    }
    search.finish().await
}

/// Looks at these secrets only, as ones that the operator named.
///
/// # Errors
/// What stands in the way of an answer for all of them.
pub async fn find_named<M: Consumers, D: CinderDatabase>(
    keys: &M,
    rows: &D,
    secrets: &[SecretId],
    open: &OpenIntents,
    request: RequestId,
) -> Result<Vec<(SecretId, Result<Orphan, Kept>)>, Fault> {
    let mut search = Search::new(keys, rows, open, request, true);
    let mut refused = HashMap::new();
    for &secret in secrets {
        match look_at(keys, secret, request).await? {
            Ok((row, stored)) => search.meet(row.kind, vec![stored]).await?,
            Err(kept) => {
                refused.insert(secret, kept);
            }
        }
    }
    let orphans = search.finish().await?.into_iter();
    let mut orphans: HashMap<_, _> = orphans.map(|orphan| (orphan.secret, orphan)).collect();
    let answer = |&secret| {
        let kept = refused.remove(&secret).unwrap_or(Kept::Referred);
        (secret, orphans.remove(&secret).ok_or(kept))
    };
    Ok(secrets.iter().map(answer).collect())
}

/// One secret as it is now, if it may be one of ours.
pub(super) async fn look_at<M: Consumers>(
    keys: &M,
    secret: SecretId,
    request: RequestId,
) -> Result<Result<(RowRef, StoredSecret), Kept>, Fault> {
    match keys.describe(secret, request).await {
        Ok(stored) => match SecretName::row(&stored.name) {
            Some(row) => Ok(Ok((row, stored))),
            None => Ok(Err(Kept::NotNamedByUs)),
        },
        Err(SecretError::NotFound(_)) => Ok(Err(Kept::NoSuchSecret)),
        Err(SecretError::Forbidden(_)) => Ok(Err(Kept::Hidden)),
        Err(error) => Err(secret_fault("looking at", secret, error)),
    }
}

/// What was found so far.
struct Search<'a, M, D> {
    keys: &'a M,
    rows: &'a D,
    open: &'a OpenIntents,
    request: RequestId,
    by_name: bool,
    /// A listing may show a secret twice.
    met: HashSet<SecretId>,
    /// Secrets that their own row does not refer to; another row may.
    candidates: Vec<Candidate>,
    orphans: Vec<Orphan>,
}

struct Candidate {
    stored: StoredSecret,
    row: RowRef,
    holder: Option<Holder>,
}

impl<'a, M: Consumers, D: CinderDatabase> Search<'a, M, D> {
    fn new(
        keys: &'a M,
        rows: &'a D,
        open: &'a OpenIntents,
        request: RequestId,
        by_name: bool,
    ) -> Self {
        Self {
            keys,
            rows,
            open,
            request,
            by_name,
            met: HashSet::new(),
            candidates: Vec::new(),
            orphans: Vec::new(),
        }
    }

    /// Holds a page against the rows that its names tell.
    async fn meet(&mut self, kind: ResourceKind, page: Vec<StoredSecret>) -> Result<(), Fault> {
        let named: Vec<(RowRef, StoredSecret)> = page
            .into_iter()
            .filter_map(|stored| Some((SecretName::row(&stored.name)?, stored)))
            .filter(|(row, _)| row.kind == kind)
            .collect();
        let ids: Vec<RowId> = named.iter().map(|(row, _)| row.id.clone()).collect();
        let holders = self.rows.holders(kind, &ids).await;
        let holders: HashMap<RowId, Holder> =
            holders.map_err(database_fault)?.into_iter().collect();
        for (row, stored) in named {
            let holder = holders.get(&row.id).cloned();
            let refers = |holder: &Holder| holder.deleted_for.is_none() && holder.key.is(stored.id);
            if !holder.as_ref().is_some_and(refers) && self.met.insert(stored.id) {
                self.candidates.push(Candidate {
                    stored,
                    row,
                    holder,
                });
            }
        }
        if self.candidates.len() >= BATCH {
            self.settle().await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Orphan>, Fault> {
        self.settle().await?;
        Ok(self.orphans)
    }

    /// Leaves out the candidates that some row refers to, and judges the others.
    async fn settle(&mut self) -> Result<(), Fault> {
        let candidates = std::mem::take(&mut self.candidates);
        let secrets: Vec<SecretId> = candidates.iter().map(|it| it.stored.id).collect();
        if secrets.is_empty() {
            return Ok(());
        }
        // In this order: otherwise a row that is deleted between the two is in neither.
        let referred = self.rows.referred(&secrets).await.map_err(database_fault)?;
        let by_deleted = self.rows.referred_by_deleted(&secrets).await;
        let by_deleted = by_deleted.map_err(database_fault)?;
        for Candidate {
            stored,
            row,
            holder,
        } in candidates
        {
            if referred.contains(&stored.id) {
                continue;
            }
            let evidence = Evidence {
                open: self.open.include(&row, stored.id),
                by_deleted: by_deleted.contains(&stored.id),
                stored: &stored,
                holder: holder.as_ref(),
                row,
            };
            let mut orphan = evidence.judge();
            self.ask_for_consumers(&mut orphan).await?;
            self.orphans.push(orphan);
        }
        Ok(())
    }

    /// Asked last, of those that nothing else keeps.
    async fn ask_for_consumers(&self, orphan: &mut Orphan) -> Result<(), Fault> {
        if orphan.kept(self.by_name).is_some() {
            return Ok(());
        }
        let secret = orphan.secret;
        match self.keys.consumers(secret, self.request).await {
            Ok(0) | Err(SecretError::NotFound(_)) => Ok(()),
            Ok(consumers) => {
                orphan.obstacle = Some(Kept::Consumers(consumers));
                Ok(())
            }
            Err(error) => Err(secret_fault("asking for the consumers of", secret, error)),
        }
    }
}

/// An error about one secret as the end of a command that cannot do without the answer.
fn secret_fault(doing: &str, secret: SecretId, error: SecretError) -> Fault {
    match error {
        SecretError::Fault(fault) | SecretError::Forbidden(fault) => fault,
        error => Fault::new(
            Reason::BarbicanFailing,
            format!("{doing} secret {secret}: {error}"),
            "look for that secret in the log of the Barbican API, and try again",
        ),
    }
}
