//! What was looked at and attested, kept in `state_dir/evidence`: one file an item, so that
//! commands that run at the same time do not undo each other's work. A file is replaced whole, by
//! rename; a reader never sees half of one.
//!
//! It holds no secret. Deleting it loses nothing but the answer, which is `unknown` again.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use key_migration::verdict::{Attestation, Evidence, EvidenceBook, Item};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The evidence cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The system says why.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else has written to it.
    #[error(
        "{} is no evidence of this version; delete it, and look again", path.display()
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

/// The evidence in a directory of its own below `state_dir`.
#[derive(Clone, Debug)]
pub struct EvidenceStore {
    directory: PathBuf,
}

impl EvidenceStore {
    /// Nothing is read or made yet.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join("evidence"),
        }
    }

    /// Everything that is kept.
    ///
    /// # Errors
    /// A file is there and cannot be read, or is not what was written.
    pub fn read(&self) -> Result<EvidenceBook, EvidenceError> {
        let mut book = EvidenceBook::default();
        for item in Item::ALL {
            if let Some(seen) = read(&self.seen(item))? {
                book.seen.insert(item, seen);
            }
            if let Some(attestation) = read(&self.attested(item))? {
                book.attested.insert(item, attestation);
            }
        }
        Ok(book)
    }

    /// Keeps what was seen of an item, in place of what was seen before.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, item: Item, seen: &Evidence) -> Result<(), EvidenceError> {
        self.write(&self.seen(item), seen)
    }

    /// Keeps that a person answers for an item.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn attest(&self, item: Item, attestation: &Attestation) -> Result<(), EvidenceError> {
        self.write(&self.attested(item), attestation)
    }

    fn seen(&self, item: Item) -> PathBuf {
        self.directory.join(format!("{}.json", item.as_str()))
    }

    fn attested(&self, item: Item) -> PathBuf {
        self.directory
            .join(format!("{}.attested.json", item.as_str()))
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> Result<(), EvidenceError> {
        let failed = |source| EvidenceError::Io {
            what: "cannot write",
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed)?;
        let text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
        file.write_all(&text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EvidenceError> {
    match fs::read(path) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(EvidenceError::Malformed {
                path: path.to_owned(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EvidenceError::Io {
            what: "cannot read",
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use key_migration::verdict::Finding;

    use super::*;

    fn seen(finding: Finding) -> Evidence {
        Evidence {
            finding,
            looked_at: Timestamp::UNIX_EPOCH,
            message: "17 images".into(),
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_the_latest_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = EvidenceStore::new(&dir.path().join("state"));
        assert_eq!(store.read().expect("nothing"), EvidenceBook::default());
        let attestation = Attestation {
            by: "ada".into(),
            at: Timestamp::UNIX_EPOCH,
        };
        store
            .keep(Item::Images, &seen(Finding::Unknown))
            .expect("kept");
        store
            .keep(Item::Images, &seen(Finding::Blocking(17)))
            .expect("kept");
        store.attest(Item::Images, &attestation).expect("kept");
        let book = store.read().expect("the book");
        assert_eq!(book.seen.len(), 1);
        assert_eq!(book.seen[&Item::Images], seen(Finding::Blocking(17)));
        assert_eq!(book.attested[&Item::Images], attestation);
    }

    #[test]
    fn a_file_that_somebody_else_wrote_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = EvidenceStore::new(dir.path());
        store
            .keep(Item::Images, &seen(Finding::Clear))
            .expect("kept");
        let path = dir.path().join("evidence/images.json");
        for text in ["", "{}", "{\"finding\":\"maybe\"}", "null"] {
            fs::write(&path, text).expect("written");
            let told = store.read().expect_err("no evidence").to_string();
            assert!(told.contains("images.json is no evidence"), "{told}");
        }
    }
}
