use std::fmt;
use std::io;
use std::path::Path;

use super::backup::{self, Backup};
use super::removal::lock;
use super::replacement::{self, is_halfway};
use super::target::{Snapshot, Target};
use super::{Edit, EditError};

/// What it takes to give a file back what was removed from it, prepared and not yet done.
pub struct Restoration {
    target: Target,
    /// `None` where the file is gone.
    snapshot: Option<Snapshot>,
    backup: Backup,
    edit: Edit,
}

impl Restoration {
    /// Finds the latest backup in the file's folder, or in another, and checks it; `None` where
    /// the file already is what was backed up. Nothing is changed.
    ///
    /// # Errors
    /// There is no backup, or it is damaged; or the file is not what the removal left.
    pub fn prepare(path: &Path, backup_dir: Option<&Path>) -> Result<Option<Self>, EditError> {
        let target = Target::of(path)?;
        let directory = match backup_dir {
            None => target.directory.clone(),
            Some(given) => given
                .canonicalize()
                .map_err(EditError::io("cannot find", given))?,
        };
        let backup = backup::latest(&directory, &target)?;
        let backup = backup.ok_or_else(|| EditError::NoBackup {
            file: target.path.clone(),
            directory,
        })?;
        Self::from(target, backup)
    }

    /// As [`prepare`](Self::prepare), from this very backup.
    ///
    /// # Errors
    /// As there.
    pub fn prepare_from(path: &Path, backup: &Path) -> Result<Option<Self>, EditError> {
        let backup = backup
            .canonicalize()
            .map_err(EditError::io("cannot find", backup))?;
        Self::from(Target::of(path)?, backup::at(&backup)?)
    }

    fn from(target: Target, backup: Backup) -> Result<Option<Self>, EditError> {
        let edit = backup.edit()?;
        let snapshot = match target.read() {
            Ok(snapshot) => Some(snapshot),
            Err(EditError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(Snapshot { content, .. }) = &snapshot {
            if **content == *edit.with() {
                return Ok(None);
            }
            let halfway = is_halfway(content, edit.with(), edit.without());
            if !halfway && !backup.left(content) && **content != *edit.without() {
                return Err(EditError::Differs {
                    difference: difference(content, edit.without()),
                    path: target.path,
                    backup: backup.path().to_owned(),
                });
            }
        }
        Ok(Some(Self {
            target,
            snapshot,
            backup,
            edit,
        }))
    }

    /// The file, by its own name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target.path
    }

    /// Where it comes from.
    #[must_use]
    pub fn backup(&self) -> &Backup {
        &self.backup
    }

    /// What comes back.
    #[must_use]
    pub fn edit(&self) -> &Edit {
        &self.edit
    }

    /// Whether the file is gone, and will be made anew.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.snapshot.is_none()
    }

    /// Whether it has to be written in place, which is not done in one step.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.target.is_mount_point()
    }

    /// Restores the file. The backup stays.
    ///
    /// # Errors
    /// Nothing has been done to the file then, unless writing to it in place failed.
    pub fn execute(&self) -> Result<(), EditError> {
        let _locks = lock(&self.target, &self.target.directory)?;
        replacement::clean_up(&self.target);
        match &self.snapshot {
            None => replacement::create(&self.target, self.edit.with(), self.backup.access()?),
            Some(snapshot) => {
                self.target.still_is(snapshot)?;
                replacement::replace(&self.target, snapshot, self.edit.with())
            }
        }
    }
}

/// Where two contents part, without what stands there.
fn difference(found: &[u8], expected: &[u8]) -> String {
    let lines = |content: &[u8]| -> Vec<Vec<u8>> {
        let lines = content.split_inclusive(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    };
    let (found, expected) = (lines(found), lines(expected));
    let same = |(a, b): &(&Vec<u8>, &Vec<u8>)| a == b;
    let before = found.iter().zip(&expected).take_while(same).count();
    let most = found.len().min(expected.len()) - before;
    let reversed = found.iter().rev().zip(expected.iter().rev());
    let after = reversed.take(most).take_while(same).count();
    let (found, expected) = (found.len() - after, expected.len() - after);
    match (found - before, expected - before) {
        (0, gone) => format!("{gone} line(s) after line {before} are gone"),
        (new, 0) => format!("lines {} to {found} are new ({new})", before + 1),
        _ => format!("lines {} to {found} are others", before + 1),
    }
}

/// Shows no content.
impl fmt::Debug for Restoration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restoration")
            .field("path", &self.target.path)
            .finish_non_exhaustive()
    }
}
