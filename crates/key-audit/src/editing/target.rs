//! The file itself: what it was when it was read, and whether it still is that.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use zeroize::Zeroizing;

use super::EditError;

/// A file by its own name: links to it have been followed.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) name: OsString,
}

/// What a file was at one moment.
pub(super) struct Snapshot {
    pub(super) content: Zeroizing<Vec<u8>>,
    pub(super) metadata: Metadata,
}

impl Target {
    /// Follows links. The file itself may be missing, its folder not.
    pub(super) fn of(path: &Path) -> Result<Self, EditError> {
        let failed = EditError::io("cannot find", path);
        let path = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = path.file_name().ok_or(error).map_err(&failed)?;
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new(".")).canonicalize();
                parent.map_err(&failed)?.join(name)
            }
            found => found.map_err(&failed)?,
        };
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(EditError::NotAFile(path));
        };
        Ok(Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            path,
        })
    }

    /// Reads it.
    pub(super) fn read(&self) -> Result<Snapshot, EditError> {
        let failed = EditError::io("cannot read", &self.path);
        // Not even to open it, if it is a pipe.
        if !fs::symlink_metadata(&self.path).map_err(&failed)?.is_file() {
            return Err(EditError::NotAFile(self.path.clone()));
        }
        let mut file = File::open(&self.path).map_err(&failed)?;
        let metadata = file.metadata().map_err(&failed)?;
        let length = usize::try_from(metadata.len()).unwrap_or_default();
        let mut content = Zeroizing::new(Vec::with_capacity(length + 1));
        file.read_to_end(&mut content).map_err(&failed)?;
        Ok(Snapshot { content, metadata })
    }

    /// Whether it still is what was read, to the last byte; a file that is gone is not.
    pub(super) fn still_is(&self, snapshot: &Snapshot) -> Result<(), EditError> {
        match self.read() {
            Ok(now) if now.is(snapshot) => Ok(()),
            Ok(_) => Err(EditError::Changed(self.path.clone())),
            Err(EditError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(EditError::Changed(self.path.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is mounted by itself, as container engines mount single files: then it cannot be
    /// replaced. An old kernel does not tell, and refuses to replace it later.
    pub(super) fn is_mount_point(&self) -> bool {
        rustix::fs::statx(
            CWD,
            &self.path,
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS,
        )
        .is_ok_and(|seen| seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
}

impl Snapshot {
    fn is(&self, other: &Self) -> bool {
        let identity = |it: &Metadata| {
            (
                (it.dev(), it.ino(), it.len(), it.mtime(), it.mtime_nsec()),
                (it.mode(), it.uid(), it.gid()),
            )
        };
        identity(&self.metadata) == identity(&other.metadata) && self.content == other.content
    }
}

/// Holds off other processes of this program, until it is dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

impl Lock {
    /// Locks a folder, where the file system can.
    pub(super) fn on(directory: &Path) -> Result<Self, EditError> {
        let opened = File::open(directory).map_err(EditError::io("cannot open", directory))?;
        match opened.try_lock() {
            Err(TryLockError::WouldBlock) => Err(EditError::Busy(directory.to_owned())),
            // NFS cannot lock folders; that two administrators do this at once is rarer still.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(opened)),
        }
    }
}

/// Makes names in a folder last.
pub(super) fn sync(directory: &Path) -> Result<(), EditError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(EditError::io("cannot write to", directory))
}
