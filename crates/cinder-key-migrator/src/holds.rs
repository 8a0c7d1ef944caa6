//! Rows that the operator has set back to zeros and holds there: a file for each in
//! `state_dir/held`, so that a command can add one while a daemon runs, and a daemon sees it with
//! one look before it touches a row.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use key_migration::ids::{RowRef, SecretId};
use key_migration::ports::Holds;
use serde::Serialize;

/// The holds of this host's daemon.
#[derive(Clone, Debug)]
pub(crate) struct HoldStore {
    directory: PathBuf,
}

/// What is recorded of a hold, for people.
#[derive(Debug, Serialize)]
pub(crate) struct Hold {
    /// Since when.
    pub(crate) held_at: Timestamp,
    /// What the row referred to, which is kept.
    pub(crate) secret_id: Option<String>,
}

impl Hold {
    /// A hold from now on.
    pub(crate) fn new(held_at: Timestamp, secret: Option<SecretId>) -> Self {
        Self {
            held_at,
            secret_id: secret.map(|secret| secret.to_string()),
        }
    }
}

impl HoldStore {
    /// Nothing is read or made yet.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join("held"),
        }
    }

    /// Records a hold; on disk when it returns. Says whether there was none before.
    pub(crate) fn add(&self, row: &RowRef, hold: &Hold) -> io::Result<bool> {
        let path = self.path(row).ok_or_else(odd_id)?;
        if path.try_exists()? {
            return Ok(false);
        }
        fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(&serde_json::to_vec_pretty(hold)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(&self.directory)?.sync_all()?;
        Ok(true)
    }

    /// Takes a hold away. Says whether there was one.
    pub(crate) fn remove(&self, row: &RowRef) -> io::Result<bool> {
        let path = self.path(row).ok_or_else(odd_id)?;
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The file of a row, whose ID is a UUID on any healthy one; no other ID becomes a path.
    fn path(&self, row: &RowRef) -> Option<PathBuf> {
        let id = row.id.as_str();
        let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
        let fits = !id.is_empty() && id.len() <= 64 && id.chars().all(is_plain);
        fits.then(|| self.directory.join(format!("{}.{id}", row.kind)))
    }
}

impl Holds for HoldStore {
    /// Where it cannot be told, the row is left alone.
    fn is_held(&self, row: &RowRef) -> bool {
        self.path(row)
            .is_some_and(|path| path.try_exists().unwrap_or(true))
    }
}

fn odd_id() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "its ID is no UUID")
}

#[cfg(test)]
mod tests {
    use key_migration::ids::ResourceKind;

    use super::*;

    fn row(id: &str) -> RowRef {
        RowRef {
            kind: ResourceKind::Volume,
            id: id.into(),
        }
    }

    #[test]
    fn a_row_is_held_from_the_moment_it_is_recorded_until_it_is_released() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, daemon) = (HoldStore::new(dir.path()), HoldStore::new(dir.path()));
        let hold = Hold::new(Timestamp::UNIX_EPOCH, None);
        assert!(!daemon.is_held(&row("7b")));
        assert!(store.add(&row("7b"), &hold).expect("recorded"));
        assert!(!store.add(&row("7b"), &hold).expect("there already"));
        assert!(daemon.is_held(&row("7b")));
        assert!(!daemon.is_held(&row("7c")));
        let backup = RowRef {
            kind: ResourceKind::Backup,
            id: "7b".into(),
        };
        assert!(!daemon.is_held(&backup));
        assert!(store.remove(&row("7b")).expect("released"));
        assert!(!store.remove(&row("7b")).expect("gone already"));
        assert!(!daemon.is_held(&row("7b")));
    }

    #[test]
    fn an_id_that_is_no_file_name_is_not_held_and_cannot_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = HoldStore::new(dir.path());
        let hold = Hold::new(Timestamp::UNIX_EPOCH, None);
        for id in ["", "../x", "a/b", "a b"] {
            assert!(store.add(&row(id), &hold).is_err(), "{id:?}");
            assert!(!store.is_held(&row(id)));
        }
    }

    #[test]
    fn a_directory_that_cannot_be_looked_into_holds_everything() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("held"), "").expect("a file");
        assert!(HoldStore::new(dir.path()).is_held(&row("7b")));
    }
}
