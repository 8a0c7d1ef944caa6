//! What the machine asks for, and what it can be told.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::SecretId;
use crate::ports::{DatabaseError, SecretError, StoreError, StoredSecret};
use crate::reasons::Fault;
use crate::rows::{FreshRow, Readers, Swap, SwapOutcome};

/// One thing to do, and nothing else until its answer is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the row: [`Answer::Row`], [`Answer::Held`] or [`Answer::Database`].
    ReadRow,
    /// Record durably that a secret is about to be stored: [`Answer::Intended`] or
    /// [`Answer::Fault`].
    Intend,
    /// Look for secrets with exactly the row's name: [`Answer::Found`] or [`Answer::Fault`].
    Find,
    /// Which of these does any row that is not deleted refer to: [`Answer::Referred`] or
    /// [`Answer::Database`].
    Referred(Vec<SecretId>),
    /// Store the fixed key under the row's name: [`Answer::Stored`] or [`Answer::NotStored`].
    Store,
    /// Let these users read a secret, beside those who may: [`Answer::Done`] or
    /// [`Answer::Secret`].
    LetRead(SecretId, Readers),
    /// Let exactly these users read the secret: [`Answer::Done`] or [`Answer::Secret`].
    SetReaders(SecretId, Readers),
    /// Read the payload and compare it with the fixed key: [`Answer::Payload`] or
    /// [`Answer::Secret`].
    ReadPayload(SecretId),
    /// Switch the row: [`Answer::Swapped`], [`Answer::Held`] or [`Answer::Database`].
    Swap(Swap),
    /// Delete a secret that nothing needs: [`Answer::Done`] or [`Answer::Secret`].
    Delete(SecretId),
    /// Let about this time pass: [`Answer::Done`].
    Wait(Duration),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The row as it is now, or `None` where it is deleted or gone.
    Row(Option<FreshRow>),
    /// The row is at zeros, and the operator holds it there.
    Held,
    /// The intent is on disk; these secrets were recorded as the row's before, latest first.
    Intended(Vec<SecretId>),
    /// What stands under the name, oldest first.
    Found(Vec<StoredSecret>),
    /// Those that a row refers to.
    Referred(BTreeSet<SecretId>),
    /// The secret is stored.
    Stored(SecretId),
    /// It is not, or nobody knows.
    NotStored(StoreError),
    /// It was done.
    Done,
    /// The payload was read.
    Payload {
        /// Whether it is the fixed key.
        equal: bool,
    },
    /// The swap was answered.
    Swapped(SwapOutcome),
    /// A request about one secret failed.
    Secret(SecretError),
    /// The database did not do it.
    Database(DatabaseError),
    /// Something that hits every key.
    Fault(Fault),
}
