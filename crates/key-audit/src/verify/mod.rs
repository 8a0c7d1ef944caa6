//! Reads the secret of every migrated row again, and compares: apart from the code that wrote it,
//! with queries and a comparison of its own.
//!
//! A row counts as migrated if its secret has a name of ours, or the ledger of this host names it,
//! or it has no name and Cinder's own user stored it, as Cinder's migrator does. Any other row has
//! a key of its owner, which is nobody's to judge. Nothing is changed anywhere, unless ACLs are to
//! be completed: see [`Verifier::completes_acls`].

#[cfg(test)]
mod tests;

mod course;
mod examination;
mod finding;
mod judgement;
mod mending;
mod tally;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cinder_db::CinderDb;
use cinder_db::audit::{KeyedRow, SharedSecret, Whose};
use futures_util::StreamExt as _;
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{RequestId, ResourceKind, RowId, RowRef, SecretId, SecretName, UserId};
use key_migration::inventory_fault;
use key_migration::ports::KeyManager as _;
use key_migration::reasons::Fault;
use key_migration::rows::RowKey;
use openstack_client::BarbicanKeyManager;
use tokio::sync::Mutex;

pub use self::course::{Course, CourseFile};
pub use self::finding::{Code, Finding};
pub use self::judgement::Origin;
pub use self::tally::{MOST_FINDINGS, Tally};

use self::course::KINDS;
use self::examination::{Examiner, recordings};
use self::judgement::Standard;
use self::tally::Outcome;

/// Rows that are read from the database at once: what is done again after an interruption.
const PAGE: u32 = 500;
/// Secrets of several owners that are remembered. So many are a disaster of another kind.
const MOST_SHARED: usize = 100_000;

/// Reads and compares.
pub struct Verifier<'a> {
    /// Where the secrets are.
    pub keys: &'a BarbicanKeyManager,
    /// Where the rows are.
    pub rows: &'a CinderDb,
    /// Where the ledger of this host is, if there is one.
    pub state_dir: &'a Path,
    /// What every migrated secret must hold.
    pub fixed_key: &'a FixedKey,
    /// Who must be let read every secret that this program stored.
    pub extra_acl_users: &'a [UserId],
    /// Rows whose secrets are read at the same time.
    pub concurrency: usize,
    /// Whether users who need a row's key, and may not read it, are added to the ACL of its secret,
    /// where nothing else is wrong with the row. Nobody is ever taken off.
    pub completes_acls: bool,
}

/// What holds for a whole run.
struct Known {
    own_user: UserId,
    shared: BTreeMap<SecretId, SharedSecret>,
}

impl Verifier<'_> {
    /// How many rows there are to look at.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub async fn count(&self, whose: Whose<'_>) -> Result<u64, Fault> {
        let mut count = 0;
        for kind in KINDS {
            let rows = self.rows.count_keyed_rows(kind, whose).await;
            count += rows.map_err(inventory_fault)?;
        }
        Ok(count)
    }

    /// Verifies all rows from where the course is. `seen` is told after every row, `keep` whenever
    /// the course has come to where it can be continued. It may be dropped at any time.
    ///
    /// # Errors
    /// What keeps it from going on.
    pub async fn verify_all(
        &self,
        whose: Whose<'_>,
        course: &mut Course,
        mut seen: impl FnMut(&Tally),
        mut keep: impl FnMut(&Course),
    ) -> Result<(), Fault> {
        let known = self.begin().await?;
        let position = course.position();
        let first = position.as_ref().map_or(KINDS[0], |row| row.kind);
        for kind in KINDS.into_iter().filter(|kind| *kind >= first) {
            let here = position.as_ref().filter(|row| row.kind == kind);
            let mut after = here.map(|row| row.id.clone());
            loop {
                let page = self.rows.keyed_rows(kind, whose, after.as_ref(), PAGE);
                let page = page.await.map_err(inventory_fault)?;
                let Some(last) = page.last().map(|row| row.row.clone()) else {
                    break;
                };
                let mut tally = course.tally.clone();
                self.verify_page(&known, &page, &mut tally, &mut seen)
                    .await?;
                course.tally = tally;
                course.is_at(&last);
                keep(course);
                after = Some(last.id);
            }
        }
        Ok(())
    }

    /// Verifies these rows, wherever they are.
    ///
    /// # Errors
    /// As [`Self::verify_all`].
    pub async fn verify_rows(
        &self,
        rows: &[RowRef],
        mut seen: impl FnMut(&Tally),
    ) -> Result<Tally, Fault> {
        let known = self.begin().await?;
        let mut tally = Tally::default();
        for kind in KINDS {
            let of_kind = rows.iter().filter(|row| row.kind == kind);
            let ids: Vec<RowId> = of_kind.map(|row| row.id.clone()).collect();
            for ids in ids.chunks(PAGE as usize) {
                let page = self.rows.keyed_rows_named(kind, ids).await;
                let page = page.map_err(inventory_fault)?;
                self.verify_page(&known, &page, &mut tally, &mut seen)
                    .await?;
            }
        }
        Ok(tally)
    }

    /// Verifies the rows that an operator names, of whatever kind: one that is not there, or is
    /// still at zeros, is not right either.
    ///
    /// # Errors
    /// As [`Self::verify_all`].
    pub async fn verify_named(
        &self,
        ids: &[RowId],
        seen: impl FnMut(&Tally),
    ) -> Result<Tally, Fault> {
        let mut keyed = Vec::new();
        let mut wrong = Vec::new();
        let mut found = HashSet::new();
        for kind in KINDS {
            for row in self
                .rows
                .keyed_rows_named(kind, ids)
                .await
                .map_err(inventory_fault)?
            {
                found.insert(row.row.id.clone());
                match row.key {
                    RowKey::AllZeros => wrong.push(Finding::at_zeros(&row)),
                    RowKey::Null | RowKey::Other(_) => keyed.push(row.row),
                }
            }
        }
        let absent = ids.iter().filter(|id| !found.contains(id));
        wrong.extend(absent.map(|id| Finding::no_such_row(id.as_str())));
        let mut tally = self.verify_rows(&keyed, seen).await?;
        for finding in wrong {
            tally.add(Outcome::Examined(Origin::NotMigrated, vec![finding]));
        }
        Ok(tally)
    }

    /// So many rows, each as likely as any other, of all that hold keys; and how many these are.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub async fn sample(&self, whose: Whose<'_>, size: usize) -> Result<(Vec<RowRef>, u64), Fault> {
        let mut sample = Vec::new();
        let mut met: u64 = 0;
        for kind in KINDS {
            let mut after: Option<RowId> = None;
            loop {
                let ids = self.rows.keyed_row_ids(kind, whose, after.as_ref(), PAGE);
                let ids = ids.await.map_err(inventory_fault)?;
                let Some(last) = ids.last().cloned() else {
                    break;
                };
                after = Some(last);
                for id in ids {
                    met += 1;
                    sample_in(&mut sample, size, met, RowRef { kind, id });
                }
            }
        }
        Ok((sample, met))
    }

    /// What is asked once, and whether anything can be asked at all.
    async fn begin(&self) -> Result<Known, Fault> {
        self.confirm_rights().await?;
        let token = self.keys.session().token(RequestId::random()).await?;
        let mut shared = BTreeMap::new();
        let mut after = None;
        while shared.len() < MOST_SHARED {
            let page = self.rows.shared_secrets(after, PAGE).await;
            let page = page.map_err(inventory_fault)?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|shared| shared.secret);
            shared.extend(page.into_iter().map(|shared| (shared.secret, shared)));
            if is_last {
                break;
            }
        }
        Ok(Known {
            own_user: token.user_id(),
            shared,
        })
    }

    async fn verify_page(
        &self,
        known: &Known,
        page: &[KeyedRow],
        tally: &mut Tally,
        seen: &mut impl FnMut(&Tally),
    ) -> Result<(), Fault> {
        let recorded = self.recorded(page).await?;
        let examiner = Examiner {
            keys: self.keys,
            rows: self.rows,
            standard: Standard {
                fixed_key: self.fixed_key,
                extra_acl_users: self.extra_acl_users,
                own_user: &known.own_user,
            },
            recorded: &recorded,
            shared: &known.shared,
            was_refused: AtomicBool::new(false),
            mending: self.completes_acls.then(Mutex::default),
        };
        let examined = page.iter().map(|row| examiner.examine(row));
        let mut examined = futures_util::stream::iter(examined).buffered(self.concurrency.max(1));
        while let Some(outcome) = examined.next().await {
            tally.add(outcome?);
            seen(tally);
        }
        if examiner.was_refused.load(Ordering::Relaxed) {
            self.confirm_rights().await?;
        }
        Ok(())
    }

    async fn recorded(&self, page: &[KeyedRow]) -> Result<HashSet<(RowRef, SecretId)>, Fault> {
        let pairs = page.iter().flat_map(|row| {
            let secret = row.key.secret();
            recordings(row).filter_map(move |row| Some((row, secret?)))
        });
        let pairs: Vec<_> = pairs.collect();
        migration_ledger::recorded(self.state_dir, &pairs).await
    }

    /// Barbican refuses another's secret as it refuses one who has no role at all. Whoever may look
    /// for a name has one; otherwise every row would seem to be somebody else's.
    async fn confirm_rights(&self) -> Result<(), Fault> {
        let nobody = SecretName::of(&RowRef {
            kind: ResourceKind::Volume,
            id: "none".into(),
        });
        let found = self.keys.find(&nobody, RequestId::random()).await;
        found.map(drop)
    }
}

/// Takes the row that is met as number `met` into a sample, as algorithm R does.
fn sample_in(sample: &mut Vec<RowRef>, size: usize, met: u64, row: RowRef) {
    if sample.len() < size {
        sample.push(row);
    } else {
        let place = usize::try_from(fastrand::u64(..met)).unwrap_or(usize::MAX);
        if let Some(taken) = sample.get_mut(place) {
            *taken = row;
        }
    }
}
