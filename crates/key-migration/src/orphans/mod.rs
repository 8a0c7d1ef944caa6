//! Secrets that were stored for a row and that no row refers to: what each is, and whether it may
//! be deleted. Nothing here happens by itself, only by command.
//!
//! What is shown is a moment; before anything is deleted everything is looked at again, the row
//! under its lock.

mod finding;
mod judgement;
mod purging;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;

pub use self::finding::{find_all, find_named};
pub use self::purging::{PurgeError, Purged, purge};
use crate::ids::{RequestId, RowRef, SecretId};
use crate::ledger::OpenIntent;
use crate::ports::{KeyManager, SecretError};
use crate::reasons::Fault;

/// A key manager that can be asked who registered as using a secret.
pub trait Consumers: KeyManager {
    /// How many consumers are registered with the secret: none where the key manager is too old to
    /// know of any, or the secret is gone.
    ///
    /// # Errors
    /// See [`SecretError`].
    fn consumers(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> impl Future<Output = Result<u64, SecretError>> + Send;
}

/// What is under way, as the durable record has it. It can be asked while a daemon writes it.
pub trait UnderWay: Send + Sync {
    /// What is open now.
    ///
    /// # Errors
    /// The record is there and cannot be read.
    fn open(&self) -> impl Future<Output = Result<OpenIntents, Fault>> + Send;
}

/// Rows and secrets with an open intent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenIntents {
    rows: BTreeSet<RowRef>,
    secrets: BTreeSet<SecretId>,
}

impl OpenIntents {
    fn include(&self, row: &RowRef, secret: SecretId) -> bool {
        self.rows.contains(row) || self.secrets.contains(&secret)
    }
}

impl FromIterator<OpenIntent> for OpenIntents {
    fn from_iter<I: IntoIterator<Item = OpenIntent>>(intents: I) -> Self {
        let mut open = Self::default();
        for intent in intents {
            open.secrets.extend(intent.secret);
            open.rows.insert(intent.row);
        }
        open
    }
}

/// A secret with a name of ours that no row refers to, other than deleted ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The secret.
    pub secret: SecretId,
    /// The row that its name says it was stored for.
    pub row: RowRef,
    /// How old it is, by Barbican's own clock.
    pub age: Duration,
    /// What it is.
    pub class: Class,
    obstacle: Option<Kept>,
}

impl Orphan {
    /// Why it is not to be deleted, if so; `by_name` where the operator named this very secret.
    #[must_use]
    pub fn kept(&self, by_name: bool) -> Option<Kept> {
        let lifted = |kept: &Kept| by_name && *kept == Kept::Unnamed;
        self.obstacle.filter(|kept| !lifted(kept))
    }
}

/// What a secret that no row refers to is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It is going to be used.
    Pending,
    /// Its row has another key.
    Superseded,
    /// Its row is deleted.
    RowDeleted,
    /// Only deleted rows refer to it.
    ReferredByDeleted,
    /// Its row is not in this database.
    UnknownRow,
    /// It is not one that we could have stored and can use.
    Foreign,
}

impl Class {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Superseded,
        Self::RowDeleted,
        Self::ReferredByDeleted,
        Self::UnknownRow,
        Self::Foreign,
    ];

    /// The name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Superseded => "superseded",
            Self::RowDeleted => "row_deleted",
            Self::ReferredByDeleted => "referred_by_deleted",
            Self::UnknownRow => "unknown_row",
            Self::Foreign => "foreign",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a secret is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Kept {
    /// Of [`Class::Pending`].
    #[error("it is going to be used for its row")]
    Pending,
    /// Of [`Class::Foreign`].
    #[error("another user stored it, or it is not ACTIVE")]
    Foreign,
    /// Nothing says that the row will not get it back.
    #[error("its row holds no key")]
    RowWithoutKey,
    /// A request for it may still be under way.
    #[error("it is not yet 24 hours old")]
    Young,
    /// The deletion may still be regretted.
    #[error("its row was deleted less than 24 hours ago")]
    RowJustDeleted,
    /// Somebody told Barbican so.
    #[error("{0} consumer(s) are registered with it")]
    Consumers(u64),
    /// Of a class that only the operator can judge.
    #[error("it is deleted only if it is named")]
    Unnamed,
    /// A row, not deleted, refers to it.
    #[error("a row refers to it")]
    Referred,
    /// It was not stored for a row.
    #[error("its name is none of ours")]
    NotNamedByUs,
    /// Barbican has none.
    #[error("Barbican knows no such secret")]
    NoSuchSecret,
    /// It is another project's, or we lack the role.
    #[error("Barbican does not let us see it")]
    Hidden,
    /// It became needed between two looks.
    #[error("its row changed just now")]
    Changed,
}
