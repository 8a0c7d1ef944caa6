//! The closed list of what can stand in the way, and how it is named and told.

use serde::{Deserialize, Serialize};

/// Everything that can stand in the way, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Volumes at zeros on any host.
    Volumes,
    /// Snapshots at zeros on any host.
    Snapshots,
    /// Backups at zeros on any host.
    Backups,
    /// Of these, rows that no service that is up owns.
    UnownedRows,
    /// Backups whose row has no key because they are older than the column, of volumes that were
    /// or may have been encrypted.
    OldBackups,
    /// Glance images whose `cinder_encryption_key_id` is all zeros.
    Images,
    /// Copies of image properties in `volume_glance_metadata`.
    VolumeImageMetadata,
    /// Nova's `instances.ephemeral_key_uuid`.
    EphemeralDisks,
    /// The configuration of every node: a key that differs, a service still on ConfKeyManager.
    Configuration,
    /// The payload behind every migrated row, read again and compared.
    Payloads,
    /// Exported backup records.
    BackupRecords,
    /// Dumps of Cinder's database.
    DatabaseDumps,
    /// Other regions that share the key.
    OtherRegions,
    /// A tested backup of Barbican's database and of its master key.
    BarbicanBackup,
}

impl Item {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::Volumes,
        Self::Snapshots,
        Self::Backups,
        Self::UnownedRows,
        Self::OldBackups,
        Self::Images,
        Self::VolumeImageMetadata,
        Self::EphemeralDisks,
        Self::Configuration,
        Self::Payloads,
        Self::BackupRecords,
        Self::DatabaseDumps,
        Self::OtherRegions,
        Self::BarbicanBackup,
    ];

    /// The name in files, JSON and `--attest`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Snapshots => "snapshots",
            Self::Backups => "backups",
            Self::UnownedRows => "unowned_rows",
            Self::OldBackups => "old_backups",
            Self::Images => "images",
            Self::VolumeImageMetadata => "volume_image_metadata",
            Self::EphemeralDisks => "ephemeral_disks",
            Self::Configuration => "configuration",
            Self::Payloads => "payloads",
            Self::BackupRecords => "backup_records",
            Self::DatabaseDumps => "database_dumps",
            Self::OtherRegions => "other_regions",
            Self::BarbicanBackup => "barbican_backup",
        }
    }

    /// The item of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.as_str() == name)
    }

    /// Whether a person may answer for it: what only people know, and what this program may have
    /// no way to look at. Rows and payloads are always there to be looked at.
    #[must_use]
    pub fn may_be_attested(self) -> bool {
        match self {
            Self::Volumes
            | Self::Snapshots
            | Self::Backups
            | Self::UnownedRows
            | Self::VolumeImageMetadata
            | Self::Payloads => false,
            Self::OldBackups
            | Self::Images
            | Self::EphemeralDisks
            | Self::Configuration
            | Self::BackupRecords
            | Self::DatabaseDumps
            | Self::OtherRegions
            | Self::BarbicanBackup => true,
        }
    }

    /// The codes of every blocker there is, each once.
    #[must_use]
    pub fn codes() -> Vec<&'static str> {
        let all = Self::ALL
            .into_iter()
            .flat_map(|item| [item.blocking(), item.unknown()]);
        let mut codes = Vec::new();
        for code in all {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// Whether nobody but a person can answer for it.
    #[must_use]
    pub fn is_for_people_only(self) -> bool {
        matches!(
            self,
            Self::BackupRecords | Self::DatabaseDumps | Self::OtherRegions | Self::BarbicanBackup
        )
    }

    /// What an attestation of it says.
    #[must_use]
    pub fn statement(self) -> &'static str {
        match self {
            Self::OldBackups => {
                "no backup from before its key was recorded needs the fixed key, or none is needed"
            }
            Self::Images => "no Glance image has an all-zeros cinder_encryption_key_id",
            Self::EphemeralDisks => "no instance of Nova has an all-zeros ephemeral_key_uuid",
            Self::Configuration => {
                "every node has the same fixed key, and none is on ConfKeyManager any more"
            }
            Self::BackupRecords => {
                "no exported backup record with an all-zeros key will be imported again"
            }
            Self::DatabaseDumps => "no dump of Cinder's database from before will be restored",
            Self::OtherRegions => "no other region or cloud uses this fixed key",
            Self::BarbicanBackup => {
                "a backup of Barbican's database and master key exists, and restoring it was tested"
            }
            Self::Volumes
            | Self::Snapshots
            | Self::Backups
            | Self::UnownedRows
            | Self::VolumeImageMetadata
            | Self::Payloads => "this is looked at, not attested",
        }
    }

    /// The blocker's code where something was found.
    pub(super) fn blocking(self) -> &'static str {
        match self {
            Self::Volumes => "volumes_remaining",
            Self::Snapshots => "snapshots_remaining",
            Self::Backups => "backups_remaining",
            Self::UnownedRows => "unowned_rows",
            Self::OldBackups => "old_backups_on_fixed_key",
            Self::Images => "images_on_fixed_key",
            Self::VolumeImageMetadata => "volume_image_metadata_on_fixed_key",
            Self::EphemeralDisks => "ephemeral_disks_on_fixed_key",
            Self::Configuration => "configuration_differs",
            Self::Payloads => "payloads_wrong",
            Self::BackupRecords => "backup_records_on_fixed_key",
            Self::DatabaseDumps => "database_dumps_on_fixed_key",
            Self::OtherRegions => "other_regions_on_fixed_key",
            Self::BarbicanBackup => "barbican_backup_missing",
        }
    }

    /// The blocker's code where nobody has looked, or looking gave no answer.
    pub(super) fn unknown(self) -> &'static str {
        match self {
            Self::Volumes | Self::Snapshots | Self::Backups | Self::UnownedRows => {
                "rows_not_counted"
            }
            Self::OldBackups => "old_backups_not_examined",
            Self::Images => "images_not_examined",
            Self::VolumeImageMetadata => "volume_image_metadata_not_examined",
            Self::EphemeralDisks => "ephemeral_disks_not_examined",
            Self::Configuration => "configuration_not_examined",
            Self::Payloads => "payloads_not_verified",
            Self::BackupRecords => "backup_records_not_attested",
            Self::DatabaseDumps => "database_dumps_not_attested",
            Self::OtherRegions => "other_regions_not_attested",
            Self::BarbicanBackup => "barbican_backup_not_attested",
        }
    }

    /// What it is that nobody has looked at, and how to.
    pub(super) fn not_looked_at(self) -> &'static str {
        match self {
            Self::Volumes | Self::Snapshots | Self::Backups | Self::UnownedRows => {
                "the rows at zeros were not counted yet"
            }
            Self::OldBackups => {
                "backups from before their key was recorded: their stored metadata was not read \
                 (`fixed-key audit`)"
            }
            Self::Images => {
                "Glance images whose cinder_encryption_key_id is all zeros were not looked for \
                 (`fixed-key audit`)"
            }
            Self::VolumeImageMetadata => {
                "volume_glance_metadata was not searched for all zeros (`fixed-key audit`)"
            }
            Self::EphemeralDisks => {
                "Nova's ephemeral_key_uuid was not searched for all zeros \
                 (`fixed-key audit --nova-config-file`)"
            }
            Self::Configuration => {
                "the configuration of other nodes was not compared with this one \
                 (`fixed-key audit --config-tree`)"
            }
            Self::Payloads => {
                "the migrated secrets of all hosts were not read again and compared \
                 (`verify --all-hosts`)"
            }
            Self::BackupRecords
            | Self::DatabaseDumps
            | Self::OtherRegions
            | Self::BarbicanBackup => "only people know this (`fixed-key audit --attest`)",
        }
    }
}
