//! How the work for one key can end. Every end says what is left behind.

use super::{Candidate, KeyMachine, Turn};
use crate::ids::SecretId;
use crate::reasons::{Fault, RowReason};

/// How the work for one key ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyEnd {
    /// The row refers to the secret now.
    Migrated {
        /// The secret.
        secret: SecretId,
        /// Snapshots that moved with their volume in the swap that was answered.
        snapshots: u64,
        /// It is the secret of the snapshot's volume.
        shared: bool,
    },
    /// The row needs nothing from us: it has another key, or is deleted.
    NotOurs {
        /// The key that it holds, if that is a secret's UUID.
        holds: Option<SecretId>,
        /// A candidate that stays.
        left: Option<Candidate>,
        /// A candidate that was deleted.
        deleted: Option<SecretId>,
    },
    /// It waits for something that passes by itself.
    Deferred {
        /// Which of the closed list.
        reason: RowReason,
        /// What it waits for.
        message: String,
        /// A secret that is kept for it.
        kept: Option<Candidate>,
    },
    /// It failed, and is tried again in the next pass.
    Failed {
        /// Which of the closed list.
        reason: RowReason,
        /// What failed.
        message: String,
        /// A secret that is kept for it.
        kept: Option<Candidate>,
    },
    /// Barbican failed in a way that other keys may meet as well.
    Trouble {
        /// What failed.
        message: String,
        /// A secret that is kept for it.
        kept: Option<Candidate>,
    },
    /// Nobody knows whether its secret was stored.
    Unknown {
        /// What was heard.
        message: String,
    },
    /// Nothing is stored under its name.
    FoundNothing,
    /// The candidate is not fit for this row.
    NotAdoptable(Candidate),
    /// The secret is stored; it is switched later.
    Stored(Candidate),
    /// Something that hits every key.
    Fault {
        /// What it is.
        fault: Fault,
        /// A secret that is kept for the row.
        kept: Option<Candidate>,
    },
    /// The secret does not hold the fixed key: the row is not switched, and nothing else is stored
    /// for it.
    Mismatch(Candidate),
}

impl KeyMachine {
    pub(super) fn migrated(&self, snapshots: u64) -> KeyEnd {
        KeyEnd::Migrated {
            secret: self.secret(),
            snapshots,
            shared: self.shared,
        }
    }

    pub(super) fn not_ours(&self, deleted: bool) -> KeyEnd {
        KeyEnd::NotOurs {
            holds: self.holds,
            left: self.candidate.filter(|_| !deleted),
            deleted: self
                .candidate
                .filter(|_| deleted)
                .map(|candidate| candidate.secret),
        }
    }

    pub(super) fn deferred(&self, reason: RowReason, message: String) -> Turn {
        Turn::End(KeyEnd::Deferred {
            reason,
            message,
            kept: self.kept(),
        })
    }

    pub(super) fn given_back(&self, reason: RowReason, message: String) -> Turn {
        Turn::End(KeyEnd::Failed {
            reason,
            message,
            kept: self.kept(),
        })
    }

    /// The secret that is the row's own, if there is one: not its volume's.
    pub(super) fn kept(&self) -> Option<Candidate> {
        self.candidate.filter(|_| !self.shared)
    }
}
