//! The identifiers that appear in Cinder's tables and in Barbican, each a type of its own so that
//! none can stand in for another.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

/// What `encryption_key_id` holds where ConfKeyManager's fixed key is in use
/// (cinder/keymgr/conf_key_mgr.py, `fixed_key_id`).
pub const ALL_ZEROS: &str = "00000000-0000-0000-0000-000000000000";

/// What stands at the beginning of every secret's name that we store.
pub const NAME_PREFIX: &str = "cinder-key-migrator:v1:";

/// The services of a Cinder host that this program stands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// cinder-volume: volumes and their snapshots.
    Volume,
    /// cinder-backup: backups.
    Backup,
}

impl Service {
    /// The kind of row that this service walks.
    #[must_use]
    pub fn kind(self) -> ResourceKind {
        match self {
            Self::Volume => ResourceKind::Volume,
            Self::Backup => ResourceKind::Backup,
        }
    }

    /// All kinds of row that it migrates, in this order: snapshots move with their volume, but for
    /// those whose volume has moved before.
    #[must_use]
    pub fn kinds(self) -> &'static [ResourceKind] {
        match self {
            Self::Volume => &[ResourceKind::Volume, ResourceKind::Snapshot],
            Self::Backup => &[ResourceKind::Backup],
        }
    }

    /// `volume` or `backup`, as in options, metrics and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The three tables of Cinder that carry an `encryption_key_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// `volumes`
    Volume,
    /// `snapshots`
    Snapshot,
    /// `backups`
    Backup,
}

impl ResourceKind {
    /// `volume`, `snapshot` or `backup`, as in secret names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `id` of a row, as Cinder wrote it. A UUID on any healthy row, but nothing relies on that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RowId(Box<str>);

impl RowId {
    /// The text as it stands in the table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Into<Box<str>>> From<S> for RowId {
    fn from(id: S) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One row of one table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowRef {
    /// The table.
    pub kind: ResourceKind,
    /// The row in it.
    pub id: RowId,
}

impl fmt::Display for RowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// A secret's UUID in Barbican, the last part of its `secret_ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(Uuid);

impl SecretId {
    /// Takes the UUID; `None` for the nil UUID, which is what marks a row that has no secret.
    #[must_use]
    pub fn new(id: Uuid) -> Option<Self> {
        (!id.is_nil()).then_some(Self(id))
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The text is not the UUID of a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the UUID of a secret")]
pub struct NotASecretId;

impl FromStr for SecretId {
    type Err = NotASecretId;

    fn from_str(text: &str) -> Result<Self, NotASecretId> {
        Uuid::try_parse(text)
            .ok()
            .and_then(Self::new)
            .ok_or(NotASecretId)
    }
}

/// A Keystone user ID as it stands in `user_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(Box<str>);

impl UserId {
    /// The text as it stands in the table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Into<Box<str>>> From<S> for UserId {
    fn from(id: S) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name under which a row's secret is stored: `cinder-key-migrator:v1:<kind>:<row id>`.
/// Barbican does not keep names unique; ours says which row a secret was stored for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The name for this row.
    #[must_use]
    pub fn of(row: &RowRef) -> Self {
        Self(format!("{NAME_PREFIX}{}:{}", row.kind, row.id))
    }

    /// The row that a name stands for, or `None` where the name is none of ours.
    #[must_use]
    pub fn row(name: &str) -> Option<RowRef> {
        let (kind, id) = name.strip_prefix(NAME_PREFIX)?.split_once(':')?;
        let kind = match kind {
            "volume" => ResourceKind::Volume,
            "snapshot" => ResourceKind::Snapshot,
            "backup" => ResourceKind::Backup,
            _ => return None,
        };
        (!id.is_empty()).then(|| RowRef {
            kind,
            id: id.into(),
        })
    }

    /// The text as Barbican stores it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The request ID under which all requests for one key travel: `req-<UUID>`, sent as
/// `X-Openstack-Request-Id`, which oslo.middleware accepts in this form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A request ID made from 16 bytes of the caller's randomness.
    #[must_use]
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// A new random one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// A number from 0 to 1 that is the same for one request and random among many.
    pub(crate) fn fraction(self) -> f64 {
        let last = u16::from_be_bytes([self.0.as_bytes()[14], self.0.as_bytes()[15]]);
        f64::from(last) / f64::from(u16::MAX)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req-{}", self.0.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_name_tells_the_row_it_was_stored_for() {
        let row = RowRef {
            kind: ResourceKind::Backup,
            id: "7b".into(),
        };
        let name = SecretName::of(&row);
        assert_eq!(name.as_str(), "cinder-key-migrator:v1:backup:7b");
        assert_eq!(SecretName::row(name.as_str()), Some(row));
    }

    #[test]
    fn names_of_others_stand_for_no_row() {
        for name in [
            "",
            "7b",
            "cinder-key-migrator:v1:",
            "cinder-key-migrator:v1:volume:",
        ] {
            assert_eq!(SecretName::row(name), None, "{name}");
        }
        assert_eq!(SecretName::row("cinder-key-migrator:v1:image:7b"), None);
        assert_eq!(SecretName::row("cinder-key-migrator:v2:volume:7b"), None);
    }

    #[test]
    fn all_zeros_is_never_a_secret() {
        assert!(ALL_ZEROS.parse::<SecretId>().is_err());
        assert!(
            "8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d10"
                .parse::<SecretId>()
                .is_ok()
        );
    }
}
