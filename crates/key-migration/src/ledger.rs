//! What is recorded durably about secrets, in the domain's words; see [`crate::ports::Ledger`].

use jiff::Timestamp;

use crate::ids::{RequestId, ResourceKind, RowRef, SecretId};

/// What became of something. Each entry is kept for good, as the audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The row that it is about.
    pub row: RowRef,
    /// What happened.
    pub event: Event,
    /// The request ID under which it happened.
    pub request: RequestId,
}

/// What can become of a row's intent and secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Barbican said that it stored this secret. The intent stays open and knows it, if it knows no
    /// other.
    Stored(SecretId),
    /// Nobody knows whether a secret was stored; the intent stays open.
    Unanswered,
    /// This secret was found under the row's name and is to be its key. The intent learns of it as of
    /// one that was stored.
    Found(SecretId),
    /// No secret was stored, certainly: the intent is closed.
    NotStored,
    /// A request without an answer is waited for no longer: the intent is closed, unless it knows
    /// its secret, and the name is to be looked at again later, in case the request still takes
    /// effect.
    GivenUp,
    /// The second look was made.
    LookedAgain,
    /// The row refers to this secret now, and so many of its snapshots: the intent is closed.
    Switched {
        /// The secret.
        secret: SecretId,
        /// Snapshots that moved with their volume.
        snapshots: u64,
    },
    /// The row has another key or is gone: the intent is closed. What is left of it follows as
    /// [`Event::Deleted`] or [`Event::Superseded`].
    Lost,
    /// This secret was deleted, as nothing refers to it.
    Deleted(SecretId),
    /// This secret exists no more (Barbican answers 404), or is another row's by now: what is
    /// recorded of it for this row is void.
    Gone(SecretId),
    /// This secret is not going to be the row's, and stays.
    Superseded(SecretId),
}

/// What is recorded for some kinds of row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recollection {
    /// Whether the ledger saw everything that was stored since a complete listing for this keeper:
    /// then no listing is needed before the first secret is stored.
    pub listed: Vec<ResourceKind>,
    /// Intents that are open, oldest first.
    pub open: Vec<OpenIntent>,
    /// Secrets recorded as superseded and not as deleted or gone since.
    pub superseded: Vec<(RowRef, SecretId)>,
    /// Names that are to be looked at again, and since when their request is unanswered.
    pub second_looks: Vec<(RowRef, Timestamp)>,
    /// The secret that a row was switched to last, if any was: it must hold the fixed key.
    pub sample: Option<(RowRef, SecretId)>,
}

/// A secret was, or may have been, stored for this row, and the row was not seen switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// The row.
    pub row: RowRef,
    /// When the intent was recorded.
    pub since: Timestamp,
    /// The secret, if Barbican's answer was recorded.
    pub secret: Option<SecretId>,
}
