//! Whether a run has ended clean: nothing lost, leaked, doubled or left half done, judged from
//! outside, by the rows in the database and the secrets in Barbican.
//!
//! ```no_run
//! # use key_migrator_tests::*;
//! # async fn test(database: &CinderDatabase, cloud: &RealCloud, cinder: &User) -> anyhow::Result<()> {
//! Clean::of(database, cloud, cinder).assert().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The secrets are those that cinder's user may list, so the user and its project must belong to
//! this database alone, as those of [`Cloud::create_cinder_user`] do.

mod rows;
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, ensure};
use uuid::Uuid;

use self::rows::{Rows, described, users_of};
use self::secrets::Secret;
use crate::cinder_conf::FIXED_KEY;
use crate::cloud::{Cloud, User};
use crate::database::{CinderDatabase, Holder};

/// The question, with what is to be tolerated.
#[derive(Debug)]
pub struct Clean<'a, C> {
    database: &'a CinderDatabase,
    cloud: &'a C,
    cinder: &'a User,
    fixed_key: String,
    extra_readers: BTreeSet<String>,
    superseded: BTreeSet<Uuid>,
}

/// The answer: every offender by name, with what the database and Barbican say of it.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Rows that are encrypted and not deleted.
    pub rows: usize,
    /// Secrets that cinder's user can list, superseded ones included.
    pub secrets: usize,
    /// Secrets that no row refers to, and that nobody has called superseded.
    pub orphans: Vec<String>,
    /// Names that several secrets bear, and secrets that rows of several volumes or backups share.
    pub duplicates: Vec<String>,
    /// Rows whose secret is not there, not active, or holds another payload.
    pub lost: Vec<String>,
    /// Snapshots with another key than their volume's.
    pub half_moved: Vec<String>,
    /// Rows that are still at zeros.
    pub unmoved: Vec<String>,
    /// Secrets that others may read than the users of the rows, or not all of these.
    pub wrong_readers: Vec<String>,
}

impl<'a, C: Cloud> Clean<'a, C> {
    /// Asks it of this database and the secrets of this user, for [`FIXED_KEY`].
    #[must_use]
    pub fn of(database: &'a CinderDatabase, cloud: &'a C, cinder: &'a User) -> Self {
        Self {
            database,
            cloud,
            cinder,
            fixed_key: FIXED_KEY.to_owned(),
            extra_readers: BTreeSet::new(),
            superseded: BTreeSet::new(),
        }
    }

    /// The payload that every secret must have, in hexadecimal, if it is not [`FIXED_KEY`].
    #[must_use]
    pub fn fixed_key(mut self, fixed_key: &str) -> Self {
        fixed_key.clone_into(&mut self.fixed_key);
        self
    }

    /// What stands in `extra_acl_users`.
    #[must_use]
    pub fn extra_readers(mut self, user_ids: impl IntoIterator<Item = String>) -> Self {
        self.extra_readers.extend(user_ids);
        self
    }

    /// Secrets that may be there without a row: those that the program itself tells of.
    #[must_use]
    pub fn superseded(mut self, secret_ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.superseded.extend(secret_ids);
        self
    }

    /// Looks at everything, and fails with all offenders if there is any.
    ///
    /// # Errors
    ///
    /// When something is not clean, or the database or Barbican cannot be asked.
    pub async fn assert(&self) -> Result<Findings> {
        let findings = self.find().await?;
        ensure!(findings.is_clean(), "{findings}");
        Ok(findings)
    }

    /// Looks at everything.
    ///
    /// # Errors
    ///
    /// When the database or Barbican cannot be asked.
    pub async fn find(&self) -> Result<Findings> {
        let rows = Rows::of(self.database).await?;
        let secrets = secrets::all(self.cloud, self.cinder).await?;
        let mut findings = Findings {
            rows: rows.encrypted().count(),
            secrets: secrets.len(),
            ..Findings::default()
        };
        for (kind, row) in rows.encrypted() {
            self.judge_row(kind, row, &secrets, &mut findings);
        }
        rows.judge_snapshots(&mut findings);
        self.judge_secrets(&rows, &secrets, &mut findings);
        Ok(findings)
    }

    fn judge_row(
        &self,
        kind: &str,
        row: &Holder,
        secrets: &BTreeMap<Uuid, Secret>,
        findings: &mut Findings,
    ) {
        if row.is_zero() {
            findings.unmoved.push(described(kind, row));
            return;
        }
        let secret = row.secret_id().and_then(|id| secrets.get(&id));
        let what = match secret {
            None => "which cinder's user cannot list".to_owned(),
            Some(Secret { active: false, .. }) => "which is not ACTIVE".to_owned(),
            Some(secret) => match &secret.payload {
                Ok(payload) if *payload == self.fixed_key => return,
                Ok(_) => format!("{secret}, whose payload is not the fixed key"),
                Err(status) => format!("{secret}, whose payload is answered with {status}"),
            },
        };
        findings
            .lost
            .push(format!("{}: {what}", described(kind, row)));
    }

    fn judge_secrets(
        &self,
        rows: &Rows,
        secrets: &BTreeMap<Uuid, Secret>,
        findings: &mut Findings,
    ) {
        let mut named: BTreeMap<&str, Vec<&Secret>> = BTreeMap::new();
        for secret in secrets.values() {
            let holders = rows.holders_of(secret.id);
            if holders.is_empty() && self.superseded.contains(&secret.id) {
                continue;
            }
            if let Some(name) = &secret.name {
                named.entry(name).or_default().push(secret);
            }
            if holders.is_empty() {
                let orphan = format!("{secret}: {}", rows.by_name(secret.name.as_deref()));
                findings.orphans.push(orphan);
                continue;
            }
            let families: BTreeSet<String> = holders
                .iter()
                .map(|(kind, row)| match *kind {
                    "backup" => described(kind, row),
                    _ => format!("volume {}", row.volume_id),
                })
                .collect();
            if families.len() > 1 {
                findings
                    .duplicates
                    .push(format!("{secret} is shared by {families:?}"));
            }
            self.judge_readers(rows, secret, &holders, findings);
        }
        for (name, secrets) in named.into_iter().filter(|(_, secrets)| secrets.len() > 1) {
            let ids: Vec<String> = secrets.iter().map(|secret| secret.id.to_string()).collect();
            let held = rows.by_name(Some(name));
            findings
                .duplicates
                .push(format!("{name} is the name of {}: {held}", ids.join(", ")));
        }
    }

    /// The users of all rows that hold the secret must be among its readers, and nobody may be who
    /// has no row of the same volume.
    fn judge_readers(
        &self,
        rows: &Rows,
        secret: &Secret,
        holders: &[(&'static str, &Holder)],
        findings: &mut Findings,
    ) {
        let mut wanted = self.extra_readers.clone();
        let mut allowed = BTreeSet::new();
        for (kind, row) in holders {
            wanted.extend(row.user_id.clone());
            if *kind == "volume" {
                wanted.extend(users_of(&rows.backups, &row.volume_id));
                allowed.extend(users_of(&rows.snapshots, &row.volume_id));
            }
        }
        allowed.extend(wanted.iter().cloned());
        if !wanted.is_subset(&secret.readers) || !secret.readers.is_subset(&allowed) {
            findings.wrong_readers.push(format!(
                "{secret}: {:?} may read it, the rows want {wanted:?}",
                secret.readers
            ));
        }
    }
}

impl Findings {
    /// Whether there is no offender.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.offenders().iter().all(|(_, found)| found.is_empty())
    }

    fn offenders(&self) -> [(&'static str, &[String]); 6] {
        [
            ("orphans", &self.orphans),
            ("duplicates", &self.duplicates),
            ("lost", &self.lost),
            ("half moved", &self.half_moved),
            ("not moved", &self.unmoved),
            ("wrong readers", &self.wrong_readers),
        ]
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} secrets", self.rows, self.secrets)?;
        for (what, found) in self.offenders() {
            write!(f, ", {} {what}", found.len())?;
        }
        for (what, found) in self.offenders() {
            for one in found {
                write!(f, "\n  {what}: {one}")?;
            }
        }
        Ok(())
    }
}
