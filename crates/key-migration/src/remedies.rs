//! What an operator can do for a row that waits or failed.

use crate::ids::{ResourceKind, RowRef};
use crate::reasons::RowReason;

/// A command where there is one; `message` is what is known of the row.
#[must_use]
pub fn of_row(row: &RowRef, reason: RowReason, message: &str) -> String {
    let id = &row.id;
    match (reason, row.kind) {
        (RowReason::Transitional, ResourceKind::Backup) => {
            format!("if nobody is at work on it: cinder backup-reset-state --state available {id}")
        }
        (RowReason::Transitional, _) if message.starts_with("migration_status") => {
            format!("if nobody is at work on it: cinder reset-state --reset-migration-status {id}")
        }
        (RowReason::Transitional, _) => {
            format!("if nobody is at work on it: cinder reset-state --state available {id}")
        }
        (RowReason::InvalidRow, _) => {
            "set [key_migrator] extra_acl_users to the users who are to read its key".to_owned()
        }
        (RowReason::Held, _) => format!("cinder-key-migrator release --execute {id}"),
        (RowReason::UnknownOutcome, _) => {
            "none: it is looked up by its name again, and goes on by itself".to_owned()
        }
        (RowReason::Raced, _) => "none: it is tried again in the next pass".to_owned(),
        (RowReason::Refused | RowReason::ReadbackMismatch, _) => {
            "see what Barbican's log says of it; it is tried again in every pass".to_owned()
        }
    }
}
