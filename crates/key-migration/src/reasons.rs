//! The closed lists of states and reasons. Status, metrics and log use these and no others.

use std::fmt;

use serde::Serialize;

/// The state of a service's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// No pass has ended yet.
    Starting,
    /// A gate is closed: this host does not migrate.
    Disabled,
    /// Nothing is left on this host, something is elsewhere.
    Idle,
    /// Rows of this host are at zeros and are being worked on.
    Migrating,
    /// Something hits every key; the reason and its remedy say what.
    Blocked,
    /// The operator said so.
    Paused,
    /// No row is at zeros on any host, twice in a row.
    Complete,
}

impl ServiceState {
    /// Every state, for metrics that show one series each.
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::Disabled,
        Self::Idle,
        Self::Migrating,
        Self::Blocked,
        Self::Paused,
        Self::Complete,
    ];

    /// The name in status and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Disabled => "disabled",
            Self::Idle => "idle",
            Self::Migrating => "migrating",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Complete => "complete",
        }
    }
}

/// Why a whole service waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Barbican refuses to store secrets for this user in this project.
    RoleMissing,
    /// The project may not hold more secrets.
    QuotaReached,
    /// Keystone answers, and does not let us in.
    KeystoneRejected,
    /// Keystone does not answer.
    KeystoneUnreachable,
    /// Barbican cannot be reached, and nothing was sent.
    BarbicanUnreachable,
    /// Barbican answers with errors, or not in time.
    BarbicanFailing,
    /// Cinder's database cannot be reached or used.
    DatabaseUnreachable,
    /// The record of intents cannot be written.
    LedgerUnavailable,
    /// A secret that should hold the fixed key holds something else.
    FixedKeyMismatch,
    /// Cinder's own migrator is at work on the same rows.
    PeerAtWork,
    /// The configuration does not allow it.
    Configuration,
}

impl Reason {
    /// Every reason, for metrics that show one series each.
    pub const ALL: [Self; 11] = [
        Self::RoleMissing,
        Self::QuotaReached,
        Self::KeystoneRejected,
        Self::KeystoneUnreachable,
        Self::BarbicanUnreachable,
        Self::BarbicanFailing,
        Self::DatabaseUnreachable,
        Self::LedgerUnavailable,
        Self::FixedKeyMismatch,
        Self::PeerAtWork,
        Self::Configuration,
    ];

    /// The name in status, metrics and log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoleMissing => "role_missing",
            Self::QuotaReached => "quota_reached",
            Self::KeystoneRejected => "keystone_rejected",
            Self::KeystoneUnreachable => "keystone_unreachable",
            Self::BarbicanUnreachable => "barbican_unreachable",
            Self::BarbicanFailing => "barbican_failing",
            Self::DatabaseUnreachable => "database_unreachable",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::FixedKeyMismatch => "fixed_key_mismatch",
            Self::PeerAtWork => "peer_at_work",
            Self::Configuration => "configuration",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one row is not migrated yet, while the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowReason {
    /// Cinder is in the middle of something with it.
    Transitional,
    /// The row lacks what is needed, or holds what makes no sense.
    InvalidRow,
    /// Barbican refuses or fails requests for this row.
    Refused,
    /// Whether its secret was stored is not known yet.
    UnknownOutcome,
    /// Its secret reads back differently from what was stored.
    ReadbackMismatch,
    /// Others kept changing or locking it.
    Raced,
    /// The operator holds it at zeros, until it is released.
    Held,
}

impl RowReason {
    /// Every reason, for metrics that show one series each.
    pub const ALL: [Self; 7] = [
        Self::Transitional,
        Self::InvalidRow,
        Self::Refused,
        Self::UnknownOutcome,
        Self::ReadbackMismatch,
        Self::Raced,
        Self::Held,
    ];

    /// The name in status, metrics and log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transitional => "transitional",
            Self::InvalidRow => "invalid_row",
            Self::Refused => "refused",
            Self::UnknownOutcome => "unknown_outcome",
            Self::ReadbackMismatch => "readback_mismatch",
            Self::Raced => "raced",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for RowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that would hit every key: it ends the pass, and the service waits until it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Which of the closed list.
    pub reason: Reason,
    /// What was refused or failed, and by whom: `<title>: <description>` where a service answered.
    pub message: String,
    /// What the operator can do, as a command where there is one.
    pub remedy: String,
}

impl Fault {
    /// Puts the three together.
    pub fn new(reason: Reason, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}
