//! Rows of Cinder's database, told in a test's words.
//!
//! A row has what Cinder would give it. Unless a test says otherwise its key is the all-zeros one
//! and it is what most rows are: available, encrypted, last changed long ago.

use jiff::Timestamp;
use uuid::Uuid;

use crate::cloud::User;

/// The key ID of everything that was encrypted with the fixed key.
pub const ZERO_KEY: &str = "00000000-0000-0000-0000-000000000000";

/// When rows were made, unless a test says otherwise.
pub const CREATED_AT: &str = "2026-01-01 00:00:00.000000";

/// When rows were last changed, unless a test says otherwise.
pub const UPDATED_AT: &str = "2026-01-02 03:04:05.000000";

/// Something that can be inserted: one row, with those that belong to it.
pub trait Insert {
    /// The rows, parents first.
    fn records(&self) -> Vec<Record>;
}

/// One row of one table.
#[derive(Clone, Debug)]
pub struct Record {
    pub(crate) table: &'static str,
    pub(crate) values: Vec<(&'static str, Value)>,
}

/// What a column can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// A string, or an instant in Cinder's notation (`2026-01-01 00:00:00.000000`, UTC).
    Text(String),
    /// A number.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// The ID of the volume type `__DEFAULT__`, which every database has its own of.
    DefaultVolumeType,
}

/// Who owns a row.
#[derive(Clone, Debug)]
pub struct Owner {
    user_id: Value,
    project_id: Value,
}

/// A row of `volumes`, with its snapshots.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The volume's ID.
    pub id: Uuid,
    record: Record,
    snapshots: Vec<Snapshot>,
}

/// A row of `snapshots`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The snapshot's ID.
    pub id: Uuid,
    record: Record,
}

/// A row of `backups`.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The backup's ID.
    pub id: Uuid,
    record: Record,
}

/// A row of `services`: a heartbeat of cinder-volume or cinder-backup.
#[derive(Clone, Debug)]
pub struct Service {
    record: Record,
}

/// A row of `volume_types`, with that of `encryption` if it is an encrypted one.
#[derive(Clone, Debug)]
pub struct VolumeType {
    /// The type's ID, for `volume_type_id`.
    pub id: Uuid,
    record: Record,
    encryption: Option<Record>,
}

/// A row of `volume_glance_metadata`: one property of an image, kept beside what was made from it.
#[derive(Clone, Debug)]
pub struct ImageMetadata {
    record: Record,
}

impl Volume {
    /// A volume on a host, as in `host1@lvm#pool`.
    #[must_use]
    pub fn on(host: &str) -> Self {
        let id = Uuid::new_v4();
        let record = Record::new("volumes", id)
            .with("host", host)
            .with("status", "available")
            .with("attach_status", "detached")
            .with("size", 1)
            .with("display_name", "volume")
            .with("availability_zone", "nova")
            .with("bootable", false)
            .with("multiattach", false)
            .with("shared_targets", false)
            .with("use_quota", true)
            .with("volume_type_id", Value::DefaultVolumeType);
        Self {
            id,
            record,
            snapshots: Vec::new(),
        }
        .owned_by("owner")
    }

    /// A volume on a cluster and one of its hosts, as in `cluster1@lvm#pool`.
    #[must_use]
    pub fn on_cluster(cluster_name: &str, host: &str) -> Self {
        Self::on(host).column("cluster_name", cluster_name)
    }

    /// A volume that no host has (`host` is NULL).
    #[must_use]
    pub fn without_host() -> Self {
        Self::on("").column("host", Value::Null)
    }

    /// Sets `migration_status`.
    #[must_use]
    pub fn migration_status(self, migration_status: &str) -> Self {
        self.column("migration_status", migration_status)
    }

    /// Adds snapshots of the same owner, as they are by default.
    #[must_use]
    pub fn with_snapshots(mut self, count: usize) -> Self {
        let snapshots: Vec<_> = (0..count).map(|_| Snapshot::of(&self)).collect();
        self.snapshots.extend(snapshots);
        self
    }

    /// Adds one snapshot; what it is of becomes this volume.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshots.push(snapshot.column("volume_id", self.id));
        self
    }

    /// The IDs of the snapshots that were added.
    #[must_use]
    pub fn snapshot_ids(&self) -> Vec<Uuid> {
        self.snapshots.iter().map(|snapshot| snapshot.id).collect()
    }

    fn owner(&self) -> Owner {
        Owner {
            user_id: self.record.value("user_id").clone(),
            project_id: self.record.value("project_id").clone(),
        }
    }
}

impl Snapshot {
    /// A snapshot of a volume, which owns it too.
    #[must_use]
    pub fn of(volume: &Volume) -> Self {
        Self::of_id(volume.id).owned_by(volume.owner())
    }

    /// A snapshot of the volume with this ID.
    #[must_use]
    pub fn of_id(volume_id: Uuid) -> Self {
        let id = Uuid::new_v4();
        let record = Record::new("snapshots", id)
            .with("volume_id", volume_id)
            .with("status", "available")
            .with("progress", "100%")
            .with("volume_size", 1)
            .with("display_name", "snapshot")
            .with("use_quota", true)
            .with("volume_type_id", Value::DefaultVolumeType);
        Self { id, record }.owned_by("owner")
    }
}

impl Backup {
    /// A backup that a backup host keeps, as in `host1`, of a volume that is not in the database.
    #[must_use]
    pub fn on(host: &str) -> Self {
        let id = Uuid::new_v4();
        let record = Record::new("backups", id)
            .with("volume_id", Uuid::new_v4())
            .with("host", host)
            .with("status", "available")
            .with("size", 1)
            .with("object_count", 1)
            .with("num_dependent_backups", 0)
            .with("display_name", "backup")
            .with("container", "volumebackups")
            .with("service", "cinder.backup.drivers.swift.SwiftBackupDriver");
        Self { id, record }.owned_by("owner")
    }

    /// A backup that no host keeps (`host` is NULL).
    #[must_use]
    pub fn without_host() -> Self {
        Self::on("").column("host", Value::Null)
    }

    /// Says which volume this is a backup of.
    #[must_use]
    pub fn of(self, volume: &Volume) -> Self {
        self.column("volume_id", volume.id)
    }
}

impl Service {
    /// A cinder-volume of `host1@lvm`, whose heartbeat came just now.
    #[must_use]
    pub fn volume(host: &str) -> Self {
        Self::named("cinder-volume", host)
    }

    /// A cinder-backup of `host1`, whose heartbeat came just now.
    #[must_use]
    pub fn backup(host: &str) -> Self {
        Self::named("cinder-backup", host)
    }

    /// Puts the last heartbeat this many seconds into the past.
    #[must_use]
    pub fn last_seen_seconds_ago(self, seconds: i64) -> Self {
        self.column("updated_at", instant_seconds_ago(seconds))
    }

    fn named(binary: &str, host: &str) -> Self {
        let record = Record::rooted("services")
            .with("uuid", Uuid::new_v4())
            .with("host", host)
            .with("binary", binary)
            .with("topic", binary)
            .with("report_count", 1)
            .with("disabled", false)
            .with("availability_zone", "nova");
        Self { record }.last_seen_seconds_ago(0)
    }
}

impl VolumeType {
    /// A type whose volumes are not encrypted.
    #[must_use]
    pub fn plain() -> Self {
        let id = Uuid::new_v4();
        let record = Record::rooted("volume_types")
            .with("id", id)
            .with("name", format!("type-{id}"))
            .with("is_public", true);
        Self {
            id,
            record,
            encryption: None,
        }
    }

    /// A type whose volumes are encrypted.
    #[must_use]
    pub fn encrypted() -> Self {
        let plain = Self::plain();
        let encryption = Record::rooted("encryption")
            .with("encryption_id", Uuid::new_v4())
            .with("volume_type_id", plain.id)
            .with("cipher", "aes-xts-plain64")
            .with("control_location", "front-end")
            .with("key_size", 256)
            .with("provider", "luks");
        Self {
            encryption: Some(encryption),
            ..plain
        }
    }

    /// A type that was an encrypted one: the encryption is deleted.
    #[must_use]
    pub fn formerly_encrypted() -> Self {
        let mut was = Self::encrypted();
        was.encryption = was.encryption.map(|it| it.with("deleted", true));
        was
    }
}

impl ImageMetadata {
    /// A property beside the volume with this ID.
    #[must_use]
    pub fn of_volume(volume_id: Uuid, key: &str, value: &str) -> Self {
        Self::beside("volume_id", volume_id, key, value)
    }

    /// A property beside the snapshot with this ID.
    #[must_use]
    pub fn of_snapshot(snapshot_id: Uuid, key: &str, value: &str) -> Self {
        Self::beside("snapshot_id", snapshot_id, key, value)
    }

    fn beside(column: &'static str, id: Uuid, key: &str, value: &str) -> Self {
        let record = Record::rooted("volume_glance_metadata")
            .with(column, id)
            .with("key", key)
            .with("value", value);
        Self { record }
    }
}

/// What every kind of row can be told.
macro_rules! row_of_cinder {
    ($row:ident) => {
        impl $row {
            /// Sets any column.
            #[must_use]
            pub fn column(mut self, name: &'static str, value: impl Into<Value>) -> Self {
                self.record = self.record.with(name, value);
                self
            }

            /// Marks the row as deleted, as Cinder keeps it until it is purged.
            #[must_use]
            pub fn deleted(self) -> Self {
                self.column("deleted", true)
                    .column("deleted_at", UPDATED_AT)
            }
        }
    };
}

/// What volumes, snapshots and backups can be told.
macro_rules! resource_of_cinder {
    ($row:ident) => {
        impl $row {
            /// Sets `user_id` and `project_id`: a [`User`], or a user ID.
            #[must_use]
            pub fn owned_by(self, owner: impl Into<Owner>) -> Self {
                let owner = owner.into();
                self.column("user_id", owner.user_id)
                    .column("project_id", owner.project_id)
            }

            /// Sets `status`.
            #[must_use]
            pub fn status(self, status: &str) -> Self {
                self.column("status", status)
            }

            /// Chooses the ID, for tests in which the order of rows matters.
            #[must_use]
            pub fn id(mut self, id: Uuid) -> Self {
                self.id = id;
                self.column("id", id)
            }

            /// Sets the key's ID.
            #[must_use]
            pub fn key(self, encryption_key_id: impl Into<Value>) -> Self {
                self.column("encryption_key_id", encryption_key_id)
            }

            /// Makes the row an unencrypted one (its key's ID is NULL).
            #[must_use]
            pub fn without_key(self) -> Self {
                self.key(Value::Null)
            }
        }
    };
}

row_of_cinder!(Volume);
row_of_cinder!(Snapshot);
row_of_cinder!(Backup);
row_of_cinder!(Service);
row_of_cinder!(ImageMetadata);
resource_of_cinder!(Volume);
resource_of_cinder!(Snapshot);
resource_of_cinder!(Backup);

impl Insert for Volume {
    fn records(&self) -> Vec<Record> {
        let snapshots = self
            .snapshots
            .iter()
            .map(|snapshot| snapshot.record.clone().with("volume_id", self.id));
        std::iter::once(self.record.clone())
            .chain(snapshots)
            .collect()
    }
}

impl Insert for Snapshot {
    fn records(&self) -> Vec<Record> {
        vec![self.record.clone()]
    }
}

impl Insert for Backup {
    fn records(&self) -> Vec<Record> {
        vec![self.record.clone()]
    }
}

impl Insert for Service {
    fn records(&self) -> Vec<Record> {
        vec![self.record.clone()]
    }
}

impl Insert for VolumeType {
    fn records(&self) -> Vec<Record> {
        let encryption = self.encryption.iter().cloned();
        std::iter::once(self.record.clone())
            .chain(encryption)
            .collect()
    }
}

impl Insert for ImageMetadata {
    fn records(&self) -> Vec<Record> {
        vec![self.record.clone()]
    }
}

impl<T: Insert> Insert for [T] {
    fn records(&self) -> Vec<Record> {
        self.iter().flat_map(Insert::records).collect()
    }
}

impl<T: Insert> Insert for Vec<T> {
    fn records(&self) -> Vec<Record> {
        self.as_slice().records()
    }
}

impl<T: Insert, const N: usize> Insert for [T; N] {
    fn records(&self) -> Vec<Record> {
        self.as_slice().records()
    }
}

impl Record {
    fn new(table: &'static str, id: Uuid) -> Self {
        Self::rooted(table)
            .with("id", id)
            .with("encryption_key_id", ZERO_KEY)
    }

    fn rooted(table: &'static str) -> Self {
        Self {
            table,
            values: Vec::new(),
        }
        .with("created_at", CREATED_AT)
        .with("updated_at", UPDATED_AT)
        .with("deleted", false)
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.retain(|(existing, _)| *existing != name);
        self.values.push((name, value.into()));
        self
    }

    fn value(&self, name: &str) -> &Value {
        self.values
            .iter()
            .find(|(existing, _)| *existing == name)
            .map_or(&Value::Null, |(_, value)| value)
    }
}

impl From<&User> for Owner {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.user_id.as_str().into(),
            project_id: user.project_id.as_str().into(),
        }
    }
}

impl From<&str> for Owner {
    fn from(user_id: &str) -> Self {
        Self {
            user_id: user_id.into(),
            project_id: "project".into(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Text(id.to_string())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

/// An instant in Cinder's notation, relative to this machine's clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "heartbeats are compared with the real clock by the program under test"
)]
pub fn instant_seconds_ago(seconds: i64) -> String {
    let now = Timestamp::now().as_second();
    let then = Timestamp::from_second(now - seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    then.strftime("%Y-%m-%d %H:%M:%S.000000").to_string()
}
