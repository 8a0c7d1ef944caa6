//! What can be wrong with a migrated row, and what an operator can do about it.

use cinder_db::audit::KeyedRow;
use key_migration::ids::{RowRef, SecretId, UserId};
use key_migration::ports::SecretError;
use serde::{Deserialize, Serialize};

/// The closed list of what can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Barbican knows no such secret.
    Missing,
    /// The secret is there, and cannot be read.
    Unreadable,
    /// The secret holds something else than the fixed key.
    WrongKey,
    /// The secret was stored for another row.
    Swapped,
    /// Somebody who needs the key may not read it.
    AclIncomplete,
    /// Rows of several owners refer to the secret.
    Shared,
    /// A snapshot refers to neither its volume's secret nor one of its own.
    SnapshotElsewhere,
    /// What the row holds is not the ID of a secret.
    Malformed,
    /// The row was named, and is still at zeros.
    AtZeros,
    /// The row was named, and is not there or deleted.
    NoSuchRow,
}

impl Code {
    /// The name in tables, messages and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::WrongKey => "wrong_key",
            Self::Swapped => "swapped",
            Self::AclIncomplete => "acl_incomplete",
            Self::Shared => "shared",
            Self::SnapshotElsewhere => "snapshot_elsewhere",
            Self::Malformed => "malformed",
            Self::AtZeros => "at_zeros",
            Self::NoSuchRow => "no_such_row",
        }
    }
}

/// One thing that is wrong with one row. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `volume`, `snapshot` or `backup`; `None` where nobody knows.
    pub resource: Option<String>,
    /// The row's ID.
    pub resource_id: String,
    /// The host that keeps the row.
    pub host: Option<String>,
    /// What the row holds, where that is a secret's ID.
    pub secret_id: Option<String>,
    /// What is wrong.
    pub code: Code,
    /// The same in words.
    pub message: String,
    /// What helps.
    pub remedy: String,
}

impl Finding {
    /// Something is wrong with this row.
    pub(super) fn of(row: &KeyedRow, code: Code, message: String, remedy: String) -> Self {
        Self {
            resource: Some(row.row.kind.to_string()),
            resource_id: row.row.id.to_string(),
            host: row.host.clone(),
            secret_id: row.key.secret().map(|secret| secret.to_string()),
            code,
            message,
            remedy,
        }
    }

    /// A row that was named is not there.
    #[must_use]
    pub fn no_such_row(id: &str) -> Self {
        Self {
            resource: None,
            resource_id: id.to_owned(),
            host: None,
            secret_id: None,
            code: Code::NoSuchRow,
            message: "no volume, snapshot or backup that is not deleted has this ID".to_owned(),
            remedy: "check the ID, and that [database] connection names the database of its region"
                .to_owned(),
        }
    }

    /// A row that was named is at zeros.
    pub(super) fn at_zeros(row: &KeyedRow) -> Self {
        let message = "it still uses the fixed key".to_owned();
        let remedy = format!("cinder-key-migrator migrate {}", row.row.id);
        Self::of(row, Code::AtZeros, message, remedy)
    }

    pub(super) fn malformed(row: &KeyedRow) -> Self {
        let message =
            "its encryption_key_id is neither all zeros nor the ID of a secret".to_owned();
        let remedy = "find out who wrote it: no program reads a key from it; if the row was \
                      encrypted with the fixed key, set it back to all zeros by hand"
            .to_owned();
        Self::of(row, Code::Malformed, message, remedy)
    }

    pub(super) fn missing(row: &KeyedRow, secret: SecretId) -> Self {
        let message = format!("Barbican knows no secret {secret}, or it has no payload");
        let remedy = "restore it from a backup of Barbican's database; or, if the row was \
                      encrypted with the fixed key, set its encryption_key_id back to all zeros \
                      while fixed_key is configured, and let it be migrated anew"
            .to_owned();
        Self::of(row, Code::Missing, message, remedy)
    }

    pub(super) fn unreadable(row: &KeyedRow, secret: SecretId, why: &str) -> Self {
        let message = format!("secret {secret} cannot be read: {why}");
        let remedy = format!(
            "look for {secret} in the log of the Barbican API, and see who its creator is: \
             openstack secret get SECRET_HREF"
        );
        Self::of(row, Code::Unreadable, message, remedy)
    }

    pub(super) fn wrong_key(row: &KeyedRow, secret: SecretId) -> Self {
        let message = format!("secret {secret} does not hold the fixed key");
        let remedy =
            "compare [key_manager] fixed_key of all hosts: they must be the same; if they \
                      are, the row needs a secret that holds it: keep fixed_key, set the row's \
                      encryption_key_id back to all zeros, and let it be migrated anew"
                .to_owned();
        Self::of(row, Code::WrongKey, message, remedy)
    }

    pub(super) fn swapped(row: &KeyedRow, secret: SecretId, stored_for: &RowRef) -> Self {
        let message = format!("secret {secret} was stored for {stored_for}, not for this row");
        let remedy = format!(
            "see what {stored_for} refers to: when either row is deleted, Cinder deletes the \
             other's key; give each its own secret back, or set both to all zeros while fixed_key \
             is configured, and let them be migrated anew"
        );
        Self::of(row, Code::Swapped, message, remedy)
    }

    pub(super) fn acl_incomplete(row: &KeyedRow, secret: SecretId, missing: &[&UserId]) -> Self {
        let users: Vec<&str> = missing.iter().map(|user| user.as_str()).collect();
        let message = format!(
            "secret {secret} cannot be read by user {}",
            users.join(", ")
        );
        let remedy = format!(
            "cinder-key-migrator verify --mend-acl --execute {}",
            row.row.id
        );
        Self::of(row, Code::AclIncomplete, message, remedy)
    }

    /// Mending it was tried.
    pub(super) fn stays(self, why: &SecretError) -> Self {
        let message = format!("{}, and that was not mended: {why}", self.message);
        Self { message, ..self }
    }

    pub(super) fn shared(row: &KeyedRow, secret: SecretId, with: &str) -> Self {
        let message = format!("secret {secret} is referred to by rows of other owners too: {with}");
        let remedy = "Cinder deletes the secret with the first of them, and the others lose their \
                      key: set all but the row that it was stored for back to all zeros while \
                      fixed_key is configured, and let them be migrated anew"
            .to_owned();
        Self::of(row, Code::Shared, message, remedy)
    }

    pub(super) fn snapshot_elsewhere(row: &KeyedRow, secret: SecretId, holds: &str) -> Self {
        let message = format!("the snapshot refers to secret {secret}, but its volume {holds}");
        let remedy = "set the snapshot's encryption_key_id to that of its volume if both hold the \
                      fixed key (see what is said of the volume)"
            .to_owned();
        Self::of(row, Code::SnapshotElsewhere, message, remedy)
    }
}
