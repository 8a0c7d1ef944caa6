use std::io;
use std::path::{Path, PathBuf};

/// A file cannot be edited, or must not be. No text of it holds a value.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The system says why.
    #[error("{what} {}: {source}{}", path.display(), help(source))]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No service could read it either.
    #[error("{0}; a file that no service can read is not edited")]
    Syntax(#[from] oslo_config::Error),
    /// A device, a pipe, a folder.
    #[error("{} is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// Taking the lines out would change how the rest is read.
    #[error("without the lines of fixed_key {} would read differently; edit it by hand", .0.display())]
    Entangled(PathBuf),
    /// Somebody else writes to it.
    #[error("{} has changed since it was read and is left as it is; look at it, and try again", .0.display())]
    Changed(PathBuf),
    /// Another process is at work in the same folder.
    #[error("another `fixed-key` command is at work in {}; wait for its end", .0.display())]
    Busy(PathBuf),
    /// An edit in place was killed.
    #[error(
        "writing to {} was interrupted and has left it half written; `fixed-key restore --execute \
         {}` brings back what it was, which is also in {}",
        path.display(), path.display(), backup.display()
    )]
    Interrupted {
        /// Which file.
        path: PathBuf,
        /// What it was before.
        backup: PathBuf,
    },
    /// There is nothing to restore from.
    #[error(
        "there is no backup of {} in {}; where it was kept elsewhere, name the folder with \
         --backup-dir or the file with --backup", file.display(), directory.display()
    )]
    NoBackup {
        /// Of which file.
        file: PathBuf,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// It is not what was backed up.
    #[error("{}: {problem}; it is not used", path.display())]
    BadBackup {
        /// The backup or its record.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// To restore would undo what somebody else did.
    #[error(
        "{} is not as the removal of fixed_key left it: {difference}. To restore would undo that: \
         put the line back by hand, from {}", path.display(), backup.display()
    )]
    Differs {
        /// Which file.
        path: PathBuf,
        /// In what.
        difference: String,
        /// Where the line is.
        backup: PathBuf,
    },
}

impl EditError {
    /// Whether it could be done and must not be, rather than that it failed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Entangled(_)
            | Self::Changed(_)
            | Self::Busy(_)
            | Self::Interrupted { .. }
            | Self::Differs { .. } => true,
            Self::Io { .. }
            | Self::Syntax(_)
            | Self::NotAFile(_)
            | Self::NoBackup { .. }
            | Self::BadBackup { .. } => false,
        }
    }

    /// For `map_err`.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// What the operator can do about it.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; a read-only mount is changed where it comes from, and a backup may be kept \
             elsewhere with --backup-dir"
        }
        io::ErrorKind::PermissionDenied => "; run it as root",
        _ => "",
    }
}
