//! What the domain knows of a row: whose it is, what it holds, and whether it may be touched now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::host_rows::HostRows;
use crate::ids::{ALL_ZEROS, ResourceKind, RowId, RowRef, SecretId, Service, UserId};

/// The rows that one service of this host owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Volumes of these backends.
    Volumes(Vec<Backend>),
    /// Backups whose `host` is exactly one of these.
    Backups(Vec<String>),
    /// These rows, wherever they are, as the operator named them.
    Named(Service, Vec<RowId>),
}

impl Scope {
    /// The names that status shows under `owned`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Backups(hosts) => hosts.clone(),
            Self::Named(_, rows) => rows.iter().map(ToString::to_string).collect(),
            Self::Volumes(backends) => backends
                .iter()
                .flat_map(|backend| backend.cluster.iter().chain([&backend.host]).cloned())
                .collect(),
        }
    }

    /// Whether a row of this service at this place belongs to it.
    #[must_use]
    pub fn owns(&self, id: &RowId, host: Option<&str>, cluster: Option<&str>) -> bool {
        let is = |value: Option<&str>, name: &str| {
            value
                .and_then(|value| value.strip_prefix(name))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
        };
        match self {
            Self::Named(_, rows) => rows.contains(id),
            Self::Backups(hosts) => hosts.iter().any(|own| host == Some(own)),
            Self::Volumes(backends) => backends.iter().any(|backend| match &backend.cluster {
                Some(own) => is(cluster, own) || cluster.is_none() && is(host, &backend.host),
                None => is(host, &backend.host),
            }),
        }
    }

    /// The service that migrates these rows.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Volumes(_) => Service::Volume,
            Self::Backups(_) => Service::Backup,
            Self::Named(service, _) => *service,
        }
    }
}

/// One backend of the volume service, as cinder/cmd/volume.py names it.
///
/// A volume belongs to it if its `cluster_name` is `cluster` or begins with `cluster#`; or if
/// `cluster_name` is NULL or the backend is not clustered, and its `host` is `host` or begins with
/// `host#`. Compared byte for byte; `_` and `%` are ordinary characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `host@backend`
    pub host: String,
    /// `cluster@backend`, where the service is clustered.
    pub cluster: Option<String>,
}

/// What a row's `encryption_key_id` holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowKey {
    /// NULL: not encrypted, or (backups before Queens) not recorded.
    Null,
    /// ConfKeyManager's all-zeros ID.
    AllZeros,
    /// Any other text: somebody's key, not ours to overwrite.
    Other(String),
}

impl RowKey {
    /// Reads the column.
    #[must_use]
    pub fn from_column(value: Option<String>) -> Self {
        match value {
            None => Self::Null,
            Some(key) if key == ALL_ZEROS => Self::AllZeros,
            Some(key) => Self::Other(key),
        }
    }

    /// The secret that the row refers to, where it holds a secret's UUID.
    #[must_use]
    pub fn secret(&self) -> Option<SecretId> {
        match self {
            Self::Other(key) => key.parse().ok(),
            Self::Null | Self::AllZeros => None,
        }
    }

    /// Whether the row refers to this secret.
    #[must_use]
    pub fn is(&self, secret: SecretId) -> bool {
        self.secret() == Some(secret)
    }
}

/// The columns that tell whether Cinder is in the middle of something with a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowStatus {
    /// `status`
    pub status: Option<String>,
    /// `migration_status`, volumes only.
    pub migration_status: Option<String>,
}

/// A volume's `status` while Cinder may be reading or about to write its key.
pub const TRANSITIONAL_VOLUME: &[&str] = &[
    "creating",
    "deleting",
    "unmanaging",
    "downloading",
    "retyping",
    "restoring-backup",
    "reverting",
    "maintenance",
];

/// A volume's `migration_status` values, besides NULL, that let it be migrated; every other one
/// means that a volume migration is under way.
pub const SETTLED_MIGRATION: &[&str] = &["", "success", "error", "deleting"];

/// A backup's `status` while Cinder may be reading or about to write its key.
pub const TRANSITIONAL_BACKUP: &[&str] = &["creating", "restoring", "deleting"];

impl RowStatus {
    /// What Cinder is in the middle of, in words for the operator, or `None` where the row may be
    /// migrated. In-use and error states may be.
    #[must_use]
    pub fn transitional(&self, kind: ResourceKind) -> Option<String> {
        let busy: &[&str] = match kind {
            ResourceKind::Volume => TRANSITIONAL_VOLUME,
            ResourceKind::Backup => TRANSITIONAL_BACKUP,
            ResourceKind::Snapshot => &[],
        };
        if let Some(status) = self
            .status
            .as_deref()
            .filter(|status| busy.contains(status))
        {
            return Some(format!("status '{status}'"));
        }
        self.migration_status
            .as_deref()
            .filter(|status| kind == ResourceKind::Volume && !SETTLED_MIGRATION.contains(status))
            .map(|status| format!("migration_status '{status}'"))
    }
}

/// A row as the scan meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedRow {
    /// The row.
    pub id: RowId,
    /// Whether Cinder is at work on it.
    pub status: RowStatus,
}

/// A row read afresh, just before something is done for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FreshRow {
    /// What it holds now.
    pub key: RowKey,
    /// Whether Cinder is at work on it.
    pub status: RowStatus,
    /// `user_id`, which Cinder allows to be NULL.
    pub user_id: Option<UserId>,
    /// The users of the row's snapshots and backups that are not deleted (a volume's only).
    pub dependent_users: BTreeSet<UserId>,
    /// A snapshot's volume, if it is there and not deleted.
    pub volume: Option<Box<FreshVolume>>,
}

/// The volume of a snapshot, read with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FreshVolume {
    /// `snapshots.volume_id`
    pub id: RowId,
    /// What it holds now.
    pub key: RowKey,
    /// Its `user_id`.
    pub user_id: Option<UserId>,
}

/// A row as `orphans` judges it: deleted ones are seen, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// What it holds.
    pub key: RowKey,
    /// How long ago it was deleted, by the database's clock; `None` where it is not. A deleted row
    /// without `deleted_at` counts as deleted just now.
    pub deleted_for: Option<Duration>,
}

/// A volume whose key others than its own user need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRow {
    /// The volume.
    pub id: RowId,
    /// What it holds.
    pub key: RowKey,
    /// Its own user and those of its snapshots and backups.
    pub users: BTreeSet<UserId>,
}

/// The users who may read a secret: its ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Readers(BTreeSet<UserId>);

impl Readers {
    /// The readers of a row's secret: its user, the users of what depends on it, a snapshot's
    /// volume's user, and the ones the operator adds to every secret.
    #[must_use]
    pub fn of(row: &FreshRow, extra: &[UserId]) -> Self {
        let of_volume = row
            .volume
            .iter()
            .filter_map(|volume| volume.user_id.as_ref());
        let own = row.user_id.iter().chain(&row.dependent_users);
        Self(own.chain(of_volume).chain(extra).cloned().collect())
    }

    /// Whether nobody could read it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this user may read it.
    #[must_use]
    pub fn contains(&self, user: &UserId) -> bool {
        self.0.contains(user)
    }

    /// The users, in order.
    pub fn iter(&self) -> impl Iterator<Item = &UserId> {
        self.0.iter()
    }
}

impl FromIterator<UserId> for Readers {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        Self(users.into_iter().collect())
    }
}

/// The one change that is ever made to Cinder's tables: a row, and with a volume its snapshots,
/// leaves all zeros for a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Swap {
    /// The row.
    pub row: RowRef,
    /// The secret that it is to refer to, read back equal and with its ACL set.
    pub secret: SecretId,
    /// `user_id` as it was when the ACL was made.
    pub user_id: Option<UserId>,
    /// Who the ACL lets read.
    pub readers: Readers,
    /// For a snapshot that takes its volume's secret: the volume that must still refer to it.
    pub shared_with: Option<RowId>,
}

/// What a swap did. Only [`SwapOutcome::Switched`] changed anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SwapOutcome {
    /// The row and this many snapshots refer to the secret now.
    Switched {
        /// Zero snapshots that moved with their volume.
        snapshots: u64,
    },
    /// The row refers to this very secret already: an earlier try had succeeded unheard.
    AlreadyHolds,
    /// Somebody else gave the row another key, or took the key away.
    Lost,
    /// The row is deleted or gone.
    Gone,
    /// The row holds zeros still, but Cinder is at work on it.
    Transitional(String),
    /// The row holds zeros still, but its `user_id` changed, or a snapshot belongs to a user who
    /// is not among the readers.
    ReadersChanged,
    /// The snapshot holds zeros still, but its volume refers to another secret by now.
    VolumeChanged,
}

/// All rows at zeros in the whole database, whoever owns them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// `volumes` at zeros, not deleted.
    pub volumes: u64,
    /// `snapshots` at zeros, not deleted.
    pub snapshots: u64,
    /// `backups` at zeros, not deleted.
    pub backups: u64,
    /// Of the volumes, those whose host and cluster belong to no service that is up.
    pub unowned_volumes: u64,
    /// Of the backups, those whose host has no backup service that is up.
    pub unowned_backups: u64,
    /// Hosts with a volume or backup service that is up: as many daemons may be counting.
    pub hosts: u64,
    /// Where the volumes and backups are.
    pub by_host: Arc<[HostRows]>,
}

impl Census {
    /// Whether as many rows are left, whatever services are up and wherever the rows are.
    #[must_use]
    pub fn counts_the_same(&self, other: &Self) -> bool {
        let counts = |it: &Self| {
            let unowned = (it.unowned_volumes, it.unowned_backups);
            (it.volumes, it.snapshots, it.backups, unowned)
        };
        counts(self) == counts(other)
    }

    /// Whether nothing at all is left at zeros.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.volumes == 0 && self.snapshots == 0 && self.backups == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(status: &str, migration_status: Option<&str>) -> RowStatus {
        RowStatus {
            status: Some(status.into()),
            migration_status: migration_status.map(Into::into),
        }
    }

    #[test]
    fn a_volume_may_be_migrated_in_use_or_in_error_but_not_while_cinder_changes_it() {
        for status in [
            "available",
            "in-use",
            "error",
            "error_deleting",
            "awaiting-transfer",
        ] {
            assert_eq!(
                volume(status, None).transitional(ResourceKind::Volume),
                None,
                "{status}"
            );
        }
        for status in TRANSITIONAL_VOLUME {
            let told = volume(status, None).transitional(ResourceKind::Volume);
            assert_eq!(told, Some(format!("status '{status}'")));
        }
    }

    #[test]
    fn a_volume_under_migration_waits_and_a_settled_one_does_not() {
        for settled in ["", "success", "error", "deleting"] {
            let row = volume("available", Some(settled));
            assert_eq!(row.transitional(ResourceKind::Volume), None, "{settled}");
        }
        for moving in ["migrating", "completing", "starting", "target:5f"] {
            let told = volume("available", Some(moving)).transitional(ResourceKind::Volume);
            assert_eq!(told, Some(format!("migration_status '{moving}'")));
        }
    }

    #[test]
    fn a_row_is_owned_by_its_backend_or_cluster_with_or_without_a_pool() {
        let backend = |cluster: Option<&str>| Backend {
            host: "h@b".into(),
            cluster: cluster.map(Into::into),
        };
        let owns = |scope: &Scope, host, cluster| scope.owns(&"v".into(), host, cluster);
        let alone = Scope::Volumes(vec![backend(None)]);
        assert!(owns(&alone, Some("h@b"), None) && owns(&alone, Some("h@b#p"), Some("c@b")));
        for host in [None, Some("h"), Some("h@b2"), Some("H@b"), Some("h@bp#")] {
            assert!(!owns(&alone, host, None), "{host:?}");
        }
        let clustered = Scope::Volumes(vec![backend(Some("c@b"))]);
        assert!(owns(&clustered, Some("elsewhere"), Some("c@b#p")));
        assert!(owns(&clustered, Some("h@b"), None));
        assert!(!owns(&clustered, Some("h@b"), Some("other@b")));
        let backups = Scope::Backups(vec!["h".into()]);
        assert!(owns(&backups, Some("h"), None) && !owns(&backups, Some("h#p"), None));
        let named = Scope::Named(Service::Volume, vec!["v".into()]);
        assert!(owns(&named, None, None) && !named.owns(&"w".into(), None, None));
    }

    #[test]
    fn a_backup_waits_only_while_it_is_made_restored_or_deleted() {
        for status in TRANSITIONAL_BACKUP {
            assert!(
                volume(status, None)
                    .transitional(ResourceKind::Backup)
                    .is_some()
            );
        }
        assert_eq!(
            volume("available", None).transitional(ResourceKind::Backup),
            None
        );
        assert_eq!(
            volume("maintenance", None).transitional(ResourceKind::Backup),
            None
        );
    }

    #[test]
    fn a_row_key_is_a_secret_only_if_the_uuids_agree() {
        let secret: SecretId = "8C2F9A24-4AC8-4AD5-A2A0-2A4A8F6F9D10"
            .parse()
            .expect("a UUID");
        assert!(RowKey::from_column(Some(secret.to_string())).is(secret));
        assert!(!RowKey::from_column(Some(ALL_ZEROS.into())).is(secret));
        assert!(!RowKey::from_column(Some("not a UUID".into())).is(secret));
        assert!(!RowKey::Null.is(secret));
    }
}
