//! A secret on its way to become a row's key, and how much is known of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::ids::SecretId;

/// A secret may be deleted at once only while it is younger than this: nobody else can have
/// adopted it.
pub const DELETABLE_AGE: Duration = Duration::from_secs(30 * 60);

/// A 404 this soon after a 201 may be a stale read.
const STALE_READ: Duration = Duration::from_secs(10 * 60);

/// A secret that may become a row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The secret.
    pub secret: SecretId,
    /// Where it comes from.
    pub origin: Origin,
    /// A swap to it was asked for and not answered: it may have happened.
    pub swap_in_doubt: bool,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This process stored it and was told so.
    StoredHere(Instant),
    /// It was found under the row's name, or is recorded as stored for it by an earlier run.
    Found,
}

impl Candidate {
    /// One that this process stored just now.
    #[must_use]
    pub fn stored(secret: SecretId, now: Instant) -> Self {
        Self {
            secret,
            origin: Origin::StoredHere(now),
            swap_in_doubt: false,
        }
    }

    /// One that this process did not store, or does not know to have stored.
    #[must_use]
    pub fn found(secret: SecretId) -> Self {
        Self {
            secret,
            origin: Origin::Found,
            swap_in_doubt: false,
        }
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        matches!(self.origin, Origin::StoredHere(at) if now.duration_since(at) < STALE_READ)
    }

    /// Whether it may be deleted without asking anybody, once no row refers to it.
    #[must_use]
    pub fn is_deletable(&self, now: Instant) -> bool {
        !self.swap_in_doubt
            && matches!(self.origin, Origin::StoredHere(at) if now.duration_since(at) < DELETABLE_AGE)
    }
}
