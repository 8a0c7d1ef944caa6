use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::backup::{self, Backup};
use super::replacement::{self, is_halfway};
use super::target::{Lock, Snapshot, Target};
use super::{Edit, EditError};

/// What it takes to remove `fixed_key` from one file, prepared and not yet done.
pub struct Removal {
    target: Target,
    snapshot: Snapshot,
    edit: Edit,
    backup_dir: PathBuf,
}

impl Removal {
    /// Reads a file, and says what is to be done; `None` where there is no `fixed_key` in it. The
    /// backup will be kept in the file's own folder, or in another. Nothing is changed.
    ///
    /// # Errors
    /// The file cannot be read or edited, or an earlier edit has left it half written.
    pub fn prepare(path: &Path, backup_dir: Option<&Path>) -> Result<Option<Self>, EditError> {
        let target = Target::of(path)?;
        let snapshot = target.read()?;
        let backup_dir = backup_dir.map_or_else(
            || Ok(target.directory.clone()),
            |given| {
                given
                    .canonicalize()
                    .map_err(EditError::io("cannot find", given))
            },
        )?;
        refuse_interrupted(&backup_dir, &target, &snapshot)?;
        let edit = Edit::of(&target.path, &snapshot.content)?;
        Ok(edit.map(|edit| Self {
            target,
            snapshot,
            edit,
            backup_dir,
        }))
    }

    /// The file, by its own name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target.path
    }

    /// What goes.
    #[must_use]
    pub fn edit(&self) -> &Edit {
        &self.edit
    }

    /// Whether it has to be written in place, which is not done in one step.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.target.is_mount_point()
    }

    /// How many other names the file has, which will go on naming what it was.
    #[must_use]
    pub fn other_names(&self) -> u64 {
        if self.is_in_place() {
            return 0;
        }
        self.snapshot.metadata.nlink().saturating_sub(1)
    }

    /// Where the backup would be, were it taken now.
    #[must_use]
    pub fn backup_path(&self, now: Timestamp) -> PathBuf {
        backup::place(&self.backup_dir, &self.target, now)
    }

    /// Takes the backup, then removes the option.
    ///
    /// # Errors
    /// Nothing has been done to the file then, unless writing to it in place failed.
    pub fn execute(&self, now: Timestamp) -> Result<Backup, EditError> {
        let _locks = lock(&self.target, &self.backup_dir)?;
        replacement::clean_up(&self.target);
        backup::clean_up(&self.backup_dir, &self.target);
        self.target.still_is(&self.snapshot)?;
        let (backup, is_new) = backup::keep(
            &self.backup_dir,
            &self.target,
            &self.snapshot,
            &self.edit,
            now,
        )?;
        match replacement::replace(&self.target, &self.snapshot, self.edit.without()) {
            Ok(()) => Ok(backup),
            Err(error) => Err(self.explain(error, backup, is_new)),
        }
    }

    /// Says what a failure has left behind, and takes a backup back that nothing came of.
    fn explain(&self, error: EditError, backup: Backup, is_new: bool) -> EditError {
        let (with, without) = (self.edit.with(), self.edit.without());
        let Ok(Snapshot { content, .. }) = self.target.read() else {
            return error;
        };
        if is_halfway(&content, with, without) {
            return EditError::Interrupted {
                path: self.target.path.clone(),
                backup: backup.path().to_owned(),
            };
        }
        // In any other case it may be the last copy of the key.
        if is_new && *content == *with {
            backup.discard();
        }
        error
    }
}

/// What was half written is to be put right first.
fn refuse_interrupted(
    directory: &Path,
    target: &Target,
    snapshot: &Snapshot,
) -> Result<(), EditError> {
    let Some(backup) = backup::latest(directory, target)? else {
        return Ok(());
    };
    let Ok(edit) = backup.edit() else {
        return Ok(());
    };
    if is_halfway(&snapshot.content, edit.with(), edit.without()) {
        return Err(EditError::Interrupted {
            path: target.path.clone(),
            backup: backup.path().to_owned(),
        });
    }
    Ok(())
}

/// The file's folder and that of its backups, against other processes.
pub(super) fn lock(target: &Target, backup_dir: &Path) -> Result<Vec<Lock>, EditError> {
    let mut directories = vec![target.directory.as_path()];
    if backup_dir != target.directory {
        directories.push(backup_dir);
    }
    directories.into_iter().map(Lock::on).collect()
}

/// Shows no content.
impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal")
            .field("path", &self.target.path)
            .finish_non_exhaustive()
    }
}
