//! One process for each state directory: whoever holds the lock keeps its ledger there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::faults::Trouble;
use crate::place::{self, Identity};

/// Holds the lock until it is dropped. The kernel gives it back when the process ends, however it
/// ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    identity: Identity,
}

impl Lock {
    /// Takes the lock, or tells who has it.
    pub(crate) fn take(state_dir: &Path) -> Result<Self, Trouble> {
        let path = place::lock(state_dir);
        let failed = |error: std::io::Error| Trouble::of_io(&error, &path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Trouble::InUse(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let identity = Identity::of(&file.metadata().map_err(failed)?);
        // Whether others can read who holds it does not decide whether it is held.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        let lock = Self {
            _file: file,
            identity,
        };
        if lock.is_in_force(state_dir) {
            Ok(lock)
        } else {
            Err(Trouble::InUse(None))
        }
    }

    /// Whether the file that is locked is the one that others would lock: it may have been deleted.
    pub(crate) fn is_in_force(&self, state_dir: &Path) -> bool {
        Identity::at(&place::lock(state_dir)) == Some(self.identity)
    }
}

/// Whether a process keeps the ledger of this directory now. Changes nothing: to ask, it takes a lock
/// that others may share, and gives it back.
#[must_use]
pub fn is_in_use(state_dir: &Path) -> bool {
    let Ok(file) = File::open(place::lock(state_dir)) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The process that wrote itself down.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_process_of_the_first_until_that_lets_go() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!is_in_use(dir.path()));
        let first = Lock::take(dir.path()).expect("free");
        assert!(is_in_use(dir.path()));
        let refused = Lock::take(dir.path()).expect_err("locked");
        assert_eq!(refused, Trouble::InUse(Some(std::process::id())));
        drop(first);
        assert!(!is_in_use(dir.path()));
        Lock::take(dir.path()).expect("free again");
    }

    #[test]
    fn a_lock_whose_file_is_deleted_holds_nobody_off() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Lock::take(dir.path()).expect("free");
        assert!(first.is_in_force(dir.path()));
        std::fs::remove_file(place::lock(dir.path())).expect("deleted");
        assert!(!first.is_in_force(dir.path()));
        let second = Lock::take(dir.path()).expect("free");
        assert!(second.is_in_force(dir.path()) && !first.is_in_force(dir.path()));
    }

    #[test]
    fn an_empty_lock_file_names_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let _held = Lock::take(dir.path()).expect("free");
        std::fs::write(place::lock(dir.path()), "").expect("emptied");
        assert_eq!(
            Lock::take(dir.path()).expect_err("locked"),
            Trouble::InUse(None)
        );
    }
}
