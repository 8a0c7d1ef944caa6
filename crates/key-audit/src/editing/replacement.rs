//! Gives a file other content: whole and at once where it can be, else in place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::EditError;
use super::target::{Snapshot, Target, sync};

/// Who may read and write a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Replaces what was read by other content, if it still is what was read.
pub(super) fn replace(
    target: &Target,
    snapshot: &Snapshot,
    content: &[u8],
) -> Result<(), EditError> {
    if target.is_mount_point() {
        return in_place(target, snapshot, content);
    }
    let access = Access::of(snapshot);
    let new = temporary(target);
    let written = write_new(&new, content, access, Some(&target.path))
        .and_then(|()| target.still_is(snapshot));
    let replaced = written.and_then(|()| match fs::rename(&new, &target.path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            in_place(target, snapshot, content)
        }
        renamed => renamed.map_err(EditError::io("cannot replace", &target.path)),
    });
    // After the rename there is none.
    _ = fs::remove_file(&new);
    replaced?;
    sync(&target.directory)
}

/// Makes a file that is missing.
pub(super) fn create(target: &Target, content: &[u8], access: Access) -> Result<(), EditError> {
    let new = temporary(target);
    let made = write_new(&new, content, access, None).and_then(|()| {
        fs::hard_link(&new, &target.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => EditError::Changed(target.path.clone()),
            _ => EditError::io("cannot make", &target.path)(error),
        })
    });
    _ = fs::remove_file(&new);
    made?;
    sync(&target.directory)
}

/// Deletes what a process that was killed may have left beside the file.
pub(super) fn clean_up(target: &Target) {
    _ = fs::remove_file(temporary(target));
}

/// Writes a new file that only its owner may read, and gives it the access that it is to have, and
/// the extended attributes (access lists, SELinux context) of another.
pub(super) fn write_new(
    path: &Path,
    content: &[u8],
    access: Access,
    model: Option<&Path>,
) -> Result<(), EditError> {
    let failed = EditError::io("cannot write", path);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(&failed)?;
    let attributed = file.write_all(content).map_err(&failed).and_then(|()| {
        access.give(&file, path)?;
        if let Some(model) = model {
            copy_attributes(model, &file, path)?;
        }
        file.sync_all().map_err(&failed)
    });
    if attributed.is_err() {
        _ = fs::remove_file(path);
    }
    attributed
}

/// Whether this is what one of the two contents becomes on the way to the other in place, and not
/// one of them.
pub(super) fn is_halfway(found: &[u8], with: &[u8], without: &[u8]) -> bool {
    if found == with || found == without {
        return false;
    }
    let padded = [without, &vec![b'\n'; with.len() - without.len()]].concat();
    if found.len() < with.len() {
        return found.len() > without.len() && padded.starts_with(found);
    }
    found.len() == with.len() && (spliced(found, &padded, with) || spliced(found, with, &padded))
}

/// Whether it begins as the one and goes on as the other.
fn spliced(found: &[u8], one: &[u8], other: &[u8]) -> bool {
    let shared = shared_prefix(found, one);
    found[shared..] == other[shared..]
}

/// Writes over the file. The longer of the two contents differs from the shorter one followed by
/// empty lines in as few bytes as can be, and these are written at once; empty lines mean nothing,
/// so before and after that one write every service reads either the old or the new.
fn in_place(target: &Target, snapshot: &Snapshot, content: &[u8]) -> Result<(), EditError> {
    let failed = EditError::io("cannot write to", &target.path);
    let old = &snapshot.content;
    let file = OpenOptions::new().write(true).open(&target.path);
    let file = file.map_err(&failed)?;
    target.still_is(snapshot)?;
    let from = shared_prefix(old, content);
    let fill = vec![b'\n'; old.len().abs_diff(content.len())];
    if content.len() > old.len() {
        file.write_all_at(&fill, old.len() as u64)
            .map_err(&failed)?;
        file.sync_all().map_err(&failed)?;
        file.write_all_at(&content[from..], from as u64)
            .map_err(&failed)?;
    } else {
        let filled = zeroize::Zeroizing::new([&content[from..], &fill].concat());
        file.write_all_at(&filled, from as u64).map_err(&failed)?;
        file.sync_all().map_err(&failed)?;
        file.set_len(content.len() as u64).map_err(&failed)?;
    }
    file.sync_all().map_err(&failed)
}

fn shared_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// In the same folder, as a rename does not leave a file system. It is hidden, and its name does
/// not end as oslo.config looks for.
fn temporary(target: &Target) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(&target.name);
    name.push(".fixed-key.tmp");
    target.directory.join(name)
}

impl Access {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            mode: snapshot.metadata.mode() & 0o7777,
            uid: snapshot.metadata.uid(),
            gid: snapshot.metadata.gid(),
        }
    }

    /// Owner first: to change it takes bits of the mode away.
    fn give(self, file: &File, path: &Path) -> Result<(), EditError> {
        let now = file
            .metadata()
            .map_err(EditError::io("cannot look at", path))?;
        if (now.uid(), now.gid()) != (self.uid, self.gid) {
            std::os::unix::fs::fchown(file, Some(self.uid), Some(self.gid))
                .map_err(EditError::io("cannot keep the owner of", path))?;
        }
        file.set_permissions(fs::Permissions::from_mode(self.mode))
            .map_err(EditError::io("cannot keep the mode of", path))
    }
}

/// Copies what differs. Security labels are the system's own matter where it does not let us: a
/// new file has its folder's.
fn copy_attributes(model: &Path, file: &File, path: &Path) -> Result<(), EditError> {
    let failed = EditError::io("cannot keep the extended attributes of", path);
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::listxattr(model, &mut names) {
        Err(Errno::NOTSUP) => return Ok(()),
        listed => listed.map_err(|error| failed(error.into()))?,
    };
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::getxattr(model, name, &mut value);
        let value = &value[..length.map_err(|error| failed(error.into()))?];
        let mut present = vec![0; 64 * 1024];
        let same = rustix::fs::fgetxattr(file, name, &mut present)
            .is_ok_and(|length| &present[..length] == value);
        let set = match same {
            true => Ok(()),
            false => rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()),
        };
        match set {
            Err(_) if name.starts_with(b"security.") || name.starts_with(b"trusted.") => {
                tracing::debug!("an attribute of {} is left to the system", path.display());
            }
            set => set.map_err(|error| failed(error.into()))?,
        }
    }
    Ok(())
}
