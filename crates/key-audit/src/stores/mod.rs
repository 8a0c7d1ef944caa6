//! Where Cinder's backup drivers keep backups, read for one thing: which key a backup was made
//! with. Nothing is written, made or listed.
//!
//! The chunked drivers (POSIX, NFS, GlusterFS, Swift, S3, GCS) end a backup with an object in JSON
//! whose name is `service_metadata` and `_metadata`; in its `volume_meta` is the volume's row at
//! that time (cinder/backup/chunkeddriver.py, cinder/backup/driver.py).

mod config;
mod metadata;
mod operators;
mod swift;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cinder_db::audit::OldBackup;
use futures_util::TryStreamExt as _;
use opendal::{ErrorKind, Operator};
use openstack_client::{ConfigError, KeystoneSession};

pub use self::config::{
    GcsConfig, S3Config, StoreConfig, SwiftAccount, SwiftConfig, SwiftUser, Tls, share_mount_point,
};
use self::metadata::stored_key;
use self::operators::{Operators, Place};
use self::swift::Swift;

/// The longest metadata object that is read, in bytes: it lists every chunk of the backup.
const LONGEST_OBJECT: usize = 64 * 1024 * 1024;
/// A store that failed so often in a row is not asked again.
const PATIENCE: u32 = 5;

/// The stores that cinder.conf leads to.
pub struct Stores {
    operators: Operators,
    swift: Swift,
    /// How often in a row each store gave no answer.
    failures: Mutex<HashMap<Driver, u32>>,
}

/// The key that a backup was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredKey {
    /// All zeros: the fixed key.
    Zeros,
    /// Another one, or none.
    Other,
}

/// What keeps backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Driver {
    /// A directory of the host.
    Posix,
    /// A directory that is mounted from an NFS server.
    Nfs,
    /// A directory that is mounted from GlusterFS.
    Glusterfs,
    /// Swift.
    Swift,
    /// S3, or what speaks as it does.
    S3,
    /// Google Cloud Storage.
    Gcs,
}

/// Why it cannot be told which key a backup was made with. A closed list, so that they can be
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unreadable {
    /// Ceph keeps it where only librados reads it.
    Ceph,
    /// A driver that is not known here, or none.
    UnknownDriver,
    /// The row does not say where the backup is.
    NoPlace,
    /// The option that leads to the store is not set.
    NotConfigured(Driver, &'static str),
    /// Swift's authentication is of a kind that is not spoken here.
    UnknownLogin(&'static str),
    /// The object is not there.
    Missing(Driver),
    /// The store does not let us read it.
    Refused(Driver),
    /// The store gives no answer.
    Unanswered(Driver),
    /// The object is not what the driver writes.
    Malformed(Driver),
}

impl Stores {
    /// Prepares them. Nothing is sent or opened yet.
    ///
    /// # Errors
    /// Certificates cannot be used; names the option and the file.
    pub fn new(config: StoreConfig, session: Arc<KeystoneSession>) -> Result<Self, ConfigError> {
        Ok(Self {
            swift: Swift::new(config.swift.clone(), session)?,
            operators: Operators::new(config)?,
            failures: Mutex::default(),
        })
    }

    /// Reads which key this backup was made with.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub async fn key_of(&self, backup: &OldBackup) -> Result<StoredKey, Unreadable> {
        let driver = Driver::named(backup.service.as_deref().unwrap_or_default())?;
        if self
            .failures()
            .get(&driver)
            .is_some_and(|count| *count >= PATIENCE)
        {
            return Err(Unreadable::Unanswered(driver));
        }
        let read = self.read(driver, backup).await;
        let mut failures = self.failures();
        match &read {
            Err(Unreadable::Unanswered(_)) => *failures.entry(driver).or_default() += 1,
            _ => drop(failures.remove(&driver)),
        }
        read
    }

    async fn read(&self, driver: Driver, backup: &OldBackup) -> Result<StoredKey, Unreadable> {
        let prefix = backup
            .service_metadata
            .as_deref()
            .filter(|it| !it.is_empty());
        let container = backup.container.as_deref().filter(|it| !it.is_empty());
        let (Some(prefix), Some(container)) = (prefix, container) else {
            return Err(Unreadable::NoPlace);
        };
        let object = format!("{prefix}_metadata");
        let Place { operator, path } = match driver {
            Driver::Swift => {
                let project = backup.project_id.as_deref();
                let transport = self.operators.swift_transport();
                let operator = self.swift.operator(container, project, transport).await?;
                Place {
                    operator,
                    path: object,
                }
            }
            _ => self.operators.place(driver, container, &object)?,
        };
        let text = object_of(&operator, &path).await;
        let text = text.map_err(|error| unreadable(driver, &error))?;
        let text = text.ok_or(Unreadable::Malformed(driver))?;
        stored_key(&text).ok_or(Unreadable::Malformed(driver))
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<Driver, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole object, or `None` where it is too long to be metadata.
async fn object_of(operator: &Operator, path: &str) -> opendal::Result<Option<Vec<u8>>> {
    let broken = |error| opendal::Error::new(ErrorKind::Unexpected, "reading").set_source(error);
    let reader = operator.reader(path).await?;
    let mut pieces = reader.into_bytes_stream(..).await?;
    let mut whole = Vec::new();
    loop {
        let piece = match pieces.try_next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(Some(whole)),
            Err(error) => {
                return Err(match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        opendal::Error::new(ErrorKind::NotFound, "reading")
                    }
                    std::io::ErrorKind::PermissionDenied => {
                        opendal::Error::new(ErrorKind::PermissionDenied, "reading")
                    }
                    _ => broken(error),
                });
            }
        };
        if whole.len() + piece.len() > LONGEST_OBJECT {
            return Ok(None);
        }
        whole.extend_from_slice(&piece);
    }
}

/// The store's own text is left out but for the log: it may name accounts.
fn unreadable(driver: Driver, error: &opendal::Error) -> Unreadable {
    tracing::debug!(
        "{driver} does not give a backup's metadata: {}",
        error.kind()
    );
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            Unreadable::Missing(driver)
        }
        ErrorKind::PermissionDenied => Unreadable::Refused(driver),
        _ => Unreadable::Unanswered(driver),
    }
}

impl Driver {
    /// By the module's name in `backups.service`, which until Rocky stood there alone
    /// (`cinder.backup.drivers.swift`), and `google` for GCS.
    fn named(service: &str) -> Result<Self, Unreadable> {
        let module = service.strip_prefix("cinder.backup.drivers.");
        let module = module.and_then(|rest| rest.split('.').next());
        match module.unwrap_or_default() {
            "posix" => Ok(Self::Posix),
            "nfs" => Ok(Self::Nfs),
            "glusterfs" => Ok(Self::Glusterfs),
            "swift" => Ok(Self::Swift),
            "s3" => Ok(Self::S3),
            "gcs" | "google" => Ok(Self::Gcs),
            "ceph" => Err(Unreadable::Ceph),
            _ => Err(Unreadable::UnknownDriver),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Posix => "the directory in backup_posix_path",
            Self::Nfs => "the NFS share in backup_share",
            Self::Glusterfs => "the GlusterFS share in glusterfs_backup_share",
            Self::Swift => "Swift",
            Self::S3 => "S3",
            Self::Gcs => "GCS",
        })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ceph => f.write_str("Ceph's metadata cannot be read by this program"),
            Self::UnknownDriver => f.write_str("their backup driver is not known to this program"),
            Self::NoPlace => f.write_str("their rows do not say where they are"),
            Self::NotConfigured(_, option) => {
                write!(f, "[DEFAULT] {option} is not set on this host")
            }
            Self::UnknownLogin(problem) => f.write_str(problem),
            Self::Missing(driver) => {
                write!(
                    f,
                    "{driver}, as seen from this host, has no metadata of them"
                )
            }
            Self::Refused(Driver::Swift) => f.write_str(
                "Swift does not let Cinder's user read them (it needs the role ResellerAdmin to \
                 read the accounts of other projects)",
            ),
            Self::Refused(driver) => write!(f, "{driver} does not let this user read them"),
            Self::Unanswered(driver) => write!(f, "{driver} gives no answer"),
            Self::Malformed(driver) => {
                write!(f, "their metadata in {driver} is not what Cinder writes")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_known_by_its_module_in_old_and_new_rows() {
        for (service, driver) in [
            ("cinder.backup.drivers.swift", Ok(Driver::Swift)),
            (
                "cinder.backup.drivers.posix.PosixBackupDriver",
                Ok(Driver::Posix),
            ),
            ("cinder.backup.drivers.nfs.NFSBackupDriver", Ok(Driver::Nfs)),
            (
                "cinder.backup.drivers.google.GoogleBackupDriver",
                Ok(Driver::Gcs),
            ),
            ("cinder.backup.drivers.ceph", Err(Unreadable::Ceph)),
            ("cinder.backup.drivers.tsm", Err(Unreadable::UnknownDriver)),
            ("swift", Err(Unreadable::UnknownDriver)),
            ("", Err(Unreadable::UnknownDriver)),
        ] {
            assert_eq!(Driver::named(service), driver, "{service}");
        }
    }
}
