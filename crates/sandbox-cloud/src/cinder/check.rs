//! The final check: is every key where it should be, can its owner read it, and
//! is everything else as it was?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::population::Planted;
use super::rows::{Image, Kind, Row};
use super::{CinderDatabase, DatabaseError};
use crate::reader::Reader;
use crate::{Cloud, SecretView};

/// Which rows had to be migrated by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every row that was at zeros.
    Everything,
    /// The rows of these `host@backend`, `cluster@backend` and backup host names.
    OwnedBy(BTreeSet<String>),
}

/// What is to be checked. Run it while nothing migrates.
#[derive(Debug)]
pub struct Check<'a> {
    /// Where the secrets are.
    pub cloud: &'a Cloud,
    /// Where the rows are.
    pub database: &'a CinderDatabase,
    /// What was planted.
    pub planted: &'a Planted,
    /// The bytes that every migrated key must have.
    pub fixed_key: &'a [u8],
    /// Cinder's own user, who stores the secrets.
    pub service_user_id: &'a str,
    /// Which rows had to be migrated.
    pub scope: Scope,
}

/// What the check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One question each, in a fixed order.
    pub lines: Vec<Line>,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What has to hold.
    pub claim: &'static str,
    /// How many things were looked at.
    pub examined: usize,
    /// Where it does not hold.
    pub faults: Vec<Fault>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The row is not in its table any more.
    RowGone(Kind, String),
    /// The row still holds zeros, or nothing.
    NotMigrated(Kind, String),
    /// The row names a secret that Barbican does not have.
    NoSuchSecret(Kind, String),
    /// The snapshot has another key than its volume.
    SnapshotApart(String),
    /// The secret's bytes are not the fixed key.
    PayloadDiffers(Kind, String),
    /// The secret's ACL does not hold exactly these users.
    ReadersDiffer {
        /// The row's table.
        kind: Kind,
        /// The row.
        id: String,
        /// Who should be there.
        expected: BTreeSet<String>,
        /// Who is.
        found: BTreeSet<String>,
    },
    /// The row's own user does not get the fixed key from Barbican.
    OwnerCannotRead(Kind, String, String),
    /// More than one row that is no snapshot of the other has this secret.
    SharedSecret(String),
    /// A secret of Cinder's user that no row refers to.
    UnreferencedSecret(String),
    /// The row changed, but its `updated_at` did not.
    UpdatedAtNotMoved(Kind, String),
    /// A row that nobody had to touch is not as it was.
    BystanderChanged(Kind, String),
}

impl Report {
    /// Whether nothing was found.
    pub fn is_right(&self) -> bool {
        self.lines.iter().all(|line| line.faults.is_empty())
    }
}

impl Check<'_> {
    /// Looks at every row and every secret.
    ///
    /// # Errors
    ///
    /// When the rows cannot be read; everything else is in the report.
    pub async fn run(&self) -> Result<Report, DatabaseError> {
        let after = self.database.image().await?;
        let before = &self.planted.before;
        let (moved, stayed): (Vec<_>, Vec<_>) = before
            .rows
            .iter()
            .partition(|((kind, _), row)| self.had_to_move(*kind, row));
        let keyed: Vec<Keyed<'_>> = moved
            .iter()
            .filter(|((kind, _), _)| *kind != Kind::Snapshot)
            .filter_map(|((kind, id), _)| self.keyed(*kind, id, &after))
            .collect();
        Ok(Report {
            lines: vec![
                migrated(&moved, &after),
                snapshots_follow(&moved, &after),
                self.payloads(&keyed),
                self.readers(&keyed, &after),
                self.owners_read(&keyed).await,
                shared(&keyed, &after),
                self.unreferenced(&after),
                updated(&moved, &after),
                bystanders(&stayed, &after),
            ],
        })
    }

    fn had_to_move(&self, kind: Kind, row: &Row) -> bool {
        let before = &self.planted.before;
        let volume = row.volume_id.as_ref().filter(|_| kind == Kind::Snapshot);
        match volume {
            None => row.is_live_zero() && self.scope.covers(row),
            Some(volume_id) => {
                let volume = before.rows.get(&(Kind::Volume, volume_id.clone()));
                row.is_live_zero()
                    && volume.is_some_and(|volume| {
                        // A snapshot of a volume that has a real key is on its own.
                        !volume.is_live_zero() || self.scope.covers(volume)
                    })
            }
        }
    }

    fn keyed<'a>(&self, kind: Kind, id: &str, after: &'a Image) -> Option<Keyed<'a>> {
        let row = after.rows.get(&(kind, id.to_owned()))?;
        let secret_id = row
            .encryption_key_id
            .as_deref()
            .filter(|_| !row.is_live_zero())?;
        let secret = secret_id
            .parse()
            .ok()
            .and_then(|secret_id| self.cloud.secret(secret_id));
        Some(Keyed {
            kind,
            row,
            secret_id,
            secret,
        })
    }

    fn payloads(&self, keyed: &[Keyed<'_>]) -> Line {
        let faults = keyed.iter().filter_map(
            |Keyed {
                 kind, row, secret, ..
             }| match secret {
                None => Some(Fault::NoSuchSecret(*kind, row.id.clone())),
                Some(secret) if secret.payload() != Some(self.fixed_key) => {
                    Some(Fault::PayloadDiffers(*kind, row.id.clone()))
                }
                Some(_) => None,
            },
        );
        line(
            "each migrated key's secret holds the fixed key's bytes",
            keyed.len(),
            faults,
        )
    }

    /// The readers: the row's user; for a volume those of its snapshots and
    /// backups as well.
    fn readers(&self, keyed: &[Keyed<'_>], after: &Image) -> Line {
        let mut of_volume: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for row in after.of(Kind::Snapshot).chain(after.of(Kind::Backup)) {
            if let (Some(volume_id), Some(user_id), false) =
                (&row.volume_id, &row.user_id, row.deleted)
            {
                of_volume
                    .entry(volume_id)
                    .or_default()
                    .insert(user_id.clone());
            }
        }
        let faults = keyed.iter().filter_map(
            |Keyed {
                 kind, row, secret, ..
             }| {
                let mut expected: BTreeSet<String> = row.user_id.iter().cloned().collect();
                if *kind == Kind::Volume {
                    expected.extend(
                        of_volume
                            .get(row.id.as_str())
                            .into_iter()
                            .flatten()
                            .cloned(),
                    );
                }
                let acl = secret.as_ref()?.acl.as_ref();
                let found: BTreeSet<String> = acl
                    .into_iter()
                    .flat_map(|acl| acl.users.iter().cloned())
                    .collect();
                let (kind, id) = (*kind, row.id.clone());
                (expected != found).then_some(Fault::ReadersDiffer {
                    kind,
                    id,
                    expected,
                    found,
                })
            },
        );
        line(
            "each secret's ACL names the right users and no others",
            keyed.len(),
            faults,
        )
    }

    async fn owners_read(&self, keyed: &[Keyed<'_>]) -> Line {
        let claim = "each owner, in a project of their own, reads that key from Barbican";
        let reader = Reader::new(self.cloud, self.planted);
        let wanted = keyed.iter().map(|keyed| {
            let user_id = keyed.row.user_id.clone().unwrap_or_default();
            (user_id, keyed.secret_id.to_owned())
        });
        let answers = reader.read_all(wanted.collect()).await;
        let faults = keyed.iter().zip(answers).filter_map(|(keyed, answer)| {
            let why = match answer {
                Ok(payload) if payload.as_slice() == self.fixed_key => return None,
                Ok(_) => "got other bytes".to_owned(),
                Err(why) => why,
            };
            Some(Fault::OwnerCannotRead(
                keyed.kind,
                keyed.row.id.clone(),
                why,
            ))
        });
        line(claim, keyed.len(), faults)
    }

    fn unreferenced(&self, after: &Image) -> Line {
        let referred: BTreeSet<&str> = after
            .rows
            .values()
            .filter(|row| !row.deleted)
            .filter_map(|row| row.encryption_key_id.as_deref())
            .collect();
        let ours = self.cloud.secrets().into_iter();
        let ours = ours.filter(|secret| secret.creator_id == self.service_user_id);
        let ours: Vec<String> = ours.map(|secret| secret.secret_id.to_string()).collect();
        let faults = ours
            .iter()
            .filter(|secret_id| !referred.contains(secret_id.as_str()))
            .map(|secret_id| Fault::UnreferencedSecret(secret_id.clone()));
        line(
            "no secret of Cinder's user is without a row",
            ours.len(),
            faults,
        )
    }
}

impl Scope {
    /// The rows that services with these names own.
    pub fn owned_by<I: IntoIterator<Item = S>, S: Into<String>>(names: I) -> Self {
        Self::OwnedBy(names.into_iter().map(Into::into).collect())
    }

    fn covers(&self, row: &Row) -> bool {
        match self {
            Self::Everything => true,
            Self::OwnedBy(names) => {
                let stands_on = row.cluster_name.as_deref().or(row.host.as_deref());
                stands_on
                    .is_some_and(|host| names.contains(host.split('#').next().unwrap_or_default()))
            }
        }
    }
}

/// A migrated volume or backup with its secret.
struct Keyed<'a> {
    kind: Kind,
    row: &'a Row,
    secret_id: &'a str,
    secret: Option<SecretView>,
}

type Before<'a> = (&'a (Kind, String), &'a Row);

fn migrated(moved: &[Before<'_>], after: &Image) -> Line {
    let faults = moved.iter().filter_map(|(place, _)| {
        let (kind, id) = (place.0, place.1.clone());
        match after.rows.get(place) {
            None => Some(Fault::RowGone(kind, id)),
            Some(row) if row.is_live_zero() || row.encryption_key_id.is_none() => {
                Some(Fault::NotMigrated(kind, id))
            }
            Some(_) => None,
        }
    });
    line(
        "every row that was to be migrated has a key of its own",
        moved.len(),
        faults,
    )
}

fn snapshots_follow(moved: &[Before<'_>], after: &Image) -> Line {
    let snapshots: Vec<_> = moved
        .iter()
        .filter(|((kind, _), _)| *kind == Kind::Snapshot)
        .collect();
    let faults = snapshots.iter().filter_map(|(place, before)| {
        let snapshot = after.rows.get(place)?;
        let volume = after.rows.get(&(Kind::Volume, before.volume_id.clone()?))?;
        let together = snapshot.encryption_key_id == volume.encryption_key_id;
        (!together).then(|| Fault::SnapshotApart(place.1.clone()))
    });
    line(
        "every snapshot has its volume's key",
        snapshots.len(),
        faults,
    )
}

fn shared(keyed: &[Keyed<'_>], after: &Image) -> Line {
    let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
    for row in after.of(Kind::Volume).chain(after.of(Kind::Backup)) {
        if let (Some(secret_id), false) = (row.encryption_key_id.as_deref(), row.deleted) {
            *holders.entry(secret_id).or_default() += 1;
        }
    }
    let several: BTreeSet<&str> = keyed
        .iter()
        .map(|keyed| keyed.secret_id)
        .filter(|secret_id| holders.get(secret_id).is_some_and(|count| *count > 1))
        .collect();
    let faults = several
        .iter()
        .map(|secret_id| Fault::SharedSecret((*secret_id).to_owned()));
    line(
        "no two volumes or backups share a secret",
        keyed.len(),
        faults,
    )
}

fn updated(moved: &[Before<'_>], after: &Image) -> Line {
    let faults = moved.iter().filter_map(|(place, before)| {
        let row = after.rows.get(place)?;
        let changed = row.encryption_key_id != before.encryption_key_id;
        let moved = row.updated_at > before.updated_at;
        (changed && !moved).then(|| Fault::UpdatedAtNotMoved(place.0, place.1.clone()))
    });
    line(
        "updated_at moved on every migrated row",
        moved.len(),
        faults,
    )
}

fn bystanders(stayed: &[Before<'_>], after: &Image) -> Line {
    let faults = stayed.iter().filter_map(|(place, before)| {
        let same = after.rows.get(place).is_some_and(|row| row == *before);
        (!same).then(|| Fault::BystanderChanged(place.0, place.1.clone()))
    });
    line(
        "every other row is as it was, to the updated_at",
        stayed.len(),
        faults,
    )
}

fn line(claim: &'static str, examined: usize, faults: impl Iterator<Item = Fault>) -> Line {
    Line {
        claim,
        examined,
        faults: faults.collect(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowGone(kind, id) => write!(formatter, "{kind} {id} is gone"),
            Self::NotMigrated(kind, id) => write!(formatter, "{kind} {id} has no key of its own"),
            Self::NoSuchSecret(kind, id) => {
                write!(formatter, "{kind} {id} names a secret that is not there")
            }
            Self::SnapshotApart(id) => write!(formatter, "snapshot {id} differs from its volume"),
            Self::PayloadDiffers(kind, id) => write!(formatter, "{kind} {id} has other bytes"),
            Self::ReadersDiffer {
                kind,
                id,
                expected,
                found,
            } => {
                write!(
                    formatter,
                    "{kind} {id}: readers {found:?} instead of {expected:?}"
                )
            }
            Self::OwnerCannotRead(kind, id, why) => {
                write!(
                    formatter,
                    "{kind} {id}: its owner cannot read the key: {why}"
                )
            }
            Self::SharedSecret(id) => write!(formatter, "secret {id} belongs to several rows"),
            Self::UnreferencedSecret(id) => write!(formatter, "secret {id} belongs to no row"),
            Self::UpdatedAtNotMoved(kind, id) => {
                write!(formatter, "{kind} {id} changed without its updated_at")
            }
            Self::BystanderChanged(kind, id) => write!(formatter, "{kind} {id} was touched"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::Backup => "backup",
        })
    }
}
