//! The directory that the ledger is kept in.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags};

use crate::faults::Trouble;

/// The database file.
pub(crate) fn ledger(state_dir: &Path) -> PathBuf {
    state_dir.join("ledger.sqlite")
}

/// The write-ahead log beside it, which SQLite names so.
fn write_ahead_log(state_dir: &Path) -> PathBuf {
    state_dir.join("ledger.sqlite-wal")
}

/// The index of that log, which SQLite names so.
fn shared_memory(state_dir: &Path) -> PathBuf {
    state_dir.join("ledger.sqlite-shm")
}

/// The file whose lock says that a process keeps its ledger here.
pub(crate) fn lock(state_dir: &Path) -> PathBuf {
    state_dir.join("lock")
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The file at this path; `None` where there is none, or none that can be seen.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        Some(Self::of(&path.metadata().ok()?))
    }

    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// The files that an open ledger consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    ledger: Option<Identity>,
    write_ahead_log: Option<Identity>,
}

/// What became of the files of an open ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// The log is another or gone; the file is the same, and what was in the log is still open.
    LogLost,
    /// The file is another or gone, and what was recorded with it.
    Lost,
}

impl Files {
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self {
            ledger: Identity::at(&ledger(state_dir)),
            write_ahead_log: Identity::at(&write_ahead_log(state_dir)),
        }
    }

    /// What became of these, which were there once, as another look shows them.
    pub(crate) fn change_to(self, now: Self) -> Change {
        if now.ledger != self.ledger {
            Change::Lost
        } else if now.write_ahead_log != self.write_ahead_log {
            Change::LogLost
        } else {
            Change::None
        }
    }
}

/// Makes the directory where it is missing, for its owner only, and sees to it that it stays after
/// a power failure.
pub(crate) fn make_directory(state_dir: &Path) -> Result<(), Trouble> {
    let failed = |error: io::Error| Trouble::of_io(&error, state_dir);
    if state_dir.is_dir() {
        return Ok(());
    }
    let parent = state_dir.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // Recursive for what it takes for made: a directory that another process has made meanwhile.
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(state_dir);
    made.map_err(failed)?;
    parent.map_or(Ok(()), |parent| sync_directory(parent).map_err(failed))
}

/// Makes an empty file where there is none, readable for its owner only. SQLite makes its other
/// files with the permissions of this one.
pub(crate) fn make_ledger(state_dir: &Path) -> Result<(), Trouble> {
    let path = ledger(state_dir);
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    match made {
        Ok(_) => sync_directory(state_dir).map_err(|error| Trouble::of_io(&error, state_dir)),
        // Looked at, not opened: closing a file that SQLite has open in this process would end
        // SQLite's locks on it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            forbidden(state_dir).map_or(Ok(()), Err)
        }
        Err(error) => Err(Trouble::of_io(&error, &path)),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Why nothing can be written in this directory, as far as can be seen without trying.
pub(crate) fn obstacle(state_dir: &Path) -> Option<Trouble> {
    let file_system = rustix::fs::statvfs(state_dir).ok()?;
    if file_system.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some(Trouble::ReadOnly);
    }
    if let Some(trouble) = forbidden(state_dir) {
        return Some(trouble);
    }
    let (files, free_files) = (file_system.f_files, file_system.f_favail);
    is_full(file_system.f_bavail, files, free_files).then_some(Trouble::DiskFull)
}

/// Some file systems make room for files as they need it, and say that they have none.
fn is_full(free_blocks: u64, files: u64, free_files: u64) -> bool {
    free_blocks == 0 || files > 0 && free_files == 0
}

/// Which of the files this process may not read and write. SQLite would open it for reading alone,
/// and make others that nobody may write to.
fn forbidden(state_dir: &Path) -> Option<Trouble> {
    let files = [ledger, write_ahead_log, shared_memory].map(|file| file(state_dir));
    let mut paths = [state_dir.to_owned()].into_iter().chain(files);
    let refuses = |path: &PathBuf| {
        let access = rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK);
        access == Err(rustix::io::Errno::ACCESS)
    };
    paths.find(refuses).map(Trouble::Forbidden)
}

/// The first part of the path that is there and no directory; the path itself if there is none.
pub(crate) fn first_that_is_no_directory(path: &Path) -> PathBuf {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    let is_other = |path: &&Path| path.metadata().is_ok_and(|found| !found.is_dir());
    let found = parts.into_iter().find(is_other);
    found.unwrap_or(path).to_owned()
}

/// What is to be said of a directory whose files do not stay, or `None` where they do.
pub(crate) fn volatility(state_dir: &Path) -> Option<String> {
    let file_system = rustix::fs::statfs(state_dir).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the type is 32 bits wide, in an integer that differs by architecture"
    )]
    let (name, gone_with) = volatile(file_system.f_type as u32)?;
    Some(format!(
        "The ledger is in {}, on {name}: it does not survive {gone_with}. Nothing is lost with it, \
         but what is under way is then found again by name, only slower. Mount a directory of the \
         host there, or set [key_migrator] state_dir.",
        state_dir.display()
    ))
}

/// File systems whose files do not stay, by their number in linux/magic.h: their name and what the
/// files go with.
fn volatile(file_system: u32) -> Option<(&'static str, &'static str)> {
    match file_system {
        0x0102_1994 => Some(("tmpfs", "a reboot")),
        0x8584_58f6 => Some(("ramfs", "a reboot")),
        0x794c_7630 => Some(("an overlay", "a new container")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_in_memory_and_of_containers_are_known() {
        for (number, name) in [
            (0x0102_1994, Some("tmpfs")),
            (0x8584_58f6, Some("ramfs")),
            (0x794c_7630, Some("an overlay")),
            (0xef53, None),
            (0x5846_5342, None),
        ] {
            assert_eq!(volatile(number).map(|known| known.0), name);
        }
    }

    #[test]
    fn a_disk_is_full_without_room_for_blocks_or_for_files() {
        for (free_blocks, files, free_files, full) in [
            (1, 1, 1, false),
            (0, 1, 1, true),
            (1, 1, 0, true),
            (1, 0, 0, false),
            (0, 0, 0, true),
        ] {
            assert_eq!(is_full(free_blocks, files, free_files), full);
        }
    }

    #[test]
    fn a_lost_log_is_told_from_a_lost_ledger() {
        let file = |inode| Some(Identity { device: 1, inode });
        let files = |ledger, write_ahead_log| Files {
            ledger,
            write_ahead_log,
        };
        let open = files(file(1), file(2));
        for (now, change) in [
            (files(file(1), file(2)), Change::None),
            (files(file(1), None), Change::LogLost),
            (files(file(1), file(3)), Change::LogLost),
            (files(None, file(2)), Change::Lost),
            (files(file(3), file(2)), Change::Lost),
            (files(None, None), Change::Lost),
        ] {
            assert_eq!(open.change_to(now), change, "{now:?}");
        }
    }

    #[test]
    fn the_directory_is_its_owners_alone_and_made_with_its_parents() {
        let dir = tempfile::tempdir().expect("a directory");
        let state_dir = dir.path().join("lib/cinder/key-migrator");
        make_directory(&state_dir).expect("made");
        make_directory(&state_dir).expect("made already");
        make_ledger(&state_dir).expect("made");
        make_ledger(&state_dir).expect("made already");
        let mode = |path: &Path| path.metadata().expect("there").mode() & 0o777;
        assert_eq!(mode(&state_dir), 0o700);
        assert_eq!(mode(&ledger(&state_dir)), 0o600);
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");
        for state_dir in [file.clone(), file.join("below"), file.join("far/below")] {
            let trouble = make_directory(&state_dir);
            assert_eq!(trouble, Err(Trouble::NotADirectory(file.clone())));
        }
    }
}
